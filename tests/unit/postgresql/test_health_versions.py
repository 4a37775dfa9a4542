"""Which statements go to which server: by the columns it has, not by what its number suggests."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import capabilities as probe
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities, Extension
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.collect import SECTIONS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import Answers, Query

# Since when a column exists, as seen on the servers themselves, and as what the statements use it.
SINCE = {
    ("pg_locks", "w.waitstart"): 14,
    ("pg_stat_activity", "a.query_id"): 14,
    ("pg_stat_database", "s.sessions_abandoned"): 14,
    ("pg_stat_database", "s.sessions_fatal"): 14,
    ("pg_stat_database", "s.sessions_killed"): 14,
    ("pg_stat_wal", "w.wal_records"): 14,
    ("pg_database", "d.datcollversion"): 15,
    ("pg_index", "i.indnullsnotdistinct"): 15,
    ("pg_stat_subscription_stats", "e.apply_error_count"): 15,
    ("pg_replication_slots", "s.conflicting"): 16,
    ("pg_stat_subscription", "w.leader_pid"): 16,
    ("pg_replication_slots", "s.inactive_since"): 17,
    ("pg_replication_slots", "s.invalidation_reason"): 17,
    ("pg_stat_checkpointer", "c.num_timed"): 17,
    ("pg_class", "c.relallfrozen"): 18,
}
OLD_STATEMENTS = frozenset({"total_time", "mean_time", "max_time", "stddev_time", "calls", "rows"})
NEW_STATEMENTS = frozenset(
    {"total_exec_time", "mean_exec_time", "max_exec_time", "stddev_exec_time", "wal_bytes", "toplevel", "calls", "rows"}
)


def server(major: int, statements: frozenset[str] = NEW_STATEMENTS, *, privileged: bool = True) -> Capabilities:
    columns: dict[str, set[str]] = {}
    for (relation, column), since in SINCE.items():
        if major >= since:
            columns.setdefault(relation, set()).add(column.split(".")[1])
    return Capabilities(
        version_num=major * 10000,
        reads_stats=privileged,
        reads_settings=privileged,
        lists_archive_status=privileged,
        lists_wal=privileged,
        extensions={"pg_stat_statements": Extension("1.10", '"my schema"')},
        columns={"pg_stat_statements": statements, **{name: frozenset(each) for name, each in columns.items()}},
    )


def queries(capabilities: Capabilities) -> Mapping[tuple[str, str], Query]:
    return {(section.name, query.name): query for section in SECTIONS for query in section.queries(capabilities)}


@pytest.mark.parametrize("major", [13, 14, 15, 16, 17, 18, 19])
def test_statements_name_only_columns_that_are_there(major: int) -> None:
    text = "\n".join(query.sql for query in queries(server(major)).values())
    for (_relation, column), since in SINCE.items():
        assert (column in text) == (major >= since), column
    assert "$" not in text


@pytest.mark.parametrize(
    ("major", "view"), [(13, "pg_stat_bgwriter b"), (16, "pg_stat_bgwriter b"), (17, "pg_stat_checkpointer c")]
)
def test_checkpoints_moved(major: int, view: str) -> None:
    assert f"FROM {view}" in queries(server(major))["wal", "checkpoints"].sql


@pytest.mark.parametrize(("major", "asked"), [(13, False), (14, True), (18, True)])
def test_wal_statistics(major: int, asked: bool) -> None:
    assert (("wal", "statistics") in queries(server(major))) is asked


@pytest.mark.parametrize(("major", "name"), [(14, "default"), (15, "databases")])
def test_recorded_collation_of_databases(major: int, name: str) -> None:
    assert ("collations", name) in queries(server(major))


@pytest.mark.parametrize(
    ("columns", "present", "absent"),
    [
        (
            OLD_STATEMENTS,
            ["p.total_time", "p.mean_time", "NULL::numeric", "true AS toplevel"],
            ["exec_time", "p.wal_bytes"],
        ),
        (NEW_STATEMENTS, ["p.total_exec_time", "p.mean_exec_time", "p.wal_bytes", "p.toplevel"], ["p.total_time"]),
        # The extension lags behind its server until somebody runs ALTER EXTENSION … UPDATE.
        (NEW_STATEMENTS - {"toplevel"}, ["p.total_exec_time", "true AS toplevel"], ["p.toplevel"]),
    ],
)
def test_the_extension_is_asked_for_the_columns_it_has(
    columns: frozenset[str], present: list[str], absent: list[str]
) -> None:
    sql = queries(server(18, columns))["statements", "statements"].sql
    assert 'FROM "my schema".pg_stat_statements p' in sql
    assert [part for part in present if part not in sql] == []
    assert [part for part in absent if part in sql] == []


def test_without_privileges_forbidden_things_are_not_even_tried() -> None:
    poor = queries(server(16, privileged=False))
    for key in (("wal", "ready"), ("wal", "directory"), ("replication", "standbys"), ("indexes", "standbys")):
        assert key in queries(server(16))
        assert key not in poor


def test_no_statement_writes() -> None:
    for query in queries(server(18)).values():
        first = query.sql.split(None, 1)[0]
        assert first in ("SELECT", "WITH"), query.name


@pytest.mark.parametrize(
    ("offered", "preloaded", "remedy"),
    [
        (True, True, 'In database "Shop": CREATE EXTENSION pg_stat_statements;'),
        (
            True,
            False,
            "Add pg_stat_statements to shared_preload_libraries and restart the server. "
            'In database "Shop": CREATE EXTENSION pg_stat_statements;',
        ),
        (
            False,
            False,
            "Install the package with PostgreSQL's contrib modules on the server. "
            "Add pg_stat_statements to shared_preload_libraries and restart the server. "
            'In database "Shop": CREATE EXTENSION pg_stat_statements;',
        ),
    ],
)
def test_missing_extension_names_the_missing_steps(offered: bool, preloaded: bool, remedy: str) -> None:
    capabilities = Capabilities(
        150000,
        database="Shop",
        quoted_database='"Shop"',
        reads_stats=True,
        offers_statements=offered,
        preloads_statements=preloaded,
    )
    section = next(each for each in SECTIONS if each.name == "statements")
    (skip,) = section.skips(capabilities, Answers({}))
    assert skip.reason == "The extension pg_stat_statements is not installed in database Shop."
    assert skip.remedy == remedy
    assert section.queries(capabilities) == []


def test_parse() -> None:
    role = {
        "version_num": 150018, "database": "shop", "role": "mon", "quoted_user": "mon", "quoted_database": "shop",
        "is_superuser": None, "reads_stats": True, "reads_settings": True, "lists_archive_status": False,
        "lists_wal": True, "preloads_statements": True, "offers_statements": True, "in_recovery": False,
        "started_at": None, "stats_since": None, "now": None,
    }  # fmt: skip
    found = probe.parse(
        role,
        [{"name": "plpgsql", "version": "1.0", "quoted_schema": "pg_catalog"}],
        [{"relation": "pg_locks", "columns": ["pid", "waitstart"]}],
    )
    assert (found.major, found.is_superuser, found.user) == (15, False, "mon")
    assert found.extensions["plpgsql"] == Extension("1.0", "pg_catalog")
    assert (found.has("pg_locks"), found.has("pg_locks", "waitstart"), found.has("pg_locks", "x")) == (
        True,
        True,
        False,
    )
    assert found.has("pg_stat_wal") is False
    assert found.pick("pg_locks", "waitstart", alias="l", otherwise="NULL") == "l.waitstart"
    assert found.pick("pg_locks", "absent", alias="l", otherwise="NULL::int") == "NULL::int"
