"""A restore whose writers are workloads of a cluster and containers: parked, remembered, and back as they were."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config
from lab.compose_project import ComposeProject
from lab.kubernetes import KubernetesApi
from lab.kubernetes.module_runs import run_here
from lab.paths import REPOSITORY
from lab.play import RoleRun, run_role
from lab.postgresql import PostgresServer
from lab.process import descendants, eventually
from lab.restorable import LATER, PATTERN, Writer, make_shop

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.backup import take_backup
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED
from ansible_collections.runbook.ops.plugins.modules import k8s_backup

pytestmark = pytest.mark.xdist_group("parked_writers")

Run = Callable[..., dict[str, Any]]
NAMESPACE = "shop"
# As they run when the disaster comes. The autoscaler has taken the web server from three to five.
WORKLOADS = {"beat": 1, "web": 5, "worker-normal": 4, "worker-batch": 2}
BACK = ["CronJob shop/nightly", *(f"Deployment shop/{name}" for name in WORKLOADS)]


class Cluster:
    """The shop's cluster, looked at with the official client."""

    def __init__(self, api: KubernetesApi, place: Path) -> None:
        self.api = api
        self.kubeconfig = api.kubeconfig(place / "kubeconfig")
        login = config.new_client_from_config(str(self.kubeconfig))
        self.apps, self.batch, self.core = client.AppsV1Api(login), client.BatchV1Api(login), client.CoreV1Api(login)
        self.scaling = client.AutoscalingV2Api(login)
        for name, replicas in WORKLOADS.items():
            labels = {"app": name}
            template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "app", "image": "shop:1"}]}}
            spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
            self._create("apps/v1", "Deployment", name, spec)
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        spec = {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 6}
        self._create("autoscaling/v2", "HorizontalPodAutoscaler", "web", spec)
        pod = {"restartPolicy": "Never", "containers": [{"name": "app", "image": "shop:1"}]}
        job = {"schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": pod}}}}
        self._create("batch/v1", "CronJob", "nightly", job)
        self.settle()

    def _create(self, version: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": NAMESPACE}
        self.api.create({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})

    def settle(self) -> None:
        eventually(lambda: self.ready() == WORKLOADS, "every pod is ready")

    def ready(self) -> dict[str, int]:
        found = self.apps.list_namespaced_deployment(NAMESPACE).items
        return {each.metadata.name: each.status.ready_replicas or 0 for each in found}

    def pods(self, name: str = "") -> int:
        found = self.core.list_namespaced_pod(NAMESPACE, label_selector=f"app={name}" if name else None).items
        return len(found)

    def scale(self, name: str, replicas: int) -> None:
        """What C(kubectl scale) sends."""
        self.apps.patch_namespaced_deployment_scale(name, NAMESPACE, {"spec": {"replicas": replicas}})

    def state(self) -> dict[str, Any]:
        """Everything that must be as it was."""
        deployments = self.apps.list_namespaced_deployment(NAMESPACE).items
        [hpa] = self.scaling.list_namespaced_horizontal_pod_autoscaler(NAMESPACE).items
        [cron] = self.batch.list_namespaced_cron_job(NAMESPACE).items
        return {
            "replicas": {each.metadata.name: each.spec.replicas for each in deployments},
            "bounds": (hpa.spec.min_replicas, hpa.spec.max_replicas),
            "suspend": bool(cron.spec.suspend),
            "remember": sorted(
                each.metadata.name for each in (*deployments, hpa, cron) if PARKED in (each.metadata.annotations or {})
            ),
        }


class Shop:
    """The cluster, the container and the database; whoever has a pod of worker-batch writes to it."""

    def __init__(self, cluster: Cluster, project: ComposeProject, server: PostgresServer, place: Path) -> None:
        self.cluster, self.project, self.server, self.place = cluster, project, server, place
        self.writer: Writer | None = None
        self._ends = threading.Event()
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self._follower.start()

    def _follow(self) -> None:
        """The application: it writes as long as the cluster has a pod of it."""
        while not self._ends.wait(0.05):
            wanted = self.cluster.pods("worker-batch") > 0
            if wanted and self.writer is None:
                self.writer = Writer(self.server).__enter__()
            elif not wanted and self.writer is not None:
                self.writer.__exit__()
                self.writer = None

    def close(self) -> None:
        self._ends.set()
        self._follower.join(240)
        if self.writer is not None:
            self.writer.__exit__()

    def container_runs(self) -> bool:
        return bool(self.project.inspect("import")["State"]["Running"])

    def is_quiet(self) -> bool:
        return self.cluster.pods() == 0 and not self.container_runs()

    @property
    def parked(self) -> Path:
        return self.place / "parked.json"

    def variables(self) -> dict[str, Any]:
        login = self.server.login("postgres")
        workloads = ["cronjob/nightly", *WORKLOADS]
        return {
            "runbook_system": "shop",
            "kubernetes_kubeconfig": str(self.cluster.kubeconfig),
            "runbook_writers": [
                {"name": "cluster", "kubernetes": {"namespace": NAMESPACE, "workloads": workloads, "wait_sleep": 0.2}},
                {
                    "name": "import",
                    "compose": {"project": self.project.name, "services": ["import"]},
                    "options": {"state_path": str(self.parked)},
                },
            ],
            "restore_writer_seconds": 240,
            "restore_parts": ["postgresql"],
            "postgresql_login_host": login["login_host"],
            "postgresql_login_port": login["login_port"],
            "postgresql_login_user": login["login_user"],
            "postgresql_login_password": login["login_password"],
            "postgresql_login_db": "shop",
            "postgresql_backup_repository": str(self.place / "backups"),
            "postgresql_backup_name_pattern": PATTERN,
            # Nobody has proven the backup.
            "restore_postgresql_options": {
                "allow_unverified": True,
                "bin_directory": str(self.server.client("pg_restore").parent),
            },
        }

    def restore(self, *arguments: str) -> RoleRun:
        return run_role(self.place, "restore", self.variables(), "-e", "confirm=shop", *arguments)

    def kill_while_nobody_writes(self) -> None:
        """The same run once more, and kill -9 for it and everything that it has started."""
        log = (self.place / "killed.log").open("wb")
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory.yml", "play.yml",
                "-e", f"outcome={self.place / 'outcome.json'}", "-e", "confirm=shop",
            ],
            cwd=self.place,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / "build" / "collections"),
                "ANSIBLE_HOME": str(self.place / "ansible"),
            },
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            eventually(self.is_quiet, "nobody writes any more")
        finally:
            for each in descendants(process.pid):
                os.kill(each.pid, signal.SIGKILL)
            process.kill()
            process.wait(timeout=300)
            log.close()

    def orders(self) -> list[str]:
        return self.server.psql("SELECT item FROM public.orders WHERE item IN ('later')", db="shop").splitlines()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, run_module: Run) -> Iterator[Shop]:
    place = tmp_path_factory.mktemp("parked")
    with PostgresServer() as server, KubernetesApi() as api, ComposeProject(place / "compose") as project:
        make_shop(server)
        took = run_module(
            "postgresql_backup",
            {
                **server.login("shop"), "repository": str(place / "backups"), "name_pattern": PATTERN,
                "bin_directory": str(server.client("pg_dump").parent),
            },
        )  # fmt: skip
        assert took.get("changed"), took.get("msg")
        server.execute(LATER, db="shop")
        image = project.image("import", "1", {})
        project.services = {"import": {"image": image, "command": ["sleep", "100000"], "restart": "always"}}
        project.write()
        project.compose("up", "--detach")
        made = Shop(Cluster(api, place), project, server, place)
        try:
            yield made
        finally:
            made.close()


