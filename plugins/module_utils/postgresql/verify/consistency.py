# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking into a restored copy: indexes against tables (amcheck), and the inventory's own SQL."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Assertion, Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import Target

with contextlib.suppress(ImportError):
    # The client says what is missing.
    from psycopg2 import sql

_VERIFY_HEAPAM = 140000
# SQLSTATEs of what amcheck finds: data_corrupted, index_corrupted.
_CORRUPT = ("XX001", "XX002")
_INDEXES = """
SELECT c.oid AS oid, format('%I.%I', n.nspname, c.relname) AS name, pg_relation_size(c.oid) AS bytes
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisready AND i.indisvalid AND c.relpersistence <> 't'
ORDER BY c.oid
"""
_TABLES = """
SELECT c.oid AS oid, format('%I.%I', n.nspname, c.relname) AS name, pg_relation_size(c.oid) AS bytes
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_am a ON a.oid = c.relam
WHERE c.relkind IN ('r', 'm', 't') AND a.amname = 'heap' AND c.relpersistence <> 't'
ORDER BY c.oid
"""


def check_consistency(target: Target, request: Request, report: Report, progress: Progress) -> None:
    """Run amcheck, if asked for, then the assertions."""
    if request.amcheck:
        with connect(target.options, statement_timeout_seconds=0, read_only=False) as session:
            _amcheck(session, report, progress, heapallindexed=request.heapallindexed)
    if request.assertions:
        check_assertions(target, request.assertions, request.assertion_seconds, report, progress)


def _amcheck(session: Session, report: Report, progress: Progress, *, heapallindexed: bool) -> None:
    schema = _extension(session, report)
    if schema is None:
        return
    indexes = session.query(_INDEXES)
    tables = session.query(_TABLES) if session.server_version_num >= _VERIFY_HEAPAM else []
    progress.phase("check", "amcheck", total=len(indexes) + len(tables), unit="relations")
    check = sql.SQL("SELECT {}.bt_index_check(%s::oid::regclass, %s)").format(sql.Identifier(schema))
    for row in indexes:
        try:
            session.query(check, (row["oid"], heapallindexed), on_wait=progress.check)
        except QueryError as error:
            _corrupt(error, row["name"], report)
        progress.advance(1)
    heap = sql.SQL("SELECT blkno, msg FROM {}.verify_heapam(%s::oid::regclass) LIMIT 3").format(sql.Identifier(schema))
    for row in tables:
        try:
            for wrong in session.query(heap, (row["oid"],), on_wait=progress.check):
                report.failed(
                    "page_corruption", f"{row['name']}, block {wrong['blkno']}: {wrong['msg']}", object_=row["name"]
                )
        except QueryError as error:
            _corrupt(error, row["name"], report)
        progress.advance(1)


def _extension(session: Session, report: Report) -> Optional[str]:
    """The schema of amcheck, which is made if it is not there; None when it cannot be."""
    found = session.query(
        "SELECT n.nspname::text AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "
        "WHERE e.extname = 'amcheck'"
    )
    if found:
        return str(found[0]["schema"])
    try:
        session.query("CREATE SCHEMA runbook_amcheck")
        session.query("CREATE EXTENSION amcheck SCHEMA runbook_amcheck")
    except QueryError as error:
        major = session.server_version_num // 10000
        report.undecided(
            "assertion_error",
            f"amcheck cannot be used: {error.message}",
            object_="amcheck",
            remedy=f"Install the contributed modules of PostgreSQL {major} there (postgresql-contrib), or set amcheck "
            "to false.",
        )
        return None
    return "runbook_amcheck"


def _corrupt(error: QueryError, name: str, report: Report) -> None:
    if error.sqlstate in _CORRUPT:
        report.failed("page_corruption", f"{name}: {error.message}", object_=name)
    else:
        report.undecided("assertion_error", f"amcheck of {name}: {error.message}", object_=name)


def check_assertions(
    target: Target, assertions: Sequence[Assertion], seconds: float, report: Report, progress: Progress
) -> None:
    """Ask the copy the inventory's own questions, read-only, each for a limited time."""
    progress.phase("assert", target.kind, total=len(assertions), unit="assertions")
    with connect(target.options, statement_timeout_seconds=seconds) as session:
        # As an application would: its names are found in its schema.
        session.query('SET search_path = "$user", public')
        for each in assertions:
            try:
                with session.read_only_transaction():
                    rows = session.query(each.sql, on_wait=progress.check)
                value = single_value(rows)
            except (QueryError, ValueError) as error:
                said = error.message if isinstance(error, QueryError) else str(error)
                report.undecided("assertion_error", f"{each.name}: {said}", object_=each.name)
            else:
                if not holds(each, value):
                    report.failed(
                        "assertion_failed",
                        f"{each.name}: it is {shown(value)}, and must be {each.wanted}",
                        object_=each.name,
                        expected=each.wanted,
                        found=shown(value),
                    )
            progress.advance(1)


def single_value(rows: Sequence[Any]) -> Any:
    """The one value of a result; raises ValueError when it has another shape."""
    if len(rows) != 1 or len(rows[0]) != 1:
        shape = f"{len(rows)} rows" + (f" of {len(rows[0])} columns" if rows else "")
        raise ValueError(f"it must give one row with one column, and gives {shape}")
    return next(iter(rows[0].values()))


def holds(assertion: Assertion, value: Any) -> bool:
    """Whether a value is as it must be. NULL is never so, unless it is expected as C(null) in text."""
    if assertion.expect is not None and not _equal(assertion.expect, value):
        return False
    if assertion.low is None and assertion.high is None:
        return True
    number = _number(value)
    if number is None:
        return False
    return (assertion.low is None or number >= assertion.low) and (assertion.high is None or number <= assertion.high)


def _equal(expected: Any, value: Any) -> bool:
    if value is None:
        return str(expected).strip().lower() == "null"
    if isinstance(value, bool) or isinstance(expected, bool):
        words = {"true": True, "t": True, "yes": True, "false": False, "f": False, "no": False}
        return words.get(str(expected).lower()) is words.get(str(value).lower(), value)
    left, right = _number(expected), _number(value)
    if left is not None and right is not None:
        return left == right
    return str(expected) == str(value)


def _number(value: Any) -> Optional[float]:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def shown(value: Any) -> Any:
    """A value as JSON can carry it."""
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)
