"""deploy_kubernetes looks for its image before anything is touched, and releases by the digest that it found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.kubernetes import KubernetesApi
from lab.kubernetes.releases import GOOD, deployment, images_in, wait_until_available
from lab.play import ansible_playbook
from lab.ports import free_port
from lab.process import eventually
from lab.registry import PASSWORD, RegistryServer

pytestmark = pytest.mark.xdist_group("kubernetes")


@pytest.fixture(scope="module")
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def reasons(api: KubernetesApi, namespace: str) -> set[str]:
    """What the pods of a namespace wait for."""
    pods = api.list("pods", namespace)
    found = [each for pod in pods for each in (pod.get("status") or {}).get("containerStatuses") or ()]
    return {str(((each.get("state") or {}).get("waiting") or {}).get("reason")) for each in found}


def test_images_are_proven_before_anything_is_touched(
    api: KubernetesApi, kubeconfig: Path, namespace: str, registry: RegistryServer, tmp_path: Path
) -> None:
    """A tag becomes a digest; a missing image, the wrong platform and a silent registry are refused before a change."""
    digest = registry.push_index("shop/web", ["linux/amd64", "linux/arm64"], "1.4")
    registry.push_image("arm/web", "linux/arm64", "1.4")
    nobody = f"127.0.0.1:{free_port()}"
    pinned, elsewhere = f"{registry.name}/shop/web@{digest}", f"{nobody}/shop/web@{digest}"
    hosts: dict[str, dict[str, Any]] = {
        "tagged": {"image": f"{registry.name}/shop/web:1.4", "deploy_kubernetes_pin_digest": True},
        "missing": {"image": f"{registry.name}/bad-image/web:9", "deploy_kubernetes_pin_digest": True},
        "platform": {"image": f"{registry.name}/arm/web:1.4", "deploy_kubernetes_pin_digest": True},
        "silent": {"image": elsewhere},
        "warned": {"image": elsewhere, "deploy_kubernetes_unknown_image": "warn"},
    }
    for name in (*hosts, "manual"):
        api.create(deployment(f"{namespace}-{name}", "web", sidecar_first=False))
    for name, variables in hosts.items():
        wait_until_available(api, f"{namespace}-{name}", "web")
        variables["kubernetes_namespace"] = f"{namespace}-{name}"

    # The manual's way: the API takes any name, and the pods find out.
    [container, *others] = api.get("Deployment", f"{namespace}-manual", "web")["spec"]["template"]["spec"]["containers"]
    containers = [{**container, "image": hosts["missing"]["image"]}, *others]
    taken = api.change(
        "Deployment", f"{namespace}-manual", "web", {"spec": {"template": {"spec": {"containers": containers}}}}
    )
    assert images_in(taken)["web"] == hosts["missing"]["image"]
    eventually(
        lambda: bool(reasons(api, f"{namespace}-manual") & {"ErrImagePull", "ImagePullBackOff"}), "a pod cannot pull"
    )

    shared = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "kubernetes_kubeconfig": str(kubeconfig),
        "deploy_kubernetes_workloads": [{"name": "web", "containers": ["web"]}],
        "deploy_kubernetes_registry": {
            "insecure_registries": [registry.name, nobody],
            "credentials": [{"registry": nobody, "username": "deploy", "password": PASSWORD}],
        },
        "deploy_kubernetes_wait_sleep": 0.2,
        "deploy_kubernetes_wait_timeout": 240,
        "deploy_kubernetes_watch": "0.2s",
        "deploy_kubernetes_watch_interval": 0.2,
    }
    inventory = {"all": {"children": {"kubernetes": {"hosts": hosts, "vars": shared}}}}
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory))
    command = ["-i", "inventory.yml", "runbook.ops.deploy_app", "-e", "deploy_app_serial=5"]
    played = ansible_playbook(tmp_path, *command, "-vvv")
    assert played.returncode == 2, played.stdout
    assert PASSWORD not in played.stdout
    now = {name: images_in(api.get("Deployment", f"{namespace}-{name}", "web"))["web"] for name in hosts}
    untouched = dict.fromkeys(("missing", "platform", "silent"), GOOD)
    assert now == {"tagged": pinned, **untouched, "warned": elsewhere}, played.stdout
    assert [api.get("Deployment", f"{namespace}-{name}", "web")["metadata"]["generation"] for name in untouched] == [
        1
    ] * 3
    found = json.loads((tmp_path / "runbook-report-deployment" / "findings.json").read_text(encoding="utf-8"))
    bad = {(each["host"], each["id"]): each["summary"] for each in found if each["severity"] != "ok"}
    assert set(bad) == {
        *((name, "deploy_kubernetes.failed") for name in untouched),
        ("warned", "deploy_kubernetes.unproven"),
    }, bad
    parts = {
        ("missing", "failed"): f"There is no image {hosts['missing']['image']}: {registry.name} has no repository",
        ("platform", "failed"): "it is made for linux/arm64, and not for linux/amd64",
        ("silent", "failed"): "It is not known whether there is an image",
        ("warned", "unproven"): "refused the connection",
    }
    for (host, rule), part in parts.items():
        assert part in bad[host, f"deploy_kubernetes.{rule}"], bad
    changes = json.loads((tmp_path / "runbook-report-deployment" / "changes.json").read_text(encoding="utf-8"))
    assert sorted(each["host"] for each in changes if each["status"] == "done") == ["tagged", "warned"]

    # The tag means the same, so that nothing is left to do.
    again = ansible_playbook(tmp_path, *command, "-e", "targets=tagged")
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout
    assert images_in(api.get("Deployment", f"{namespace}-tagged", "web"))["web"] == pinned
