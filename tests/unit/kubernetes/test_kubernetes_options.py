"""The connection options: argument spec, documentation and modules say the same, and what cannot work is refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.paths import REPOSITORY

from ansible_collections.runbook.ops.plugins.doc_fragments.kubernetes import ModuleDocFragment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec

# Every module of the folder, so that a new one cannot be forgotten.
FOLDER = REPOSITORY / "plugins" / "modules"
MODULES = sorted(path.stem for path in FOLDER.glob("k8s_*.py"))
DOCUMENTED = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
SPEC = kubernetes_argument_spec()


def test_same_names() -> None:
    assert set(DOCUMENTED) == set(SPEC)


@pytest.mark.parametrize("name", sorted(SPEC))
def test_same_type_default_and_environment(name: str) -> None:
    documented, spec = DOCUMENTED[name], SPEC[name]
    for key in ("type", "default", "aliases"):
        assert documented.get(key) == spec.get(key), key
    variables = spec["fallback"][1] if "fallback" in spec else []
    text = " ".join(documented["description"])
    assert [variable for variable in variables if f"E({variable})" not in text] == []


def test_secrets_are_marked() -> None:
    assert {name for name, option in SPEC.items() if option.get("no_log")} == {"api_key"}


def documented_by(documentation: dict[str, Any]) -> dict[str, Any]:
    """The module's own options, and those of the fragments that it names."""
    options: dict[str, Any] = {}
    for full in documentation["extends_documentation_fragment"]:
        name, _dot, part = full.removeprefix("runbook.ops.").partition(".")
        fragment = importlib.import_module(f"ansible_collections.runbook.ops.plugins.doc_fragments.{name}")
        text = getattr(fragment.ModuleDocFragment, part.upper() or "DOCUMENTATION")
        options.update(yaml.safe_load(text).get("options") or {})
    return {**options, **documentation["options"]}


@pytest.mark.parametrize("name", MODULES)
def test_modules_document_what_they_take(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.runbook.ops.plugins.modules.{name}")
    documented, spec = documented_by(yaml.safe_load(module.DOCUMENTATION)), module.argument_spec()
    assert set(documented) == set(spec)
    for each, option in spec.items():
        for key in ("type", "default", "choices", "required"):
            assert documented[each].get(key) == option.get(key), (each, key)


def test_the_action_group_has_all_that_ask_a_cluster() -> None:
    runtime = yaml.safe_load((REPOSITORY / "meta" / "runtime.yml").read_text(encoding="utf-8"))
    texts = {name: (FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in MODULES}
    asking = [name for name, text in texts.items() if "  - runbook.ops.kubernetes\n" in text]
    assert [each for each in runtime["action_groups"]["k8s"] if isinstance(each, str)] == asking


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"host": "k8s.example.com"}, "host: '(given)' is not accepted"),
        ({"host": "https://k8s", "client_key": "x"}, "client_cert: '' is not accepted"),
        ({"host": "https://k8s", "read_timeout": 0}, "read_timeout: 0 is not accepted"),
        ({"kubeconfig": "missing"}, "kubeconfig: 'missing' is not accepted. Accepted: a file that exists"),
        ({"host": "https://k8s", "proxy": "proxy:3128"}, "proxy: '(given)' is not accepted"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        connect(options)
    assert message in raised.value.message


def test_files_that_cannot_work(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("users: [{token: s3cret\n", encoding="utf-8")
    with pytest.raises(InvalidOption) as raised:
        connect({"kubeconfig": str(path)})
    assert "Accepted: a file in YAML" in raised.value.message
    assert "s3cret" not in raised.value.message
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: []\nusers: []\ncontexts: []\n", "utf-8"
    )
    with pytest.raises(InvalidOption) as raised:
        connect({"kubeconfig": str(path), "context": "b"})
    assert raised.value.message.startswith("context: 'b' is not accepted. Accepted: a kubeconfig that names")
