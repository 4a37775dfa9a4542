"""What is due, what is refused, and what is remembered."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import Headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.baseline import Baseline
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.guards import (
    Surroundings,
    refusal,
    why_not_this_server,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.lag import too_far_behind
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import Index, Measurement
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.plan import (
    Findings,
    check_names,
    check_options,
    is_due,
    make_plan,
    wants_measuring,
)

MIB = 2**20
OPTIONS: dict[str, Any] = {
    "indexes": [],
    "schemas": [],
    "exclude": [],
    "min_index_bytes": 10 * MIB,
    "min_bloat_percent": 30.0,
    "baseline_growth_percent": 50.0,
    "collation": False,
    "clean_leftovers": True,
    "max_indexes": None,
    "max_bytes": None,
    "max_seconds": None,
    "max_wait_seconds": 60.0,
    "disk_free_bytes": None,
    "max_replica_lag_bytes": None,
    "max_replica_lag_seconds": None,
}
INDEX = Index(
    oid=1, table_oid=2, schema="public", name="i", table="t", method="btree", size_bytes=100 * MIB, owner="app",
    definition="CREATE INDEX i", table_rows=1e6,
)  # fmt: skip
AROUND = Surroundings(
    user="me",
    version_num=150000,
    database_tablespace=1663,
    max_wait_seconds=60,
    allow_unknown_disk=False,
    transactions=[],
    builders=[],
    free=lambda _tablespace: Headroom(10**12, "measured in /data"),
)


def named(name: str, oid: int, **more: Any) -> Index:
    return replace(INDEX, name=name, oid=oid, **more)


def density(bloat: float) -> Measurement:
    return Measurement("density", "high", bloat)


def growth(percent: float) -> Measurement:
    return Measurement("baseline", "high", 50.0, growth_percent=percent)


@pytest.mark.parametrize(
    ("measurement", "due"),
    [
        (density(30.0), True),
        (density(29.9), False),
        (growth(50.0), True),
        (growth(49.9), False),
        (Measurement("estimate", "low", 99.0), False),
        (Measurement("baseline", "none"), False),
        (Measurement("none", "none"), False),
    ],
)
def test_only_measurements_decide(measurement: Measurement, due: bool) -> None:
    assert is_due(measurement, OPTIONS) is due


@pytest.mark.parametrize(
    ("index", "guess", "known", "more", "wanted"),
    [
        pytest.param(INDEX, 15.0, None, {}, True, id="suspected"),
        pytest.param(INDEX, 14.9, None, {}, False, id="not suspected"),
        pytest.param(INDEX, None, None, {}, True, id="no statistics"),
        pytest.param(INDEX, 0.0, growth(60.0), {}, True, id="grown over its baseline"),
        pytest.param(INDEX, 0.0, growth(10.0), {}, False, id="as it was"),
        pytest.param(INDEX, 0.0, None, {"indexes": ["i"]}, True, id="named"),
        pytest.param(replace(INDEX, method="gin"), None, None, {}, False, id="not a B-tree"),
        pytest.param(replace(INDEX, is_valid=False), None, None, {"indexes": ["i"]}, False, id="invalid"),
        pytest.param(replace(INDEX, is_locked=True), None, None, {"indexes": ["i"]}, False, id="locked"),
        pytest.param(replace(INDEX, kind="I"), None, None, {"indexes": ["i"]}, False, id="partitioned"),
        pytest.param(replace(INDEX, is_temporary=True), None, None, {"indexes": ["i"]}, False, id="temporary"),
    ],
)
def test_wants_measuring(
    index: Index, guess: float | None, known: Measurement | None, more: dict[str, Any], wanted: bool
) -> None:
    assert wants_measuring(index, Measurement("estimate", "low", guess), known, {**OPTIONS, **more}) is wanted


def findings(*indexes: Index, **more: Any) -> Findings:
    fields: dict[str, Any] = {
        "indexes": indexes,
        "measurements": {},
        "failures": {},
        "leftovers": [],
        "drift": [],
        "drifted": {},
        "database": "shop",
        "how_to_measure": "CREATE EXTENSION pgstattuple;",
    }
    return Findings(**{**fields, **more})


def test_the_largest_saving_comes_first() -> None:
    indexes = [named("small", 1, size_bytes=20 * MIB), named("large", 2), named("well", 3)]
    plan = make_plan(
        findings(*indexes, measurements={1: density(90), 2: density(40), 3: density(5)}),
        AROUND,
        OPTIONS,
        Baseline(None),
    )
    assert [(each["object"], each["reason"], each["statement"]) for each in plan.actions] == [
        ("public.large", "bloat", "REINDEX INDEX CONCURRENTLY public.large"),
        ("public.small", "bloat", "REINDEX INDEX CONCURRENTLY public.small"),
    ]
    decisions = {each["index"]: each["decision"] for each in plan.candidates}
    assert decisions == {"public.small": "rebuild", "public.large": "rebuild", "public.well": "healthy"}


@pytest.mark.parametrize(
    ("index", "measurement", "listed"),
    [
        pytest.param(INDEX, Measurement("estimate", "low", 80.0), "CREATE EXTENSION pgstattuple;", id="suspected"),
        pytest.param(INDEX, Measurement("estimate", "low", 20.0), None, id="estimated to be well"),
        pytest.param(INDEX, Measurement("estimate", "none"), "CREATE EXTENSION pgstattuple;", id="nothing is known"),
        pytest.param(
            replace(INDEX, method="gin"),
            Measurement("estimate", "none"),
            "Set baseline_path: the size per row is recorded there, and the next runs measure growth against it.",
            id="GIN without a baseline",
        ),
        pytest.param(replace(INDEX, size_bytes=MIB), Measurement("estimate", "none"), None, id="small"),
    ],
)
def test_what_cannot_be_measured_is_listed_with_the_remedy(
    index: Index, measurement: Measurement, listed: str | None
) -> None:
    plan = make_plan(findings(index, measurements={1: measurement}), AROUND, OPTIONS, Baseline(None))
    assert plan.actions == []
    assert [each["remedy"] for each in plan.candidates] == ([] if listed is None else [listed])
    assert all(each["decision"] == "unknown" for each in plan.candidates)


SESSION = {
    "pid": 7, "user": "app", "application": "worker", "state": "idle in transaction", "gid": None, "seconds": 512.3,
    "has_snapshot": True, "relations": [],
}  # fmt: skip
WAITS = "has been open for 512 seconds and REINDEX CONCURRENTLY would wait for its end"


@pytest.mark.parametrize(
    ("index", "around", "expected"),
    [
        pytest.param({}, {}, None, id="nothing in the way"),
        pytest.param(
            {"may_rebuild": False},
            {},
            ("the role may not rebuild it; its table belongs to app", "GRANT app TO me;"),
            id="not the owner",
        ),
        pytest.param(
            {"may_rebuild": False, "table": "T"},
            {"version_num": 170000},
            (
                "the role may not rebuild it; its table belongs to app",
                'GRANT MAINTAIN ON TABLE public."T" TO me; or GRANT app TO me;',
            ),
            id="not the owner, from 17",
        ),
        pytest.param(
            {"may_name": False, "schema": "Sales"},
            {},
            ("the role may not use the schema Sales", 'GRANT USAGE ON SCHEMA "Sales" TO me;'),
            id="schema",
        ),
        pytest.param(
            {},
            {"builders": [{"pid": 9, "table_oid": 2}]},
            (
                "process 9 is building an index of table public.t at this moment",
                "Run the task again when that is done.",
            ),
            id="another command on the table",
        ),
        pytest.param({}, {"builders": [{"pid": 9, "table_oid": 3}]}, None, id="another command elsewhere"),
        pytest.param(
            {},
            {"builders": [{"pid": 9, "table_oid": None}]},
            (
                "process 9 is building an index in this database, and the role may not see of which table",
                "GRANT pg_read_all_stats TO me; or run the task again when that is done.",
            ),
            id="another command, nobody knows where",
        ),
        pytest.param(
            {},
            {"transactions": [SESSION]},
            (
                f"the transaction of process 7 (app, worker, idle in transaction) {WAITS}",
                "End it in the application, wait for it, or raise max_wait_seconds.",
            ),
            id="an old snapshot",
        ),
        pytest.param({}, {"transactions": [{**SESSION, "has_snapshot": False}]}, None, id="old, holds nothing"),
        pytest.param(
            {},
            {"transactions": [{**SESSION, "has_snapshot": False, "relations": [2], "application": ""}]},
            (
                f"the transaction of process 7 (app, idle in transaction) {WAITS}",
                "End it in the application, wait for it, or raise max_wait_seconds.",
            ),
            id="a lock on the table",
        ),
        pytest.param(
            {},
            {"transactions": [{**SESSION, "pid": None, "gid": "x", "has_snapshot": False, "relations": [1]}]},
            (
                f"the prepared transaction 'x' of app {WAITS}",
                "COMMIT PREPARED 'x'; or ROLLBACK PREPARED 'x'; as its coordinator says.",
            ),
            id="a prepared transaction",
        ),
        pytest.param(
            {},
            {"free": lambda _tablespace: Headroom(200 * MIB, "declared (disk_free_bytes)")},
            (
                "the rebuild needs 230686720 bytes for a while (a new copy and its WAL) and only 209715200 are free, "
                "declared (disk_free_bytes)",
                "Make room, or rebuild it after others have become smaller.",
            ),
            id="no room",
        ),
        pytest.param(
            {"tablespace": 5},
            {"free": lambda space: Headroom(130 * MIB if space == 5 else 101 * MIB, f"measured in {space}")},
            None,
            id="room in two places",
        ),
        pytest.param(
            {"tablespace": 5},
            {"free": lambda space: Headroom(130 * MIB if space == 5 else 99 * MIB, f"measured in {space}")},
            (
                "the rebuild needs 104857600 bytes for a while (a new copy and its WAL) and only 103809024 are free, "
                "measured in 0",
                "Make room, or rebuild it after others have become smaller.",
            ),
            id="no room for WAL",
        ),
        pytest.param(
            {},
            {"free": lambda _tablespace: Headroom(None, "unknown: far away")},
            (
                "the room on the server's disk is unknown: far away; the rebuild needs 230686720 bytes for a while",
                "Set disk_free_bytes to the free bytes of the server's disk, or allow_unknown_disk to true.",
            ),
            id="unknown room",
        ),
        pytest.param(
            {},
            {"free": lambda _tablespace: Headroom(None, "unknown"), "allow_unknown_disk": True},
            None,
            id="unknown room, allowed",
        ),
    ],
)
def test_refusals(index: dict[str, Any], around: dict[str, Any], expected: tuple[str, str] | None) -> None:
    subject = replace(INDEX, **index)
    found = refusal(subject, replace(AROUND, **around))
    assert found == (None if expected is None else Refusal(subject.label, *expected))


@pytest.mark.parametrize(
    ("version", "corrupts"), [(130010, False), (140000, True), (140003, True), (140004, False), (150000, False)]
)
def test_versions_that_corrupt(version: int, corrupts: bool) -> None:
    found = why_not_this_server(version)
    assert (found is not None) is corrupts
    if found is not None:
        assert found == (
            f"PostgreSQL 14.{version % 100} corrupts indexes that are built or rebuilt with CONCURRENTLY while rows "
            "are updated",
            "Update to 14.4 or later, then run the task again. What was built with CONCURRENTLY before may be corrupt; "
            "check it with pg_amcheck --heapallindexed.",
        )


DRIFT = {
    "oid": 100, "schema": "pg_catalog", "name": "default", "is_default": True, "recorded": "2.31", "actual": "2.36",
    "may_refresh": True, "owner": "app", "partitioned": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("drift", "options", "index", "actions", "reason"),
    [
        pytest.param({}, {}, {}, ["rebuild", "refresh_collation"], None, id="all of it"),
        pytest.param({}, {"collation": False}, {}, [], None, id="not asked for"),
        pytest.param({"may_refresh": False}, {}, {}, [], "it belongs to app", id="somebody else's"),
        pytest.param(
            {"partitioned": ["public.p"]}, {}, {}, [], "public.p is partitioned by range in its order", id="ranges"
        ),
        pytest.param({}, {"schemas": ["public"]}, {}, [], "schemas leaves out indexes that may sort by", id="narrowed"),
        pytest.param(
            {}, {}, {"is_exclusion": True}, [], "public.i is refused (REINDEX CONCURRENTLY does not", id="excl"
        ),
    ],
)
def test_collations(
    drift: dict[str, Any], options: dict[str, Any], index: dict[str, Any], actions: list[str], reason: str | None
) -> None:
    plan = make_plan(
        findings(replace(INDEX, **index), drift=[{**DRIFT, **drift}], drifted={1: [100]}),
        AROUND,
        {**OPTIONS, "collation": True, **options},
        Baseline(None),
    )
    assert [each["action"] for each in plan.actions] == actions
    assert plan.drift == [
        {"collation": "database shop", "recorded_version": "2.31", "actual_version": "2.36", "indexes": ["public.i"]}
    ]
    if reason is None:
        assert plan.refused == []
    else:
        (found,) = plan.refused
        assert found.object == "database shop"
        assert reason in found.reason


def test_the_version_is_recorded_last() -> None:
    plan = make_plan(
        findings(INDEX, drift=[DRIFT], drifted={1: [100]}, measurements={1: density(80)}),
        AROUND,
        {**OPTIONS, "collation": True},
        Baseline(None),
    )
    assert [(each["reason"], each["statement"]) for each in plan.actions] == [
        ("bloat and collation", "REINDEX INDEX CONCURRENTLY public.i"),
        ("it sorts by version 2.36, and 2.31 is on record", "ALTER DATABASE shop REFRESH COLLATION VERSION"),
    ]


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [
        ("min_bloat_percent", 9.9, "10 to 95 percent"),
        ("min_bloat_percent", float("nan"), "10 to 95 percent"),
        ("baseline_growth_percent", 5, "10 percent or more"),
        ("max_indexes", 0, "1 or more indexes"),
        ("max_seconds", 0, "1 or more seconds"),
        ("disk_free_bytes", -1, "0 or more bytes"),
        ("max_replica_lag_seconds", float("nan"), "0 or more seconds"),
    ],
)
def test_options_refused(option: str, value: float, accepted: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        check_options({**OPTIONS, option: value})
    assert caught.value.message == f"{option}: {value!r} is not accepted. Accepted: {accepted}."


def test_options_accepted() -> None:
    check_options(OPTIONS)


def test_a_name_with_a_dot_may_mean_two() -> None:
    two = [named("b.c", 1, schema="a"), named("c", 2, schema="a.b")]
    with pytest.raises(InvalidOption, match="one index; with the schema it is one of"):
        check_names(["c", "b.c", "a.b.c"], [replace(two[0], name="x.y"), *two, named("c", 3)], "shop")
    check_names(['"a.b".c', 'a."b.c"'], two, "shop")


# --- what is remembered


def kept(path: Path, given: dict[str, Any] | None = None, database: str = "shop") -> Baseline:
    baseline = Baseline(str(path), given)
    baseline.belongs_to("42", database)
    return baseline


def test_baselines_are_kept_by_server_database_and_definition(tmp_path: Path) -> None:
    path = tmp_path / "new" / "baseline.json"
    baseline = kept(path)
    assert baseline.bytes_per_row(INDEX) is None
    baseline.rebuilt(INDEX, "2026-01-31T00:00:00Z", "public.de 1.2")
    baseline.write()
    other = kept(path, database="other")
    other.see(INDEX)
    other.write()
    again = kept(path)
    assert again.bytes_per_row(INDEX) == (104.858, "rebuild")
    assert again.collation_versions(INDEX) == "public.de 1.2"
    assert kept(path, database="other").bytes_per_row(INDEX) == (104.858, "seen")
    assert again.bytes_per_row(replace(INDEX, definition="CREATE INDEX i ON elsewhere")) is None
    assert sorted(json.loads(path.read_text())["databases"]) == ["42/other", "42/shop"]


def test_the_smallest_size_that_was_seen_counts_until_a_rebuild(tmp_path: Path) -> None:
    baseline = kept(tmp_path / "baseline.json", {"public.i": 50})
    assert baseline.bytes_per_row(INDEX) == (50.0, "given")
    baseline.see(INDEX)
    baseline.see(replace(INDEX, size_bytes=200 * MIB))
    baseline.see(replace(INDEX, table_rows=-1.0))
    baseline.write()
    assert kept(tmp_path / "baseline.json").bytes_per_row(INDEX) == (104.858, "seen")
    baseline.rebuilt(INDEX, "2026-01-31T00:00:00Z")
    baseline.see(replace(INDEX, size_bytes=MIB))
    assert baseline.bytes_per_row(INDEX) == (104.858, "rebuild"), "what was promised and not reached is no baseline"


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"version": 2}', '"baseline"'])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(text)
    with pytest.raises(InvalidOption, match=r"baseline_path: .* Accepted: a file that this module wrote"):
        Baseline(str(path))
    assert path.read_text() == text


STANDBY = {"application": "replica", "pid": 5, "state": "streaming", "replay_lag_bytes": 500, "replay_lag_seconds": 9.0}


@pytest.mark.parametrize(
    ("standby", "options", "expected"),
    [
        ({}, {"max_replica_lag_bytes": 500}, None),
        (
            {},
            {"max_replica_lag_bytes": 499},
            "standby replica is 500 bytes behind (max_replica_lag_bytes: 499)",
        ),
        ({}, {"max_replica_lag_seconds": 9.0}, None),
        (
            {"application": ""},
            {"max_replica_lag_seconds": 8.5},
            "standby 5 is 9 seconds behind (max_replica_lag_seconds: 8.5)",
        ),
        ({"state": "backup"}, {"max_replica_lag_bytes": 0}, None),
        # An idle primary: nothing is outstanding, however long ago the last measurement was.
        ({"replay_lag_bytes": 0}, {"max_replica_lag_seconds": 1.0}, None),
        ({"replay_lag_bytes": None, "replay_lag_seconds": None}, {"max_replica_lag_bytes": 1}, None),
    ],
)
def test_lag(standby: dict[str, Any], options: dict[str, Any], expected: str | None) -> None:
    assert too_far_behind([{**STANDBY, **standby}], {**OPTIONS, **options}) == expected
