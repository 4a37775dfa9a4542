"""The connection options: argument spec, documentation and modules say the same."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.doc_fragments.object_store import ModuleDocFragment
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec
from ansible_collections.runbook.ops.plugins.modules import backup_info, s3_prefix_info

DOCUMENTED = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
SPEC = object_store_argument_spec()


def test_same_names() -> None:
    assert set(DOCUMENTED) == set(SPEC)


@pytest.mark.parametrize("name", sorted(SPEC))
def test_same_type_default_and_environment(name: str) -> None:
    documented, spec = DOCUMENTED[name], SPEC[name]
    assert documented["type"] == spec["type"]
    assert documented.get("default") == spec.get("default")
    variables = spec["fallback"][1] if "fallback" in spec else []
    text = " ".join(documented["description"])
    assert [variable for variable in variables if f"E({variable})" not in text] == []


def test_secrets_are_marked() -> None:
    assert {name for name, option in SPEC.items() if option.get("no_log")} == {"secret_key", "session_token"}


@pytest.mark.parametrize("module", [backup_info, s3_prefix_info], ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_modules_document_what_they_take(module: object) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]  # type: ignore[attr-defined]
    own = {name: option for name, option in module.argument_spec().items() if name not in SPEC}  # type: ignore[attr-defined]
    assert set(documented) == set(own)
    for name, option in own.items():
        assert documented[name]["type"] == option["type"], name
        assert documented[name].get("default") == option.get("default"), name
