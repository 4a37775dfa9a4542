"""Three hosts behind a balancer are updated while a client asks without pause: good, bad, interrupted, and undone."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.hosts import Fleet, Host, shop
from lab.hosts.apt_repository import Package, publish
from lab.hosts.balancer import Balancer, balance
from lab.hosts.hammer import Hammer
from lab.hosts.modules import run_module
from lab.hosts.on_machines import play_on
from lab.paths import REPOSITORY
from lab.plays import Played

pytestmark = pytest.mark.xdist_group("patching")

WEB = ("web1", "web2", "web3")
FIRST = [shop.web("1.0"), shop.data("1.0"), shop.database("15.1"), shop.tools("1.0")]
FIRST_VERSIONS = {package.name: package.version for package in FIRST}
VARIABLES = {
    "patching_traffic": [{"haproxy": {"balancer": "lb", "backend": "web", "wait": "4m"}}],
    "patching_health_urls": ["http://127.0.0.1:8080/health"],
    "patching_health_services": ["shop-web"],
    "patching_health_delay": 1,
    "patching_health_retries": 240,
    "runbook_system": "shop",
}


@dataclass
class Site:
    """Three hosts and their balancer."""

    fleet: Fleet
    balancer: Balancer
    place: Path
    runs: int = 0

    @property
    def web(self) -> list[Host]:
        return [self.fleet[name] for name in WEB]

    def patch(self, *arguments: str, **variables: Any) -> Played:
        self.runs += 1
        return play_on(
            self.fleet, "runbook.ops.patch_hosts", "-e", "confirm=shop", *arguments,
            groups={"servers": list(WEB)}, variables={**VARIABLES, **variables}, place=self.place / str(self.runs),
        )  # fmt: skip

    def changes(self) -> list[tuple[str, str, str, str]]:
        """Host, action, object and status of the last run, as the report kept them."""
        path = self.place / str(self.runs) / "report" / "changes.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        return [(each["host"], each["action"], each["object"], each["status"]) for each in found]

    def findings(self) -> dict[str, list[str]]:
        path = self.place / str(self.runs) / "report" / "findings.json"
        found: dict[str, list[str]] = {}
        for each in json.loads(path.read_text(encoding="utf-8")):
            if each["severity"] not in ("ok", "info"):
                found.setdefault(each["id"].removeprefix("patching."), []).append(each["host"])
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Fleet({"lb": 12, "web1": 12, "web2": 11, "web3": 13}, ("--restart", "unless-stopped")) as fleet:
        hosts = {name: fleet[name] for name in WEB}
        shop.install(list(hosts.values()), FIRST)
        yield Site(fleet, balance(fleet["lb"], hosts), tmp_path_factory.mktemp("patching"))


def installed(site: Site) -> list[dict[str, str]]:
    return [shop.versions(host) for host in site.web]


def publish_all(site: Site, *packages: Package) -> None:
    for host in site.web:
        publish(host, packages)


def example(role: str) -> list[dict[str, Any]]:
    """The playbook in a role's README."""
    text = (REPOSITORY / "roles" / role / "README.md").read_text(encoding="utf-8")
    found = re.search(r"## Example\n\n```yaml\n(.*?)```", text, re.DOTALL)
    assert found
    plays: list[dict[str, Any]] = yaml.safe_load(found[1])
    return plays


def test_a_good_update_rolls_without_a_failed_request(site: Site) -> None:
    publish_all(site, shop.web("1.1"), shop.data("1.1"), shop.database("15.2"), shop.tools("2.0"))
    planned = site.patch("--check")
    assert planned.returncode == 0, planned.output
    predicted = re.findall(r"PLANNED +(update \S+) .*version (\S+) → (\S+)\n +(\w+)", planned.output)
    assert installed(site) == [FIRST_VERSIONS] * 3
    assert set(site.balancer.servers().values()) == {"UP"}

    with Hammer(site.balancer.site) as client:
        done = site.patch()
        client.asked(50)
    assert done.returncode == 0, done.output
    assert client.failures == []
    assert {answer.split()[-1] for answer in client.answers} == {"1.0", "1.1"}
    # Exactly what was predicted, and the database and the major version were left.
    assert predicted == re.findall(r"DONE +(update \S+) .*version (\S+) → (\S+)\n +(\w+)", done.output)
    assert len(predicted) == 6
    assert installed(site) == [{**FIRST_VERSIONS, "shop-web": "1.1", "shop-data": "1.1"}] * 3
    assert site.findings() == {"refused": list(WEB)}
    changed = site.changes()
    for name in WEB:
        order = [(action, object_) for host, action, object_, _status in changed if host == name]
        assert order.count(("drain", f"web/{name}")) == order.count(("ready", f"web/{name}")) == 1
    for host in site.web:
        # What somebody changed on the machine is still there.
        assert "# changed here" in host.read(shop.CONFIGURATION)
        assert "(deleted)" not in host.shell("cat /proc/$(systemctl show -P MainPID shop-web)/maps")

    # The README's own playbook has nothing to do afterwards.
    again = play_on(
        site.fleet, example("patching"), "-e", "confirm=shop", groups={"web": list(WEB)}, variables=VARIABLES
    )
    assert again.returncode == 0, again.output
    assert again.changed_hosts() == set()


