"""Health of a namespace of 2,000 pods: k8s_health_info beside the transfer alone, kubectl, and kubernetes.core.

C(BENCH_PODS) (2000) is the number of pods, of which one in fifty is unwell; C(BENCH_ROUNDS) (3) that of rounds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from lab.bench import Command, alternate, environment, median, ratio
from lab.kubernetes import KubernetesApi
from lab.kubernetes.systems.building import Place
from lab.kubernetes.systems.parts import Workload
from lab.kubernetes.systems.statuses import PodPlan, crashing, out_of_memory, unready, well, without_image
from lab.paths import BUILD

PODS = int(os.environ.get("BENCH_PODS", "2000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
OF_A_WORKLOAD = 40
SHOP = "shop"
NODES = tuple(f"node-{number:02d}" for number in range(40))
ENVIRONMENT = [{"name": f"SETTING_{number}", "value": "x" * 30} for number in range(15)]
# What every object drags along, unless it is asked not to.
FIELDS: dict[str, Any] = {f"f:setting_{number}": {".": {}, "f:name": {}, "f:value": {}} for number in range(25)}
KINDS = (
    ("v1", "Pod", "pods"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("batch/v1", "Job", "jobs"),
    ("batch/v1", "CronJob", "cronjobs"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "hpa"),
    ("v1", "PersistentVolumeClaim", "pvc"),
    ("cert-manager.io/v1", "Certificate", "certificates"),
    ("v1", "Event", "events"),
    ("v1", "Node", "nodes"),
)
FETCH = """
import json, sys, urllib.request
for address in json.load(open(sys.argv[1])):
    with urllib.request.urlopen(address) as answer:
        answer.read()
