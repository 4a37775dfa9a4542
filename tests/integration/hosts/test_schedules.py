"""Rounds of a real cron and a real systemd: what they never start is named, and what we write they do start."""

from __future__ import annotations

from typing import Any

import pytest
from lab.hosts.machine import Host
from lab.hosts.modules import run_module
from lab.process import eventually

pytestmark = pytest.mark.xdist_group("schedules")

# As an operations manual has it: four lines, none with a user.
MANUAL = """\
# /etc/cron.d/stockboom

# every night at two
0 2 * * * /path/to/stockboom/scripts/backup-postgres.sh

# every Sunday at three
0 3 * * 0 docker system prune -f

# every hour
0 * * * * curl -f http://localhost:3001/health || systemctl restart stockboom-api

# every night at four
0 4 * * * psql -U postgres -d stockboom -f /path/to/cleanup.sql
"""
# No shell may expand it.
SECRET = "p%ss $(id) `id` $HOME #;&| *"
BACKUP = "/path/to/stockboom/scripts/backup-postgres.sh"


def codes(facts: dict[str, Any], place: str) -> dict[int, set[str]]:
    """The problems of a file by line."""
    found: dict[int, set[str]] = {}
    for each in facts["problems"]:
        if each["source"] == place:
            found.setdefault(each["line"], set()).add(each["code"])
    return found


def test_the_manuals_file_is_refused_by_cron_and_named_by_us(machine: Host) -> None:
    """F48, F47: cron says so in its log only, once a file, and starts none of the lines."""
    # Nothing is wrong with what Debian brings.
    assert [each for each in run_module(machine, "schedule_info", {})["problems"] if each["level"] != "notice"] == []
    machine.write("/etc/cron.d/stockboom", MANUAL)
    # The manual's other chapter puts the same backup into root's crontab.
    machine.run("crontab", "-", text_in=f"0 2 * * * {BACKUP} >> /var/log/stockboom-backup.log 2>&1\n")
    machine.shell(
        "printf '0 5 * * * root true %%' > /etc/cron.d/half; echo '1 2 3' > /etc/cron.d/short;"
        "echo '*/5 25 * * * root true late' > /etc/cron.d/late;"
        "echo '0 1 * * * root true named' > /etc/cron.d/named.sh;"
        "echo '0 1 * * * root true open' > /etc/cron.d/open; chmod 0666 /etc/cron.d/open;"
        "printf '0 1 * * * true' > /etc/cron.d/shop.dpkg-old;"
        "systemctl restart cron; cd /etc/systemd/system;"
        # One is not for this machine, and systemd leaves it alone; the other was stopped.
        "for name in held ended; do echo '[Service]\nExecStart=/bin/true' > $name.service;"
        "echo '[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target' > $name.timer; done;"
        "echo '[Unit]\nConditionPathExists=/none' >> held.timer;"
        "systemctl daemon-reload; systemctl enable --now held.timer ended.timer; systemctl stop ended.timer"
    )
    try:
        said = machine.shell("journalctl --unit=cron --no-pager --output=cat")
        assert "bad username; while reading /etc/cron.d/stockboom" in said
        assert "*system*stockboom) ERROR (Syntax error, this crontab file will be ignored)" in said
        windows = [{"match": "*backup*", "blocked_window": ["00:00-09:00"], "timezone": "Asia/Seoul"},
                   {"match": "*backup*", "blocked_window": ["Sun 00:00-06:00"], "timezone": "UTC"}]  # fmt: skip
        facts = run_module(machine, "schedule_info", {"windows": windows})
    finally:
        machine.shell(
            "cd /etc/cron.d; rm -f stockboom half short late named.sh open shop.dpkg-old; crontab -r;"
            "systemctl restart cron; systemctl disable held.timer ended.timer;"
            "rm /etc/systemd/system/held.* /etc/systemd/system/ended.*; systemctl daemon-reload"
        )
    of_manual = codes(facts, "/etc/cron.d/stockboom")
    assert of_manual == {
        4: {"missing_user", "missing_program", "outside_window"},
        7: {"missing_user", "prune_without_filter"},
        10: {"missing_user", "missing_unit", "blind_restart", "no_timeout"},
        13: {"missing_user", "psql_ignores_errors"},
    }
    assert [each["refused"] for each in facts["entries"] if each["source"] == "/etc/cron.d/stockboom"] == [True] * 4
    (unit,) = [each for each in facts["problems"] if each["code"] == "missing_unit"]
    assert "there is no unit stockboom-api.service on this machine" in unit["message"]
    root = codes(facts, "/var/spool/cron/crontabs/root")
    # crontab(1) puts three lines of its own before it.
    assert root[4] >= {"duplicate", "outside_window"}
    (twice,) = [each for each in facts["problems"] if each["code"] == "duplicate"]
    assert twice["message"] == f"the same command is also scheduled in /etc/cron.d/stockboom:4 (0 2 * * *): {BACKUP}"
    assert codes(facts, "/etc/cron.d/half") == {0: {"no_final_newline"}, 1: {"unescaped_percent"}}
    assert codes(facts, "/etc/cron.d/short") == {1: {"bad_expression"}}
    assert codes(facts, "/etc/cron.d/late") == {1: {"bad_expression"}}
    assert codes(facts, "/etc/cron.d/named.sh") == {0: {"ignored_name"}}
    assert codes(facts, "/etc/cron.d/open") == {0: {"wrong_mode"}}
    assert codes(facts, "/etc/cron.d/shop.dpkg-old") == {0: {"leftover"}}
    assert (codes(facts, "held.timer"), codes(facts, "ended.timer")) == ({}, {0: {"timer_stopped"}})
    assert facts["cron_running"] is True


