"""volume_full as the engineer on call answers it: what is full grows by its claim, as far as it was declared."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.play import ansible_playbook
from lab.process import eventually

pytestmark = pytest.mark.xdist_group("kubernetes")

GIBIBYTE = 1024**3
USED = {"postgres-pvc": 93, "images": 91, "spare": 20}


def claims(api: KubernetesApi, namespace: str) -> None:
    """Three claims of ten gibibytes, mounted by three pods, of which the kubelet tells how full they are."""
    figures = []
    node = f"node-of-{namespace}"
    for name, percent in USED.items():
        resources = {"requests": {"storage": "10Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": resources}
        metadata = {"name": name, "namespace": namespace}
        api.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": name}}
        container = {"name": "app", "restartCount": 0, "ready": True, "state": {"running": {}}}
        ready = {"type": "Ready", "status": "True"}
        pod = api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"{name}-0", "namespace": namespace},
                "spec": {"nodeName": node, "containers": [{"name": "app"}], "volumes": [volume]},
                "status": {"phase": "Running", "conditions": [ready], "containerStatuses": [container]},
            }
        )
        used = 10 * GIBIBYTE * percent // 100
        figures.append(
            {
                "podRef": {"name": f"{name}-0", "namespace": namespace, "uid": pod["metadata"]["uid"]},
                "volume": [
                    {
                        "name": "data",
                        "pvcRef": {"name": name, "namespace": namespace},
                        "capacityBytes": 10 * GIBIBYTE,
                        "usedBytes": used,
                        "availableBytes": 10 * GIBIBYTE - used,
                    }
                ],
            }
        )
    api.answer(f"/api/v1/nodes/{node}/proxy/stats/summary", {"node": {"nodeName": node}, "pods": figures})

    def bound() -> bool:
        found = [api.get("PersistentVolumeClaim", namespace, name) for name in USED]
        return all((each.get("status") or {}).get("phase") == "Bound" for each in found)

    eventually(bound, "bound claims")


def sizes(kubeconfig: Path, namespace: str) -> dict[str, str]:
    """What each claim has, by the official client."""
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    found = core.list_namespaced_persistent_volume_claim(namespace).items
    return {each.metadata.name: each.status.capacity["storage"] for each in found}


def test_volume_full(api: KubernetesApi, kubeconfig: Path, namespace: str, tmp_path: Path) -> None:
    claims(api, namespace)
    declared = [{"name": name, "size": "20Gi"} for name in ("postgres-pvc", "images", "spare")]
    host = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "runbook_system": "shop",
        # All of a login counts, not only a file.
        "incident_response_kubernetes_login": {"host": api.url, "api_key": api.token},
        "kubernetes_namespace": namespace,
        "incident_response_remedy_options": {"volume_full": {"claims": declared}},
    }
    (tmp_path / "inventory.yml").write_text(json.dumps({"kubernetes": {"hosts": {"cluster": host}}}), encoding="utf-8")

    def respond(*arguments: str) -> dict[str, Any]:
        command = ("-i", "inventory.yml", "runbook.ops.respond_incident", "-e", "incident=volume_full", *arguments)
        completed = ansible_playbook(tmp_path, *command)
        assert completed.returncode == 0, completed.stdout
        (folder,) = (tmp_path / "runbook-incidents").iterdir()
        told: dict[str, Any] = json.loads((folder / "timeline-cluster.json").read_text(encoding="utf-8"))
        folder.rename(tmp_path / f"kept-{len(list(tmp_path.glob('kept-*')))}")
        return told

    planned = respond()
    grows = [{"action": "grow", "claim": f"{namespace}/postgres-pvc", "from": "10Gi", "to": "20Gi"}]
    assert planned["remedy"]["actions"] == grows
    assert sizes(kubeconfig, namespace) == dict.fromkeys(USED, "10Gi")
    full = {each["object"]: each["severity"] for each in planned["found"] if each["id"] == "incident.volume"}
    assert full == {f"{namespace}/postgres-pvc": "warning", f"{namespace}/images": "warning"}

    done = respond("-e", "incident_response_apply=true", "-e", "confirm=shop")
    assert done["remedy"]["actions"] == grows
    assert done["failures"] == []
    # One at a time, the fullest first; what has room does not grow although it may.
    assert [each["object"] for each in done["remedy"]["refused"]] == ["images"]
    assert sizes(kubeconfig, namespace) == {"postgres-pvc": "20Gi", "images": "10Gi", "spare": "10Gi"}
