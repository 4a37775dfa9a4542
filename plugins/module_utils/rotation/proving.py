# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rotation did: where the old file is, who writes to which, and what the numbers in them say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Optional

from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import LogFile, look
from ansible_collections.runbook.ops.plugins.module_utils.rotation.program import Spoken
from ansible_collections.runbook.ops.plugins.module_utils.rotation.reading import Rule
from ansible_collections.runbook.ops.plugins.module_utils.rotation.sequence import (
    continuity,
    numbers_at_end,
    numbers_at_start,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.settings import Settings
from ansible_collections.runbook.ops.plugins.module_utils.rotation.writers import Writer


@dataclass
class Turn:
    """One log that is rotated: what it was, held open so that it can be found whatever it is called then."""

    log: LogFile
    rule: Rule
    writers: list[Writer]
    held: Optional[BinaryIO] = None
    after: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """What holds for it."""
        return self.rule.settings

    def as_action(self) -> dict[str, Any]:
        """The entry of C(actions)."""
        return {
            "action": "rotate",
            "object": self.log.path,
            "reason": "asked for",
            "file": str(self.rule.path),
            "method": "copytruncate" if self.settings.is_copy_truncate else "create",
        }


def figures(log: Optional[LogFile], writers: Sequence[Writer]) -> dict[str, Any]:
    """What a log is like, for C(before) and C(after)."""
    return {
        "inode": log.inode if log else None,
        "size_bytes": log.size_bytes if log else None,
        "mode": f"{log.mode:04o}" if log else None,
        "writers": [writer.as_dict() for writer in writers],
    }


def facts_after(turn: Turn, pattern: Optional[re.Pattern[bytes]]) -> dict[str, Any]:
    """What a log is like after its turn, and what became of the old file."""
    log = look(turn.log.path)
    come = turn.after.get("come", turn.writers)
    old = _rotated(turn)
    return {
        **figures(log, come),
        "left_writers": [writer.as_dict() for writer in turn.after.get("left", [])],
        "is_known": turn.after.get("is_known", True),
        "rotated_to": old.path if old else None,
        "rotated_size_bytes": old.size_bytes if old else None,
        "sequence": _sequence(turn, old, pattern),
    }


def _rotated(turn: Turn) -> Optional[LogFile]:
    """The old file under its new name: by its inode, or for a copy the newest that has its beginning."""
    place = Path(turn.settings.old_directory or turn.log.path.rpartition("/")[0])
    if not place.is_absolute():
        place = Path(turn.log.path).parent / place
    base = Path(turn.log.path).name
    stem = base.rpartition(".")[0] or base
    found = [
        log
        for each in place.iterdir()
        if each.name.startswith(stem) and each.name != base and (log := look(str(each))) is not None
    ]
    if not turn.settings.is_copy_truncate:
        return next((log for log in found if log.identity == turn.log.identity), _compressed(found, turn))
    return max(found, key=lambda log: log.modified_seconds, default=None)


def _compressed(found: Sequence[LogFile], turn: Turn) -> Optional[LogFile]:
    """What a compression at once made of it."""
    if not turn.settings.is_compressed or turn.settings.is_compression_delayed:
        return None
    return max(found, key=lambda log: log.modified_seconds, default=None)


def _sequence(turn: Turn, old: Optional[LogFile], pattern: Optional[re.Pattern[bytes]]) -> Optional[dict[str, Any]]:
    if pattern is None or old is None:
        return None
    numbers: list[int] = []
    if turn.settings.is_copy_truncate:
        with Path(old.path).open("rb") as stream:
            numbers += numbers_at_end(stream, pattern)
    elif turn.held:
        numbers += numbers_at_end(turn.held, pattern)
    if Path(turn.log.path).exists():
        with Path(turn.log.path).open("rb") as stream:
            numbers += numbers_at_start(stream, pattern)
    return continuity(numbers).as_dict()


def prove(turns: Sequence[Turn], spoken: Spoken, waited: float) -> dict[str, Any]:
    """What is proven, and what was not as it should be."""
    problems = [f"logrotate said: {each}" for each in spoken.errors]
    expected = len({id(turn.rule) for turn in turns if turn.rule.entry.scripts.get("postrotate") is not None})
    if spoken.postrotate_count != expected:
        problems.append(f"the postrotate script ran {spoken.postrotate_count} times and not {expected}")
    lost = doubled = 0
    sequence_known = bool(turns)
    for turn in turns:
        problems += _shortcomings(turn, turn.after)
        sequence = turn.after["sequence"]
        # A log without any number is none that says whether lines were lost.
        sequence_known = sequence_known and sequence is not None and sequence["seen"] > 0
        lost += sequence["lost"] if sequence else 0
        doubled += sequence["doubled"] if sequence else 0
    return {
        "postrotate_count": spoken.postrotate_count,
        "postrotate_expected": expected,
        "reopen_seconds": round(waited, 3),
        "lost_lines": lost if sequence_known else None,
        "doubled_lines": doubled if sequence_known else None,
        "problems": problems,
    }


def _shortcomings(turn: Turn, after: Mapping[str, Any]) -> list[str]:
    path, found = turn.log.path, []
    if after["rotated_to"] is None:
        found.append(f"{path} was not rotated. Read what logrotate said")
    elif after["left_writers"]:
        names = ", ".join(f"{each['name']} ({each['pid']})" for each in after["left_writers"])
        found.append(
            f"{names} still writes to {after['rotated_to']} and not to {path}: nothing is lost as long as that file is "
            "there. Make it reopen its log, and correct how it is told"
        )
    elif not after["is_known"]:
        found.append(f"a process that cannot be seen still writes to {after['rotated_to']}. Make it reopen its log")
    elif turn.writers and not after["writers"]:
        found.append(
            f"nobody writes to {path} any more: {turn.writers[0].name} has not reopened it. Look at its service"
        )
    return found
