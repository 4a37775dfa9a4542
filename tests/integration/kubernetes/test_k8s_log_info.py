"""k8s_log_info beside kubernetes.core.k8s_log, which reads one pod as kubectl does; and the examples of both."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.module_runs import defaults_of
from lab.play import ansible_playbook
from lab.ports import free_port

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes import client as cluster_client
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes import pod_logs
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_logs import Limits, read_logs
from ansible_collections.runbook.ops.plugins.modules import k8s_log_info, k8s_volume_claim

pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
MakePod = Callable[..., dict[str, Any]]
CRASHED = {"restartCount": 3, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}
WAITING = {"state": {"waiting": {"reason": "ContainerCreating"}}}
SECRETS = ("hunter2", "kim@example.com")


def make_deployment(api: KubernetesApi, namespace: str, name: str) -> None:
    selector = {
        "matchLabels": {"app": name},
        "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}],
    }
    api.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"replicas": 3, "selector": selector, "template": {"metadata": {"labels": {"app": name}}}},
            "status": {"replicas": 3},
        }
    )


def make_api(api: KubernetesApi, make_pod: MakePod, namespace: str) -> None:
    """Three pods of a deployment, of which the first is well, the second was restarted and the third waits."""
    name = "autoclip-api"
    make_deployment(api, namespace, name)
    labels = {"app": name}
    make_pod("api-a", {"app": {}}, labels=labels, namespace=namespace)
    make_pod("api-b", {"app": CRASHED, "proxy": {}}, labels=labels, namespace=namespace)
    make_pod("api-c", {"app": WAITING}, labels=labels, namespace=namespace)
    make_pod("api-x", {"app": {}}, labels={**labels, "tier": "x"}, namespace=namespace)
    make_pod("n8n-0", {"worker": {}}, labels={"app": "n8n"}, namespace=namespace)
    api.log(namespace, "api-a", "app", "INFO started\nINFO ready\n")
    errors = "".join(f"ERROR job {number} of kim@example.com failed, password=hunter2\n" for number in range(5))
    api.log(namespace, "api-b", "app", f"INFO again\n{errors}")
    api.log(namespace, "api-b", "app", "INFO starting\nFATAL out of memory\n", previous=True)
    api.log(namespace, "api-b", "proxy", "INFO listening\n")
    api.log(namespace, "api-x", "app", "ERROR of another workload\n")


def test_all_pods_and_the_run_before(
    run_module: RunModule, api: KubernetesApi, kubeconfig: Path, make_pod: MakePod, namespace: str
) -> None:
    make_api(api, make_pod, namespace)
    login = {"kubeconfig": str(kubeconfig), "namespace": namespace}
    workload = {**login, "kind": "deployment", "name": "autoclip-api"}
    result = run_module("k8s_log_info", {**workload, "since": "1h"})
    found = [(each["pod"], each["container"], each["previous"], each["error_count"]) for each in result["logs"]]
    assert found == [
        ("api-a", "app", False, 0),
        ("api-b", "app", False, 5),
        ("api-b", "app", True, 1),
        ("api-b", "proxy", False, 0),
        ("api-c", "app", False, None),
    ]
    assert [each["name"] for each in result["pods"]] == ["api-a", "api-b", "api-c"]
    assert result["errors"]["found_count"] == 6
    assert [(each["message"], each["count"]) for each in result["errors"]["top"]] == [
        ("ERROR job <n> of <hidden> failed, password=<hidden>", 5),
        ("FATAL out of memory", 1),
    ]
    assert (result["available"], result["complete"], result["changed"]) == (True, False, False)
    assert result["skipped_sections"] == [
        {
            "section": "logs",
            "reason": "api-c/app: it has not started (ContainerCreating)",
            "remedy": f"Look with kubectl describe pod api-c --namespace {namespace}.",
        }
    ]
    # Counted again with the official client, a container at a time.
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    for each in result["logs"][:4]:
        text = core.read_namespaced_pod_log(
            each["pod"], namespace, container=each["container"], previous=each["previous"]
        )
        assert (each["lines_read"], each["truncated"]) == (len(text.splitlines()), False), each
    # The secrets are in the logs, and nowhere in the result.
    assert [
        secret for secret in SECRETS if secret not in core.read_namespaced_pod_log("api-b", namespace, container="app")
    ] == []
    assert [secret for secret in SECRETS if secret in json.dumps(result)] == []
    assert result["logs"][1]["samples"][0]["text"].endswith("ERROR job 4 of <hidden> failed, password=<hidden>")

    # Limits keep the newest, and are told. What cannot be read does not hide the rest.
    api.fail("GET", "*/pods/api-a/log", 403, None)
    short = run_module("k8s_log_info", {**workload, "tail_lines": 2, "previous": False, "lines": 1})
    api.heal()
    by_name = {(each["pod"], each["container"]): each for each in short["logs"]}
    assert [by_name["api-b", "app"][name] for name in ("lines_read", "truncated_by", "error_count")] == [
        2,
        "tail_lines",
        2,
    ]
    assert [line.partition(" ")[2] for line in by_name["api-b", "app"]["lines"]] == [
        "ERROR job 4 of <hidden> failed, password=<hidden>"
    ]
    assert by_name["api-b", "proxy"]["truncated"] is False
    refused = next(each for each in short["skipped_sections"] if "api-a" in each["reason"])
    assert "get pods/log" in refused["reason"]
    assert refused["remedy"] == "Grant the user the verb get on pods/log in the namespace."


def test_what_is_not_there(run_module: RunModule, api: KubernetesApi, kubeconfig: Path, namespace: str) -> None:
    login = {"kubeconfig": str(kubeconfig), "namespace": namespace}
    gone = run_module("k8s_log_info", {**login, "kind": "job", "name": "import"})
    assert (gone["available"], gone["errors"], gone["logs"]) == (False, None, [])
    assert gone["reason"].startswith(f"jobs.batch import in namespace {namespace} is not there on {api.url}")
    down = run_module(
        "k8s_log_info", {"host": f"http://127.0.0.1:{free_port()}", "namespace": "a", "label_selector": "a"}
    )
    assert (down["available"], "cannot be reached" in down["reason"]) == (False, True)


def test_more_than_one_page_and_more_than_is_wanted(
    api: KubernetesApi, kubeconfig: Path, make_pod: MakePod, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within this process, so that a page can be small."""
    monkeypatch.setattr(cluster_client, "_PAGE", 2)
    for number in range(5):
        make_pod(f"web-{number}", {"app": {}, "log": {}}, labels={"app": "web"})
        api.log(namespace, f"web-{number}", "app", "x" * 1500 + "\nERROR last\n")
    api.requests.clear()
    defaults = defaults_of(k8s_log_info)
    login = {"kubeconfig": str(kubeconfig), "namespace": namespace, "label_selector": "app=web"}
    wanted = {"containers": ["app", "none"], "max_pods": 4, "max_bytes": 1024}
    result = read_logs({**defaults, **login, **wanted})
    assert len([each for each in api.requests if each.path.endswith("/pods")]) == 3
    assert [
        (each["pod"], each["truncated_by"], each["lines_read"], each["error_count"]) for each in result["logs"]
    ] == [(f"web-{number}", "max_bytes", 1, 1) for number in range(4)]
    assert [(each["section"], each["reason"]) for each in result["skipped_sections"]] == [
        ("pods", "5 pods were found, and the first 4 were read"),
        ("containers", "no pod has a container none"),
    ]
    # The time is up before anything is read: unknown, not empty.
    monkeypatch.setattr(pod_logs, "Limits", lambda lines, size, _deadline: Limits(lines, size, 0.0))
    late = read_logs({**defaults, **login})
    assert {each["reason"] for each in late["logs"]} == {"timeout (120 s) is reached"}
    assert {each["error_count"] for each in late["logs"]} == {None}
    assert late["complete"] is False


