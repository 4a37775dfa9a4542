"""Celery's formats, as kombu 5.7 writes them, and as nobody should."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import (
    Binding,
    Message,
    Naming,
    count_consumers,
    decodable,
    failure_text,
    is_internal,
    parse_bindings,
    parse_message,
    parse_result,
    parse_status,
    parse_time,
    parse_unacked,
    queue_of,
    result_prefix,
    split_binding_key,
    topic_matches,
)


class Exploding:
    """Unpickling this fails the test."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("a message was unpickled",))


def envelope(**changes: Any) -> dict[str, Any]:
    body = base64.b64encode(json.dumps([[1], {}, {"callbacks": None}]).encode()).decode()
    return {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "shop.register", "id": "3a4b", "eta": None, "retries": 0},
        "properties": {
            "delivery_info": {"exchange": "", "routing_key": "normal"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "7ecb",
        },
    } | changes


def raw(**changes: Any) -> bytes:
    return json.dumps(envelope(**changes)).encode()


@pytest.mark.parametrize(
    ("naming", "priority", "key"),
    [
        (Naming(), 0, b"normal"),
        (Naming(), 3, b"normal\x06\x163"),
        (Naming(prefix=b"celery:"), 0, b"celery:normal"),
        (Naming(prefix=b"celery:"), 9, b"celery:normal\x06\x169"),
        (Naming(separator=b":"), 6, b"normal:6"),
    ],
)
def test_keys_of_a_queue(naming: Naming, priority: int, key: bytes) -> None:
    assert naming.queue(b"normal", priority) == key


@pytest.mark.parametrize(
    ("steps", "priority", "step"),
    [
        ((0, 3, 6, 9), 0, 0),
        ((0, 3, 6, 9), 2, 0),
        ((0, 3, 6, 9), 5, 3),
        ((0, 3, 6, 9), 255, 9),
        ((0, 1), 9, 1),
        # bisect - 1 wraps round when the first step is above the priority, in kombu too.
        ((1, 2), 0, 2),
    ],
)
def test_priorities_are_rounded_down(steps: tuple[int, ...], priority: int, step: int) -> None:
    assert Naming(steps=steps).step_of(priority) == step


def test_all_priorities_are_looked_at() -> None:
    assert Naming(steps=(0, 3, 100)).priorities == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100)


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [(b"", b""), (b"shop", b"shop_"), (b"shop:", b"shop:"), (b"shop_", b"shop_"), (b"a-", b"a-"), (b"a.", b"a.")],
)
def test_the_result_backend_adds_an_underscore(prefix: bytes, expected: bytes) -> None:
    assert result_prefix(prefix) == expected


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (b"_kombu.binding.normal", (b"", b"normal")),
        (b"celery:_kombu.binding.normal", (b"celery:", b"normal")),
        (b"_kombu.binding.a:b*", (b"", b"a:b*")),
        (b"_kombu.binding_permanent.normal", None),
        (b"_kombu.binding_deadlines", None),
        (b"normal", None),
    ],
)
def test_split_binding_key(key: bytes, parts: tuple[bytes, bytes] | None) -> None:
    assert split_binding_key(key) == parts


def test_parse_bindings() -> None:
    members = [b"normal\x06\x16\x06\x16normal", b"rk\x06\x16\x06\x16a[b]?*", b"nonsense", b"rk\x06\x16\x06\x16"]
    bindings, malformed = parse_bindings(b"normal", members, b"\x06\x16")
    assert bindings == [Binding(b"normal", b"normal", b"normal"), Binding(b"normal", b"rk", b"a[b]?*")]
    assert malformed == 2


@pytest.mark.parametrize(
    ("exchange", "queue", "internal"),
    [
        (b"celery.pidbox", b"celery@host.celery.pidbox", True),
        (b"reply.celery.pidbox", b"0f.reply.celery.pidbox", True),
        (b"celeryev", b"celeryev.0f", True),
        (b"celery", b"celery", False),
        (b"normal", b"pidbox", False),
    ],
)
def test_internal_queues(exchange: bytes, queue: bytes, internal: bool) -> None:
    assert is_internal(exchange, queue) is internal


