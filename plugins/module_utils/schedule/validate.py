# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this machine can run what is declared, and would read it as it is meant."""

from __future__ import annotations

import dataclasses
import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import parse_crontab
from ansible_collections.runbook.ops.plugins.module_utils.schedule.expression import calendars
from ansible_collections.runbook.ops.plugins.module_utils.schedule.machine import cron_is_running
from ansible_collections.runbook.ops.plugins.module_utils.schedule.render import PATH, PREFIX
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import CRON, Round
from ansible_collections.runbook.ops.plugins.module_utils.services.commands import NOT_THERE, ask

_IS_SYSTEMD = Path("/run/systemd/system")


def check_users(rounds: Sequence[Round]) -> None:
    """Refuse users that do not exist, which would make cron ignore the whole file; raises InvalidOption."""
    for position, each in enumerate(rounds):
        try:
            pwd.getpwnam(each.user)
        except KeyError:
            raise InvalidOption(f"rounds[{position}].user", each.user, "a user of this machine") from None


def check_backend(backend: str, log: str) -> None:
    """Refuse a machine on which nothing would start the rounds; raises RunbookError."""
    if backend == CRON:
        if not cron_is_running():
            raise RunbookError("No cron runs on this machine. Install and start it, or set backend=systemd.")
        needed = ["flock", *{"journal": ["systemd-cat"], "syslog": ["logger"]}.get(log, [])]
        missing = [each for each in needed if shutil.which(each) is None]
        if missing:
            raise RunbookError(
                f"There is no {' and no '.join(missing)} on this machine. Install it, or set another log."
            )
    elif not _IS_SYSTEMD.exists():
        raise RunbookError("The first process of this machine is not systemd. Set backend=cron.")


def with_paths(rounds: Sequence[Round]) -> list[Round]:
    """The rounds with the whole paths of their programs: older releases of systemd look for none."""
    found = [shutil.which(each.command[0], path=PATH) for each in rounds]
    return [
        dataclasses.replace(each, command=(path or each.command[0], *each.command[1:]))
        for each, path in zip(rounds, found)
    ]


def validate(name: str, rounds: Sequence[Round], wanted: Mapping[str, str], params: Mapping[str, Any]) -> None:
    """Read back what would be written, with cron's grammar or with systemd's own tools; raises RunbookError."""
    if params["backend"] == CRON:
        for path, text in wanted.items():
            crontab = parse_crontab(text, path)
            read = [(each.name, each.schedule, each.user) for each in crontab.entries]
            if crontab.problems or read != [(each.name, each.expression.text, each.user) for each in rounds]:
                first = crontab.problems[0].message if crontab.problems else "it reads differently"
                raise RunbookError(
                    f"The crontab of {name} would not be read as declared: {first}. Nothing was written."
                )
        return
    for each in rounds:
        for calendar in calendars(each.expression):
            zone = f" {each.timezone}" if each.timezone else ""
            answer = ask(["systemd-analyze", "calendar", f"{calendar}{zone}"], params["timeout"])
            if answer.code != 0:
                raise RunbookError(f"systemd does not read the time of {each.name}, {calendar}{zone}: {answer.reason}.")
    with private_directory("runbook-units-") as place:
        for path, text in wanted.items():
            (place / Path(path).name).write_text(text, encoding="utf-8")
        files = [str(place / Path(path).name) for path in sorted(wanted)]
        answer = ask(["systemd-analyze", "verify", "--man=no", *files], params["timeout"])
        words = [line for line in answer.words.splitlines() if PREFIX + name in line]
        if answer.code == NOT_THERE or (answer.code != 0 and words):
            said = "; ".join(words[:3]) or answer.reason
            raise RunbookError(f"systemd would not accept the rounds {name}: {said}. Nothing was written.")


def missing_programs(rounds: Sequence[Round]) -> list[Refusal]:
    """Rounds whose program this machine does not have."""
    return [
        Refusal(
            f"round {each.name}", f"there is no {each.command[0]} on this machine", "Install it, or correct the path."
        )
        for each in rounds
        if each.command[0].startswith("/") and not Path(each.command[0]).exists()
    ]