def test_a_bad_update_stops_at_the_first_batch_and_is_undone(site: Site) -> None:
    before = installed(site)
    publish_all(site, shop.web("1.2", works=False), shop.data("1.2"))
    with Hammer(site.balancer.site) as client:
        failed = site.patch(patching_health_retries=2)
        client.asked(50)
    assert failed.returncode == 2, failed.output
    assert client.failures == []
    assert installed(site) == before
    assert site.findings() == {"failed": ["web1"], "undone": ["web1"], "not_begun": ["web2", "web3"]}
    assert "shop-web is failed" in failed.output
    changed = site.changes()
    assert ("web1", "update", "shop-web", "done") in changed
    assert ("web1", "undo", "shop-web", "done") in changed
    assert {host for host, *_rest in changed} == {"web1"}
    assert site.balancer.servers() == dict.fromkeys(WEB, "UP")


def test_a_lost_connection_ends_nothing_and_the_next_run_goes_on(site: Site) -> None:
    before = installed(site)
    publish_all(site, shop.web("1.3", slow=True), shop.data("1.3"))
    first, last = site.fleet["web1"], site.fleet["web3"]
    for name in ("web2", "web3"):
        site.fleet[name].run("touch", shop.GO_ON)
    with Hammer(site.balancer.site, pause=0.05) as client:
        ended: list[Played] = []
        running = threading.Thread(target=lambda: ended.append(site.patch("-e", "batch=2")))
        running.start()
        wait_for_file(first, shop.WAITING)
        # The way in is gone, and whoever waits for the installation is killed.
        # In this order, or the killed module is a failed one that is undone while there still is a way in.
        first.shell(
            "module=$(ps -o ppid= -C apt-get)\nsystemctl stop ssh\npkill -KILL sshd || true\nkill -9 $module || true"
        )
        running.join(300)
        assert ended
        assert ended[0].returncode == 4, ended[0].output
        assert "UNREACHABLE" in ended[0].output
        assert site.balancer.servers() == {"web1": "DRAIN", "web2": "UP", "web3": "UP"}
        # The other one of its batch is done, and the next batch is not begun.
        assert [each["shop-web"] for each in installed(site)[1:]] == ["1.3", before[2]["shop-web"]], ended[0].output
        assert site.findings()["not_begun"] == ["web3"]

        # It has come to its end by itself, or will while the next run waits for it. One host also asks for a reboot.
        last.run("touch", "/run/reboot-required")
        booted = last.shell("cut -d' ' -f22 /proc/1/stat")
        first.shell(f"touch {shop.GO_ON}; systemctl start ssh")
        resumed = site.patch()
        client.asked(20)
    assert resumed.returncode == 0, resumed.output
    assert client.failures == []
    assert [each["shop-web"] for each in installed(site)] == ["1.3"] * 3
    assert site.balancer.servers() == dict.fromkeys(WEB, "UP")
    assert ("web3", "reboot", "web3", "done") in site.changes()
    assert last.shell("cut -d' ' -f22 /proc/1/stat") != booted
    assert "No such file" in last.process("ls", "/run/reboot-required").stderr

    # A host that does not pass its gate on the way back stays out and lets no other follow.
    stuck = site.patch(
        patching_state="undone", patching_health_services=["shop-web", "shop-nowhere"], patching_health_retries=1
    )
    assert stuck.returncode == 2, stuck.output
    assert site.findings() == {"failed": ["web1"], "out_of_traffic": ["web1"], "not_begun": ["web2", "web3"]}
    assert site.balancer.servers() == {"web1": "DRAIN", "web2": "UP", "web3": "UP"}
    assert [each["shop-web"] for each in installed(site)] == [before[0]["shop-web"], "1.3", "1.3"]

    # The next one puts it back, and the whole run can be taken back, hosts that were updated in two runs included.
    back = site.patch(patching_state="undone")
    assert back.returncode == 0, back.output
    assert installed(site) == before
    assert site.balancer.servers() == dict.fromkeys(WEB, "UP")
    assert ("web1", "ready", "web/web1", "done") in site.changes()


def wait_for_file(host: Host, path: str) -> None:
    deadline = time.monotonic() + 240
    while host.status("test", "-e", path):
        assert time.monotonic() < deadline, f"{host.name} has no {path}"
        time.sleep(0.1)


