# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tables are due, why, and what is done about each, from rows of the measurement. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.horizon import (
    CATALOG,
    DATA,
    SHARED,
    Futile,
    Horizon,
    age_futile,
    rows_futile,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import Rules

Row = Mapping[str, Any]

# A table that gets one of VACUUM and ANALYZE gets the other along when it is half way to it: each changes the row count
# that the other's threshold is made of, and nobody wants to come back for that.
ALONG_SCORE = 0.5

WRAPAROUND, DEAD, INSERTED, FORCED, BLOAT = "wraparound", "dead_rows", "inserted_rows", "forced", "bloat"
MODIFIED, NEVER_ANALYZED, ALONG = "modified_rows", "never_analyzed", "along"
_ANALYZE_KINDS = (MODIFIED, NEVER_ANALYZED)

KINDS = {"r": "table", "m": "materialized view"}
EXCLUSIVE = "ACCESS EXCLUSIVE (reads and writes of the table wait until it is done)"
SHARED_LOCK = "SHARE UPDATE EXCLUSIVE (reads and writes go on)"


@dataclass(frozen=True)
class Reason:
    """One reason for a table being due; C(text) for people. C(score) is how far it is beyond its threshold."""

    kind: str
    text: str
    score: float = 1.0
    toast: bool = False


@dataclass(frozen=True)
class Action:
    """One statement. C(options) are the ones in parentheses, in order; C(only) leaves inheritance children out.

    The whole-database statement at the end has no table.
    """

    verb: str
    options: tuple[str, ...] = ()
    only: bool = False
    oid: int = 0
    schema: Optional[str] = None
    table: Optional[str] = None
    qualified: str = ""
    kind: Optional[str] = None
    reasons: tuple[Reason, ...] = ()
    dead_rows: Optional[int] = None
    toast_dead_rows: Optional[int] = None
    total_bytes: Optional[int] = None
    scope: str = DATA

    @property
    def vacuums(self) -> bool:
        """Whether it removes dead rows in place."""
        return self.verb == "VACUUM" and not self.rewrites and bool(self.table)

    @property
    def rewrites(self) -> bool:
        """Whether it writes the table anew, under an exclusive lock."""
        return "FULL" in self.options

    @property
    def analyzes(self) -> bool:
        """Whether it collects statistics for the planner."""
        return self.verb == "ANALYZE" or "ANALYZE" in self.options

    @property
    def statement(self) -> str:
        """The SQL, as a person would type it."""
        words = [self.verb]
        if self.options:
            words.append(f"({', '.join(self.options)})")
        if self.table:
            words += ["ONLY"] * self.only + [self.qualified]
        return " ".join(words)

    def has(self, *kinds: str) -> bool:
        """Whether one of its reasons is of one of these kinds."""
        return any(reason.kind in kinds for reason in self.reasons)

    def as_dict(self) -> dict[str, Any]:
        """What is planned, for the module's result."""
        return {
            "schema": self.schema,
            "table": self.table,
            "kind": self.kind,
            "statement": self.statement,
            "reasons": [reason.text for reason in self.reasons],
            "lock": (EXCLUSIVE if self.rewrites else SHARED_LOCK) if self.table else None,
            "dead_rows_before": self.dead_rows,
            "toast_dead_rows_before": self.toast_dead_rows,
            "total_bytes_before": self.total_bytes,
        }


@dataclass(frozen=True)
class Rewrite:
    """What FULL would gain for a table, or why it may not be done; both None when the table is compact."""

    reason: Optional[Reason] = None
    refusal: Optional[Refusal] = None


@dataclass(frozen=True)
class Plan:
    """The statements in their order, and what is due and left alone."""

    actions: tuple[Action, ...] = ()
    refused: tuple[Refusal, ...] = ()

    @property
    def tables(self) -> list[Action]:
        """The actions that are about a table."""
        return [action for action in self.actions if action.table]

    @property
    def rewrites(self) -> list[Action]:
        """The actions that need an exclusive lock."""
        return [action for action in self.actions if action.rewrites]


