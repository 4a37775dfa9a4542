# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the files that pg_basebackup wrote to members of a backup, in a directory or a bucket, encrypted if wanted."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, Hashes
from ansible_collections.runbook.ops.plugins.module_utils.backup.directory_depot import DirectoryDepot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import SUFFIXES, Encryption, encrypted
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX, NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Part

# What pg_basebackup wrote, before it is encrypted.
_PLAIN = ".plain"
# Members without a manifest that are older were left by a run that was killed; another host may write younger ones.
_ABANDONED = dt.timedelta(days=1)


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

    @contextlib.contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """A directory's name that pg_basebackup may make; gone afterwards unless it was given its final name."""
        root = DirectoryDepot(self.root)
        if Path(root.location) != Path(self._depot.location):
            # Beside other people's files: only what lies in a directory of this repository is swept away.
            digest = hashlib.sha256(self._depot.location.encode()).hexdigest()[:16]
            root = DirectoryDepot(Path(root.location) / f"runbook-basebackup-{os.geteuid()}-{digest}")
            root.prepare()
        for each in {id(place): place for place in (root, self._depot)}.values():
            each.sweep(lambda left: self._rule.artefact_of(left.removesuffix(_PLAIN)) is not None)
        self._clear_abandoned()
        staging = root.partial(name if self._stays else f"{name}{_PLAIN}")
        try:
            yield staging
        finally:
            root.delete(staging.name)
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

    def _clear_abandoned(self) -> None:
        """Delete members in a bucket whose backup never got a manifest."""
        if isinstance(self._depot, DirectoryDepot):
            return
        listed = self._depot.members("")
        complete = {name.removesuffix(MANIFEST_SUFFIX) for name in listed if name.endswith(MANIFEST_SUFFIX)}
        for name in listed:
            artefact = self._rule.artefact_of(name)
            if artefact is None or artefact == name or artefact in complete or not name.startswith(f"{artefact}/"):
                continue
            found = self._depot.stat(name)
            if found is not None and utc_now() - found.modified_at > _ABANDONED:
                self._depot.delete(name)


def _read(path: Path, progress: Progress, hashes: Optional[Hashes] = None) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(1024 * 1024):
            if hashes is not None:
                hashes.update(chunk)
            progress.advance(len(chunk))
            yield chunk
