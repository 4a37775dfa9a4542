# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a configuration and the files it is about. Pure: facts in, problems out."""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import LogFile, is_glob
from ansible_collections.runbook.ops.plugins.module_utils.rotation.reading import Configuration, Rule
from ansible_collections.runbook.ops.plugins.module_utils.rotation.writers import Writers

# Days after which a rotation is overdue: twice the period, and a day for the moment at which cron runs.
_LATE_DAYS = {"hourly": 2, "daily": 3, "weekly": 15, "monthly": 63, "yearly": 732}
_RELOADS = re.compile(r"systemctl\s+(?:-\S+\s+)*reload\s+(?:-\S+\s+)*(\S+)")
_REPEATED = re.compile(r"^(?:\S+:\d+ duplicate log entry for (?P<log>.+)|skipping \"(?P<path>[^\"]+)\" because parent)")


@dataclass
class Surroundings:
    """What is known beside the configuration."""

    logs: Mapping[int, Sequence[LogFile]]
    writers: Writers
    last: Mapping[str, dt.datetime]
    now: dt.datetime
    secret_patterns: Sequence[str] = ()
    large_bytes: int = 1 << 30
    # Whether a unit can be reloaded; a unit that is not there is not in it.
    can_reload: Mapping[str, bool] = field(default_factory=dict)


def problem(kind: str, severity: str, object_: str, detail: str, remedy: str, **where: Any) -> dict[str, Any]:
    """One problem, in the shape of the result."""
    place = {
        "file": None,
        "line": None,
        **{key: str(value) if key == "file" else value for key, value in where.items()},
    }
    return {"id": kind, "severity": severity, "object": object_, "detail": detail, "remedy": remedy, **place}


def reloaded_units(rule: Rule) -> list[str]:
    """The units that an entry's scripts reload."""
    return [name.strip("\"';") for script in rule.entry.scripts.values() for name in _RELOADS.findall(script)]


def find_problems(configuration: Configuration, around: Surroundings, errors: Sequence[str]) -> list[dict[str, Any]]:
    """Everything that is wrong, what logrotate itself says first."""
    found = list(_of_files(configuration, errors))
    for number, rule in enumerate(configuration.rules):
        for each in _of_rule(rule, around.logs.get(number, ()), around):
            found.append({**each, "file": str(rule.path), "line": rule.entry.line})
    found.extend(_duplicates(configuration, around))
    order = ("critical", "warning", "note")
    return sorted(found, key=lambda each: order.index(each["severity"]))


def _of_files(configuration: Configuration, errors: Sequence[str]) -> Iterator[dict[str, Any]]:
    for message in errors:
        # What is said below with a remedy of its own.
        if not _REPEATED.match(message) and "because it is writable by group" not in message:
            yield problem(
                "broken",
                "critical",
                _file_of(message) or str(configuration.main),
                message,
                "Correct the line; what logrotate cannot read it skips, and the log grows.",
            )
    for each in configuration.stumbles:
        yield problem(
            "broken", "critical", str(each.path), each.message, "Correct the line.", file=each.path, line=each.line
        )
    for each in configuration.ignored:
        taboo = "never reads" in each.message
        yield problem(
            "ignored_file",
            "note" if taboo else "critical",
            str(each.path),
            each.message,
            "Rename or remove it." if taboo else "Give it to root with mode 0644.",
            file=each.path,
        )
    for path, directive in configuration.leaking:
        yield problem(
            "leaking_directive",
            "warning",
            str(path),
            f"{directive.name} stands outside of an entry and holds for every file after this one",
            "Move it into the braces.",
            file=path,
            line=directive.line,
        )


def _file_of(message: str) -> str:
    match = re.match(r"(\S+):\d+ ", message)
    return match.group(1) if match else ""


def _of_rule(rule: Rule, logs: Sequence[LogFile], around: Surroundings) -> Iterator[dict[str, Any]]:
    settings, name = rule.settings, " ".join(rule.entry.patterns)
    insecure = sorted({log.path.rpartition("/")[0] for log in logs if log.is_parent_insecure})
    if insecure and not settings.su_user:
        group = next((log.parent_group for log in logs if log.is_parent_insecure), None)
        yield problem(
            "insecure_parent",
            "critical",
            name,
            f"{', '.join(insecure)} is writable by the group {group} or by others and there is no su, "
            "so that logrotate skips every file in it",
            "Add su with the owner and group of the directory.",
        )
    script = rule.entry.scripts.get("postrotate")
    several = len(logs) > 1 or len(rule.entry.patterns) > 1 or any(is_glob(each) for each in rule.entry.patterns)
    if script and several and not settings.has_shared_scripts:
        yield problem(
            "unshared_script",
            "warning",
            name,
            f"the postrotate script runs once for each of {len(logs) or 'several'} files",
            "Add sharedscripts: then it runs once.",
        )
    yield from _of_reopening(rule, logs, around, name)
    if settings.rotate == 0 and not settings.max_age_days:
        yield problem(
            "keeps_nothing",
            "warning",
            name,
            "rotate is 0: the old log is deleted, not kept",
            "Say how many to keep with rotate.",
        )
    yield from _of_logs(rule, logs, around)


