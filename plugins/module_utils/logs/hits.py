# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions of literals in a large plain file, found by GNU grep on other processors while this one reads entries.

One literal is found in a block as fast here as there. Eighty of them take eighty passes here and one there. The bytes
go from the page cache into grep's pipe without coming here (sendfile), so that a range ends where it ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, clean_environment
from ansible_collections.runbook.ops.plugins.module_utils.logs.blocks import BLOCK_BYTES, Block, Shortened, child_chunks
from ansible_collections.runbook.ops.plugins.module_utils.logs.budget import Budget
from ansible_collections.runbook.ops.plugins.module_utils.logs.needles import cheapest

WORTH_BYTES = 2 * 1024 * 1024
SEGMENT_BYTES = 128 * 1024 * 1024
_SMALLEST_SEGMENT = 16 * 1024 * 1024
_AT_A_TIME = 4
# A block around a hit. Smaller than what the allocator asks the system for each time.
_BLOCK_BYTES = 96 * 1024
_NEAR_BYTES = 4 * 1024
_SAMPLES = 8
_SAMPLE_BYTES = 2 * 1024
_FEWEST_NEEDLES = 3
_NOTHING_FOUND = 1
_LONGEST_TAIL = 16 * 1024 * 1024
_PIPE_BYTES = 1024 * 1024
_SET_PIPE_SIZE = 1031  # fcntl.F_SETPIPE_SZ, which Python 3.9 does not name
_POSITION = re.compile(rb"^(\d+):", re.MULTILINE)


def is_worthwhile(length: int, needles: Sequence[bytes]) -> bool:
    """Whether grep is there, and faster."""
    return length >= WORTH_BYTES and len(needles) >= _FEWEST_NEEDLES and shutil.which("grep") is not None


def blocks_with_hits(
    descriptor: int, start: int, end: int, needles: Sequence[bytes], budget: Budget
) -> Iterator[tuple[Block, list[int]]]:
    """Blocks of whole lines that have a hit, with the hits' positions in them; the others are not read."""
    block: Block = (start, b"")
    hits: list[int] = []
    for hit in _positions(descriptor, start, end, needles, budget):
        if hit >= block[0] + len(block[1]):
            if hits:
                yield block, hits
            block, hits = _block_around(descriptor, hit, max(start, block[0] + len(block[1])), end), []
        hits.append(hit - block[0])
    if hits:
        yield block, hits


class _Search:
    """One grep over one stretch of the file."""

    def __init__(self, descriptor: int, start: int, end: int, argv: Sequence[str], budget: Budget) -> None:
        self._descriptor = descriptor
        self._start = start
        self._end = end
        self._budget = budget
        self._missing = 0
        self._error: Optional[OSError] = None
        self._feeder: Optional[threading.Thread] = None
        if end >= os.fstat(descriptor).st_size:
            # To the end of the file grep finds itself.
            with Path(f"/proc/self/fd/{descriptor}").open("rb", buffering=0) as again:
                again.seek(start)
                self._child = Child(argv, stdin=again, environment=clean_environment())
            return
        self._child = Child(argv, stdin=subprocess.PIPE, environment=clean_environment())
        # A descriptor of the feeder's own: it is closed by nobody else, at no other time.
        self._pipe = os.dup(self._child.stdin.fileno())
        self._child.stdin.close()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def positions(self) -> Iterator[int]:
        """Offsets in the file; raises Shortened and LimitReached."""
        counted = Budget(max_bytes=1 << 62, timeout=self._budget.seconds_left())
        told, rest = self._start, b""
        for chunk in child_chunks(self._child, counted, harmless=(_NOTHING_FOUND,)):
            ready, newline, rest = (rest + chunk).rpartition(b"\n")
            for number in _POSITION.findall(ready + newline):
                at = self._start + int(number)
                if at >= self._end:
                    # What has been written since.
                    return
                if at > told + BLOCK_BYTES:
                    self._budget.spend(at - told)
                    told = at
                yield at
        if self._feeder is None:
            self._missing = max(self._end - os.fstat(self._descriptor).st_size, 0)
        else:
            self._feeder.join()
        if self._error is not None:
            raise Shortened(f"it cannot be read: {self._error.strerror or self._error}")
        if self._missing:
            raise Shortened(f"it was truncated while it was read: {self._missing} bytes of it are gone")
        self._budget.spend(self._end - told)

    def close(self) -> None:
        """End it."""
        self._child.stop()
        if self._feeder is not None:
            self._feeder.join()

    def _feed(self) -> None:
        at = self._start
        try:
            with contextlib.suppress(OSError):  # The system may allow no larger pipe.
                fcntl.fcntl(self._pipe, _SET_PIPE_SIZE, _PIPE_BYTES)
            while at < self._end:
                sent = _send(self._pipe, self._descriptor, at, min(self._end - at, _PIPE_BYTES))
                if not sent:
                    self._missing = self._end - at
                    return
                at += sent
        except BrokenPipeError:
            pass  # It was ended, and who ended it knows why.
        except OSError as error:
            self._error = error
        finally:
            os.close(self._pipe)


