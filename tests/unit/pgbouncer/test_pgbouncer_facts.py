"""The console's answers of several versions as facts: what a version does not show is unknown, never 0."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer import figures, model
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.collect import COMMANDS, facts, pgbouncer_info
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.database import plan

OPTIONS: dict[str, Any] = {"sample_seconds": 0.0, "quiet_after": 60.0, "top": 2, "statement_timeout": 5.0}
CONSOLE = {"database": "pgbouncer", "user": "pgbouncer"}
POOL = {
    "database": "shop",
    "user": "app",
    "cl_active": 5,
    "cl_waiting": 3,
    "sv_active": 2,
    "sv_idle": 0,
    "sv_used": 1,
    "sv_tested": 0,
    "sv_login": 0,
    "maxwait": 7,
    "maxwait_us": 250000,
    "pool_mode": "transaction",
}
POOLS = {
    "1.16": {**POOL, "cl_cancel_req": 1},
    "1.18": {**POOL, "cl_active_cancel_req": 1, "cl_waiting_cancel_req": 2, "sv_active_cancel": 1}
    | {"sv_being_canceled": 1},
    "1.24": {**POOL, "cl_active_cancel_req": 0, "cl_waiting_cancel_req": 0, "sv_active_cancel": 0}
    | {"sv_being_canceled": 0, "load_balance_hosts": None},
}
DATABASE = {
    "name": "shop",
    "host": "db1",
    "port": 5432,
    "database": "shop_prod",
    "force_user": None,
    "pool_size": 20,
    "min_pool_size": 0,
    "pool_mode": None,
    "max_connections": 0,
    "current_connections": 3,
    "paused": 0,
    "disabled": 1,
}
DATABASES = {
    "1.16": {key: value for key, value in DATABASE.items() if key != "min_pool_size"} | {"reserve_pool": 5},
    "1.18": DATABASE | {"reserve_pool": 5},
    "1.24": DATABASE
    | {"reserve_pool_size": 5, "max_client_connections": 40, "current_client_connections": 8}
    | {"server_lifetime": 3600, "load_balance_hosts": "round-robin"},
}


def answers(**given: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COMMANDS), **given}


@pytest.mark.parametrize(
    ("version", "cancelling", "count", "cancelled"), [("1.16", 1, 3, None), ("1.18", 3, 5, 1), ("1.24", 0, 3, 0)]
)
def test_pools_of_every_version(version: str, cancelling: int, count: int, cancelled: int | None) -> None:
    rows = [{**CONSOLE, "cl_active": 1}, POOLS[version]]
    users = [{"name": "app", "pool_size": 4}] if version == "1.24" else [{"name": "app", "pool_mode": None}]
    found = facts(
        answers(pools=rows, databases=[{"name": "pgbouncer"}, DATABASES[version]], users=users), None, None, OPTIONS
    )
    [pool], [database] = found["pools"], found["databases"]
    assert (pool["clients_waiting"], pool["max_wait_seconds"]) == (3, 7.25)
    assert (pool["clients_cancelling"], pool["server_count"]) == (cancelling, count)
    assert pool["servers"]["being_canceled"] == cancelled
    # A user's own size goes before the database's.
    size = 4 if version == "1.24" else 20
    assert (pool["size"], pool["reserve"], pool["most"], pool["is_full"]) == (size, 5, size + 5, False)
    assert (pool["clients_quiet"], pool["quiet_percent"]) == (None, None)
    assert (database["is_paused"], database["is_disabled"], database["max_connections"]) == (False, True, None)
    assert database["has_limit"] is False
    assert database["current_client_connections"] == (8 if version == "1.24" else None)
    assert found["totals"]["servers"]["reached"] == [
        {"host": "db1", "port": 5432, "databases": ["shop"], "open": count, "most": size + 5}
    ]
    assert found["totals"]["clients"] == {
        "connected": None,
        "max": None,
        "used_percent": None,
        "waiting": 3,
        "longest_wait_seconds": 7.25,
    }


def test_nothing_read_is_nothing_known() -> None:
    found = facts(answers(), None, None, OPTIONS)
    assert {name: found[name] for name in ("version", "config", "databases", "pools", "clients", "stats")} == {
        "version": None,
        "config": None,
        "databases": None,
        "pools": None,
        "clients": None,
        "stats": None,
    }
    assert found["totals"]["servers"] == {"open": None, "most": None, "reached": None}


def test_a_database_s_limit_caps_its_pools_and_one_unknown_size_makes_the_sum_unknown() -> None:
    pools = [POOLS["1.18"], {**POOLS["1.18"], "user": "batch"}, {**POOLS["1.18"], "database": "archive"}]
    databases = [
        {**DATABASES["1.18"], "max_connections": 30},
        {**DATABASES["1.18"], "name": "archive"},
        {**DATABASES["1.18"], "name": "elsewhere", "host": "db2"},
    ]
    found = facts(answers(pools=pools, databases=databases), None, None, OPTIONS)
    # Twice 25 capped at 30, and 25; nobody has asked for the third.
    assert [(each["host"], each["most"]) for each in found["totals"]["servers"]["reached"]] == [("db1", 55), ("db2", 0)]
    assert found["totals"]["servers"]["most"] == 55
    del databases[1]["pool_size"]
    found = facts(answers(pools=pools, databases=databases), None, None, OPTIONS)
    assert found["totals"]["servers"]["most"] is None


@pytest.mark.parametrize(
    ("rows", "version", "number"),
    [
        ([{"version": "PgBouncer 1.18.0"}], "PgBouncer 1.18.0", 11800),
        ([{"version": "PgBouncer 1.24.1-fips"}], "PgBouncer 1.24.1-fips", 12401),
        ([{"version": "something else"}], "something else", None),
        (None, None, None),
    ],
)
def test_versions(rows: Any, version: str | None, number: int | None) -> None:
    assert model.version(rows) == {"version": version, "version_num": number}


def test_settings_are_numbers_and_one_that_is_not_there_is_unknown() -> None:
    rows = [
        {"key": "auth_type", "value": "trust"},
        {"key": "max_client_conn", "value": "100"},
        {"key": "query_wait_timeout", "value": "0"},
        {"key": "server_idle_timeout", "value": "0.5"},
        {"key": "so_reuseport", "value": "1"},
    ]
    found = model.config(rows)
    assert found is not None
    assert (found["accepts_anybody"], found["is_one_of_several"], found["pool_mode"]) == (True, True, None)
    assert (found["max_client_conn"], found["query_wait_timeout_seconds"]) == (100, 0)
    assert (found["server_idle_timeout_seconds"], found["max_prepared_statements"]) == (0.5, None)


def test_quiet_clients_are_those_that_hold_a_connection() -> None:
    def client(request: str, link: str = "0x1", state: str = "active", **more: Any) -> dict[str, Any]:
        return {"database": "shop", "user": "app", "request_time": request, "link": link, "state": state, **more}

    rows = [
        client("2026-01-31 09:00:00 KST", addr="10.0.0.1", application_name="api"),
        client("2026-01-31 09:09:30 KST", addr="10.0.0.1", application_name="api", state="waiting"),
        # Idles without holding anything, as it should in transaction pooling.
        client("2026-01-31 08:00:00 KST", link="", addr="10.0.0.2"),
        # Our own request is now.
        {**CONSOLE, "request_time": "2026-01-31 09:10:00 KST", "link": "", "state": "active", "addr": "10.0.0.9"},
    ]
    assert model.quiet_clients(rows, 60)["shop", "app"] == {"quiet": 1, "longest": 600.0}  # type: ignore[index]
    assert model.applications(rows, 1) == [{"name": "api", "address": "10.0.0.1", "clients": 2, "waiting": 1}]
    assert [each["name"] for each in model.applications(rows, 5) or []] == ["api", None]


def test_avg_wait_time_is_no_time_of_a_query() -> None:
    """PgBouncer's average of ten seconds of waiting in one second, with 100 queries in it: 100 ms each, not 10 s."""
    row = {"database": "shop", "avg_query_count": 100, "avg_xact_count": 50, "avg_query_time": 2500}
    row |= {"avg_xact_time": 5000, "avg_wait_time": 10_000_000}
    assert figures.stats([{"database": "pgbouncer"}, row], None, None) == [
        {
            "database": "shop",
            "queries_per_second": 100,
            "transactions_per_second": 50,
            "query_ms": 2.5,
            "transaction_ms": 5.0,
            "wait_ms_per_second": 10000.0,
            "wait_ms_per_query": 100.0,
        }
    ]


