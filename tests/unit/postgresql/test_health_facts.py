"""Facts of the sections from rows: arithmetic, and unknown instead of 0."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import (
    checksums,
    collations,
    databases,
    extensions,
    indexes,
    replication,
    rls,
    roles,
    sequences,
    settings,
    statements,
    tables,
    wal,
    wraparound,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.collect import SECTIONS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import Answers, Limits, Section

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)
ALL = Capabilities(170000, reads_stats=True, now=NOW, stats_since=NOW - dt.timedelta(hours=10))


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def facts(section: Section, capabilities: Capabilities = ALL, top: int = 20, **rows: Any) -> dict[str, Any]:
    return section.facts(Answers(rows), capabilities, Limits(top=top))


class Row(dict[str, Any]):
    """A row of the driver; columns a test does not name are NULL."""

    def __missing__(self, _column: str) -> None:
        return None


def row(**values: Any) -> Row:
    return Row(now=NOW, **values)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_section_without_any_answer_knows_nothing(section: Section) -> None:
    known = {
        "server": {
            "version_num",
            "major",
            "server_time",
            "started_at",
            "uptime_seconds",
            "in_recovery",
            "is_primary",
            "database",
            "user",
            "is_superuser",
            "can_read_all_stats",
        },
        "connections": {"used_is_exact"},
        "indexes": {"is_standby"},
        "replication": {"is_primary"},
        "rls": {"exposed_schemas"},
        "collations": {"is_default_checked"},
        "wal": {"archiver", "statistics", "checkpoints"},
    }
    always = {"database", "truncated", "stats_since", "stats_age_seconds"}
    found = facts(section)
    told = {name for name, value in found.items() if value is not None}
    assert told <= known.get(section.name, set()) | always
    for name in ("archiver", "statistics", "checkpoints"):
        if section.name == "wal":
            assert set(found[name].values()) == {None}


# --- wal
@pytest.mark.parametrize(
    ("mode", "archived", "failed", "is_failing", "seconds"),
    [
        ("off", None, None, False, 0.0),
        # Left over from a time when it was on.
        ("off", ago(100), ago(10), False, 0.0),
        ("on", None, None, False, 0.0),
        ("on", ago(10), ago(100), False, 0.0),
        ("on", ago(100), ago(10), True, 100.0),
        ("always", None, ago(10), True, 5000.0),
        (None, ago(100), ago(10), None, None),
    ],
)
def test_archiver(
    mode: str | None, archived: dt.datetime | None, failed: dt.datetime | None, is_failing: bool, seconds: float
) -> None:
    archiver = row(last_archived_time=archived, last_failed_time=failed, stats_reset=ago(5000))
    given = [] if mode is None else [{"mode": mode, "has_command": True, "has_library": None, "level": "replica"}]
    found = facts(wal.SECTION, settings=given, archiver=[archiver])["archiver"]
    assert (found["is_failing"], found["failing_seconds"]) == (is_failing, seconds)


@pytest.mark.parametrize(
    ("version", "command", "library", "expected"),
    [
        (140000, False, None, False),
        (150000, False, None, None),
        (150000, False, True, True),
        (160000, True, None, True),
    ],
)
def test_archiving_without_a_command(version: int, command: bool, library: bool | None, expected: bool | None) -> None:
    given = [{"mode": "on", "has_command": command, "has_library": library}]
    found = facts(wal.SECTION, Capabilities(version), settings=given)["archiver"]
    assert (found["is_enabled"], found["has_command"], found["is_failing"]) == (True, expected, None)


def test_checkpoints_and_volume() -> None:
    found = facts(
        wal.SECTION,
        settings=[{"mode": "off", "has_command": False, "max_wal_size_bytes": 1000, "level": "replica"}],
        directory=[{"bytes": 1500, "files": 3}],
        checkpoints=[row(timed=30, requested=10)],
        statistics=[row(wal_bytes=7200, stats_reset=ago(3600))],
        last_checkpoint=[{"last": ago(42), "now": NOW}],
    )
    assert found["directory_percent"] == 150.0
    assert found["checkpoints"]["requested_percent"] == 25.0
    assert found["checkpoints"]["last_checkpoint_age_seconds"] == 42.0
    assert found["statistics"]["bytes_per_second"] == 2.0


def test_what_may_not_be_listed_is_named_fact_by_fact() -> None:
    poor = Capabilities(150000, quoted_user="app")
    skips = wal.SECTION.skips(poor, Answers({}))
    assert [skip.section for skip in skips] == [
        "wal.archiver.ready_count",
        "wal.directory_bytes",
        "wal.directory_percent",
    ]
    assert {skip.remedy for skip in skips} == {"GRANT pg_monitor TO app;"}


# --- wraparound
def test_ages_are_percent_of_the_end_and_of_autovacuum() -> None:
    given = {"freeze_max_age": 200_000_000, "multixact_freeze_max_age": 400_000_000, "failsafe_age": 1_600_000_000}
    found = facts(
        wraparound.SECTION,
        settings=[given],
        databases=[
            {"name": "old", "allows_connections": True, "xid_age": 1_932_735_283, "multixact_age": 0},
            {"name": "multi", "allows_connections": False, "xid_age": 1, "multixact_age": 2_000_000_000},
        ],
        tables=[],
        holders=[],
    )
    assert (found["xid_percent"], found["xid_freeze_percent"]) == (90.0, 966.37)
    assert (found["multixact_percent"], found["multixact_freeze_percent"]) == (93.13, 500.0)
    assert found["databases"][1]["allows_connections"] is False
    assert (found["horizon"], found["horizon_xid_age"], found["table_count"]) == (None, 0, 0)


def test_the_horizon_names_who_to_talk_to() -> None:
    holders = [
        row(
            kind="session",
            pid=7,
            database="shop",
            user="app",
            application="worker",
            state="idle in transaction",
            xid_age=500,
            since=ago(1200),
            backend_type="client backend",
        ),
        row(kind="replication slot", name="lost", state="inactive", xid_age=90000),
        row(kind="prepared transaction", name="order 1", database="shop", user="app", xid_age=10, since=ago(9)),
        row(kind="standby", pid=9, application="replica", xid_age=3, since=ago(3), backend_type="walsender"),
        row(kind="session", pid=11, database="shop", xid_age=None, backend_type="logical replication worker"),
    ]
    found = facts(wraparound.SECTION, holders=holders)
    assert (found["horizon_xid_age"], found["horizon"]["kind"], found["horizon"]["name"]) == (
        90000,
        "replication slot",
        "lost",
    )
    shown = {each["name"]: each["fix"] for each in found["holders"]}
    assert shown == {
        "lost": "Bring its consumer back, or drop the slot if nobody needs it any more.",
        "pid 7 (worker on shop)": "End its transaction in the application, or terminate the session.",
        "order 1": "In database shop: COMMIT PREPARED or ROLLBACK PREPARED 'order 1'.",
        "standby replica (pid 9)": "End the long query on the standby, or switch hot_standby_feedback off there.",
        "pid 11 (logical replication worker on shop)": "Wait until it is done.",
    }


def test_without_privilege_the_horizon_is_unknown() -> None:
    found = facts(wraparound.SECTION, Capabilities(150000), holders=[])
    assert (found["horizon"], found["horizon_xid_age"]) == (None, None)


# --- settings
@pytest.mark.parametrize(
    ("text", "vartype", "unit", "expected"),
    [
        ("16384", "integer", "8kB", (134217728, "bytes")),
        ("-1", "integer", "kB", (-1, "bytes")),
        ("4096", "integer", "kB", (4194304, "bytes")),
        ("1024", "integer", "MB", (1073741824, "bytes")),
        ("1024", "integer", "B", (1024, "bytes")),
        ("60000", "integer", "ms", (60.0, "seconds")),
        ("5", "integer", "min", (300.0, "seconds")),
        ("300", "integer", "s", (300.0, "seconds")),
        ("0", "integer", "ms", (0.0, "seconds")),
        ("2", "real", "ms", (0.002, "seconds")),
        ("0.9", "real", None, (0.9, None)),
        ("100", "integer", None, (100, None)),
        ("on", "bool", None, (True, None)),
        ("off", "bool", None, (False, None)),
        ("replica", "enum", None, ("replica", None)),
        ("Asia/Seoul", "string", None, ("Asia/Seoul", None)),
        (None, "string", None, (None, None)),
    ],
)
def test_settings_as_numbers(text: str | None, vartype: str, unit: str | None, expected: tuple[Any, Any]) -> None:
    assert settings.typed(text, vartype, unit) == expected


def setting(name: str, value: str, vartype: str = "bool", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "vartype": vartype,
        "unit": None,
        "source": "default",
        "pending_restart": False,
        **more,
    }


def test_dangerous_settings() -> None:
    found = facts(
        settings.SECTION,
        settings=[
            setting("fsync", "off"),
            setting("autovacuum", "on"),
            setting("password_encryption", "md5", "enum"),
            setting("max_connections", "200", "integer", pending_restart=True),
            setting("some_extension.secret", "x", "string"),
        ],
        preloaded=[{"value": 'pg_stat_statements, "auto_explain"'}],
    )
    assert [each["name"] for each in found["dangerous"]] == ["fsync"]
    assert [each["name"] for each in found["advice"]] == ["password_encryption"]
    assert found["pending_restart"] == [{"name": "max_connections", "value": "200"}]
    assert set(found["parameters"]) == {"fsync", "autovacuum", "password_encryption", "max_connections"}
    assert found["parameters"]["max_connections"] == {
        "value": 200,
        "unit": None,
        "source": "default",
        "pending_restart": True,
    }
    assert found["shared_preload_libraries"] == ["pg_stat_statements", "auto_explain"]


def test_empty_preload_list_and_hidden_one() -> None:
    assert facts(settings.SECTION, preloaded=[{"value": ""}])["shared_preload_libraries"] == []
    assert facts(settings.SECTION, preloaded=[])["shared_preload_libraries"] is None
    (skip,) = settings.SECTION.skips(Capabilities(150000, quoted_user="app"), Answers({"preloaded": []}))
    assert skip.remedy == "GRANT pg_read_all_settings TO app;"


# --- replication
@pytest.mark.parametrize(
    ("names", "sync_state", "missing"),
    [("", "async", False), ("replica", "async", True), ("replica", "sync", False), ("ANY 1 (*)", "quorum", False)],
)
def test_synchronous_standby_missing(names: str, sync_state: str, missing: bool) -> None:
    found = facts(
        replication.SECTION,
        settings=[{"synchronous_standby_names": names, "max_slot_wal_keep_mb": -1}],
        standbys=[row(state="streaming", sync_state=sync_state, replay_lag_bytes=5, replay_lag_seconds=None)],
        slots=[],
    )
    assert found["is_synchronous_missing"] is missing
    assert (found["standby_count"], found["max_replay_lag_bytes"], found["max_replay_lag_seconds"]) == (1, 5, 0.0)
    assert found["max_slot_wal_keep_size_bytes"] is None


def test_a_running_backup_is_no_standby() -> None:
    found = facts(replication.SECTION, standbys=[row(state="backup", sync_state="async")])
    assert (found["standby_count"], found["max_replay_lag_bytes"], len(found["standbys"])) == (0, 0, 1)


def test_slots() -> None:
    slots = [
        row(name="gone", is_active=False, is_temporary=False, wal_status="lost", retained_bytes=None),
        row(
            name="idle",
            is_active=False,
            is_temporary=False,
            wal_status="extended",
            retained_bytes=9,
            inactive_since=ago(60),
        ),
        row(name="busy", is_active=True, is_temporary=False, wal_status="reserved", retained_bytes=1),
        row(name="brief", is_active=False, is_temporary=True, wal_status="reserved", retained_bytes=1),
        row(
            name="dead", is_active=False, is_temporary=False, wal_status="reserved", invalidation_reason="rows_removed"
        ),
    ]
    found = facts(
        replication.SECTION, settings=[{"synchronous_standby_names": "", "max_slot_wal_keep_mb": 10}], slots=slots
    )
    assert (found["slot_count"], found["inactive_slot_count"], found["lost_slot_count"]) == (5, 3, 2)
    assert (found["max_retained_bytes"], found["max_slot_wal_keep_size_bytes"]) == (9, 10485760)
    assert found["slots"][1]["inactive_seconds"] == 60.0


# --- databases


def database(oid: int, name: str, **more: Any) -> dict[str, Any]:
    values = {
        "xact_commit": 90,
        "xact_rollback": 10,
        "blks_hit": 99,
        "blks_read": 1,
        "temp_bytes": 3600,
        "connection_limit": -1,
        "xid_age": 1,
        "server_stats_reset": ago(7200),
    }
    return row(oid=oid, name=name, **{**values, **more})


def test_databases() -> None:
    found = facts(
        databases.SECTION,
        statistics=[
            database(1, "small"),
            database(2, "shop", is_current=True, stats_reset=ago(3600)),
            database(3, "broken", connection_limit=-2, xact_commit=None, blks_hit=0, blks_read=0),
        ],
        sizes=[{"oid": 1, "size_bytes": 10}, {"oid": 2, "size_bytes": 30}, {"oid": 3, "size_bytes": 20}],
        top=2,
    )
    assert [each["name"] for each in found["list"]] == ["shop", "broken"]
    assert (found["count"], found["truncated"], found["total_size_bytes"]) == (3, True, 60)
    current = found["current"]
    assert (current["rollback_percent"], current["cache_hit_percent"]) == (10.0, 99.0)
    assert (current["temp_bytes_per_hour"], current["stats_age_seconds"]) == (3600.0, 3600.0)
    broken = found["list"][1]
    assert (broken["is_invalid"], broken["rollback_percent"], broken["cache_hit_percent"]) == (True, None, None)
    assert (broken["stats_reset_at"], broken["stats_age_seconds"]) == (None, 7200.0)


def test_an_unreadable_size_makes_the_total_unknown() -> None:
    sizes = [{"oid": 1, "size_bytes": 10}, {"oid": 2, "size_bytes": None}]
    found = facts(databases.SECTION, statistics=[database(1, "a"), database(2, "b")], sizes=sizes)
    assert found["total_size_bytes"] is None
    assert databases.SECTION.skips(ALL, Answers({"sizes": sizes}))[0].section == "databases"
    assert databases.SECTION.skips(ALL, Answers({"sizes": sizes[:1]})) == []


# --- tables
def test_table_lists() -> None:
    common = {
        "schema": "public",
        "all_count": 3,
        "all_bytes": 5,
        "all_live_rows": 7,
        "all_dead_rows": 9,
        "vacuum_due_count": 1,
        "analyze_due_count": 0,
        "never_analyzed_count": 0,
        "disabled_count": 0,
        "with_dead_rows_count": 1,
        "sequentially_read_count": 1,
        "relkind": "r",
        "relispartition": False,
        "total_bytes": 5,
    }
    found = facts(
        tables.SECTION,
        tables=[
            row(
                ranking="dead_rows",
                name="Dead",
                live_rows=50,
                dead_rows=150,
                vacuum_threshold=100.0,
                autovacuum_enabled=False,
                **common,
            ),
            row(
                ranking="vacuum_due",
                name="Dead",
                dead_rows=150,
                vacuum_threshold=100.0,
                inserted_rows=0,
                vacuum_score=1.5,
                is_dead_due=True,
                autovacuum_enabled=False,
                **common,
            ),
            row(
                ranking="sequential_scans",
                name="hot",
                live_rows=1000,
                sequential_scans=90,
                sequential_rows=90000,
                index_scans=10,
                index_count=1,
                **common,
            ),
            *(row(ranking="largest", name=name, live_rows=0, **common) for name in ("a", "b", "c")),
        ],
        partitioned=[],
    )
    (dead,) = found["dead_rows"]
    assert (dead["dead_percent"], dead["vacuum_threshold_percent"], dead["last_vacuum_age_seconds"]) == (
        75.0,
        150.0,
        None,
    )
    assert found["vacuum_due"][0]["cause"] == "dead rows"
    (hot,) = found["sequential_scans"]
    assert (hot["sequential_scans_per_hour"], hot["rows_per_scan"], hot["full_reads"]) == (9.0, 1000.0, 90.0)
    assert hot["sequential_percent"] == 90.0
    assert (found["count"], found["truncated"]) == (3, False)


def test_no_table_at_all() -> None:
    totals = {
        "all_count": 0,
        "all_bytes": 0,
        "vacuum_due_count": 0,
        "analyze_due_count": 0,
        "never_analyzed_count": 0,
        "with_dead_rows_count": 0,
        "sequentially_read_count": 0,
        "disabled_count": 0,
        "ranking": None,
    }
    found = facts(tables.SECTION, tables=[totals], partitioned=[])
    assert (found["count"], found["largest"], found["truncated"]) == (0, [], False)


# --- indexes
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orders_pkey_ccnew", "ccnew"),
        ("orders_pkey_ccnew1", "ccnew"),
        ("orders_pkey_ccold12", "ccold"),
        ("orders_ccnew_at", None),
        ("my_ccnews", None),
        ("orders_id_idx", None),
    ],
)
def test_leftovers_of_reindex(name: str, expected: str | None) -> None:
    assert indexes.leftover(name) == expected


def test_progress_nobody_may_see_is_unknown() -> None:
    totals = {
        "all_count": 1,
        "all_bytes": 0,
        "unused_count": 0,
        "unused_bytes": 0,
        "invalid_count": 1,
        "building_count": 0,
    }
    rows = [row(ranking="invalid", name="i", **{**totals, "is_building": False})]
    assert facts(indexes.SECTION, indexes=rows)["invalid"][0]["is_building"] is False
    poor = facts(indexes.SECTION, Capabilities(150000), indexes=rows)
    assert (poor["invalid"][0]["is_building"], poor["standby_count"]) == (None, None)


# --- statements
def test_statements() -> None:
    common = {"entries": 2, "all_calls": 200, "all_ms": 1000.0, "shared_blks_hit": 3, "shared_blks_read": 1}
    found = facts(
        statements.SECTION,
        statements=[
            row(
                ranking="by_total_time", query="SELECT 'x'", calls=50, total_ms=750.0, mean_ms=15.0, rows=500, **common
            ),
            row(
                ranking="by_calls",
                query="<insufficient privilege>",
                calls=0,
                total_ms=0.0,
                mean_ms=0.0,
                rows=0,
                **common,
            ),
        ],
        evictions=[{"evicted": 7, "stats_reset": ago(3600), "now": NOW}],
        maximum=[{"max_entries": 5000}],
    )
    (first,) = found["by_total_time"]
    assert (first["query"], first["calls_percent"], first["total_percent"]) == ("SELECT ?", 25.0, 75.0)
    assert (first["rows_per_call"], first["cache_hit_percent"]) == (10.0, 75.0)
    (hidden,) = found["by_calls"]
    assert (hidden["query"], hidden["rows_per_call"]) == (None, None)
    assert (found["entries"], found["evicted_total"], found["stats_age_seconds"]) == (2, 7, 3600.0)


# --- sequences
def test_sequences_that_may_not_be_read() -> None:
    rows = [
        row(
            is_readable=False,
            far_end=9,
            last_possible=5,
            total=1,
            unreadable=1,
            unreadable_schemas='public, "S"',
            max_used_percent=None,
        )
    ]
    found = facts(sequences.SECTION, sequences=rows)
    (shown,) = found["list"]
    assert (shown["is_used"], shown["used_percent"], shown["limit_source"]) == (None, None, "column")
    (skip,) = sequences.SECTION.skips(Capabilities(150000, quoted_user="mon"), Answers({"sequences": rows}))
    assert skip.reason == "The role may not read 1 of 1 sequences."
    assert skip.remedy == 'GRANT SELECT ON ALL SEQUENCES IN SCHEMA public, "S" TO mon;'
    assert facts(sequences.SECTION, sequences=[])["max_used_percent"] == 0.0


# --- roles and row level security
def test_roles() -> None:
    found = facts(
        roles.SECTION,
        roles=[
            row(
                name="postgres",
                is_bootstrap=True,
                rolsuper=True,
                rolcanlogin=True,
                rolcreaterole=True,
                never_expires=True,
            ),
            row(name="boss", rolsuper=True, rolcanlogin=True, never_expires=True),
            row(name="app", rolcanlogin=True, rolcreatedb=True, never_expires=False, is_expired=True),
            row(name="group", rolbypassrls=True, never_expires=True),
        ],
        memberships=[{"role": "pg_read_server_files", "member": "app", "can_login": True}],
        public_schemas=[{"name": "public"}],
    )
    assert (found["count"], found["login_count"], found["superuser_count"]) == (4, 3, 2)
    assert (found["other_superusers"], found["expired"]) == (["boss"], ["app"])
    assert (found["no_expiry"], found["no_expiry_count"]) == (["postgres", "boss"], 2)
    assert (found["can_create_roles"], found["can_create_databases"], found["bypass_rls"]) == ([], ["app"], ["group"])
    assert found["dangerous_memberships"][0]["reason"] == "May read any file of the server's account."
    assert found["public_create_schemas"] == ["public"]


POLICY = {
    "schema": "public",
    "table": "t",
    "name": "p",
    "roles": ["PUBLIC"],
    "is_permissive": True,
    "has_using": True,
    "has_check": False,
    "using_true": False,
    "check_true": False,
    "command": "r",
}


@pytest.mark.parametrize(
    ("policy", "clause", "unchecked"),
    [
        ({}, None, False),
        ({"using_true": True}, "USING", False),
        ({"using_true": True, "is_permissive": False}, None, False),
        ({"command": "a", "has_using": False, "has_check": True, "check_true": True}, "WITH CHECK", False),
        ({"command": "*", "using_true": True, "has_check": True, "check_true": True}, "both", False),
        ({"command": "*"}, None, True),
        ({"command": "w"}, None, True),
        ({"command": "w", "is_permissive": False}, None, False),
        ({"command": "w", "has_check": True}, None, False),
        ({"command": "d"}, None, False),
    ],
)
def test_policies(policy: dict[str, Any], clause: str | None, unchecked: bool) -> None:
    found = facts(rls.SECTION, policies=[{**POLICY, **policy}])
    assert [each["clause"] for each in found["always_true"]] == ([clause] if clause else [])
    assert found["without_check_count"] == int(unchecked)


# --- checksums, extensions, collations
@pytest.mark.parametrize(
    ("setting_value", "failures", "total"),
    [("on", [], 0), ("on", [3, 0, 2], 5), ("off", [], None), ("off", [0], None)],
)
def test_checksums(setting_value: str, failures: list[int], total: int | None) -> None:
    rows = [row(name=f"db{number}", failures=count, last_failure=ago(60)) for number, count in enumerate(failures)]
    found = facts(checksums.SECTION, enabled=[{"data_checksums": setting_value}], failures=rows)
    assert (found["is_enabled"], found["failures_total"]) == (setting_value == "on", total)
    assert len(found["databases"]) == len([count for count in failures if count])


@pytest.mark.parametrize(
    ("offered", "installed", "newer"),
    [
        ("1.10", "1.9", True),
        ("1.9", "1.10", False),
        ("1.10", "1.10", False),
        ("3.4.1", "3.4", True),
        ("3.4.0dev", "3.3.9", True),
        (None, "1.0", False),
        ("0.6.2", "0.6.2", False),
    ],
)
def test_newer_extensions(offered: str | None, installed: str, newer: bool) -> None:
    given = {"name": "x", "schema": "public", "version": installed, "default_version": offered}
    found = facts(extensions.SECTION, extensions=[given])
    assert (found["list"][0]["is_outdated"], found["outdated_count"]) == (newer, int(newer))


def test_collation_drift() -> None:
    recording = Capabilities(150000, columns={"pg_database": frozenset({"datcollversion"})})
    found = facts(
        collations.SECTION,
        recording,
        databases=[
            {"name": "shop", "provider": "c", "recorded": "2.31", "actual": "2.36", "is_current": True},
            {"name": "other", "provider": "c", "recorded": "2.36", "actual": "2.36", "is_current": False},
            {"name": "plain", "provider": "c", "recorded": None, "actual": None, "is_current": False},
        ],
        collations=[{"schema": "public", "name": "ko", "provider": "i", "recorded": "153.14", "actual": "153.120"}],
        affected=[{"schema": "public", "table": "t", "name": "i", "size_bytes": 8192, "total": 1}],
    )
    assert [(each["kind"], each["name"], each["provider"]) for each in found["drifted"]] == [
        ("database", "shop", "libc"),
        ("collation", "ko", "icu"),
    ]
    assert (found["default_recorded_version"], found["default_version"]) == ("2.31", "2.36")
    assert (found["is_default_checked"], found["affected_index_count"]) == (True, 1)


@pytest.mark.parametrize(("actual", "checked"), [("2.36", False), (None, True)])
def test_before_15_a_drift_of_the_default_collation_cannot_be_seen(actual: str | None, checked: bool) -> None:
    found = facts(collations.SECTION, Capabilities(140000), collations=[], default=[{"actual": actual}], affected=[])
    assert (found["is_default_checked"], found["drifted_count"], found["default_version"]) == (checked, 0, actual)
