"""Driving the sections: a failing statement costs its own facts, a lost connection all, bad options nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import capabilities as probe
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import collect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Limits,
    Query,
    Section,
    Skip,
)

OPTIONS: dict[str, Any] = {
    "sections": None,
    "top": 20,
    "statement_timeout": 15.0,
    "exclude_schemas": [],
    "exposed_schemas": ["public"],
}
ROLE = {
    "version_num": 150018, "database": "shop", "role": "mon", "quoted_user": "mon", "quoted_database": "shop",
    "is_superuser": False, "reads_stats": True, "reads_settings": True, "lists_archive_status": True, "lists_wal": True,
    "preloads_statements": False, "offers_statements": False, "in_recovery": False, "started_at": None,
    "stats_since": None, "now": None,
}  # fmt: skip


class FakeSession:
    """Answers the probes; everything else by a function of the statement."""

    def __init__(self, answer: Callable[[str], list[dict[str, Any]]]) -> None:
        self._answer = answer
        self.bound: list[dict[str, Any]] = []
        self.settings: dict[str, str] = {}

    def configure(self, settings: dict[str, str]) -> None:
        self.settings.update(settings)

    def query(self, sql: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        if sql == probe.ROLE_SQL:
            return [ROLE]
        if sql in (probe.EXTENSIONS_SQL, probe.COLUMNS_SQL):
            return []
        self.bound.append(params or {})
        return self._answer(sql)


def section(name: str, *queries: Query) -> Section:
    def facts(answers: Answers, _capabilities: Any, _limits: Limits) -> dict[str, Any]:
        return {query.name: answers.rows(query.name) for query in queries}

    return Section(name, lambda _capabilities: list(queries), facts)


def run(error: Exception | None, remedy: str = "") -> tuple[dict[str, Any], list[Skip], FakeSession]:
    def answer(sql: str) -> list[dict[str, Any]]:
        if sql == "bad" and error is not None:
            raise error
        return [{"n": 1}]

    session = FakeSession(answer)
    first = section("first", Query("good", "good", "good facts"), Query("bad", "bad", "bad facts", remedy))
    health, skipped = collect.collect(session, [first, section("second", Query("good", "good", "x"))], Limits())  # type: ignore[arg-type]
    return health, skipped, session


@pytest.mark.parametrize(
    ("sqlstate", "remedy", "expected"),
    [
        ("57014", "", "Raise statement_timeout, or measure this section on its own when the server is less busy."),
        ("55P03", "", "Measure again when the lock is gone; the section locks names who holds it."),
        ("42501", "", "GRANT pg_monitor TO mon;"),
        ("42501", "GRANT x TO mon;", "GRANT x TO mon;"),
        ("55000", "Preload it.", "Preload it."),
        ("XX000", "", "Read the message and the server log."),
        (None, "", "Read the message and the server log."),
    ],
)
def test_a_failing_statement_costs_its_own_facts(sqlstate: str | None, remedy: str, expected: str) -> None:
    health, skipped, _session = run(QueryError("went wrong", sqlstate), remedy)
    assert health == {"first": {"good": [{"n": 1}], "bad": None}, "second": {"good": [{"n": 1}]}}
    assert [skip.as_dict() for skip in skipped] == [
        {"section": "first", "reason": "Bad facts could not be read: went wrong.", "remedy": expected}
    ]


def test_a_lost_connection_is_not_a_skipped_section() -> None:
    with pytest.raises(Unavailable, match="gone"):
        run(Unavailable("gone"))


def test_every_statement_gets_the_limits_and_the_session_is_gentle() -> None:
    _health, _skipped, session = run(None)
    assert all(bound == Limits().bindings() for bound in session.bound)
    assert session.settings == {"jit": "off", "max_parallel_workers_per_gather": "0"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top": 0}, "top: 0 is not accepted. Accepted: a number from 1 to 1000."),
        ({"top": 1001}, "top: 1001 is not accepted. Accepted: a number from 1 to 1000."),
        ({"statement_timeout": 0.0}, "statement_timeout: 0.0 is not accepted. Accepted: more than 0 seconds."),
        ({"statement_timeout": float("nan")}, "statement_timeout: nan is not accepted. Accepted: more than 0 seconds."),
        (
            {"sections": ["locks", "lokcs"]},
            f"sections: 'lokcs' is not accepted. Accepted: {', '.join(collect.SECTION_NAMES)}.",
        ),
    ],
)
def test_bad_options_are_refused_before_anything_is_touched(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "connect", lambda *_args, **_more: pytest.fail("connected"))
    with pytest.raises(InvalidOption) as caught:
        collect.health_info({**OPTIONS, **changes})
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("names", "expected"),
    [(None, collect.SECTION_NAMES), ([], collect.SECTION_NAMES), (["wal", "locks", "wal"], ("locks", "wal"))],
)
def test_chosen_sections(names: list[str] | None, expected: tuple[str, ...]) -> None:
    assert tuple(each.name for each in collect.chosen_sections(names)) == expected


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unavailable("Nobody is there."), "Nobody is there."),
        (
            QueryError('relation "pg_roles" does not exist', "42P01"),
            'The server does not answer as PostgreSQL 13 or later does: relation "pg_roles" does not exist.',
        ),
    ],
)
def test_not_available_is_data(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_more: Any) -> None:
        raise error

    monkeypatch.setattr(collect, "connect", refuse)
    result = collect.health_info(OPTIONS)
    measured_at = result.pop("measured_at")
    assert measured_at.endswith("Z")
    assert result == {"available": False, "reason": reason, "skipped_sections": [], "health": {}}