def make_plan(
    rows: Iterable[Row],
    rules: Rules,
    where: Horizon,
    *,
    busy: Mapping[int, Row] | None = None,
    rewrites: Mapping[int, Rewrite] | None = None,
) -> Plan:
    """Decide for every table; the worst comes first.

    Args:
        rows: Tables as measured.
        rules: What counts as due.
        where: Who holds back VACUUM.
        busy: Tables somebody is already at, by oid.
        rewrites: What FULL would gain, by oid, for the tables it was asked for.

    """
    actions: list[tuple[tuple[Any, ...], list[Action]]] = []
    refused: list[Refusal] = []
    for row in rows:
        rewrite = (rewrites or {}).get(row["oid"])
        found, left = _decide(row, rules, where, (busy or {}).get(row["oid"]), rewrite)
        refused += left
        if found:
            actions.append((_urgency(row, found[0]), found))
    ordered = [each for _key, found in sorted(actions, key=lambda pair: pair[0]) for each in found]
    return Plan(tuple(_with_database_statistics(ordered, rules)), tuple(sorted(refused, key=lambda each: each.object)))


def _urgency(row: Row, action: Action) -> tuple[Any, ...]:
    ranks = {WRAPAROUND: 0, BLOAT: 1, DEAD: 1, INSERTED: 1, FORCED: 3}
    rank = min(ranks.get(reason.kind, 2) for reason in action.reasons)
    score = max(reason.score for reason in action.reasons if ranks.get(reason.kind, 2) == rank)
    return (rank, -score, row["schema"], row["name"])


def _decide(
    row: Row, rules: Rules, where: Horizon, busy: Row | None, rewrite: Rewrite | None
) -> tuple[list[Action], list[Refusal]]:
    """The statements for one table, and why others are left out."""
    vacuum, analyze = vacuum_reasons(row, rules), analyze_reasons(row, rules)
    full = rewrite.reason if rewrite else None
    refused = [rewrite.refusal] if rewrite and rewrite.refusal else []
    if rules.force and row["is_named"] and not vacuum:
        vacuum = [Reason(FORCED, "asked for, though it is not due (force)")]
    due = [*([full] if full else []), *vacuum, *analyze]
    if not due:
        return [], refused
    barred = privilege_refusal(row, rules, due) or (busy_refusal(row, busy, due) if busy else None)
    if barred:
        return [], [*refused, barred]
    useful, futile = _useful(row, rules, where, vacuum)
    if futile and not useful and not full:
        texts = ", ".join(reason.text for reason in vacuum)
        reason = f"VACUUM is due ({texts}) and would be in vain: {futile.why}"
        refused = [*refused, Refusal(row["qualified"], reason, futile.remedy)]
    return _statements(row, rules, full, useful, analyze, is_futile=futile is not None and not useful), refused


def vacuum_reasons(row: Row, rules: Rules) -> list[Reason]:
    """Why a table needs VACUUM, TOAST table included: age, dead rows, inserted rows."""
    found = []
    for toast, prefix in ((False, ""), (True, "toast_")):
        if toast and (row["toast_xid_age"] is None or not rules.process_toast):
            continue
        of = " of its TOAST table" if toast else ""
        found += _age_reasons(row, rules, prefix, of, toast=toast)
        dead, threshold = row[f"{prefix}dead_rows"], row[f"{prefix}vacuum_threshold"]
        if row[f"{prefix}is_dead_due"] and dead >= rules.min_dead_rows:
            found.append(
                Reason(DEAD, f"dead rows{of} {dead} > threshold {_number(threshold)}", dead / max(threshold, 1), toast)
            )
        inserted, threshold = row[f"{prefix}inserted_rows"], row[f"{prefix}insert_threshold"]
        if row[f"{prefix}is_insert_due"]:
            text = f"inserted rows{of} {inserted} > threshold {_number(threshold)}"
            found.append(Reason(INSERTED, text, inserted / max(threshold, 1), toast))
    return found


def _age_reasons(row: Row, rules: Rules, prefix: str, of: str, *, toast: bool) -> list[Reason]:
    found = []
    for what, age_name, limit_name in (
        ("transaction age", "xid_age", "freeze_max_age"),
        ("multixact age", "multixact_age", "multixact_freeze_max_age"),
    ):
        age, limit = row[f"{prefix}{age_name}"], row[f"{prefix}{limit_name}"]
        if age is not None and age >= due_age(limit, rules):
            text = (
                f"{what}{of} {age} >= {_number(due_age(limit, rules))} "
                f"({_number(rules.freeze_age_percent)} % of autovacuum_{limit_name} {limit})"
            )
            found.append(Reason(WRAPAROUND, text, age / limit, toast))
    return found


