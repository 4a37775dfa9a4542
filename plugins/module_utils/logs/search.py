# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a window begins and ends in an ordered file, without reading it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.logs.framing import Framing

# Lines of several processes are not written in the order of their moments, by a few seconds.
SLACK_SECONDS = 60.0
_PROBES = 128
_PROBE_BYTES = 16 * 1024
_LONGEST_PROBE = 4 * 1024 * 1024
_SMALL_BYTES = 1024 * 1024  # not worth a search


@dataclass(frozen=True)
class Range:
    """Offsets to read, and how they were found: C(binary_search) or C(scan), with the reason of a scan."""

    start: int
    end: int
    way: str
    reason: Optional[str] = None


class Prober:
    """Looks at moments here and there in a file."""

    def __init__(self, descriptor: int, size: int, framing: Framing) -> None:
        self._descriptor = descriptor
        self._size = size
        self._framing = framing

    def at(self, offset: int) -> tuple[int, float] | None:
        """Offset and moment of the first line with a moment that begins at or after C(offset)."""
        length = _PROBE_BYTES
        # One byte earlier: whether a line begins at the offset is told by the byte before it.
        begin = max(offset - 1, 0)
        while True:
            data = os.pread(self._descriptor, min(length, self._size - begin), begin)
            at = data.find(b"\n") + 1 if offset else 0
            while (at or not offset) and (end := data.find(b"\n", at)) >= 0:
                moment = self._framing.decode(data[at:end])[1]
                if moment is not None:
                    return begin + at, moment
                at = end + 1
            if length >= _LONGEST_PROBE or begin + len(data) >= self._size:
                return None
            length *= 8

    def first(self, low: int, high: int, moment: float) -> int:
        """The offset of a line before which all lines are earlier than C(moment), close to the first that is not."""
        while high - low > _PROBE_BYTES:
            middle = (low + high) // 2
            found = self.at(middle)
            if found is None or found[1] >= moment or found[0] >= high:
                high = middle
            else:
                low = found[0]
        return low

    def disorder(self) -> str | None:
        """Why the file cannot be searched: a line that is earlier than one before it. None when none was seen."""
        latest = float("-inf")
        for number in range(_PROBES):
            found = self.at(self._size * number // _PROBES)
            if found is None:
                continue
            if found[1] < latest - SLACK_SECONDS:
                return f"its lines are not in the order of their moments (at byte {found[0]})"
            latest = max(latest, found[1])
        return None if latest > float("-inf") else "no line with a moment was found where they were looked for"


def find_range(descriptor: int, size: int, framing: Framing, start: float | None, end: float | None) -> Range:
    """What of a file to read for a window; all of it when it is small or not in order."""
    if start is None and end is None:
        return Range(0, size, "scan", "no window was given")
    if size <= _SMALL_BYTES:
        return Range(0, size, "scan", "it is small")
    prober = Prober(descriptor, size, framing)
    disorder = prober.disorder()
    if disorder:
        return Range(0, size, "scan", disorder)
    low = 0 if start is None else prober.first(0, size, start - SLACK_SECONDS)
    high = size
    if end is not None:
        near = prober.first(low, size, end + SLACK_SECONDS)
        high = _end_of(prober, near, size, end + SLACK_SECONDS)
    return Range(low, high, "binary_search")


def _end_of(prober: Prober, near: int, size: int, moment: float) -> int:
    """The first line from C(near) on that is not before C(moment): lines that follow an entry stay with it."""
    at = near
    while at < size:
        found = prober.at(at)
        if found is None:
            return size
        if found[1] >= moment:
            return found[0]
        at = found[0] + 1
    return size
