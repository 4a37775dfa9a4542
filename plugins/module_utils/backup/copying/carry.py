# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying one backup from a repository to another: hashed on the way, read again there, its manifest last."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.look import Due, Place
from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.sheet import (
    Piece,
    Sheet,
    manifest_for,
    read_sheet,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.directory_depot import DirectoryDepot
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.looked import look_at_artefact
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX, PARTIAL_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.backup.pending import leave_note, pending_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import record_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.witnesses import MOST_BYTES
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress


class Carrier:
    """Carries backups.

    Args:
        source: Where they are.
        target: Where copies of them belong; only with its lock held.
        progress: Where it is told how far it is.

    """

    def __init__(self, source: Place, target: Place, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._progress = progress

    def copy(self, due: Due) -> None:
        """Make or complete a copy; files that are whole there already stay. Raises RunbookError.

        The note that it is not finished is there from before the first byte until after the manifest, so that whatever
        ends this in between leaves nothing that is taken for a backup, and the next run goes on.
        """
        depot, sheet = self._target.depot, due.sheet
        # Every byte passes twice: on its way, and read again there.
        self._progress.phase("copy", depot.address(sheet.artefact), total=2 * sheet.bytes, unit="bytes")
        leave_note(depot, sheet.artefact)
        # From here on the copy is none: what would say otherwise goes first.
        self._target.records.delete(record_name(sheet.artefact))
        depot.delete(sheet.artefact + MANIFEST_SUFFIX)
        staged = self._staged(sheet)
        versions: dict[str, Optional[str]] = {}
        for piece in sheet.pieces:
            inside = piece.name.startswith(f"{sheet.artefact}/")
            name = staged + piece.name[len(sheet.artefact) :] if staged and inside else piece.name
            versions[piece.name] = self._piece(piece, name)
        if staged and isinstance(depot, DirectoryDepot):
            depot.adopt(sheet.artefact)
        manifest = self._publish(sheet, versions)
        self._keep_record(due, manifest)
        depot.delete(pending_name(sheet.artefact))

    def update(self, due: Due) -> None:
        """Have the manifest of a copy say what that of the backup says since; raises RunbookError."""
        copied = self._copied(due)
        manifest = self._publish(due.sheet, {piece.name: piece.version_id for piece in copied.pieces})
        if due.record is not None:
            self._prove(due, copied, manifest)

    def prove(self, due: Due) -> None:
        """Read a copy again, and keep the record of the backup's proof beside it. Raises RunbookError."""
        copied = self._copied(due)
        self._prove(due, copied, copied.raw)

    def remove(self, names: tuple[str, ...]) -> None:
        """Remove what is left of a copy that nobody can complete; its note is the last of the names."""
        for name in names:
            self._target.depot.delete(name)

    def _copied(self, due: Due) -> Sheet:
        depot, name = self._target.depot, due.sheet.artefact + MANIFEST_SUFFIX
        raw = depot.get(name, MOST_BYTES)
        if raw is None:
            raise Undecided(f"{depot.address(name)} is not there any more")
        return read_sheet(raw, due.sheet.artefact, depot.address(name))

    def _prove(self, due: Due, copied: Sheet, manifest: bytes) -> None:
        depot = self._target.depot
        self._progress.phase("prove", depot.address(copied.artefact), total=copied.bytes, unit="bytes")
        for piece in copied.pieces:
            if not self._reads(piece, piece.name, piece.version_id):
                raise Damaged(
                    f"{depot.address(piece.name)} does not have the SHA-256 that its manifest says: this copy is "
                    f"damaged. Look at what it lies on, and delete {depot.address(copied.artefact)} and all that bears "
                    "its name; the next run copies it again"
                )
        self._keep_record(due, manifest)

    def _staged(self, sheet: Sheet) -> str:
        """Where the files of a directory lie until all of them are there; empty where they get their names at once.

        A bucket has no directories to be renamed, and a directory that is there already is completed.
        """
        depot = self._target.depot
        if not sheet.is_directory or not isinstance(depot, DirectoryDepot) or depot.stat(sheet.artefact) is not None:
            return ""
        place, slash, last = sheet.artefact.rpartition("/")
        return f"{place}{slash}.{last}{PARTIAL_SUFFIX}"

    def _piece(self, piece: Piece, name: str) -> Optional[str]:
        """Have a file of a backup lie under a name; its version there, where there are versions."""
        source, target = self._source.depot, self._target.depot
        stat = target.stat(name)
        if stat is not None:
            if stat.bytes == piece.bytes and self._reads(piece, name, stat.version_id):
                self._progress.advance(piece.bytes)
                return stat.version_id
            target.delete(name)
        with target.create(name) as sink:
            for chunk in source.open(piece.name, version_id=piece.version_id):
                sink.write(chunk)
                self._progress.advance(len(chunk))
            if sink.sha256 != piece.sha256:
                raise Damaged(
                    f"{source.address(piece.name)} does not have the SHA-256 that its manifest says: the backup "
                    "itself is damaged. Verify it, and take another one"
                )
            version = sink.commit().version_id
        if not self._reads(piece, name, version):
            raise RunbookError(
                f"{target.address(name)} does not read as it was written. Look at what it lies on and who else writes "
                "there; the next run copies it again"
            )
        return version

    def _reads(self, piece: Piece, name: str, version_id: Optional[str]) -> bool:
        """Whether a file there has the bytes of the backup's."""
        digest = hashlib.sha256()
        for chunk in self._target.depot.open(name, version_id=version_id):
            digest.update(chunk)
            self._progress.advance(len(chunk))
        return digest.hexdigest() == piece.sha256

    def _publish(self, sheet: Sheet, versions: dict[str, Optional[str]]) -> bytes:
        depot, name = self._target.depot, sheet.artefact + MANIFEST_SUFFIX
        data = manifest_for(sheet, versions)
        depot.put(name, data)
        if depot.get(name, MOST_BYTES) != data:
            raise RunbookError(f"{depot.address(name)} does not read as it was written. Look who else writes there")
        return data

    def _keep_record(self, due: Due, manifest: bytes) -> None:
        """Say of the copy what is known of its bytes: they are those that were proven."""
        record, artefact = due.record, due.sheet.artefact
        looked = look_at_artefact(self._target.depot, artefact)
        if record is None or looked.stat is None:
            return
        told = None if record.manifest_sha256 is None else hashlib.sha256(manifest).hexdigest()
        note = f"Proven in {self._source.depot.location}; the same bytes were read here."
        here = dataclasses.replace(
            record,
            size_bytes=looked.stat.bytes,
            identity=looked.identity,
            manifest_sha256=told,
            # What was read again since was read there.
            sampled={},
            notes=(*record.notes, note),
        )
        self._target.records.put(record_name(artefact), here.as_bytes())
