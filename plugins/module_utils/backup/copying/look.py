# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at both repositories: which backups are due, and what lies where their copies belong. Nothing is written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.plan import Decision, There, decide
from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.sheet import Sheet, read_sheet
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.looked import Looked, look_at_artefact
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import (
    MANIFEST_SUFFIX,
    PENDING_SUFFIX,
    NamingRule,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.pending import is_dead, pending_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.published import entry_names, published_names
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, parse_record, record_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.witnesses import MOST_BYTES
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused


@dataclass(frozen=True)
class Place:
    """A repository: what writes and reads there by name, what lists it, and where records of its backups lie."""

    depot: Depot
    repository: Repository
    records: Depot


@dataclass(frozen=True)
class Due:
    """A backup that belongs into the other repository: what is to be done, and the record that may go along."""

    sheet: Sheet
    decision: Decision
    record: Optional[Record] = None


@dataclass(frozen=True)
class Outlook:
    """Everything that was seen: C(abandoned) are begun copies whose originals are gone, with all their files.

    C(unreadable) are backups that are due and cannot be copied, with the reason. C(copies) are those of the other
    repository, newest first.
    """

    due: tuple[Due, ...]
    unreadable: tuple[tuple[str, str], ...]
    abandoned: dict[str, tuple[str, ...]]
    copies: tuple[str, ...]


class Looking:
    """Looks from one repository to the other.

    Args:
        source: Where the backups are.
        target: Where copies of them belong.
        rule: How they are named in both.

    """

    def __init__(self, source: Place, target: Place, rule: NamingRule) -> None:
        self._source = source
        self._target = target
        self._rule = rule

    def look(self, names: Sequence[str], newest: int) -> Outlook:
        """What is due: the backups of these names, or so many of the newest ones; and what was begun before.

        Raises:
            Refused: there is no published backup, or none of a name that was given.
            Unavailable: a repository cannot be listed.

        """
        published = published_names(entry_names(self._source.repository, self._rule), self._rule)
        there = entry_names(self._target.repository, self._rule)
        if missing := [name for name in names if name not in published]:
            raise Refused(f"{self._source.depot.address(missing[0])} is no published backup. Nothing was copied.")
        if not published:
            raise Refused(
                f"There is no published backup in {self._source.depot.location} that follows {self._rule.pattern}. "
                "Nothing was copied. Look at the backup job, or correct repository and name_pattern."
            )
        begun = [name[: -len(PENDING_SUFFIX)] for name in there if name.endswith(PENDING_SUFFIX)]
        wanted = [*(names or published[:newest]), *(name for name in begun if name in published)]
        due, unreadable = self._due(wanted)
        return Outlook(
            tuple(due),
            tuple(unreadable),
            {name: self._left(name, there) for name in begun if self._is_abandoned(name, published)},
            tuple(published_names(there, self._rule)),
        )

    def _due(self, wanted: Sequence[str]) -> tuple[list[Due], list[tuple[str, str]]]:
        """Oldest first, so that what another one cannot be restored without is there before it."""
        sheets: dict[str, Sheet] = {}
        unreadable: dict[str, str] = {}
        left = list(dict.fromkeys(wanted))
        while left:
            name = left.pop()
            try:
                sheet = self._sheet(name)
            except RunbookError as error:
                unreadable[name] = error.message
                continue
            sheets[name] = sheet
            left += [each for each in sheet.requires if each not in sheets and each not in unreadable]
        due = []
        for name in sorted(sheets, key=lambda each: (sheets[each].taken_at, each)):
            try:
                due.append(self._look_at(sheets[name]))
            except RunbookError as error:
                unreadable[name] = error.message
        return due, sorted(unreadable.items())

    def _sheet(self, name: str) -> Sheet:
        depot, manifest = self._source.depot, name + MANIFEST_SUFFIX
        raw = depot.get(manifest, MOST_BYTES)
        if raw is None:
            raise Undecided(f"{depot.address(manifest)} is not there")
        return read_sheet(raw, name, depot.address(manifest))

    def _look_at(self, sheet: Sheet) -> Due:
        self._check_source(sheet)
        record = proof_of(self._source, sheet)
        there = self._there(sheet)
        decision = decide(sheet, there, is_proven=record is not None)
        return Due(sheet, decision, record)

    def _check_source(self, sheet: Sheet) -> None:
        for piece in sheet.pieces:
            stat = self._source.depot.stat(piece.name, piece.version_id)
            if stat is None or stat.bytes != piece.bytes:
                found = "is not there" if stat is None else f"has {stat.bytes} bytes"
                raise Undecided(
                    f"{self._source.depot.address(piece.name)} {found}, and the manifest of {sheet.artefact} says "
                    f"{piece.bytes} bytes"
                )

    def _there(self, sheet: Sheet) -> There:
        depot, name = self._target.depot, sheet.artefact
        note = depot.get(pending_name(name))
        raw = depot.get(name + MANIFEST_SUFFIX, MOST_BYTES)
        manifest, problem = None, ""
        if raw is not None:
            try:
                manifest = read_sheet(raw, name, depot.address(name + MANIFEST_SUFFIX))
            except RunbookError as error:
                problem = error.message
        versions = {piece.name: piece.version_id for piece in manifest.pieces} if manifest is not None else {}
        sizes: dict[str, Optional[int]] = {}
        for piece in sheet.pieces:
            stat = depot.stat(piece.name, versions.get(piece.name))
            sizes[piece.name] = None if stat is None else stat.bytes
        is_begun = note is not None
        return There(
            manifest,
            problem,
            sizes,
            has_note=is_begun,
            is_alive=is_begun and not is_dead(note),
            has_record=manifest is not None and self._has_record(manifest),
        )

    def _has_record(self, copy: Sheet) -> bool:
        record = parse_record(self._target.records.get(record_name(copy.artefact)))
        return record is not None and _is_about(record, look_at_artefact(self._target.depot, copy.artefact), copy)

    def _is_abandoned(self, name: str, published: Sequence[str]) -> bool:
        """Whether a copy was begun whose original is gone, and nobody is at work on it."""
        if name in published or self._rule.period(name) is None:
            return False
        return self._target.depot.stat(name + MANIFEST_SUFFIX) is None and is_dead(
            self._target.depot.get(pending_name(name))
        )

    def _left(self, artefact: str, there: Sequence[str]) -> tuple[str, ...]:
        """What lies under the name of an artefact, the note last: a run that is killed finds the rest."""
        note = pending_name(artefact)
        belongs = [
            name
            for name in there
            if name != note and (name == artefact or (self._rule.companion_of(name) or ("",))[0] == artefact)
        ]
        return (*belongs, note)


def proof_of(place: Place, sheet: Sheet) -> Optional[Record]:
    """The record that a backup is good as it lies there; None without one."""
    record = parse_record(place.records.get(record_name(sheet.artefact)))
    if record is None or not record.is_verified:
        return None
    if record.sha256 and record.sha256 != sheet.found["sha256"]:
        return None
    return record if _is_about(record, look_at_artefact(place.depot, sheet.artefact), sheet) else None


def _is_about(record: Record, looked: Looked, sheet: Sheet) -> bool:
    """Whether a record is about an artefact as it lies there now, and about its manifest."""
    told = record.manifest_sha256
    return (
        looked.stat is not None
        and record.size_bytes == looked.stat.bytes
        and dict(record.identity) == dict(looked.identity)
        and (told is None or told == hashlib.sha256(sheet.raw).hexdigest())
    )