def test_parse_message() -> None:
    assert parse_message(raw()) == Message("shop.register", None, b"", b"normal", opaque=False)


def test_a_scheduled_message() -> None:
    message = parse_message(raw(headers={"task": "t", "eta": "2026-01-31T09:00:00+09:00"}))
    assert message is not None
    assert message.eta == 1769817600.0


def test_protocol_1_has_everything_in_the_body() -> None:
    body = base64.b64encode(json.dumps({"task": "old.task", "id": "1", "eta": "2026-01-31T00:00:00"}).encode()).decode()
    message = parse_message(raw(headers={}, body=body))
    assert message is not None
    assert (message.task, message.eta) == ("old.task", 1769817600.0)


def test_a_pickle_is_counted_and_left_alone() -> None:
    body = base64.b64encode(pickle.dumps(Exploding())).decode()
    content_type = "application/x-python-serialize"
    for headers in ({"task": "shop.register"}, {}):
        message = parse_message(raw(body=body, headers=headers, **{"content-type": content_type}))
        assert message is not None
        assert message.opaque
        assert message.task == headers.get("task")
    assert parse_result(pickle.dumps(Exploding())) is None
    assert parse_message(pickle.dumps(Exploding())) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"17",
        b"\xff\xfe\x00",
        b'{"headers": {}}',
        b'{"body": "x", "properties": []}',
        b"[" * 100_000,
        '{"body": "키", "properties": null}'.encode("euc-kr"),
    ],
)
def test_what_is_no_message(payload: bytes) -> None:
    assert parse_message(payload) is None
    assert parse_unacked(payload) is None


@pytest.mark.parametrize(
    ("body", "encoding", "sound"),
    [
        ("aGVsbG8=", "base64", True),
        ("not base64!", "base64", False),
        ("aGVsbG8", "base64", False),
        (None, "base64", False),
        ("키", "base64", False),
        ("plain", None, True),
    ],
)
def test_broken_bodies(body: Any, encoding: str | None, sound: bool) -> None:
    assert decodable(body, encoding) is sound
    properties = {"body_encoding": encoding, "delivery_info": {}}
    message = parse_message(raw(body=body, properties=properties))
    assert message is not None
    assert message.broken is not sound


@pytest.mark.parametrize("headers", [None, [], "x", {"task": 7, "eta": 5}])
def test_odd_headers(headers: Any) -> None:
    message = parse_message(raw(headers=headers))
    assert message is not None
    assert (message.task, message.eta) == (None, None)


def test_parse_unacked() -> None:
    entry = json.dumps([envelope(), "shop", "register"]).encode()
    assert parse_unacked(entry) == Message("shop.register", None, b"shop", b"register", opaque=False)
    assert parse_unacked(json.dumps([envelope(), "", ""]).encode()) == Message(
        "shop.register", None, b"", b"normal", opaque=False
    )
    assert parse_unacked(json.dumps([envelope(), ""]).encode()) is None
    assert parse_unacked(json.dumps(["x", "", "normal"]).encode()) is None


BINDINGS = [
    Binding(b"shop", b"normal", b"normal"),
    Binding(b"shop", b"batch", b"batch"),
    Binding(b"both", b"x", b"normal"),
    Binding(b"both", b"x", b"batch"),
    Binding(b"both", b"normal", b"normal"),
    Binding(b"both", b"normal", b"batch"),
    Binding(b"topic", b"eu.#", b"europe"),
    Binding(b"topic", b"*.high", b"urgent"),
]