def due_age(limit: int, rules: Rules) -> float:
    """The age at which freezing is due: a share of the age at which autovacuum would force it."""
    return limit * rules.freeze_age_percent / 100


def analyze_reasons(row: Row, rules: Rules) -> list[Reason]:
    """Why a table needs ANALYZE."""
    if not rules.analyze:
        return []
    if row["is_analyze_due"]:
        text = f"modified rows {row['modified_rows']} > threshold {_number(row['analyze_threshold'])}"
        return [Reason(MODIFIED, text, row["analyze_score"])]
    if row["is_never_analyzed"]:
        return [Reason(NEVER_ANALYZED, f"never analyzed (about {_number(row['row_count'])} rows)")]
    return []


def privilege_refusal(row: Row, rules: Rules, due: Sequence[Reason]) -> Refusal | None:
    """Nobody may vacuum what belongs to others: the server would skip it with a warning and report success."""
    if row["may_maintain"]:
        return None
    table, user = row["qualified"], rules.user
    if rules.major >= 17:
        remedy = f"GRANT MAINTAIN ON TABLE {table} TO {user};"
    elif row["owner_is_superuser"]:
        remedy = f"ALTER TABLE {table} OWNER TO {user};"
    else:
        remedy = f"GRANT {row['quoted_owner']} TO {user};"
    texts = ", ".join(reason.text for reason in due)
    return Refusal(table, f"it is due ({texts}) and {user} may not vacuum it", remedy)


def busy_refusal(row: Row, busy: Row, due: Sequence[Reason]) -> Refusal:
    """A second VACUUM of the same table would wait for the first, and an autovacuum would be cancelled by it."""
    what = "autovacuum" if busy["is_autovacuum"] else f"{busy['command']} of another session"
    if busy["prevents_wraparound"]:
        what = "autovacuum (to prevent wraparound)"
    phase = f", {busy['phase']}" if busy["phase"] else ""
    done = f", {busy['percent']:.0f} %" if busy["percent"] is not None else ""
    texts = ", ".join(reason.text for reason in due)
    return Refusal(
        row["qualified"],
        f"it is due ({texts}) and {what} is at it already (pid {busy['pid']}{phase}{done})",
        "Let it finish and run the task again.",
    )


def scope_of(row: Row) -> str:
    """Whom the table has to wait for."""
    if row["is_shared"]:
        return SHARED
    return CATALOG if row["is_catalog"] else DATA


def futile_for(row: Row, rules: Rules, where: Horizon, reason: Reason) -> Futile | None:
    """Why VACUUM cannot do what this reason asks for."""
    prefix = "toast_" if reason.toast else ""
    scope = scope_of(row)
    if reason.kind == WRAPAROUND and reason.text.startswith("transaction"):
        return age_futile(where, scope, due_age(row[f"{prefix}freeze_max_age"], rules))
    if reason.kind in (DEAD, INSERTED):
        return rows_futile(
            where,
            scope,
            xid_age=row[f"{prefix}xid_age"],
            last_vacuum=row[f"{prefix}last_vacuum"],
            max_holder_age=rules.max_holder_age if reason.kind == DEAD else 0,
        )
    return None


def _useful(row: Row, rules: Rules, where: Horizon, reasons: Sequence[Reason]) -> tuple[list[Reason], Optional[Futile]]:
    """The reasons that VACUUM can do something about, and what stands against the first of the others."""
    if rules.ignore_horizon:
        return list(reasons), None
    judged = [(reason, futile_for(row, rules, where, reason)) for reason in reasons]
    useful = [reason for reason, futile in judged if futile is None]
    return useful, next((futile for _reason, futile in judged if futile is not None), None)