def round_of(backend: str) -> dict[str, Any]:
    script = (
        f'echo "50% of $RUNBOOK, $(id -un), $(pwd), $PASSWORD" >> /var/tmp/rounds-{backend}/ran;'
        f'echo "a line of {backend}"'
    )
    return {
        "name": "minutely",
        "at": "* * * * *",
        "user": "daemon",
        "directory": f"/var/tmp/rounds-{backend}",
        "environment": {"RUNBOOK": 'a "b" c%', "PASSWORD": "of everybody"},
        "environment_file": f"/etc/rounds-{backend}.env",
        "command": ["/bin/sh", "-c", script],
        "timeout": "5m",
    }


def test_ours_are_started_once_and_only_ours_are_removed(machine: Host) -> None:
    sets = {backend: {"name": f"by{backend}", "backend": backend, "rounds": [round_of(backend)]} for backend in
            ("cron", "systemd")}  # fmt: skip
    machine.shell(
        "mkdir -p /var/tmp/rounds-cron /var/tmp/rounds-systemd; chown daemon /var/tmp/rounds-*;"
        "echo '[Unit]' > /etc/systemd/system/runbook-bysystemd-foreign.service;"
        "echo '# of somebody' > /etc/cron.d/runbook-taken;"
        # The last line of one has no end. systemd reads its own as root, and cron's round as itself.
        f"umask 077; cd /etc; printf '%s' '# a note\n\nPASSWORD={SECRET}' | tee rounds-cron.env > rounds-systemd.env;"
        "chown daemon rounds-cron.env"
    )
    planned = {name: run_module(machine, "schedule", args, check_mode=True) for name, args in sets.items()}
    assert machine.status("test", "-e", "/etc/cron.d/runbook-bycron") == 1
    done = {name: run_module(machine, "schedule", args) for name, args in sets.items()}
    for name, result in done.items():
        assert result["changed"], result
        assert planned[name]["actions"] == result["actions"]
        assert planned[name]["diff"] == result["diff"]
        assert SECRET not in repr([planned[name], result])
        assert result["problems"] == [] or {each["level"] for each in result["problems"]} == {"notice"}
        assert not run_module(machine, "schedule", sets[name])["changed"]
    for name in sets:
        eventually(
            lambda name=name: machine.status("test", "-e", f"/var/tmp/rounds-{name}/ran") == 0, f"{name} starts it"
        )
        ran = machine.read(f"/var/tmp/rounds-{name}/ran").splitlines()
        assert ran[0] == f'50% of a "b" c%, daemon, /var/tmp/rounds-{name}, {SECRET}'
        journal = f"journalctl --no-pager --output=cat --identifier=runbook-by{name}-minutely"
        eventually(
            lambda name=name, journal=journal: f"a line of {name}" in machine.shell(journal), "it is in the journal"
        )
    # Cron's lines have a lock of their own; what cron would run is run by hand while it is held.
    line = machine.read("/etc/cron.d/runbook-bycron").splitlines()[-1]
    by_hand = line.split("daemon ", 1)[1].replace("\\%", "%").split("--verbose ", 1)[1]
    lock = "/run/lock/runbook-bycron-minutely.lock"
    machine.write(
        "/var/tmp/twice", f'flock {lock} flock --nonblock --conflict-exit-code=75 {by_hand}\necho "ended $?"\n'
    )
    assert "ended 75" in machine.shell("sh /var/tmp/twice")

    info = run_module(machine, "schedule_info", {})
    timer = next(each for each in info["entries"] if each["source"] == "runbook-bysystemd-minutely.timer")
    assert (timer["last_result"], timer["last_status"], timer["active"]) == ("success", 0, True)
    ours = [each for each in info["entries"] if each["set"] == "bycron"]
    assert [(each["name"], each["user"], each["refused"]) for each in ours] == [("minutely", "daemon", False)]

    # Another time: the timer goes by it at once. By the other backend: the first one's files are gone.
    later = {**sets["systemd"], "rounds": [{**round_of("systemd"), "at": "30 9 1,15 * mon", "timezone": "Asia/Seoul"}]}
    changed = run_module(machine, "schedule", later)
    assert {"action": "start anew", "object": "runbook-bysystemd-minutely.timer"} in changed["actions"]
    shown = machine.shell("systemctl show -p TimersCalendar runbook-bysystemd-minutely.timer")
    assert "OnCalendar=*-*-01,15 09:30:00 Asia/Seoul" in shown
    assert "OnCalendar=Mon *-*-* 09:30:00 Asia/Seoul" in shown
    moved = run_module(machine, "schedule", {**sets["cron"], "backend": "systemd"})
    assert machine.status("test", "-e", "/etc/cron.d/runbook-bycron") == 1, moved
    assert machine.shell("systemctl is-enabled runbook-bycron-minutely.timer") == "enabled"
    for name in ("bycron", "bysystemd"):
        assert run_module(machine, "schedule", {"name": name, "state": "absent"})["changed"]
        assert not run_module(machine, "schedule", {"name": name, "state": "absent"})["changed"]
    left = machine.shell(
        "ls /etc/cron.d /etc/systemd/system | grep runbook; systemctl list-timers --all | grep -c runbook || true"
    )
    assert left.split() == ["runbook-taken", "runbook-bysystemd-foreign.service", "0"]


