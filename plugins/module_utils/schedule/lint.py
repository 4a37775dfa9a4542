# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the rounds of a machine, taken together. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import in_window
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Entry, Problem, normalised

HORIZON_DAYS = 8
# What starts more often than this is no appointment that could collide.
_OFTEN = 48
BACKUP = re.compile(r"backup|\bdump|pg_dump|pg_basebackup|pgbackrest|barman|restic|\bborg|mysqldump", re.IGNORECASE)
SYSTEMCTL = re.compile(r"\bsystemctl\s+(?:--?\S+\s+)*(?:try-)?(?:restart|start|reload)\s+(?:--?\S+\s+)*([\w@:.-]+)")
_VALID_NAME = re.compile(r"[A-Za-z0-9_-]+")
# What package managers and editors leave beside a file; cron of the Red Hat family reads .bak and its like.
_LEFTOVERS = {
    True: re.compile(r".*(\.(dpkg|ucf)-[a-z]+|~|\.(bak|orig|old|save|swp|disabled))", re.IGNORECASE),
    False: re.compile(r".*(\.rpm(save|orig|new)|~)"),
}
_LEFT_TO_SYSTEMD = re.compile(r"!\s+-[de]\s+/run/systemd/system\b|-[de]\s+/run/systemd/system\s*\]*\s*\|\|")


def lint_command(entry: Entry) -> Iterator[Problem]:
    """Commands that do harm whenever they run."""
    command = entry.command
    checks = (
        (
            re.search(r"\bdocker\s+system\s+prune\b", command) and "until=" not in command,
            "prune_without_filter",
            "docker system prune without a filter also removes the stopped containers that an incident needs",
            "Add --filter until=168h, and never --volumes.",
        ),
        (
            re.search(r"\bpsql\b", command) and "ON_ERROR_STOP" not in command,
            "psql_ignores_errors",
            "psql goes on after an error and ends with success",
            "Add --set ON_ERROR_STOP=1 --no-psqlrc, a host, and a lock.",
        ),
        (
            re.search(r"\|\|\s*(?:sudo\s+)?(?:systemctl|service|docker)\b.*\brestart\b", command),
            "blind_restart",
            "it restarts without an alert, without evidence and as often as it likes",
            "Alert first; restart with runbook.ops.service_restart, which keeps evidence and counts.",
        ),
        (
            re.search(r"\bcurl\b", command) and not re.search(r"--max-time|\s-m\b|\btimeout\b", command),
            "no_timeout",
            "curl without --max-time waits for ever for a server that accepts and says nothing",
            "Add --max-time 10.",
        ),
    )
    for is_wrong, code, message, remedy in checks:
        if is_wrong:
            yield Problem(code, "warning", entry.source, entry.line, message, remedy, entry.text)


def leaves_to_systemd(command: str) -> bool:
    """Whether a line does nothing where systemd runs, because a timer has its work."""
    return bool(_LEFT_TO_SYSTEMD.search(command))


def is_leftover(name: str, *, is_debian: bool) -> bool:
    """Whether a file is one that nobody means to be started, and that cron does not read."""
    return bool(_LEFTOVERS[is_debian].fullmatch(name))


def leftover(source: str) -> Problem:
    """The note about such a file."""
    message = "it was left behind by a package or an editor, and cron does not read it"
    return Problem("leftover", "notice", source, 0, message, "Remove it when it is no longer needed.")


def lint_file(source: str, *, mode: int, owner: int, is_debian: bool) -> Iterator[Problem]:
    """Files that cron does not read, whatever is in them."""
    name = source.rsplit("/", 1)[-1]
    if is_debian and "/cron." in source and not _VALID_NAME.fullmatch(name):
        yield Problem(
            "ignored_name", "error", source, 0,
            f"cron ignores files with other characters than letters, digits, _ and - in their name: {name}",
            f"Call it {re.sub(r'[^A-Za-z0-9_-]+', '-', name).strip('-')}.",
        )  # fmt: skip
    if mode & 0o022:
        yield Problem(
            "wrong_mode", "error", source, 0,
            f"others than its owner may write it (mode {mode & 0o777:04o}), and cron ignores it",
            "chmod 0644",
        )  # fmt: skip
    if owner != 0:
        yield Problem(
            "wrong_owner", "error", source, 0, f"it belongs to user {owner} and not to root, and cron ignores it",
            "chown root:root",
        )  # fmt: skip


