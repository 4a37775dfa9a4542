"""k8s_backup and the part C(kubernetes) of the role backup: an export is applied to an empty cluster and compared."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.dynamic.client import DynamicClient
from lab.kubernetes import KubernetesApi
from lab.kubernetes.module_runs import kill_module, run_here
from lab.play import ansible_playbook, run_role

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.backup import take_backup
from ansible_collections.runbook.ops.plugins.modules import k8s_backup

pytestmark = pytest.mark.xdist_group("kubernetes")

RunModule = Callable[..., dict[str, Any]]
SECRET = "Sw0rdfish-of-the-shop"
ENCODED = base64.b64encode(SECRET.encode()).decode()
PATTERN = "shop-%Y%m%d-%H%M%S.yaml"


def _object(api_version: str, kind: str, name: str, namespace: str | None = "shop", **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": namespace} if namespace else {}), **more.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


def _rbac(kind: str, name: str, namespace: str | None = "shop", **more: Any) -> dict[str, Any]:
    return _object("rbac.authorization.k8s.io/v1", kind, name, namespace, **more)


def planted() -> list[dict[str, Any]]:
    """A shop as it is in its cluster; what nobody wanted by hand comes last."""
    pod = {
        "metadata": {"labels": {"app": "api"}},
        "spec": {
            "serviceAccountName": "api",
            "containers": [
                {
                    "name": "app",
                    "image": "registry.example.com/api:1.4.2",
                    "env": [
                        {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
                    ],
                }
            ],
        },
    }
    selector = {"matchLabels": {"app": "api"}}
    account = [{"kind": "ServiceAccount", "name": "api", "namespace": "shop"}]
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    group = "rbac.authorization.k8s.io"
    owned = {
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "x", "uid": "1", "controller": True}
        ]
    }
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    return [
        _object("v1", "Namespace", "shop", None, metadata={"labels": {"team": "shop"}}),
        _object("v1", "ServiceAccount", "api"),
        _rbac("Role", "api", rules=rules),
        _rbac("RoleBinding", "api", roleRef={"apiGroup": group, "kind": "Role", "name": "api"}, subjects=account),
        _rbac("ClusterRole", "shop-nodes", None, rules=rules),
        _rbac(
            "ClusterRoleBinding",
            "shop-nodes",
            None,
            roleRef={"apiGroup": group, "kind": "ClusterRole", "name": "shop-nodes"},
            subjects=account,
        ),
        _object(
            "networking.k8s.io/v1", "NetworkPolicy", "closed", spec={"podSelector": {}, "policyTypes": ["Ingress"]}
        ),
        # Text that programs in Go take for a number or a boolean unless it is in quotes.
        _object("v1", "ConfigMap", "settings", data={"LOG_LEVEL": "info", "COMMIT": "12e4567", "ANSWER": "y"}),
        _object("v1", "Secret", "db", type="Opaque", data={"password": ENCODED, "user": ENCODED}),
        _object(
            "v1",
            "PersistentVolumeClaim",
            "data",
            metadata={"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            spec={
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "fast",
                "resources": {"requests": {"storage": "5Gi"}},
            },
        ),
        _object("v1", "Service", "api", spec={"selector": {"app": "api"}, "ports": [{"port": 80, "targetPort": 8080}]}),
        _object("apps/v1", "Deployment", "api", spec={"replicas": 0, "selector": selector, "template": pod}),
        _object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "api",
            spec={"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5},
        ),
        _object("policy/v1", "PodDisruptionBudget", "api", spec={"minAvailable": 1, "selector": selector}),
        _object(
            "networking.k8s.io/v1",
            "Ingress",
            "api",
            spec={"defaultBackend": {"service": {"name": "api", "port": {"number": 80}}}},
        ),
        _object(
            "batch/v1",
            "CronJob",
            "nightly",
            spec={
                "schedule": "0 2 * * *",
                "jobTemplate": {"spec": {"template": pod | {"spec": pod["spec"] | {"restartPolicy": "Never"}}}},
            },
        ),
        _object("v1", "ConfigMap", "kube-root-ca.crt", data={"ca.crt": "x"}),
        _object("v1", "Secret", "api-token", type="kubernetes.io/service-account-token", data={"token": ENCODED}),
        _object("v1", "ConfigMap", "leader", metadata=owned, data={"a": "b"}),
        # Of another system.
        _rbac("ClusterRole", "theirs", None, rules=rules),
        _object("v1", "ConfigMap", "theirs", "other", data={"a": "b"}),
    ]


KEPT = 16


class Cluster:
    """An API server with a kubeconfig."""

    def __init__(self, api: KubernetesApi, directory: Path) -> None:
        self.api = api
        self.kubeconfig = api.kubeconfig(directory / f"kubeconfig-{id(api)}")
        api.create(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": "fast"},
                "provisioner": "x",
            }
        )

    @property
    def login(self) -> dict[str, str]:
        return {"kubeconfig": str(self.kubeconfig)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with KubernetesApi() as api:
        cluster = Cluster(api, tmp_path_factory.mktemp("shop"))
        for each in planted():
            api.create(each)
        yield cluster


def back_up(cluster: Cluster, repository: Path, *, check_mode: bool = False, **options: Any) -> dict[str, Any]:
    given = {**cluster.login, "namespaces": ["shop"], "repository": str(repository), "name_pattern": PATTERN}
    return run_here(take_backup, k8s_backup, {**given, **options}, check_mode=check_mode)


def wanted(cluster: Cluster) -> dict[str, Any]:
    """What somebody wanted of the shop, read by the official client and without what a server fills in."""
    connection = config.new_client_from_config(str(cluster.kubeconfig))
    requests = DynamicClient(connection, discoverer=lambda *_: None)
    found = {}
    for path in (
        "/api/v1/namespaces",
        *(
            f"/api/v1/namespaces/shop/{each}"
            for each in ("serviceaccounts", "configmaps", "secrets", "services", "persistentvolumeclaims")
        ),
        *(f"/apis/rbac.authorization.k8s.io/v1/namespaces/shop/{each}" for each in ("roles", "rolebindings")),
        *(f"/apis/rbac.authorization.k8s.io/v1/{each}" for each in ("clusterroles", "clusterrolebindings")),
        "/apis/apps/v1/namespaces/shop/deployments",
        "/apis/batch/v1/namespaces/shop/cronjobs",
        "/apis/policy/v1/namespaces/shop/poddisruptionbudgets",
        "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers",
        *(f"/apis/networking.k8s.io/v1/namespaces/shop/{each}" for each in ("ingresses", "networkpolicies")),
    ):
        listed = json.loads(requests.request("get", path, serialize=False).data)
        for item in listed["items"]:
            name = item["metadata"]["name"]
            # The cluster itself puts these there.
            if name in {"default", "kube-system", "kube-root-ca.crt", "api-token", "leader", "theirs", "other"}:
                continue
            spec = dict(item.get("spec") or {})
            for field in ("clusterIP", "clusterIPs", "volumeName", "finalizers"):
                spec.pop(field, None)
            rest = {key: item[key] for key in ("data", "rules", "roleRef", "subjects") if key in item}
            found[f"{path}/{name}"] = {"spec": spec, "labels": item["metadata"].get("labels"), **rest}
    return found


def apply(cluster: Cluster, directory: Path, archive: Path) -> None:
    """By kubernetes.core, as the documentation says."""
    play = directory / "apply.yml"
    tasks = [
        {
            "name": "Apply",
            "kubernetes.core.k8s": {"kubeconfig": str(cluster.kubeconfig), "src": str(archive), "apply": True},
        }
    ]
    play.write_text(
        yaml.safe_dump(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "vars": {"ansible_python_interpreter": sys.executable},
                    "tasks": tasks,
                }
            ]
        )
    )
    done = ansible_playbook(directory, str(play))
    assert done.returncode == 0, done.stdout


def test_the_role_backs_up_what_an_empty_cluster_can_be_made_of(shop: Cluster, tmp_path: Path) -> None:
    """Encrypted with age, decrypted by its own program, applied by kubernetes.core, read by the official client."""
    key = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    repository, copies = tmp_path / "backups", tmp_path / "copies"
    done = run_role(
        tmp_path, "backup",
        {
            "runbook_system": "shop", "backup_parts": ["kubernetes"], "kubernetes_kubeconfig": str(shop.kubeconfig),
            "kubernetes_namespace": "shop", "kubernetes_backup_repository": str(repository),
            "kubernetes_backup_encryption": {"method": "age", "recipients": [public]},
            "backup_copies": [{"repository": str(copies)}],
        },
        "-e", "confirm=shop", "--diff",
    )  # fmt: skip
    assert done.of("warning", "critical", "unknown") == []
    assert "changed: [endpoint]" in done.output.split("Back up the objects of namespaces]")[1].split("TASK")[0]
    backup = done.facts["kubernetes"]["backup"]
    assert (backup["objects"], backup["kinds"]["Secret"], backup["version"]) == (KEPT, 1, "v1.34.2")
    assert {each["object"] for each in done.facts["kubernetes"]["left_out"]} == {
        "ConfigMap shop/kube-root-ca.crt", "Secret shop/api-token", "ConfigMap shop/leader",
    }  # fmt: skip
    archive = Path(backup["address"])
    assert (copies / archive.name).read_bytes() == archive.read_bytes()
    for path in [*repository.rglob("*"), *copies.rglob("*")]:
        assert SECRET.encode() not in path.read_bytes(), path
        assert (ENCODED.encode() in path.read_bytes(), path.stat().st_mode & 0o77) == (False, 0), path
    assert (SECRET in done.output, ENCODED in done.output) == (False, False)

    plain = tmp_path / "objects.yaml"
    subprocess.run(["age", "--decrypt", "-i", key, "-o", plain, archive], check=True)
    with KubernetesApi() as empty:
        fresh = Cluster(empty, tmp_path)
        apply(fresh, tmp_path, plain)
        assert wanted(fresh) == wanted(shop)
        assert len(wanted(fresh)) == KEPT


def test_without_encryption_no_secret_comes_out(shop: Cluster, run_module: RunModule, tmp_path: Path) -> None:
    """The manual's get all,secret,configmap -o yaml, for Git, has the password and not half of the objects."""
    connection = config.new_client_from_config(str(shop.kubeconfig))
    theirs = connection.sanitize_for_serialization(client.CoreV1Api(connection).list_namespaced_secret("shop"))
    assert ENCODED in yaml.safe_dump(theirs)

    repository = tmp_path / "backups"
    foreseen = back_up(shop, repository, check_mode=True)
    assert (foreseen["changed"], repository.exists()) == (True, False)
    options = {**shop.login, "namespaces": ["shop"], "repository": str(repository), "name_pattern": PATTERN}
    done = run_module("k8s_backup", options, diff=True)
    assert (done["changed"], done["backup"]["objects"], done["secrets"]) == (True, KEPT - 1, "left_out")
    assert [each["action"] for each in done["actions"]] == [each["action"] for each in foreseen["actions"]]
    assert {"object": "Secret shop/db", "keys": ["password", "user"]} in [
        {"object": each["object"], "keys": each["keys"]} for each in done["left_out"]
    ]
    archive = Path(done["backup"]["address"])
    documents = list(yaml.safe_load_all(archive.read_text()))
    kinds = {each["kind"] for each in documents}
    assert {
        "PersistentVolumeClaim",
        "Ingress",
        "ServiceAccount",
        "Role",
        "NetworkPolicy",
        "PodDisruptionBudget",
    } <= kinds
    assert "Secret" not in kinds
    assert ('COMMIT: "12e4567"' in archive.read_text(), 'ANSWER: "y"' in archive.read_text()) == (True, True)
    for text in (archive.read_text(), json.dumps(done), json.dumps(foreseen)):
        assert (SECRET in text, ENCODED in text) == (False, False)
    assert not any("resourceVersion" in each["metadata"] or "status" in each for each in documents)
    again = back_up(shop, repository, max_age="1h")
    assert (again["changed"], again["after"]) == (False, done["after"])

    # The daily check and the pruning of backups know them as they know dumps.
    older = archive.with_name("shop-20260101-021500.yaml")
    older.write_bytes(archive.read_bytes())
    kept = json.loads(archive.with_name(f"{archive.name}.manifest.json").read_text())
    kept |= {"name": older.name, "taken_at": "2026-01-01T02:15:00Z"}
    older.with_name(f"{older.name}.manifest.json").write_text(json.dumps(kept))
    where = {"repository": str(repository), "name_pattern": PATTERN}
    found = run_module("backup_info", {**where, "inspect": "newest"})
    newest = found["inventory"]["newest"]
    assert (found["inventory"]["count"], newest["name"], newest["inspected"]["complete"]) == (2, archive.name, True)
    pruned = run_module("backup_prune", {**where, "daily": 1, "min_keep": 1, "rpo": "26h"})
    assert [each["object"] for each in pruned["actions"]] == [older.name]
    assert (older.exists(), archive.exists()) == (False, True)


