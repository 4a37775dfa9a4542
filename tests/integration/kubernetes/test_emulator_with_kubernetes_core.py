"""kubernetes.core's modules, as they are published, against the emulator: what others' playbooks do works there."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.kubernetes import KubernetesApi
from lab.kubernetes.contract import deployment, until
from lab.play import ansible_playbook

pytestmark = pytest.mark.emulator_only


def task(register: str, module: str, **options: Any) -> dict[str, Any]:
    return {"name": register, f"kubernetes.core.{module}": options, "register": register}


def shop(**metadata: Any) -> dict[str, Any]:
    made: dict[str, Any] = deployment("web")
    made["metadata"] |= {"namespace": "shop", **metadata}
    made["spec"]["replicas"] = 2
    return made


def test_its_modules_work_unchanged(tmp_path: Path) -> None:
    web = {"api_version": "apps/v1", "kind": "Deployment", "name": "web", "namespace": "shop"}
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}}
    ready = {"kind": "Pod", "namespace": "shop", "label_selectors": ["app=web"]}
    ready["field_selectors"] = ["status.phase=Running"]
    pod = "{{ pods.resources[0].metadata.name }}"
    tasks = [
        task("place", "k8s", state="present", kind="Namespace", name="shop", api_version="v1"),
        task("made", "k8s", state="present", definition=shop(), wait=True, wait_timeout=240, wait_sleep=1),
        task("again", "k8s", state="present", definition=shop()),
        task("merged", "k8s", state="patched", merge_type="merge", definition={
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"tier": "front"}}}),
        task("applied", "k8s", apply=True, definition={**data, "data": {"a": "1", "b": "2"}}),
        task("reapplied", "k8s", apply=True, definition={**data, "data": {"a": "1"}}),
        task("unchanged", "k8s", apply=True, definition={**data, "data": {"a": "1"}}),
        task("served", "k8s", apply=True, server_side_apply={"field_manager": "core"},
             definition={**data, "metadata": {"name": "served", "namespace": "shop"}, "data": {"a": "1"}}),
        task("pods", "k8s_info", **ready),
        task("patched", "k8s_json_patch", **web, patch=[
            {"op": "add", "path": "/metadata/annotations/patched", "value": "yes"}]),
        task("scaled", "k8s_scale", **web, replicas=3, wait_timeout=240),
        task("log", "k8s_log", namespace="shop", name=pod, container="app"),
        task("ran", "k8s_exec", namespace="shop", pod=pod, command="cat /etc/hostname"),
        task("drained", "k8s_drain", name="{{ pods.resources[0].spec.nodeName }}", state="drain",
             delete_options={"force": True, "ignore_daemonsets": True, "terminate_grace_period": 1}),
        task("open", "k8s_drain", name="{{ pods.resources[0].spec.nodeName }}", state="uncordon"),
        task("gone", "k8s", state="absent", api_version="v1", kind="ConfigMap", name="settings", namespace="shop",
             wait=True, wait_timeout=240),
        task("nothing", "k8s_info", api_version="v1", kind="ConfigMap", name="settings", namespace="shop"),
        {
            "name": "What came out",
            "ansible.builtin.copy": {"dest": str(tmp_path / "results.json"), "content": "{{ results | to_json }}"},
            "vars": {"results": {name: f"{{{{ {name} }}}}" for name in (
                "made", "again", "merged", "applied", "reapplied", "unchanged", "served", "pods", "patched", "scaled",
                "log", "ran", "drained", "gone", "nothing")}},
        },
    ]  # fmt: skip
    with KubernetesApi(token="core") as api:
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
        api.execute("shop", "web-*", lambda session: f"{' '.join(session.command)}\n")
        play = {
            "name": "As published",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"ansible_python_interpreter": sys.executable},
            "tasks": tasks,
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        place = {"K8S_AUTH_KUBECONFIG": str(kubeconfig)}
        run = ansible_playbook(tmp_path, "-i", "localhost,", "-c", "local", "play.yml", environment=place, timeout=600)
        assert run.returncode == 0, run.stdout[-4000:]
        results = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
        asked = ("pods", "nothing", "log")
        changed = {name: result["changed"] for name, result in results.items() if name not in asked}
        assert [name for name, did in changed.items() if not did] == ["again", "unchanged"]
        assert results["made"]["result"]["status"]["availableReplicas"] == 2
        assert results["reapplied"]["result"]["data"] == {"a": "1"}
        assert len(results["pods"]["resources"]) == 2
        assert (results["ran"]["stdout"], results["ran"]["rc"]) == ("cat /etc/hostname\n", 0)
        assert "log" in results["log"]
        assert results["nothing"]["resources"] == []
        found = api.get("Deployment", "shop", "web")
        assert (found["spec"]["replicas"], found["metadata"]["labels"]["tier"]) == (3, "front")
        assert found["metadata"]["annotations"]["patched"] == "yes"
        before = {each["metadata"]["name"] for each in results["pods"]["resources"]}

        def moved() -> bool:
            names = {each["metadata"]["name"] for each in api.list("Pod", "shop")}
            return len(names) == 3 and not names & before

        until(moved)