def test_the_last_server_is_not_taken_out(site: Site) -> None:
    lb = site.fleet["lb"]
    drain = {"backend": "web", "server": "web1", "state": "drain"}
    assert run_module(lb, "haproxy_server", drain, check_mode=True)["changed"] is True
    assert site.balancer.servers()["web1"] == "UP"
    # The README's playbook, and all at once: they do not count on each other, and the last one is kept.
    played = play_on(
        site.fleet, [{**example("traffic")[0], "serial": len(WEB)}], "-e", "confirm=shop",
        groups={"web": list(WEB)}, variables=VARIABLES,
    )  # fmt: skip
    assert played.returncode == 2, played.output
    assert site.balancer.servers() == {"web1": "DRAIN", "web2": "DRAIN", "web3": "UP"}
    assert "only 0 servers would take traffic, and min_others is 1" in " ".join(played.output.split())
    assert run_module(lb, "haproxy_server", drain)["changed"] is False
    for name in ("web1", "web2"):
        back = run_module(lb, "haproxy_server", {**drain, "server": name, "state": "ready"})
        assert back["after"]["status"].startswith("UP")
    unknown = run_module(lb, "haproxy_server", {**drain, "server": "web9"})
    assert unknown["msg"] == "haproxy has no server web/web9; it has web/web1, web/web2, web/web3."


def test_the_manuals_upgrade_takes_the_database_along_and_stops_at_a_question(site: Site) -> None:
    host = site.fleet["lb"]
    shop.install([host], FIRST)
    publish(host, [shop.web("1.1"), shop.data("1.1"), shop.database("15.2")])
    surveyed = run_module(host, "package_updates_info", {"refresh": True})
    assert {each["name"]: (each["class"], each["is_held"]) for each in surveyed["updates"]} == {
        "postgresql-15": ("minor", True), "shop-data": ("security", False), "shop-web": ("minor", False),
    }  # fmt: skip
    refused = run_module(host, "package_updates", {"max_packages": 1})
    assert "2 packages would be changed, and max_packages is 1. Nothing was changed." in refused["msg"]
    planned = run_module(host, "package_updates", {}, check_mode=True)
    done = run_module(host, "package_updates", {})
    assert planned["actions"] == done["actions"]
    assert shop.versions(host) == {**FIRST_VERSIONS, "shop-web": "1.1", "shop-data": "1.1"}
    assert run_module(host, "package_updates", {})["changed"] is False
    # A second update before the run is finished: the way back is to the version before both. And a unit that lets
    # nobody restart it is told.
    publish(host, [shop.web("1.2"), shop.data("1.2"), shop.database("15.2")])
    drop_in = "/run/systemd/system/shop-web.service.d"
    host.shell(f"mkdir -p {drop_in}; printf '[Unit]\\nRefuseManualStop=yes\\n' >{drop_in}/refuse.conf")
    host.run("systemctl", "daemon-reload")
    second = run_module(host, "package_updates", {"refresh": True})
    assert second["after"] == {"shop-data": "1.2", "shop-web": "1.2"}
    left = {each["object"]: each["reason"] for each in second["left"]}
    assert "uses replaced files and refuses to be restarted by hand" in left["shop-web.service"]
    assert any("shop-web.service uses replaced files" in each for each in second["reboot_reasons"])
    host.shell(f"rm -r {drop_in}; systemctl daemon-reload")
    publish(host, [shop.web("1.1"), shop.data("1.1"), shop.database("15.2")])
    undone = run_module(host, "package_updates", {"state": "undone"})
    assert undone["after"] == {"shop-data": "1.0", "shop-web": "1.0"}
    assert shop.versions(host) == FIRST_VERSIONS

    # The manual's line, as somebody pastes it: a question nobody answers, and a database updated in passing.
    asked = host.process("sh", "-c", "apt-get update -q && apt-get upgrade -q </dev/null")
    assert "Abort." in asked.stdout
    pasted = host.process("sh", "-c", "apt-get upgrade -q -y </dev/null")
    assert pasted.returncode == 100
    assert "end of file on stdin at conffile prompt" in pasted.stdout + pasted.stderr
    assert shop.versions(host)["postgresql-15"] == "15.2"
    assert shop.versions(host)["shop-web"] != "1.1"
    # What it left half done is finished by ours.
    repaired = run_module(host, "package_updates", {})
    assert repaired["actions"][0]["action"] == "finish"
    assert shop.versions(host)["shop-web"] == "1.1"
    assert "# changed here" in host.read(shop.CONFIGURATION)

    # What cannot be set up is not done, in the next run neither.
    publish(host, [Package("shop-tools", "1.1", postinst="exit 1")])
    assert "apt-get failed with status 100" in run_module(host, "package_updates", {"refresh": True})["msg"]
    again = run_module(host, "package_updates", {})
    assert again["failed"]
    assert "Packages are installed by half and could not be set up." in again["msg"]
