"""deploy_kubernetes as a user runs it: the README's example, good and bad releases under load, runs that are killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.http_stub import HttpStub
from lab.kubernetes import KubernetesApi
from lab.kubernetes.hammer import Hammer
from lab.kubernetes.module_runs import defaults_of
from lab.kubernetes.releases import BETTER, GOOD, deployment, image, images_in, service, wait_until_available
from lab.paths import REPOSITORY
from lab.play import ansible_playbook
from lab.process import eventually

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.image_change import set_images
from ansible_collections.runbook.ops.plugins.modules import k8s_image

pytestmark = pytest.mark.xdist_group("kubernetes")

README = REPOSITORY / "roles" / "deploy_kubernetes" / "README.md"
ERRORS = image("2", "errors")
FAST = {
    "deploy_kubernetes_wait_sleep": 0.2,
    "deploy_kubernetes_wait_timeout": 240,
    "deploy_kubernetes_watch": "0.2s",
    "deploy_kubernetes_watch_interval": 0.2,
    # There is no such registry.
    "deploy_kubernetes_prove_image": False,
}


class Stand:
    """Namespaces of one test, each with an application, and an inventory in which each is a host."""

    def __init__(self, api: KubernetesApi, kubeconfig: Path, namespace: str, place: Path) -> None:
        self.api, self.kubeconfig, self.prefix, self.place = api, kubeconfig, namespace, place
        self.hosts: dict[str, dict[str, Any]] = {}

    def add(self, name: str, *, pair: bool = False, **variables: Any) -> str:
        """An application, and its Service's address."""
        namespace = f"{self.prefix}-{name}"
        labels = {"app": "web", **({"version": "blue"} if pair else {})}
        first = "web-blue" if pair else "web"
        self.api.create(deployment(namespace, first, labels=labels, sidecar_first=False))
        self.api.create(service(namespace, "web", labels))
        wait_until_available(self.api, namespace, first)
        url = self.api.serve(namespace, "web")
        self.hosts[name] = {
            "kubernetes_namespace": namespace,
            "deploy_kubernetes_workloads": [{"name": "web", "containers": ["web"]}],
            "deploy_kubernetes_probe_base_url": url,
            "deploy_kubernetes_probes": [{"name": "health", "path": "/", "samples": 6}],
            "deploy_kubernetes_sides": {"blue": "web-blue", "green": "web-green"} if pair else {},
            "deploy_kubernetes_service": "web" if pair else "",
            "deploy_kubernetes_strategy": "blue_green" if pair else "rolling",
            **variables,
        }
        return url

    def release(self, name: str, what: str) -> None:
        """What an earlier run has released."""
        workloads = self.hosts[name]["deploy_kubernetes_workloads"]
        given = {"kubeconfig": str(self.kubeconfig), "namespace": f"{self.prefix}-{name}", "wait_sleep": 0.1}
        defaults = defaults_of(k8s_image)
        full = [{"kind": "deployment", **each} for each in workloads]
        set_images({**defaults, **given, "workloads": full, "image": what}, check_mode=False)

    def command(self, play: Any, *arguments: str) -> list[str]:
        """Write the inventory and the play, which may be one of the collection's by its name."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        shared = {**local, **FAST, "kubernetes_kubeconfig": str(self.kubeconfig)}
        group = {"hosts": self.hosts, "vars": shared}
        (self.place / "inventory.yml").write_text(json.dumps({"all": {"children": {"kubernetes": group}}}))
        if not isinstance(play, str):
            (self.place / "play.yml").write_text(json.dumps(play))
            play = "play.yml"
        return ["-i", "inventory.yml", play, *arguments]

    def run(self, play: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
        return ansible_playbook(self.place, *self.command(play, *arguments))

    def get(self, name: str, kind: str, what: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(kind, f"{self.prefix}-{name}", what)
        return found

    def image(self, name: str, what: str = "web") -> str:
        return images_in(self.get(name, "Deployment", what))["web"]

    def side(self, name: str) -> str:
        return str(self.get(name, "Service", "web")["spec"]["selector"]["version"])

    def serving(self, name: str) -> list[str]:
        """The ReplicaSets that have pods."""
        found = self.api.list("replicasets", f"{self.prefix}-{name}")
        return [each["metadata"]["name"] for each in found if each["spec"]["replicas"]]

    def exists(self, name: str, what: str) -> bool:
        return self.api.exists("Deployment", f"{self.prefix}-{name}", what)

    def report(self, directory: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What was found and what was done, as the report tells it."""
        there = self.place / directory
        texts = [(there / f"{name}.json").read_text(encoding="utf-8") for name in ("findings", "changes")]
        return json.loads(texts[0]), json.loads(texts[1])


@pytest.fixture
def stand(api: KubernetesApi, kubeconfig: Path, namespace: str, tmp_path: Path) -> Iterator[Stand]:
    yield Stand(api, kubeconfig, namespace, tmp_path)
    api.heal()


@contextlib.contextmanager
def prometheus(value: str) -> Iterator[str]:
    """A Prometheus that has one answer."""
    found = {"resultType": "vector", "result": [{"metric": {}, "value": [1769817600, value]}]}
    with HttpStub({"/api/v1/query": {"status": "success", "data": found}}) as stub:
        yield stub.url


