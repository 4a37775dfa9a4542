# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An artefact as a stream: looked at, then read once, with whatever reads it, to its end."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Hashes
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import EMPTY, HEAD_BYTES, Inspection, look
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject

_UNBOUNDED = 1 << 62
_MAJOR = re.compile(r"(\d+)(?:\.(\d+))?")
_ENCODING = re.compile(rb"SET client_encoding = '([A-Za-z0-9_-]+)'")
_RESTRICT = re.compile(rb"^\\restrict ", re.MULTILINE)
# Kinds of content that a server can take.
RESTORABLE = ("plain", "custom", "tar", "directory")


class Head:
    """What the beginning of a dump says of itself. Nothing of it is proof; all of it is needed to begin."""

    def __init__(self, kind: str, inspection: Optional[Inspection], data: bytes) -> None:
        self.kind = kind
        header: Mapping[str, Any] = inspection.header if inspection is not None else {}
        self.compression: Optional[str] = header.get("compression")
        self.database: Optional[str] = header.get("database")
        self.dumped_from = version_num(header.get("dumped_from"))
        self.dumped_by = version_num(header.get("dumped_by"))
        self.written: Optional[dt.datetime] = None
        if inspection is not None and inspection.written_local is not None:
            self.written = dt.datetime.fromisoformat(inspection.written_local)
        found = _ENCODING.search(data)
        self.encoding = found.group(1).decode() if found else None
        # Lines that only newer programs know.
        self.is_restricted = kind == "plain" and _RESTRICT.search(data) is not None

    def written_at(self, zone: dt.tzinfo) -> Optional[dt.datetime]:
        """When it was written, if the writer's clock was in this timezone; None when it does not say."""
        return None if self.written is None else self.written.replace(tzinfo=zone).astimezone(dt.timezone.utc)


def head_of(kind: str, data: bytes) -> Head:
    """What the first decoded bytes say."""
    known = look(data, len(data) + 1, Meter(_UNBOUNDED, float("inf"))) if data else None
    return Head(kind, known, data)


def version_num(text: Optional[str]) -> Optional[int]:
    """A version such as C(15.18 (Debian 15.18-0+deb12u1)) as the server counts: 150018. None for none."""
    found = _MAJOR.match(text or "")
    if found is None:
        return None
    major, minor = int(found[1]), int(found[2] or 0)
    # Before 10 the first two numbers were the major version.
    return major * 10000 + minor if major >= 10 else major * 10000 + minor * 100


class Following(Progress):
    """The progress of loading, told in bytes of the artefact, whose number is known, instead of bytes of SQL."""

    def __init__(self, progress: Progress, subject: Subject) -> None:
        super().__init__()
        self._told = progress
        self._subject = subject
        self._loads = False

    def phase(self, name: str, what: str = "", *, total: float | None = None, unit: str = "") -> None:
        """A phase; one of so many bytes as nobody knows is counted in bytes of the artefact."""
        self._loads = unit == "bytes" and total is None
        if self._loads:
            self._told.phase(name, self._subject.name, total=self._subject.size, unit="bytes")
        else:
            self._told.phase(name, what or self._subject.name, total=total, unit=unit)

    def at(self, done: float, note: str = "", *, total: float | None = None) -> None:
        """How far it is, unless the one who reads the artefact says that."""
        if self._loads:
            self._told.check()
        else:
            self._told.at(done, note, total=total)

    def advance(self, amount: float, note: str = "") -> None:
        """So much more."""
        if self._loads:
            self._told.check()
        else:
            self._told.advance(amount, note)

    def check(self) -> None:
        """Whether somebody wants the end."""
        self._told.check()

    def read(self, count: int) -> None:
        """So many bytes of the artefact were read."""
        if self._loads:
            self._told.at(count)
        else:
            self._told.check()


class Reading:
    """One artefact that is one file, read once.

    Args:
        subject: The artefact.
        decryption: The recovery side's keys.
        progress: Told in bytes of the artefact.

    """

    def __init__(self, subject: Subject, decryption: Optional[Decryption], progress: Progress) -> None:
        self._subject = subject
        self._progress = progress
        # Who shows how far it is, once the artefact is restored.
        self.follower: Optional[Following] = None
        self._content = Content(subject.open(), decryption=decryption, on_bytes=self._count)
        self._stream: Iterator[bytes] = iter(())
        self._begun: list[bytes] = []
        self.head: Optional[Head] = None

    @property
    def hashes(self) -> Hashes:
        """Of what was read so far."""
        return self._content.hashes

    @property
    def layers(self) -> list[str]:
        """What was around the content."""
        return self._content.layers

    @property
    def bytes_out(self) -> int:
        """Decoded bytes so far."""
        return self._content.bytes_out

    def begin(self) -> Head:
        """Read the beginning.

        Raises:
            Damaged: there is nothing in it, or it is damaged already there.
            Undecided: it cannot be read, or not decrypted.

        """
        self._progress.phase("read", self._subject.name, total=self._subject.size, unit="bytes")
        # In the main thread: programs that decode end with the thread that started them.
        self._stream = self._content.chunks()
        data = b""
        for chunk in self._stream:
            self._begun.append(chunk)
            data += chunk
            if len(data) >= HEAD_BYTES:
                break
        kind = self._content.kind or "unknown"
        if not data or kind == "empty":
            raise Damaged(EMPTY, code="empty_artefact")
        self.head = head_of(kind, data[:HEAD_BYTES])
        return self.head

    def chunks(self) -> Iterator[bytes]:
        """The decoded content from its beginning; once."""
        while self._begun:
            yield self._begun.pop(0)
        yield from self._stream

    def drain(self) -> None:
        """Read what is left, so that the hashes are those of the whole artefact; raises Undecided."""
        self._content.drain()

    def _count(self, count: int) -> None:
        if self.follower is not None:
            self.follower.read(count)
        else:
            self._progress.at(count)
