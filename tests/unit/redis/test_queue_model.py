"""Queues in one shape, reasons in few words, options checked first."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import Failures, QueueFacts, listed, plural
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise, scrub
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import Message
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.reader import sum_up
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.unacked import Held, Unacked
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import request_from


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("ValueError: product 17 not found", "ValueError: product <n> not found"),
        ("KeyError: '3f2b8e6a-1111-4222-8333-000000000001'", "KeyError: '<uuid>'"),
        ("Timeout after 30.5 s at 10.0.0.7:6379", "Timeout after <n> s at <ip>"),
        ("no such user kim@example.com", "no such user <address>"),
        ("object at 0x7f00aa", "object at <hex>"),
        ("digest deadbeef0011 differs", "digest <hex> differs"),
        ("failed at 2026-01-31T09:00:00+09:00 again", "failed at <time> again"),
        ("HTTP 503\n  at line 7", "HTTP <n>"),
        ("item DG123456 refused", "item <n> refused"),
        ("주문 12345 실패", "주문 <n> 실패"),
        ("", "(no message)"),
        ("x" * 500, "x" * 159 + "…"),
    ],
)
def test_normalise(text: str, reason: str) -> None:
    assert normalise(text) == reason


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot reach redis://user:p@ss@host/0", "cannot reach redis://user:********@host/0"),
        ("cannot reach postgresql://app:geheim@db:5432/x", "cannot reach postgresql://app:********@db:5432/x"),
        ("login failed: password='hunter2' for kim", "login failed: password=********' for kim"),
        ("api_key: abc123, next", "api_key: ********, next"),
        ("Authorization: Bearer eyJ.abc.def rejected", "Authorization: ******** rejected"),
        ("sent bearer eyJ.abc", "sent Bearer ********"),
        ("nothing here", "nothing here"),
    ],
)
def test_scrub(text: str, clean: str) -> None:
    assert scrub(text) == clean


def test_failures_are_grouped_and_counted() -> None:
    failures = Failures()
    for number in range(15):
        for _ignored in range(number + 1):
            failures.add(f"reason {chr(97 + number)}", "an example" * 100)
    assert (failures.count, failures.reasons) == (120, 15)
    assert len(failures.top()) == 10
    assert failures.top()[0] == {
        "reason": "reason o",
        "count": 15,
        "example": "an example" * 20,
        "example_ids": [],
        "first_at": None,
        "last_at": None,
    }
    assert failures.most_frequent() == "reason o (15)"
    facts = QueueFacts("q", "celery", failures=failures).facts()
    assert (facts["failure_reasons_count"], facts["failures_truncated"]) == (15, True)
    assert Failures().most_frequent() == "none"


@pytest.mark.parametrize(
    ("counts", "backlog"),
    [
        ({"waiting": 3, "active": 2, "delayed": 9}, 5),
        ({"waiting": 3, "active": None}, None),
        ({}, None),
    ],
)
def test_backlog(counts: dict[str, int | None], backlog: int | None) -> None:
    assert QueueFacts("q", "celery", counts=counts).backlog == backlog


def test_a_missing_queue_has_no_figures() -> None:
    facts = QueueFacts("q", "celery", exists=False, reason="why").facts()
    assert set(facts["counts"].values()) == {None}
    numbers = ("backlog", "unacked", "stalled", "redelivery_risk", "unread", "malformed", "opaque", "consumers")
    assert [facts[name] for name in numbers] == [None] * len(numbers)


def held(*messages: tuple[float, float | None]) -> Held:
    share = Held()
    for delivered_at, eta in messages:
        share.add(Message("t", eta, b"", b"q", opaque=False), delivered_at, 10_000.0, 3600)
    return share


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        # delivered at, eta → (count, delayed, stuck, redelivery risk, oldest)
        ([(9_990.0, None)], (1, 0, 0, 0, 10.0)),
        ([(6_400.0, None)], (1, 0, 0, 0, 3600.0)),
        ([(6_399.0, None)], (1, 0, 1, 0, 3601.0)),
        ([(9_990.0, 10_600.0)], (1, 1, 0, 0, 10.0)),
        ([(9_990.0, 9_995.0)], (1, 0, 0, 0, 10.0)),
        ([(9_990.0, 20_000.0)], (1, 1, 0, 1, 10.0)),
        # A worker whose clock is ahead.
        ([(10_500.0, None)], (1, 0, 0, 0, 0.0)),
        ([(9_990.0, None), (9_000.0, None)], (2, 0, 0, 0, 1000.0)),
    ],
)
def test_held_messages(messages: list[tuple[float, float | None]], expected: tuple[Any, ...]) -> None:
    share = held(*messages)
    assert (share.count, share.delayed, share.stalled, share.redelivery_risk, share.oldest_seconds) == expected


def test_sum_up() -> None:
    totals = sum_up([Unacked(unattributed=1, without_index=2), Unacked(malformed=3, too_large=1, other_queues=4)])
    assert totals == {
        "unacked": 1,
        "malformed": 3,
        "too_large": 1,
        "other_queues": 4,
        "without_index": 2,
        "failures": None,
    }
    assert sum_up([Unacked(without_index=2), Unacked(truncated=True)])["without_index"] is None


@pytest.mark.parametrize(("count", "text"), [(0, "0 messages"), (1, "1 message"), (2, "2 messages")])
def test_plural(count: int, text: str) -> None:
    assert plural(count, "message") == text


def test_listed() -> None:
    assert listed(["b", "a"]) == "a, b"
    assert listed([f"q{number:02}" for number in range(25)], 3) == "q00, q01, q02 and 22 more"


def params(**changes: Any) -> dict[str, Any]:
    return {
        "system": ["celery"],
        "queues": [],
        "missing_queues": "error",
        "key_prefix": None,
        "result_key_prefix": None,
        "result_db": None,
        "separator": "\x06\x16",
        "priority_steps": [0, 3, 6, 9],
        "visibility_timeout": 3600,
        "sample": 100,
        "max_unacked": 10000,
        "failures": True,
        "failed_within": None,
        "max_failed": 1000,
        "orphans": False,
        "sample_seconds": 0.0,
        "reference_time": None,
        "max_keys": 1000,
        "max_seconds": 1.0,
    } | changes


def test_a_request() -> None:
    request = request_from(params(queues=["normal", ""], key_prefix="", reference_time="2026-01-31T09:00:00+09:00"))
    assert (request.queues, request.prefix, request.separator) == ((b"normal",), None, b"\x06\x16")
    assert request.reference is not None
    assert request.reference.timestamp() == 1769817600


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queues": ["a", "b", "a"]}, "queues: 'a' is not accepted. Accepted: each name once."),
        ({"separator": ""}, "separator: '' is not accepted. Accepted: at least one character."),
        ({"result_db": -1}, "result_db: -1 is not accepted. Accepted: 0 or a positive number."),
        ({"sample": 1001}, "sample: 1001 is not accepted. Accepted: a number from 0 to 1000."),
        ({"max_unacked": 0}, "max_unacked: 0 is not accepted. Accepted: a number from 1 to 1000000."),
        (
            {"visibility_timeout": 0},
            "visibility_timeout: 0 is not accepted. Accepted: a number of seconds greater than 0.",
        ),
        ({"failed_within": -5}, "failed_within: -5 is not accepted. Accepted: a number of seconds greater than 0."),
        (
            {"priority_steps": [3, 0]},
            "priority_steps: [3, 0] is not accepted. "
            "Accepted: numbers from 0 upwards, each larger than the one before.",
        ),
        (
            {"priority_steps": []},
            "priority_steps: [] is not accepted. Accepted: numbers from 0 upwards, each larger than the one before.",
        ),
        (
            {"reference_time": "2026-01-31T09:00:00"},
            "reference_time: '2026-01-31T09:00:00' is not accepted. "
            "Accepted: an ISO 8601 moment with timezone, such as 2026-01-31T09:00:00+09:00.",
        ),
        ({"max_keys": 0}, "max_keys: 0 is not accepted. Accepted: a number greater than 0."),
    ],
)
def test_bad_requests(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        request_from(params(**changes))
    assert caught.value.message == message
