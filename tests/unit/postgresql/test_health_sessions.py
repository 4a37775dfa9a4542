"""Connections and sessions: what counts, and from when an age counts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import connections, sessions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import Answers, Limits

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)
ALL = Capabilities(160000, reads_stats=True)


class Row(dict[str, Any]):
    """A row of the driver; columns a test does not name are NULL."""

    def __missing__(self, _column: str) -> None:
        return None


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def client(count: int, state: str | None, since: float | None = 0, **more: Any) -> dict[str, Any]:
    names = {"database": "shop", "user": "app", "application": "web", "waiting": 0}
    change = None if since is None else ago(since)
    return {**names, "count": count, "state": state, "oldest_state_change": change, "now": NOW, **more}


def connection_facts(
    *clients: dict[str, Any],
    settings: dict[str, Any] | None = None,
    caps: list[dict[str, Any]] | None = None,
    prepared: list[dict[str, Any]] | None = None,
    capabilities: Capabilities = ALL,
    top: int = 20,
) -> dict[str, Any]:
    given = {"max": 100, "superuser_reserved": 3, "reserved": None, "max_prepared_transactions": 0}
    answers = Answers(
        {
            "settings": [{**given, **(settings or {})}],
            "clients": list(clients),
            "processes": [{"processes": 9}],
            "caps": caps or [],
            "prepared": prepared or [],
        }
    )
    return connections.SECTION.facts(answers, capabilities, Limits(top=top))


@pytest.mark.parametrize(
    ("reserved", "usable", "used_percent", "free"),
    [(None, 97, 50.52, 48), (0, 97, 50.52, 48), (10, 87, 56.32, 38)],
)
def test_usable_is_without_both_reserves(reserved: int | None, usable: int, used_percent: float, free: int) -> None:
    facts = connection_facts(client(40, "idle"), client(9, "active"), settings={"reserved": reserved})
    assert (facts["used"], facts["usable"], facts["used_percent"], facts["free"]) == (49, usable, used_percent, free)
    assert facts["reserved"] == reserved


def test_using_the_reserve_is_above_100_percent() -> None:
    facts = connection_facts(client(99, "active"))
    assert (facts["used_percent"], facts["free"]) == (102.06, 0)


def test_states() -> None:
    facts = connection_facts(
        client(2, "active", waiting=1),
        client(30, "idle", 900),
        client(3, "idle in transaction", 1200, application="worker"),
        client(1, "idle in transaction (aborted)", 60, application="worker"),
    )
    assert (facts["active"], facts["idle"], facts["idle_in_transaction"], facts["waiting"]) == (2, 30, 4, 1)
    assert (facts["idle_in_transaction_oldest_seconds"], facts["idle_oldest_seconds"]) == (1200.0, 900.0)
    assert facts["by_state"][0] == {"state": "idle", "count": 30}
    assert facts["by_application"] == [
        {"name": "web", "count": 32, "idle_in_transaction": 0},
        {"name": "worker", "count": 4, "idle_in_transaction": 4},
    ]


def test_nobody_idle_is_zero_and_unknown_state_is_counted() -> None:
    facts = connection_facts(client(1, None, None))
    assert facts["idle_in_transaction_oldest_seconds"] == 0.0
    assert facts["by_state"] == [{"state": "unknown", "count": 1}]


def test_limits_of_roles_and_databases() -> None:
    caps = [
        {"kind": "database", "name": "shop", "connection_limit": 20},
        {"kind": "user", "name": "shop", "connection_limit": 1},
    ]
    facts = connection_facts(client(5, "idle"), caps=caps)
    assert facts["by_database"] == [{"name": "shop", "count": 5, "limit": 20, "limit_percent": 25.0}]
    assert facts["by_user"] == [{"name": "app", "count": 5, "limit": None, "limit_percent": None}]


def test_without_privilege_states_are_unknown_and_used_is_not() -> None:
    facts = connection_facts(client(7, None, None, application=""), capabilities=Capabilities(150000))
    assert (facts["used"], facts["used_is_exact"], facts["used_percent"]) == (7, False, 7.22)
    for name in ("active", "idle", "idle_in_transaction", "waiting", "by_state", "by_application"):
        assert facts[name] is None
    (skip,) = connections.SECTION.skips(Capabilities(150000, quoted_user='"Mon"'), Answers({}))
    assert skip.remedy == 'GRANT pg_monitor TO "Mon";'
    assert connections.SECTION.skips(ALL, Answers({})) == []


def test_prepared_transactions() -> None:
    row = {"gid": "order 1", "database": "shop", "owner": "app", "prepared_at": ago(7200), "xid_age": 12, "now": NOW}
    facts = connection_facts(prepared=[{**row, "total": 3}], top=1)
    assert (facts["prepared_count"], facts["prepared_oldest_seconds"], facts["truncated"]) == (3, 7200.0, True)
    assert facts["prepared"][0]["prepared_at"] == "2026-01-30T22:00:00Z"


def session_row(ranking: str, **more: Any) -> dict[str, Any]:
    return Row(ranking=ranking, now=NOW, **more)


def test_idle_counts_from_the_last_change_of_state_not_from_the_statement() -> None:
    """A session that answered a ten-minute report a second ago is not ten minutes idle."""
    row = session_row("idle", state="idle", query_start=ago(600), state_change=ago(1))
    shown = sessions.session(row)
    assert (shown["state_age_seconds"], shown["query_age_seconds"]) == (1.0, 600.0)


def test_session_is_null_safe() -> None:
    shown = sessions.session(session_row("idle"))
    assert shown["state_age_seconds"] is None
    assert shown["transaction_age_seconds"] is None
    assert shown["query"] is None


def test_query_id_is_text_because_json_readers_round() -> None:
    assert sessions.session(session_row("active", query_id=-6439455395915607439))["query_id"] == "-6439455395915607439"


def test_session_lists() -> None:
    group = {"application": "web", "user": "app", "database": "shop", "now": NOW}
    groups = [
        {**group, "count": 3, "active": 1, "idle": 2, "idle_in_transaction": 0,
         "idle_since": ago(50), "idle_in_transaction_since": None},
        {**group, "application": "worker", "count": 1, "active": 0, "idle": 0, "idle_in_transaction": 1,
         "idle_since": None, "idle_in_transaction_since": ago(1200)},
    ]  # fmt: skip
    rows = [
        session_row("active", pid=1, state="active", query_start=ago(9), xact_start=ago(10)),
        session_row(
            "idle_in_transaction", pid=2, state="idle in transaction", state_change=ago(1200), xact_start=ago(1300)
        ),
        session_row("idle", pid=3, state="idle", state_change=ago(50)),
        session_row("oldest_transaction", pid=2, state="idle in transaction", xact_start=ago(1300)),
    ]
    facts = sessions.SECTION.facts(Answers({"sessions": rows, "groups": groups}), ALL, Limits())
    assert (facts["total_count"], facts["active_count"], facts["idle_count"]) == (4, 1, 2)
    assert facts["idle_in_transaction_count"] == 1
    assert (facts["oldest_query_seconds"], facts["oldest_transaction_seconds"]) == (9.0, 1300.0)
    assert (facts["idle_in_transaction_oldest_seconds"], facts["idle_oldest_seconds"]) == (1200.0, 50.0)
    assert facts["oldest_transaction"]["pid"] == 2
    assert [each["application"] for each in facts["by_application"]] == ["worker", "web"]
    # Two are idle and one is listed.
    assert facts["truncated"] is True


def test_without_privilege_nothing_is_asked_and_nothing_is_zero() -> None:
    poor = Capabilities(150000)
    assert sessions.SECTION.queries(poor) == []
    facts = sessions.SECTION.facts(Answers({}), poor, Limits())
    assert {facts["idle_in_transaction_count"], facts["oldest_query_seconds"], facts["oldest_transaction_seconds"]} == {
        None
    }
    assert sessions.SECTION.skips(poor, Answers({}))[0].section == "sessions"