def test_the_example_of_the_readme(stand: Stand) -> None:
    """Check, release, again, and back with the playbook; the old side is kept all the time."""
    url = stand.add("api", pair=True)
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    [play] = yaml.safe_load(blocks[-1])
    with prometheus("0.001") as metrics, Hammer(url) as hammer:
        given = play["roles"][0]["vars"]
        given["deploy_kubernetes_prometheus"]["url"] = metrics
        for name in ("namespace", "service", "sides", "workloads", "probe_base_url", "probes", "watch"):
            given.pop(f"deploy_kubernetes_{name}")
        given["deploy_kubernetes_namespace"] = f"{stand.prefix}-api"
        checked = stand.run([play], "--check", "--diff", "-e", f"image={BETTER}")
        assert checked.returncode == 0 and "changed=1" in checked.stdout, checked.stdout
        assert (stand.side("api"), stand.exists("api", "web-green")) == ("blue", False)
        done = stand.run([play], "-e", f"image={BETTER}")
        assert done.returncode == 0, done.stdout
        assert (stand.side("api"), stand.image("api", "web-green"), stand.image("api", "web-blue")) == (
            "green",
            BETTER,
            GOOD,
        )
        again = stand.run([play], "-e", f"image={BETTER}")
        assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout
        back = stand.run("runbook.ops.rollback_app", "-e", f"image={BETTER}", "-e", "schema_compatible=true")
        assert back.returncode == 0, back.stdout
        hammer.more()
    assert (hammer.errors, set(hammer.images), stand.side("api")) == (0, {GOOD, BETTER}, "blue")
    findings, changes = stand.report("runbook-report-rollback")
    assert [each["summary"] for each in findings if each["severity"] != "ok"] == []
    assert [(each["action"], each["status"]) for each in changes] == [("switch back", "done")]


def test_releases_good_and_bad(stand: Stand) -> None:
    """Four clusters in one run; what fails goes back by itself, with its evidence, and only a canary's share fails."""
    probes = [{"name": "health", "path": "/", "samples": 40}]
    urls = {
        "good": stand.add("good", image=BETTER, deploy_kubernetes_strategy="canary"),
        # One of three pods fails, so that so many samples hit it.
        "bad": stand.add("bad", image=ERRORS, deploy_kubernetes_strategy="canary", deploy_kubernetes_probes=probes),
        "rolling": stand.add("rolling", image=ERRORS),
        "pair": stand.add("pair", pair=True, image=BETTER),
    }
    namespace = f"{stand.prefix}-pair"
    with contextlib.ExitStack() as stack:
        # Users of the pair see nothing wrong, but nobody knows the error rate.
        unknown = stack.enter_context(prometheus("NaN"))
        queries = [{"name": "error_rate", "query": "error_rate"}]
        rule = {"id": "gate.error_rate", "value": "metrics.values.error_rate", "critical": "> 0.01", "unit": "ratio"}
        stand.hosts["pair"]["deploy_kubernetes_prometheus"] = {"url": unknown, "targets": False, "queries": queries}
        stand.hosts["pair"]["deploy_kubernetes_metric_rules"] = [{**rule, "summary": "the error rate is {value}"}]
        stand.hosts["rolling"]["deploy_kubernetes_log_lines"] = 5
        hammers = {name: stack.enter_context(Hammer(url)) for name, url in urls.items()}
        played = stand.run("runbook.ops.deploy_app", "-e", "deploy_app_serial=4")
        for hammer in hammers.values():
            hammer.more()
    assert played.returncode == 2, played.stdout
    findings, changes = stand.report("runbook-report-deployment")
    bad = {(each["host"], each["id"]): each for each in findings if each["severity"] != "ok"}
    assert set(bad) == {(name, "deploy_kubernetes.failed") for name in ("bad", "rolling", "pair")}, played.stdout
    assert "probe health: " in bad["bad", "deploy_kubernetes.failed"]["summary"]
    assert "The canary was removed." in bad["bad", "deploy_kubernetes.failed"]["summary"]
    assert "It was taken back: the images before serve." in bad["rolling", "deploy_kubernetes.failed"]["summary"]
    assert "Service web sends to blue" in bad["pair", "deploy_kubernetes.failed"]["summary"]
    done = [each for each in changes if each["status"] == "done"]
    told = {name: [each["action"] for each in done if each["host"] == name] for name in stand.hosts}
    assert told["good"] == ["create copy", "update copy", "set image", "remove copy"]
    assert told["bad"] == ["create copy", "remove copy"]
    assert told["rolling"] == ["set image", "return image"]
    assert told["pair"] == ["create copy", "switch", "switch back"]
    assert [stand.image(name) for name in ("good", "bad", "rolling")] == [BETTER, GOOD, GOOD]
    assert (stand.side("pair"), stand.exists("pair", "web-green")) == ("blue", True)
    assert not stand.exists("good", "web-canary") and not stand.exists("bad", "web-canary")
    # Where no error was promised there is none; of the canary with errors its share, and no more.
    assert [hammers[name].errors for name in ("good", "pair")] == [0, 0]
    seen = hammers["bad"]
    assert 0 < seen.errors <= seen.images[ERRORS] < sum(seen.statuses.values()) / 2
    assert stand.api.exists("Deployment", namespace, "web-blue")


