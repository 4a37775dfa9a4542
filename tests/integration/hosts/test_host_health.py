"""A machine with faults, measured by us and by its own tools; then a full disk and a lack of memory are answered."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.certificates import make_certificate
from lab.hosts import Fleet
from lab.hosts.machine import Host
from lab.hosts.modules import run_module as run_in
from lab.hosts.on_machines import play_on
from lab.paths import REPOSITORY

pytestmark = pytest.mark.xdist_group("host_health")

PLANTING = Path(__file__).with_name("planting.sh").read_text(encoding="utf-8")
PORTS = [
    {"port": 22, "unit": "ssh.service"},
    {"port": 8099, "address": ["127.0.0.0/8"], "name": "admin"},
    {"port": 5432, "name": "PostgreSQL"},
]
RECLAIM = {
    "directories": [
        {"path": "/srv/full/log", "patterns": ["*.log.*"], "older_than": "7d", "recurse": True},
        # Old logs of a PostgreSQL server, beside the write-ahead log that must stay.
        {"path": "/srv/full/pg/log", "patterns": ["*.log", "*.csv", "*.json"], "older_than": "7d"},
    ],
}
HOLD_APT = """#!/usr/bin/python3
import fcntl, time
lock = open("/var/cache/apt/archives/lock", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
open("/run/apt-held", "w").close()
time.sleep(86400)
"""
OLD = {"app.log.1", "app.log.2", "app.log.3", "deep/app.log.9"}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet({"oldest": 11, "planted": 12, "newest": 13}) as machines:
        yield machines


@pytest.fixture(scope="module")
def planted(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Host:
    host = fleet["planted"]
    made = make_certificate(tmp_path_factory.mktemp("tls"), days=5)
    host.write("/etc/app/tls.pem", "".join(path.read_text(encoding="utf-8") for path in (made.key, made.chain)))
    host.shell(PLANTING)
    return host


@pytest.fixture(scope="module")
def facts(planted: Host) -> dict[str, Any]:
    found = run_in(
        planted,
        "host_health_info",
        {
            "expected_ports": PORTS,
            "expected_units": ["ssh", "nothing-of-that-name", "planted-failed"],
            "expected_processes": [
                {"name": "puma", "pattern": "^puma", "min": 1},
                {"name": "rails", "pattern": r"^rails\b"},
            ],
            "certificates": ["/etc/app/*.pem", "/etc/app/absent.crt"],
            "large_files_roots": ["/srv"],
            "large_files_min_bytes": 500000,
        },
    )
    assert "msg" not in found, found
    return found


def names(entries: list[dict[str, Any]], key: str = "name") -> set[str]:
    return {entry[key] for entry in entries}


def test_what_the_machines_own_tools_say(planted: Host, facts: dict[str, Any]) -> None:
    """free, df, ss, systemctl and ps of the same machine are the second opinion; EX-08's and EX-11's way is beside."""
    health = facts["health"]
    said = planted.shell(
        "free -b | awk '/^Mem/ {print $2, $7}'; df -B1 --output=target,used,avail /srv/full | tail -1;"
        "df --output=iused /srv/inodes | tail -1; systemctl --failed --plain --no-legend | cut -d' ' -f1 | xargs;"
        "ss -Hlnt '( sport = :8098 or sport = :8099 )' | awk '{print $4}' | sort | xargs; ps -eo stat | grep -c ^Z;"
        "pgrep -c -x rails || true; pgrep -c -f '^puma:'; uname -r"
    ).splitlines()
    total, available = map(int, said[0].split())
    memory = health["memory"]
    assert memory["total_bytes"] == total
    # Other tests run on the same kernel meanwhile.
    assert abs(memory["available_bytes"] - available) < total / 4
    # The manual's "free" calls what caches hold used; ours is never above that.
    assert memory["used_percent"] <= 100 * (total - memory["free_bytes"]) / total + 0.1
    disks = {entry["mount"]: entry for entry in health["disks"]}
    mount, used, left = said[1].split()
    assert (disks[mount]["used_bytes"], disks[mount]["available_bytes"]) == (int(used), int(left))
    assert disks[mount]["used_percent"] == 100
    # There is room on it, and nothing can be created any more: df -h sees nothing.
    assert disks["/srv/inodes"]["inodes_used_count"] == int(said[2])
    assert disks["/srv/inodes"]["inodes_used_percent"] > 90
    assert disks["/srv/inodes"]["used_percent"] < 10
    assert not [mount for mount in disks if mount.startswith(("/opt/runbook-lab", "/etc/"))]
    assert names(health["units"]["failed"]) == set(said[3].split()) == {"planted-failed.service"}
    listening = {f"{each['address']}:{each['port']}" for each in health["ports"]["listening"]}
    assert set(said[4].split()) == {"0.0.0.0:8099", "127.0.0.1:8098"} <= listening
    assert health["processes"]["zombie_count"] == int(said[5]) == 7
    assert {each["parent_name"] for each in health["processes"]["zombies"]} == {"python3"}
    # The application is there although no process is called rails.
    expected = {each["name"]: each["found_count"] for each in health["processes"]["expected"]}
    assert (int(said[6]), int(said[7])) == (0, 1)
    assert expected == {"puma": 1, "rails": 0}
    assert health["reboot"]["running_kernel"] == said[8]


def test_planted_faults_are_named(facts: dict[str, Any]) -> None:
    health = facts["health"]
    (loop,) = health["units"]["restarting"]
    assert loop["name"] == "planted-loop.service"
    assert loop["restarts_count"] >= 3
    # Between two attempts it has not failed, by systemd.
    assert loop["name"] not in names(health["units"]["failed"])
    assert {each["name"]: each["is_active"] for each in health["units"]["expected"]} == {
        "ssh.service": True,
        "nothing-of-that-name.service": False,
        "planted-failed.service": False,
    }
    ports = health["ports"]
    assert [each["reason"] for each in ports["exposed"]] == ["it listens on 0.0.0.0, declared is 127.0.0.0/8"]
    assert ports["exposed"][0]["unit"] == "planted-open.service"
    assert [each["name"] for each in ports["missing"]] == ["PostgreSQL"]
    assert {each["reach"] for each in ports["undeclared"]} == {"local"}
    certificates = {each["path"]: each for each in health["certificates"]}
    assert 4 < certificates["/etc/app/tls.pem"]["days_left"] <= 5
    assert certificates["/etc/app/absent.crt"]["days_left"] is None
    # EX-56: find without -xdev finds the file of another file system, as large as the disk is not.
    assert names(health["large_files"]["files"], "path") == {"/srv/app/data"}
    (group,) = health["oom"]["groups"]
    assert (group["unit"], group["oom_kills_count"], group["limit_bytes"]) == ("planted-hog.service", 1, 24 << 20)
    assert health["oom"]["since_boot_count"] >= 1
    # Nobody's password is shown.
    commands = [each["command"] for each in health["processes"]["by_memory"]]
    assert "hunter2pass" not in json.dumps(facts)
    assert all(commands)
    assert [each["section"] for each in facts["skipped_sections"]] == ["oom.kills"]


def test_the_kernels_own_words_of_a_kill(
    planted: Host, facts: dict[str, Any], run_module: Callable[..., dict[str, Any]]
) -> None:
    """F64: who was killed, by which limit, is known on the machine whose kernel it is."""
    found = run_module("host_health_info", {"sections": ["oom"]})
    ours = [each for each in found["health"]["oom"]["kills"] if each["unit"] == "planted-hog.service"]
    if found["health"]["oom"]["recent_count"] is None:
        assert [each["section"] for each in found["skipped_sections"]] == ["oom.kills"]
    else:
        assert {each["scope"] for each in ours} == {"limit"}
        assert all(each["resident_bytes"] < 24 << 20 for each in ours)


@pytest.mark.parametrize("name", ["oldest", "newest"])
def test_other_releases_give_every_section(fleet: Fleet, name: str) -> None:
    asked = {"sample_seconds": 0.1, "expected_ports": [{"port": 22}], "expected_units": ["ssh"]}
    found = run_in(fleet[name], "host_health_info", asked)
    assert [each["section"] for each in found["skipped_sections"]] == ["oom.kills"]
    assert len(found["health"]) == 13
    assert found["health"]["units"]["failed"] == []
    assert found["health"]["units"]["expected"][0]["is_active"]
    assert found["health"]["ports"]["missing"] == []
    assert found["health"]["ports"]["listening"][0]["unit"] == "ssh.service"


def test_usage_is_what_du_says_and_what_du_cannot_see(planted: Host) -> None:
    said = planted.shell("du -xs -B1 /srv/full | cut -f1; du -xs -B1 /srv/full/log | cut -f1").split()
    found = run_in(planted, "disk_usage_info", {"roots": ["/srv/full", "/srv"], "min_file_bytes": 1000000})
    full, srv = found["roots"]
    assert full["bytes"] == int(said[0])
    assert srv["other_file_systems"] == ["/srv/app/mounted", "/srv/full", "/srv/inodes"]
    assert full["is_complete"]
    (gone,) = (each for each in found["deleted_open"] if each["path"] == "/var/tmp/gone.log")
    assert gone["bytes"] >= 20_000_000
    assert [each["name"] for each in gone["processes"]] == ["sleep"]
    cut = run_in(planted, "disk_usage_info", {"roots": ["/usr"], "max_entries": 10})
    assert not cut["roots"][0]["is_complete"]
    assert cut["roots"][0]["reason"] == "max_entries (10) is reached"


def test_a_plan_is_exact_and_a_limit_refuses(planted: Host) -> None:
    before = planted.run("find", "/srv/full", "-ls")
    plan = run_in(planted, "disk_reclaim", RECLAIM, check_mode=True)
    assert {each["object"]: set(each["files"]) for each in plan["actions"]} == {
        "/srv/full/log": OLD,
        "/srv/full/pg/log": {"postgresql-Mon.log"},
    }
    assert plan["kept"]["/srv/full/log"] == {"young": 1, "open": 1, "hard_linked": 1}
    refused = run_in(planted, "disk_reclaim", {**RECLAIM, "max_files": 4})
    assert refused["msg"].startswith("disk: 5 files would be deleted, max_files is 4.")
    for path in ("/srv/full/pg/pg_wal", "/srv/full/pg", "/srv/full/log/wal"):
        wrong = {"directories": [{"path": path, "patterns": ["*.log"], "older_than": "7d"}]}
        assert "is not accepted" in run_in(planted, "disk_reclaim", wrong)["msg"]
    assert planted.run("find", "/srv/full", "-ls") == before


def test_the_journal_and_the_package_cache(planted: Host) -> None:
    """Exactly the archived files that journalctl removes are announced, and nothing goes while apt is at work."""
    planted.shell(
        "for n in 1 2 3; do head -c 300000 /dev/urandom | base64 -w 1000 | systemd-cat; journalctl --sync;"
        "journalctl --rotate; done; cd /var/cache/apt/archives; head -c 500000 /dev/zero >some_1.0_all.deb; : >notes"
    )
    planted.write("/usr/local/bin/hold-apt", HOLD_APT, mode="0755")
    planted.shell("systemd-run --quiet --unit holds-apt hold-apt; until [ -e /run/apt-held ]; do sleep 0.1; done")
    journals = "find /var/log/journal /run/log/journal -name '*.journal*' 2>/dev/null | sort || true"
    before = set(planted.shell(journals).split())
    asked = {"journal_max": "1M", "package_cache": True}
    plan = run_in(planted, "disk_reclaim", asked, check_mode=True)
    actions = {each["object"]: each["files"] for each in plan["actions"]}
    assert actions["/var/cache/apt/archives"] == ["some_1.0_all.deb"]
    assert len(actions["journal"]) >= 2
    assert set(planted.shell(journals).split()) == before
    busy = run_in(planted, "disk_reclaim", asked)
    assert busy["msg"].startswith("/var/cache/apt/archives: apt is at work.")
    assert before - set(planted.shell(journals).split()) == set(actions["journal"])
    planted.shell("test -e /var/cache/apt/archives/some_1.0_all.deb; systemctl stop holds-apt")
    done = run_in(planted, "disk_reclaim", asked)
    assert [each["object"] for each in done["actions"]] == ["/var/cache/apt/archives"]
    assert "some_1.0_all.deb" not in planted.run("ls", "/var/cache/apt/archives").split()
    planted.shell("test -e /var/cache/apt/archives/notes; test -e /var/cache/apt/archives/lock")
    assert not run_in(planted, "disk_reclaim", asked)["changed"]


def test_answered_as_the_engineer_on_call_does(fleet: Fleet, planted: Host, tmp_path: Path) -> None:
    """The README's play, then both incidents carried out, in one run of ansible-playbook."""
    readme = (REPOSITORY / "roles" / "check_host" / "README.md").read_text(encoding="utf-8")
    (example,) = yaml.safe_load(readme.rsplit("```yaml\n", 1)[1].split("```", 1)[0])
    hand_over = {
        "ansible.builtin.copy": {
            "dest": str(tmp_path / "check-{{ inventory_hostname }}.json"),
            "content": "{{ check_host_findings | to_json }}",
        },
        "delegate_to": "localhost",
        "become": False,
    }
    gone = {"ansible_host": "127.0.0.1", "ansible_port": 1, "check_host_expected_ports": None}
    inventory = {"servers": {"hosts": {"gone": gone}}}
    (tmp_path / "gone.json").write_text(json.dumps(inventory), encoding="utf-8")
    answer: dict[str, Any] = {"hosts": "planted", "gather_facts": False, "roles": ["runbook.ops.incident_response"]}
    incidents = [{**answer, "vars": {"incident_response_incident": name}} for name in ("disk_full", "memory")]
    # What is deleted is older than the evidence; nobody deletes in the meantime.
    planted.shell("touch /run/hog-tamed; systemctl show --property MainPID --value planted-hog >/run/hog-before")
    # A disk that was nearly full when it was taken out.
    now = int(time.time())
    points = [[now - 86400 * day, 100 - day, 101] for day in range(9, 0, -1)]
    kept = tmp_path / "figures" / "planted.json"
    kept.parent.mkdir()
    kept.write_text(json.dumps({"version": 1, "series": {"disk /gone": points}}), encoding="utf-8")
    played = play_on(
        fleet,
        [{**example, "post_tasks": [hand_over]}, *incidents],
        *("-i", str(tmp_path / "gone.json")),
        groups={"servers": ["planted"]},
        variables={
            "runbook_system": "shop",
            "runbook_environment": "staging",
            "runbook_figures_directory": str(tmp_path / "figures"),
            # The disk below the container is not ours to judge.
            "check_host_ignore_mounts": ["/"],
            "incident_response_apply": True,
            "incident_response_directory": str(tmp_path / "incidents"),
            "incident_response_remedy_options": {
                "disk_full": {**RECLAIM, "journal_max": "", "package_cache": False},
                "memory": {"services": ["planted-hog", "ssh"], "max_restarts": 1},
            },
        },
        place=tmp_path,
    )
    assert played.returncode == 0, played.output
    assert {"disk /gone"} < set(json.loads(kept.read_text(encoding="utf-8"))["series"])
    check_findings(json.loads((tmp_path / "check-planted.json").read_text(encoding="utf-8")))
    # A host that is down is reported, and does not end the run.
    down = json.loads((tmp_path / "check-gone.json").read_text(encoding="utf-8"))
    assert [(each["id"], each["severity"]) for each in down] == [
        ("host.available", "critical"),
        ("host.not_judged", "unknown"),
    ]
    check_disk(planted, tmp_path)
    check_memory(planted, tmp_path)
    assert "drop_caches" not in played.output


def check_findings(findings: list[dict[str, Any]]) -> None:
    bad = {(each["id"], each["object"]) for each in findings if each["severity"] in ("warning", "critical")}
    assert bad >= {
        ("host.disk", "/srv/full"),
        ("host.inodes", "/srv/inodes"),
        ("host.units_failed", "planted-failed.service"),
        ("host.units_restarting", "planted-loop.service"),
        ("host.ports_undeclared", "tcp/8099"),
        ("host.zombies", ""),
        ("host.oom_limits", "system.slice/planted-hog.service"),
        ("host.processes_expected", "puma"),
    }
    # The clock and the kernel's messages are those of the machine below: judged there, and not unknown here.
    assert not {"host.oom", "host.disk_forecast"} & {each["id"] for each in findings if each["severity"] != "ok"}
    assert [each["severity"] for each in findings if each["id"] == "host.clock"] == ["ok"]


def check_disk(planted: Host, place: Path) -> None:
    left = planted.shell("cd /srv/full; find log pg -type f -o -type l | sort | xargs; cat precious; stat -c %i twice")
    assert left.splitlines()[0].split() == [
        *("log/hard.log.1", "log/link.log.1", "log/open.log.1", "log/wal", "log/young.log.1"),
        *("pg/PG_VERSION", "pg/pg_wal/000000010000000000000001", "pg/pg_wal/old.log"),
    ]
    assert left.splitlines()[1] == "precious"
    assert int(planted.shell("df --output=avail -B1 /srv/full | tail -1")) > 3_900_000
    folder = next((place / "incidents").glob("disk_full-*"))
    evidence, told = (json.loads((folder / f"{name}-planted.json").read_text()) for name in ("evidence", "timeline"))
    # F75: the evidence knows what was there before it was deleted.
    disk = next(each for each in evidence["health"]["disks"] if each["mount"] == "/srv/full")
    assert disk["used_percent"] == 100
    assert [each["phase"] for each in told["timeline"]] == [
        "evidence", "evidence", "diagnosis", "remedy", "verify", "record",
    ]  # fmt: skip
    assert {each["object"] for each in told["remedy"]["actions"]} == {"/srv/full/log", "/srv/full/pg/log"}
    compared = {(each["id"], each["object"]): each["outcome"] for each in told["compared"]}
    assert compared["incident.disk", "/srv/full"] == "cured"
    assert any(each["id"] == "incident.deleted_open" for each in told["found"])


def check_memory(planted: Host, place: Path) -> None:
    folder = next((place / "incidents").glob("memory-*"))
    evidence, told = (json.loads((folder / f"{name}-planted.json").read_text()) for name in ("evidence", "timeline"))
    assert [each["unit"] for each in evidence["health"]["oom"]["groups"]] == ["planted-hog.service"]
    assert [each["status"] for each in told["changes"]] == ["done"]
    now, before, started = planted.shell(
        "systemctl show --property MainPID --value planted-hog; cat /run/hog-before;"
        'date -d "$(systemctl show --property ActiveEnterTimestamp --value planted-hog)" +%s'
    ).split()
    assert now != before
    kept = (folder / "evidence-planted.json").stat().st_mtime
    assert kept <= int(started) + 1, "F75: the evidence was complete before the restart"
    assert dt.datetime.fromisoformat(told["timeline"][0]["at"].replace("Z", "+00:00")).timestamp() <= int(started) + 1
