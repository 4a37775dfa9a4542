# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The survey of a repository: list, look at the beginnings, read to the end what was asked for."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import (
    EMPTY,
    HEAD_BYTES,
    Inspection,
    inspect,
    inspect_directory,
    look,
    not_inspected,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import (
    Artefact,
    Clocks,
    Contents,
    Listing,
    artefact_facts,
    inventory,
    newest_first,
    same_size,
    sort_out,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.backup.witnesses import Witnesses, check_bytes
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# Enough of both ends to tell two backups of equal size apart: an archive's header has its time, gzip's last bytes
# its checksum, a plain dump of today's minor versions a random token.
_SAMPLE_BYTES = 4096
_READ_MORE = "Raise inspect, inspect_max_bytes or timeout."
# How many backups to try when the newest is wanted and is not whole.
_LOOK_BACK = 7


class Wishes(NamedTuple):
    """What to survey. C(inspect) is none, newest, all or a number; C(ignore) are shell patterns for names."""

    inspect: str
    interval_seconds: float
    gap_window_seconds: float
    max_entries: int
    top: int
    workers: int
    ignore: Sequence[str]


def check_inspect(text: str) -> str:
    """The option C(inspect), checked.

    Raises:
        InvalidOption: neither a word nor a number of backups.

    """
    word = str(text).strip().lower()
    if word in ("none", "newest", "all") or (word.isdigit() and int(word) > 0):
        return word
    raise InvalidOption("inspect", text, "none, newest, all, or a number of backups from the newest on, such as 3")


class Seen(NamedTuple):
    """A repository that was looked through: its backups newest first, and everything else in it."""

    listing: Listing
    contents: Contents
    ordered: list[Artefact]
    ignored_count: int
    skipped: list[dict[str, str]]


def look_through(
    repository: Repository, wishes: Wishes, clocks: Clocks, meter: Meter, records: Repository | None = None
) -> Seen:
    """List a repository, hear what lies beside its backups, and read what was wished for; arguments as of C(survey).

    Raises:
        Unavailable: the repository cannot be listed.

    """
    listing = repository.listing(clocks.rule, wishes.max_entries, meter)
    kept = [entry for entry in listing.entries if not _is_ignored(entry.name, wishes.ignore)]
    contents = sort_out(kept, clocks.rule)
    skipped = list(listing.skipped)
    if not listing.complete:
        skipped.append(
            {
                "section": "newest",
                "reason": f"The listing stopped at {listing.incomplete_reason}: newer backups may lie beyond.",
                "remedy": "Raise max_entries and timeout, or name a narrower repository.",
            }
        )
    witnesses = Witnesses(repository, records, wishes.max_entries, meter)
    skipped += witnesses.hear(contents.artefacts, clocks.rule, wishes.workers)
    ordered = _read(repository, contents, wishes, clocks, meter)
    return Seen(listing, contents, ordered, len(listing.entries) - len(kept), skipped)


def survey(
    repository: Repository, wishes: Wishes, clocks: Clocks, meter: Meter, records: Repository | None = None
) -> dict[str, Any]:
    """The module's payload: C(repository), C(inventory), C(artefacts), C(skipped_sections).

    Args:
        repository: Where the backups are.
        wishes: What to survey.
        clocks: What ages and dates are compared with.
        meter: What reading may cost.
        records: Where the records of verifications are, when that is elsewhere.

    Raises:
        Unavailable: the repository cannot be listed.

    """
    seen = look_through(repository, wishes, clocks, meter, records)
    facts = inventory(
        seen.contents,
        seen.listing,
        clocks,
        interval_seconds=wishes.interval_seconds,
        gap_window_seconds=wishes.gap_window_seconds,
        top=wishes.top,
    )
    return {
        "repository": {
            "location": repository.location,
            "kind": repository.kind,
            "versioning": seen.listing.versioning,
            "name_pattern": clocks.rule.pattern,
            "ignored_count": seen.ignored_count,
            "bytes_read": meter.bytes_read,
        },
        "inventory": facts,
        "artefacts": [artefact_facts(each, clocks) for each in seen.ordered[: wishes.top]],
        "truncated": len(seen.ordered) > wishes.top or bool(facts["truncated"]),
        "skipped_sections": seen.skipped + _unproven(seen.ordered, facts),
    }


def _unproven(ordered: Sequence[Artefact], facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Why the verdict on the newest backup, or a whole one, is missing."""
    found = []
    if ordered and ordered[0].inspection.complete is None:
        reason = f"{ordered[0].name}: {ordered[0].inspection.reason}"
        found.append({"section": "newest.inspected", "reason": reason, "remedy": _READ_MORE})
    if ordered and facts["newest_complete"] is None:
        reason = f"of {facts['count']} backups {facts['inspected_count']} were read, and none is whole"
        found.append({"section": "newest_complete", "reason": reason, "remedy": _READ_MORE})
    return found


def _is_ignored(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _read(repository: Repository, contents: Contents, wishes: Wishes, clocks: Clocks, meter: Meter) -> list[Artefact]:
    """Fill in what reading tells; returns the backups, newest first."""
    for each in contents.artefacts:
        each.inspection = _without_reading(each)
    ordered = newest_first(contents.artefacts, clocks)
    if wishes.inspect == "none":
        return ordered
    reader = _Reading(repository, meter)
    with ThreadPoolExecutor(max_workers=wishes.workers) as pool:
        heads = [each for each in ordered[: wishes.top] if _is_open(each)]
        for each, inspection in zip(heads, pool.map(reader.look, heads)):
            each.inspection = inspection
        doubles = [each for each in same_size(contents) if each.entry.problem is None][: 2 * wishes.top]
        for each, sample in zip(doubles, pool.map(reader.sample, doubles)):
            each.sample = sample
    # The headers may have told another order.
    ordered = newest_first(contents.artefacts, clocks)
    count = {"newest": 1, "all": len(ordered)}.get(wishes.inspect) or int(wishes.inspect)
    for index, each in enumerate(ordered):
        if index >= count and (wishes.inspect != "newest" or index >= _LOOK_BACK or _is_settled(ordered[:index])):
            break
        if each.inspection.complete is None and _is_open(each):
            each.inspection = reader.inspect(each)
    return ordered


def _is_settled(looked_at: Sequence[Artefact]) -> bool:
    """Whether looking for a whole backup, from the newest on, has come to an end."""
    return any(each.inspection.complete for each in looked_at)


def _is_open(artefact: Artefact) -> bool:
    return artefact.inspection.kind != "empty" and artefact.entry.problem is None


def _without_reading(artefact: Artefact) -> Inspection:
    entry = artefact.entry
    if entry.problem:
        # A link to nothing is no backup; what merely cannot be read may be one.
        inspection = not_inspected(entry.problem)
        return inspection._replace(complete=False) if entry.is_symlink and entry.size_bytes is None else inspection
    if entry.size_bytes == 0:
        return not_inspected(EMPTY, "empty")._replace(complete=False)
    return not_inspected("not inspected", "directory" if entry.members is not None else None)


class _Reading:
    """Reading one backup at a time, or the beginnings of several side by side."""

    def __init__(self, repository: Repository, meter: Meter) -> None:
        self._repository = repository
        self._meter = meter

    def look(self, artefact: Artefact) -> Inspection:
        """Kind and header."""
        entry = artefact.entry
        if entry.members is not None:
            return artefact.inspection
        seen = self._guarded(lambda: look(self._part(artefact, 0, HEAD_BYTES), entry.size_bytes or 0, self._meter))
        is_small = (entry.size_bytes or 0) <= HEAD_BYTES
        return (self._held(artefact, seen) or seen) if is_small else seen

    def inspect(self, artefact: Artefact) -> Inspection:
        """The whole backup."""
        entry, known = artefact.entry, artefact.inspection
        members: Mapping[str, int] | None = entry.members
        if held := self._held(artefact, known):
            return held
        if members is not None:

            def open_member(name: str) -> Iterator[bytes]:
                return self._repository.open(entry, member=name)

            return self._guarded(lambda: inspect_directory(members, open_member, self._meter))
        found = self._guarded(
            lambda: inspect(lambda start: self._repository.open(entry, start), entry.size_bytes or 0, self._meter)
        )
        if found.complete is None and not found.header:
            # Reading it whole failed; what its beginning told stays true.
            return known._replace(kind=found.kind or known.kind, reason=found.reason)
        return found

    def _held(self, artefact: Artefact, known: Inspection) -> Inspection | None:
        """The backup held against its manifest; None without one that says what its bytes must be."""
        told = artefact.told
        if told is None or told.sha256 is None or artefact.is_what_was_told is None:
            return None
        found = self._guarded(lambda: check_bytes(self._repository, artefact.entry, told, known, self._meter))
        # Reading it whole failed; what its beginning told stays true.
        return found if found.complete is not None else known._replace(complete=None, reason=found.reason, method=None)

    def sample(self, artefact: Artefact) -> str | None:
        """A fingerprint of both ends."""
        size = artefact.entry.size_bytes or 0
        try:
            ends = self._part(artefact, 0, _SAMPLE_BYTES) + self._part(
                artefact, max(0, size - _SAMPLE_BYTES), _SAMPLE_BYTES
            )
        except Undecided:
            return None
        return hashlib.sha256(ends).hexdigest()

    def _part(self, artefact: Artefact, start: int, size: int) -> bytes:
        """A few bytes; they do not count against the budget."""
        return b"".join(self._repository.open(artefact.entry, start, size))

    def _guarded(self, read: Callable[[], Inspection]) -> Inspection:
        if self._meter.is_over:
            return not_inspected(f"not inspected: the limit of {self._meter.timeout_seconds:g} seconds was reached")
        try:
            return read()
        except Undecided as doubt:
            return not_inspected(doubt.message)
