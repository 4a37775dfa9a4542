# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How moments, verdicts and remedies are put into words."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import SEVERITIES, counted

Finding = Mapping[str, Any]


@dataclass(frozen=True)
class Moment:
    """A moment in the business timezone, with UTC beside it where they differ."""

    local: str
    zone: str
    utc: str
    iso: str


@dataclass(frozen=True)
class Remedy:
    """What to do, taken apart: sentences to read and commands to copy, in their order."""

    parts: tuple[tuple[str, str], ...]


def measured_moment(findings: Sequence[Finding], reference_time: str | None, now: dt.datetime) -> dt.datetime:
    """The moment the report stands for: the one asked for, else the newest measurement, else now.

    Taken from the findings so that rendering the same findings twice gives the same files.
    """
    if reference_time:
        return parse_moment(reference_time)
    return max((moment for finding in findings if (moment := moment_or_none(finding.get("measured_at")))), default=now)


def show_moment(moment: dt.datetime, zone: dt.tzinfo) -> Moment:
    """A moment for people: C(Fri 17 Oct 2025, 09:00 KST), and in UTC."""
    local, utc = moment.astimezone(zone), moment.astimezone(dt.timezone.utc)
    # Names by hand: strftime's would follow the controller's locale.
    shown = f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M}"
    same = local.utcoffset() == dt.timedelta(0)
    return Moment(
        local=shown,
        zone=local.tzname() or "",
        utc="" if same else f"{utc:%H:%M} UTC" if utc.date() == local.date() else f"{utc:%Y-%m-%d %H:%M} UTC",
        iso=utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def moment_or_none(text: object) -> dt.datetime | None:
    """A moment from ISO 8601 text; None for anything else, because a bad date must not cost the whole report."""
    try:
        return parse_moment(str(text)) if text else None
    except RunbookError:
        return None


def verdict(ordered: Sequence[Finding], counts: Mapping[str, int]) -> tuple[str, str]:
    """The headline and the sentence beneath it; C(ordered) worst first."""
    critical, warning, unknown, fine = (counts[severity] for severity in SEVERITIES)
    if not ordered:
        return (
            "Nothing was checked",
            "No host delivered a finding, so nothing is known. Was the round limited to no host?",
        )
    if critical:
        headline = f"{counted(critical, 'critical finding')} {'needs' if critical == 1 else 'need'} action now"
    elif warning:
        headline = f"{counted(warning, 'warning')} to look at, nothing critical"
    elif unknown:
        headline = f"No problem found, but {counted(unknown, 'check')} could not be made"
    else:
        headline = f"All {fine:,} checks are fine" if fine > 1 else "The one check is fine"
    rest = []
    if critical and warning:
        rest.append(counted(warning, "warning"))
    if unknown and (critical or warning):
        rest.append(f"{counted(unknown, 'check')} that could not be made")
    if fine and (critical or warning or unknown):
        rest.append(f"{counted(fine, 'check')} fine")
    if not rest:
        return (
            headline,
            "" if critical or warning or unknown else "Every value was measured and lies within its limits.",
        )
    sentence = ", ".join(rest[:-1]) + (" and " if len(rest) > 1 else "") + rest[-1]
    return headline, f"Besides: {sentence}."


def split_remedy(text: str) -> Remedy:
    """Take the commands out of a remedy: what stands in backticks, and what begins with a command we know.

    >>> split_remedy("Look first: ansible-playbook runbook.ops.inspect_queues -e queue=batch").parts
    (('text', 'Look first:'), ('command', 'ansible-playbook runbook.ops.inspect_queues -e queue=batch'))
    """
    parts: list[tuple[str, str]] = []
    for line in text.strip().splitlines():
        for at, piece in enumerate(line.split("`")):
            if at % 2:
                parts.append(("command", piece.strip()))
                continue
            match = _COMMAND.search(piece)
            before, command = (piece[: match.start()], piece[match.start() :]) if match else (piece, "")
            # A full stop after a command closes the sentence, it is no argument.
            parts.extend(
                (kind, said)
                for kind, said in (("text", before.strip()), ("command", command.strip().rstrip(".;")))
                if said
            )
    return Remedy(tuple(part for part in parts if part[1] not in {".", ",", ";"}))


def with_inventories(remedy: str, inventories: Sequence[str]) -> str:
    """A remedy whose playbooks get the inventories of the run, so that what is copied can be run as it stands.

    A command that names its inventory is left alone, and all are where an inventory is no plain path.

    >>> with_inventories("Look: ansible-playbook runbook.ops.inspect_queues --check", ["inventories/shop"])
    'Look: ansible-playbook runbook.ops.inspect_queues -i inventories/shop --check'
    """
    options = inventory_options(inventories)
    if not options:
        return remedy
    return _PLAYBOOK.sub(lambda found: f"{found[0]} {' '.join(options)}", remedy)


def inventory_options(inventories: Sequence[str]) -> list[str]:
    """C(-i) for each inventory; none at all where one of them means something to a shell."""
    if not all(_PATH.fullmatch(path) for path in inventories):
        return []
    return [f"-i {path}" for path in inventories]


_PATH = re.compile(r"[A-Za-z0-9._/@+-]+")
_PLAYBOOK = re.compile(r"ansible-playbook\s+runbook\.ops\.[a-z_]+(?![^\n`]*\s(?:-i|--inventory)\b)")


# Names that are also words of a sentence are commands only where one can begin: at the start, or after a colon.
_COMMAND = re.compile(
    r"(?<![\w/.-])ansible-(?:playbook|galaxy)\s+\S"
    r"|(?:^|(?<=: ))(?:ansible|aws|curl|kubectl|psql|redis-cli|systemctl)\s+\S"
)


def command_pieces(command: str) -> list[str]:
    """A command in pieces that should not be torn apart: an option stays with its value, quotes with what they hold.

    >>> command_pieces("ansible-playbook x -e a=1 -e 'b=\"c d\"' --check")
    ['ansible-playbook', 'x', '-e a=1', '-e \'b="c d"\'', '--check']
    """
    pieces: list[str] = []
    for word in _WORD.findall(command):
        if pieces and _OPTION.fullmatch(pieces[-1]) and not word.startswith("-"):
            pieces[-1] += f" {word}"
        else:
            pieces.append(word)
    return pieces


_WORD = re.compile(r"""(?:'[^']*'|"[^"]*"|\S)+""")
_OPTION = re.compile(r"--?[A-Za-z][\w-]*")
