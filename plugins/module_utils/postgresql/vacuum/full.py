# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a table may be written anew (VACUUM FULL): measured bloat, and room for the copy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.guards import is_in_declared_window, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import (
    Headroom,
    disk_headroom,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import Rules
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.plan import BLOAT, Reason, Rewrite

with contextlib.suppress(ImportError):  # connecting says so
    from psycopg2 import sql

Row = Mapping[str, Any]

# The new table, its TOAST table and its indexes stand beside the old ones until the end, and WAL is written meanwhile.
ROOM_FACTOR = 1.1
# A table of a few blocks is never worth an exclusive lock; its percentages mean nothing.
_LEAST_BYTES = 16 * 8192

_EXTENSION = """
SELECT n.nspname::text AS schema, has_function_privilege(p.oid, 'EXECUTE') AS may_call
FROM pg_extension e
JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_proc'::regclass
JOIN pg_proc p ON p.oid = d.objid AND p.proname = 'pgstattuple_approx'
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE e.extname = 'pgstattuple'
"""

_APPROX = """
SELECT b.table_len AS table_bytes, b.dead_tuple_percent AS dead_percent, b.approx_free_percent AS free_percent
FROM {}.pgstattuple_approx(%(oid)s::oid::regclass) b
"""


@dataclass(frozen=True)
class Bloat:
    """What C(pgstattuple_approx) says about a table's main fork, percentages of C(table_bytes)."""

    table_bytes: int
    dead_percent: float
    free_percent: float


def survey_rewrites(
    session: Session, rows: Iterable[Row], options: Mapping[str, Any], rules: Rules, futile: frozenset[int]
) -> dict[int, Rewrite]:
    """What FULL would gain for every table it was asked for, by oid.

    Args:
        session: The session.
        rows: The tables as measured.
        options: The module's options.
        rules: The rules.
        futile: Tables whose dead rows somebody still needs; FULL would copy them.

    """
    found = session.query(_EXTENSION)
    if not found:
        missing = "CREATE EXTENSION pgstattuple;"
        return {row["oid"]: _unknown(row, "the extension pgstattuple is not in this database", missing) for row in rows}
    if not found[0]["may_call"]:
        grant = f"GRANT pg_stat_scan_tables TO {rules.user};"
        return {row["oid"]: _unknown(row, f"{rules.user} may not call pgstattuple_approx", grant) for row in rows}
    measured = {}
    for row in rows:
        try:
            bloat = Bloat(**session.query(sql.SQL(_APPROX).format(sql.Identifier(found[0]["schema"])), row)[0])
        except QueryError as error:
            measured[row["oid"]] = _unknown(row, error.message, "Run the task again when the table is free.")
            continue
        headroom = disk_headroom(session, options, row["tablespace"])
        measured[row["oid"]] = judge_rewrite(row, bloat, headroom, rules, dead_counts=row["oid"] not in futile)
    return measured


def _unknown(row: Row, why: str, remedy: str) -> Rewrite:
    reason = f"VACUUM FULL was asked for and its bloat cannot be measured: {why}"
    return Rewrite(refusal=Refusal(row["qualified"], reason, remedy))


def judge_rewrite(row: Row, bloat: Bloat, headroom: Headroom, rules: Rules, *, dead_counts: bool) -> Rewrite:
    """Whether writing the table anew gains enough, and whether there is room for it. Pure.

    What the fill factor leaves free by design is no bloat.
    """
    by_design = 100 - row["fillfactor"]
    percent = max(0.0, bloat.free_percent - by_design) + (bloat.dead_percent if dead_counts else 0.0)
    if bloat.table_bytes < _LEAST_BYTES or percent < rules.min_bloat_percent:
        return Rewrite()
    text = (
        f"bloat {percent:.1f} % >= {rules.min_bloat_percent:g} % "
        f"(pgstattuple_approx: {bloat.free_percent:.1f} % free and {bloat.dead_percent:.1f} % dead "
        f"of {bloat.table_bytes} bytes)"
    )
    refusal: Optional[Refusal] = None
    needed = round(row["total_bytes"] * ROOM_FACTOR)
    asked = f"VACUUM FULL is due ({text})"
    if row["is_catalog"]:
        refusal = Refusal(row["qualified"], f"{asked} and it is a system catalog", "Leave it to plain VACUUM.")
    elif headroom.free_bytes is None:
        reason = f"{asked}, it needs {needed} bytes of disk for the copy, and free space is {headroom.source}"
        refusal = Refusal(row["qualified"], reason, "Set disk_free_bytes to what is free on the server's disk.")
    elif headroom.free_bytes < needed:
        reason = (
            f"{asked}, it needs {needed} bytes of disk for the copy, and {headroom.free_bytes} are free "
            f"({headroom.source})"
        )
        refusal = Refusal(row["qualified"], reason, "Enlarge the disk, or let plain VACUUM make the space reusable.")
    return (
        Rewrite(refusal=refusal) if refusal else Rewrite(reason=Reason(BLOAT, text, percent / rules.min_bloat_percent))
    )


def exclusive_refusal(options: Mapping[str, Any], tables: Iterable[str]) -> str | None:
    """Why no exclusive lock may be taken now; None when both are given: the permission and a window that is open."""
    names = ", ".join(tables)
    what = (
        f"VACUUM FULL of {names} takes an ACCESS EXCLUSIVE lock: reads and writes of the table wait until it is done."
    )
    if not options["allow_exclusive_lock"]:
        return f"{what} Set allow_exclusive_lock: true if that is acceptable, and declare a window."
    if not options["window"]:
        return f"{what} It needs a declared window. Set window to times when nobody uses the table."
    if not is_in_declared_window(options):
        reason, remedy = window_refusal(options) or ("", "")
        return f"{what} But {reason}. {remedy}"
    return None
