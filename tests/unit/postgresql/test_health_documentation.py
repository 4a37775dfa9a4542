"""What the module documents is what it has."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.collect import SECTION_NAMES, SECTIONS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import Answers, Limits, Section

module = importlib.import_module("ansible_collections.runbook.ops.plugins.modules.postgresql_health_info")
OPTIONS = yaml.safe_load(module.DOCUMENTATION)["options"]
HEALTH = yaml.safe_load(module.RETURN)["health"]["contains"]


def test_sections_are_the_same_everywhere() -> None:
    assert sorted(module.SECTIONS) == sorted(SECTION_NAMES)
    assert OPTIONS["sections"]["choices"] == module.SECTIONS
    assert list(HEALTH) == module.SECTIONS


def test_options_are_documented_as_they_are() -> None:
    for name, option in module.OPTIONS.items():
        documented: dict[str, Any] = {key: OPTIONS[name].get(key) for key in ("type", "elements", "default", "choices")}
        assert {key: value for key, value in documented.items() if value is not None} == option
    assert set(OPTIONS) == set(module.OPTIONS)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_every_fact_is_documented_and_every_documented_fact_is_there(section: Section) -> None:
    facts = section.facts(Answers({}), Capabilities(150000), Limits())
    assert set(facts) == set(HEALTH[section.name]["contains"])