def test_rates_between_two_readings_survive_a_restart() -> None:
    def reading(queries: int, wait: int) -> dict[str, Any]:
        return {
            "database": "shop",
            "total_query_count": queries,
            "total_xact_count": queries,
            "total_query_time": queries * 1000,
            "total_xact_time": queries * 1000,
            "total_wait_time": wait,
        }

    [found] = figures.stats([reading(100, 0)], [reading(300, 400_000)], 2.0) or []
    assert (found["queries_per_second"], found["query_ms"]) == (100, 1)
    assert (found["wait_ms_per_second"], found["wait_ms_per_query"]) == (200, 2)
    [found] = figures.stats([reading(100, 0)], [reading(50, 0)], 2.0) or []
    assert (found["queries_per_second"], found["wait_ms_per_query"]) == (25, 0)
    [found] = figures.stats([reading(100, 0)], [reading(100, 0)], 2.0) or []
    assert (found["queries_per_second"], found["query_ms"], found["wait_ms_per_query"]) == (0, None, 0)


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [
        ("sample_seconds", -1.0, "seconds from 0 to 60"),
        ("sample_seconds", 61.0, "seconds from 0 to 60"),
        ("quiet_after", 0.0, "at least 1"),
        ("statement_timeout", 0.0, "at least 1"),
        ("top", -1, "at least 0"),
    ],
)
def test_bad_options_are_refused_before_connecting(option: str, value: float, accepted: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        pgbouncer_info({**OPTIONS, option: value})
    assert caught.value.message == f"{option}: {value!r} is not accepted. Accepted: {accepted}."


@pytest.mark.parametrize(
    ("state", "paused", "disabled", "active", "commands"),
    [
        ("paused", False, False, 0, ["PAUSE"]),
        ("paused", True, False, 0, []),
        # A run that was killed while clients were at work.
        ("paused", True, False, 2, ["PAUSE"]),
        ("paused", True, False, None, ["PAUSE"]),
        ("resumed", True, True, 0, ["RESUME"]),
        ("resumed", False, True, 3, []),
        ("disabled", True, False, 0, ["DISABLE"]),
        ("enabled", True, True, 0, ["ENABLE"]),
        ("enabled", True, False, 0, []),
        # Not known is not so.
        ("enabled", True, None, 0, ["ENABLE"]),
    ],
)
def test_the_plan_of_a_change(state: str, paused: Any, disabled: Any, active: Any, commands: list[str]) -> None:
    assert plan(state, {"is_paused": paused, "is_disabled": disabled, "servers_active": active}) == commands
