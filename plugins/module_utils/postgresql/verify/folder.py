# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An artefact that is a directory of files (pg_dump -Fd): each hashed once, and brought here when it lies elsewhere."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import EMPTY, HEAD_BYTES
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, free_bytes, new_file
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Part, members_sha256
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import decode_directory
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head, head_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject

_CONTENTS = ("toc.dat", "toc.dat.gz")


class Folder:
    """A directory dump.

    Args:
        subject: The artefact.
        progress: Told in bytes.

    """

    def __init__(self, subject: Subject, progress: Progress) -> None:
        self._subject = subject
        self._progress = progress
        self.digests: dict[str, str] = {}
        self.bytes = 0
        self.head: Optional[Head] = None

    @property
    def sha256(self) -> str:
        """One SHA-256 for all files that were read, as the manifest has it."""
        return members_sha256({name: Part(name, 0, digest) for name, digest in self.digests.items()})

    def begin(self) -> Head:
        """Look at its table of contents; raises Damaged or Undecided."""
        if not self._subject.members:
            raise Damaged(EMPTY, code="empty_artefact")
        name = next((each for each in _CONTENTS if each in self._subject.members), None)
        if name is None:
            raise Damaged(
                "it is a directory without toc.dat, so nothing that pg_restore takes", code="decode_truncated"
            )
        content = Content(self._open(name))
        data = b""
        for chunk in content.chunks():
            data += chunk
            if len(data) >= HEAD_BYTES:
                break
        self.head = head_of("directory", data[:HEAD_BYTES])
        return self.head

    def read(self, target: Optional[Path] = None) -> None:
        """Hash every file, and write it to a directory, if one is given; raises Undecided or RunbookError."""
        self._progress.phase("read", self._subject.name, total=self._subject.size, unit="bytes")
        for name in sorted(self._subject.members):
            digest = hashlib.sha256()
            with contextlib.ExitStack() as stack:
                stream = None
                if target is not None:
                    path = target / name
                    with explained("write", path):
                        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                        stream = stack.enter_context(new_file(path))
                for chunk in self._open(name):
                    digest.update(chunk)
                    self.bytes += len(chunk)
                    if stream is not None:
                        with explained("write", target or Path()):
                            stream.write(chunk)
                    self._progress.at(self.bytes)
            self.digests[name] = digest.hexdigest()

    @contextlib.contextmanager
    def local(self, scratch_directory: Optional[Path]) -> Iterator[Path]:
        """The files as a directory of this host, read and hashed on the way.

        Those of a directory are used where they lie; those of a bucket need room for a copy, because pg_restore wants
        to choose among them.
        """
        if self._subject.depot.kind == "directory":
            self.read()
            yield Path(self._subject.address)
            return
        with ScratchPlace(scratch_directory) as place:
            if (free := free_bytes(place.directory)) < self._subject.size:
                raise Undecided(
                    f"a copy of its files needs {self._subject.size:,} bytes in {place.directory.parent}, and "
                    f"{free:,} are free there. Name a scratch_directory with more room",
                    code="no_space",
                )
            copy = place.subdirectory("dump")
            self.read(copy)
            yield copy

    def decode(self) -> str:
        """Read every file to its end, decoding what is compressed: how it was proven."""
        return decode_directory(self._subject.members, self._open)

    def _open(self, name: str) -> Iterator[bytes]:
        return self._subject.depot.open(f"{self._subject.name}/{name}")