def test_going_back(stand: Stand) -> None:
    """Back to what works; not back to what does not; by revision; and not at all without a word about the schema."""
    ready, targets = {"image": BETTER, "schema_compatible": True}, "fine:worse:revision:barred"
    urls = [
        stand.add("fine", **ready),
        stand.add("worse", **ready),
        stand.add("revision", **ready, deploy_kubernetes_to_revision=1),
        stand.add("silent", image=BETTER),
        stand.add("barred", **ready, deploy_kubernetes_to_revision=2),
    ]
    released = {"worse": [ERRORS, BETTER], "fine": [BETTER], "revision": [BETTER], "silent": [BETTER]}
    released["barred"] = [ERRORS, BETTER]
    for name, images in released.items():
        for each in images:
            stand.release(name, each)
    left = stand.serving("barred")
    with contextlib.ExitStack() as stack:
        fine, _worse, revision, silent, barred = [stack.enter_context(Hammer(url)) for url in urls]
        refused = stand.run("runbook.ops.rollback_app", "-e", "targets=silent")
        played = stand.run("runbook.ops.rollback_app", "-e", "deploy_app_serial=4", "-e", f"targets={targets}")
        for hammer in (fine, revision, silent, barred):
            hammer.more()
    assert played.returncode == 2, played.stdout
    assert refused.returncode == 2 and "Going back to older code takes back no migration." in refused.stdout
    assert [stand.image(name) for name in released] == [BETTER, GOOD, GOOD, BETTER, BETTER], played.stdout
    assert (fine.errors, revision.errors, silent.errors) == (0, 0, 0)
    findings, changes = stand.report("runbook-report-rollback")
    bad = {(each["host"], each["id"]): each["summary"] for each in findings if each["severity"] != "ok"}
    assert f"So {BETTER} serves again." in bad["worse", "deploy_kubernetes.failed"], bad
    assert ("worse", "deploy_kubernetes.not_back") not in bad
    assert "So what ran before runs again." in bad["barred", "deploy_kubernetes.failed"]
    # Users have met what does not work, and meet again the very pods' template that was there before.
    assert (0 < barred.errors < sum(barred.statuses.values()), stand.serving("barred")) == (True, left)
    told = [(each["host"], each["action"]) for each in changes if each["status"] == "done"]
    assert told == [
        ("barred", "undo"),
        ("barred", "return"),
        ("fine", "return image"),
        ("revision", "undo"),
        ("worse", "return image"),
        ("worse", "set image"),
    ]


def test_runs_that_are_killed_are_gone_on_with(stand: Stand) -> None:
    """Killed while the canary runs, and while green is watched: the next run ends both, without an error."""
    long = {"deploy_kubernetes_watch": "1h", "deploy_kubernetes_watch_interval": 300}
    urls = [
        stand.add("canary", image=BETTER, deploy_kubernetes_strategy="canary", **long),
        stand.add("pair", pair=True, image=BETTER, **long),
    ]
    role = {"role": "runbook.ops.deploy_kubernetes", "vars": {"deploy_kubernetes_on_failure": "fail"}}
    # Neither waits for the other, as one task after the other would.
    play = [{"hosts": "kubernetes", "gather_facts": False, "strategy": "free", "roles": [role]}]
    program = [str(Path(sys.executable).with_name("ansible-playbook")), *stand.command(play)]
    collections = str(REPOSITORY / "build" / "collections")
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": collections, "ANSIBLE_HOME": str(stand.place / "ansible")}
    with Hammer(urls[0]) as of_canary, Hammer(urls[1]) as of_pair:
        process = subprocess.Popen(
            program, cwd=stand.place, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            eventually(
                lambda: stand.exists("canary", "web-canary") and stand.side("pair") == "green",
                "both are in the middle",
            )
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=300)
        assert (stand.image("canary"), stand.exists("pair", "web-blue")) == (GOOD, True)
        for variables in stand.hosts.values():
            variables.update({name: FAST[name] for name in long})
        # Another image must not take the place of the only side that is known to work.
        third = stand.run(play, "--limit", "pair", "-e", f"image={image('3')}")
        assert third.returncode == 2 and "by a run that did not end" in third.stdout, third.stdout
        assert (stand.side("pair"), stand.image("pair", "web-blue")) == ("green", GOOD)
        done = stand.run(play)
        assert done.returncode == 0, done.stdout
        of_canary.more()
        of_pair.more()
    assert (stand.image("canary"), stand.exists("canary", "web-canary")) == (BETTER, False)
    memory = json.loads(stand.get("pair", "Service", "web")["metadata"]["annotations"]["runbook-ops.github.io/switch"])
    assert (stand.side("pair"), memory["state"]) == ("green", "kept")
    assert (of_canary.errors, of_pair.errors) == (0, 0)
