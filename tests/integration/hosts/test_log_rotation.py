"""Rotation on a machine with the real logrotate, systemd and journald, with processes that number their lines."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.hosts.fleet import Fleet
from lab.hosts.machine import Host
from lab.hosts.modules import run_module
from lab.hosts.on_machines import play_on
from lab.paths import REPOSITORY
from lab.process import eventually

pytestmark = pytest.mark.xdist_group("log_rotation")

PATIENCE_SECONDS = 240
WRITER = REPOSITORY / "tests" / "lab" / "rotation" / "counting_writer.py"
LOGS = "/srv/shop/log"
# As an operations manual has it, but for the paths.
MANUAL = f"""\
{LOGS}/*.log {{
    daily
    missingok
    rotate 30
    compress
    delaycompress
    notifempty
    create 0644 deploy deploy
    postrotate
        systemctl reload shop
    endscript
}}
"""
UNIT = """\
[Service]
ExecStartPre=/bin/rm -f /run/shop/pid.end
ExecStart=/usr/bin/python3 /opt/counting_writer.py {log} /run/shop/pid {rate}
ExecReload=/bin/kill -HUP $MAINPID
User=deploy
UMask=0027
RuntimeDirectory=shop
RuntimeDirectoryPreserve=yes
"""
# Every number of every file, rotated or not, counted by other means than the module's.
COUNT = r"""
for each in {log}*; do case $each in *.gz) zcat "$each";; *) cat "$each";; esac; done |
    grep -o 'seq=[0-9]*' | cut -d= -f2 | sort -n > /tmp/numbers
echo "$(wc -l < /tmp/numbers) $(uniq /tmp/numbers | wc -l) $(tail -n 1 /tmp/numbers) $(cat /run/shop/pid.end)"
"""


def prepare(host: Host) -> None:
    host.copy_in(WRITER, "/opt/counting_writer.py")
    host.shell(
        f"useradd --system deploy; mkdir -p {LOGS}; chown deploy:deploy {LOGS}; chmod 2775 {LOGS};"
        f"for each in production sidekiq puma; do echo hello > {LOGS}/$each.log; done; chown deploy:deploy {LOGS}/*.log"
    )


def run_writer(host: Host, log: str, rate: int, *, has_reload: bool = True) -> None:
    unit = UNIT.format(log=log, rate=rate)
    host.write("/etc/systemd/system/shop.service", unit if has_reload else re.sub(r"ExecReload=.*\n", "", unit))
    host.shell("systemctl daemon-reload; systemctl restart shop")
    eventually(lambda: host.status("grep", "-q", "seq=100", log) == 0, "the writer writes")


def counted(host: Host, log: str) -> tuple[int, int, int, int]:
    """Lines, different numbers, the largest, and the last that the writer wrote, after it has ended."""
    host.run("systemctl", "stop", "shop")
    lines, different, largest, last = (int(each) for each in host.shell(COUNT.format(log=log)).split())
    return lines, different, largest, last


def entry(**options: Any) -> dict[str, Any]:
    return {
        "logs": [f"{LOGS}/production.log"], "su_user": "deploy", "su_group": "deploy",
        "reopen": {"method": "reload", "unit": "shop.service"}, **options,
    }  # fmt: skip


def rotate(host: Host, **options: Any) -> dict[str, Any]:
    return run_module(
        host, "log_rotate", {"logs": [f"{LOGS}/production.log"], "sequence_pattern": r"seq=(\d+)", **options}
    )


def test_rotation(machine: Host) -> None:
    prepare(machine)
    log = f"{LOGS}/production.log"

    # F55: logrotate skips every file of a directory that a group may write to; the manual's file has no su.
    machine.write("/etc/logrotate.d/shop", MANUAL)
    run_writer(machine, log, 10_000)
    ended = machine.process("logrotate", "--force", "/etc/logrotate.d/shop")
    assert ended.returncode == 1
    assert ended.stderr.count("parent directory has insecure permissions") == 3
    assert machine.status("test", "-e", f"{log}.1") == 1
    facts = run_module(machine, "logrotate_info", {"expected_logs": ["/var/log/backup.log", log]})
    found = {each["id"]: each for each in facts["problems"] if each["object"].startswith((LOGS, "/var/log/backup"))}
    assert set(found) == {"insecure_parent", "unshared_script", "world_readable", "not_covered"}
    assert found["insecure_parent"]["severity"] == "critical"
    assert found["not_covered"]["object"] == "/var/log/backup.log"
    assert not facts["valid"]
    refused = rotate(machine)
    assert refused["failed"]
    assert "insecure permissions" in refused["msg"]
    # With the su alone it would reload once for each of the three files; we refuse, logrotate does it.
    machine.write("/etc/logrotate.d/shop", MANUAL.replace("    daily\n", "    daily\n    su deploy deploy\n"))
    assert "without sharedscripts the postrotate script would run 3 times" in rotate(machine)["msg"]
    assert (
        machine.process("logrotate", "-v", "--force", "/etc/logrotate.d/shop").stderr.count("running postrotate") == 3
    )

    # What is not ours is not replaced, and what does not work is not installed.
    wanted: dict[str, Any] = {"name": "shop", "entries": [entry()]}
    assert "was not written by this module" in run_module(machine, "logrotate_config", wanted)["msg"]
    wanted["replaces"] = ["/etc/logrotate.d/shop"]
    no_su = run_module(machine, "logrotate_config", {**wanted, "entries": [entry(su_user=None, su_group=None)]})
    assert no_su["msg"].startswith("entries[0].su_user: None is not accepted.")
    twice = run_module(machine, "logrotate_config", {**wanted, "entries": [entry(), entry()]})
    assert "duplicate log entry" in twice["msg"]
    stranger = run_module(machine, "logrotate_config", {**wanted, "entries": [entry(su_user="nobody1", su_group="x")]})
    assert "unknown user" in stranger["msg"]
    assert "su deploy deploy" in machine.read("/etc/logrotate.d/shop"), "it is still the one by hand"

    # Check, real, again.
    planned = run_module(machine, "logrotate_config", wanted, check_mode=True)
    done = run_module(machine, "logrotate_config", wanted)
    assert (
        [each["action"] for each in planned["actions"]] == [each["action"] for each in done["actions"]] == ["replace"]
    )
    assert planned["diff"] == done["diff"]
    assert planned["after"] is None
    assert "systemctl reload shop\n" in machine.read(done["actions"][0]["backup"])
    assert not run_module(machine, "logrotate_config", wanted)["changed"]
    assert machine.status("logrotate", "-d", "/etc/logrotate.conf") == 0

    # Ten thousand lines a second over several rotations, and no line lost or doubled.
    assert rotate(machine, logs=["/var/log/nothing.log"])["msg"].startswith("logs: '/var/log/nothing.log'")
    dry = run_module(machine, "log_rotate", {"logs": [log]}, check_mode=True)
    assert (dry["changed"], dry["proof"], [each["object"] for each in dry["actions"]]) == (True, None, [log])
    for _turn in range(4):
        made = rotate(machine)
        proof = made["proof"]
        assert (proof["postrotate_count"], proof["lost_lines"], proof["doubled_lines"]) == (1, 0, 0), made
        was, now = made["before"][log], made["after"][log]
        assert was["inode"] != now["inode"]
        assert [each["name"] for each in now["writers"]] == ["python3"]
        assert (now["mode"], now["rotated_to"]) == ("0640", f"{log}.1")
    lines, different, largest, last = counted(machine, log)
    assert lines == different == largest == last
    assert machine.shell(f"cat {log}.1 | grep -c seq=") != "0"
    facts = run_module(machine, "logrotate_info", {"expected_logs": [log]})
    assert facts["valid"]
    told = next(each for each in facts["logs"] if each["path"] == log)
    assert told["last_rotated_at"]


def test_a_writer_that_stays_behind_is_named(machine: Host) -> None:
    """The reload says that it worked and the process goes on writing to the old file."""
    log = f"{LOGS}/deaf.log"
    machine.shell(f"rm -f {LOGS}/*")
    run_writer(machine, log, 1000, has_reload=False)
    options = {"name": "deaf", "entries": [entry(logs=[log])]}
    assert "cannot be reloaded: it has no ExecReload" in run_module(machine, "logrotate_config", options)["msg"]
    machine.shell(
        "sed -i '/ExecStart=/i ExecReload=/bin/true' /etc/systemd/system/shop.service; systemctl daemon-reload"
    )
    assert run_module(machine, "logrotate_config", options)["changed"]
    made = rotate(machine, logs=[log], reopen_timeout=1)
    assert made["failed"]
    assert "python3" in made["msg"]
    assert f"still writes to {log}.1" in made["msg"]
    assert machine.status("test", "-s", log) == 1, "and the new file is empty, as is seen by other means"
    lines, different, _largest, last = counted(machine, log)
    assert lines == different == last, "nothing is lost, because the old file is left uncompressed"
    assert run_module(machine, "logrotate_config", {"name": "deaf", "state": "absent"})["changed"]


def test_copytruncate_loses_lines_and_the_proof_counts_them(machine: Host) -> None:
    log = f"{LOGS}/flood.log"
    machine.shell(f"rm -f {LOGS}/*")
    # As fast as it can: the more is written between the copy and the truncation, the more is lost.
    run_writer(machine, log, 10_000_000)
    options = {"name": "flood", "entries": [entry(logs=[log], reopen={"method": "copytruncate"})]}
    assert run_module(machine, "logrotate_config", options)["changed"]
    lost, turns = 0, 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not lost and time.monotonic() < deadline:
        made = rotate(machine, logs=[log])
        assert made["proof"]["doubled_lines"] == 0
        assert made["before"][log]["inode"] == made["after"][log]["inode"]
        lost += made["proof"]["lost_lines"]
        turns += 1
    lines, different, _largest, last = counted(machine, log)
    assert lines == different
    assert lost > 0, f"no line was lost in {turns} turns"
    assert last - lines == lost, "what the module counted is what is missing in all files together"
    run_module(machine, "logrotate_config", {"name": "flood", "state": "absent"})


def test_limits_of_the_journal(machine: Host) -> None:
    machine.shell("mkdir -p /var/log/journal; journalctl --flush; logger marked-before")
    options = {"system_max_use": "512M", "max_retention": "90day"}
    assert "at least one limit" in run_module(machine, "journald_limits", {})["msg"]
    assert "a number with K, M, G or T" in run_module(machine, "journald_limits", {"system_max_use": "much"})["msg"]
    refused = run_module(machine, "journald_limits", {"system_max_use": "1M"})["msg"]
    assert "would delete" in refused
    planned = run_module(machine, "journald_limits", options, check_mode=True)
    done = run_module(machine, "journald_limits", options)
    assert planned["actions"] == [{**each, "backup": None} for each in done["actions"]]
    assert done["proof"]["sent_lines"] > 0
    assert done["proof"]["lost_lines"] == 0
    assert done["after"]["settings"] == {"SystemMaxUse": "512M", "MaxRetentionSec": "90day"}
    assert not run_module(machine, "journald_limits", options)["changed"]
    # journald itself says which limit holds, and what was there before still is.
    assert "max 512.0M" in machine.run("journalctl", "--no-pager", "--unit=systemd-journald.service", "--lines=20")
    assert "marked-before" in machine.run("journalctl", "--no-pager", "--grep=marked-before")
    later = {**options, "name": "10-runbook", "system_max_use": "600M"}
    for _run in range(2):
        assert "SystemMaxUse is set by a file that comes after" in run_module(machine, "journald_limits", later)["msg"]
    # Taking the limit away would bring another one into force.
    other = "/etc/systemd/journald.conf.d/50-other.conf"
    machine.shell(f"printf '[Journal]\\nSystemMaxUse=1M\\n' > {other}")
    assert "SystemMaxUse=1M would delete" in run_module(machine, "journald_limits", {"state": "absent"})["msg"]
    machine.shell(f"rm {other}")
    for name in ("10-runbook", "60-runbook"):
        assert run_module(machine, "journald_limits", {"state": "absent", "name": name})["changed"]


def test_the_roles_example(tmp_path: Path) -> None:
    """The playbook of the README, on the oldest machine, whose Python is 3.9."""
    text = (REPOSITORY / "roles" / "log_rotation" / "README.md").read_text(encoding="utf-8")
    example = yaml.safe_load(text.split("## Example")[1].split("```yaml\n")[1].split("```")[0])
    report = {"hosts": "localhost", "connection": "local", "gather_facts": False, "roles": ["runbook.ops.report"]}
    with Fleet({"shop1": 11}) as fleet:
        host = fleet["shop1"]
        prepare(host)
        host.shell("mkdir -p /var/log/journal; journalctl --flush")
        run_writer(host, f"{LOGS}/production.log", 1000)
        played = play_on(fleet, [*example, report], groups={"servers": ["shop1"]}, place=tmp_path)
        assert played.returncode == 0, played.output
        assert played.changed_hosts() == {"shop1"}, played.output
        assert host.status("test", "-s", f"{LOGS}/production.log.1") == 0
        assert "SystemMaxUse=2G" in host.read("/etc/systemd/journald.conf.d/60-runbook.conf")
        lines, different, _largest, last = counted(host, f"{LOGS}/production.log")
        assert lines == different == last
