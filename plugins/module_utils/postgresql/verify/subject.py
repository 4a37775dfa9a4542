# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One artefact of a repository with everything that is known of it before it is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, Stat
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.looked import look_at_artefact
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, parse_record, record_name
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    GLOBALS_SUFFIX,
    Manifest,
    manifest_name,
    parse_manifest,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census, census_from

# What other programs put beside an artefact: a SHA-256 in the form of sha256sum, alone or with a name.
_DIGEST_SUFFIXES = (".sha256", ".sha256sum")
_SHA256 = re.compile(rb"\b([0-9a-fA-F]{64})\b")
_GLOBALS = (GLOBALS_SUFFIX, f"{GLOBALS_SUFFIX}.gz", f"{GLOBALS_SUFFIX}.age", f"{GLOBALS_SUFFIX}.gpg")
# A list of the sizes and digests of a large database's tables is still far below this.
_MOST_BYTES = 1024 * 1024 * 1024


@dataclass
class Subject:
    """An artefact: where it lies, what its manifest promises, how it was found last time.

    C(problem) says why it cannot be looked at, C(manifest_problem) why its manifest cannot be used.
    C(census) is what it must hold, C(digest) the SHA-256 that somebody noted.
    """

    name: str
    depot: Depot
    stat: Optional[Stat] = None
    members: Mapping[str, int] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    manifest: Optional[Manifest] = None
    manifest_sha256: Optional[str] = None
    manifest_problem: Optional[str] = None
    census: Optional[Census] = None
    digest: Optional[str] = None
    globals_name: Optional[str] = None
    record: Optional[Record] = None
    problem: Optional[str] = None

    @property
    def address(self) -> str:
        """Where it lies, for people."""
        return self.depot.address(self.name)

    @property
    def size(self) -> int:
        """Its size; 0 when there is none."""
        return self.stat.bytes if self.stat else 0

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory of files."""
        return bool(self.stat and self.stat.is_directory)

    @property
    def is_current(self) -> bool:
        """Whether the record is about the artefact as it lies there now, and about this manifest."""
        return (
            self.record is not None
            and self.stat is not None
            and self.record.size_bytes == self.stat.bytes
            and dict(self.record.identity) == dict(self.identity)
            and self.record.manifest_sha256 == self.manifest_sha256
        )

    def known_census(self) -> Optional[Census]:
        """What it holds, by its manifest or by its last verification; None when neither says it."""
        if self.census is not None:
            return self.census
        kept = self.record.census if self.record is not None else None
        try:
            return census_from(kept) if kept else None
        except Undecided:
            return None

    def open(self, start: int = 0, length: Optional[int] = None) -> Iterator[bytes]:
        """Its bytes; of an object, those of the version that was looked at.

        Raises:
            Undecided: they cannot be read (code unreadable).

        """
        try:
            yield from self.depot.open(self.name, start, length, self.stat.version_id if self.stat else None)
        except Undecided as error:
            error.details.setdefault("code", "unreadable")
            raise


def load_subject(depot: Depot, records: Depot, name: str) -> Subject:
    """Look at an artefact, its manifest, its record and what else lies beside it. Nothing is raised."""
    subject = Subject(name, depot)
    try:
        looked = look_at_artefact(depot, name)
        subject.stat, subject.members, subject.identity = looked.stat, looked.members, looked.identity
    except Undecided as error:
        subject.problem = error.message
    try:
        _read_manifest(subject)
    except Undecided as error:
        subject.manifest_problem = error.message
    try:
        subject.record = parse_record(records.get(record_name(name)))
    except Undecided:
        subject.record = None  # Without it everything is proven anew.
    if subject.manifest is None:
        _look_beside(subject)
    elif subject.manifest.globals is not None:
        subject.globals_name = subject.manifest.globals.name
    return subject


def _read_manifest(subject: Subject) -> None:
    name = manifest_name(subject.name)
    data = subject.depot.get(name, _MOST_BYTES)
    if data is None:
        return
    subject.manifest_sha256 = hashlib.sha256(data).hexdigest()
    subject.manifest = parse_manifest(data, name)
    subject.digest = subject.manifest.sha256
    if subject.manifest.census is not None:
        subject.census = census_from(subject.manifest.census)


def _look_beside(subject: Subject) -> None:
    """What other programs left beside an artefact."""
    try:
        for suffix in _DIGEST_SUFFIXES:
            found = _SHA256.search(subject.depot.get(subject.name + suffix) or b"")
            if found and not subject.is_directory:
                subject.digest = found.group(1).decode().lower()
                break
        for suffix in _GLOBALS:
            if subject.depot.stat(subject.name + suffix) is not None:
                subject.globals_name = subject.name + suffix
                break
    except Undecided as error:
        subject.problem = subject.problem or error.message
