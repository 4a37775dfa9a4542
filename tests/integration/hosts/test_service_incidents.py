"""Services that are down on a real machine: evidence first, one restart, and none that would not help."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.hosts import Fleet
from lab.hosts.machine import Host
from lab.hosts.modules import run_module
from lab.hosts.on_machines import play_on
from lab.play import ansible_playbook
from lab.plays import Played

pytestmark = pytest.mark.xdist_group("service_incidents")

REPOSITORY = Path(__file__).resolve().parents[3]
SOCKET = Path("/var/run/docker.sock")
# A service that lives as long as there is no file that says it should not, and tells a secret when it ends.
SHOP = """\
[Unit]
Description=The shop
[Service]
ExecStart=/usr/bin/python3 -m http.server 8080 --bind 127.0.0.1 --directory /srv/shop
ExecStopPost=/bin/echo "it ended; DB_PASSWORD=hunter2hunter2"
ExecReload=/bin/kill -HUP $MAINPID
[Install]
WantedBy=multi-user.target
"""
BACKEND = """\
[Service]
ExecStart=/usr/bin/python3 -m http.server 5432 --bind 127.0.0.1
"""
SERVICES = [
    {
        "name": "shop",
        "url": "http://127.0.0.1:8080/health",
        "dependencies": [{"name": "database", "port": 5432}],
    }
]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    client = shutil.which("docker")
    options = ("--volume", f"{SOCKET.resolve()}:/run/docker.sock", "--volume", f"{client}:/usr/bin/docker:ro")
    with Fleet({"web1": 12}, options) as made:
        made.first.write("/etc/systemd/system/shop.service", SHOP)
        made.first.write("/etc/systemd/system/backend.service", BACKEND)
        yield made


@pytest.fixture
def host(fleet: Fleet) -> Host:
    """The shop up and well, and no restart on record."""
    fleet.first.shell(
        "mkdir -p /srv/shop; echo ok > /srv/shop/health; rm -rf /var/lib/runbook-ops; systemctl daemon-reload;"
        "systemctl reset-failed; systemctl restart backend shop;"
        "until curl -sf 127.0.0.1:8080/health && curl -s 127.0.0.1:5432 >/dev/null; do sleep 0.1; done"
    )
    return fleet.first


def starts(host: Host, unit: str = "shop") -> int:
    """How often systemd started it, by its own journal."""
    return int(host.shell(f"journalctl --no-pager --output=cat --unit={unit} | grep -c '^Started' || true"))


def respond(fleet: Fleet, place: Path, incident: str, *arguments: str) -> tuple[Played, dict[str, Any], dict[str, Any]]:
    """Run the playbook; what it printed, its evidence and its timeline."""
    kept = place / "runbook-incidents"
    known = set(kept.iterdir()) if kept.exists() else set()
    played = play_on(
        fleet, "runbook.ops.respond_incident", "-e", f"incident={incident}", *arguments, place=place,
        groups={"servers": ["web1"]}, variables={"runbook_system": "shop", "runbook_services": SERVICES},
    )  # fmt: skip
    print(played.output)
    (folder,) = set(kept.iterdir()) - known
    read = [json.loads((folder / f"{name}-web1.json").read_text(encoding="utf-8")) for name in ("evidence", "timeline")]
    return played, read[0], read[1]


APPLY = ("-e", "incident_response_apply=true", "-e", "confirm=shop")


def found(told: dict[str, Any]) -> dict[str, str]:
    return {f"{each['id']} {each['object']}".strip(): each["severity"] for each in told["found"]}


def test_a_crashed_unit_is_restarted_once_with_its_evidence_kept(fleet: Fleet, host: Host, tmp_path: Path) -> None:
    """F75: what a restart destroys is on the disk before; the second crash within the hour is left to people."""
    host.shell("systemctl kill --signal=KILL shop; until systemctl is-failed shop; do sleep 0.1; done")
    began = starts(host)
    played, evidence, told = respond(fleet, tmp_path, "service_down", *APPLY)
    assert played.returncode == 0, played.output
    assert starts(host) == began + 1
    assert found(told)["incident.service shop.service"] == "critical"
    (service,) = evidence["services"]
    assert (service["state"], service["last_exit"]["how"], service["last_exit"]["status"]) == ("failed", "killed", 9)
    assert any("it ended; DB_PASSWORD=" in line for line in service["log"])
    assert "hunter2" not in json.dumps([evidence, told])
    assert {each["id"]: each["outcome"] for each in told["compared"]}["incident.service"] == "cured"
    # The machine's own copy is older than the process that runs now.
    pid = host.shell("systemctl show --value --property=MainPID shop")
    kept = host.shell(f"stat -c '%Y %n' /var/lib/runbook-ops/evidence/*.json; stat -c '%Y proc' /proc/{pid}")
    moments = [int(line.split()[0]) for line in kept.splitlines()]
    assert len(moments) == 2
    assert moments[0] <= moments[1]

    host.shell("systemctl kill --signal=KILL shop; until systemctl is-failed shop; do sleep 0.1; done")
    limited = {"name": "shop", "reason": "again", "max_restarts": 1, "only_unhealthy": True, "on_refusal": "report"}
    again = run_module(host, "service_restart", limited)
    assert (again["changed"], starts(host)) == (False, began + 1)
    (refused,) = again["refused"]
    assert refused["reason"] == "it was restarted once within 3600 s, and max_restarts is 1"


def test_when_what_it_depends_on_is_at_fault_nothing_is_restarted(fleet: Fleet, host: Host, tmp_path: Path) -> None:
    """The manual restarts the API at once; the database is what is down."""
    host.shell("systemctl stop backend; rm /srv/shop/health")
    began = starts(host)
    played, evidence, told = respond(fleet, tmp_path, "api_down", *APPLY)
    assert played.returncode == 2
    assert starts(host) == began
    assert found(told)["incident.dependency database"] == "critical"
    assert found(told)["incident.answer shop"] == "critical"
    assert found(told)["incident.service"] == "ok"
    assert evidence["answers"][0]["reason"].startswith("http://127.0.0.1:8080/health: ")
    (refused,) = told["remedy"]["refused"]
    assert "database: 127.0.0.1:5432 does not accept a connection" in refused["reason"]
    assert refused["remedy"] == "Bring database back first."


def test_a_restart_that_does_not_help_is_said_to_fail(fleet: Fleet, host: Host) -> None:
    """The gate: it runs again, and still does not answer."""
    host.shell("rm /srv/shop/health")
    asked = {"name": "shop", "reason": "it answers with errors", "only_unhealthy": True, "wait": 3, "settle": 1,
             "url": "http://127.0.0.1:8080/health"}  # fmt: skip
    planned = run_module(host, "service_restart", asked, check_mode=True)
    assert planned["changed"]
    assert host.status("test", "-e", "/var/lib/runbook-ops") == 1
    result = run_module(host, "service_restart", asked)
    assert result["failed"]
    assert "shop.service was restarted and is not well: http://127.0.0.1:8080/health: " in result["msg"]
    assert [each["commands"] for each in result["actions"]] == [each["commands"] for each in planned["actions"]]
    assert host.status("test", "-e", result["evidence"]) == 0
    # Another one on the way out is left alone, and so is what is well, or masked; a reload is no restart.
    host.shell("echo ok > /srv/shop/health")
    assert not run_module(host, "service_restart", asked)["changed"]
    reloaded = run_module(host, "service_restart", {"name": "backend", "reason": "new", "state": "reloaded"})
    assert "it is a unit without ExecReload and cannot be reloaded" in reloaded["msg"]
    # A reload that fails leaves the service as well as it was, with the old configuration.
    drop_in = "/run/systemd/system/shop.service.d"
    host.shell(
        f"mkdir -p {drop_in}; printf '[Service]\\nExecReload=\\nExecReload=/bin/false\\n' >{drop_in}/reload.conf;"
        "systemctl daemon-reload"
    )
    not_read = run_module(host, "service_restart", {"name": "shop", "reason": "new", "state": "reloaded"})
    host.shell(f"rm -r {drop_in}; systemctl daemon-reload")
    assert not_read["failed"]
    assert "shop.service was not reloaded: it is as it was before, because the command failed (" in not_read["msg"]
    assert (not_read["healthy"], not_read["actions"][0]["effective"]) == (True, False)
    not_declared = run_module(host, "service_restart", {"name": "shop", "reason": "x", "allowed": ["nginx"]})
    assert "what is allowed to be restarted: nginx" in not_declared["msg"]
    host.write("/var/lib/runbook-ops/restarts.json", "{torn")
    unknown = run_module(host, "service_restart", {"name": "shop", "reason": "x"})
    assert "so that nobody knows how many there were" in unknown["msg"]


def test_the_manuals_health_check_restarts_nothing_and_ours_names_the_container(fleet: Fleet, host: Host) -> None:
    """F47: cron throws the message away; the unit does not exist, because the service is one of Compose."""
    project = f"stockboom-{fleet.token}"
    labels = {"project": project, "service": "api", "oneoff": "False"}
    container = f"{fleet.network}-api"
    image = host.shell(f"docker inspect --format '{{{{.Image}}}}' {host.container}")
    options = " ".join(f"--label com.docker.compose.{key}={value}" for key, value in labels.items())
    host.shell(
        f"docker run --detach --name {container} --network none --label runbook.lab.owner= {options} {image} "
        "sleep infinity"
    )
    try:
        manual = host.process(
            "sh", "-c", f"curl -sf http://localhost:3001/health || systemctl restart {project}-api 2>&1"
        )
        assert manual.returncode == 5
        assert f"Unit {project}-api.service not found." in manual.stdout
        before = host.shell(f"docker inspect --format '{{{{.State.StartedAt}}}}' {container}")
        ours = run_module(host, "service_restart", {"name": f"{project}-api", "reason": "the health check failed"})
        assert ours["failed"]
        assert (
            f"there is no unit {project}-api.service on this machine; there is the Compose service {project}/api"
            in ours["msg"]
        )
        as_it_is = {"name": "api", "kind": "compose", "project": project, "reason": "the health check failed",
                    "settle": 1, "max_restarts": 1}  # fmt: skip
        assert host.shell(f"docker inspect --format '{{{{.State.StartedAt}}}}' {container}") == before
        restarted = run_module(host, "service_restart", as_it_is)
        assert restarted["healthy"], restarted
        assert host.shell(f"docker inspect --format '{{{{.State.StartedAt}}}}' {container}") > before
        assert run_module(host, "service_restart", as_it_is)["failed"]
        host.shell(f"docker kill {container} >/dev/null")
        looked = run_module(
            host, "service_info", {"services": [{"name": "api", "kind": "compose", "project": project}]}
        )
        (service,) = looked["services"]
        assert (service["state"], service["healthy"], service["last_exit"]["status"]) == ("exited", False, 137)
    finally:
        host.shell(f"docker rm --force {container}")


def example(role: str) -> list[dict[str, Any]]:
    text = (REPOSITORY / "roles" / role / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## Example\n\n```yaml\n(.*?)```", text, re.DOTALL)
    return yaml.safe_load(block)


def test_a_machine_that_is_down_is_the_finding_and_not_silence(tmp_path: Path) -> None:
    remedies = {"security": {"accounts": ["kim"], "addresses": ["203.0.113.9"]}, "memory": {"services": ["shop"]}}
    # One of them to its end; the others end in the same way.
    applied = {"incident_response_apply": "{{ incident_response_incident == 'security' }}", "confirm": "shop"}
    tasks: list[dict[str, Any]] = []
    names = ("disk_full", "memory", "security", "compose")
    for name in names:
        role = "check_compose" if name == "compose" else "incident_response"
        about = {"incident_response_incident": name, "incident_response_remedy_options": remedies}
        given = {} if name == "compose" else {**about, **applied}
        content = f"{{{{ {{'findings': {role}_findings, 'facts': {role}_facts}} | to_json }}}}"
        copy = {"dest": str(tmp_path / f"{name}.json"), "content": content, "mode": "0600"}
        tasks += [
            {"ansible.builtin.include_role": {"name": f"runbook.ops.{role}"}, "vars": given},
            {"ansible.builtin.copy": copy, "delegate_to": "localhost", "connection": "local"},
        ]
    down = {
        "ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_connection": "ssh", "ansible_become": False,
        "runbook_system": "shop", "compose_project_name": "shop", "compose_project_src": "/srv/shop",
    }  # fmt: skip
    (tmp_path / "inventory.yml").write_text(json.dumps({"servers": {"hosts": {"web1": down}}}), encoding="utf-8")
    play = {"name": "Look", "hosts": "servers", "gather_facts": False, "tasks": tasks}
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    played = ansible_playbook(tmp_path, "-i", "inventory.yml", "play.yml")
    assert played.returncode == 0, played.stdout
    told = {name: json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in names}
    for name, each in told.items():
        rule = "compose" if name == "compose" else "incident"
        judged = {one["id"]: (one["severity"], one["summary"]) for one in each["findings"]}
        assert judged[f"{rule}.available"][0] == "critical"
        assert judged[f"{rule}.available"][1].startswith("the host cannot be reached: ")
        assert judged[f"{rule}.not_judged"][0] == "unknown"
    # Nothing was done, and what nobody could look at is not taken for done.
    assert told["security"]["facts"]["isolation_open"] == ["account kim", "address 203.0.113.9"]
    for incident in names[:3]:
        assert told[incident]["facts"]["incident"]["remedy"]["actions"] == []
        (kept,) = (tmp_path / "runbook-incidents").glob(f"{incident}-*")
        assert {each.name for each in kept.iterdir()} == {
            "evidence-web1.json", "timeline-web1.json", "timeline-web1.md",
        }  # fmt: skip


def test_who_has_no_services_is_not_blamed_while_others_have_some(tmp_path: Path) -> None:
    """A machine, and the Compose project on it, are two hosts of one incident; one of them declares the services."""
    here = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    services = [{"name": "no-such-unit", "kind": "unit"}]
    hosts: dict[str, Any] = {"machine": {}, "project": {"runbook_services": services}}
    inventory = {"all": {"vars": {"runbook_system": "shop"}}, "servers": {"hosts": hosts}}
    inventory["all"]["vars"].update(here)
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory), encoding="utf-8")
    arguments = ("-i", "inventory.yml", "runbook.ops.respond_incident", "-e", "incident=service_down")
    found = {}
    for targets in ("all", "machine"):
        played = ansible_playbook(tmp_path, *arguments, "-e", f"targets={targets}", "-e", "report_fail_on=never")
        assert played.returncode == 0, played.stdout
        report = json.loads((tmp_path / "runbook-report-incident" / "findings.json").read_text(encoding="utf-8"))
        found[targets] = {each["host"]: each["summary"] for each in report if each["severity"] == "critical"}
    assert list(found["all"]) == ["project"]
    assert found["machine"]["machine"].startswith("no service is declared for this host")


def test_the_examples_of_the_readmes_run(fleet: Fleet, host: Host, tmp_path: Path) -> None:
    host.shell(
        "id ops >/dev/null 2>&1 || useradd ops; mkdir -p /opt/ops/bin;"
        "printf '#!/bin/sh\\nexit 0\\n' | tee /opt/ops/bin/ansible-playbook > /usr/local/bin/backup-shop;"
        "chmod +x /opt/ops/bin/ansible-playbook /usr/local/bin/backup-shop;"
        "install -D -m 600 /dev/null /etc/runbook/shop.env; echo SHOP_PASSWORD=s3cret > /etc/runbook/shop.env"
    )
    try:
        plays = [*example("schedule"), *example("check_schedule")]
        groups = {"operations": ["web1"], "servers": ["web1"]}
        assert play_on(fleet, plays, "--check", "--diff", groups=groups, place=tmp_path).returncode == 0
        first = play_on(fleet, plays, groups=groups, place=tmp_path)
        assert first.returncode == 0, first.output
        assert "changed=1" in first.output
        assert host.shell("ls /etc/systemd/system | grep -c '^runbook-shop-.*timer$'") == "3"
    finally:
        gone = play_on(
            fleet, "runbook.ops.setup_schedules", "-e", "confirm=shop", "-e", "schedule_state=absent", place=tmp_path,
            groups={"schedules": ["web1"]}, variables={"runbook_system": "shop"},
        )  # fmt: skip
    assert gone.returncode == 0, gone.output
    assert host.shell("ls /etc/systemd/system | grep -c runbook || true") == "0"
    assert (gone.folder / "findings.json").exists()


def test_parked_services_come_back_as_they_ran(host: Host) -> None:
    """The manual starts everybody, also who was not running before."""
    host.shell("systemctl stop backend")
    services = [{"name": "shop"}, {"name": "backend"}]

    def active() -> list[str]:
        return host.shell("systemctl is-active shop backend || true").split()

    foreseen = run_module(host, "service_park", {"services": services}, check_mode=True)
    assert active() == ["active", "inactive"]
    parked = run_module(host, "service_park", {"services": services}, diff=True)
    assert parked["actions"] == foreseen["actions"]
    assert parked["actions"] == [{"action": "park", "object": "shop.service", "from": "running", "to": "stopped"}]
    assert (active(), parked["diff"]["after"]["shop.service"]["running"]) == (["inactive", "inactive"], False)
    # A run that was killed before it stopped anything remembers as much, and parking once more forgets nothing.
    again = run_module(host, "service_park", {"services": services})
    assert (again["changed"], again["after"]["shop.service"]["remembered_running"]) == (False, True)
    back = run_module(host, "service_park", {"services": services[::-1], "state": "running"})
    assert [each["object"] for each in back["actions"]] == ["shop.service"]
    assert active() == ["active", "inactive"]
    assert run_module(host, "service_park", {"services": services, "state": "running"})["changed"] is False

    missing = run_module(host, "service_park", {"services": [{"name": "shpo"}]})
    assert (missing["failed"], missing["actions"]) == (True, [])
    assert missing["msg"].startswith("shpo.service: ")
    # What does not come up is said, and remembered until it is mended.
    run_module(host, "service_park", {"services": [{"name": "shop"}]})
    host.shell(
        "mv /etc/systemd/system/shop.service /var/tmp/; printf '[Service]\\nExecStart=/bin/false\\n' "
        "> /etc/systemd/system/shop.service; systemctl daemon-reload"
    )
    broken = run_module(host, "service_park", {"services": [{"name": "shop"}], "state": "running", "wait_timeout": 2})
    host.shell("mv /var/tmp/shop.service /etc/systemd/system/; systemctl daemon-reload; systemctl reset-failed shop")
    assert broken["failed"] is True
    mended = run_module(host, "service_park", {"services": [{"name": "shop"}], "state": "running"})
    assert (mended["changed"], active()[0]) == (True, "active")
