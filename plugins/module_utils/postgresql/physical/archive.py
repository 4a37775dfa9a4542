# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a server's C(archive_command) puts its WAL: a directory or a bucket. Listed, read, and replayed from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Optional, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import (
    Branch,
    Chain,
    Names,
    chain,
    first_page,
    names_from,
    parse_history,
    show_lsn,
)

LATEST = "latest"
_HISTORY_BYTES = 1024 * 1024
_HEAD_BYTES = 64
_HEADS = 5


class Files(Protocol):
    """Files by name, as every depot has them."""

    kind: str
    location: str

    def address(self, name: str) -> str:
        """The path or address of a file."""

    def members(self, name: str) -> dict[str, int]:
        """The files below a name with their bytes; raises Undecided."""

    def open(self, name: str) -> Iterator[bytes]:
        """The chunks of a file; raises Undecided."""


class WalArchive:
    """An archive of WAL, by the options of the object store and C(wal_archive).

    Args:
        depot: Where it lies.
        decryption: Keys, where segments are encrypted.

    """

    def __init__(self, depot: Files, decryption: Optional[Decryption] = None) -> None:
        self._depot = depot
        self._decryption = decryption
        self.location = depot.location

    def names(self) -> Names:
        """What it holds, the size of a segment, and which cluster it is of.

        Raises:
            Undecided: it cannot be listed, is empty, or none of its segments looks like one.

        """
        members = self._depot.members("")
        found = names_from(members)
        if not found.segments:
            raise Undecided(
                f"{self.location} holds no WAL segment, or cannot be looked into. Check wal_archive, and that the "
                "server's archive_command writes there"
            )
        problem = ""
        # The newest, or one of those before it: a single bad file says nothing of the others.
        for name in sorted(found.segments, reverse=True)[:_HEADS]:
            try:
                identifier, size = first_page(self._head(found.segments[name]))
            except Damaged as error:
                problem = f"{name}: {error.message}"
            else:
                return names_from(members, size, identifier)
        raise Undecided(f"{self.location} holds no WAL segment that begins as one does ({problem})")

    def fingerprint(self) -> str:
        """Changes with what it holds, by names and bytes; raises Undecided."""
        members = sorted(self._depot.members("").items())
        return hashlib.sha256(json.dumps(members).encode()).hexdigest()

    def _head(self, path: str) -> bytes:
        chunks = self.open(path)
        data = b""
        for chunk in chunks:
            data += chunk
            if len(data) >= _HEAD_BYTES:
                break
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
        return data

    def open(self, path: str) -> Iterator[bytes]:
        """The chunks of a file of the archive, unpacked; raises Undecided and Damaged."""
        if path.rsplit("/", 1)[-1].count(".") == 0 or path.endswith(".history"):
            return self._depot.open(path)
        return Content(self._depot.open(path), decryption=self._decryption).chunks()

    def local(self, path: str) -> str | None:
        """The path of a segment that lies unpacked in a directory of this host; None for any other."""
        if self._depot.kind == "directory" and "." not in path.rsplit("/", 1)[-1]:
            return self._depot.address(path)
        return None

    def way(self, names: Names, timeline: int, target: str) -> list[Branch]:
        """How replaying gets from a backup's timeline to the wanted one: C(latest), or its number.

        Raises:
            InvalidOption: the wanted one does not descend from the backup's.

        """
        wanted = max([timeline, *names.histories]) if target == LATEST else _number(target)
        if wanted == 1 or (wanted == timeline and wanted not in names.histories):
            if wanted != timeline:
                raise InvalidOption("target_timeline", target, f"the backup's timeline {timeline}, or one after it")
            return [Branch(timeline, 0)]
        if wanted not in names.histories:
            raise InvalidOption("target_timeline", target, f"a timeline with a history file in {self.location}")
        way = parse_history(self.text(names.histories[wanted]), wanted)
        if timeline not in [each.timeline for each in way]:
            raise InvalidOption(
                "target_timeline",
                target,
                f"one that descends from the backup's timeline {timeline}; {wanted} comes by way of "
                + ", ".join(str(each.timeline) for each in way[:-1]),
            )
        return way

    def chain(self, names: Names, start: int, timeline: int, target: str = LATEST) -> Chain:
        """The segments from a backup's start on, to the newest; see C(wal.chain)."""
        way = self.way(names, timeline, target)
        left = next(each.end for each in way if each.timeline == timeline)
        if left is not None and left < start:
            raise InvalidOption(
                "target_timeline",
                target,
                f"one that left timeline {timeline} after the backup began, at {show_lsn(start)}; "
                f"{way[-1].timeline} left it at {show_lsn(left)}",
            )
        return chain(names, start, way)

    def text(self, path: str) -> str:
        """A history file."""
        data = b""
        for chunk in self.open(path):
            data += chunk
            if len(data) > _HISTORY_BYTES:
                raise Damaged(f"{path} is no history file: it is too large")
        return data.decode("utf-8", "replace")


def open_archive(params: Mapping[str, Any], decryption: Optional[Decryption] = None) -> WalArchive | None:
    """The archive that the option C(wal_archive) names; None without it. Raises InvalidOption."""
    location = params.get("wal_archive")
    if not location:
        return None
    try:
        return WalArchive(open_depot({**params, "repository": location}), decryption)
    except InvalidOption as error:
        if error.option == "repository":
            raise InvalidOption(
                "wal_archive", location, "an absolute directory such as /var/backups/wal, or s3://bucket/prefix"
            ) from None
        raise


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InvalidOption("target_timeline", text, "latest, or the number of a timeline, such as 2")
    return int(text)