def _send(pipe: int, descriptor: int, at: int, amount: int) -> int:
    try:
        return os.sendfile(pipe, descriptor, at, amount)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
    return os.write(pipe, os.pread(descriptor, min(amount, 65536), at) or b"")


def _positions(descriptor: int, start: int, end: int, needles: Sequence[bytes], budget: Budget) -> Iterator[int]:
    if end - start >= _SMALLEST_SEGMENT:
        places = [start + (end - start) * number // _SAMPLES for number in range(_SAMPLES)]
        length = _SAMPLE_BYTES if end - start >= SEGMENT_BYTES * 2 else _SAMPLE_BYTES // 4
        needles = cheapest(needles, b"".join(os.pread(descriptor, length, place) for place in places))
    words = [word for needle in needles for word in ("-e", os.fsdecode(needle))]
    # grep -q would end at the first; -o tells where each is and not how the line goes on.
    argv = ["grep", "-a", "-b", "-o", "-F", *words]
    at_a_time = min(len(os.sched_getaffinity(0)), _AT_A_TIME)
    borders = _segments(descriptor, start, end, at_a_time)
    running: list[_Search] = []
    try:
        while running or borders:
            while borders and len(running) < at_a_time:
                running.append(_Search(descriptor, *borders.pop(0), argv, budget))
            yield from running[0].positions()
            running.pop(0).close()
    finally:
        for search in running:
            search.close()


def _segments(descriptor: int, start: int, end: int, at_a_time: int) -> list[tuple[int, int]]:
    """Stretches that begin where a line does, about as long as each other."""
    length = min(max((end - start) // at_a_time + 1, _SMALLEST_SEGMENT), SEGMENT_BYTES)
    found, begin = [], start
    while begin < end:
        border = min(begin + length, end)
        if border < end:
            border = _line_after(descriptor, border, end)
        found.append((begin, border))
        begin = border
    return found


def _line_after(descriptor: int, offset: int, end: int) -> int:
    """Where the next line begins; the end, when no line ends before it for long."""
    reach = 64 * 1024
    while True:
        newline = os.pread(descriptor, min(reach, end - offset), offset).find(b"\n")
        if newline >= 0:
            return offset + newline + 1
        if offset + reach >= end or reach >= _LONGEST_TAIL:
            return end
        reach *= 8


def _block_around(descriptor: int, hit: int, low: int, end: int) -> Block:
    """A block of whole lines from the line of the hit on."""
    begin = hit
    reach = _NEAR_BYTES
    while True:
        since = max(low, hit - reach)
        before = os.pread(descriptor, hit - since, since)
        newline = before.rfind(b"\n")
        if newline >= 0 or since == low or reach >= _LONGEST_TAIL:
            begin = since + newline + 1
            break
        reach *= 8
    length = _BLOCK_BYTES
    while True:
        data = os.pread(descriptor, min(length, end - begin), begin)
        cut = data.rfind(b"\n") + 1
        if begin + len(data) >= end or length >= _LONGEST_TAIL:
            return begin, data
        if cut > hit - begin:
            return begin, data[:cut]
        length *= 4
