"""The facts behind a finding: the right piece or none, bounded, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.redact import redact
from ansible_collections.runbook.ops.plugins.plugin_utils.report.evidence import FactsIndex, excerpt


def as_is(data: Any) -> Any:
    return data


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("postgresql.connections", "health.connections"),
        ("postgresql.idle_in_transaction", "health.sessions.idle_in_transaction.0"),
        ("postgresql.index_invalid", "health.indexes.invalid.0"),
        ("postgresql.index_unused", "health.indexes.unused.0"),
        ("postgresql.dead_rows", "health.tables.0"),
        ("backup.age", "backups.1"),
        ("backup.small", "backups.0"),
        ("business.registration_success", "results.registration_success"),
        ("business.manual_review", "results.manual_review"),
        ("quota.domeggook_daily_calls", "patterns.0"),
    ],
)
def test_the_measured_thing_is_found(
    sample_findings: list[dict[str, Any]], sample_facts: dict[str, Any], rule: str, path: str
) -> None:
    finding = next(each for each in sample_findings if each["id"] == rule)
    found = FactsIndex(sample_facts[finding["host"]][finding["source"]]).find(finding)
    assert found is not None
    assert found[0] == path


def test_each_queue_gets_its_own_facts(
    sample_facts: dict[str, Any], make_finding: Callable[..., dict[str, Any]]
) -> None:
    index = FactsIndex(sample_facts["storebridge-redis"]["runbook.ops.redis_queue_info"])
    assert [
        index.find(make_finding(object=name, value=value))[0] for name, value in (("normal", 118), ("batch", 1340))
    ] == [  # type: ignore[index]
        "queues.0",
        "queues.1",
    ]


@pytest.mark.parametrize(
    ("facts", "changes"),
    [
        pytest.param({}, {}, id="no facts"),
        pytest.param({"a": {"x": 1340}}, {"id": "other.thing", "object": ""}, id="a number alone is no proof"),
        pytest.param({"a": {"ok": True}, "b": {"ok": True}}, {"value": True, "object": ""}, id="true is everywhere"),
        pytest.param(
            {"queues": [{"depth": 7}, {"depth": 7}]},
            {"value": 7, "object": ""},
            id="two alike: better none than the wrong one",
        ),
        pytest.param({"a": {"x": 1}}, {"value": None, "object": ""}, id="nothing measured, nothing named"),
    ],
)
def test_no_guessing(
    facts: dict[str, Any], changes: dict[str, Any], make_finding: Callable[..., dict[str, Any]]
) -> None:
    assert FactsIndex(facts).find(make_finding(**changes)) is None


def test_a_flag_is_not_the_number_one(make_finding: Callable[..., dict[str, Any]]) -> None:
    index = FactsIndex({"queue": {"depth": True}})
    assert index.find(make_finding(value=1, object="")) is None


def test_twenty_thousand_tables_are_given_up_quietly(make_finding: Callable[..., dict[str, Any]]) -> None:
    tables = [{"name": f"t{number}", "dead_percent": number} for number in range(20_000)]
    index = FactsIndex({"tables": tables})
    assert index.find(make_finding(id="postgresql.dead_tables", object="t7", value=7)) is not None
    assert index.find(make_finding(id="postgresql.dead_tables", object="t19999", value=19999)) is None


@pytest.mark.parametrize(
    ("value", "note"),
    [
        pytest.param({"a": [1, 2]}, "", id="small"),
        pytest.param(list(range(15)), "Shortened: 3 entries left out.", id="list"),
        pytest.param(list(range(13)), "Shortened: 1 entry left out.", id="one"),
        pytest.param({str(key): key for key in range(80)}, "Shortened: 20 entries left out.", id="mapping"),
        pytest.param({"q": "x" * 1000}, "Shortened: 1 long text cut.", id="text"),
        pytest.param(
            {"t": ["y" * 700] * 14},
            "Shortened: 2 entries left out, 12 long texts cut, cut after 2,000 characters.",
            id="all",
        ),
    ],
)
def test_what_is_cut_is_said(value: Any, note: str) -> None:
    piece = excerpt(value, "path", 2000, as_is)
    assert piece.note == note
    assert len(piece.text) <= 2010


def test_endless_depth_ends() -> None:
    deep: Any = 1
    for _level in range(50):
        deep = {"deeper": deep}
    piece = excerpt(deep, "", 4000, as_is)
    assert "(1 entries)" in piece.text
    assert piece.note == "Shortened: 1 entry left out."


def test_a_secret_across_the_cut_is_masked_before_it_is_halved() -> None:
    secret = "correct-horse-battery"
    value = {"query": "x" * 590 + secret + "y" * 100, "login_password": secret, "note": f"dsn={secret}"}
    piece = excerpt(value, secret, 4000, lambda data: redact(data, [secret]))
    assert "correct" not in piece.text
    assert piece.path == "********"
    assert json.loads(piece.text)["login_password"] == "********"