def lint_duplicates(entries: Sequence[Entry]) -> Iterator[Problem]:
    """The same work started from several places."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        key = normalised(entry.command)
        if key and entry.kind != "directory":
            groups.setdefault(key, []).append(entry)
    for key, group in groups.items():
        if len({entry.source for entry in group}) > 1:
            for entry in group[1:]:
                others = ", ".join(f"{each.object} ({each.schedule})" for each in group if each is not entry)
                yield Problem(
                    "duplicate", "warning", entry.source, entry.line,
                    f"the same command is also scheduled in {others}: {redact_text(key)[:120]}",
                    "Keep one of them.",
                    entry.text,
                )  # fmt: skip


def lint_collisions(entries: Sequence[Entry], now: dt.datetime) -> Iterator[Problem]:
    """Two rounds in the same minute; two backups at the same time load the same disks and database."""
    taken: dict[dt.datetime, list[Entry]] = {}
    told: set[tuple[str, str]] = set()
    for entry in entries:
        if entry.expression is None or entry.expression.starts_a_day > _OFTEN or entry.kind == "directory":
            continue
        for moment in entry.expression.starts(now.replace(tzinfo=None, second=0), HORIZON_DAYS):
            for other in taken.get(moment, ()):
                pair = (other.object, entry.object)
                if pair in told:
                    continue
                told.add(pair)
                yield _collision(entry, other, moment)
            taken.setdefault(moment, []).append(entry)


def _collision(entry: Entry, other: Entry, moment: dt.datetime) -> Problem:
    both = all(BACKUP.search(f"{each.name} {each.command}") for each in (entry, other))
    code, level = ("two_backups", "warning") if both else ("same_minute", "notice")
    what = "both are backups and start" if both else "both start"
    return Problem(
        code, level, entry.source, entry.line, f"{what} at {moment:%a %H:%M}: this one and {other.object}",
        "Move one of them.", entry.text,
    )  # fmt: skip


def lint_windows(
    entries: Sequence[Entry], windows: Iterable[Mapping[str, Any]], now: dt.datetime, zone: dt.tzinfo
) -> Iterator[Problem]:
    """Rounds at times that are kept free, or outside of those that were agreed.

    Args:
        entries: The rounds; their times are on the wall clock of C(zone).
        windows: What was agreed; C(match) is a pattern for name, command or source.
        now: The moment on that clock from which on it is looked ahead.
        zone: The machine's timezone.

    """
    for agreed in windows:
        for entry in entries:
            if entry.expression is not None and matches(entry, str(agreed.get("match") or "*")):
                problem = _outside(entry, agreed, now, zone)
                if problem:
                    yield problem


def matches(entry: Entry, pattern: str) -> bool:
    """Whether a pattern is about an entry, by its name, its command or its file."""
    return any(fnmatch(text, pattern) for text in (entry.name, entry.command, entry.source) if text)


def _outside(entry: Entry, agreed: Mapping[str, Any], now: dt.datetime, zone: dt.tzinfo) -> Problem | None:
    name = str(agreed.get("timezone") or "UTC")
    if entry.expression is None:
        return None
    for moment in entry.expression.starts(now.replace(tzinfo=None, second=0), HORIZON_DAYS):
        aware = moment.replace(tzinfo=zone).astimezone(dt.timezone.utc)
        blocked, window = agreed.get("blocked_window") or [], agreed.get("window") or []
        is_blocked = bool(blocked) and in_window(aware, blocked, name)
        if is_blocked or (window and not in_window(aware, window, name)):
            why = f"within the hours kept free ({', '.join(blocked)}" if is_blocked else f"outside ({', '.join(window)}"
            return Problem(
                "outside_window", "warning", entry.source, entry.line,
                f"it starts at {moment:%a %H:%M} on this machine's clock, {why} in {name})",
                "Move it to another time.", entry.text,
            )  # fmt: skip
    return None


def clock_notes(entries: Sequence[Entry], now: dt.datetime, zone: dt.tzinfo) -> list[str]:
    """Rounds whose hour is left out, or comes twice, when the clocks change within a year."""
    notes = []
    changes = list(clock_changes(now, zone))
    for entry in entries:
        expression = entry.expression
        if expression is None or expression.hours_any:
            continue
        for day, hours, forward in changes:
            if expression.is_due_on(day) and expression.hours & hours:
                how = "is left out" if forward else "comes twice"
                notes.append(
                    f"{entry.name or entry.object}: on {day.isoformat()} its hour {how}, because the clocks change; "
                    f"{'it starts late' if forward else 'it may start twice'}, unless it is moved out of 01:00-03:00"
                )
                break
    return notes


def clock_changes(now: dt.datetime, zone: dt.tzinfo) -> Iterator[tuple[dt.date, frozenset[int], bool]]:
    """The days of a year on which the clocks change: the hours concerned, and whether the clocks go forward."""
    start = now.astimezone(dt.timezone.utc).replace(minute=0, second=0, microsecond=0)
    before = start.astimezone(zone)
    for offset in range(1, 366 * 24):
        moment = (start + dt.timedelta(hours=offset)).astimezone(zone)
        moved = _offset(moment) - _offset(before)
        if moved > dt.timedelta(0):
            yield moment.date(), frozenset((before.hour + 1 + n) % 24 for n in range(_hours(moved))), True
        elif moved < dt.timedelta(0):
            yield moment.date(), frozenset((moment.hour + n) % 24 for n in range(_hours(-moved))), False
        before = moment


def _offset(moment: dt.datetime) -> dt.timedelta:
    return moment.utcoffset() or dt.timedelta(0)


def _hours(moved: dt.timedelta) -> int:
    return max(1, int(moved.total_seconds() // 3600))
