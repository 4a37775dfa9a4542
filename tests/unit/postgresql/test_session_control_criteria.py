"""Which sessions a task means: what is accepted, what is refused before anything is touched, and the conditions."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import (
    BACKUP_APPLICATIONS,
    LOGIN,
    VISIBLE,
    Request,
    like,
    request_from,
)
from ansible_collections.runbook.ops.plugins.modules.postgresql_session import argument_spec


def request(**given: Any) -> Request:
    defaults = {name: option.get("default") for name, option in argument_spec().items()}
    return request_from({**defaults, "state": "terminated", **given})


@pytest.mark.parametrize(
    ("glob", "pattern"),
    [
        ("shop-web", "shop-web"),
        ("shop*", "shop%"),
        ("*", "%"),
        ("shop-?", "shop-_"),
        ("shop_web", "shop\\_web"),
        ("100%", "100\\%"),
        ("back\\slash", "back\\\\slash"),
    ],
)
def test_patterns_have_two_wildcards_and_no_others(glob: str, pattern: str) -> None:
    assert like(glob) == pattern


@pytest.mark.parametrize(
    ("given", "option", "value"),
    [
        ({"min_state_age": "10m"}, "min_state_age", 600),
        ({"min_transaction_age": "1h30m"}, "min_transaction_age", 5400),
        ({"min_query_age": "90"}, "min_query_age", 90),
        ({"application": ["shop-*"]}, "application", ["shop-%"]),
        ({"user": ["app_*"]}, "user", ["app_*"]),
        ({"database": ["shop"]}, "database", ["shop"]),
        ({"client": ["10.1.2.3", "10.0.0.0/8", "fe80::/10"]}, "client", ["10.1.2.3/32", "10.0.0.0/8", "fe80::/10"]),
        ({"client": ["10.1.2.3/8"]}, "client", ["10.0.0.0/8"]),
        ({"client": ["local"]}, "client", []),
        ({"blocking": True}, "min_blocked", 1),
        ({"min_blocked": 3}, "min_blocked", 3),
        ({"pids": [7]}, "pids", [7]),
        ({"query_id": "-6439455395915607439"}, "query_id", -6439455395915607439),
    ],
)
def test_each_criterion_is_enough_and_is_bound(given: dict[str, Any], option: str, value: Any) -> None:
    made = request(**given)
    assert [condition.option for condition in made.conditions] == [option]
    assert made.parameters[option] == value
    assert f"%({option})s" in made.where()


def test_conditions_are_joined_with_and() -> None:
    made = request(user=["app"], min_state_age="1m", client=["local"])
    assert made.where().count(") AND (") == 2
    assert made.where(VISIBLE) == '(s."user" = ANY (%(user)s::text[]))'
    assert "min_state_age" not in made.where(VISIBLE, LOGIN)
    # Nothing visible to go by: any session that is hidden may be meant.
    assert request(min_state_age="1m").where(VISIBLE) == "true"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {},
            "state: 'terminated' is not accepted. Accepted: together with what narrows the choice: min_state_age, "
            "min_transaction_age, min_query_age, application, user, database, client, blocking, pids or query_id. "
            "Not every session, or every idle one, is at fault.",
        ),
        ({"session_state": ["idle"]}, "Not every session, or every idle one, is at fault."),
        ({"user": [], "application": [], "min_state_age": "", "query_id": ""}, "together with what narrows the choice"),
        (
            {"state": "canceled", "session_state": ["active", "idle_in_transaction"], "user": ["app"]},
            "session_state: 'idle_in_transaction' is not accepted. Accepted: active, since canceling ends a statement "
            "and such a session runs none; an open transaction stays open. Use state=terminated for it.",
        ),
        (
            {"session_state": ["idle"], "min_query_age": "1m"},
            "session_state: ['idle'] is not accepted. Accepted: active, since min_query_age is about what runs.",
        ),
        (
            {"session_state": ["idle"], "min_transaction_age": "1m"},
            "session_state: 'idle' is not accepted. Accepted: a state with a transaction, since min_transaction_age "
            "is given.",
        ),
        ({"min_state_age": "soon"}, "min_state_age: 'soon' is not accepted."),
        ({"min_state_age": "0s"}, "min_state_age: '0s' is not accepted."),
        ({"pids": [0]}, "pids: 0 is not accepted. Accepted: process ids of the server."),
        ({"pids": [2**31]}, "pids: 2147483648 is not accepted."),
        (
            {"client": ["db.example.com"]},
            "client: 'db.example.com' is not accepted. Accepted: an address, a network such as 10.0.0.0/8, or local.",
        ),
        ({"query_id": "SELECT 1"}, "query_id: 'SELECT 1' is not accepted."),
        ({"query_id": str(2**63)}, "query_id: '9223372036854775808' is not accepted."),
        ({"user": ["app"], "max_sessions": 0}, "max_sessions: 0 is not accepted. Accepted: 1 or more."),
        ({"min_blocked": 0}, "min_blocked: 0 is not accepted. Accepted: 1 or more."),
        ({"user": ["app"], "cancel_wait": -1}, "cancel_wait: -1 is not accepted. Accepted: 0 to 3600 seconds."),
        ({"user": ["app"], "terminate_wait": 7200}, "terminate_wait: 7200 is not accepted."),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        request(**given)
    assert message in refused.value.message


def test_canceling_chooses_what_runs_and_names_what_it_cannot_end() -> None:
    made = request(state="canceled", user=["app"])
    assert made.parameters["cancelable"] == ["active", "fastpath function call", "idle in transaction"]
    assert "s.state = ANY (%(cancelable)s::text[])" in made.where()


def test_session_states_are_the_servers() -> None:
    made = request(user=["app"], session_state=["idle_in_transaction", "idle_in_transaction_aborted"])
    assert made.parameters["states"] == ["idle in transaction", "idle in transaction (aborted)"]


def test_backups_are_protected_unless_the_list_is_replaced() -> None:
    assert request(user=["app"]).parameters["protect_applications"] == [like(each) for each in BACKUP_APPLICATIONS]
    assert "pg\\_dump" in request(user=["app"]).parameters["protect_applications"]
    assert request(user=["app"], protect_applications=[]).parameters["protect_applications"] == []
