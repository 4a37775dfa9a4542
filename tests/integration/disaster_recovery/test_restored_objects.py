"""A cluster's objects by StoreBridge's own inventory: backed up, proven, and brought back into an empty cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from lab.kubernetes import KubernetesApi
from lab.kubernetes.kubectl import kubectl
from lab.kubernetes.module_runs import kill_module, run_here
from lab.kubernetes.systems import storebridge
from lab.paths import REPOSITORY
from lab.play import RoleRun, run_role

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.backup import take_backup
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.objects_restore import restore_objects
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.objects_verify import verify_objects
from ansible_collections.runbook.ops.plugins.modules import k8s_backup, k8s_backup_verify, k8s_restore

pytestmark = pytest.mark.xdist_group("restored_objects")

Run = Callable[..., dict[str, Any]]
PLACE = storebridge.NAMESPACE
PATTERN = "storebridge-objects-%Y%m%d-%H%M%S.yaml"
WORKLOADS = {
    each.name: each.replicas for each in (storebridge.WEB, storebridge.NORMAL, storebridge.BATCH, storebridge.BEAT)
}


class Cluster:
    """An API server, and what is in it by the official client."""

    def __init__(self, api: KubernetesApi, place: Path) -> None:
        self.api = api
        self.kubeconfig = place / "kubeconfig"
        settings = yaml.safe_load(api.kubeconfig(self.kubeconfig).read_text())
        # As the inventory names it.
        settings["contexts"][0]["name"] = settings["current-context"] = "storebridge-prod"
        self.kubeconfig.write_text(yaml.safe_dump(settings))
        login = config.new_client_from_config(str(self.kubeconfig))
        self.apps, self.core = client.AppsV1Api(login), client.CoreV1Api(login)
        self.scaling = client.AutoscalingV2Api(login)

    @property
    def environment(self) -> dict[str, str]:
        return {"STOREBRIDGE_KUBECONFIG": str(self.kubeconfig)}

    def replicas(self) -> dict[str, int]:
        found = self.apps.list_namespaced_deployment(PLACE).items
        return {each.metadata.name: each.spec.replicas for each in found if each.metadata.name in WORKLOADS}

    def secret(self, name: str, key: str) -> str:
        return base64.b64decode(self.core.read_namespaced_secret(name, PLACE).data[key]).decode()


def play(cluster: Cluster, place: Path, role: str, parts: str, *arguments: str, **variables: Any) -> RoleRun:
    """A role over StoreBridge's cluster by its own inventory."""
    return run_role(
        place, role, {f"{role}_parts": [parts], **variables}, *arguments,
        group="kubernetes", host="storebridge-prod",
        inventories=[REPOSITORY / "inventories" / "storebridge"],
        environment={**cluster.environment, "RUNBOOK_BACKUP_DIRECTORY": str(place / "backups")},
    )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with KubernetesApi() as api:
        storebridge.build(api, "healthy")
        yield Cluster(api, tmp_path_factory.mktemp("shop"))


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Cluster]:
    place = tmp_path / "empty"
    place.mkdir()
    with KubernetesApi() as api:
        yield Cluster(api, place)


def test_an_empty_cluster_gets_what_the_inventory_has_backed_up(shop: Cluster, empty: Cluster, tmp_path: Path) -> None:
    taken = play(shop, tmp_path, "backup", "kubernetes", "-e", "confirm=storebridge")
    assert taken.facts["failures"] == [], taken.output
    plan = play(empty, tmp_path, "restore", "kubernetes", "--check", restore_writers=[])
    assert plan.facts["failures"] == [], plan.output
    planned = [each["object"] for each in plan.facts["kubernetes"]["actions"]]
    assert planned[0] == f"Namespace {PLACE}"
    assert empty.api.list("Deployment") == []

    done = play(empty, tmp_path, "restore", "kubernetes", "-e", "confirm=storebridge", restore_writers=[])
    assert [each["object"] for each in done.facts["kubernetes"]["actions"]] == planned
    assert done.facts["kubernetes"]["after"] == {"missing": 0, "different": 0, "same": len(planned)}
    assert empty.replicas() == shop.replicas() == WORKLOADS
    # Secrets were never in it; who needs which of them is said.
    [missing] = [each for each in done.of("warning", "critical", "unknown") if each[0] == "restore.kubernetes_secrets"]
    assert missing[1] == f"Secret {PLACE}/{storebridge.SECRET}"
    assert "storebridge-web" in done.finding("restore.kubernetes_secrets")["summary"]
    assert not any(value in taken.output + done.output for value in storebridge.SECRET_VALUES.values())


