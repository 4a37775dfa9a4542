"""The connection options exist once: argument spec, doc fragment, action group and modules agree."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import env_fallback

from ansible_collections.runbook.ops.plugins.doc_fragments.postgresql import ModuleDocFragment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec

REPOSITORY = Path(__file__).resolve().parents[3]
GROUP: list[str] = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))["action_groups"][
    "postgresql"
]
DOCUMENTED: dict[str, Any] = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]


def test_spec_and_fragment_have_the_same_options() -> None:
    assert list(DOCUMENTED) == list(postgresql_argument_spec())


@pytest.mark.parametrize("name", list(DOCUMENTED))
def test_spec_and_fragment_agree(name: str) -> None:
    spec, documented = postgresql_argument_spec()[name], DOCUMENTED[name]
    for key in ("type", "default", "choices", "required"):
        assert spec.get(key) == documented.get(key), key
    function, variables = spec.get("fallback", (env_fallback, []))
    assert function is env_fallback
    text = " ".join(documented["description"])
    assert [f"E({variable})" in text for variable in variables] == [True] * len(variables)
    assert ("E(" in text) is bool(variables)


def test_the_password_is_a_secret() -> None:
    assert postgresql_argument_spec()["login_password"]["no_log"] is True


def test_every_module_of_the_technology_is_in_the_group() -> None:
    modules = (REPOSITORY / "plugins" / "modules").glob("*.py")
    fragment = re.compile(r"^  - runbook\.ops\.postgresql$", re.MULTILINE)
    assert sorted(GROUP) == sorted(path.stem for path in modules if fragment.search(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", GROUP)
def test_modules_take_the_connection_from_the_fragment(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.runbook.ops.plugins.modules.{name}")
    documentation = yaml.safe_load(module.DOCUMENTATION)
    assert "runbook.ops.postgresql" in documentation["extends_documentation_fragment"]
    assert not set(documentation["options"]) & set(DOCUMENTED), "documented twice"
