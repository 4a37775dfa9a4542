"""What becomes of the sessions that were found."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.access import full_advice
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import (
    Request,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.plan import (
    check_limit,
    describe,
    make_plan,
    shown,
    spoken,
)
from ansible_collections.runbook.ops.plugins.modules.postgresql_session import argument_spec

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)


def request(**given: Any) -> Request:
    defaults = {name: option.get("default") for name, option in argument_spec().items()}
    return request_from({**defaults, "state": "terminated", "user": ["app"], **given})


def row(pid: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "pid": pid, "database": "shop", "user": "app", "application": "web", "client_address": None,
        "state": "idle in transaction", "backend_start": NOW - dt.timedelta(hours=3),
        "xact_start": NOW - dt.timedelta(minutes=20), "query_start": NOW - dt.timedelta(minutes=20),
        "state_change": NOW - dt.timedelta(minutes=20), "wait_event_type": "Client", "wait_event": "ClientRead",
        "xmin_age": 12, "query_id": None, "query": "SELECT * FROM users WHERE mail = 'a@b.c'",
        "backend_type": "client backend", "leader_pid": None, "prevents_wraparound": False, "is_hidden": False,
        "blocked_count": 0, "is_waiting": False, "is_superuser": False, "signals_others": True, "may_signal": True,
        "protection": None, "now": NOW, **more,
    }  # fmt: skip


def test_a_victim_is_described_without_its_literals() -> None:
    plan = make_plan([row()], request(), login="operator")
    assert [describe(each) for each in plan.victims] == ["pid 7 (web, app@shop, idle in transaction for 20m)"]
    assert shown(plan.victims[0])["query"] == "SELECT * FROM users WHERE mail = ?"
    assert shown(plan.victims[0])["transaction_age_seconds"] == 1200.0


@pytest.mark.parametrize(
    ("state", "found", "action", "cancel_first"),
    [
        ("terminated", "idle in transaction", "terminate", False),
        ("terminated", "active", "terminate", True),
        ("canceled", "active", "cancel", False),
    ],
)
def test_actions(state: str, found: str, action: str, cancel_first: bool) -> None:
    made = request(state=state)
    plan = make_plan([row(state=found)], made, login="operator")
    assert plan.actions(made) == [
        {"action": action, "pid": 7, "backend_started_at": "2026-01-30T21:00:00Z", "cancel_first": cancel_first}
    ]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (
            {"protection": "background", "backend_type": "autovacuum worker", "prevents_wraparound": True},
            "autovacuum that prevents transaction id wraparound, without which all writes would stop",
        ),
        (
            {"protection": "background", "backend_type": "autovacuum worker"},
            "autovacuum worker: autovacuum gives way by itself to whoever waits for its lock",
        ),
        (
            {"protection": "background", "backend_type": "walsender"},
            "walsender: it sends WAL to a standby, a backup or a subscriber",
        ),
        (
            {"protection": "background", "backend_type": "parallel worker", "leader_pid": 5},
            "a parallel worker of pid 5, with which it ends",
        ),
        (
            {"protection": "background", "backend_type": "checkpointer"},
            "checkpointer, a process of the server and no client",
        ),
        ({"protection": "runbook", "application": "runbook.ops x"}, "it belongs to runbook.ops itself"),
        (
            {"protection": "application", "application": "pg_dump"},
            "application pg_dump is protected (protect_applications)",
        ),
        ({"protection": "user", "user": "authenticator"}, "user authenticator is protected (protect_users)"),
        ({"protection": "database", "database": "auth"}, "database auth is protected (protect_databases)"),
        ({"protection": "superuser", "user": "postgres"}, "postgres is a superuser (allow_superusers)"),
    ],
)
def test_the_protected_are_named_with_the_reason(more: dict[str, Any], reason: str) -> None:
    plan = make_plan([row(**more), row(8)], request(), login="operator")
    assert [each["reason"] for each in plan.protected] == [reason]
    assert [each["pid"] for each in plan.victims] == [8]
    assert (plan.refused, plan.matched_count) == ((), 1)


def refusals(*rows: dict[str, Any], **given: Any) -> list[dict[str, str]]:
    return [each.as_dict() for each in make_plan(rows, request(**given), login="Operator").refused]


def test_missing_rights_are_named_and_others_go_on() -> None:
    plan = make_plan([row(may_signal=False), row(8)], request(), login="Operator")
    assert [each["pid"] for each in plan.victims] == [8]
    assert plan.matched_count == 2
    assert refusals(row(may_signal=False)) == [
        {
            "object": "pid 7 (web, app@shop)",
            "reason": "Operator may not end sessions of app",
            "remedy": 'GRANT pg_signal_backend TO "Operator";',
        }
    ]


def test_a_superuser_takes_a_superuser() -> None:
    assert refusals(row(may_signal=False, is_superuser=True, user="boss"), allow_superusers=True) == [
        {
            "object": "pid 7 (web, boss@shop)",
            "reason": "it is a superuser's session, and Operator is none",
            "remedy": "Let a superuser log in for it (login_user).",
        }
    ]


def test_canceling_does_not_end_what_is_idle_in_a_transaction() -> None:
    assert refusals(row(application=""), state="canceled") == [
        {
            "object": "pid 7 (no application name, app@shop)",
            "reason": "it is idle in transaction: canceling ends a statement, and it runs none; its transaction would "
            "stay open",
            "remedy": "Use state=terminated for it.",
        }
    ]


def test_hidden_sessions_are_one_refusal() -> None:
    hidden = [row(each, is_hidden=True, state=None, backend_start=None, backend_type=None) for each in (7, 8)]
    assert refusals(*hidden) == [
        {
            "object": "2 sessions of app",
            "reason": "the server does not show Operator what they do, so nobody knows whether they are meant",
            "remedy": 'GRANT pg_read_all_stats TO "Operator";',
        }
    ]


def test_what_is_protected_although_it_is_hidden_is_not_refused() -> None:
    hidden = row(is_hidden=True, state=None, backend_start=None, backend_type=None, protection="user", user="rdsadmin")
    plan = make_plan([hidden], request(), login="operator")
    assert plan.refused == ()
    assert [each["reason"] for each in plan.protected] == ["user rdsadmin is protected (protect_users)"]


def test_a_prepared_transaction_has_no_session_to_end() -> None:
    roots = [{"kind": "prepared_transaction", "gids": ["order 1"], "blocked_count": 2}, {"kind": "session"}]
    plan = make_plan([], request(blocking=True), login="operator", roots=roots)
    assert [each.as_dict() for each in plan.refused] == [
        {
            "object": "prepared transaction 'order 1'",
            "reason": "it keeps 2 sessions waiting and has no session that could be ended",
            "remedy": "Ask its transaction manager, then COMMIT PREPARED or ROLLBACK PREPARED it in its database.",
        }
    ]


def test_too_many_are_refused_and_not_cut() -> None:
    made = request(max_sessions=6)
    check_limit(make_plan([row(each) for each in range(1, 7)], made, login="operator"), made, {})
    plan = make_plan([row(each) for each in range(1, 8)], made, login="operator")
    with pytest.raises(Refused) as refused:
        check_limit(plan, made, {"sessions": [1]})
    assert refused.value.message == (
        "7 sessions match and max_sessions is 6: "
        + ", ".join(f"pid {each} (web, app@shop, idle in transaction for 20m)" for each in range(1, 6))
        + ", and 2 more. Nothing was touched. Narrow the criteria, or raise max_sessions if all of them (sessions) "
        "shall end."
    )
    assert refused.value.details == {"sessions": [1]}


def test_those_that_may_not_be_ended_count_as_well() -> None:
    made = request(max_sessions=1)
    with pytest.raises(Refused, match="2 sessions match and max_sessions is 1"):
        check_limit(make_plan([row(), row(8, may_signal=False)], made, login="operator"), made, {})


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0s"), (59, "59s"), (60, "1m"), (61, "1m 1s"), (3600, "1h"), (3660, "1h 1m"), (90061, "1d 1h")],
)
def test_durations_are_spoken(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        (
            "remaining connection slots are reserved for non-replication superuser connections",
            "The slots of superuser_reserved_connections are free",
        ),
        (
            "remaining connection slots are reserved for roles with the SUPERUSER attribute",
            "The slots of superuser_reserved_connections are free",
        ),
        (
            'remaining connection slots are reserved for roles with privileges of the "pg_use_reserved_connections" '
            "role",
            "The slots of reserved_connections are free: GRANT pg_use_reserved_connections to this login",
        ),
        ("sorry, too many clients already", "The reserved slots"),
        ('too many connections for role "app"', "Only this role or database is at its limit"),
    ],
)
def test_a_full_server_says_who_gets_through(said: str, advice: str) -> None:
    found = full_advice(f"PostgreSQL at db is not available: every connection slot is taken ({said}).")
    assert found is not None
    assert found.startswith(advice)


def test_another_refusal_is_no_matter_of_slots() -> None:
    assert full_advice("the password of this user was not accepted") is None