def test_parked_for_a_restore_and_back_as_they_were(shop: Shop) -> None:
    cluster = shop.cluster
    was = cluster.state()
    eventually(lambda: shop.writer is not None, "the application writes")
    writer = shop.writer
    assert writer is not None

    # The manual stops the API alone, and starts the number that somebody has written down.
    cluster.scale("web", 0)
    eventually(lambda: cluster.pods("web") == 0, "the API has stopped")
    writer.wait(20)
    cluster.scale("web", 3)
    assert cluster.state()["replicas"]["web"] == 3 != was["replicas"]["web"]
    cluster.scale("web", WORKLOADS["web"])
    cluster.settle()

    plan = shop.restore("--check")
    assert plan.facts["failures"] == [], plan.output
    told = plan.facts["writers"]
    assert [each["object"] for each in told["stopped"]] == [*BACK, f"{shop.project.name}/import"]
    assert [each["object"] for each in told["started"]] == [f"{shop.project.name}/import", *reversed(BACK)]
    assert (cluster.state(), shop.container_runs(), shop.orders()) == (was, True, ["later"])
    assert not shop.parked.exists()

    shop.kill_while_nobody_writes()
    left = cluster.state()
    assert (set(left["replicas"].values()), left["suspend"], left["bounds"]) == ({0}, True, (3, 6))
    assert left["remember"] == sorted(["nightly", *WORKLOADS])
    assert json.loads(shop.parked.read_text())["parked"][f"{shop.project.name}/import"]["running"] is True

    # What cannot be restored leaves them parked, and says so.
    refused = shop.restore("-e", "restore_postgresql_name=shop-20200101-000000.dump")
    [failure] = refused.facts["failures"]
    assert "Deployment shop/web" in failure["message"] and "still stopped since an earlier run" in failure["message"]
    assert "k8s_park" in failure["message"] and "purpose=restore" in failure["message"]
    assert cluster.state() == left

    done = shop.restore()
    assert done.of("warning", "critical", "unknown") == [], done.output
    assert shop.orders() == []
    # Nobody was connected when the names changed; null if the run that was killed had come so far.
    assert (done.facts["postgresql"]["restored"] or {"sessions_ended": 0})["sessions_ended"] == 0
    assert [(each["object"], each["to"]) for each in done.facts["writers"]["started"]] == [
        (each["object"], each["to"]) for each in told["started"]
    ]
    assert (cluster.state(), shop.container_runs()) == (was, True)
    assert cluster.ready() == WORKLOADS
    eventually(lambda: shop.writer is not None and shop.writer is not writer, "the application writes again")
    assert json.loads(shop.parked.read_text()) == {"parked": {}}
    assert shop.server.password not in done.output + plan.output + refused.output


