# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing a base backup with its WAL archive to a moment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import decryption_from
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.archive import WalArchive, open_archive
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.base_copy import BaseCopy, subject_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.build import (
    MARKER,
    Building,
    Built,
    build,
    check_room,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.destination import (
    Destination,
    destination_from,
    is_marked,
    moment_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.found import Found, every, named
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.placing import settle
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.prove import choose_server
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.questions import check_questions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import Reach, look, precise, window
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import (
    Moment,
    Target,
    TooEarly,
    Unreached,
    WalMissing,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.restore_result import actions_of, told
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.subject import PhysicalBackup, Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import parse_lsn, show_lsn

_CODES: Mapping[type, str] = {
    Unreached: "target_unreached",
    TooEarly: "target_before_backup",
    WalMissing: "wal_gap",
}


def restore_base_backup(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError, Refused when nothing was touched."""
    check_guards(params)
    check_questions(params)
    moment = moment_from(params)
    decryption = decryption_from(params)
    depot, archive = open_depot(params), open_archive(params, decryption)
    if moment.at is not None and archive is None:
        raise InvalidOption(
            "wal_archive", "", "the archive of WAL, without which only target_time=latest can be reached"
        )
    progress = Progress(params.get("progress_path"))
    with progress.stoppable():
        found = _choose(params, depot, moment)
        backup = BaseCopy(depot, found, archive, decryption)
        return Restore(params, backup, archive, moment, progress).run(check_mode=check_mode)


def _choose(params: Mapping[str, Any], depot: Depot, moment: Moment) -> Found:
    """The named backup, or the newest that was complete before the moment.

    Raises:
        Refused: none was.

    """
    if params.get("name"):
        candidates = [named(depot, params["name"])]
    else:
        pattern = params.get("name_pattern") or None
        candidates = every(depot, NamingRule(pattern, zone(params["timezone"])) if pattern else None)
    if not candidates:
        raise Refused(f"{depot.location} holds no base backup. Nothing was touched. Check repository and name_pattern.")
    fitting = [each for each in candidates if moment.at is None or each.stopped_at <= moment.at]
    if not fitting:
        first = candidates[0]
        raise Refused(
            f"{precise(moment.at) if moment.at else ''} cannot be reached: the oldest backup here ({first.name}) was "
            f"complete at {precise(first.stopped_at)}, and a backup can only be brought forward. Nothing was "
            "touched. Choose a "
            "later moment, or a repository with an older backup.",
            code="target_before_backup",
            window=window(subject_of(depot, first), None),
        )
    return fitting[-1]


@dataclass
class Restore:
    """A backup brought to a moment in a new data directory; C(run) gives the result."""

    params: Mapping[str, Any]
    backup: PhysicalBackup
    archive: Optional[WalArchive]
    moment: Moment
    progress: Progress
    reach: Optional[Reach] = None
    notes: list[str] = field(default_factory=list)

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        """The module's result; raises RunbookError."""
        before = self._before()
        if before is not None and self._is_there(before):
            if not check_mode:
                # A run that was killed after its last rename may have left its marks.
                settle(Path(self.params["data_directory"]))
            return self._result(False, [], before, None)
        destination = destination_from(self.params, self.subject.tablespaces)
        installation = choose_server(self.params.get("bin_directory"), self.subject, "initdb")
        if self.archive is not None:
            dump = choose_server(self.params.get("bin_directory"), self.subject, "pg_waldump")
            self.reach = look(
                self.archive,
                self.subject,
                dump,
                _path(self.params.get("work_directory")),
                self.progress,
                self.moment.timeline,
            )
            self._check_reach(self.reach)
        check_room(destination, self.subject.cluster_bytes)
        actions = self._actions(destination)
        if refusal := window_refusal(self.params):
            raise Refused(f"Nothing was restored: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
        if check_mode:
            return self._result(True, actions, before, None)
        segments = None if self.reach is None else len(self.reach.chain.pieces)
        building = Building(
            installation, self.subject.superuser, self.moment, self.params, self._fill, self.backup.feed, segments
        )
        try:
            built = build(building, destination, self._marker, self.progress)
        except (Unreached, TooEarly, WalMissing, Damaged) as error:
            code = _CODES.get(type(error), "wal_invalid")
            raise RunbookError(
                f"{self.subject.address} was not brought to {self._wanted}: {error.message}. Nothing was put "
                "in place. Choose another moment or backup.",
                code=code,
                window=self._window,
            ) from None
        self._check_end(built)
        return self._result(True, actions, before, built)

    @property
    def subject(self) -> Subject:
        """What is restored."""
        return self.backup.subject

    @property
    def _wanted(self) -> str:
        return "the end of the WAL" if self.moment.at is None else precise(self.moment.at)

    @property
    def _window(self) -> dict[str, Any]:
        if self.reach is None:
            return window(self.subject, None)
        whole = self.reach.chain.whole
        return window(self.subject, self.reach.newest, whole.pieces[-1].name if whole.pieces else None)

    def _check_reach(self, reach: Reach) -> None:
        """Refuse what the archive cannot give, before anything is written."""
        if not self.subject.carries_wal and not reach.chain.reaches(self.subject.stop_lsn):
            raise Refused(
                f"The archive does not hold the WAL that {self.subject.name} needs to be consistent (from "
                f"{show_lsn(self.subject.start_lsn)} to {show_lsn(self.subject.stop_lsn)}). Nothing was touched. "
                "Choose "
                "another backup.",
                code="wal_gap",
                window=self._window,
            )
        gaps = ", ".join(str(each) for each in reach.chain.gaps)
        if self.moment.at is None:
            if gaps:
                raise Refused(
                    f"The end of the WAL cannot be reached: {gaps} is missing in {reach.archive.location}. Nothing was "
                    f"touched. The last moment that can be reached is {self._window['until'] or self._window['from']}: "
                    "name it in target_time.",
                    code="wal_gap",
                    window=self._window,
                )
            return
        newest = reach.newest.at if reach.newest is not None else None
        # Recovery stops at the first transaction behind the moment: without one it does not know that it is there.
        is_passed = newest is not None and (
            newest > self.moment.at if self.moment.inclusive else newest >= self.moment.at
        )
        if not is_passed:
            because = f"{gaps} is missing, and" if gaps else "the archive ends:"
            ends = "it holds no transaction" if newest is None else f"its last transaction is of {precise(newest)}"
            raise Refused(
                f"{self._wanted} cannot be reached: {because} {ends}. Nothing was touched. "
                + ("Choose an earlier moment." if gaps else "Choose an earlier moment, or target_time=latest."),
                code="target_unreached",
                window=self._window,
            )

    def _check_end(self, built: Built) -> None:
        """Whether replaying came to where the archive ends: at a bad record it stops without a word."""
        newest = None if self.reach is None else self.reach.newest
        if self.moment.at is not None or newest is None:
            return
        if built.lsn is None or parse_lsn(built.lsn) < newest.lsn:
            self.notes.append(
                f"Replaying ended at {built.lsn}, before the last commit of the archive ({precise(newest.at)}): the "
                "WAL "
                "between them cannot be read. Run runbook.ops.postgresql_backup_verify."
            )

    def _fill(self, target: Target) -> None:
        faults = [each for each in self.backup.examine(self.progress, target) if not each.is_noted]
        if faults:
            raise RunbookError(
                f"{faults[0].object} is damaged ({faults[0].code}): {faults[0].detail}. Nothing was put in place. "
                "Choose "
                "another backup.",
                code=faults[0].code,
            )

    @property
    def _marker(self) -> dict[str, Any]:
        return {
            "backup": self.subject.address,
            "sha256": self.subject.fingerprint,
            "target_time": self._wanted,
            "target_inclusive": self.moment.inclusive,
            "target_timeline": self.moment.timeline,
        }

    def _before(self) -> Optional[dict[str, Any]]:
        """What the data directory was restored from, if it was one of ours."""
        text = is_marked(Path(self.params.get("data_directory") or ""), MARKER)
        if text is None:
            return None
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            return None
        return found

    def _is_there(self, before: Mapping[str, Any]) -> bool:
        return all(before.get(name) == value for name, value in self._marker.items())

    def _actions(self, destination: Destination) -> list[dict[str, Any]]:
        target = str(destination.data)
        return actions_of(self.subject.address, target, self._wanted, destination)

    def _result(
        self,
        changed: bool,
        actions: Sequence[Mapping[str, Any]],
        before: Optional[Mapping[str, Any]],
        built: Optional[Built],
    ) -> dict[str, Any]:
        return told(
            self.params,
            self._marker,
            changed=changed,
            actions=actions,
            before=before,
            built=built,
            window=self._window,
            notes=self.notes,
            bytes_=self.subject.bytes,
            major=self.subject.major,
        )


def _path(text: Optional[str]) -> Optional[Path]:
    return Path(text) if text else None
