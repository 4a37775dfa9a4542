# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup as something that can be loaded: one stream, or a directory on this host, and proof of its bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Hashes
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, new_file, private_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.present import present
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.choose import Chosen, check_part
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import (
    RESTORABLE,
    Head,
    Reading,
)

DIRECTORY = "directory"


class Source:
    """One backup, to be read once.

    Args:
        chosen: Which.
        decryption: The recovery side's keys.
        work: Where the files of a directory from elsewhere lie while they are loaded; None for the system's place.
        progress: Told in bytes of the backup.

    """

    def __init__(
        self, chosen: Chosen, decryption: Optional[Decryption], work: Optional[Path], progress: Progress
    ) -> None:
        self._chosen = chosen
        self._work = work
        self._progress = progress
        self._reading = None if chosen.subject.is_directory else Reading(chosen.subject, decryption, progress)
        self.head = Head(DIRECTORY, None, b"")
        self.path: Optional[Path] = None

    def begin(self) -> Head:
        """Read the beginning: whether it can be read and decrypted here, and is something that can be loaded.

        Raises:
            Damaged: it is not.
            Undecided: it cannot be told.

        """
        if self._reading is not None:
            self.head = self._reading.begin()
        if self.head.kind not in RESTORABLE:
            raise Damaged(
                f"{self._chosen.name} is nothing that psql or pg_restore takes, or its beginning is damaged",
                code="decode_failed",
            )
        return self.head

    @contextlib.contextmanager
    def opened(self) -> Iterator[Iterator[bytes]]:
        """Its decoded content, or nothing and C(path) for a directory, whose files are read and proven first."""
        with contextlib.ExitStack() as stack:
            if self._reading is not None:
                yield self._reading.chunks()
            else:
                self.path = stack.enter_context(self._files())
                yield iter(())

    def check(self) -> Optional[str]:
        """Read what is left, and hold all bytes against what was noted when they were written: the SHA-256.

        Raises:
            Damaged: they are others; C(digest_mismatch) or C(size_mismatch).

        """
        if self._reading is None:
            return self._chosen.subject.digest
        self._reading.drain()
        hashes = self._reading.hashes
        manifest, digest = self._chosen.manifest, self._chosen.subject.digest
        if manifest is not None and hashes.bytes != manifest.bytes:
            raise Damaged(
                f"{self._chosen.name} has {hashes.bytes} bytes, and its manifest says {manifest.bytes}",
                code="size_mismatch",
            )
        if digest is not None and hashes.sha256 != digest:
            raise Damaged(
                f"{self._chosen.name} has the SHA-256 {hashes.sha256}, and it was written with {digest}",
                code="digest_mismatch",
            )
        return hashes.sha256

    @contextlib.contextmanager
    def _files(self) -> Iterator[Path]:
        subject = self._chosen.subject
        self._progress.phase("read", subject.name, total=subject.size, unit="bytes")
        self._check_names()
        if subject.depot.kind == "directory":
            for name in sorted(subject.members):
                self._pass(name, None)
            yield Path(subject.address)
            return
        with private_directory("runbook-restore-", self._work) as place:
            for name in sorted(subject.members):
                self._pass(name, place)
            yield place

    def _check_names(self) -> None:
        """The files are those that were written: none is missing, none has come."""
        subject, manifest = self._chosen.subject, self._chosen.manifest
        if any("/" in name or name.startswith(".") for name in subject.members):
            raise Damaged(f"{subject.name} has files that no pg_dump writes", code="digest_mismatch")
        if manifest is not None and set(subject.members) != set(manifest.members):
            odd = sorted(set(subject.members) ^ set(manifest.members))
            raise Damaged(
                f"{subject.name} does not have the files that were written: {', '.join(odd[:3])}",
                code="digest_mismatch",
            )

    def _pass(self, name: str, place: Optional[Path]) -> None:
        """Read a file, keep it if it is not here, and hold it against the manifest."""
        subject, manifest = self._chosen.subject, self._chosen.manifest
        hashes = Hashes()
        with contextlib.ExitStack() as stack:
            stream = None
            if place is not None:
                stack.enter_context(explained("write", place / name))
                stream = stack.enter_context(new_file(place / name))
            for chunk in subject.depot.open(f"{subject.name}/{name}"):
                hashes.update(chunk)
                self._progress.advance(len(chunk))
                if stream is not None:
                    stream.write(chunk)
        if manifest is not None:
            check_part(present(manifest.members.get(name), name), hashes.bytes, hashes.sha256)
