# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, positions and timelines of the write-ahead log, and what is missing in an archive of it. Pure.

PostgreSQL's own rules: C(src/include/access/xlog_internal.h) for names, C(src/backend/access/transam/timeline.c) for
history files.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged

_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_HISTORY = re.compile(r"([0-9A-F]{8})\.history")
# What archive commands add when they compress or encrypt; pgBackRest puts the SHA-1 in between.
_SUFFIX = re.compile(r"(?:-[0-9a-f]{40})?(?:\.(?:gz|zst|bz2|xz|lz4|age|gpg))*")
_FOUR_GIB = 1 << 32
_LEAST_SEGMENT = 1 << 20
# magic, info, timeline, page address, remaining length, padding; then what only the first page of a segment has.
_LONG_HEADER = struct.Struct("<2xH4x8x4x4xQI")
_LONG_HEADER_FLAG = 0x0002


def parse_lsn(text: str) -> int:
    """A position in the WAL, such as C(0/3000148), in bytes; raises ValueError."""
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def show_lsn(position: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & (_FOUR_GIB - 1):X}"


def segment_name(timeline: int, number: int, size: int) -> str:
    """The file name of a segment, counted from the beginning of the WAL."""
    per_id = _FOUR_GIB // size
    return f"{timeline:08X}{number // per_id:08X}{number % per_id:08X}"


