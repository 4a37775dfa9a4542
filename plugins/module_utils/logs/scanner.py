# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries out of blocks of bytes. Pure.

Most lines hold nothing that is looked for. They are never cut out of their block, decoded or given a moment: literals
are searched in the whole block, and only the lines around a hit are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.logs.framing import Framing
from ansible_collections.runbook.ops.plugins.module_utils.logs.tally import SAMPLE_LINES, Detector

_LONGEST_SAMPLE = 4000
_SAMPLE_BYTES = 16 * 1024
_KEPT_BYTES = 128 * 1024  # blocks up to this are kept for a sample as they are, of larger ones a piece
# How far back the first line of an entry is looked for where the block before was not read.
LOOK_BACK_BYTES = 256 * 1024
Header = tuple[int, bytes, Optional[float]]
Block = tuple[int, bytes]


class Scanner:
    """Shows lines to detectors.

    Args:
        detectors: What is looked for.
        start: Beginning of the window in epoch seconds; None for none.
        end: Its end, not included; None for none.

    """

    def __init__(self, detectors: Sequence[Detector], start: float | None, end: float | None) -> None:
        self._detectors = tuple(detectors)
        self._start = float("-inf") if start is None else start
        self._end = float("inf") if end is None else end
        self._windowed = start is not None or end is not None
        self.needles = tuple(dict.fromkeys(needle for each in detectors for needle in each.needles))
        self.exact_needles = tuple(dict.fromkeys(needle for each in detectors for needle in each.exact_needles))
        # Some are looked for whatever the line.
        self.every_line = any(not each.needles for each in detectors)
        self.undated = 0
        self.outside = 0

    def begin(
        self,
        framing: Framing,
        look_back: Callable[[int], bytes] | None = None,
        look_on: Callable[[int, int], bytes] | None = None,
    ) -> None:
        """A new file.

        C(look_back) gives some whole lines that end at an offset, C(look_on) some bytes that begin at one.
        """
        self._framing = framing
        self._look_back = look_back
        self._look_on = look_on
        self._header: Optional[Header] = None
        self._gap = False
        self._unread: Optional[Block] = None
        self._active = tuple(framing.as_written(needle) for needle in self.needles)
        self._exact = tuple(dict.fromkeys(framing.as_written(needle) for needle in self.exact_needles))
        self._all_lines = self.every_line or not framing.prefilter or not all(self._active)
        self._read_to = 0
        self._seen_at = -1
        self._counted = [-1] * len(self._detectors)

    def block(self, data: bytes, base: int, hits: Iterable[int] | None = None) -> None:
        """Whole lines that begin at offset C(base); C(hits) are positions of needles in it when these are known."""
        if base != self._read_to:
            # Something was left out before this block; it is looked at only if an entry may begin in it.
            self._header, self._gap, self._unread = None, True, None
        self._keep_header()
        for start in self._candidates(data, hits):
            end = data.find(b"\n", start)
            self._line(data, base, start, len(data) if end < 0 else end)
        self._unread = (base, data)
        self._read_to = base + len(data)

    @property
    def literals(self) -> tuple[bytes, ...]:
        """What to look for in the raw bytes of the current file; empty when every line is to be looked at."""
        return () if self._all_lines else self._exact

    @property
    def last_moment(self) -> float | None:
        """The moment of the last entry of what was read."""
        self._keep_header()
        return None if self._header is None else self._header[2]

    def _candidates(self, data: bytes, hits: Iterable[int] | None) -> list[int]:
        if self._all_lines:
            starts, at = [], 0
            while 0 <= at < len(data):
                starts.append(at)
                at = data.find(b"\n", at) + 1 or -1
            return starts
        found: set[int] = set()
        if hits is not None:
            found.update(data.rfind(b"\n", 0, hit) + 1 for hit in hits)
            return sorted(found)
        for needle in self._active:
            at = data.find(needle)
            while at >= 0:
                found.add(data.rfind(b"\n", 0, at) + 1)
                end = data.find(b"\n", at)
                at = data.find(needle, end) if end >= 0 else -1
        return sorted(found)

    def _line(self, data: bytes, base: int, start: int, end: int) -> None:
        text, moment = self._framing.decode(data[start:end])
        if moment is not None:
            self._header, self._gap = (base + start, text, moment), False
        elif self._framing.dated:
            self._find_header(data, base, start)
        self._seen_at = base + start
        at, header, moment = self._header or (base + start, text, None)
        if self._windowed and moment is not None and not self._start <= moment < self._end:
            self.outside += 1
            return
        for number, detector in enumerate(self._detectors):
            found = detector.match(text, header)
            if found is None or (detector.once and self._counted[number] == at):
                continue
            if moment is None and self._windowed:
                self.undated += 1
                return
            self._counted[number] = at
            begin = at - base if detector.once and at >= base else start
            detector.record(found, moment, text, partial(self._sample, data, base, begin))

    def _find_header(self, data: bytes, base: int, start: int) -> None:
        """The line with a moment that the line at C(start) follows; nothing before what was last looked at is newer."""
        at = start
        while at > 0 and base + at > self._seen_at:
            before = data.rfind(b"\n", 0, at - 1) + 1
            text, moment = self._framing.decode(data[before : at - 1])
            if moment is not None:
                self._header, self._gap = (base + before, text, moment), False
                return
            at = before
        if at <= 0 and self._gap:
            self._gap = False
            self._look_before(base)

    def _keep_header(self) -> None:
        """The last entry that begins in the block before, which only who goes on from there needs to know."""
        if self._unread is None or not self._framing.dated:
            return
        base, data = self._unread
        self._unread = None
        self._find_header(data, base, len(data))
        self._seen_at = base + len(data)

    def _look_before(self, base: int) -> None:
        if self._look_back is not None and base > 0:
            data = self._look_back(base)
            self._seen_at = -1
            self._find_header(data, base - len(data), len(data))

    def _sample(self, data: bytes, base: int, begin: int) -> Callable[[], bytes]:
        """The bytes of the entry's first lines, to be looked at when they are shown."""
        missing = begin + _SAMPLE_BYTES - len(data)
        if missing > 0 and self._look_on is not None:
            # At once: the file is closed by the time it is shown.
            data, begin = data[begin:] + self._look_on(base + len(data), missing), 0
        elif len(data) > _KEPT_BYTES:
            data, begin = data[begin : begin + _SAMPLE_BYTES], 0
        return partial(_first_lines, data, begin, self._framing)


def _first_lines(data: bytes, at: int, framing: Framing) -> bytes:
    """The entry's first lines, up to the next entry."""
    lines: list[bytes] = []
    for number in range(SAMPLE_LINES):
        end = data.find(b"\n", at)
        raw = data[at : len(data) if end < 0 else min(end, at + _LONGEST_SAMPLE)]
        text, moment = framing.decode(raw)
        if number and (moment is not None or not framing.dated):
            break
        lines.append(text)
        at = end + 1
        if end < 0 or at >= len(data):
            break
    return b"\n".join(lines)
