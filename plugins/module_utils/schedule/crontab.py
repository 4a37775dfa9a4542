# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Crontabs: their lines, with and without a user, and what cron makes of those that are wrong. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.schedule.expression import (
    REBOOT,
    BadExpression,
    Expression,
    parse_expression,
)

_ENVIRONMENT = re.compile(r"^\s*[\"']?([A-Za-z_]\w*)[\"']?\s*=\s*(.*?)\s*$")
MARKER = "# Managed by runbook.ops.schedule, set "
_NAME = re.compile(r"^#\s*Round (?P<name>[\w.-]+)(?::.*)?$")


@dataclass
class Entry:
    """Something that is started by the clock. C(expression) is None for what never is, or is not known."""

    source: str
    kind: str
    schedule: str
    command: str
    user: str = ""
    line: int = 0
    name: str = ""
    set: str = ""
    expression: Optional[Expression] = None
    environment: dict[str, str] = field(default_factory=dict)
    text: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    is_refused: bool = False

    @property
    def object(self) -> str:
        """Where it stands: C(/etc/cron.d/shop:4), or the name of the timer."""
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True)
class Problem:
    """Something that is wrong. C(error): it is never started. C(warning): it does harm. C(notice): worth knowing.

    The line that it quotes may hold passwords, which are taken out of all of its words.
    """

    code: str
    level: str
    source: str
    line: int
    message: str
    remedy: str
    text: str = ""

    def __post_init__(self) -> None:
        for name in ("message", "remedy", "text"):
            object.__setattr__(self, name, redact_text(getattr(self, name)))

    def as_dict(self) -> dict[str, Any]:
        """The entry of C(problems)."""
        where = f"{self.source}:{self.line}" if self.line else self.source
        return {"object": where, **vars(self)}


@dataclass
class Crontab:
    """What a file holds."""

    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse_crontab(text: str, source: str, *, user: str = "", known_users: frozenset[str] | None = None) -> Crontab:
    """Read a crontab.

    Args:
        text: The whole file.
        source: Its path.
        user: Whose it is. Empty for a system crontab, in which each line names its user.
        known_users: The machine's users; None when they are not known.

    """
    found = Crontab()
    environment: dict[str, str] = {}
    name, set_name = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#"):
            named = _NAME.match(stripped)
            name = named["name"] if named else name
            set_name = stripped[len(MARKER) :].strip() if stripped.startswith(MARKER) else set_name
            continue
        assigned = _ENVIRONMENT.match(line)
        if assigned:
            environment[assigned[1]] = assigned[2].strip("\"'")
        elif stripped:
            entry = Entry(source, "cron", "", "", line=number, name=name, set=set_name, text=stripped)
            entry.environment = dict(environment)
            found.entries.append(entry)
            found.problems += _fill(entry, stripped, user, known_users)
            name = ""
    if text and not text.endswith("\n"):
        found.problems.append(
            Problem(
                "no_final_newline", "error", source, 0,
                "the last line has no end, and cron ignores the whole file",
                "Put a line break at the end of the file.",
            )
        )  # fmt: skip
    if not user and any(each.level == "error" for each in found.problems):
        for entry in found.entries:
            entry.is_refused = True
    return found


def _fill(entry: Entry, line: str, user: str, known_users: frozenset[str] | None) -> list[Problem]:
    """Take a line to pieces; what is wrong with it."""
    count = 1 if line.startswith("@") else 5
    words = line.split(None, count)
    entry.schedule = " ".join(words[:count])
    rest = words[count] if len(words) > count else ""
    problems = []
    if entry.schedule.lower() != REBOOT:
        try:
            entry.expression = parse_expression(entry.schedule)
        except BadExpression as error:
            problems.append(
                _problem(entry, "bad_expression", f"{error}, and cron ignores {_whole(user)}", "Correct the time.")
            )
    if problems and not rest:
        # What there is of it is not even a time.
        return problems
    if user:
        entry.user, entry.command = user, rest
    else:
        problems += _take_user(entry, rest, known_users)
    if not entry.command and not problems:
        problems.append(
            _problem(entry, "missing_command", "there is no command", "Add the command, or remove the line.")
        )
    if re.search(r"(?<!\\)%", entry.command):
        problems.append(
            _problem(
                entry, "unescaped_percent",
                "cron ends the command at the first % and gives it the rest as input",
                "Write \\% instead of %.",
                level="warning",
            )
        )  # fmt: skip
    return problems


