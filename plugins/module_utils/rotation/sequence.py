# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in log lines that count up, across a rotation: which are missing, and which came twice."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# So much of the end of the old file and of the beginning of the new one is read.
WINDOW_BYTES = 4 * 1024 * 1024


def compile_sequence(text: str | None) -> re.Pattern[bytes] | None:
    """The pattern of the number; raises InvalidOption unless it has exactly one group."""
    if not text:
        return None
    try:
        found = re.compile(text.encode())
    except re.error as error:
        raise InvalidOption("sequence_pattern", text, f"a regular expression ({error})") from None
    if found.groups != 1:
        raise InvalidOption("sequence_pattern", text, r"a regular expression with one group, such as seq=(\d+)")
    return found


@dataclass
class Continuity:
    """What the numbers of one writer say."""

    seen: int = 0
    lost: int = 0
    doubled: int = 0
    first: int | None = None
    last: int | None = None
    gaps: list[list[int]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {
            "seen": self.seen,
            "lost": self.lost,
            "doubled": self.doubled,
            "first": self.first,
            "last": self.last,
            "gaps": self.gaps[:10],
        }


def continuity(numbers: Iterable[int]) -> Continuity:
    """Count gaps and repetitions, whatever the order in which the lines stand."""
    ordered = sorted(numbers)
    found = Continuity(seen=len(ordered))
    if not ordered:
        return found
    found.first, found.last = ordered[0], ordered[-1]
    for one, other in zip(ordered, ordered[1:]):
        if other == one:
            found.doubled += 1
        elif other > one + 1:
            found.lost += other - one - 1
            found.gaps.append([one + 1, other - 1])
    return found


def numbers_at_end(stream: BinaryIO, pattern: re.Pattern[bytes]) -> list[int]:
    """The numbers in the last window of a file; its first line is left out where it may be cut."""
    size = stream.seek(0, os.SEEK_END)
    start = max(0, size - WINDOW_BYTES)
    stream.seek(start)
    return list(_numbers(stream.read(WINDOW_BYTES), pattern, is_cut=start > 0))


def numbers_at_start(stream: BinaryIO, pattern: re.Pattern[bytes]) -> list[int]:
    """The numbers in the first window of a file; the line that is being written is left out."""
    stream.seek(0)
    data = stream.read(WINDOW_BYTES)
    return list(_numbers(data[: data.rfind(b"\n") + 1], pattern, is_cut=False))


def _numbers(data: bytes, pattern: re.Pattern[bytes], *, is_cut: bool) -> Iterator[int]:
    for line in data.split(b"\n")[1 if is_cut else 0 :]:
        match = pattern.search(line)
        if match and match.group(1).isdigit():
            yield int(match.group(1))