PLAY = """
- name: Run examples
  hosts: localhost
  gather_facts: false
  module_defaults:
    group/runbook.ops.k8s: &login
      kubeconfig: "{{ kubeconfig }}"
    group/kubernetes.core.k8s: *login
  tasks:
    - name: Read as everybody does
      kubernetes.core.k8s_log:
        api_version: apps/v1
        kind: Deployment
        namespace: autoclip
        name: autoclip-api
      register: one_pod
"""
HAND_OVER = """
- name: Hand the outcome to the test
  ansible.builtin.copy:
    dest: "{{ outcome }}"
    mode: "0600"
    content: "{{ {'one_pod': one_pod.log, 'api': api, 'volume': volume} | to_json }}"
"""


def test_the_examples_and_the_old_way(api: KubernetesApi, kubeconfig: Path, make_pod: MakePod, tmp_path: Path) -> None:
    """One pod is what kubectl logs deployment/name and kubernetes.core.k8s_log read: the one that is well."""
    make_api(api, make_pod, "autoclip")
    api.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "postgres-pvc", "namespace": "storebridge"},
            "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "100Gi"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "100Gi"}},
        }
    )
    [play] = yaml.safe_load(PLAY)
    for module in (k8s_log_info, k8s_volume_claim):
        play["tasks"] += yaml.safe_load(module.EXAMPLES)
    play["tasks"] += yaml.safe_load(HAND_OVER)
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    python = f"ansible_python_interpreter={sys.executable}"
    outcome = tmp_path / "outcome.json"
    places = f"kubeconfig={kubeconfig} outcome={outcome}"
    completed = ansible_playbook(tmp_path, "-i", "localhost,", "-c", "local", "play.yml", "-e", python, "-e", places)
    assert completed.returncode == 0, completed.stdout
    assert "api-b/app: 5 errors" in completed.stdout
    results = json.loads(outcome.read_text(encoding="utf-8"))
    assert results["one_pod"] == "INFO started\nINFO ready\n"
    assert results["api"]["errors"]["found_count"] == 6
    assert results["volume"]["changed"] is True
    claim = api.get("PersistentVolumeClaim", "storebridge", "postgres-pvc")
    assert claim["status"]["capacity"]["storage"] == claim["spec"]["resources"]["requests"]["storage"] == "200Gi"