class Hands:
    """The modules within this process, on one backup of the shop with its Secrets."""

    def __init__(self, shop: Cluster, place: Path) -> None:
        import subprocess

        key = place / "key"
        subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
        public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
        self.where = {"repository": str(place / "backups"), "name_pattern": f"{PATTERN}.age"}
        self.key = {"identity_file": str(key), "gnupg_home": None, "passphrase": None}
        encryption = {"method": "age", "recipients": [public], "recipients_file": None, "gnupg_home": None}
        options = {"kubeconfig": str(shop.kubeconfig), "namespaces": [PLACE], "encryption": encryption}
        taken = run_here(take_backup, k8s_backup, {**self.where, **options})
        self.archive = Path(taken["backup"]["address"])

    def options(self, cluster: Cluster, **more: Any) -> dict[str, Any]:
        return {**self.where, "kubeconfig": str(cluster.kubeconfig), "decryption": self.key, **more}

    def restore(self, cluster: Cluster, *, check_mode: bool = False, **more: Any) -> dict[str, Any]:
        return run_here(restore_objects, k8s_restore, self.options(cluster, **more), check_mode=check_mode)

    def verify(self, **more: Any) -> dict[str, Any]:
        return run_here(verify_objects, k8s_backup_verify, {**self.where, "decryption": self.key, **more})["artefact"]


def test_what_is_there_stays_unless_it_is_told(shop: Cluster, empty: Cluster, tmp_path: Path) -> None:
    hands = Hands(shop, tmp_path)
    assert hands.restore(empty)["missing_secrets"] == []
    second = hands.restore(empty)
    assert (second["changed"], second["actions"], second["kept"]) == (False, [], [])

    # Since then a password was rotated, an autoscaler lost, a Deployment changed, and another taken by an operator.
    secret, name = storebridge.SECRET, "storebridge-web"
    rotated = base64.b64encode(b"rotated").decode()
    empty.api.change("Secret", PLACE, secret, {"data": {"database-password": rotated}})
    empty.api.change("Deployment", PLACE, name, {"spec": {"replicas": 1}})
    empty.api.delete("Deployment", PLACE, "storebridge-beat")
    owner = {"apiVersion": "x/v1", "kind": "Worker", "name": "batch", "uid": "1", "controller": True}
    change = {"metadata": {"ownerReferences": [owner]}, "spec": {"replicas": 7}}
    empty.api.change("Deployment", PLACE, "storebridge-worker-batch", change)

    kept = hands.restore(empty)
    assert [each["object"] for each in kept["actions"]] == [f"Deployment {PLACE}/storebridge-beat"]
    assert {each["object"]: each["fields"] for each in kept["kept"]} == {
        f"Secret {PLACE}/{secret}": ["data.database-password"],
        f"Deployment {PLACE}/{name}": ["spec.replicas"],
        f"Deployment {PLACE}/storebridge-worker-batch": ["spec.replicas"],
    }
    foreseen = hands.restore(empty, check_mode=True, existing="replace", on_refusal="report")
    told = hands.restore(empty, existing="replace", on_refusal="report")
    assert told["actions"] == foreseen["actions"]
    assert told["actions"] == [
        {"action": "replace", "object": f"Deployment {PLACE}/{name}", "fields": ["spec.replicas"]}
    ]
    assert [each["reason"] for each in told["refused"]] == ["Worker batch makes it, and would undo this"]
    assert empty.replicas() == {**WORKLOADS, "storebridge-worker-batch": 7}
    assert empty.secret(secret, "database-password") == "rotated"

    # The manual's file has the passwords for everybody to read; applied, it ends with errors about versions and uids of
    # another cluster, and without them it brings the old password back.
    exported = kubectl(shop.kubeconfig, "get", f"secret/{secret}", "-n", PLACE, "-o", "yaml")
    theirs = yaml.safe_load(exported.stdout)
    assert theirs["data"]["database-password"] in exported.stdout
    file = tmp_path / "k8s-backup.yaml"
    file.write_text(exported.stdout)
    arguments = ("apply", "--validate=false", "-f", str(file))
    assert kubectl(empty.kubeconfig, *arguments).returncode != 0
    for field in ("uid", "resourceVersion"):
        del theirs["metadata"][field]
    file.write_text(yaml.safe_dump(theirs))
    applied = kubectl(empty.kubeconfig, *arguments)
    assert applied.returncode == 0, applied.stderr
    assert empty.secret(secret, "database-password") == storebridge.SECRET_VALUES["database-password"]
    empty.api.change("Secret", PLACE, secret, {"data": {"database-password": rotated}})

    back = hands.restore(empty, secrets="replace", kinds=["Secret"])
    assert [each["fields"] for each in back["actions"]] == [["data.database-password"]]
    assert empty.secret(secret, "database-password") == storebridge.SECRET_VALUES["database-password"]

    for refused in (kept, told, back, second):
        assert not any(value in json.dumps(refused) for value in (*storebridge.SECRET_VALUES.values(), rotated))


