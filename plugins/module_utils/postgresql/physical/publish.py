# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the files that pg_basebackup wrote to members of a backup, in a directory or a bucket, encrypted if wanted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, Hashes
from ansible_collections.runbook.ops.plugins.module_utils.backup.directory_depot import DirectoryDepot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import SUFFIXES, Encryption, encrypted
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.leftovers import sweep
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Part

# What pg_basebackup wrote, before it is encrypted.
_PLAIN = ".plain"


class Publisher:
    """Where a backup is written, and how its files get their place.

    Args:
        depot: The repository.
        rule: How backups are named there.
        encryption: For whom they are encrypted.
        work_directory: Where files lie that are to go elsewhere, or to be encrypted.

    """

    def __init__(
        self, depot: Depot, rule: NamingRule, encryption: Optional[Encryption], work_directory: Optional[Path]
    ) -> None:
        self._depot = depot
        self._rule = rule
        self._encryption = encryption
        self._work_directory = work_directory

    @property
    def root(self) -> Path:
        """Where pg_basebackup writes: where the backup stays, unless it goes elsewhere or is encrypted."""
        if self._work_directory is not None and not self._stays:
            return self._work_directory
        if isinstance(self._depot, DirectoryDepot):
            return Path(self._depot.location)
        return Path(tempfile.gettempdir())

    @property
    def _stays(self) -> bool:
        """Whether the files that pg_basebackup writes are the backup's own."""
        return isinstance(self._depot, DirectoryDepot) and self._encryption is None

    @property
    def _workshop(self) -> DirectoryDepot:
        """Where the files lie until they are complete. Beside other people's, it is a directory of this repository."""
        if self.root == Path(self._depot.location):
            return DirectoryDepot(self.root)
        digest = hashlib.sha256(self._depot.location.encode()).hexdigest()[:16]
        return DirectoryDepot(self.root / f"runbook-basebackup-{os.geteuid()}-{digest}")

    def clear(self, repository: Repository) -> list[str]:
        """Remove what killed runs left, only with the repository's lock held: the names of their backups."""
        workshop = self._workshop
        removed = [each.removesuffix(_PLAIN) for each in workshop.sweep(self._is_ours)]
        self._close(workshop)
        removed += sweep(self._depot, repository, self._rule)
        return list(dict.fromkeys(self._backup_of(each) for each in removed))

    def _backup_of(self, left: str) -> str:
        companion = self._rule.companion_of(left)
        return companion[0] if companion else self._rule.artefact_of(left) or left

    def _is_ours(self, left: str) -> bool:
        return self._rule.artefact_of(left.removesuffix(_PLAIN)) is not None

    def _close(self, workshop: DirectoryDepot) -> None:
        """Remove a place that was made for this repository's files only, once it is empty."""
        if workshop.location != self._depot.location:
            with contextlib.suppress(OSError):
                Path(workshop.location).rmdir()

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A directory's name that pg_basebackup may make; gone afterwards unless it was given its final name."""
        workshop = self._workshop
        workshop.prepare()
        staging = workshop.partial(name if self._stays else f"{name}{_PLAIN}")
        try:
            yield staging
        finally:
            workshop.delete(staging.name)
            self._close(workshop)
            if isinstance(self._depot, DirectoryDepot):
                self._depot.delete(self._depot.partial(name).name)

    def publish(self, staging: Path, name: str, progress: Progress) -> dict[str, Part]:
        """Give the files their place, encrypted where that is wanted: what lies there, with its SHA-256."""
        files = sorted(staging.iterdir())
        progress.phase(
            "publish", self._depot.address(name), total=sum(each.stat().st_size for each in files), unit="bytes"
        )
        members: dict[str, Part] = {}
        inner, prefix = (None, "") if self._stays else self._inner(name)
        try:
            for path in files:
                part = self._keep(path, progress) if inner is None else self._write(inner, prefix, path, progress)
                members[part.name] = part
        except BaseException:
            if inner is self._depot:
                for member in members:
                    with contextlib.suppress(RunbookError):
                        self._depot.delete(prefix + member)
            raise
        if isinstance(self._depot, DirectoryDepot):
            self._depot.adopt(name)
        return members

    def _keep(self, path: Path, progress: Progress) -> Part:
        """A file that stays where it is."""
        hashes = Hashes()
        for _chunk in _read(path, progress, hashes):
            pass
        return Part(path.name, hashes.bytes, hashes.sha256)

    def _write(self, inner: Depot, prefix: str, path: Path, progress: Progress) -> Part:
        """A file that goes elsewhere, and makes room."""
        encryption = self._encryption
        member = path.name + (SUFFIXES[encryption.method] if encryption else "")
        chunks = _read(path, progress)
        with inner.create(prefix + member) as sink:
            for chunk in encrypted(chunks, encryption) if encryption else chunks:
                sink.write(chunk)
            stored = sink.commit()
        path.unlink()
        return Part(member, stored.bytes, stored.sha256, stored.version_id)

    def _inner(self, name: str) -> tuple[Depot, str]:
        """Where members are written one by one: below the name in a bucket, else in the directory's partial one."""
        if isinstance(self._depot, DirectoryDepot):
            partial = DirectoryDepot(self._depot.partial(name))
            partial.prepare()
            return partial, ""
        return self._depot, f"{name}/"


def _read(path: Path, progress: Progress, hashes: Optional[Hashes] = None) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(1024 * 1024):
            if hashes is not None:
                hashes.update(chunk)
            progress.advance(len(chunk))
            yield chunk
