"""Processes, their units and their command lines."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.host import processes
from ansible_collections.runbook.ops.plugins.module_utils.host.commandline import shown_command

STAT = (
    "4711 (tricky) name) D 1 4711 4711 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 3600 226 512 18446744073709551615 1 1"
)


def test_a_name_may_hold_brackets() -> None:
    found = processes.read_process(STAT, 4096)
    assert (found.pid, found.name, found.state, found.parent) == (4711, "tricky) name", "D", 1)
    assert (found.ticks, found.started, found.resident_bytes) == (200, 3600, 512 * 4096)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        # Debian 11 to 13: version 2 alone.
        ("0::/system.slice/ssh.service\n", "ssh.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app.service\n", "app.service"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
        ("0::/init.scope\n", "init.scope"),
        ("0::/\n", ""),
        # Version 1, and both at once as in a container without a namespace of its own.
        ("9:name=systemd:/system.slice/cron.service\n4:memory:/system.slice/cron.service\n0::/\n", "cron.service"),
        ("9:name=systemd:/docker/abc/system.slice/system-getty.slice/getty@tty1.service\n", "getty@tty1.service"),
        ("", ""),
    ],
)
def test_units(text: str, unit: str) -> None:
    assert processes.unit_of(text) == unit


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["nginx", "-g", "daemon off;"], "nginx -g daemon off;"),
        (["app", "--password", "s3cret", "--port", "80"], "app --password <hidden> --port 80"),
        (["app", "--db-password=s3cret"], "app --db-password=<hidden>"),
        (["app", "--token", "--verbose"], "app --token --verbose"),
        (["/usr/bin/mysqldump", "-ps3cret", "-u", "root"], "/usr/bin/mysqldump -p<hidden> -u root"),
        (["redis-cli", "-a", "s3cret", "ping"], "redis-cli -a <hidden> ping"),
        (["redis-server", "--requirepass", "s3 cret", "--port", "1"], "redis-server --requirepass <hidden> --port 1"),
        (["sh", "-c", "mysqldump -ps3cret shop"], "sh -c mysqldump -p<hidden> shop"),
        (["curl", "-u", "me:s3cret", "http://x/"], "curl -u <hidden> http://x/"),
        (["worker", "postgres://u:s3cret@db/app"], "worker postgres://<hidden>@db/app"),
        (["sh", "-c", "PGPASSWORD=s3cret psql"], "sh -c PGPASSWORD=<hidden> psql"),
        (["puma: worker password=s3cret"], "puma: worker password=<hidden>"),
        (["a\nb", "x" * 400], "a b " + "x" * 295 + "…"),
        ([], ""),
    ],
)
def test_no_secret_is_shown(argv: list[str], shown: str) -> None:
    assert shown_command(argv) == shown


def test_declared_processes_are_counted() -> None:
    commands = ["puma: cluster worker 0", "puma: cluster worker 1", "/usr/bin/node server.js"]
    wanted = [
        {"name": "puma", "pattern": "^puma", "min": 2, "max": None},
        {"name": "rails", "pattern": r"\brails\b", "min": 1, "max": None},
        {"name": "node", "pattern": "node", "min": 0, "max": 0},
    ]
    counted = processes.count_matching(commands, wanted)
    assert [(each["found_count"], each["is_met"]) for each in counted] == [(2, True), (0, False), (1, False)]


def test_a_number_that_was_used_again_is_another_process() -> None:
    one = processes.read_process(STAT, 1)
    another = processes.read_process(STAT.replace(" 3600 ", " 9999 ").replace(" 150 ", " 900 "), 1)
    later = processes.read_process(STAT.replace(" 150 ", " 200 "), 1)
    assert processes.cpu_percents({4711: one}, {4711: later}, 100) == {4711: 50.0}
    assert processes.cpu_percents({4711: one}, {4711: another}, 100) == {}