def test_what_would_not_run_or_does_harm_is_refused_as_a_whole(machine: Host) -> None:
    good = {"name": "good", "at": "0 5 * * *", "command": ["/bin/true"]}
    machine.run("crontab", "-", text_in="0 2 * * * cd /srv && /bin/false --backup >> /var/log/x 2>&1\n")
    machine.write("/etc/cron.d/runbook-mine", "# by hand\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"rounds": [good, {**good, "name": "bad", "at": "0 25 * * *"}]}, "rounds[1].at: '0 25 * * *' is not accepted"),
        ({"rounds": [{**good, "user": "stockboom"}]}, "rounds[0].user: 'stockboom' is not accepted"),
        ({"rounds": [good, good]}, "a name that only one of the rounds has"),
        ({"rounds": [{**good, "timezone": "Asia/Seoul"}]}, "which only knows the machine's clock"),
        ({"rounds": [good, {**good, "name": "again", "command": ["/bin/false", "--backup"]}]},
         "round again: the same command is also scheduled in /var/spool/cron/crontabs/root:4 (0 2 * * *)"),
        ({"rounds": [{**good, "command": ["/opt/none"]}]}, "round good: there is no /opt/none on this machine"),
        ({"rounds": [good], "windows": [{"blocked_window": ["04:00-06:00"]}]}, "round good: it starts at"),
        ({"name": "mine", "rounds": [good]}, "/etc/cron.d/runbook-mine: there is a file of that name"),
        ({"backend": "systemd", "rounds": [{**good, "command": ["no-such-program"]}]}, "systemd would not accept"),
    ]  # fmt: skip
    # A file that everybody may read, or somebody else could change, or that does not say what it seems to.
    for name, made, message in (
        ("open", "chmod 0604 {0}", "/etc/open.env: others than its owner may read or change it (mode 0604)"),
        ("grouped", "chmod 0660 {0}", "others than its owner may read or change it (mode 0660)"),
        ("other", "chmod 0600 {0}; chown bin {0}", "it belongs neither to root nor to daemon"),
        ("unread", "chmod 0600 {0}", "/etc/unread.env: daemon may not read it, and with backend=cron"),
        ("exported", "echo 'export B=hunter2' > {0}; chmod 0640 {0}; chgrp daemon {0}", "line 1 is not NAME=value"),
        ("none", "rm {0}", "/etc/none.env: the environment file of rounds of daemon is not there"),
        ("dir", "rm {0}; mkdir {0}", "/etc/dir.env: the environment file is no file"),
    ):
        path = f"/etc/{name}.env"
        machine.shell(f"echo A=hunter2 > {path}; " + made.format(path))
        cases.append(({"rounds": [{**good, "user": "daemon", "environment_file": path}]}, message))
    try:
        for more, message in cases:
            result = run_module(machine, "schedule", {"name": "refused", **more})
            assert result.get("failed"), more
            assert message in result["msg"], result["msg"]
            assert "hunter2" not in repr(result)
        reported = run_module(
            machine, "schedule", {"name": "mine", "rounds": [good], "on_refusal": "report"}, check_mode=True
        )
        assert (reported["changed"], len(reported["refused"])) == (False, 1)
        assert machine.shell("ls /etc/cron.d /etc/systemd/system | grep -c refused || true") == "0"
        assert machine.read("/etc/cron.d/runbook-mine") == "# by hand\n"
    finally:
        machine.shell("crontab -r; rm -r /etc/cron.d/runbook-mine /etc/*.env")
