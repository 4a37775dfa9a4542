"""Entries out of blocks, wherever the blocks are cut."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.logs.framing import DockerJson, JournalJson, Plain
from ansible_collections.runbook.ops.plugins.module_utils.logs.levels import ERROR_NEEDLES, is_error
from ansible_collections.runbook.ops.plugins.module_utils.logs.messages import TopMessages
from ansible_collections.runbook.ops.plugins.module_utils.logs.moments import ISO, Clock
from ansible_collections.runbook.ops.plugins.module_utils.logs.scanner import Scanner
from ansible_collections.runbook.ops.plugins.module_utils.logs.tally import ClassDetector, Times, message_of, shown

LOG = b"""\
ValueError: the end of something
2026-01-31T09:00:00Z INFO fine
2026-01-31T09:00:10Z ERROR order 17 failed
Traceback (most recent call last):
  File "a.py", line 1, in <module>
ValueError: \xff
2026-01-31T09:01:00Z WARN slow
ValueError: only told
2026-01-31T09:02:00Z request failed
KeyError: 'a'
2026-01-31T09:03:00Z ERROR order 18 failed
"""
BEGIN = dt.datetime(2026, 1, 31, 9, tzinfo=dt.timezone.utc).timestamp()


def scan(blocks: list[bytes], *, start: float | None = BEGIN, end: float | None = BEGIN + 3600) -> dict[str, Any]:
    detector = ClassDetector("errors", is_error, ERROR_NEEDLES, 5, 5)
    scanner = Scanner([detector], start, end)
    scanner.begin(Plain(Clock(ISO, dt.timezone.utc, BEGIN)))
    base = 0
    for block in blocks:
        scanner.block(block, base)
        base += len(block)
    return {**detector.facts(), "undated": scanner.undated}


@pytest.mark.parametrize("number", range(1, LOG.count(b"\n")))
def test_an_entry_counts_once_wherever_the_block_ends(number: int) -> None:
    lines = LOG.splitlines(keepends=True)
    facts = scan([b"".join(lines[:number]), b"".join(lines[number:])])
    assert facts["found_count"] == 3
    assert facts["first_at"] == "2026-01-31T09:00:10Z"
    assert facts["last_at"] == "2026-01-31T09:03:00Z"
    assert [each["count"] for each in facts["buckets"]] == [1, 1, 1]
    # It cannot be known when this was.
    assert facts["undated"] == 1


def test_samples_and_messages() -> None:
    facts = scan([LOG])
    assert facts["top"][0] == {
        "message": "ERROR order <n> failed",
        "count": 2,
        "example": "2026-01-31T09:00:10Z ERROR order 17 failed",
    }
    assert [each["at"] for each in facts["samples"]] == [
        "2026-01-31T09:03:00Z",
        "2026-01-31T09:02:00Z",
        "2026-01-31T09:00:10Z",
    ]
    assert facts["samples"][2]["text"].splitlines() == [
        "2026-01-31T09:00:10Z ERROR order 17 failed",
        "Traceback (most recent call last):",
        '  File "a.py", line 1, in <module>',
        "ValueError: \ufffd",
    ]
    assert facts["truncated"] is False


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [(10, 11, 1), (11, 180, 1), (0, 10, 0), (120, 181, 2), (None, 11, 1), (180, None, 1)],
)
def test_the_window(start: int | None, end: int | None, count: int) -> None:
    bounds = [None if each is None else BEGIN + each for each in (start, end)]
    assert scan([LOG], start=bounds[0], end=bounds[1])["found_count"] == count


def test_hits_are_as_good_as_looking() -> None:
    detector = ClassDetector("errors", is_error, ERROR_NEEDLES, 5, 5)
    scanner = Scanner([detector], BEGIN, None)
    scanner.begin(Plain(Clock(ISO, dt.timezone.utc, BEGIN)), lambda base: LOG[:base])
    # Only the end of the file, whose first line follows an entry before it.
    base = LOG.index(b"KeyError")
    scanner.block(LOG[base:], base, [0, LOG[base:].index(b"ERROR")])
    assert [each["at"] for each in detector.facts()["samples"]] == ["2026-01-31T09:03:00Z", "2026-01-31T09:02:00Z"]


def test_dockers_records() -> None:
    def record(text: str) -> bytes:
        return json.dumps({"log": f"{text}\n", "stream": "stderr", "time": "2026-01-31T09:00:01.5Z"}).encode()

    assert DockerJson().decode(record('{"level":50}')) == (b'{"level":50}', BEGIN + 1)
    assert DockerJson().decode(record("  at x")) == (b"  at x", None)
    assert DockerJson().decode(b"cut off") == (b"cut off", None)


@pytest.mark.parametrize(
    ("needle", "written"),
    [(b'" 5', b'" 5'), (b"a < bcd", b" bcd"), (b'say "hello', b'"hello'), (b"caf\xc3\xa9", b"caf"), (b"<", b"")],
)
def test_what_docker_escapes_is_not_looked_for(needle: bytes, written: bytes) -> None:
    assert DockerJson().as_written(needle) == written


@pytest.mark.parametrize(
    ("record", "text", "moment"),
    [
        (
            {
                "MESSAGE": "x",
                "PRIORITY": "3",
                "SYSLOG_IDENTIFIER": "app",
                "_PID": "7",
                "__REALTIME_TIMESTAMP": "1500000",
            },
            b"[error] app[7]: x",
            1.5,
        ),
        ({"MESSAGE": [98, 255], "PRIORITY": "6", "__REALTIME_TIMESTAMP": "1000000"}, b"b\xff", 1.0),
        ({"MESSAGE": ["a", "b"], "__REALTIME_TIMESTAMP": "1000000"}, b"a b", 1.0),
        ({"MESSAGE": None, "__REALTIME_TIMESTAMP": "1000000"}, b"", 1.0),
    ],
)
def test_the_journals_records(record: dict[str, Any], text: bytes, moment: float) -> None:
    assert JournalJson().decode(json.dumps(record).encode()) == (text, moment)


def test_stretches_of_time_grow_and_none_is_lost() -> None:
    times = Times()
    for minute in range(10_000):
        times.add(BEGIN + 60 * minute)
    facts = times.facts()
    assert facts["bucket_seconds"] == 3600
    assert sum(each["count"] for each in facts["buckets"]) == 10_000
    assert len(facts["buckets"]) == 167


def test_secrets_are_not_shown() -> None:
    assert shown(b"ERROR login password=hunter2 failed") == "ERROR login password=<hidden> failed"
    assert len(shown(b"x" * 10_000)) == 500


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"level":50,"time":1,"msg":"boom","id":"a"}', "boom"),
        (b'{"level":50}', '{"level":50}'),
        (b"{cut", "{cut"),
        (b"boom", "boom"),
    ],
)
def test_the_message_of_a_record(line: bytes, message: str) -> None:
    assert message_of(line) == message


def test_more_kinds_than_are_kept() -> None:
    top = TopMessages(distinct=2)
    for line in ("a 1", "b", "a 2", "c", "status 503", "a 3"):
        top.add(line)
    assert (top.total, top.others, top.kinds()) == (6, 2, 2)
    assert top.most(1) == [{"message": "a <n>", "count": 3, "example": "a 1"}]


def test_statuses_are_kept_apart() -> None:
    top = TopMessages()
    for line in ("status 503", "status 404", "status 503"):
        top.add(line)
    assert [each["message"] for each in top.most(5)] == ["status 503", "status 404"]
