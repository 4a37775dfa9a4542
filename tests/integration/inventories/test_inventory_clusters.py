"""What the inventories say about clusters, as Ansible reads it: whoever works there knows which one."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab.inventories import rendered

WANTED = "kubernetes|queue_operations"
HOSTS = {
    "storebridge": {"storebridge-prod": "kubernetes", "storebridge-redis": "redis"},
    "autoclip": {"autoclip-cluster": "kubernetes", "autoclip-redis": "redis"},
}


@pytest.mark.parametrize("system", HOSTS)
def test_the_cluster_is_named_completely(system: str, tmp_path: Path) -> None:
    environment = {f"{system.upper()}_KUBECONFIG": f"/etc/{system}.conf"}
    found = rendered(system, tmp_path, hosts=",".join(HOSTS[system]), wanted=WANTED, environment=environment)
    assert set(found) == set(HOSTS[system])
    for host, group in HOSTS[system].items():
        if group == "kubernetes":
            assert found[host]["kubernetes_kubeconfig"] == f"/etc/{system}.conf"
            assert found[host]["kubernetes_context"] == f"{system}-prod"
    text = str(found)
    assert "{{" not in text
    if system == "storebridge":
        login = found["storebridge-redis"]["queue_operations_kubernetes_login"]
        assert login == {"kubeconfig": f"/etc/{system}.conf", "context": "storebridge-prod"}
