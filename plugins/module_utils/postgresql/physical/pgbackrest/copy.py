# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of pgBackRest's as something to prove and to restore: by its own C(verify), C(restore), C(archive-get)."""

from __future__ import annotations

import contextlib
import datetime as dt
import shlex
from collections.abc import Iterator
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.answers import (
    Judged,
    RestBackup,
    Stanza,
    parse_tablespaces,
    parse_verify,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.program import Rest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Feed, Target
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import Fault, Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace


class RestFiles:
    """The WAL of a stanza's archive, read through pgBackRest, whatever store its repository lies in."""

    kind = "pgbackrest"

    def __init__(self, rest: Rest, archive: str) -> None:
        self._rest = rest
        self._root = f"archive/{rest.stanza}/{archive}"
        self.location = f"pgBackRest's {self._root}"

    def address(self, name: str) -> str:
        """Its path in the repository."""
        return f"{self._root}/{name}"

    def members(self, name: str) -> dict[str, int]:
        """The files and their bytes."""
        return self._rest.files(f"{self._root}/{name}".rstrip("/"))

    def open(self, name: str) -> Iterator[bytes]:
        """The chunks of a file."""
        return self._rest.chunks(f"{self._root}/{name}")


class RestCopy:
    """One backup of a stanza."""

    def __init__(self, rest: Rest, stanza: Stanza, backup: RestBackup, superuser: str) -> None:
        self._rest = rest
        self._backup = backup
        key = (backup.database_id, backup.repo)
        manifest = rest.text(f"backup/{rest.stanza}/{backup.label}/backup.manifest")
        self.subject = Subject(
            name=backup.label,
            address=f"pgBackRest's {rest.stanza}/{backup.label}",
            method="pgbackrest",
            # It counts in whole seconds: what is earlier in the last one cannot be reached.
            stopped_at=backup.stopped_at + dt.timedelta(seconds=1),
            bytes=backup.repository_bytes,
            version_num=stanza.versions[key],
            timeline=int(backup.wal_first[:8], 16),
            start_lsn=backup.start_lsn,
            stop_lsn=backup.stop_lsn,
            superuser=superuser,
            cluster_bytes=backup.cluster_bytes,
            files=None,
            checksums=None,
            system_identifier=stanza.identifiers[key],
            tablespaces=parse_tablespaces(manifest),
            carries_wal=False,
            fingerprint=f"{backup.label} {stanza.identifiers[key]}",
        )
        if key not in stanza.archives:
            raise RunbookError(
                f"The stanza {rest.stanza} has no archive of WAL for the backup {backup.label}. Take another."
            )
        self.archive = WalArchive(RestFiles(rest, stanza.archives[key]))

    def examine(self, progress: Progress, target: Optional[Target], *, decode: bool = True) -> list[Fault]:
        """What pgBackRest's own verify says, and, where there is a target, its restore into it."""
        faults = self._verify(progress)
        if decode and target is not None and all(each.is_noted for each in faults):
            faults += self._restore(progress, target)
        return faults

    def _verify(self, progress: Progress) -> list[Fault]:
        progress.phase("verify", self.subject.address)
        try:
            text = self._rest.run(
                "--output=text",
                "--verbose",
                "--log-level-console=error",
                "verify",
                on_line=lambda _line: progress.check(),
            )
        except ChildFailed as error:
            return [Fault("pgbackrest_error", self.subject.name, f"pgbackrest verify failed: {error.message}")]
        status, judged = parse_verify(text)
        mine = {self.subject.name, *self._backup.references}
        if status is None or self.subject.name not in {each.name for each in judged}:
            raise Undecided(
                "pgbackrest verify said nothing of this backup, whatever its exit status", code="pgbackrest_unknown"
            )
        faults = [self._fault(each, mine) for each in judged if not each.is_good]
        if self._backup.has_error:
            faults.append(
                Fault(
                    "page_corruption",
                    self.subject.name,
                    "pages failed their checksum while pgBackRest copied them: the database itself is damaged",
                )
            )
        if status != "ok" and not faults:
            faults.append(Fault("pgbackrest_error", self.subject.name, f"pgbackrest verify states {status}"))
        return faults

    def _fault(self, judged: Judged, mine: set[str]) -> Fault:
        if judged.is_archive:
            return Fault("wal_invalid", judged.name, f"pgbackrest verify: {judged.problem}")
        code = "digest_mismatch" if judged.counts.get("checksum invalid") else "pgbackrest_error"
        if judged.counts.get("missing") or judged.counts.get("size invalid"):
            code = "size_mismatch"
        detail = f"pgbackrest verify: {judged.status}, {judged.problem}"
        return Fault(code, judged.name, detail, is_noted=judged.name not in mine)

    def _restore(self, progress: Progress, target: Target) -> list[Fault]:
        progress.phase("copy", self.subject.address, total=self.subject.cluster_bytes, unit="bytes")
        spaces = [f"--tablespace-map={oid}={path}" for oid, path in target.tablespaces.items()]
        try:
            self._rest.run(
                f"--pg1-path={target.data}",
                f"--set={self.subject.name}",
                *spaces,
                "--type=none",
                "--archive-mode=off",
                "--log-level-console=error",
                "restore",
                on_line=lambda _line: progress.check(),
            )
        except ChildFailed as error:
            return [Fault("restore_failed", self.subject.name, f"pgbackrest restore failed: {error.message}")]
        return []

    @contextlib.contextmanager
    def feed(self, place: ScratchPlace, target: Target) -> Iterator[Feed]:  # noqa: ARG002 - it asks no scratch place
        """By C(archive-get), as a restored server would fetch its WAL."""
        argv = self._rest.command(f"--pg1-path={target.data}", "--log-level-console=off", "--no-archive-async")
        yield Feed(f"{shlex.join(argv)} archive-get %f %p")