def test_what_is_owned_by_a_repository_is_left_to_it(empty: Cluster, tmp_path: Path) -> None:
    with KubernetesApi() as api:
        place = tmp_path / "argo"
        place.mkdir()
        argo = Cluster(api, place)
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
        labels = {"argocd.argoproj.io/instance": "shop"}
        metadata = {"name": "settings", "namespace": PLACE, "labels": labels}
        api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"A": "b"}})
        hands = Hands(argo, tmp_path)
    refused = hands.restore(empty)
    assert refused["failed"] is True
    assert "belongs to Argo CD application shop" in refused["msg"]
    assert [each["object"] for each in refused["actions"]] == [f"Namespace {PLACE}"]
    done = hands.restore(empty, gitops="ignore")
    assert [each["object"] for each in done["actions"]] == [f"ConfigMap {PLACE}/settings"]
    unknown = hands.restore(empty, kinds=["Deployment"])
    assert unknown["msg"] == "kinds: 'deployment' is not accepted. Accepted: what the backup has: configmap, namespace."


def test_damage_is_no_backup_and_a_killed_run_is_gone_on_from(shop: Cluster, empty: Cluster, tmp_path: Path) -> None:
    hands = Hands(shop, tmp_path)
    assert hands.verify()["verdict"] == "verified"
    record = json.loads(hands.archive.with_name(f"{hands.archive.name}.verified.json").read_text())
    assert (record["verdict"], record["level"]) == ("verified", "objects")
    assert hands.verify(decryption=None)["verdict"] == "error"
    assert hands.verify(max_age="1m", reference_time="2099-01-01T00:00:00Z")["reason"].startswith("fresh: it is ")

    empty.api.fail("POST", "*/deployments", "hang", None)
    made = lambda: bool(empty.api.list("Service"))  # noqa: E731
    kill_module("k8s_restore", {**hands.options(empty), "read_timeout": 300}, made)
    empty.api.heal()
    done = hands.restore(empty)
    assert done["before"]["same"] > 0 < done["before"]["missing"]
    assert (done["after"]["missing"], empty.replicas()) == (0, WORKLOADS)

    whole = hands.archive.read_bytes()
    hands.archive.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged = hands.verify()
    assert (damaged["verdict"], damaged["reason"].split(":")[0]) == ("failed", "bytes")
    assert "was not restored" in hands.restore(empty)["msg"]
