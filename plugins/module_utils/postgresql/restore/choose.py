# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup is restored: the named one, or the newest that is proven."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.content import Content
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import Decryption
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import (
    Artefact,
    Clocks,
    newest_first,
    sort_out,
    taken_at,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import open_repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.backup.testimony import Standing
from ansible_collections.runbook.ops.plugins.module_utils.backup.witnesses import Witnesses
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import (
    DUMP,
    Manifest,
    Part,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import RestoreRequest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject, load_subject

_LISTING_SECONDS = 600.0
_WORKERS = 8
_TOLERANCE = dt.timedelta(hours=6)
_MOST_BYTES = 1 << 62
_HOW = "Prove one with runbook.ops.postgresql_backup_verify, or set allow_unverified."


@dataclass(frozen=True)
class Chosen:
    """The backup and what is known of it.

    Args:
        subject: The artefact, its manifest, and what else lies beside it.
        taken_at: When its data was taken.
        taken_from: What that is known from: manifest, content, modified or name.
        census: What must be in it, by its manifest or its last verification; None when nothing says it.
        standing: How far it is proven; None where nobody tried.
        key: The same for the same content: its SHA-256 if somebody noted it, or else of name, size and identity.
        notes: What a reader must know about the choice.

    """

    subject: Subject
    taken_at: dt.datetime
    taken_from: str
    census: Optional[Census]
    standing: Optional[Standing]
    key: str
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name in the repository."""
        return self.subject.name

    @property
    def manifest(self) -> Optional[Manifest]:
        """Its manifest."""
        return self.subject.manifest

    def globals(self, decryption: Optional[Decryption]) -> Optional[bytes]:
        """What its file of globals holds, decoded and held against the manifest; None when it has none.

        Raises:
            Damaged: it is not what was written.
            Undecided: it cannot be read.

        """
        name = self.subject.globals_name
        if name is None:
            return None
        part = None if self.manifest is None else self.manifest.globals
        version = None if part is None else part.version_id
        content = Content(self.subject.depot.open(name, version_id=version), decryption=decryption)
        data = b"".join(content.chunks())
        content.drain()
        if part is not None:
            check_part(part, content.hashes.bytes, content.hashes.sha256)
        return data

    def facts(self) -> dict[str, Any]:
        """For results."""
        return {
            "name": self.name,
            "address": self.subject.address,
            "size_bytes": self.subject.size,
            "taken_at": iso(self.taken_at),
            "taken_at_source": self.taken_from,
            "has_manifest": self.manifest is not None,
            "verified": None if self.standing is None else self.standing.facts(),
        }


def check_part(part: Part, size: int, digest: str) -> None:
    """Raise Damaged when a file is not the one that the manifest tells of."""
    if (size, digest) != (part.bytes, part.sha256):
        raise Damaged(
            f"{part.name} is not what was written: it has {size} bytes with the SHA-256 {digest}, and the manifest "
            f"says {part.bytes} bytes with {part.sha256}",
            code="digest_mismatch" if size == part.bytes else "size_mismatch",
        )


def choose(params: Mapping[str, Any], request: RestoreRequest) -> Chosen:
    """The backup to restore.

    Raises:
        Refused: there is none that may be used.
        Unavailable: the repository cannot be listed.
        Undecided: its manifest cannot be read.

    """
    repository = open_repository(params)
    elsewhere = params["record_repository"]
    records = open_repository({**params, "repository": elsewhere}) if elsewhere else None
    meter = Meter(_MOST_BYTES, _LISTING_SECONDS)
    listing = repository.listing(request.rule, request.max_entries, meter)
    artefacts = sort_out(listing.entries, request.rule).artefacts
    if request.name:
        artefacts = [each for each in artefacts if each.name == request.name]
    skipped = Witnesses(repository, records, request.max_entries, meter).hear(artefacts, request.rule, _WORKERS)
    clocks = Clocks(request.now, request.rule, _TOLERANCE, None)
    ordered = newest_first(artefacts, clocks)
    if not ordered:
        what = f"{request.name} is not in" if request.name else f"Nothing named {request.rule.pattern} is in"
        limit = "" if listing.complete else f" The listing stopped at {listing.incomplete_reason}."
        raise Refused(
            f"{what} {repository.location}.{limit} Nothing was touched. Look at repository, name_pattern and the job "
            "that writes backups.",
            code="no_artefact",
        )
    notes = [f"{each['reason']}. {each['remedy']}" for each in skipped]
    if not listing.complete:
        notes.append(f"The listing stopped at {listing.incomplete_reason}: newer backups may lie beyond")
    artefact = _named(ordered[0], request) if request.name else _newest(ordered, request, notes)
    return _chosen(artefact, params, request, clocks, notes)


def _named(artefact: Artefact, request: RestoreRequest) -> Artefact:
    standing = artefact.standing
    if standing is not None and standing.is_refuted and not request.allow_unverified:
        raise Refused(
            f"{artefact.name} was found to be bad ({standing.reason}, {standing.verified_at}). Nothing was touched. "
            "Restore an older verified backup, or set allow_unverified.",
            code="not_verified",
        )
    is_proven = standing is not None and standing.is_proven
    if not request.verify and not is_proven and not request.allow_unverified:
        raise Refused(
            f"{artefact.name} is not verified, and verify is false: nothing would prove it. Nothing was touched. "
            f"{_HOW}",
            code="not_verified",
        )
    return artefact


def _newest(ordered: Sequence[Artefact], request: RestoreRequest, notes: list[str]) -> Artefact:
    """The newest one that may be used; what is newer and is passed over goes into the notes."""
    if request.allow_unverified:
        usable = [each for each in ordered if not (each.standing is not None and each.standing.is_refuted)]
    else:
        usable = [each for each in ordered if each.standing is not None and each.standing.is_proven]
    if not usable:
        newest = ordered[0]
        why = "nobody has proven it" if newest.standing is None else newest.standing.reason or "it changed since"
        raise Refused(
            f"None of {len(ordered)} backups is verified (the newest is {newest.name}: {why}). Nothing was touched. "
            f"{_HOW}",
            code="not_verified",
        )
    newer = list(ordered[: ordered.index(usable[0])])
    if newer:
        names = ", ".join(each.name for each in newer[:3])
        notes.append(
            f"{len(newer)} newer {'backup is' if len(newer) == 1 else 'backups are'} not verified and left alone "
            f"({names}{', …' if len(newer) > 3 else ''})"
        )
    return usable[0]


def _chosen(
    artefact: Artefact, params: Mapping[str, Any], request: RestoreRequest, clocks: Clocks, notes: list[str]
) -> Chosen:
    depot = open_depot(params)
    elsewhere = params["record_repository"]
    records = open_depot({**params, "repository": elsewhere}) if elsewhere else depot
    subject = load_subject(depot, records, artefact.name)
    if subject.problem is not None or subject.stat is None:
        raise Undecided(f"{subject.address} cannot be read: {subject.problem or 'it is not there any more'}.")
    manifest = subject.manifest
    if manifest is None and not request.allow_unverified:
        why = subject.manifest_problem or "it has no manifest, so nobody knows what must be in it"
        raise Refused(
            f"{subject.address}: {why.rstrip('.')}. Nothing was touched. Restore a backup with a manifest, or set "
            "allow_unverified.",
            code="no_manifest",
        )
    if manifest is not None and manifest.method != DUMP:
        raise Refused(
            f"{subject.address} was taken with method={manifest.method}, and method is {DUMP}. Nothing was touched. "
            f"Set method to {manifest.method}.",
            code="method",
        )
    if manifest is not None and manifest.bytes != subject.size:
        raise Refused(
            f"{subject.address} has {subject.size} bytes, and its manifest says {manifest.bytes}. Nothing was "
            "touched. Restore an older verified backup.",
            code="size_mismatch",
        )
    moment = taken_at(artefact, clocks)
    return Chosen(
        subject=subject,
        taken_at=moment.moment,
        taken_from=moment.source,
        census=subject.known_census(),
        standing=artefact.standing,
        key=subject.digest or _key(subject),
        notes=tuple(notes),
    )


def _key(subject: Subject) -> str:
    about = [subject.name, subject.size, dict(subject.identity)]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()
