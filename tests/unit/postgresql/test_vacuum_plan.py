"""What postgresql_vacuum decides about a table: case tables over rows of the measurement."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import Headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import (
    maintenance_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.apply import (
    Run,
    interrupted,
    phase_note,
    without_effect,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.full import (
    Bloat,
    exclusive_refusal,
    judge_rewrite,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.horizon import Horizon, horizon
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.names import parse_name, resolve, spellings
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import (
    Rules,
    check_options,
    ignored_options,
    rules_from,
    vacuum_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.plan import (
    BLOAT,
    Plan,
    Reason,
    Rewrite,
    make_plan,
    plan_lines,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.run import check_plan

NOW = dt.datetime(2026, 1, 31, 9, 0, tzinfo=dt.timezone.utc)
NOBODY = Horizon()

Row = dict[str, Any]


def row(name: str = "jobs", **more: Any) -> Row:
    """A healthy table; what is given makes it due."""
    healthy = {
        "oid": sum(map(ord, name)), "schema": "public", "name": name, "qualified": f"public.{name}", "relkind": "r",
        "relispartition": False, "is_shared": False, "is_catalog": False, "has_children": False, "tablespace": 1663,
        "fillfactor": 100, "quoted_owner": "shop", "owner_is_superuser": False, "may_maintain": True, "is_named": False,
        "dead_rows": 0, "vacuum_threshold": 250.0, "is_dead_due": False, "inserted_rows": 0, "insert_threshold": 1200.0,
        "is_insert_due": False, "modified_rows": 0, "analyze_threshold": 150.0, "is_analyze_due": False,
        "is_never_analyzed": False, "row_count": 1000, "vacuum_score": 0.0, "analyze_score": 0.0, "last_vacuum": None,
        "last_analyze": None, "xid_age": 5000, "freeze_max_age": 200_000_000, "multixact_age": 0,
        "multixact_freeze_max_age": 400_000_000, "toast_dead_rows": None, "toast_vacuum_threshold": None,
        "toast_is_dead_due": False, "toast_inserted_rows": None, "toast_insert_threshold": None,
        "toast_is_insert_due": False, "toast_last_vacuum": None, "toast_xid_age": None, "toast_freeze_max_age": None,
        "toast_multixact_age": None, "toast_multixact_freeze_max_age": None, "total_bytes": 8192,
    }  # fmt: skip
    return {**healthy, **more}


DEAD: Row = {"dead_rows": 400, "is_dead_due": True, "vacuum_score": 1.6}
MODIFIED: Row = {"modified_rows": 151, "is_analyze_due": True, "analyze_score": 1.01}
TOAST: Row = {
    "toast_dead_rows": 90, "toast_vacuum_threshold": 70.0, "toast_is_dead_due": True, "toast_inserted_rows": 0,
    "toast_insert_threshold": 1000.0, "toast_xid_age": 10, "toast_freeze_max_age": 200_000_000,
    "toast_multixact_age": 0, "toast_multixact_freeze_max_age": 400_000_000,
}  # fmt: skip
OLD: Row = {"xid_age": 170_000_000}


@pytest.mark.parametrize(
    ("facts", "rules", "statement", "reasons"),
    [
        ({}, {}, None, []),
        (DEAD, {}, "VACUUM public.jobs", ["dead rows 400 > threshold 250"]),
        (DEAD, {"min_dead_rows": 400}, "VACUUM public.jobs", ["dead rows 400 > threshold 250"]),
        (DEAD, {"min_dead_rows": 401}, None, []),
        ({**DEAD, "vacuum_threshold": 250.25}, {}, "VACUUM public.jobs", ["dead rows 400 > threshold 250.2"]),
        (
            {"inserted_rows": 2000, "is_insert_due": True},
            {},
            "VACUUM public.jobs",
            ["inserted rows 2000 > threshold 1200"],
        ),
        (MODIFIED, {}, "ANALYZE public.jobs", ["modified rows 151 > threshold 150"]),
        (MODIFIED, {"analyze": False}, None, []),
        ({"is_never_analyzed": True}, {}, "ANALYZE public.jobs", ["never analyzed (about 1000 rows)"]),
        (
            {**DEAD, **MODIFIED},
            {},
            "VACUUM (ANALYZE) public.jobs",
            ["dead rows 400 > threshold 250", "modified rows 151 > threshold 150"],
        ),
        # Half way to the other one: it is done along, or the next run would come for it.
        (
            {**DEAD, "modified_rows": 80, "analyze_score": 0.53},
            {},
            "VACUUM (ANALYZE) public.jobs",
            ["dead rows 400 > threshold 250", "ANALYZE along with it: modified rows 80 of 150"],
        ),
        ({**DEAD, "modified_rows": 70, "analyze_score": 0.46}, {}, "VACUUM public.jobs", [
            "dead rows 400 > threshold 250",
        ]),
        ({**DEAD, "modified_rows": 80, "analyze_score": 0.53}, {"analyze": False}, "VACUUM public.jobs", [
            "dead rows 400 > threshold 250",
        ]),
        (
            {**MODIFIED, "dead_rows": 130, "vacuum_score": 0.52},
            {},
            "VACUUM (ANALYZE) public.jobs",
            ["modified rows 151 > threshold 150", "VACUUM along with it: dead rows 130 of 250"],
        ),
        ({**MODIFIED, "dead_rows": 130, "vacuum_score": 0.52}, {"min_dead_rows": 200}, "ANALYZE public.jobs", [
            "modified rows 151 > threshold 150",
        ]),
        (TOAST, {}, "VACUUM public.jobs", ["dead rows of its TOAST table 90 > threshold 70"]),
        (TOAST, {"process_toast": False}, None, []),
        (
            OLD,
            {},
            "VACUUM (FREEZE) public.jobs",
            ["transaction age 170000000 >= 160000000 (80 % of autovacuum_freeze_max_age 200000000)"],
        ),
        (OLD, {"freeze_age_percent": 90.0}, None, []),
        (
            {"multixact_age": 330_000_000},
            {},
            "VACUUM (FREEZE) public.jobs",
            ["multixact age 330000000 >= 320000000 (80 % of autovacuum_multixact_freeze_max_age 400000000)"],
        ),
        (
            {**TOAST, "toast_is_dead_due": False, "toast_xid_age": 190_000_000},
            {},
            "VACUUM (FREEZE) public.jobs",
            [
                "transaction age of its TOAST table 190000000 >= 160000000 "
                "(80 % of autovacuum_freeze_max_age 200000000)"
            ],
        ),
        ({"is_named": True}, {}, None, []),
        ({"is_named": True}, {"force": True}, "VACUUM public.jobs", ["asked for, though it is not due (force)"]),
        ({}, {"force": True}, None, []),
        (
            {**DEAD, "has_children": True},
            {"parallel": 0, "buffer_usage_limit": "1MB", "index_cleanup": "off", "truncate": True},
            "VACUUM (PARALLEL 0, INDEX_CLEANUP OFF, TRUNCATE TRUE, BUFFER_USAGE_LIMIT '1MB') ONLY public.jobs",
            ["dead rows 400 > threshold 250"],
        ),
        (
            {**MODIFIED, "has_children": True},
            {"parallel": 2, "buffer_usage_limit": "0"},
            "ANALYZE (BUFFER_USAGE_LIMIT '0') ONLY public.jobs",
            ["modified rows 151 > threshold 150"],
        ),
        (
            {**DEAD, "has_children": True},
            {"major": 14, "buffer_usage_limit": "1MB", "process_toast": False},
            "VACUUM (PROCESS_TOAST FALSE) public.jobs",
            ["dead rows 400 > threshold 250"],
        ),
    ],
)  # fmt: skip
def test_a_table(facts: Row, rules: Row, statement: str | None, reasons: list[str]) -> None:
    plan = make_plan([row(**facts)], Rules(**rules), NOBODY)
    assert plan.refused == ()
    assert [each.statement for each in plan.actions] == ([statement] if statement else [])
    assert [reason.text for each in plan.actions for reason in each.reasons] == reasons


def test_the_worst_comes_first() -> None:
    rows = [
        row("analyze", **MODIFIED),
        row("dead", **DEAD),
        row("deader", **{**DEAD, "dead_rows": 4000}),
        row("forced", is_named=True),
        row("old", **OLD),
        row("older", xid_age=199_000_000),
    ]
    plan = make_plan(rows, Rules(force=True, major=15), NOBODY)
    assert [each.table for each in plan.actions] == ["older", "old", "deader", "dead", "analyze", "forced"]


@pytest.mark.parametrize(("major", "last"), [(15, None), (16, "VACUUM (ONLY_DATABASE_STATS)")])
def test_the_databases_oldest_id_is_computed_once(major: int, last: str | None) -> None:
    rows = [row("a", **DEAD), row("b", **DEAD), row("c", **MODIFIED)]
    texts = [each.statement for each in make_plan(rows, Rules(major=major), NOBODY).actions]
    skip = " (SKIP_DATABASE_STATS)" if last else ""
    expected = [f"VACUUM{skip} public.a", f"VACUUM{skip} public.b", "ANALYZE public.c"]
    assert texts == [*expected, *([last] if last else [])]
    alone = make_plan(rows[1:], Rules(major=major), NOBODY)
    assert [each.statement for each in alone.actions] == ["VACUUM public.b", "ANALYZE public.c"]


@pytest.mark.parametrize(
    ("major", "owner_is_superuser", "remedy"),
    [
        (16, False, "GRANT shop TO keeper;"),
        (16, True, "ALTER TABLE public.jobs OWNER TO keeper;"),
        (17, False, "GRANT MAINTAIN ON TABLE public.jobs TO keeper;"),
    ],
)
def test_no_right_to_it(major: int, owner_is_superuser: bool, remedy: str) -> None:
    facts = row(**DEAD, may_maintain=False, owner_is_superuser=owner_is_superuser)
    plan = make_plan([facts, row("fine", may_maintain=False)], Rules(major=major, user="keeper"), NOBODY)
    reason = "it is due (dead rows 400 > threshold 250) and keeper may not vacuum it"
    assert (plan.actions, plan.refused) == ((), (Refusal("public.jobs", reason, remedy),))


@pytest.mark.parametrize(
    ("busy", "who"),
    [
        ({}, "VACUUM of another session is at it already (pid 9, scanning heap, 12 %)"),
        ({"is_autovacuum": True, "percent": None}, "autovacuum is at it already (pid 9, scanning heap)"),
        (
            {"is_autovacuum": True, "prevents_wraparound": True, "phase": None, "percent": None},
            "autovacuum (to prevent wraparound) is at it already (pid 9)",
        ),
    ],
)
def test_somebody_is_at_it(busy: Row, who: str) -> None:
    facts = {
        "pid": 9, "command": "VACUUM", "phase": "scanning heap", "percent": 12.3, "is_autovacuum": False,
        "prevents_wraparound": False, **busy,
    }  # fmt: skip
    jobs = row(**DEAD)
    plan = make_plan([jobs], Rules(), NOBODY, busy={jobs["oid"]: facts})
    assert [each.reason for each in plan.refused] == [f"it is due (dead rows 400 > threshold 250) and {who}"]
    assert plan.actions == ()


def held(xid_age: int = 6000) -> Horizon:
    holder = {
        "kind": "session", "pid": 7, "database": "shop", "user": "app", "application": "api", "state": "active",
        "name": None, "xid_age": xid_age, "since": NOW, "backend_type": "client backend", "now": NOW,
        "held_since": NOW, "data_xid_age": xid_age,
    }  # fmt: skip
    return horizon([holder], "shop", None, sees_all=True)


@pytest.mark.parametrize(
    ("facts", "rules", "where", "done", "refused"),
    [
        (DEAD, {}, held(), [], True),
        (DEAD, {"ignore_horizon": True}, held(), ["VACUUM public.jobs"], False),
        (DEAD, {}, held(4999), ["VACUUM public.jobs"], False),
        # ANALYZE needs nobody's permission, and a VACUUM that is in vain is not done along with it.
        ({**DEAD, **MODIFIED}, {}, held(), ["ANALYZE public.jobs"], True),
        # One good reason is enough.
        ({**DEAD, "multixact_age": 399_000_000}, {}, held(), ["VACUUM (FREEZE) public.jobs"], False),
        ({**DEAD, **TOAST, "toast_xid_age": 7000}, {}, held(), ["VACUUM public.jobs"], False),
        # Freezing brings a table down to the age of the holder: below the limit, or not.
        (OLD, {}, held(159_999_999), ["VACUUM (FREEZE) public.jobs"], False),
        (OLD, {}, held(160_000_000), [], True),
        ({"is_named": True}, {"force": True}, held(), ["VACUUM public.jobs"], False),
    ],
)
def test_in_vain(facts: Row, rules: Row, where: Horizon, done: list[str], refused: bool) -> None:
    plan = make_plan([row(**facts)], Rules(database="shop", **rules), where)
    assert [each.statement for each in plan.actions] == done
    assert bool(plan.refused) is refused
    for each in plan.refused:
        assert each.reason.startswith("VACUUM is due (")
        assert ") and would be in vain: " in each.reason
        assert each.remedy.endswith("Then run the task again.")


def test_full_is_followed_by_what_it_leaves_undone() -> None:
    jobs = row(**DEAD)
    full = Rewrite(reason=Reason(BLOAT, "bloat 60.0 %"))
    plan = make_plan([jobs], Rules(full=True), NOBODY, rewrites={jobs["oid"]: full})
    assert [each.statement for each in plan.actions] == [
        "VACUUM (FULL, SKIP_DATABASE_STATS) public.jobs",
        "VACUUM (ANALYZE, SKIP_DATABASE_STATS) public.jobs",
        "VACUUM (ONLY_DATABASE_STATS)",
    ]
    assert [each.as_dict()["lock"] for each in plan.actions] == [
        "ACCESS EXCLUSIVE (reads and writes of the table wait until it is done)",
        "SHARE UPDATE EXCLUSIVE (reads and writes go on)",
        None,
    ]
    assert plan_lines(plan)[1] == ""


BLOATED = Bloat(10_000_000, 10.0, 40.0)
PLENTY = Headroom(10**12, "measured in /data")


@pytest.mark.parametrize(
    ("facts", "bloat", "headroom", "reason", "refused"),
    [
        (
            {}, BLOATED, PLENTY,
            "bloat 50.0 % >= 30 % (pgstattuple_approx: 40.0 % free and 10.0 % dead of 10000000 bytes)", None,
        ),
        ({"fillfactor": 70}, BLOATED, PLENTY, None, None),
        ({}, Bloat(10_000_000, 9.0, 20.0), PLENTY, None, None),
        ({}, Bloat(8192, 0.0, 99.0), PLENTY, None, None),
        ({}, BLOATED, Headroom(None, "unknown: elsewhere"), None, "and free space is unknown: elsewhere"),
        ({}, BLOATED, Headroom(9010, "declared"), None, "it needs 9011 bytes of disk for the copy, and 9010 are free"),
        ({"is_catalog": True}, BLOATED, PLENTY, None, "and it is a system catalog"),
    ],
)  # fmt: skip
def test_full(facts: Row, bloat: Bloat, headroom: Headroom, reason: str | None, refused: str | None) -> None:
    found = judge_rewrite(row(**facts), bloat, headroom, Rules(), dead_counts=True)
    assert (found.reason.text if found.reason else None) == reason
    if refused:
        assert found.refusal is not None
        assert refused in found.refusal.reason
    else:
        assert found.refusal is None


def test_dead_rows_that_are_still_needed_are_no_bloat() -> None:
    needed = Bloat(10_000_000, 25.0, 10.0)
    assert judge_rewrite(row(), needed, PLENTY, Rules(), dead_counts=True).reason is not None
    assert judge_rewrite(row(), needed, PLENTY, Rules(), dead_counts=False).reason is None


def options(**more: Any) -> dict[str, Any]:
    specs = {**maintenance_argument_spec(), **vacuum_argument_spec()}
    return {**{name: spec.get("default") for name, spec in specs.items()}, **more}


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({}, "Set allow_exclusive_lock: true if that is acceptable, and declare a window."),
        ({"allow_exclusive_lock": True}, "It needs a declared window. Set window to times when nobody uses the table."),
        (
            {"allow_exclusive_lock": True, "window": ["10:00-11:00"], "reference_time": "2026-01-31T09:00:00Z"},
            "But it is Sat 09:00 in UTC, outside the window (10:00-11:00). Run it within the window.",
        ),
        ({"allow_exclusive_lock": True, "window": ["09:00-11:00"], "reference_time": "2026-01-31T09:00:00Z"}, None),
    ],
)
def test_an_exclusive_lock_needs_both(given: Row, refusal: str | None) -> None:
    what = (
        "VACUUM FULL of public.a takes an ACCESS EXCLUSIVE lock: reads and writes of the table wait until it is done."
    )
    assert exclusive_refusal(options(**given), ["public.a"]) == (f"{what} {refusal}" if refusal else None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"parallel": 1025}, "parallel: 1025 is not accepted. Accepted: a number from 0 to 1024."),
        ({"cost_delay": 101}, "cost_delay: 101 is not accepted. Accepted: a number from 0 to 100."),
        ({"max_seconds": 0}, "max_seconds: 0 is not accepted."),
        ({"freeze_age_percent": 101}, "freeze_age_percent: 101 is not accepted. Accepted: a number from 1 to 100."),
        ({"buffer_usage_limit": "17GB"}, "buffer_usage_limit: '17GB' is not accepted. Accepted: 0, or a size from"),
        ({"buffer_usage_limit": "1MB'); DROP"}, 'buffer_usage_limit: "1MB\'); DROP" is not accepted.'),
        ({"force": True}, "force: True is not accepted. Accepted: only together with tables, which names the tables"),
        ({"tables": ["a"], "schemas": ["b"]}, "schemas: ['b'] is not accepted. Accepted: either schemas or tables"),
        ({"tables": ["a b"]}, "tables: 'a b' is not accepted."),
        ({"exclude_tables": [""]}, "exclude_tables: '' is not accepted."),
    ],
)
def test_options_that_cannot_work(given: Row, message: str) -> None:
    with pytest.raises(InvalidOption) as error:
        check_options(options(**given))
    assert str(error.value).startswith(message)


@pytest.mark.parametrize("limit", ["0", "128kB", "2 MB", "16GB", ""])
def test_options_that_work(limit: str) -> None:
    check_options(options(buffer_usage_limit=limit, tables=["a"], force=True, full=True, parallel=0))
    rules = rules_from(options(buffer_usage_limit=limit), major=16, quoted_user="u", database="d")
    assert rules.buffer_usage_limit == (limit or None)
    ignored = [each["option"] for each in ignored_options(options(buffer_usage_limit=limit), 15)]
    assert ignored == (["buffer_usage_limit"] if limit else [])


RELATIONS = [
    {"oid": 1, "schema": "public", "name": "jobs", "relkind": "r", "relpersistence": "p"},
    {"oid": 2, "schema": "sales", "name": "jobs", "relkind": "p", "relpersistence": "p"},
    {"oid": 3, "schema": "public", "name": "Jobs", "relkind": "m", "relpersistence": "p"},
    {"oid": 4, "schema": "public", "name": 'a "b".c', "relkind": "r", "relpersistence": "u"},
    {"oid": 5, "schema": "pg_temp_3", "name": "mine", "relkind": "r", "relpersistence": "t"},
    {"oid": 6, "schema": "public", "name": "jobs_pkey", "relkind": "i", "relpersistence": "p"},
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("public.jobs", 1),
        ("PUBLIC.JOBS", 1),
        ("sales.jobs", 2),
        ("Jobs", 3),
        ('"Jobs"', 3),
        ('public."a ""b"".c"', 4),
        ("jobs", "tables: jobs is in several schemas (public, sales). Write schema.table."),
        ('"JOBS"', 'tables: there is no table "JOBS" in database shop. Correct the name, or login_db.'),
        ("mine", "tables: mine is a temporary table, which only its session can vacuum."),
        ("jobs_pkey", "tables: jobs_pkey is an index, not a table."),
    ],
)
def test_names(text: str, found: int | str) -> None:
    name = parse_name("tables", text)
    assert name.table.text in spellings([name])
    if isinstance(found, int):
        assert resolve("tables", name, RELATIONS, "shop") == found
        return
    with pytest.raises(RunbookError) as error:
        resolve("tables", name, RELATIONS, "shop")
    assert error.value.message == found


def test_spellings_are_what_sql_would_read() -> None:
    assert spellings([parse_name("tables", text) for text in ("a.Jobs", '"Jobs"', '"Q"')]) == ["Jobs", "Q", "jobs"]


def test_max_tables_counts_tables() -> None:
    plan = make_plan([row("a", **DEAD), row("b", **DEAD)], Rules(), NOBODY)
    check_plan(plan, options(max_tables=2), {})
    check_plan(Plan(), options(max_tables=0), {})
    with pytest.raises(Refused) as error:
        check_plan(plan, options(max_tables=1), {"actions": [1], "changed": True})
    assert error.value.message.startswith("2 tables are due, which is more than max_tables (1). Nothing was done.")
    assert error.value.details == {"actions": [1], "changed": False}


def test_what_had_no_effect() -> None:
    (action,) = make_plan([row(**DEAD, **MODIFIED)], Rules(), NOBODY).actions
    before, after = row(**DEAD), row(**DEAD, last_analyze=NOW)
    assert without_effect(action, before, after) == ["dead rows 400 > threshold 250"]
    assert without_effect(action, before, {**after, "dead_rows": 399}) == []
    (frozen,) = make_plan([row(**OLD)], Rules(), NOBODY).actions
    assert without_effect(frozen, row(**OLD), row(**OLD)) == [frozen.reasons[0].text]
    assert without_effect(frozen, row(**OLD), row(xid_age=5)) == []


@pytest.mark.parametrize(
    ("facts", "note"),
    [
        ({"phase": "scanning heap"}, "scanning heap"),
        ({"phase": "scanning heap", "rounds": 1}, "scanning heap, round 1"),
        ({"phase": "vacuuming indexes", "rounds": 1}, "vacuuming indexes, round 2"),
        ({"phase": "vacuuming indexes", "indexes": 5, "indexes_done": 2}, "vacuuming indexes 2 of 5"),
    ],
)
def test_where_the_server_is(facts: Row, note: str) -> None:
    assert phase_note({"rounds": 0, "indexes": None, "indexes_done": None, **facts}) == note


def test_an_interrupted_run_says_how_to_go_on() -> None:
    plan = make_plan([row("a", **DEAD), row("b", **DEAD)], Rules(), NOBODY)
    run = Run(done=[{"table": "a"}])
    assert interrupted(Stopped("Stopped by signal SIGINT"), plan, run) == (
        "Stopped by signal SIGINT. 1 of 2 statements were done before. The one at work was rolled back by the server "
        "and left nothing half done. Run the task again to go on with what is still due."
    )
