# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Positions of literals in a large plain file, found by GNU grep on another processor while this one reads entries.

One literal is found in a block as fast here as there. Twenty of them take twenty passes here and one there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, clean_environment
from ansible_collections.runbook.ops.plugins.module_utils.logs.blocks import BLOCK_BYTES, Block, child_chunks
from ansible_collections.runbook.ops.plugins.module_utils.logs.budget import Budget

WORTH_BYTES = 32 * 1024 * 1024
_FEWEST_NEEDLES = 3
_NOTHING_FOUND = 1
_LONGEST_TAIL = 16 * 1024 * 1024


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


def _positions(descriptor: int, start: int, end: int, needles: Sequence[bytes], budget: Budget) -> Iterator[int]:
    # grep begins to read, and to count, where its input stands.
    os.lseek(descriptor, start, os.SEEK_SET)
    words = [word for needle in needles for word in ("-e", os.fsdecode(needle))]
    # grep -q would end at the first; -o tells where each is and not how the line goes on.
    argv = ["grep", "-a", "-b", "-o", "-F", *words]
    counted = Budget(max_bytes=1 << 62, timeout=budget.seconds_left())
    told = 0
    with Child(argv, stdin=descriptor, environment=clean_environment()) as child:
        rest = b""
        for chunk in child_chunks(child, counted, harmless=(_NOTHING_FOUND,)):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                at = start + int(line[: line.index(b":")])
                if at >= end:
                    return
                if at - start > told + BLOCK_BYTES:
                    budget.spend(at - start - told)
                    told = at - start
                yield at
    budget.spend(end - start - told)


def _block_around(descriptor: int, hit: int, low: int, end: int) -> Block:
    """A block of whole lines from the line of the hit on."""
    begin = hit
    reach = 64 * 1024
    while True:
        since = max(low, hit - reach)
        before = os.pread(descriptor, hit - since, since)
        newline = before.rfind(b"\n")
        if newline >= 0 or since == low or reach >= _LONGEST_TAIL:
            begin = since + newline + 1
            break
        reach *= 8
    length = BLOCK_BYTES // 4
    while True:
        data = os.pread(descriptor, min(length, end - begin), begin)
        cut = data.rfind(b"\n") + 1
        if begin + len(data) >= end or length >= _LONGEST_TAIL:
            return begin, data
        if cut > hit - begin:
            return begin, data[:cut]
        length *= 4
