"""A failed task of Celery as a message again."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.again import (
    FailedTask,
    message_again,
    parse_failed,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import Message, parse_message

META: dict[str, Any] = {
    "status": "FAILURE",
    "result": {"exc_type": "ValueError", "exc_message": ["no category"], "exc_module": "builtins"},
    "date_done": "2026-01-31T00:00:00+00:00",
    "name": "shop.refuse",
    "args": [7, {"__type__": "datetime", "__value__": "2026-01-31"}],
    "kwargs": {"note": "낮음"},
    "retries": 3,
    "queue": "batch",
}


class Exploding:
    """Unpickling this fails the test."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a result was unpickled",))


def failed(**changes: Any) -> FailedTask:
    task = parse_failed(json.dumps({**META, **changes}).encode(), "3a4b")
    assert task is not None
    return task


@pytest.mark.parametrize(
    "raw",
    [
        pickle.dumps(Exploding()),
        json.dumps({**META, "status": "SUCCESS"}).encode(),
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=["pickle", "success", "nothing", "list", "cut off", "bytes", "deep"],
)
def test_what_is_no_failure(raw: bytes) -> None:
    assert parse_failed(raw, "3a4b") is None


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({}, ()),
        ({"queue": None}, ("queue",)),
        ({"name": None, "args": None, "kwargs": None, "queue": None}, ("name", "args", "kwargs", "queue")),
        # Arguments that were not JSON are kept as text.
        ({"args": "(7, <Basket>)", "kwargs": "{}"}, ("args", "kwargs")),
        ({"args": {}}, ("args",)),
    ],
)
def test_what_a_result_lacks(changes: dict[str, Any], lacks: tuple[str, ...]) -> None:
    assert failed(**changes).lacks == lacks


def test_the_message() -> None:
    raw = message_again(failed(), b"batch", "7ecb", reset_attempts=False)
    assert parse_message(raw) == Message("shop.refuse", None, b"", b"batch", opaque=False)
    envelope = json.loads(raw)
    assert json.loads(base64.b64decode(envelope["body"])) == [
        META["args"],
        META["kwargs"],
        {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
    ]
    assert {name: envelope["headers"][name] for name in ("lang", "task", "id", "root_id", "retries")} == {
        "lang": "py",
        "task": "shop.refuse",
        "id": "3a4b",
        "root_id": "3a4b",
        "retries": 3,
    }
    assert envelope["properties"]["correlation_id"] == "3a4b"
    assert envelope["properties"]["delivery_tag"] == "7ecb"


def test_attempts_begin_anew() -> None:
    raw = message_again(failed(), b"batch", "7ecb", reset_attempts=True)
    assert json.loads(raw)["headers"]["retries"] == 0


def test_long_arguments_are_cut_in_the_header_only() -> None:
    raw = message_again(failed(args=["x" * 5000]), b"batch", "7ecb", reset_attempts=False)
    assert len(json.loads(raw)["headers"]["argsrepr"]) == 1024
    assert json.loads(base64.b64decode(json.loads(raw)["body"]))[0] == ["x" * 5000]