@pytest.mark.parametrize(
    ("exchange", "routing_key", "queue"),
    [
        (b"", b"normal", b"normal"),
        (b"", b"", None),
        (b"shop", b"batch", b"batch"),
        # Two queues under one key: only a queue of that name can be told.
        (b"both", b"x", None),
        (b"both", b"normal", b"normal"),
        (b"topic", b"eu.seoul", b"europe"),
        (b"topic", b"eu", b"europe"),
        (b"topic", b"asia.high", b"urgent"),
        (b"topic", b"eu.high", None),
        (b"unknown", b"normal", b"normal"),
        (b"unknown", b"other", None),
    ],
)
def test_queue_of(exchange: bytes, routing_key: bytes, queue: bytes | None) -> None:
    message = Message("t", None, exchange, routing_key, opaque=False)
    assert queue_of(message, BINDINGS, [b"normal", b"batch"]) == queue


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        (b"a.*", b"a.b", True),
        (b"a.*", b"a.b.c", False),
        (b"a.#", b"a.b.c", True),
        (b"a.#", b"a", True),
        (b"#.z", b"z", True),
        (b"#.z", b"a.b.z", True),
        (b"#", b"", True),
        (b"a.b", b"a.b", False),
        (b"(a+)+.*", b"a" * 40 + b".b.c", False),
    ],
)
def test_topics(pattern: bytes, key: bytes, matches: bool) -> None:
    assert topic_matches(pattern, key) is matches


WORKER = "id=8 addr=127.0.0.1:1 name= age=90 idle={idle} flags={flags} db={db} psub=0 cmd={cmd} user=default resp=3"


@pytest.mark.parametrize(
    ("idle", "flags", "db", "cmd", "held", "count"),
    [
        (0, "b", 0, "brpop", False, 1),
        (1, "N", 0, "brpop", False, 1),
        # A busy worker rests, but it holds jobs; a monitor rests, too.
        (300, "N", 0, "brpop", True, 1),
        (300, "N", 0, "brpop", False, 0),
        (0, "b", 1, "brpop", False, 0),
        (0, "b", 10, "brpop", False, 0),
        (0, "P", 0, "psubscribe", True, 0),
    ],
)
def test_consumers(idle: int, flags: str, db: int, cmd: str, held: bool, count: int) -> None:
    line = WORKER.format(idle=idle, flags=flags, db=db, cmd=cmd)
    assert count_consumers(f"{line}\n", 0, held) == count
    assert count_consumers(f"{line}\n{line}\n\n", 0, held) == 2 * count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T09:00:00+09:00", 1769817600.0),
        ("2026-01-31T00:00:00Z", 1769817600.0),
        ("2026-01-31T00:00:00", 1769817600.0),
        ("yesterday", None),
        (None, None),
        (17, None),
    ],
)
def test_parse_time(text: Any, expected: float | None) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b'{"status": "SUCCESS", "result": 0', "SUCCESS"),
        (b'{"status":"FAILURE","result":', "FAILURE"),
        (b'{"result": 1, "status": "SUCCESS"}', None),
        (b"\x80\x04\x95", None),
    ],
)
def test_parse_status(beginning: bytes, status: str | None) -> None:
    assert parse_status(beginning) == status


def test_parse_result() -> None:
    meta = {
        "status": "FAILURE",
        "result": {"exc_type": "ValueError", "exc_message": ["no product", 7], "exc_module": "builtins"},
        "traceback": "…",
        "date_done": "2026-01-31T00:00:00+00:00",
        "queue": "normal",
    }
    result = parse_result(json.dumps(meta).encode())
    assert result is not None
    assert (result.status, result.reason, result.queue, result.done_at) == (
        "FAILURE",
        "ValueError: no product, 7",
        b"normal",
        1769817600.0,
    )
    for other in (b"[]", b'{"status": 5}', b"{", b"\xff", b"[" * 100_000):
        assert parse_result(other) is None


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"exc_type": "KeyError", "exc_message": ["sku"]}, "KeyError: sku"),
        ({"exc_type": "KeyError", "exc_message": "sku"}, "KeyError: sku"),
        ({"exc_type": "TimeLimitExceeded", "exc_message": []}, "TimeLimitExceeded"),
        ({}, "(unknown exception)"),
        (None, "(no exception was kept)"),
        ("boom", "boom"),
    ],
)
def test_failure_text(result: Any, text: str) -> None:
    assert failure_text(result) == text
