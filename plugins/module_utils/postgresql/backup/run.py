# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of postgresql_backup to its result: look, guard, dump and count in one snapshot, publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import PENDING_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository, open_repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.room import check_room
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import is_young, iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.files import free_bytes
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.beside import CensusBeside
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.dump import Plan
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.globals import globals_name, read_globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.leftovers import (
    application_name,
    end_sessions,
    end_with_us,
    noted,
    sweep,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    DUMP,
    Manifest,
    Part,
    manifest_name,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.planning import (
    actions_for,
    expected_size,
    plan_for,
    version_note,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.publish import publish
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.published import (
    Published,
    newest_published,
    read_published,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import Request, request_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.source import Source, look_at
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.telling import facts, result
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.writing import (
    Dumping,
    Written,
    clear_place,
    work_place,
    write_small,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import open_snapshot, read_sequences
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import libpq_environment

_LOOK_SECONDS = 300.0
_TURN_SECONDS = 0.2


def take_dump(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result for C(method=dump); raises RunbookError."""
    check_guards(params)
    request = request_from(params)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        run = _Run(params, request, open_depot(params), open_repository(params), progress)
        return run.run(check_mode=check_mode)


@dataclass
class _Run:
    params: Mapping[str, Any]
    request: Request
    depot: Depot
    repository: Repository
    progress: Progress
    notes: list[str] = field(default_factory=list)
    # What the last phase is about: bytes that were written, of about so many.
    _expected: int = 0

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        """Look, guard, and unless it is check mode, dump."""
        request = self.request
        self.progress.phase("look", self.depot.location)
        last = newest_published(self.repository, self.depot, request.rule)
        if last is not None and self._is_young(last):
            return result(changed=False, actions=[], before=last, after=last, backup=None, notes=[])
        with self._connect() as session:
            source = look_at(session, request.selection)
        self.notes += source.notes
        plan = plan_for(request, source)
        if note := version_note(plan, source):
            self.notes.append(note)
        artefact = request.rule.name(request.now)
        # What a killed run left under this name is removed before the new one is written.
        if self.depot.stat(artefact + PENDING_SUFFIX) is None:
            self._check_name(artefact)
        self._check_room(source, plan, last)
        actions = actions_for(request, self.depot, source, plan)
        if refusal := window_refusal(self.params):
            raise Refused(f"No backup was taken: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
        told: dict[str, Any] = {"changed": True, "actions": actions, "before": last, "after": None, "backup": None}
        if check_mode:
            return result(**told, notes=self.notes)
        self.depot.prepare()
        with self.depot.lock(f"writing a backup to {self.depot.location}"):
            self._clean()
            self._check_name(artefact)
            manifest = self._backup(artefact, source, plan)
            told |= {
                "after": read_published(self.depot, artefact),
                "backup": facts(manifest, self.depot, source.server),
            }
        return result(**told, notes=self.notes)

    def _connect(self) -> Session:
        return connect(
            self.params,
            application_name="runbook.ops postgresql_backup",
            statement_timeout_seconds=_LOOK_SECONDS,
            lock_timeout_seconds=self.request.lock_seconds,
        )

    def _is_young(self, last: Published) -> bool:
        """Whether there is a backup that makes another one superfluous. One from the future makes none."""
        if self.request.max_age is None:
            return False
        return is_young(last.taken_at, self.request.now, self.request.max_age)

    def _check_name(self, artefact: str) -> None:
        for name in (artefact, manifest_name(artefact)):
            if self.depot.stat(name) is not None or (self.request.is_directory and self.depot.members(name)):
                raise Refused(
                    f"{self.depot.address(name)} is there already. Nothing was written. Let name_pattern "
                    f"({self.request.rule.pattern}) name backups more finely, or move it away."
                )

    def _check_room(self, source: Source, plan: Plan, last: Optional[Published]) -> None:
        self._expected = expected_size(self.request, source, plan, last)
        check_room(self.depot.location, self.depot.free_bytes(), self._expected, self.request.min_free_bytes)
        if self.request.is_directory and self.depot.kind != "directory":
            place = work_place(self.request.work_directory, self.depot.location).parent
            check_room(str(place), free_bytes(place), self._expected, self.request.min_free_bytes)

    def _clean(self) -> None:
        """Make good what runs before this one could not; the lock says that they are dead."""
        if removed := sweep(self.depot, self.repository, self.request.rule):
            self.notes.append(f"Removed what a run that was killed had left: {', '.join(removed)}.")
        clear_place(work_place(self.request.work_directory, self.depot.location))
        with self._connect() as session:
            if ended := end_sessions(session, application_name(self.depot.location)):
                self.notes.append(f"Ended sessions that a run that was killed had left: {ended}.")

    def _backup(self, artefact: str, source: Source, plan: Plan) -> Manifest:
        started_at = utc_now()
        with noted(self.depot, artefact):
            written, census, globals_part = self._write(artefact, source, plan)
            request = self.request
            encryption = None
            if request.encryption is not None:
                encryption = {**request.encryption.as_dict(), **(written.content or {})}
            manifest = Manifest(
                name=artefact,
                method=DUMP,
                taken_at=census.taken_at,
                started_at=iso(started_at),
                finished_at=iso(utc_now()),
                bytes=written.bytes,
                sha256=written.sha256,
                blocks=written.blocks,
                version_id=written.version_id,
                encryption=encryption,
                members=written.members,
                globals=globals_part,
                dump={
                    "format": request.format,
                    "compression": plan.compression,
                    "compression_level": request.level,
                    "client_version": plan.installation.version,
                    "server_version": source.version,
                    "standby": source.in_recovery,
                    "jobs": request.jobs,
                    **request.selection.as_dict(),
                },
                census=census.as_dict(),
            )
            self.progress.phase("publish", self.depot.address(artefact))
            publish(self.depot, manifest)
        self.notes += [*written.warnings, *census.notes]
        return manifest

    def _write(self, artefact: str, source: Source, plan: Plan) -> tuple[Written, Census, Optional[Part]]:
        """Dump and count side by side in one snapshot; the dump gets its name when both have come to a good end."""
        request, name = self.request, application_name(self.depot.location)

        def log_in() -> Session:
            session = connect(
                self.params,
                application_name=name,
                statement_timeout_seconds=0,
                lock_timeout_seconds=request.lock_seconds,
            )
            end_with_us(session, in_transaction=False)
            return session

        with libpq_environment(self.params, application_name=name) as environment:
            with open_snapshot(self.params, application_name=name, lock_timeout_seconds=request.lock_seconds) as (
                session,
                snapshot,
            ):
                end_with_us(session, in_transaction=True)
                sequences = read_sequences(session, request.selection.scope)
                with CensusBeside(session, request, sequences, log_in) as beside:
                    self.progress.phase("dump", source.database, total=self._expected, unit="bytes")

                    def turn(count: int) -> None:
                        beside.check()
                        if count:
                            self.progress.at(count, total=max(count, self._expected))
                        self.progress.check()

                    dumping = Dumping(self.depot, request, plan, environment, turn)
                    if request.is_directory:
                        written = dumping.directory_to(artefact, snapshot)
                        census = self._finish(beside)
                    else:
                        with self.depot.create(artefact) as sink:
                            content, warnings = dumping.stream_to(sink, snapshot)
                            census = self._finish(beside)
                            stored = sink.commit()
                        written = Written(
                            stored.bytes,
                            stored.sha256,
                            stored.blocks,
                            stored.version_id,
                            content=content,
                            warnings=warnings,
                        )
            return written, census, self._globals(artefact, source, plan, environment)

    def _finish(self, beside: CensusBeside) -> Census:
        """Wait for the census, visibly."""
        if not beside.is_done:
            self.progress.phase("count", "rows of the dumped snapshot", unit="bytes")
        while not beside.is_done:
            what, done, total = beside.told
            self.progress.at(done, what, total=total)
            beside.wait(_TURN_SECONDS)
        return beside.result()

    def _globals(self, artefact: str, source: Source, plan: Plan, environment: Mapping[str, str]) -> Optional[Part]:
        request = self.request
        if not request.globals:
            return None
        self.progress.phase("globals", source.server)
        data = read_globals(plan.installation, source.database, environment, passwords=request.role_passwords)
        return write_small(self.depot, globals_name(artefact, request.encryption), data, request.encryption)
