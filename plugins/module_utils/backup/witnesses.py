# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what lies beside backups: manifests and records of verifications; and holding bytes against a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import Inspection
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Artefact, Entry, skipped_entry
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX, NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import RECORD_SUFFIX, parse_record
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.backup.testimony import Told, told_by
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable

# A manifest of thousands of tables is still far below this.
MOST_BYTES = 64 * 1024 * 1024
_REMEDY = "Grant read there; what cannot be read counts as unverified."


class Witnesses:
    """What speaks for the backups of a repository, there or, for records, elsewhere."""

    def __init__(self, repository: Repository, records: Repository | None, max_entries: int, meter: Meter) -> None:
        self._repository = repository
        self._records = records
        self._max_entries = max_entries
        self._meter = meter

    def hear(self, artefacts: Sequence[Artefact], rule: NamingRule, workers: int) -> list[dict[str, str]]:
        """Fill in C(told) and C(record) of the artefacts: what could not be read, for C(skipped_sections)."""
        elsewhere: dict[str, Entry] = {}
        problems: list[str] = []
        if self._records is not None:
            try:
                listing = self._records.listing(rule, self._max_entries, self._meter)
                elsewhere = {each.name: each for each in listing.entries}
                if not listing.complete:
                    problems.append(f"records: the listing stopped at {listing.incomplete_reason}")
            except Unavailable as error:
                problems.append(error.message)

        def hear_one(artefact: Artefact) -> list[str]:
            return self._hear(artefact, elsewhere)

        with ThreadPoolExecutor(max_workers=workers) as pool:
            for found in pool.map(hear_one, artefacts):
                problems += found
        if not problems:
            return []
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return [skipped_entry("verified", f"{problems[0]}{more}", _REMEDY)]

    def _hear(self, artefact: Artefact, elsewhere: dict[str, Entry]) -> list[str]:
        problems: list[str] = []
        manifest = artefact.companions.get(MANIFEST_SUFFIX)
        if manifest is not None:
            artefact.told = told_by(self._read(self._repository, manifest, problems))
        record, place = artefact.companions.get(RECORD_SUFFIX), self._repository
        if self._records is not None:
            record, place = elsewhere.get(artefact.name + RECORD_SUFFIX), self._records
        if record is not None:
            artefact.record = parse_record(self._read(place, record, problems))
        return problems

    def _read(self, repository: Repository, entry: Entry, problems: list[str]) -> bytes | None:
        if self._meter.is_over:
            problems.append(f"{entry.name}: the limit of {self._meter.timeout_seconds:g} seconds was reached")
            return None
        if entry.problem or (entry.size_bytes or 0) > MOST_BYTES:
            problems.append(f"{entry.name}: {entry.problem or f'it is larger than {MOST_BYTES} bytes'}")
            return None
        try:
            return b"".join(repository.open(entry))
        except Undecided as error:
            problems.append(f"{entry.name}: {error.message}")
            return None


def check_bytes(repository: Repository, entry: Entry, told: Told, known: Inspection, meter: Meter) -> Inspection:
    """Hold every byte of a backup against the SHA-256 in its manifest: stronger than decoding, and cheaper.

    Raises:
        Undecided: it cannot be read.

    """
    try:
        method = _check(repository, entry, told, meter)
    except Damaged as damage:
        return known._replace(complete=False, reason=damage.message, method=None)
    return known._replace(complete=True, reason=None, method=method)


def _check(repository: Repository, entry: Entry, told: Told, meter: Meter) -> str:
    if told.bytes != entry.size_bytes:
        raise Damaged(f"it has {entry.size_bytes} bytes, and its manifest says {told.bytes}")
    if (entry.size_bytes or 0) > meter.remaining_bytes:
        raise Undecided(
            f"not inspected: {entry.size_bytes} bytes are more than is left of the budget of {meter.max_bytes} bytes"
            " (inspect_max_bytes)"
        )
    if entry.members is None:
        if _sha256(lambda: repository.open(entry), meter) != told.sha256:
            raise Damaged("its SHA-256 is not that of its manifest")
        return "SHA-256 is that of its manifest"
    for name, (size, digest) in sorted(told.members.items()):
        if entry.members.get(name) != size:
            raise Damaged(f"{name} has {entry.members.get(name, 'no')} bytes, and its manifest says {size}")
        if _sha256(lambda name=name: repository.open(entry, member=name), meter) != digest:  # type: ignore[misc]
            raise Damaged(f"the SHA-256 of {name} is not that of its manifest")
    if not told.members:
        raise Undecided("its manifest says nothing of the files in it")
    return f"SHA-256 of {len(told.members)} files are those of its manifest"


def _sha256(open_it: Callable[[], Iterator[bytes]], meter: Meter) -> str:
    digest = hashlib.sha256()
    for chunk in meter.count(open_it()):
        digest.update(chunk)
    return digest.hexdigest()
