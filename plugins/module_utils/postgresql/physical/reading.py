# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL that is really read: every record of every segment decoded by C(pg_waldump), which checks their checksums.

That a file of the right size lies under the right name says nothing of what is in it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.children import Child, ChildFailed, first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, private_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import (
    Chain,
    Names,
    Piece,
    parse_lsn,
    parse_segment,
    segment_name,
    show_lsn,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

# Records run over the edge of a segment: each batch begins with the last segment of the one before.
_BATCH = 16
_LINE = re.compile(
    r"lsn: ([0-9A-F]+/[0-9A-F]+),.*desc: (?:COMMIT|ABORT)\w* .*?"
    r"(\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d+))? UTC"
)
_NAME = re.compile(r"\b[0-9A-F]{24}\b")
_POSITION = re.compile(r"\b([0-9A-F]+/[0-9A-F]{1,8})\b")


@dataclass(frozen=True)
class Commit:
    """The end of a transaction: when, and at which position."""

    at: dt.datetime
    lsn: int


@dataclass
class Reading:
    """What came of reading a chain: segments that were read, the first and last end of a transaction in it.

    C(problem) is why the reading ended before its end; C(segment) where.
    """

    segments: int = 0
    first: Optional[Commit] = None
    last: Optional[Commit] = None
    problem: Optional[str] = None
    segment: Optional[str] = None

    def take(self, commit: Commit) -> None:
        """One more."""
        self.first = self.first or commit
        # Clocks go back, and what ends in the log later may carry an earlier time.
        if self.last is None or commit.at >= self.last.at:
            self.last = commit


class WalReader:
    """Reads segments of an archive with the program of the server's version.

    Args:
        archive: Where they lie.
        names: What lies there.
        installation: Of exactly the server's major version.
        place: Where a private directory for unpacked segments is made; it needs room for C(_BATCH) of them.
        progress: Told of each segment.

    """

    def __init__(
        self, archive: WalArchive, names: Names, installation: Installation, place: Optional[Path], progress: Progress
    ) -> None:
        self._archive = archive
        self._names = names
        self._program = installation.program("pg_waldump")
        self._place = place
        self._progress = progress

    def read(self, chain: Chain) -> Reading:
        """Read a chain without gaps to its end, or to the first record that is bad.

        Raises:
            Undecided: the archive cannot be read.

        """
        reading = Reading()
        pieces = chain.pieces
        self._progress.phase("wal", self._archive.location, total=len(pieces), unit="segments")
        start, batch = chain.start, list(pieces[:_BATCH])
        rest = list(pieces[_BATCH:])
        while batch and reading.problem is None:
            self._read_batch(chain, start, batch, reading)
            self._progress.at(reading.segments)
            if not rest:
                break
            batch, rest = [batch[-1], *rest[: _BATCH - 1]], rest[_BATCH - 1 :]
            start = batch[0].number * chain.size
        return reading

    def newest(self, chain: Chain) -> Commit | None:
        """The last end of a transaction in a chain, looked for from its end backwards; None if there is none.

        What cannot be read is passed over: replaying, or C(read), will tell.
        """
        for piece in reversed(chain.pieces):
            reading = Reading()
            start = max(chain.start, piece.number * chain.size)
            self._read_batch(chain, start, [piece], reading)
            if reading.last is not None:
                return reading.last
        return None

    def _read_batch(self, chain: Chain, start: int, batch: Sequence[Piece], reading: Reading) -> None:
        end = (batch[-1].number + 1) * chain.size
        with private_directory("runbook-wal-", self._place) as directory:
            for piece in batch:
                if problem := self._stage(piece, chain, directory):
                    reading.problem, reading.segment = problem, piece.name
                    return
            argv = [
                *(self._program, "--path", str(directory), "--timeline", str(chain.timeline)),
                *("--start", show_lsn(start), "--end", show_lsn(end), "--rmgr", "Transaction"),
            ]
            try:
                with Child(argv) as child:
                    for line in _lines(child.chunks()):
                        self._progress.check()
                        if commit := _commit(line):
                            reading.take(commit)
            except ChildFailed as error:
                reading.problem = first_words(error.words) or error.message
                reading.segment = _segment_of(error.words, chain, batch)
                return
        reading.segments = batch[-1].number - chain.pieces[0].number + 1

    def _stage(self, piece: Piece, chain: Chain, directory: Path) -> str | None:
        """Put a segment into the directory, under one timeline's name; why not, if it is bad."""
        path = self._names.segments[piece.name]
        # The reader follows names, and a way leads over several timelines.
        target = directory / segment_name(chain.timeline, piece.number, chain.size)
        local = self._archive.local(path)
        if local is not None:
            target.symlink_to(local)
            size = self._names.sizes[path]
        else:
            size = 0
            try:
                with explained("write", target), target.open("wb") as stream:
                    for chunk in self._archive.open(path):
                        stream.write(chunk)
                        size += len(chunk)
            except Damaged as error:
                return error.message
        if size != chain.size:
            return f"it has {size} bytes instead of {chain.size}"
        return None


def _lines(chunks: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def _commit(line: str) -> Commit | None:
    found = _LINE.search(line)
    if found is None:
        return None
    at = dt.datetime.strptime(found[2], "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.timezone.utc)
    return Commit(at + dt.timedelta(microseconds=int((found[3] or "0").ljust(6, "0")[:6])), parse_lsn(found[1]))


def _segment_of(words: str, chain: Chain, batch: Sequence[Piece]) -> str:
    """The segment that a message names, or that its position lies in; the first of the batch, if it names none."""
    numbers = [found[1] for name in _NAME.findall(words) if (found := parse_segment(name, chain.size))]
    numbers += [parse_lsn(text) // chain.size for text in _POSITION.findall(words)]
    for number in numbers:
        for piece in batch:
            if piece.number == number:
                return piece.name
    return batch[0].name
