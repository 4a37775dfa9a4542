# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot over the connection, as a replica gets one: for servers whose data directory is out of reach.

The server forks as for BGSAVE and sends the RDB file, either announced by its length (C($<bytes>)) or, straight from
the child, framed by a mark of 40 bytes (C($EOF:<mark>) … C(<mark>)); line feeds before it say that it is alive
(syncCommand() in replication.c). C(rdb-only) (7.0) spares it the buffer for the commands that a real replica would get
afterwards.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, new_file
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import Census, info_of, keys_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import between
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.moment import changes_between
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.rdb import HEADER_BYTES, read_header
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.snapshot import QueueCounter, Snapshot
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect_server

_MARK_BYTES = 40
_ANNOUNCED = re.compile(rb"\$(?:EOF:([0-9A-Za-z]{40})|([0-9]+))\r?")
_LONGEST_LINE = 512


class Frame:
    """Takes the frame off the stream: give it pieces, get the bytes of the file. Pure.

    C(complete) tells whether the file has ended; what is held back meanwhile is never more than the mark's length.
    """

    def __init__(self) -> None:
        self.announced = False
        self.complete = False
        self.length: int | None = None
        self._mark: bytes | None = None
        self._held = b""
        self._given = 0

    def feed(self, piece: bytes) -> bytes:
        """The part of the file that a piece completes; raises RunbookError for an error reply."""
        data = self._held + piece
        self._held = b""
        if not self.announced:
            data = self._read_announcement(data)
            if not self.announced:
                return b""
        if self.length is not None:
            data = data[: self.length - self._given]
            self._given += len(data)
            self.complete = self._given == self.length
            return data
        if data.endswith(self._mark or b"\0"):
            self.complete = True
            return data[:-_MARK_BYTES]
        self._held = data[-_MARK_BYTES:]
        return data[:-_MARK_BYTES]

    def _read_announcement(self, data: bytes) -> bytes:
        line, separator, rest = data.lstrip(b"\n").partition(b"\n")
        if not separator:
            self._held = line
            if len(line) > _LONGEST_LINE:
                raise RunbookError("The server's answer to SYNC is no snapshot. Is this a Redis server?")
            return b""
        if line.startswith(b"-"):
            text = line[1:].decode("utf-8", "backslashreplace").strip()
            raise RunbookError(
                f"The server refused SYNC: {text}. Grant: +sync +replconf; where the service does not offer it, use "
                "its own snapshots, or method=file on the server's host."
            )
        found = _ANNOUNCED.fullmatch(line)
        if found is None:
            raise RunbookError("The server's answer to SYNC is no snapshot. Is this a Redis server?")
        self.announced = True
        self._mark = found[1]
        self.length = None if found[2] is None else int(found[2])
        return rest


class Receiver:
    """Snapshots of one server through a connection of their own."""

    def __init__(self, client: RedisClient, count_queues: QueueCounter, progress: Progress) -> None:
        """C(client) answers questions meanwhile; C(count_queues) looks at the queues of databases."""
        self._client = client
        self._count_queues = count_queues
        self._progress = progress

    def save_to(self, target: Path, *, has_queues: bool) -> Snapshot:
        """Receive a snapshot straight into a file; memory does not grow with it. Raises RunbookError."""
        first = info_of(self._client)
        before = Census(*keys_of(first), self._count_queues(first))
        frame, digest, size, head = Frame(), hashlib.sha256(), 0, b""
        after, last = before, first
        with connect_server(self._client.settings) as line:
            # Both may be unknown to the server, which then sends what it can.
            line.ask("REPLCONF", "capa", "eof")
            line.ask("REPLCONF", "rdb-only", "1")
            with explained("write", target), new_file(target) as stream:
                for data, began in _received(line, frame):
                    if began:
                        # The child has been forked: what the server holds from now on is not in the snapshot.
                        at_end = info_of(self._client)
                        after = Census(*keys_of(at_end), self._count_queues(at_end))
                        last = info_of(self._client)
                    stream.write(data)
                    digest.update(data)
                    size += len(data)
                    head += data[: max(0, HEADER_BYTES - len(head))]
                    self._progress.at(size, "receiving", total=frame.length)
        if not frame.complete:
            raise RunbookError(
                f"{self._client.where} ended the transfer after {size} bytes, before the snapshot was complete: its "
                "child failed, or repl-timeout or client-output-buffer-limit was reached. Its log says which. "
                "Nothing was kept."
            )
        try:
            created = read_header(head).created
        except Damaged as error:
            raise RunbookError(f"{self._client.where} sent something else: {error.message}.") from None
        figures = between(before, after, changes_between(first, last), has_queues=has_queues)
        return Snapshot(size, digest.hexdigest(), float(created or 0), figures)


def _received(line: RedisClient, frame: Frame) -> Iterator[tuple[bytes, bool]]:
    """The bytes of the file, piece by piece, and whether it has begun with this one."""
    for piece in line.stream("SYNC"):
        was_announced = frame.announced
        data = frame.feed(piece)
        yield data, frame.announced and not was_announced
        if frame.complete:
            return
