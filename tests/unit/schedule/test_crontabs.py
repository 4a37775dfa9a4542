"""Lines of crontabs, and what is wrong with them, by themselves and together."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Entry, normalised, parse_crontab
from ansible_collections.runbook.ops.plugins.module_utils.schedule.lint import (
    clock_changes,
    clock_notes,
    is_leftover,
    leaves_to_systemd,
    lint_collisions,
    lint_command,
    lint_duplicates,
    lint_file,
    lint_windows,
)

USERS = frozenset(("root", "deploy", "backup"))
SEOUL = ZoneInfo("Asia/Seoul")
# A Sunday at noon.
NOW = dt.datetime(2026, 11, 1, 12, 0, tzinfo=dt.timezone.utc)


def entries(text: str, source: str = "/etc/cron.d/a", user: str = "") -> list[Entry]:
    return parse_crontab(text, source, user=user, known_users=USERS).entries


@pytest.mark.parametrize(
    ("line", "codes", "user", "command"),
    [
        ("0 2 * * * root /bin/a --b", [], "root", "/bin/a --b"),
        ("@daily\tdeploy  a b", [], "deploy", "a b"),
        ("@reboot root a", [], "root", "a"),
        ("0 2 * * * /bin/a", ["missing_user"], "", "/bin/a"),
        ("0 2 * * * docker system prune -f", ["missing_user"], "", "docker system prune -f"),
        ("0 2 * * * gone --all", ["missing_user"], "", "gone --all"),
        ("0 2 * * * gone a", ["unknown_user"], "gone", "a"),
        ("0 2 * * * root", ["missing_command"], "root", ""),
        ("0 2 * * *", ["missing_user"], "", ""),
        ("0 26 * * * root a", ["bad_expression"], "root", "a"),
        ("1 2 3", ["bad_expression"], "", ""),
        ("0 2 * * * root date +%F", ["unescaped_percent"], "root", "date +%F"),
        ("0 2 * * * root date +\\%F", [], "root", "date +\\%F"),
    ],
)
def test_a_line_of_a_system_crontab(line: str, codes: list[str], user: str, command: str) -> None:
    found = parse_crontab(f"MAILTO=''\n# why\n\n{line}\n", "/etc/cron.d/a", known_users=USERS)
    (entry,) = found.entries
    assert [each.code for each in found.problems] == codes
    assert (entry.user, entry.command, entry.line, entry.environment) == (user, command, 4, {"MAILTO": ""})
    assert entry.is_refused is any(each.level == "error" for each in found.problems)


def test_a_users_crontab_has_no_user_and_survives_a_bad_line() -> None:
    found = parse_crontab("0 2 * * * docker ps\n0 26 * * * a\n", "/var/spool/cron/crontabs/ops", user="ops")
    assert [(each.user, each.command, each.is_refused) for each in found.entries] == [
        ("ops", "docker ps", False),
        ("ops", "a", False),
    ]
    assert [each.message for each in found.problems] == [
        "the hour '26' is not from 0 to 23, and cron ignores the crontab of ops"
    ]


def test_without_its_last_line_break_a_file_is_ignored() -> None:
    found = parse_crontab("0 2 * * * root a", "/etc/cron.d/a", known_users=USERS)
    assert [(each.code, each.level, each.line) for each in found.problems] == [("no_final_newline", "error", 0)]
    assert found.entries[0].is_refused


@pytest.mark.parametrize(
    ("source", "mode", "owner", "codes"),
    [
        ("/etc/cron.d/shop", 0o100644, 0, []),
        ("/etc/cron.d/shop.sh", 0o100644, 0, ["ignored_name"]),
        ("/etc/cron.d/shop", 0o100664, 0, ["wrong_mode"]),
        ("/etc/cron.d/shop", 0o100600, 1000, ["wrong_owner"]),
        ("/etc/crontab", 0o100644, 0, []),
    ],
)
def test_files_that_cron_does_not_read(source: str, mode: int, owner: int, codes: list[str]) -> None:
    assert [each.code for each in lint_file(source, mode=mode, owner=owner, is_debian=True)] == codes


@pytest.mark.parametrize(
    ("name", "on_debian", "on_red_hat"),
    [
        ("sysstat.dpkg-old", True, False),
        ("shop.ucf-dist", True, False),
        ("shop~", True, True),
        ("shop.bak", True, False),
        ("shop.disabled", True, False),
        ("shop.rpmsave", False, True),
        # Somebody means it to run.
        ("shop.sh", False, False),
        ("shop", False, False),
    ],
)
def test_leftovers(name: str, on_debian: bool, on_red_hat: bool) -> None:
    assert is_leftover(name, is_debian=True) is on_debian
    assert is_leftover(name, is_debian=False) is on_red_hat


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        # e2fsprogs, certbot and php as Debian has them.
        ("test -e /run/systemd/system || SERVICE_MODE=1 /sbin/e2scrub_all -A -r", True),
        ("test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))'", True),
        (
            "[ -x /usr/lib/php/sessionclean ] && if [ ! -d /run/systemd/system ]; then /usr/lib/php/sessionclean; fi",
            True,
        ),
        ("[ -d /run/systemd/system ] || /usr/bin/own", True),
        ("test -d /run/systemd/system && systemctl start shop", False),
        ("cd / && run-parts --report /etc/cron.hourly", False),
    ],
)
def test_lines_that_leave_their_work_to_a_timer(command: str, expected: bool) -> None:
    assert leaves_to_systemd(command) is expected


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        ("docker system prune -f", ["prune_without_filter"]),
        ("docker system prune -f --filter until=168h", []),
        ("psql -f x.sql", ["psql_ignores_errors"]),
        ("psql --set ON_ERROR_STOP=1 -f x.sql", []),
        ("curl -f localhost || systemctl restart api", ["blind_restart", "no_timeout"]),
        ("curl --max-time 5 -f localhost", []),
        ("/usr/bin/true", []),
    ],
)
def test_commands_that_do_harm(command: str, codes: list[str]) -> None:
    (entry,) = entries(f"0 2 * * * root {command}\n")
    assert [each.code for each in lint_command(entry)] == codes


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cd /srv && /bin/a -x >> /var/log/a.log 2>&1", "/bin/a -x"),
        ("/usr/bin/flock -n /run/a.lock nice -n 10 /bin/a -x", "/bin/a -x"),
        ("FOO='1 2' BAR=3 timeout 30m /bin/a -x 2>/dev/null", "/bin/a -x"),
        ("bash /bin/a -x | logger -t a", "/bin/a -x"),
        ("/bin/a +\\%F", "/bin/a +%F"),
    ],
)
def test_the_same_work_looks_the_same(command: str, expected: str) -> None:
    assert normalised(command) == expected


def test_duplicates_are_across_files_only() -> None:
    twice = entries("0 9 * * * root /bin/check\n0 17 * * * root /bin/check\n")
    assert not list(lint_duplicates(twice))
    other = entries("0 2 * * * /bin/check > /dev/null\n", "/var/spool/cron/crontabs/root", user="root")
    messages = [each.message for each in lint_duplicates([*twice, *other])]
    assert messages[-1] == (
        "the same command is also scheduled in /etc/cron.d/a:1 (0 9 * * *), /etc/cron.d/a:2 (0 17 * * *): /bin/check"
    )


def test_no_problem_tells_a_password() -> None:
    command = "mysqldump -u backup -pS3cret99 shop"
    # Without its user in a system crontab, and once more in a user's.
    found = parse_crontab(f"0 2 * * * /usr/bin/{command}\n", "/etc/cron.d/a", known_users=frozenset(("root",)))
    twice = [*entries(f"0 3 * * * root {command}\n"), *entries(f"0 4 * * * {command}\n", "/var/spool/b", user="root")]
    problems = [*found.problems, *lint_duplicates(twice)]
    assert [each.code for each in problems] == ["missing_user", "duplicate"]
    assert all("mysqldump -u backup -p<hidden> shop" in each.text for each in problems)
    assert "S3cret99" not in str([each.as_dict() for each in problems])


def test_backups_in_one_minute_are_worse_than_others() -> None:
    lines = "0 2 * * * root /bin/backup-db\n0 2 * * 1 root pg_dump x\n0 2 * * * root /bin/a\n*/5 * * * * root b\n"
    found = [(each.code, each.line, each.message) for each in lint_collisions(entries(lines), NOW)]
    assert found == [
        ("two_backups", 2, "both are backups and start at Mon 02:00: this one and /etc/cron.d/a:1"),
        ("same_minute", 3, "both start at Mon 02:00: this one and /etc/cron.d/a:1"),
        ("same_minute", 3, "both start at Mon 02:00: this one and /etc/cron.d/a:2"),
    ]


@pytest.mark.parametrize(
    ("line", "agreed", "expected"),
    [
        # Two at night in UTC is eleven in Seoul, when the market is open.
        ("0 2 * * * root backup", {"blocked_window": ["Mon-Fri 09:00-15:30"], "timezone": "Asia/Seoul"},
         ["it starts at Mon 02:00 on this machine's clock, within the hours kept free "
          "(Mon-Fri 09:00-15:30 in Asia/Seoul)"]),
        ("0 3 * * * root backup", {"blocked_window": ["Sun 02:00-06:00"]},
         ["it starts at Sun 03:00 on this machine's clock, within the hours kept free (Sun 02:00-06:00 in UTC)"]),
        ("0 3 * * mon root backup", {"blocked_window": ["Sun 02:00-06:00"]}, []),
        ("0 3 * * * root backup", {"window": ["Sun 02:00-06:00"]},
         ["it starts at Mon 03:00 on this machine's clock, outside (Sun 02:00-06:00 in UTC)"]),
        ("0 3 * * * root other", {"match": "*backup*", "window": ["Sun 02:00-06:00"]}, []),
    ],
)  # fmt: skip
def test_agreed_times(line: str, agreed: dict[str, object], expected: list[str]) -> None:
    found = lint_windows(entries(f"{line}\n"), [agreed], NOW, dt.timezone.utc)
    assert [each.message for each in found] == expected


def test_clocks_change_twice_a_year_or_never() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert [(day.isoformat(), sorted(hours), forward) for day, hours, forward in clock_changes(NOW, berlin)] == [
        ("2027-03-28", [2], True),
        ("2027-10-31", [2], False),
    ]
    assert not list(clock_changes(NOW, SEOUL))
    lines = "30 2 * * * root a\n30 4 * * * root b\n30 * * * * root c\n30 2 1 * * root d\n"
    assert clock_notes(entries(lines), NOW, berlin) == [
        "/etc/cron.d/a:1: on 2027-03-28 its hour is left out, because the clocks change; it starts late, unless it is "
        "moved out of 01:00-03:00"
    ]