def _of_reopening(rule: Rule, logs: Sequence[LogFile], around: Surroundings, name: str) -> Iterator[dict[str, Any]]:
    settings = rule.settings
    written = sorted({writer.name for log in logs for writer in around.writers.of(log.identity)})
    if settings.is_copy_truncate:
        yield problem(
            "copytruncate",
            "note",
            name,
            "what is written between the copy and the truncation is lost",
            "Let the writer reopen its log, if it can, and use create with a postrotate script.",
        )
    elif written and not rule.entry.scripts.keys() & {"postrotate", "lastaction"}:
        yield problem(
            "no_reopening",
            "warning",
            name,
            f"{', '.join(written)} keeps writing to the file that was renamed: nothing tells it to reopen",
            "Add a postrotate script that reloads it, or copytruncate.",
        )
    elif written and settings.is_compressed and not settings.is_compression_delayed:
        yield problem(
            "compressed_at_once",
            "warning",
            name,
            f"what {', '.join(written)} still writes to the renamed file is lost when that is compressed",
            "Add delaycompress.",
        )
    for unit in reloaded_units(rule):
        if around.can_reload.get(unit) is False:
            yield problem(
                "reload_fails",
                "critical",
                name,
                f"the postrotate script reloads {unit}, which cannot be reloaded",
                "Give the unit an ExecReload that makes it reopen its logs, or use copytruncate.",
            )


def _of_logs(rule: Rule, logs: Sequence[LogFile], around: Surroundings) -> Iterator[dict[str, Any]]:
    settings = rule.settings
    mode = int(settings.create_mode, 8) if settings.create_mode else None
    for log in logs:
        base = log.path.rpartition("/")[2]
        is_secret = any(fnmatch.fnmatchcase(base, pattern) for pattern in around.secret_patterns)
        readable = (mode if settings.is_created and mode is not None else log.mode) & 0o004
        if is_secret and readable:
            yield problem(
                "world_readable",
                "warning",
                log.path,
                "everybody on the host can read it, and logs like it hold names, addresses and tokens",
                "Use create 0640 with the owner and a group that may read it, and chmod it once.",
            )
        if log.size_bytes > around.large_bytes:
            yield problem(
                "large",
                "warning",
                log.path,
                f"it has grown to {log.size_bytes} bytes",
                "Add maxsize, and rotate it now with log_rotate.",
            )
        late = around.last.get(log.path)
        days = _LATE_DAYS.get(settings.frequency or "")
        if late and days and log.size_bytes and (around.now - late).days >= days and not _waits_for_size(rule, log):
            yield problem(
                "overdue",
                "warning",
                log.path,
                f"it is to be rotated {settings.frequency} and was last rotated on {late:%Y-%m-%d}",
                "Look at the timer logrotate.timer or /etc/cron.daily/logrotate, and at its last output.",
            )


def _waits_for_size(rule: Rule, log: LogFile) -> bool:
    least = rule.settings.min_size_bytes
    return rule.settings.size_bytes is not None or (least is not None and log.size_bytes < least)


def _duplicates(configuration: Configuration, around: Surroundings) -> Iterator[dict[str, Any]]:
    first: dict[str, Rule] = {}
    for number, rule in enumerate(configuration.rules):
        paths = {log.path for log in around.logs.get(number, ())}
        paths |= {pattern for pattern in rule.entry.patterns if not is_glob(pattern)}
        for path in sorted(paths):
            other = first.setdefault(path, rule)
            if other is not rule:
                yield problem(
                    "duplicate",
                    "critical",
                    path,
                    f"{other.path} line {other.entry.line} names it, too; logrotate reports an error, "
                    "and what happens depends on the order",
                    "Keep one of the two entries.",
                    file=rule.path,
                    line=rule.entry.line,
                )
