# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a base backup: look, guard, copy, hash, publish. What is published has a manifest, which comes last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.directory_depot import DirectoryDepot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import (
    Encryption,
    encryption_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import PENDING_SUFFIX, NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository, open_repository
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import (
    is_young,
    iso,
    parse_moment,
    reference_moment,
    utc_now,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import free_bytes
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.leftovers import noted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    BASEBACKUP,
    Manifest,
    members_sha256,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.publish import publish
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive, open_archive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.basebackup import (
    check_options,
    copy_cluster,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.copied import physical_facts
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.found import Found, facts, newest, shown
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.publish import Publisher
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import precise
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.source import Source, look_at
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import (
    Installation,
    choose_installation,
    installations,
    libpq_environment,
)

_PROGRAM = "pg_basebackup"
# Room that is asked for where nothing is known of how well the cluster can be packed, and above what is known.
_PACKED_SHARE = 0.5
_MARGIN = 1.2
_STATEMENT_SECONDS = 60.0
_NO_CENSUS = (
    "A physical backup cannot be compared with counts of its own moment: the cluster goes on while it is copied, "
    "and no "
    "snapshot is the copy's. Watermarks, must_see and amcheck prove it once it is started."
)


@dataclass(frozen=True)
class Request:
    """Checked options."""

    rule: NamingRule
    options: Mapping[str, Any]
    encryption: Optional[Encryption]
    work_directory: Optional[Path]
    max_age: Optional[int]
    now: dt.datetime


def request_from(params: Mapping[str, Any]) -> Request:
    """Check the options; raises InvalidOption before anything is touched."""
    given = params["basebackup"]
    check_options(given)
    if given["wal_method"] == "none" and not params.get("wal_archive"):
        raise InvalidOption("basebackup.wal_method", "none", "together with wal_archive, from which the WAL comes then")
    work = params.get("work_directory") or None
    if work and not Path(work).is_dir():
        raise InvalidOption("work_directory", work, "a directory that exists on the host")
    max_age = params.get("max_age")
    return Request(
        rule=NamingRule(params["name_pattern"], zone(params["timezone"])),
        options=given,
        encryption=encryption_from(params),
        work_directory=Path(work) if work else None,
        max_age=parse_seconds(max_age, "max_age") if max_age else None,
        now=reference_moment(params["reference_time"]).replace(microsecond=0),
    )


def take_base_backup(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    check_guards(params)
    request = request_from(params)
    archive = open_archive(params)
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        run = _Run(params, request, open_depot(params), open_repository(params), archive, progress)
        return run.run(check_mode=check_mode)


@dataclass
class _Run:
    params: Mapping[str, Any]
    request: Request
    depot: Depot
    repository: Repository
    archive: Optional[WalArchive]
    progress: Progress
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        request = self.request
        self._publisher = Publisher(self.depot, request.rule, request.encryption, request.work_directory)

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        request = self.request
        last = newest(self.depot, request.rule)
        if last is not None and self._is_young(last):
            return self._result(False, [], last, last)
        name = request.rule.name(request.now)
        with connect(self.params, statement_timeout_seconds=_STATEMENT_SECONDS) as session:
            found = installations(self.params.get("bin_directory"), _PROGRAM)
            installation = choose_installation(found, session.server_version_num, program=_PROGRAM)
            with libpq_environment(self.params) as environment:
                source, notes = look_at(session, installation, environment, request.options["wal_method"])
                self.notes += [*notes, _NO_CENSUS]
                self._guard(source, name, last)
                actions = self._actions(session.server, name)
                if refusal := window_refusal(self.params):
                    raise Refused(f"No backup was taken: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
                if check_mode:
                    return self._result(True, actions, last, None)
                self.depot.prepare()
                with self.depot.lock(f"backing up to {self.depot.location}"):
                    if removed := self._publisher.clear(self.repository):
                        self.notes.append(f"Removed what a run that was killed had left: {', '.join(removed)}.")
                    self._check_name(name)
                    made = self._backup(session, installation, environment, source, name)
        return self._result(True, actions, last, made)

    def _is_young(self, last: Found) -> bool:
        if self.request.max_age is None:
            return False
        return is_young(parse_moment(last.manifest.taken_at), self.request.now, self.request.max_age)

    def _guard(self, source: Source, name: str, last: Optional[Found]) -> None:
        # What a killed run left under this name is removed before the new one is written.
        if self.depot.stat(name + PENDING_SUFFIX) is None:
            self._check_name(name)
        if self.archive is None and not source.archives:
            self.notes.append(
                "The server archives no WAL (archive_mode is off): this backup can only be brought to the moment of "
                "its "
                "own end."
            )
        if source.bytes is None:
            return
        needed = source.bytes
        if self.request.options["compression"] != "none":
            ratio = _PACKED_SHARE
            if last is not None and (before := (last.manifest.physical or {}).get("cluster_bytes")):
                ratio = min(1.0, last.manifest.bytes / before)
            needed = int(needed * ratio * _MARGIN)
        for place, what in self._places():
            free = free_bytes(place)
            if free < needed:
                raise Undecided(
                    f"{what} needs about {needed} bytes in {place}, and {free} are free there. Nothing was touched. "
                    "Free some, or name a place on a larger disk",
                    code="no_space",
                )

    def _check_name(self, name: str) -> None:
        if self.depot.stat(name) is not None or self.depot.members(name):
            raise Refused(
                f"{self.depot.address(name)} is there already. Nothing was touched. Use a name_pattern with a finer "
                "date."
            )

    def _places(self) -> list[tuple[Path, str]]:
        places = [(self._publisher.root, "The copy of the cluster")]
        if isinstance(self.depot, DirectoryDepot):
            places.append((Path(self.depot.location), "The backup"))
        return places

    def _actions(self, server: str, name: str) -> list[dict[str, Any]]:
        target = self.depot.address(name)
        given = self.request.options
        actions = [
            {
                "action": "copy",
                "object": server,
                "statement": f"BASE_BACKUP (CHECKPOINT '{given['checkpoint']}', WAL {given['wal_method']})",
            }
        ]
        if self.request.encryption is not None:
            actions.append({"action": "encrypt", "object": target, "reason": f"with {self.request.encryption.method}"})
        if not isinstance(self.depot, DirectoryDepot):
            actions.append({"action": "upload", "object": target, "reason": "a part at a time, with its SHA-256"})
        return [*actions, {"action": "publish", "object": target, "reason": "with its manifest, which comes last"}]

    def _backup(
        self,
        session: Session,
        installation: Installation,
        environment: Mapping[str, str],
        source: Source,
        name: str,
    ) -> Found:
        started = utc_now()
        with noted(self.depot, name):
            with self._publisher.staging(name) as staging:
                copy_cluster(self.request.options, installation, environment, session, staging, self.progress)
                now = session.query("SELECT clock_timestamp() AS now")[0]["now"]
                physical = physical_facts(source, staging, installation, self.request.options)
                self._check_archive(physical)
                members = self._publisher.publish(staging, name, self.progress)
            manifest = Manifest(
                name=name,
                method=BASEBACKUP,
                taken_at=precise(now),
                started_at=iso(started),
                finished_at=iso(utc_now()),
                bytes=sum(each.bytes for each in members.values()),
                sha256=members_sha256(members),
                encryption=None if self.request.encryption is None else self.request.encryption.as_dict(),
                members=members,
                physical=physical,
            )
            publish(self.depot, manifest)
        return Found(name, manifest)

    def _check_archive(self, physical: Mapping[str, Any]) -> None:
        """A backup without WAL of its own is none before the archive has it."""
        if self.archive is None or self.request.options["wal_method"] != "none":
            return
        there = self.archive.names().segments
        missing = [name for name in physical["wal_segments"] if name not in there]
        if missing:
            raise RunbookError(
                f"The backup needs the WAL {', '.join(missing)}, which {self.archive.location} does not hold. It "
                "was not "
                "kept. Look at the server's archive_command, or use wal_method=stream."
            )

    def _result(
        self, changed: bool, actions: list[dict[str, Any]], last: Optional[Found], made: Optional[Found]
    ) -> dict[str, Any]:
        before, after = shown(self.depot, last), shown(self.depot, made)
        planned = self.depot.address(self.request.rule.name(self.request.now))
        return outcome(
            changed=changed,
            actions=actions,
            before=before,
            after=None if changed and made is None else after,
            backup=facts(self.depot, made) if changed and made is not None else None,
            notes=list(dict.fromkeys(self.notes)),
            diff={
                "before": f"{before['address'] or 'nothing'}\n",
                "after": f"{after['address'] or planned}\n",
            },
        )
