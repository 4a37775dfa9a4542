# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds as data: what is started when, by whom, checked. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.module_utils.schedule.expression import (
    ACCEPTED,
    BadExpression,
    Expression,
    parse_expression,
)

CRON, SYSTEMD = "cron", "systemd"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# cron's own limit of a line's command.
MOST_CHARACTERS = 990
# systemd takes more, such as patterns; cron's shell does not.
_FILE = re.compile(r"/[\w@+=:,./-]+")


@dataclass(frozen=True)
class Round:
    """One thing that is started by the clock."""

    name: str
    command: tuple[str, ...]
    expression: Expression
    user: str
    description: str
    directory: str
    environment: tuple[tuple[str, str], ...]
    timeout_seconds: int
    timezone: str
    persistent: bool
    environment_file: str = ""

    @property
    def words(self) -> str:
        """The command as one line of shell."""
        return shlex.join(self.command)


def set_name(name: str) -> str:
    """The name of a set of rounds, which is part of file names; raises InvalidOption."""
    if not _NAME.fullmatch(name):
        raise InvalidOption("name", name, "small letters, digits, - and _, such as daily")
    return name


def rounds_from(wanted: Sequence[Mapping[str, Any]], backend: str) -> list[Round]:
    """The rounds, checked; raises InvalidOption."""
    rounds = [_round(each, f"rounds[{position}]", backend) for position, each in enumerate(wanted)]
    names = [each.name for each in rounds]
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption("rounds", name, "a name that only one of the rounds has")
    return rounds


def _round(each: Mapping[str, Any], place: str, backend: str) -> Round:
    name = str(each["name"])
    if not _NAME.fullmatch(name):
        raise InvalidOption(f"{place}.name", name, "small letters, digits, - and _, such as morning")
    try:
        expression = parse_expression(str(each["at"]))
    except BadExpression as error:
        raise InvalidOption(f"{place}.at", each["at"], f"{ACCEPTED}; {error}") from None
    command = tuple(str(word) for word in each["command"])
    if not command or not command[0] or any(_CONTROL.search(word) for word in command):
        raise InvalidOption(f"{place}.command", each["command"], "a list of words without line breaks")
    environment = tuple(sorted((str(key), str(value)) for key, value in (each.get("environment") or {}).items()))
    for key, value in environment:
        if not _VARIABLE.fullmatch(key) or _CONTROL.search(value):
            raise InvalidOption(f"{place}.environment", key, "names of variables, with values without line breaks")
    directory, description = str(each.get("directory") or ""), str(each.get("description") or "")
    if directory and not directory.startswith("/"):
        raise InvalidOption(f"{place}.directory", directory, "an absolute path")
    file = str(each.get("environment_file") or "")
    if file and not _FILE.fullmatch(file):
        raise InvalidOption(f"{place}.environment_file", file, "an absolute path without spaces and patterns")
    if _CONTROL.search(directory + description):
        raise InvalidOption(f"{place}.description", description, "one line")
    zone = str(each.get("timezone") or "")
    if zone:
        timezone(zone)
    if zone and backend == CRON:
        raise InvalidOption(
            f"{place}.timezone",
            zone,
            "nothing with backend=cron, which only knows the machine's clock; use backend=systemd",
        )
    return Round(
        name=name,
        command=command,
        expression=expression,
        user=str(each.get("user") or "root"),
        description=description,
        directory=directory,
        environment=environment,
        timeout_seconds=parse_seconds(str(each["timeout"]), f"{place}.timeout") if each.get("timeout") else 0,
        timezone=zone,
        persistent=bool(each.get("persistent", True)),
        environment_file=file,
    )