"""


def plans(workload: str, now: datetime, number: int) -> Iterator[PodPlan]:
    """Pods of one workload; every fiftieth of all is unwell, in a way that alternates."""
    ways = (
        lambda name, node: crashing(name, now, node),
        lambda name, node: out_of_memory(name, now, node),
        lambda name, node: unready(name, now - timedelta(hours=1), node, "Readiness probe failed: statuscode: 503"),
        lambda name, node: without_image(name, node, "registry.example/shop:typo"),
    )
    for each in range(number * OF_A_WORKLOAD, (number + 1) * OF_A_WORKLOAD):
        name, node = f"{workload}-6d4f9c8b57-{each:05d}", NODES[each % len(NODES)]
        if each % 50:
            yield well(name, now - timedelta(days=1), node)
        else:
            yield ways[each // 50 % len(ways)](name, node)


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubernetesApi]:
    with KubernetesApi(controllers=()) as api:
        place = Place(api, SHOP, NODES, datetime.now(timezone.utc).replace(microsecond=0))
        for number in range(PODS // OF_A_WORKLOAD):
            name = f"workload-{number:02d}"
            workload = Workload(name, "registry.example/shop:1.4.2", OF_A_WORKLOAD, port=8000, env=ENVIRONMENT)
            place.plant(workload, list(plans(name, place.now, number)))
            place.autoscaler(name, name, (10, 60), OF_A_WORKLOAD, 40)
            if number % 5 == 0:
                place.certificate(name, f"{name}.example", 60)
        for pod in api.list("Pod", SHOP):
            managed = [{"manager": "kubelet", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": FIELDS}]
            api.change("Pod", SHOP, pod["metadata"]["name"], {"metadata": {"managedFields": managed}})
        yield api


def requests_of(api: KubernetesApi, command: Command, cwd: Path) -> list[str]:
    """The addresses that a command asks for, in its order."""
    subprocess.run(command, cwd=cwd, env=environment(), check=True, capture_output=True)  # fills its caches
    api.requests.clear()
    subprocess.run(command, cwd=cwd, env=environment(), check=True, capture_output=True)
    found = []
    for each in list(api.requests):
        query = "&".join(f"{name}={value}" for name, value in each.query.items())
        found.append(f"{api.url}{each.path}" + (f"?{query}" if query else ""))
    return found


def script(path: Path, lines: Sequence[Sequence[str]]) -> list[str]:
    """A shell script of commands, one process each; it ends with the first that fails."""
    path.write_text("set -eu\n" + "".join(f"{' '.join(line)} >/dev/null\n" for line in lines), encoding="utf-8")
    return ["sh", str(path)]


def kubectl_commands(api: KubernetesApi, kubeconfig: Path, cache: Path) -> dict[str, list[list[str]]]:
    """What the manuals type in the morning, and what tells the reasons: describe, for each pod that is unwell."""
    base = ["kubectl", f"--kubeconfig={kubeconfig}", f"--cache-dir={cache}"]
    lists = [[*base, "get", name, f"--namespace={SHOP}"] for _version, _kind, name in KINDS[:-1]]
    lists.append([*base, "get", "nodes", "-o", "wide"])
    unwell = [
        pod["metadata"]["name"]
        for pod in api.list("Pod", SHOP)
        if not all(each["ready"] for each in pod["status"].get("containerStatuses", []))
    ]
    describes = [[*base, "describe", "pod", f"--namespace={SHOP}", name] for name in unwell]
    return {"kubectl": lists, "kubectl with reasons": lists + describes}


def plays(place: Path, kubeconfig: Path) -> Mapping[str, Command]:
    """The same facts by one module of ours and by one task a kind."""
    python = {"ansible_python_interpreter": sys.executable}
    ours: Any = {"runbook.ops.k8s_health_info": {"kubeconfig": str(kubeconfig), "namespaces": [SHOP]}}
    tasks = [
        {
            "kubernetes.core.k8s_info": {
                "kubeconfig": str(kubeconfig),
                "api_version": version,
                "kind": kind,
                **({} if kind == "Node" else {"namespace": SHOP}),
            }
        }
        for version, kind, _name in KINDS
    ]
    commands = {}
    for name, content in (("role", [ours]), ("k8s_info", tasks)):
        play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": python, "tasks": content}
        (place / f"{name}.yml").write_text(json.dumps([play]), encoding="utf-8")
        commands[name] = ["ansible-playbook", "-i", "localhost,", str(place / f"{name}.yml")]
    return commands


def test_kubernetes_health(cluster: KubernetesApi, tmp_path: Path, table: Callable[..., Any]) -> None:
    kubeconfig = cluster.kubeconfig(tmp_path / "kubeconfig", namespace=SHOP)
    arguments = tmp_path / "arguments.json"
    given = {"kubeconfig": str(kubeconfig), "namespaces": [SHOP]}
    arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": given}), encoding="utf-8")
    name = "ansible_collections.runbook.ops.plugins.modules.k8s_health_info"
    search = f"PYTHONPATH={BUILD / 'collections'}"
    commands: dict[str, Command] = {"module": ["env", search, sys.executable, "-m", name, str(arguments)]}
    asked = {"module": requests_of(cluster, commands["module"], tmp_path)}
    addresses = tmp_path / "addresses.json"
    addresses.write_text(json.dumps(asked["module"]), encoding="utf-8")
    (tmp_path / "fetch.py").write_text(FETCH, encoding="utf-8")
    commands["transfer"] = [sys.executable, str(tmp_path / "fetch.py"), str(addresses)]
    if shutil.which("kubectl"):
        for title, lines in kubectl_commands(cluster, kubeconfig, tmp_path / "cache").items():
            commands[title] = script(tmp_path / f"{title}.sh", lines)
    commands |= plays(tmp_path, kubeconfig)
    for title in commands:
        asked[title] = requests_of(cluster, commands[title], tmp_path)
    assert len(asked["module"]) <= 10

    size = sum(len(urllib.request.urlopen(address).read()) for address in asked["module"])
    taken = alternate(commands, tmp_path, ROUNDS)
    title = f"Health of a namespace with {PODS} pods, {size / 1_000_000:.0f} MB"
    rows = table(title, "what", "API requests", "median wall time", "beside the transfer")
    for title, words in (
        ("transfer", "the same lists fetched and thrown away (urllib)"),
        ("module", "k8s_health_info, its process alone"),
        ("role", "k8s_health_info, by ansible-playbook"),
        ("k8s_info", f"kubernetes.core.k8s_info, {len(KINDS)} tasks of ansible-playbook, nothing judged"),
        ("kubectl", f"kubectl get, {len(KINDS)} processes, no reasons"),
        ("kubectl with reasons", f"kubectl get, and describe of the {PODS // 50} pods that are unwell"),
    ):
        if title in commands:
            compared = ratio(taken[title], taken["transfer"])
            rows.add(words, str(len(asked[title])), median(taken[title]), compared)
        else:
            rows.add(words, "kubectl is not installed", "", "")