def _statements(
    row: Row,
    rules: Rules,
    full: Reason | None,
    vacuum: list[Reason],
    analyze: list[Reason],
    *,
    is_futile: bool,
) -> list[Action]:
    base = Action(
        verb="VACUUM",
        only=rules.major >= 18 and row["has_children"],
        oid=row["oid"],
        schema=row["schema"],
        table=row["name"],
        qualified=row["qualified"],
        kind="partition" if row["relispartition"] else KINDS[row["relkind"]],
        dead_rows=row["dead_rows"],
        toast_dead_rows=row["toast_dead_rows"],
        total_bytes=row["total_bytes"],
        scope=scope_of(row),
    )
    if full:
        # FULL leaves the visibility map empty and the counters of the statistics as they were; VACUUM mends both.
        mend = Reason(ALONG, "after FULL: visibility map, free space map and statistics")
        return [
            replace(base, options=("FULL",), reasons=(full,)),
            replace(base, options=_vacuum_options([], rules, analyze=True), reasons=(mend, *vacuum, *analyze)),
        ]
    if vacuum:
        if rules.analyze and not analyze and row["analyze_score"] >= ALONG_SCORE:
            analyze = [_along("ANALYZE", "modified rows", row["modified_rows"], row["analyze_threshold"])]
        options = _vacuum_options(vacuum, rules, analyze=bool(analyze))
        return [replace(base, options=options, reasons=(*vacuum, *analyze))]
    if analyze and not is_futile and row["vacuum_score"] >= ALONG_SCORE and row["dead_rows"] >= rules.min_dead_rows:
        along = _along("VACUUM", "dead rows", row["dead_rows"], row["vacuum_threshold"])
        return [replace(base, options=_vacuum_options([], rules, analyze=True), reasons=(*analyze, along))]
    if analyze:
        return [replace(base, verb="ANALYZE", options=_buffers(rules), reasons=tuple(analyze))]
    return []


def _along(what: str, counted: str, count: int, threshold: float) -> Reason:
    return Reason(ALONG, f"{what} along with it: {counted} {count} of {_number(threshold)}", 0.0)


def _vacuum_options(reasons: Sequence[Reason], rules: Rules, *, analyze: bool) -> tuple[str, ...]:
    given = [
        ("FREEZE", any(reason.kind == WRAPAROUND for reason in reasons)),
        ("ANALYZE", analyze),
        (f"PARALLEL {rules.parallel}", rules.parallel is not None),
        (f"INDEX_CLEANUP {(rules.index_cleanup or '').upper()}", rules.index_cleanup is not None),
        ("PROCESS_TOAST FALSE", not rules.process_toast and rules.major >= 14),
        (f"TRUNCATE {str(rules.truncate).upper()}", rules.truncate is not None),
    ]
    return (*(text for text, wanted in given if wanted), *_buffers(rules))


def _buffers(rules: Rules) -> tuple[str, ...]:
    if rules.buffer_usage_limit is None or rules.major < 16:
        return ()
    # Checked to be digits and a unit.
    return (f"BUFFER_USAGE_LIMIT '{rules.buffer_usage_limit.strip()}'",)


def _with_database_statistics(actions: list[Action], rules: Rules) -> list[Action]:
    """With several VACUUMs the database's oldest ids, a scan of all of pg_class, are computed once at the end."""
    if rules.major < 16 or len([action for action in actions if action.vacuums or action.rewrites]) < 2:
        return actions
    skip = "SKIP_DATABASE_STATS"
    changed = [
        replace(each, options=(*each.options, skip)) if each.vacuums or each.rewrites else each for each in actions
    ]
    reason = Reason(ALONG, "the oldest transaction id of the database, once for all tables")
    return [*changed, Action(verb="VACUUM", options=("ONLY_DATABASE_STATS",), reasons=(reason,))]


def plan_lines(plan: Plan) -> tuple[str, str]:
    """The plan as two texts for --diff: what is due, and what of it stays due."""
    due = [f"{action.qualified}: {', '.join(r.text for r in action.reasons)}\n" for action in plan.tables]
    left = [f"{each.object}: {each.reason}\n" for each in plan.refused]
    return "".join([*due, *left]), "".join(left)


def _number(value: float) -> str:
    """A threshold without needless digits."""
    return f"{value:.1f}".rstrip("0").rstrip(".")