def test_a_password_that_is_no_secret_is_refused(shop: Cluster, tmp_path: Path) -> None:
    with KubernetesApi() as api:
        bad = Cluster(api, tmp_path)
        api.create(_object("v1", "ConfigMap", "settings", data={"DB_PASSWORD": SECRET}))
        refused = back_up(bad, tmp_path / "backups")
        assert (
            "these look like secrets in plain text and would lie in it: key DB_PASSWORD in ConfigMap shop/settings."
            in refused["msg"]
        )
        assert (SECRET in json.dumps(refused), (tmp_path / "backups").exists()) == (False, False)
        assert back_up(bad, tmp_path / "backups", plain_secrets="keep")["backup"]["objects"] == 2


@pytest.mark.parametrize("status", [403, 500, "hang"])
def test_a_kind_that_cannot_be_read_is_no_backup(shop: Cluster, tmp_path: Path, status: int | str) -> None:
    shop.api.fail("GET", "*/namespaces/shop/ingresses", status, None)
    try:
        failed = back_up(shop, tmp_path / "backups", read_timeout=0.5)
    finally:
        shop.api.heal()
    assert failed["failed"] is True
    assert "list ingresses.networking.k8s.io in namespace shop" in failed["msg"]
    assert not (tmp_path / "backups").exists()


def test_a_killed_run_leaves_nothing_that_looks_like_a_backup(shop: Cluster, tmp_path: Path) -> None:
    repository = tmp_path / "backups"
    key = tmp_path / "age"
    # An encryption that never ends, so that the kill hits a file that is half there.
    key.write_text("#!/bin/sh\nprintf half\ntouch %s\nsleep 600\n" % (tmp_path / "begun"))
    key.chmod(0o755)
    recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kdstnkqmqr6tqhd"
    options = {
        **shop.login, "namespaces": ["shop"], "repository": str(repository), "name_pattern": PATTERN,
        "encryption": {"method": "age", "recipients": [recipient]},
    }  # fmt: skip
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    kill_module("k8s_backup", options, (tmp_path / "begun").exists, "the encryption begins", environment=path)
    assert [each.name for each in repository.iterdir() if each.name.endswith(".manifest.json")] == []
    done = back_up(shop, repository)
    assert (done["before"]["name"], done["changed"]) == (None, True)
    assert sorted(each.name for each in repository.iterdir() if not each.name.startswith(".runbook")) == [
        done["backup"]["name"], f"{done['backup']['name']}.manifest.json",
    ]  # fmt: skip
