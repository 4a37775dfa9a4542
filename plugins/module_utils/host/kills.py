# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that the kernel killed because memory had run out: the evidence, before a restart hides it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of

# systemd's own entry for it: "A process of this unit has been killed by the OOM killer" (sd-messages.h).
UNIT_KILLED = "fe6faa94e7774663a0da52717891d8ef"
_KILLED = re.compile(
    r"(?P<scope>Memory cgroup out of memory|Out of memory(?: \(oom_kill_allocating_task\))?):? "
    r"Killed? process (?P<pid>\d+),? \((?P<name>[^)]*)\)(?P<rest>.*)",
)
_CAUSE = re.compile(
    r"oom-kill:constraint=(?P<constraint>\w+),.*?"
    r"(?:oom_memcg=(?P<limit>[^,]*),)?(?:task_memcg=(?P<group>[^,]*),)?task=(?P<name>.*),pid=(?P<pid>\d+)"
)
_RSS = re.compile(r"anon-rss:(\d+)kB")
_UNITS = re.compile(r"([^/]+\.(?:service|scope))")

MOST_MESSAGES = 5000

Message = tuple[Optional[float], str, str]


def journal_command(since: float) -> list[str]:
    """The kernel's messages and systemd's entries about it, the newest of a window."""
    return [
        *("journalctl", "--quiet", "--output=json", "--all", "--no-pager", f"--lines={MOST_MESSAGES}"),
        f"--since=@{int(since)}",
        *("--output-fields=MESSAGE,MESSAGE_ID,UNIT", "_TRANSPORT=kernel", "+", f"MESSAGE_ID={UNIT_KILLED}"),
    ]


def read_journal(text: str) -> list[Message]:
    """Messages of C(journalctl --output=json) as moment, text and unit."""
    found: list[Message] = []
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            message = entry.get("MESSAGE")
            if isinstance(message, list):
                message = bytes(message).decode("utf-8", "replace")
            moment = int(entry["__REALTIME_TIMESTAMP"]) / 1e6
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        unit = entry.get("UNIT", "") if entry.get("MESSAGE_ID") == UNIT_KILLED else ""
        found.append((moment, str(message or ""), str(unit)))
    return found


def read_kmsg(records: Iterable[str], boot: float) -> list[Message]:
    """Records of /dev/kmsg: C(priority,number,microseconds,flags;message)."""
    found: list[Message] = []
    for record in records:
        head, separator, message = record.partition(";")
        fields = head.split(",")
        if separator and len(fields) >= 3 and fields[2].isdigit():
            found.append((boot + int(fields[2]) / 1e6, message.split("\n", 1)[0], ""))
    return found


def is_cut(journal: str) -> bool:
    """Whether there may be older messages in the window than those that the journal gave."""
    return journal.rstrip("\n").count("\n") + 1 >= MOST_MESSAGES


def is_overwritten(records: Sequence[str], messages: Sequence[Message], since: float) -> bool:
    """Whether the kernel's ring no longer holds all that it said in the window."""
    if not records or not messages:
        return False
    # The ring's first record of all has the number 0.
    return not re.match(r"\d+,0,", records[0]) and (messages[0][0] or 0) > since


def find_kills(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """One entry for each killed process, oldest first, with its unit and limit where the kernel named them."""
    causes = {}
    kills: list[dict[str, Any]] = []
    for moment, text, unit in messages:
        cause = _CAUSE.search(text)
        if cause:
            causes[int(cause["pid"])] = cause.groupdict()
        killed = _KILLED.search(text)
        if killed:
            kills.append(_kill(moment, killed, causes.get(int(killed["pid"]), {})))
        elif unit and not _is_told(kills, unit):
            kills.append(
                {
                    "at": _iso(moment),
                    "pid": None,
                    "name": "",
                    "unit": unit,
                    "scope": "unknown",
                    "limited_by": None,
                    "resident_bytes": None,
                    "message": text,
                }
            )
    return kills


def _kill(moment: Optional[float], killed: re.Match[str], cause: dict[str, Any]) -> dict[str, Any]:
    resident = _RSS.search(killed["rest"])
    units = _UNITS.findall(cause.get("group") or "")
    return {
        "at": _iso(moment),
        "pid": int(killed["pid"]),
        "name": killed["name"],
        "unit": units[-1] if units else "",
        # A limit of one group was reached, or the whole machine was out of memory: different faults.
        "scope": "limit" if killed["scope"].startswith("Memory cgroup") else "machine",
        "limited_by": cause.get("limit") or None,
        "resident_bytes": int(resident[1]) * 1024 if resident else None,
        "message": killed.group(0),
    }


def _is_told(kills: Sequence[dict[str, Any]], unit: str) -> bool:
    """Systemd writes of what the kernel has told just before."""
    return bool(kills) and kills[-1]["unit"] == unit and kills[-1]["pid"] is not None


def _iso(moment: Optional[float]) -> Optional[str]:
    return None if moment is None else iso_of(moment)
