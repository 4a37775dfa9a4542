# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which indexes are due and what will be done, decided from what was read and measured. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex import leftovers as left
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.baseline import Baseline
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.guards import Surroundings, refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.leftovers import Leftover, quoted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import Index, Measurement

# Whether the library is there is the connection's question; it answers before any of this is used.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

# A new index of tuples of a third of a page is 66 % full (see model.expected_pages); below this difference a rebuild
# costs more than it brings.
LEAST_BLOAT_PERCENT = 10.0


@dataclass(frozen=True)
class Rebuild:
    """One index to rebuild, why, and from which measurement. C(collations) are the oids of those that drifted."""

    index: Index
    reason: str
    measurement: Measurement
    collations: tuple[int, ...] = ()

    @property
    def statement(self) -> sql.Composed:
        """The one statement that rebuilds without keeping writers or readers waiting."""
        return sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier(self.index.schema, self.index.name))

    def as_dict(self) -> dict[str, Any]:
        """The entry of the result's C(actions)."""
        return {
            "action": "rebuild",
            "object": self.index.label,
            "table": self.index.table_label,
            "reason": self.reason,
            "method": self.measurement.method,
            "size_bytes": self.index.size_bytes,
            "bloat_percent": self.measurement.bloat_percent,
            "statement": f"REINDEX INDEX CONCURRENTLY {quoted(self.index.schema, self.index.name)}",
        }


@dataclass(frozen=True)
class Drop:
    """One leftover to drop."""

    leftover: Leftover

    def as_dict(self) -> dict[str, Any]:
        """The entry of the result's C(actions)."""
        why = "failed before" if self.leftover.kind == "ccnew" else "succeeded and did not clean up after"
        return {
            "action": "drop_leftover",
            "object": self.leftover.label,
            "table": self.leftover.table,
            "reason": f"a rebuild of {self.leftover.of} {why} the swap",
            "method": None,
            "size_bytes": self.leftover.size_bytes,
            "bloat_percent": None,
            "statement": self.leftover.text,
        }


@dataclass(frozen=True)
class Refresh:
    """The version of a collation to record, once every index that sorts by it is new."""

    oid: int
    schema: str
    name: str
    is_default: bool
    database: str
    recorded: str
    actual: str

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"database {self.database}" if self.is_default else f"{self.schema}.{self.name}"

    @property
    def statement(self) -> sql.Composed:
        """What records the version."""
        if self.is_default:
            return sql.SQL("ALTER DATABASE {} REFRESH COLLATION VERSION").format(sql.Identifier(self.database))
        return sql.SQL("ALTER COLLATION {} REFRESH VERSION").format(sql.Identifier(self.schema, self.name))

    @property
    def text(self) -> str:
        """The same statement for people."""
        if self.is_default:
            return f"ALTER DATABASE {quote_identifier(self.database)} REFRESH COLLATION VERSION"
        return f"ALTER COLLATION {quoted(self.schema, self.name)} REFRESH VERSION"

    def as_dict(self) -> dict[str, Any]:
        """The entry of the result's C(actions)."""
        return {
            "action": "refresh_collation",
            "object": self.label,
            "table": None,
            "reason": f"it sorts by version {self.actual}, and {self.recorded} is on record",
            "method": None,
            "size_bytes": None,
            "bloat_percent": None,
            "statement": self.text,
        }


@dataclass
class Plan:
    """What will be done, what was refused, and what was looked at."""

    drops: list[Drop] = field(default_factory=list)
    rebuilds: list[Rebuild] = field(default_factory=list)
    refreshes: list[Refresh] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    candidates: list[dict[str, Any]] = field(default_factory=list)
    drift: list[dict[str, Any]] = field(default_factory=list)

    @property
    def actions(self) -> list[dict[str, Any]]:
        """In the order in which they are carried out."""
        steps: list[Drop | Rebuild | Refresh] = [*self.drops, *self.rebuilds, *self.refreshes]
        return [each.as_dict() for each in steps]