def test_a_drill_brings_the_cluster_back_into_an_empty_one(shop: Shop, tmp_path: Path) -> None:
    """Into a cluster and a server made for the occasion; nothing live is touched."""
    objects = {"repository": str(tmp_path / "objects"), "name_pattern": "shop-objects-%Y%m%d-%H%M%S.yaml"}
    login = {"kubeconfig": str(shop.cluster.kubeconfig)}
    taken = run_here(take_backup, k8s_backup, {**objects, **login, "namespaces": [NAMESPACE]})
    was = shop.cluster.state()
    with KubernetesApi() as empty:
        kubeconfig = empty.kubeconfig(tmp_path / "empty")
        scenario = {
            "summary": "The cluster is gone",
            "cluster": {"host": "endpoint", "rehearse_in": {"kubeconfig": str(kubeconfig)}},
            "mode": "fresh",
            "rto": "4h",
        }
        run = run_role(
            tmp_path,
            "disaster_recovery",
            {
                **shop.variables(),
                "kubernetes_backup_repository": objects["repository"],
                "recovery_scenarios": {"cluster_gone": scenario},
                "disaster_recovery_drill": True,
                "disaster_recovery_directory": str(tmp_path / "records"),
                "disaster_recovery_drill_options": {"bin_directory": str(shop.server.client("pg_restore").parent)},
            },
        )
        [recovery] = run.facts["recoveries"]
        assert (recovery["verdict"], recovery["failures"]) == ("recovered", []), run.output
        phases = [each for each in recovery["phases"] if each["name"] == "cluster"]
        assert [taken["backup"]["name"] in each["detail"] for each in phases] == [True, True]
        deployments = {
            each["metadata"]["name"]: each["spec"]["replicas"] for each in empty.list("Deployment", NAMESPACE)
        }
        assert deployments == was["replicas"]
        assert empty.get("HorizontalPodAutoscaler", NAMESPACE, "web")["spec"]["maxReplicas"] == 6
    assert (shop.cluster.state(), shop.container_runs()) == (was, True)
