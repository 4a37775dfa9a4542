"""The connection options: argument spec, documentation and modules say the same, and what cannot work is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.doc_fragments.kubernetes import ModuleDocFragment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.options import kubernetes_argument_spec
from ansible_collections.runbook.ops.plugins.modules import (
    k8s_deployment_copy,
    k8s_health_info,
    k8s_image,
    k8s_log_info,
    k8s_maintenance,
    k8s_park,
    k8s_pod_cleanup,
    k8s_rbac_info,
    k8s_rollout,
    k8s_rollout_info,
    k8s_scale,
    k8s_secret,
    k8s_switch,
    k8s_volume_claim,
)

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


def documented_by(module: Any) -> dict[str, Any]:
    """The module's own options, and those of the parts of the fragment that it names."""
    documentation = yaml.safe_load(module.DOCUMENTATION)
    options: dict[str, Any] = {}
    for name in documentation["extends_documentation_fragment"]:
        if name.startswith("runbook.ops.kubernetes."):
            part = getattr(ModuleDocFragment, name.rpartition(".")[2].upper())
            options.update(yaml.safe_load(part)["options"])
    return {**options, **documentation["options"]}


@pytest.mark.parametrize(
    "module",
    [
        k8s_deployment_copy,
        k8s_health_info,
        k8s_image,
        k8s_log_info,
        k8s_maintenance,
        k8s_park,
        k8s_pod_cleanup,
        k8s_rbac_info,
        k8s_rollout,
        k8s_rollout_info,
        k8s_scale,
        k8s_secret,
        k8s_switch,
        k8s_volume_claim,
    ],
    ids=lambda module: module.__name__[-12:],
)
def test_modules_document_what_they_take(module: Any) -> None:
    documented = documented_by(module)
    shared = SPEC if "runbook.ops.guards" not in module.DOCUMENTATION else {**SPEC, **guard_argument_spec()}
    own = {name: option for name, option in module.argument_spec().items() if name not in shared}
    assert set(documented) == set(own)
    for name, option in own.items():
        for key in ("type", "default", "choices", "required"):
            assert documented[name].get(key) == option.get(key), (name, key)


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