def parse_segment(name: str, size: int) -> tuple[int, int] | None:
    """Timeline and number of a segment by its name without suffixes; None for anything else."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        return None
    return int(match[1], 16), int(match[2], 16) * (_FOUR_GIB // size) + int(match[3], 16)


@dataclass(frozen=True)
class Branch:
    """A piece of the way through the timelines: from C(start) on, to where the next one begins."""

    timeline: int
    start: int
    end: Optional[int] = None


def parse_history(text: str, timeline: int) -> list[Branch]:
    """The way that leads to a timeline, the oldest piece first, by its history file.

    Raises:
        Damaged: it is no history file.

    """
    branches: list[Branch] = []
    start = 0
    for line in text.splitlines():
        stripped = line.split("#", 1)[0].split()
        if not stripped:
            continue
        try:
            parent, switch = int(stripped[0]), parse_lsn(stripped[1])
        except (ValueError, IndexError):
            raise Damaged(f"the history file of timeline {timeline} cannot be read: {line.strip()!r}") from None
        branches.append(Branch(parent, start, switch))
        start = switch
    return [*branches, Branch(timeline, start)]


@dataclass(frozen=True)
class Gap:
    """Segments that are not there, though later ones are."""

    first: str
    last: str
    count: int

    def __str__(self) -> str:
        if self.count == 1:
            return self.first
        return f"{self.first} to {self.last} ({self.count} segments)"


@dataclass(frozen=True)
class Piece:
    """A segment of a chain: its number, the name it has in the archive, and whether it is there."""

    number: int
    name: str
    is_there: bool


@dataclass(frozen=True)
class Chain:
    """The WAL from a backup's start to the newest segment of the way that is followed.

    Args:
        size: Bytes of a segment.
        start: Where the reading begins, a position.
        timeline: The timeline it leads to.
        pieces: Its segments in order, the missing ones, too.

    """

    size: int
    start: int
    timeline: int
    pieces: tuple[Piece, ...]
    way: tuple[Branch, ...] = ()

    @property
    def gaps(self) -> list[Gap]:
        """What is missing, runs of segments taken together."""
        found: list[Gap] = []
        run: list[Piece] = []
        for piece in [*self.pieces, None]:
            if piece is not None and not piece.is_there:
                run.append(piece)
            elif run:
                found.append(Gap(run[0].name, run[-1].name, len(run)))
                run = []
        return found

    @property
    def whole(self) -> Chain:
        """The part before the first gap: what can be replayed."""
        kept: list[Piece] = []
        for piece in self.pieces:
            if not piece.is_there:
                break
            kept.append(piece)
        return Chain(self.size, self.start, self.timeline, tuple(kept), self.way)

    @property
    def end(self) -> int:
        """The position behind its last segment."""
        return (self.pieces[-1].number + 1) * self.size if self.pieces else self.start

    def reaches(self, position: int) -> bool:
        """Whether everything before a position is in it, without a gap."""
        return self.whole.end >= position and bool(self.pieces)


@dataclass(frozen=True)
class Names:
    """What an archive holds: segments, history files, by their plain names; the values are where they lie."""

    size: int
    segments: Mapping[str, str]
    histories: Mapping[int, str]
    partial: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    system_identifier: str = ""

    def timelines(self) -> list[int]:
        """Every timeline that there is a segment or a history file of."""
        of_segments = {int(name[:8], 16) for name in self.segments}
        return sorted(of_segments | set(self.histories))


def names_from(members: Mapping[str, int], size: int = 0, system_identifier: str = "") -> Names:
    """Sort the files of an archive, given with their bytes; files of other kinds are left out."""
    segments: dict[str, str] = {}
    histories: dict[int, str] = {}
    partial: dict[str, str] = {}
    for path in members:
        base = path.rsplit("/", 1)[-1]
        if base.startswith("."):
            continue
        if (segment := _SEGMENT.match(base)) and _SUFFIX.fullmatch(base[segment.end() :]):
            segments[segment[0]] = path
        elif segment and base[segment.end() :].startswith(".partial"):
            partial[segment[0]] = path
        elif (history := _HISTORY.match(base)) and _SUFFIX.fullmatch(base[history.end() :]):
            histories[int(history[1], 16)] = path
    return Names(size, segments, histories, partial, dict(members), system_identifier)


def first_page(head: bytes) -> tuple[str, int]:
    """System identifier and segment size, by the first bytes of a segment (C(XLogLongPageHeaderData)).

    Raises:
        Damaged: it does not begin as a segment does.

    """
    if len(head) < _LONG_HEADER.size:
        raise Damaged("it is too short for a WAL segment")
    info, identifier, size = _LONG_HEADER.unpack_from(head)
    if not info & _LONG_HEADER_FLAG or size < _LEAST_SEGMENT or size & (size - 1):
        raise Damaged("it does not begin as a WAL segment does")
    return str(identifier), size


def chain(names: Names, start: int, way: Sequence[Branch]) -> Chain:
    """The segments that replaying from C(start) along a way needs, to the newest that there is.

    The segment in which a timeline branches off belongs to the new timeline: it holds the old one's bytes, too.
    """
    size = names.size
    first = start // size
    steps = [(each.timeline, each.start // size) for each in way]

    def timeline_of(number: int) -> int:
        return max((begin, timeline) for timeline, begin in steps if begin <= number)[1]

    last = first - 1
    for name in names.segments:
        found = parse_segment(name, size)
        if found is not None and found[1] >= first and timeline_of(found[1]) == found[0]:
            last = max(last, found[1])
    # A history file without a segment of its timeline: that segment is missing.
    last = max([last, *(begin for _timeline, begin in steps if begin >= first)])
    pieces = []
    for number in range(first, last + 1):
        name = segment_name(timeline_of(number), number, size)
        pieces.append(Piece(number, name, name in names.segments))
    return Chain(size, start, way[-1].timeline, tuple(pieces), tuple(way))


def wal_range(backup_manifest: Mapping[str, Any]) -> tuple[int, int, int]:
    """Start, end and timeline of the WAL that makes a backup consistent, by PostgreSQL's own C(backup_manifest).

    Raises:
        Damaged: it says nothing of it.

    """
    try:
        ranges = backup_manifest["WAL-Ranges"]
        last = max(ranges, key=lambda each: each["Timeline"])
        first = min(ranges, key=lambda each: each["Timeline"])
        return parse_lsn(first["Start-LSN"]), parse_lsn(last["End-LSN"]), int(last["Timeline"])
    except (KeyError, ValueError, TypeError):
        raise Damaged("its backup_manifest does not say which WAL it needs") from None