def _take_user(entry: Entry, rest: str, known_users: frozenset[str] | None) -> list[Problem]:
    words = rest.split(None, 1)
    first, command = (words[0] if words else ""), (words[1] if len(words) > 1 else "")
    entry.user, entry.command = first, command
    is_known = known_users is None or first in known_users
    if first and is_known and command:
        return []
    if first and is_known and "/" not in first:
        return [_problem(entry, "missing_command", f"there is no command behind the user {first}", "Add the command.")]
    if re.fullmatch(r"[a-z_][a-z0-9_-]*\$?", first) and not _looks_like_program(first, command):
        return [
            _problem(
                entry, "unknown_user",
                f"there is no user {first}, and cron ignores the whole file",
                "Name a user that exists, or create this one.",
            )
        ]  # fmt: skip
    # What stands in the place of the user belongs to the command.
    entry.user, entry.command = "", rest
    what = f"cron takes {first!r} for it" if first else "nothing follows the time"
    return [
        _problem(
            entry, "missing_user",
            f"a line in a system crontab names a user, and this one does not: {what} and ignores the whole file",
            f"Write the user between time and command: {entry.schedule} root {rest}",
        )
    ]  # fmt: skip


_PROGRAMS = frozenset(
    (
        *("docker", "curl", "wget", "psql", "pg_dump", "bash", "sh", "python", "python3", "node", "npm", "php", "ruby"),
        *("systemctl", "rsync", "tar", "find", "rm", "cp", "mv", "test", "cd", "aws", "kubectl", "redis-cli", "flock"),
        *(
            "bundle",
            "rake",
            "perl",
            "certbot",
            "logrotate",
            "docker-compose",
            "podman",
            "restic",
            "borg",
            "sudo",
            "nice",
        ),
    )
)


def _looks_like_program(first: str, command: str) -> bool:
    return first in _PROGRAMS or command.startswith("-")


def _whole(user: str) -> str:
    return f"the crontab of {user}" if user else "the whole file"


def _problem(entry: Entry, code: str, message: str, remedy: str, level: str = "error") -> Problem:
    return Problem(code, level, entry.source, entry.line, message, remedy, entry.text)


_WRAPPERS = (
    re.compile(r"^cd\s+\S+\s*(?:&&|;)\s*"),
    re.compile(r"^(?:[A-Za-z_]\w*=(?:\"[^\"]*\"|'[^']*'|\S*)\s+)+"),
    re.compile(
        r"^(?:\S*/)?(?:nice|ionice|timeout|chronic|env|sudo|systemd-cat|flock|nohup)(?:\s+-{1,2}[\w-]+(?:=\S*)?)*\s+"
    ),
    re.compile(r"^(?:/\S*\.lock|[0-9.]+[smhd]?|[-A-Za-z]+=\S*)\s+"),
    re.compile(r"^(?:\S*/)?(?:ba|da)?sh\s+(?=/)"),
    # What reads the environment file of a round, see render.py.
    re.compile(r"^/bin/sh\s+-c\s+'while IFS= read [^']*'\s+sh\s+/\S+\s+"),
)
_REDIRECTION = re.compile(r"\s*(?:\d?>{1,2}\s*\S+|\d?>&\d|<\s*\S+|\|\s*logger\b.*$)")


def normalised(command: str) -> str:
    """What a command does without where it does it, so that two ways to schedule the same work look the same."""
    text = _REDIRECTION.sub("", command.replace("\\%", "%")).strip()
    changed = True
    while changed:
        before = text
        for wrapper in _WRAPPERS:
            text = wrapper.sub("", text, count=1)
        changed = text != before
    return " ".join(text.split())
