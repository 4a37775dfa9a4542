"""What the inventories say about clusters, as Ansible reads it, against the specifications of the roles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from lab.inventories import rendered
from lab.paths import REPOSITORY

ROLES = (
    "check_kubernetes",
    "check_logs",
    "deploy_kubernetes",
    "disk_cleanup",
    "incident_response",
    "maintenance_mode",
    "backup",
)
WANTED = "|".join((*ROLES, "kubernetes", "queue_operations"))
HOSTS = {
    "storebridge": {"storebridge-prod": "kubernetes", "storebridge-redis": "redis"},
    "autoclip": {"autoclip-cluster": "kubernetes", "autoclip-redis": "redis"},
}


def specification(role: str) -> dict[str, Any]:
    path = REPOSITORY / "roles" / role / "meta" / "argument_specs.yml"
    options = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
    # Defaults are templates, and no values to look for in the output.
    return {
        name: {key: each[key] for key in each if key not in ("default", "no_log")} for name, each in options.items()
    }


@pytest.mark.parametrize("system", HOSTS)
def test_roles_accept_what_the_inventory_says(system: str, tmp_path: Path) -> None:
    environment = {f"{system.upper()}_KUBECONFIG": f"/etc/{system}.conf"}
    found = rendered(system, tmp_path, hosts=",".join(HOSTS[system]), wanted=WANTED, environment=environment)
    assert set(found) == set(HOSTS[system])
    for host, group in HOSTS[system].items():
        for role in (*ROLES, *(["queue_operations"] if group == "redis" else [])):
            # backup_verification_... is another role's.
            longer = tuple(f"{path.name}_" for path in REPOSITORY.glob(f"roles/{role}_*"))
            given = {
                name: value
                for name, value in found[host].items()
                if name.startswith(f"{role}_") and not name.startswith(longer)
            }
            options = specification(role)
            assert set(given) <= set(options), host
            result = ArgumentSpecValidator(options).validate(given)
            assert result.error_messages == [], host
        if group == "kubernetes":
            assert found[host]["kubernetes_kubeconfig"] == f"/etc/{system}.conf"
            assert found[host]["kubernetes_context"] == f"{system}-prod"
    text = str(found)
    assert "{{" not in text
    if system == "storebridge":
        login = found["storebridge-redis"]["queue_operations_kubernetes_login"]
        assert login == {"kubeconfig": f"/etc/{system}.conf", "context": "storebridge-prod"}
