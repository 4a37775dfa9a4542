"""Positions from several greps at a time are those that are there, whatever the segments, and none is left running."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.logs import hits
from ansible_collections.runbook.ops.plugins.module_utils.logs.blocks import Shortened
from ansible_collections.runbook.ops.plugins.module_utils.logs.budget import Budget, LimitReached

NEEDLES = (b"ERROR", b"rror: ", b'"level":50', b"Traceback")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hits, "_SMALLEST_SEGMENT", 64 * 1024)
    monkeypatch.setattr(hits, "SEGMENT_BYTES", 96 * 1024)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[int]:
    chance = random.Random(1)
    lines = []
    for number in range(12_000):
        luck = chance.random()
        words = chance.choice(NEEDLES) + b" and " + chance.choice(NEEDLES) if luck < 0.02 else b"Information"
        # Now and then a line that is longer than a segment.
        lines.append(b"%d %s %s\n" % (number, words, b"x" * (200_000 if luck > 0.9999 else chance.randint(1, 150))))
    path = tmp_path / "app.log"
    path.write_bytes(b"".join(lines))
    descriptor = os.open(path, os.O_RDWR)
    yield descriptor
    os.close(descriptor)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split()
    assert not [each for each in children if Path(f"/proc/{each}/comm").read_text(encoding="utf-8") == "grep\n"]


def lines_with_hits(descriptor: int, start: int, end: int, budget: Budget) -> list[int]:
    found: dict[int, None] = {}
    for (base, data), positions in hits.blocks_with_hits(descriptor, start, end, NEEDLES, budget):
        assert os.pread(descriptor, len(data), base) == data
        found.update({base + data.rfind(b"\n", 0, at) + 1: None for at in positions})
    return list(found)


def test_the_same_lines_as_one_look_at_all(log: int) -> None:
    size = os.fstat(log).st_size
    whole = os.pread(log, size, 0)
    at, expected = 0, []
    for line in whole.splitlines(keepends=True):
        if any(needle in line for needle in NEEDLES):
            expected.append(at)
        at += len(line)
    assert len(expected) > 150
    begin, end = expected[20], expected[-20]
    for low, high in ((0, size), (begin, size), (0, end), (begin, end), (begin, begin)):
        budget = Budget(1 << 40, 300)
        found = lines_with_hits(log, low, high, budget)
        # Ends of literals may be in other lines, too; those are looked at and found to be nothing.
        assert [each for each in expected if low <= each < high] == [each for each in found if each in set(expected)]
        assert budget.spent_bytes == high - low


def test_what_is_written_meanwhile_does_not_count(log: int) -> None:
    size = os.fstat(log).st_size
    os.pwrite(log, b"ERROR of later\n" * 9000, size)
    assert max(lines_with_hits(log, 0, size, Budget(1 << 40, 300))) < size


def test_a_file_that_becomes_shorter_is_told(log: int) -> None:
    size = os.fstat(log).st_size
    os.ftruncate(log, size // 2)
    with pytest.raises(Shortened, match="it was truncated while it was read"):
        lines_with_hits(log, 0, size, Budget(1 << 40, 300))


def test_a_limit_ends_the_search(log: int) -> None:
    with pytest.raises(LimitReached, match="max_bytes"):
        lines_with_hits(log, 0, os.fstat(log).st_size, Budget(100_000, 300))
