# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds as files: one for cron, or a timer and a service of systemd each. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import MARKER
from ansible_collections.runbook.ops.plugins.module_utils.schedule.expression import calendars
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import MOST_CHARACTERS, Round

PREFIX = "runbook-"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WARNING = "# Written by Ansible: changes made here are lost."
# Another run is still going on (EX_TEMPFAIL of sysexits.h).
_BUSY = "75"
_PLAIN = re.compile(r"[\w@%+=:,./-]+")
# Reads the file whose name follows, as it stands: no shell expands what is in it. crontab.normalised() knows it.
_READER = (
    'while IFS= read -r _v || [ -n "$_v" ]; do case $_v in ""|"#"*|";"*) ;; *) export "$_v";; esac; done <"$1" '
    '&& shift && exec "$@"'
)
JOURNAL, SYSLOG, MAIL = "journal", "syslog", "mail"


def identifier(set_name: str, round_: Round) -> str:
    """The name of a round in logs, locks and units."""
    return f"{PREFIX}{set_name}-{round_.name}"


def crontab_text(set_name: str, rounds: Sequence[Round], *, log: str, mail_to: str, locks: str) -> str:
    """A file for /etc/cron.d; raises InvalidOption for a command that is too long for cron."""
    lines = [f"{MARKER}{set_name}", _WARNING, "SHELL=/bin/sh", f"PATH={PATH}", f'MAILTO="{mail_to}"']
    for each in rounds:
        command = cron_command(set_name, each, log=log, locks=locks)
        if len(command) > MOST_CHARACTERS:
            raise InvalidOption(
                f"rounds ({each.name})", f"a command of {len(command)} characters",
                f"at most {MOST_CHARACTERS} with backend=cron; put it into a script, or use backend=systemd",
            )  # fmt: skip
        described = f": {each.description}" if each.description else ""
        lines += ["", f"# Round {each.name}{described}", f"{each.expression.text} {each.user} {command}"]
    return "\n".join(lines) + "\n"


def cron_command(set_name: str, each: Round, *, log: str, locks: str) -> str:
    """One line: logged, alone, within its time, in its directory and environment."""
    name = identifier(set_name, each)
    words = ["flock", "--nonblock", "--verbose", f"--conflict-exit-code={_BUSY}", f"{locks}/{name}.lock"]
    if log == JOURNAL:
        words = ["systemd-cat", f"--identifier={name}", *words]
    if each.timeout_seconds:
        words += ["timeout", "--kill-after=60", str(each.timeout_seconds)]
    if each.directory or each.environment:
        words += ["env"]
        words += [f"--chdir={each.directory}"] if each.directory else []
        words += [f"{key}={value}" for key, value in each.environment]
    if each.environment_file:
        words += ["/bin/sh", "-c", _READER, "sh", each.environment_file]
    line = shlex.join([*words, *each.command])
    if log == SYSLOG:
        line += f" 2>&1 | logger --tag {name}"
    return line.replace("%", "\\%")


def unit_texts(set_name: str, each: Round) -> dict[str, str]:
    """The files of one round for systemd, by name. systemd itself never starts a unit that is still running."""
    name = identifier(set_name, each)
    description = each.description or f"Round {each.name} of {set_name}"
    head = [
        f"{MARKER}{set_name}",
        _WARNING,
        f"# Round {each.name}",
        "[Unit]",
        f"Description={_specifiers(description)}",
    ]
    service = [*head, "", "[Service]", "Type=oneshot", f"User={each.user}"]
    if each.directory:
        service.append(f"WorkingDirectory={_specifiers(each.directory)}")
    service += [f"Environment={_quoted(f'{key}={value}', dollars=False)}" for key, value in each.environment]
    if each.environment_file:
        service.append(f"EnvironmentFile={_specifiers(each.environment_file)}")
    service.append(f"ExecStart={' '.join(_quoted(word) for word in each.command)}")
    service.append(f"TimeoutStartSec={each.timeout_seconds or 'infinity'}")
    service.append(f"SyslogIdentifier={name}")
    zone = f" {each.timezone}" if each.timezone else ""
    timer = [*head, "", "[Timer]", *(f"OnCalendar={calendar}{zone}" for calendar in calendars(each.expression))]
    timer += ["AccuracySec=1s", f"Persistent={'true' if each.persistent else 'false'}"]
    timer += ["", "[Install]", "WantedBy=timers.target"]
    return {f"{name}.service": "\n".join(service) + "\n", f"{name}.timer": "\n".join(timer) + "\n"}


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str, *, dollars: bool = True) -> str:
    text = _specifiers(word)
    if dollars:
        text = text.replace("$", "$$")
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def marked_set(text: str) -> str | None:
    """The set that a file belongs to; None for one that is not ours."""
    first = text.split("\n", 1)[0]
    return first[len(MARKER) :].strip() if first.startswith(MARKER) else None
