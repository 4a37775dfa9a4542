# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a listing of a backup repository means. Pure: entries, names and inspections in, facts out."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from ansible_collections.runbook.ops.plugins.module_utils.backup.inspect import Inspection, not_inspected
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import (
    MANIFEST_SUFFIX,
    NamingRule,
    Period,
    is_of_writers,
    is_pointer,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.backup.testimony import Standing, Told, fits, standing_of
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso

# How many backups before the newest one its size is compared with.
_COMPARED = 7
_DAY_SECONDS = 86400
# The widest difference between two wall clocks on earth (UTC-12 to UTC+14, counted from UTC).
_UNKNOWN_ZONE_SECONDS = 14 * 3600


class Entry(NamedTuple):
    """One thing in a repository: a file, an object, or a directory with its members (C(members): name to bytes).

    C(name) is relative to the repository, with slashes. C(identity) is equal for two names of the same bytes on disk
    (links), C(link_target) the name inside the repository that a symbolic link leads to. C(problem) says why it cannot
    be looked at. C(state) is what of C(depot.Stat.identity) the listing tells: it is another after every writing.
    """

    name: str
    size_bytes: int | None
    modified_at: dt.datetime | None
    locator: Any = None
    members: Mapping[str, int] | None = None
    is_symlink: bool = False
    link_target: str | None = None
    identity: Any = None
    version_id: str | None = None
    version_count: int | None = None
    etag: str | None = None
    checksum_algorithms: tuple[str, ...] | None = None
    storage_class: str | None = None
    problem: str | None = None
    state: Mapping[str, Any] | None = None


class Listing(NamedTuple):
    """What a repository holds. C(complete) is false when a limit ended the listing early."""

    entries: list[Entry]
    complete: bool
    incomplete_reason: str | None
    versioning: str | None
    deleted: list[dict[str, Any]] | None
    skipped: list[dict[str, str]]


def reached_limit(count: int, max_entries: int, meter: Meter) -> str | None:
    """Why a listing has to stop here; None while it may go on."""
    if count >= max_entries:
        return f"the limit of {max_entries} entries (max_entries)"
    if meter.is_over:
        return f"the limit of {meter.timeout_seconds:g} seconds (timeout)"
    return None


def skipped_entry(section: str, reason: str, remedy: str) -> dict[str, str]:
    """What could not be read, for the module's result."""
    return {"section": section, "reason": reason, "remedy": remedy}


class Artefact:
    """One backup: its entry, the period of its name, what reading it told."""

    def __init__(self, entry: Entry, period: Period) -> None:
        self.entry = entry
        self.period = period
        self.companions: dict[str, Entry] = {}
        self.inspection = not_inspected("not inspected")
        self.sample: str | None = None
        self.told: Told | None = None
        self.record: Record | None = None

    @property
    def name(self) -> str:
        """Its name in the repository."""
        return self.entry.name

    @property
    def standing(self) -> Standing | None:
        """How far it is proven; None where nobody tried."""
        return standing_of(self.record, self.told, self.entry.size_bytes, self.entry.state)

    @property
    def is_what_was_told(self) -> bool | None:
        """Whether its manifest is about it, as far as size and version tell; None without a manifest."""
        return None if self.told is None else fits(self.told, self.entry.size_bytes, self.entry.state)


class Contents(NamedTuple):
    """The entries of a repository, sorted out by the naming rule."""

    artefacts: list[Artefact]
    pointers: list[Entry]
    unrecognised: list[Entry]


class Clocks(NamedTuple):
    """What ages and dates are compared with.

    C(tolerance) is how far a backup may be written outside the period of its name, for one that runs past midnight;
    C(writer_zone) the timezone of the machine that runs pg_dump, None if unknown.
    """

    now: dt.datetime
    rule: NamingRule
    tolerance: dt.timedelta
    writer_zone: dt.tzinfo | None


def sort_out(entries: Iterable[Entry], rule: NamingRule) -> Contents:
    """Tell backups, what accompanies them, pointers such as latest.sql.gz, and the rest apart."""
    artefacts: dict[str, Artefact] = {}
    others: list[Entry] = []
    for entry in entries:
        period = rule.period(entry.name)
        if period:
            artefacts[entry.name] = Artefact(entry, period)
        else:
            others.append(entry)
    pointers, unrecognised = [], []
    for entry in others:
        companion = rule.companion_of(entry.name)
        if companion and companion[0] in artefacts:
            artefacts[companion[0]].companions[companion[1]] = entry
        elif is_pointer(entry.name):
            pointers.append(entry)
        elif entry.name.rsplit("/", 1)[-1] != "lost+found" and not is_of_writers(entry.name):
            unrecognised.append(entry)
    return Contents(list(artefacts.values()), pointers, unrecognised)


class Taken(NamedTuple):
    """When a backup was taken, as far as it can be told, and from what: manifest, content, modified or name."""

    moment: dt.datetime
    source: str


def taken_at(artefact: Artefact, clocks: Clocks) -> Taken:
    """The moment that the age of a backup counts from. In doubt the older one: a copy or a touch makes nothing newer.

    The moment of the snapshot in its manifest wins, then that in the backup's own header where it is certain.
    Otherwise it is the time of writing, unless the name ended long before: then somebody copied or overwrote it, and
    the end of the name's period is all that is claimed.
    """
    if artefact.told is not None and artefact.is_what_was_told is not False:
        return Taken(artefact.told.taken_at, "manifest")
    content = content_moment(artefact.inspection, clocks)
    if content and content.uncertain_seconds == 0:
        return Taken(content.moment, "content")
    modified = artefact.entry.modified_at
    if modified is None or modified > artefact.period.end + clocks.tolerance:
        found = Taken(artefact.period.end, "name")
    else:
        found = Taken(modified, "modified")
    if content and content.moment + dt.timedelta(seconds=content.uncertain_seconds) < found.moment - clocks.tolerance:
        return Taken(content.moment, "content")
    return found


class ContentMoment(NamedTuple):
    """When the content was dumped, and by how many seconds that may be wrong for lack of a timezone."""

    moment: dt.datetime
    uncertain_seconds: int


def content_moment(inspection: Inspection, clocks: Clocks) -> ContentMoment | None:
    """The moment in the backup's own header: archives have the writer's wall clock, plain dumps of pg_dump --verbose
    the name of its timezone, too."""
    if inspection.written_local is None:
        return None
    wall = dt.datetime.fromisoformat(inspection.written_local)
    zone = _zone_of(inspection.written_zone, wall, clocks)
    if zone is None:
        return ContentMoment(wall.replace(tzinfo=dt.timezone.utc), _UNKNOWN_ZONE_SECONDS)
    return ContentMoment(wall.replace(tzinfo=zone).astimezone(dt.timezone.utc), 0)


def _zone_of(name: str | None, wall: dt.datetime, clocks: Clocks) -> dt.tzinfo | None:
    if name in ("UTC", "GMT"):
        return dt.timezone.utc
    if name and name[0] in "+-" and name[1:3].isdigit():
        sign = -1 if name[0] == "-" else 1
        minutes = int(name[3:].strip(":") or 0) if name[3:].strip(":").isdigit() else 0
        return dt.timezone(sign * dt.timedelta(hours=int(name[1:3]), minutes=minutes))
    for zone in (clocks.writer_zone, clocks.rule.zone):
        # Abbreviations mean nothing by themselves (there are three CST); one that fits a zone we know does.
        if zone is not None and name is not None and wall.replace(tzinfo=zone).tzname() == name:
            return zone
    return clocks.writer_zone


def divergence(artefact: Artefact, clocks: Clocks) -> str | None:
    """Why name, time of writing and content do not belong together; None when they do.

    A name that was frozen when the job was set up and is overwritten every night shows here, as does yesterday's file
    under today's name.
    """
    period, modified = artefact.period, artefact.entry.modified_at
    slack = clocks.tolerance
    if period.start > clocks.now + slack:
        return "its name lies in the future"
    named = _shown(period, clocks)
    if modified is not None and modified > period.end + slack:
        return f"named {named}, but written {iso(modified)}: a frozen name that is overwritten, or a later copy"
    if modified is not None and modified < period.start - slack:
        return f"named {named}, but written before that, {iso(modified)}"
    if why := _untold(artefact, slack):
        return why
    content = content_moment(artefact.inspection, clocks)
    if content:
        slack += dt.timedelta(seconds=content.uncertain_seconds)
        if not period.start - slack <= content.moment <= period.end + slack:
            return f"named {named}, but its content was dumped {iso(content.moment)}"
    return None


def _untold(artefact: Artefact, slack: dt.timedelta) -> str | None:
    """Why the manifest and the backup that it lies beside do not belong together; None when they do."""
    told, period = artefact.told, artefact.period
    if told is None:
        return None
    if artefact.is_what_was_told is False:
        return (
            f"its manifest is about {told.bytes} bytes and it has {artefact.entry.size_bytes}"
            if told.bytes != artefact.entry.size_bytes
            else "its manifest is about another version of it"
        )
    if told.name is not None and told.name != artefact.name:
        return f"its manifest is that of {told.name}"
    if not period.start - slack <= told.taken_at <= period.end + slack:
        return f"its manifest says that it was taken {iso(told.taken_at)}, which its name does not"
    return None


def _shown(period: Period, clocks: Clocks) -> str:
    local = period.start.astimezone(clocks.rule.zone)
    return local.date().isoformat() if clocks.rule.resolution in ("year", "month", "day") else local.isoformat()


def newest_first(artefacts: Iterable[Artefact], clocks: Clocks) -> list[Artefact]:
    """By the moment they were taken, then by name."""
    return sorted(
        artefacts, key=lambda each: (taken_at(each, clocks).moment, each.period.start, each.name), reverse=True
    )


def artefact_facts(artefact: Artefact, clocks: Clocks) -> dict[str, Any]:
    """One backup for the module's result."""
    entry, inspection = artefact.entry, artefact.inspection
    taken = taken_at(artefact, clocks)
    content = content_moment(inspection, clocks)
    reason = divergence(artefact, clocks)
    standing, told = artefact.standing, artefact.told
    return {
        "name": entry.name,
        "size_bytes": entry.size_bytes,
        "modified_at": iso(entry.modified_at) if entry.modified_at else None,
        "named_at": iso(artefact.period.start),
        "content_at": iso(content.moment) if content else None,
        "content_uncertain_seconds": content.uncertain_seconds if content else None,
        "taken_at": iso(taken.moment),
        "taken_at_source": taken.source,
        "age_seconds": _seconds(clocks.now - taken.moment),
        "kind": inspection.kind,
        "is_symlink": entry.is_symlink,
        "version_id": entry.version_id,
        "version_count": entry.version_count,
        "etag": entry.etag,
        "is_multipart": None if entry.etag is None else "-" in entry.etag,
        "checksum_algorithms": None if entry.checksum_algorithms is None else list(entry.checksum_algorithms),
        "storage_class": entry.storage_class,
        "has_manifest": MANIFEST_SUFFIX in artefact.companions,
        "companions": sorted(artefact.companions),
        "diverges": reason is not None,
        "divergence_reason": reason,
        "inspected": {
            "complete": inspection.complete,
            "verdict": _verdict(inspection),
            "reason": inspection.reason,
            "method": inspection.method,
        },
        "header": inspection.header or None,
        "manifest": None if told is None else told.facts(),
        "verified": None if standing is None else standing.facts(),
    }


def inventory(
    contents: Contents,
    listing: Listing,
    clocks: Clocks,
    *,
    interval_seconds: float,
    gap_window_seconds: float,
    top: int,
) -> dict[str, Any]:
    """The facts about the repository as a whole. Lists hold at most C(top) entries; their counts are complete."""
    ordered = newest_first(contents.artefacts, clocks)
    newest = ordered[0] if ordered else None
    sizes = [each.entry.size_bytes for each in ordered]
    known_sizes = [size for size in sizes if size is not None]
    previous = [size for size in sizes[1 : 1 + _COMPARED] if size]
    whole = next((each for each in ordered if each.inspection.complete), None)
    proven = [each for each in ordered if each.standing and each.standing.is_proven]
    refuted = [each for each in ordered if _is_refuted(each)]
    since = ordered[: ordered.index(proven[0])] if proven else ordered
    missing = gaps(ordered, clocks, interval_seconds, gap_window_seconds)
    doubles = duplicates(ordered)
    diverging = [
        {"name": each.name, "diverges": True, "reason": reason}
        for each in ordered
        for reason in [divergence(each, clocks)]
        if reason
    ]
    pointers = [pointer_facts(pointer, ordered, clocks) for pointer in contents.pointers]
    newest_written = max((each.entry.modified_at for each in ordered if each.entry.modified_at), default=None)
    strangers = [_stranger(entry, newest_written) for entry in contents.unrecognised]
    strangers.sort(key=lambda each: (each["is_newer"], each["modified_at"] or ""), reverse=True)
    return {
        "count": len(ordered),
        "total_bytes": sum(known_sizes) if len(known_sizes) == len(sizes) else None,
        "listing_complete": listing.complete,
        "newest": artefact_facts(newest, clocks) if newest else None,
        "newest_complete": artefact_facts(whole, clocks) if whole else None,
        "oldest_taken_at": iso(taken_at(ordered[-1], clocks).moment) if ordered else None,
        "inspected_count": sum(each.inspection.complete is not None for each in ordered),
        "complete_count": sum(each.inspection.complete is True for each in ordered),
        "incomplete_count": sum(each.inspection.complete is False for each in ordered),
        "incomplete": [
            {
                "name": each.name,
                "complete": False,
                "is_empty": each.inspection.kind == "empty",
                "is_newest": each is newest,
                "reason": each.inspection.reason,
            }
            for each in ordered
            if each.inspection.complete is False
        ][:top],
        # Not the same as whole: a backup that could not be read is neither.
        "newest_is_incomplete": newest is not None and newest.inspection.complete is False,
        "verified_count": len(proven),
        "unverified_count": len(ordered) - len(proven) - len(refuted),
        "newest_verified": artefact_facts(proven[0], clocks) if proven else None,
        "newest_failed": artefact_facts(refuted[0], clocks) if refuted else None,
        "failed_verification_count": len(refuted),
        # What has come since the last backup that is known to be good; of bad ones alone, all of them.
        "failed_since_verified_count": sum(_is_refuted(each) for each in since),
        "failed_since_verified_names": _names(each.name for each in since if _is_refuted(each)),
        "unverified_since_verified_count": sum(not _is_refuted(each) for each in since),
        "empty_count": sum(each.inspection.kind == "empty" for each in ordered),
        "previous_median_bytes": int(median(previous)) if previous else None,
        "size_change_percent": _change(sizes[0] if sizes else None, previous),
        "gap_count": len(missing),
        "gaps": missing[:top],
        "gap_dates": _names(str(gap["date"]) for gap in missing),
        "duplicate_count": len(doubles),
        "duplicates": doubles[:top],
        "diverging_count": len(diverging),
        "diverging": diverging[:top],
        "overwritten_count": _overwritten(ordered),
        "deleted_count": None if listing.deleted is None else len(listing.deleted),
        "deleted": None if listing.deleted is None else listing.deleted[:top],
        "pointers": pointers[:top],
        "stale_pointer_count": sum(pointer["is_stale"] is True for pointer in pointers),
        "unrecognised_count": len(strangers),
        "unrecognised_newer_count": sum(each["is_newer"] for each in strangers),
        "unrecognised_newer_names": _names(str(each["name"]) for each in strangers if each["is_newer"]),
        "unrecognised": strangers[:top],
        "truncated": max(len(missing), len(doubles), len(diverging), len(pointers), len(strangers)) > top,
    }


def _is_refuted(artefact: Artefact) -> bool:
    return artefact.standing is not None and artefact.standing.is_refuted


def _verdict(inspection: Inspection) -> str:
    word = {True: "whole", False: "not whole", None: "unproven"}[inspection.complete]
    return f"{word}: {inspection.method or inspection.reason}"


def _change(newest_bytes: int | None, previous: Sequence[int]) -> float | None:
    if newest_bytes is None or not previous:
        return None
    middle = median(previous)
    return round(100.0 * (newest_bytes - middle) / middle, 1)


def _names(names: Iterable[str], most: int = 3) -> str:
    """A few names in a sentence; their number stands beside it."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "") or "none"


def _overwritten(artefacts: Sequence[Artefact]) -> int | None:
    counts = [each.entry.version_count for each in artefacts]
    known = [count for count in counts if count is not None]
    return None if len(known) < len(counts) or not counts else sum(count > 1 for count in known)


def _stranger(entry: Entry, newest_written: dt.datetime | None) -> dict[str, Any]:
    # Directories change whenever something in them does; that is no sign of a backup with a wrong name.
    is_newer = (
        entry.members is None
        and entry.modified_at is not None
        and (newest_written is None or entry.modified_at > newest_written)
    )
    return {
        "name": entry.name,
        "size_bytes": entry.size_bytes,
        "modified_at": iso(entry.modified_at) if entry.modified_at else None,
        "is_newer": is_newer,
    }


def gaps(
    artefacts: Sequence[Artefact], clocks: Clocks, interval_seconds: float, window_seconds: float
) -> list[dict[str, str | None]]:
    """Backups that the naming rule and the interval promise and that are not there, oldest first.

    Looked for between the oldest and the newest backup, at most C(window_seconds) back. What is missing after the
    newest backup is told by its age.

    With an interval of whole days, days of the rule's timezone are compared (whatever the clock does in spring);
    otherwise moments, and a distance of one and a half intervals counts as a gap.
    """
    by_day = interval_seconds % _DAY_SECONDS == 0
    step = interval_seconds / _DAY_SECONDS if by_day else interval_seconds
    rule, now = clocks.rule, clocks.now

    def place(moment: dt.datetime) -> float:
        return float(rule.date(moment).toordinal()) if by_day else moment.timestamp()

    start = place(now - dt.timedelta(seconds=window_seconds))
    points = sorted({place(each.period.start) for each in artefacts if each.period.start <= now})
    missing: list[float] = []
    for point, following in zip(points, points[1:]):
        expected = point + step
        while expected <= following - step / 2:
            if expected >= start:
                missing.append(expected)
            elif following - expected > 10_000 * step:
                # A series that ended long ago is not walked night by night up to the window.
                expected += math.floor((start - expected) / step) * step
            expected += step
    return [_missing(point, rule, by_day=by_day) for point in missing]


def _missing(point: float, rule: NamingRule, *, by_day: bool) -> dict[str, str | None]:
    if by_day:
        # Noon: the same day whatever the clock did that night.
        noon = dt.datetime.combine(dt.date.fromordinal(int(point)), dt.time(12), tzinfo=rule.zone)
        # A name with a time in it cannot be foretold.
        expected = rule.name(noon) if rule.resolution in ("year", "month", "day") else None
        return {"date": noon.date().isoformat(), "name": expected}
    moment = dt.datetime.fromtimestamp(point, dt.timezone.utc)
    return {"date": iso(moment), "name": None}


def duplicates(artefacts: Sequence[Artefact]) -> list[dict[str, Any]]:
    """Backups of different dates with the same bytes: yesterday's file under today's name, or a database at rest."""
    groups: dict[tuple[Any, ...], list[Artefact]] = {}
    for each in artefacts:
        evidence = _evidence(each)
        if each.entry.size_bytes and evidence:
            groups.setdefault((each.entry.size_bytes, *evidence), []).append(each)
    return [
        {
            "name": " = ".join(sorted(each.name for each in group)[:3]),
            "names": sorted(each.name for each in group),
            "are_equal": True,
            "size_bytes": key[0],
            "evidence": key[1],
        }
        for key, group in groups.items()
        if len({each.period.start for each in group}) > 1
    ]


def _evidence(artefact: Artefact) -> tuple[str, Any] | None:
    if artefact.entry.etag:
        return "etag", artefact.entry.etag
    if artefact.sample:
        return "content sample", artefact.sample
    return None


def same_size(contents: Contents) -> list[Artefact]:
    """Backups without a checksum that share their size with another one: candidates for the same bytes."""
    sizes: dict[int | None, list[Artefact]] = {}
    for each in contents.artefacts:
        if each.entry.size_bytes and each.entry.etag is None and each.entry.members is None:
            sizes.setdefault(each.entry.size_bytes, []).append(each)
    return [each for group in sizes.values() if len(group) > 1 for each in group]


def pointer_facts(pointer: Entry, ordered: Sequence[Artefact], clocks: Clocks) -> dict[str, Any]:
    """What latest.sql.gz and its kind stand for, and whether that is the newest backup.

    C(is_stale) is None when it cannot be told.
    """
    target = next((each.name for each in ordered if _is_same(pointer, each)), None)
    is_stale: bool | None
    reason: str | None
    if pointer.problem:
        is_stale, reason = True, pointer.problem
    elif not ordered:
        is_stale, reason = None, "there is no backup to compare it with"
    elif target is not None:
        is_stale = target != ordered[0].name
        reason = f"it is {target}, and the newest backup is {ordered[0].name}" if is_stale else None
    else:
        newest = ordered[0].entry.modified_at
        is_older = (
            pointer.modified_at is not None and newest is not None and pointer.modified_at < newest - clocks.tolerance
        )
        is_stale = True if is_older else None
        reason = "it is older than the newest backup" if is_older else "it equals no backup in the repository"
    return {
        "name": pointer.name,
        "points_to": target,
        "modified_at": iso(pointer.modified_at) if pointer.modified_at else None,
        "size_bytes": pointer.size_bytes,
        "is_stale": is_stale,
        "reason": reason,
    }


def _is_same(pointer: Entry, artefact: Artefact) -> bool:
    entry = artefact.entry
    if pointer.link_target is not None:
        return pointer.link_target == entry.name
    if pointer.identity is not None and pointer.identity == entry.identity:
        return True
    return bool(pointer.etag) and pointer.etag == entry.etag and pointer.size_bytes == entry.size_bytes


def _seconds(span: dt.timedelta) -> int:
    return int(span.total_seconds())
