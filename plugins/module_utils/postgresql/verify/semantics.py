# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restored copy must hold: as its manifest, as the previous backup, as the user says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare import compare
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.counting import ReadBefore
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import Discrepancy
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.early import EarlyReader
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import (
    Census,
    Scope,
    Watermark,
    dotted,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.regressions import regressions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import open_snapshot, take_census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.weaknesses import weaknesses
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import LEVEL_OF, SEMANTICS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Minimum
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import Target

_PARTITIONED = "partitioned table"
# What says that rows are missing or other ones.
_OF_ROWS = ("row_count_mismatch", "content_mismatch", "sequence_behind")


def early_reader(target: Target, expected: Optional[Census], scope: Scope, jobs: int) -> EarlyReader:
    """Who reads large tables of the copy, for C(census_of), while indexes are made."""
    return EarlyReader(
        target.options, digests=_wants_digests(expected), scope=scope, parallel_workers=_helpers(target, jobs)
    )


def _wants_digests(expected: Optional[Census]) -> bool:
    return expected is not None and any(each.get("digest") for each in expected.tables.values())


def _helpers(target: Target, jobs: int) -> int:
    """A server that is ours alone may put all its processors to one large table."""
    return max(0, jobs - 1) if target.throwaway else 0


def census_of(
    target: Target,
    expected: Optional[Census],
    watermarks: Sequence[str],
    scope: Scope,
    jobs: int,
    progress: Progress,
    *,
    known: Optional[ReadBefore] = None,
) -> Census:
    """What the restored copy holds, with digests where the original has them; raises RunbookError."""
    names = list(dict.fromkeys([*(expected.watermarks if expected is not None else ()), *watermarks]))
    with open_snapshot(target.options, application_name="runbook.ops verify") as (session, _snapshot):
        return take_census(
            session,
            digests=_wants_digests(expected),
            watermarks=[watermark for name in names for watermark in _watermark(name)],
            progress=progress,
            session_factory=lambda: connect(target.options, statement_timeout_seconds=0),
            jobs=jobs,
            scope=scope,
            parallel_workers=_helpers(target, jobs),
            known=known,
        )


def scope_of(subject: Subject) -> Scope:
    """The part of the database that the dump was asked for."""
    dump = subject.manifest.dump if subject.manifest is not None else {}
    return Scope(tuple(dump.get("schemas") or ()), tuple(dump.get("exclude_schemas") or ()))


def compare_with_manifest(
    expected: Census,
    found: Census,
    report: Report,
    *,
    ignore_roles: bool,
    same_locale: bool,
    left_out: Sequence[str] = (),
) -> None:
    """The copy against the original; of the tables C(left_out) the rows were not dumped, on purpose."""
    without = () if same_locale else ("locale",)
    names = {dotted(*split_name(each)) for each in left_out}
    for each in compare(expected, found, ignore_roles=ignore_roles, without=without):
        if each.object in names and each.code in _OF_ROWS:
            report.leave_open(f"the rows of {each.object}: the dump leaves them out on purpose (exclude_table_data)")
        else:
            _take(each, report, "")


def tell_weaknesses(census: Census, report: Report, *, fails: bool) -> None:
    """What is odd in the database itself: its copy has it rightly, and whoever restores it should know.

    What was found to be wrong with the copy is not told twice. C(fails) judges it.
    """
    told = {(each.code, each.object) for each in report.findings}
    for each in weaknesses(census):
        if (each.code, each.object) not in told:
            _take(each if fails else replace(each, noted=True), report, "")


def as_of(found: Census, *, taken_at: Optional[dt.datetime], major: Optional[int]) -> Census:
    """What was found in a copy of an artefact that has no manifest, without what is the scratch server's own."""
    server = {
        **found.server,
        "version_num": major or found.server["version_num"],
        "system_identifier": None,
        "lsn": None,
        "timeline": None,
        "in_recovery": False,
    }
    moment = found.taken_at if taken_at is None else f"{taken_at:%Y-%m-%dT%H:%M:%S.%f}Z"
    return replace(found, server=server, taken_at=moment)


def compare_with_previous(previous: Census, name: str, current: Census, report: Report, volume_percent: float) -> None:
    """This backup against the previous verified one."""
    for each in regressions(previous, current, volume_percent=volume_percent):
        _take(each, report, f" (as against {name})")


def check_minimum(minimum: Minimum, found: Census, report: Report) -> None:
    """What the user requires of any backup."""
    tables = {name: each for name, each in found.tables.items() if each["kind"] != _PARTITIONED}
    if not tables and minimum.tables != 0:
        report.failed(
            "below_minimum",
            "it has no table at all",
            object_="tables",
            expected=max(1, minimum.tables or 0),
            found=0,
        )
        return
    if minimum.tables is not None and len(tables) < minimum.tables:
        report.failed(
            "below_minimum",
            f"it has {len(tables)} tables, and {minimum.tables} are the least",
            object_="tables",
            expected=minimum.tables,
            found=len(tables),
        )
    if minimum.rows is not None and found.row_count < minimum.rows:
        report.failed(
            "below_minimum",
            f"it has {found.row_count} rows, and {minimum.rows} are the least",
            object_="rows",
            expected=minimum.rows,
            found=found.row_count,
        )
    for name in minimum.required_tables:
        entry = found.tables.get(name)
        if entry is None:
            report.failed("structure_missing", f"{name} is required and is not there", object_=name)
        elif not entry.get("rows"):
            report.failed(
                "below_minimum",
                f"{name} is required and has no rows",
                object_=name,
                expected=1,
                found=entry.get("rows"),
            )


def check_identity(
    database: Optional[str],
    system_identifier: Optional[str],
    census: Optional[Census],
    named: Optional[str],
    report: Report,
) -> None:
    """That it is of the database, and of the server, that it should be of.

    Args:
        database: The name it must have, if the user says one.
        system_identifier: The server's, if the user says one.
        census: What the manifest says.
        named: The database that the dump itself names, if it does.
        report: Where to.

    """
    known = str(census.database.get("name")) if census is not None else None
    if known and named and known != named:
        _other(report, "database", known, named, "its manifest is of database {0}, and the dump itself names {1}")
    actual = named or known
    if database and actual and actual != database:
        _other(report, "database", database, actual, "it must be of database {0}, and is of {1}")
    elif database and not actual:
        report.leave_open(f"that it is of database {database}: the dump does not name its database")
    identifier = str(census.server.get("system_identifier")) if census is not None else None
    if system_identifier and identifier and identifier != system_identifier:
        _other(report, "system_identifier", system_identifier, identifier, "it must be of server {0}, and is of {1}")
    elif system_identifier and not identifier:
        report.leave_open(f"that it is of server {system_identifier}: only a manifest could say that")


def _other(report: Report, what: str, expected: str, found: str, text: str) -> None:
    report.failed("identity_mismatch", text.format(expected, found), object_=what, expected=expected, found=found)


def check_watermarks(names: Sequence[str], found: Census, oldest: Optional[dt.datetime], report: Report) -> None:
    """That the newest of the named watermarks is not older than a backup may be, and that there is one."""
    values = {name: found.watermarks.get(name) for name in names}
    for name, value in values.items():
        if value is None and oldest is not None:
            report.failed(
                "stale", f"{name} has no value: there is nothing newer than nothing", object_=name, level=SEMANTICS
            )
    moments = {name: moment for name, value in values.items() for moment in _moment(value)}
    if not moments or oldest is None:
        return
    newest = max(moments, key=lambda name: moments[name])
    if moments[newest] < oldest:
        report.failed(
            "stale",
            f"its newest content ({newest}) is of {moments[newest]:%Y-%m-%d %H:%M:%S} UTC, which is too long ago",
            object_=newest,
            expected=f"{oldest:%Y-%m-%dT%H:%M:%SZ}",
            found=f"{moments[newest]:%Y-%m-%dT%H:%M:%SZ}",
            level=SEMANTICS,
        )


def _take(discrepancy: Discrepancy, report: Report, more: str) -> None:
    tell = report.noted if discrepancy.noted else report.failed
    tell(
        discrepancy.code,
        discrepancy.detail.rstrip(".") + more,
        object_=discrepancy.object,
        expected=discrepancy.expected,
        found=discrepancy.found,
        level=LEVEL_OF.get(discrepancy.code, SEMANTICS),
    )


def _watermark(name: str) -> list[Watermark]:
    parts = split_name(name)
    return [Watermark(*parts)] if len(parts) == 3 else []


def split_name(name: str) -> list[str]:
    """The parts of a qualified name as people type it: C(public."Mixed Case".id)."""
    parts, part, quoted, position = [], "", False, 0
    while position < len(name):
        character = name[position]
        if character == '"' and quoted and name[position + 1 : position + 2] == '"':
            part += '"'
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == "." and not quoted:
            parts.append(part)
            part = ""
        else:
            part += character
        position += 1
    return [*parts, part]


def _moment(value: Optional[str]) -> list[dt.datetime]:
    try:
        return [parse_moment(value)] if value else []
    except InvalidOption:
        return []  # A number that only grows is no moment.
