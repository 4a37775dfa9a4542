# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""That a restored database holds what its backup promised, before it takes anybody's place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import FAILED
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.choose import Chosen
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.fence import APPLICATION
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import SKIP, RestoreRequest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.statements import identifier, statement
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import NOTED, Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import SEMANTICS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.semantics import (
    census_of,
    compare_with_manifest,
    scope_of,
    split_name,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import Target

_WATERMARK_SECONDS = 60.0


def check(report: Report, name: str) -> None:
    """Raise when anything was found: Damaged when the backup is bad, Undecided when that cannot be told."""
    if report.is_good:
        return
    first = report.ordered()[0]
    kind: type[RunbookError] = Damaged if first.outcome == FAILED else Undecided
    raise kind(
        f"What was restored from {name} is not what it should be: {first.message}{_others(report)}. {first.remedy}",
        code=first.code,
        findings=report.told(),
    )


def _others(report: Report) -> str:
    others = sum(each.outcome != NOTED for each in report.findings) - 1
    return f" (and {others} more)" if others > 0 else ""


def prove(target: Target, chosen: Chosen, request: RestoreRequest, report: Report, progress: Progress) -> Census:
    """Take the census of the restored database, and hold it against that of its original; raises RunbookError."""
    expected = chosen.census
    found = census_of(target, expected, request.watermarks, scope_of(chosen.subject), request.jobs, progress)
    if expected is None:
        report.leave_open("that it holds what its original held: there is no manifest")
    else:
        compare_with_manifest(
            expected, found, report, ignore_roles=request.globals == SKIP, same_locale=target.same_locale
        )
        report.passed(SEMANTICS, f"{len(expected.tables)} tables with {expected.row_count} rows, as in the original")
    return found


def newest(options: Mapping[str, Any], database: str, names: Sequence[str]) -> dict[str, Any]:
    """The newest value of each watermark in a database, as ISO 8601; None where there is none, or no such column."""
    found: dict[str, Any] = {}
    with connect(
        {**options, "login_db": database},
        application_name=APPLICATION,
        statement_timeout_seconds=_WATERMARK_SECONDS,
    ) as session:
        for name in names:
            found[name] = _newest(session, split_name(name))
    return found


def _newest(session: Session, parts: Sequence[str]) -> Optional[str]:
    *table, column = parts
    words = statement("SELECT max({}) AS newest FROM {}", identifier(column), identifier(*table))
    try:
        value = session.query(words)[0]["newest"]
    except QueryError:
        return None
    if isinstance(value, dt.datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)
        return aware.astimezone(dt.timezone.utc).isoformat()
    return None if value is None else str(value)


def age_seconds(live: Mapping[str, Any], restored: Mapping[str, Any]) -> Optional[float]:
    """How far the restored content lies behind the live one by its watermarks; None when they do not tell.

    That is the measured recovery point: what was written in between is in the old database only.
    """
    ages = []
    for name, value in live.items():
        there, here = _moment(value), _moment(restored.get(name))
        if there is not None and here is not None:
            ages.append(max(0.0, (there - here).total_seconds()))
    return round(max(ages), 3) if ages else None


def _moment(value: Any) -> Optional[dt.datetime]:
    if not isinstance(value, str):
        return None
    try:
        return parse_moment(value)
    except InvalidOption:
        try:
            # A date, or a timestamp without time zone: both sides are read the same way.
            return dt.datetime.fromisoformat(value).replace(tzinfo=dt.timezone.utc)
        except ValueError:
            return None