@dataclass(frozen=True)
class Findings:
    """What the plan is made from. Measurements and failures are by the oid of the index."""

    indexes: Sequence[Index]
    measurements: Mapping[int, Measurement]
    failures: Mapping[int, Refusal]
    leftovers: Sequence[Leftover]
    drift: Sequence[Mapping[str, Any]]
    drifted: Mapping[int, Sequence[int]]
    database: str
    how_to_measure: str


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse numbers that cannot work, before anything is touched."""
    for name, least, what in (
        ("min_index_bytes", 0, "0 or more bytes"),
        ("baseline_growth_percent", 10, "10 percent or more"),
        ("max_indexes", 1, "1 or more indexes"),
        ("max_bytes", 1, "1 or more bytes"),
        ("max_seconds", 1, "1 or more seconds"),
        ("max_wait_seconds", 1, "1 or more seconds"),
        ("disk_free_bytes", 0, "0 or more bytes"),
        ("max_replica_lag_bytes", 0, "0 or more bytes"),
        ("max_replica_lag_seconds", 0, "0 or more seconds"),
    ):
        value = options[name]
        if value is not None and not value >= least:
            raise InvalidOption(name, value, what)
    if not LEAST_BLOAT_PERCENT <= options["min_bloat_percent"] <= 95:
        raise InvalidOption("min_bloat_percent", options["min_bloat_percent"], f"{LEAST_BLOAT_PERCENT:g} to 95 percent")


def check_names(names: Sequence[str], indexes: Sequence[Index], database: str) -> None:
    """Refuse names of O(indexes) that mean no index, or more than one."""
    for name in names:
        found = sorted({each.label for each in indexes if is_named(each, [name])})
        if not found:
            raise InvalidOption("indexes", name, f"an index that exists in database {database}")
        if len(found) > 1:
            raise InvalidOption("indexes", name, f"one index; with the schema it is one of {', '.join(found)}")


def is_named(index: Index, names: Sequence[str]) -> bool:
    """Whether one of the names means this index: as it is or as SQL writes it, with the schema or without."""
    spellings = (index.label, index.name, quoted(index.schema, index.name), quote_identifier(index.name))
    return any(name in spellings for name in names)


def wants_measuring(index: Index, guess: Measurement, known: Measurement | None, options: Mapping[str, Any]) -> bool:
    """Whether an index is worth reading page by page: it was named, or is suspected, or nothing is known about it.

    An estimate errs, so half of what would be due is suspicious enough.
    """
    if index.method != "btree" or not index.is_valid or index.kind != "i" or index.is_locked or index.is_temporary:
        return False
    if options["indexes"] or guess.bloat_percent is None:
        return True
    grown = known is not None and is_due(known, options)
    return bool(grown or guess.bloat_percent >= options["min_bloat_percent"] / 2)


def is_due(measurement: Measurement, options: Mapping[str, Any]) -> bool:
    """Whether a measurement, never an estimate, says that a rebuild is worth it."""
    if not measurement.decides or measurement.bloat_percent is None:
        return False
    if measurement.method == "baseline":
        return bool((measurement.growth_percent or 0.0) >= options["baseline_growth_percent"])
    return bool(measurement.bloat_percent >= options["min_bloat_percent"])


def make_plan(findings: Findings, around: Surroundings, options: Mapping[str, Any], baseline: Baseline) -> Plan:
    """Decide.

    Args:
        findings: What was read and measured.
        around: What is going on besides.
        options: The module's.
        baseline: Consulted for collations with which indexes were rebuilt already.

    """
    plan = Plan()
    _plan_drops(plan, findings, around, options)
    gone = {each.leftover.oid for each in plan.drops}
    rebuilds: dict[int, Rebuild] = {}
    for index in findings.indexes:
        if index.oid in gone:
            continue
        measurement = findings.measurements.get(index.oid, Measurement("none", "none"))
        due = is_due(measurement, options)
        asked = bool(options["indexes"])
        if due:
            rebuilds[index.oid] = Rebuild(index, "bloat", measurement)
        elif index.oid in findings.failures:
            plan.refused.append(findings.failures[index.oid])
        elif (asked or index.is_locked) and not _is_measurable(index):
            found = refusal(index, around)
            plan.refused += [found] if found is not None else []
        if _is_measurable(index) and (asked or due or _is_suspect(index, measurement, options)):
            plan.candidates.append(_candidate(index, measurement, due, findings.how_to_measure))
    _plan_collations(plan, rebuilds, findings, around, options, baseline)
    for each in rebuilds.values():
        found = refusal(each.index, around)
        if found is None:
            plan.rebuilds.append(each)
        else:
            plan.refused.append(found)
    plan.rebuilds.sort(key=lambda each: (-_saving(each), each.index.label))
    return plan


def _saving(each: Rebuild) -> float:
    return each.index.size_bytes * (each.measurement.bloat_percent or 0.0)


def _plan_drops(plan: Plan, findings: Findings, around: Surroundings, options: Mapping[str, Any]) -> None:
    if not options["clean_leftovers"]:
        return
    for each in findings.leftovers:
        found = left.refusal(each, around.user)
        if found is None:
            plan.drops.append(Drop(each))
        else:
            plan.refused.append(found)


def _is_measurable(index: Index) -> bool:
    return index.kind == "i" and index.is_valid and not (index.is_locked or index.is_catalog or index.is_temporary)


def _is_suspect(index: Index, measurement: Measurement, options: Mapping[str, Any]) -> bool:
    """Worth mentioning: measured, or unknown, or estimated to be bloated."""
    if index.size_bytes < options["min_index_bytes"] or not index.is_valid:
        return False
    if measurement.method == "density" or measurement.bloat_percent is None:
        return True
    return measurement.method == "estimate" and measurement.bloat_percent >= options["min_bloat_percent"]


def _candidate(index: Index, measurement: Measurement, due: bool, how_to_measure: str) -> dict[str, Any]:
    pages = measurement.pages
    remedy = None
    if not measurement.decides:
        remedy = how_to_measure if index.method == "btree" else ""
        remedy = remedy or (
            "Set baseline_path: the size per row is recorded there, and the next runs measure growth against it."
        )
    return {
        "index": index.label,
        "table": index.table_label,
        "access_method": index.method,
        "decision": "rebuild" if due else "healthy" if measurement.decides else "unknown",
        "method": measurement.method,
        "confidence": measurement.confidence,
        "size_bytes": index.size_bytes,
        "bloat_percent": measurement.bloat_percent,
        "leaf_density_percent": None if pages is None else pages.density,
        "leaf_fragmentation_percent": None if pages is None else pages.fragmentation,
        "bytes_per_row": index.bytes_per_row,
        "baseline_bytes_per_row": measurement.baseline_bytes_per_row,
        "growth_percent": measurement.growth_percent,
        "remedy": remedy,
    }


def versions_of(oids: Sequence[int], drift: Sequence[Mapping[str, Any]]) -> str:
    """The versions by which these collations sort now, as one text to remember."""
    return ", ".join(f"{row['schema']}.{row['name']} {row['actual']}" for row in drift if row["oid"] in oids)


def _plan_collations(
    plan: Plan,
    rebuilds: dict[int, Rebuild],
    findings: Findings,
    around: Surroundings,
    options: Mapping[str, Any],
    baseline: Baseline,
) -> None:
    """Rebuild what sorts by an old version, then have the new version recorded: never the other way round.

    Without the record, every run would rebuild the same indexes again. So where it cannot be made, the rebuilds need
    a baseline file, which remembers them, or they are refused.
    """
    for row in findings.drift:
        affected = [each for each in findings.indexes if row["oid"] in findings.drifted.get(each.oid, ())]
        todo = [
            each
            for each in affected
            if baseline.collation_versions(each) != versions_of(findings.drifted[each.oid], findings.drift)
        ]
        refresh = _refresh(row, findings.database)
        plan.drift.append(
            {
                "collation": refresh.label,
                "recorded_version": row["recorded"],
                "actual_version": row["actual"],
                "indexes": [each.label for each in todo],
            }
        )
        if not options["collation"]:
            continue
        why_not = _why_no_refresh(row, refresh, affected, around, options)
        if why_not is None:
            plan.refreshes.append(refresh)
        else:
            plan.refused.append(why_not)
            if not baseline.is_kept:
                continue
        for each in todo:
            planned = rebuilds.get(each.oid)
            measurement = findings.measurements.get(each.oid, Measurement("none", "none"))
            reason = "collation" if planned is None or planned.reason == "collation" else "bloat and collation"
            rebuilds[each.oid] = Rebuild(each, reason, measurement, tuple(findings.drifted[each.oid]))


def _refresh(row: Mapping[str, Any], database: str) -> Refresh:
    return Refresh(
        oid=row["oid"],
        schema=row["schema"],
        name=row["name"],
        is_default=row["is_default"],
        database=database,
        recorded=row["recorded"],
        actual=row["actual"],
    )


def _why_no_refresh(
    row: Mapping[str, Any],
    refresh: Refresh,
    affected: Sequence[Index],
    around: Surroundings,
    options: Mapping[str, Any],
) -> Optional[Refusal]:
    """Why the new version of a collation must not, or cannot, be recorded at the end of this run."""
    prefix = f"its indexes can be rebuilt, but version {row['actual']} cannot be recorded afterwards"
    if row["partitioned"]:
        return Refusal(
            refresh.label,
            f"{prefix}: {', '.join(row['partitioned'])} is partitioned by range in its order, and rows may be in the "
            "wrong partition",
            f"Check the rows of every partition against its bounds, then: {refresh.text};",
        )
    if not row["may_refresh"]:
        return Refusal(
            refresh.label,
            f"{prefix}: it belongs to {row['owner']}",
            f"GRANT {row['owner']} TO {around.user}; or run the task as {row['owner']}.",
        )
    narrowed = [name for name in ("indexes", "schemas", "exclude") if options[name]]
    if narrowed:
        return Refusal(
            refresh.label,
            f"{prefix}: {' and '.join(narrowed)} leaves out indexes that may sort by the old version",
            f"Run the task without {' and '.join(narrowed)}.",
        )
    for index in affected:
        found = refusal(index, around)
        if found is not None:
            return Refusal(refresh.label, f"{prefix}: {found.object} is refused ({found.reason})", found.remedy)
    return None
