"""RQ's formats, as rq 2 and 3 write them, and as nobody should."""

from __future__ import annotations

import base64
import tracemalloc
import zlib
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq import format as wire

TRACEBACK = """Traceback (most recent call last):
  File "worker.py", line 1, in perform_job
    return_value = job.perform()
           ^^^^^^^^^^^^^
  File "shop.py", line 7, in refuse
    raise ValueError("no category")
ValueError: product 7 has no category
"""


def packed(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return base64.b64encode(zlib.compress(raw))


@pytest.mark.parametrize(
    ("prefix", "key", "name"),
    [
        (b"rq", b"rq:queue:normal", b"normal"),
        (b"rq", b"rq:queue:a:b*[c]?", b"a:b*[c]?"),
        (b"rq", b"rq:queue:\xff\xfe", b"\xff\xfe"),
        (b"{rq}", b"{rq}:queue:normal", b"normal"),
        (b"rq", b"rq:queue:", None),
        # Sidekiq's set of that name holds names, not keys.
        (b"rq", b"normal", None),
        (b"shop", b"rq:queue:normal", None),
    ],
)
def test_queues_by_their_keys(prefix: bytes, key: bytes, name: bytes | None) -> None:
    assert wire.RqKeys(prefix).name_of(key) == name


@pytest.mark.parametrize(
    ("key", "identifier"),
    [
        (b"rq:job:4f", b"4f"),
        (b"rq:job:4f:dependents", None),
        (b"rq:job::4f:dependencies", None),
        (b"rq:job:", None),
        (b"rq:queue:normal", None),
    ],
)
def test_jobs_by_their_keys(key: bytes, identifier: bytes | None) -> None:
    assert wire.RqKeys().id_of(key) == identifier


def test_keys_that_hang_on_a_job() -> None:
    keys = wire.RqKeys()
    assert keys.dependents(b"4f") == b"rq:job:4f:dependents"
    # RQ writes two colons here.
    assert keys.dependencies(b"4f") == b"rq:job::4f:dependencies"


@pytest.mark.parametrize(
    ("member", "job"),
    [
        (b"4f:" + b"0" * 32, b"4f"),
        (b"4f", b"4f"),
        (b"a:b", b"a:b"),
        (b"a:b:" + b"f" * 32, b"a:b"),
    ],
)
def test_entries_of_wip(member: bytes, job: bytes) -> None:
    assert wire.job_of(member) == job


@pytest.mark.parametrize(
    ("description", "task"),
    [
        (b"shop.register(7, note='x')", "shop.register"),
        (b"shop.Basket.pay(<Basket>)", "shop.Basket.pay"),
        (b"the nightly report\nfor 7", "the nightly report"),
        (b"x" * 200, "x" * 79 + "…"),
        (b"\xff\xfe(1)", "��(1)"),
        (b"", "(unknown)"),
        (None, "(unknown)"),
    ],
)
def test_task_names(description: bytes | None, task: str) -> None:
    assert wire.task_name(description) == task


@pytest.mark.parametrize(
    ("text", "exception"),
    [
        (TRACEBACK, "ValueError: product 7 has no category"),
        (TRACEBACK + "first\nsecond\n", "ValueError: product 7 has no category\nfirst\nsecond"),
        ("Work-horse terminated unexpectedly; waitpid returned None", None),
        ("Moved to FailedJobRegistry, due to AbandonedJobError, at 2026-01-31", None),
        # The last lines of the message are indented, too.
        (TRACEBACK + "  detail\n", "ValueError: product 7 has no category"),
        ("", "(no error text was kept)"),
        ("   ", "(no error text was kept)"),
    ],
)
def test_the_exception_of_a_traceback(text: str, exception: str | None) -> None:
    assert wire.exception_of(text) == (text if exception is None else exception)


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({b"type": b"2", b"exc_string": packed(TRACEBACK)}, "ValueError: product 7 has no category"),
        ({b"type": b"2"}, "(no error text was kept)"),
        ({b"type": b"3"}, "(stopped by a person)"),
        ({b"type": b"5"}, "(it gave up after the number of retries it had asked for)"),
        ({b"type": b"2", b"exc_string": b"not base64!"}, "(an error text that cannot be read)"),
        # Base64 of something that is not compressed: rq 0 wrote it so.
        ({b"type": b"2", b"exc_string": base64.b64encode(b"ValueError: x")}, "ValueError: x"),
        ({b"type": b"2", b"exc_string": b"A" * 300_000}, "(an error text too long to read)"),
        ({b"type": b"2", b"exc_string": packed(b"\xff: bad")}, "�: bad"),
        (None, "(no error text was kept)"),
    ],
)
def test_reasons(result: dict[bytes, Any] | None, reason: str) -> None:
    assert wire.reason_of(result) == reason


def test_the_end_of_a_long_text_is_kept() -> None:
    text = b"x" * 500_000 + b"\nValueError: the end"
    end = wire.expand_tail(zlib.compress(text))
    assert end is not None
    assert end.endswith(b"ValueError: the end")
    assert len(end) == wire.TAIL_BYTES
    assert wire.expand_tail(zlib.compress(b"short")) == b"short"
    assert wire.expand_tail(zlib.compress(b"")) == b""


def test_a_text_cut_off_in_the_middle_is_read_as_far_as_it_goes() -> None:
    whole = zlib.compress(bytes(range(256)) * 40)
    assert wire.expand_tail(whole[:-10]) is not None


def test_a_bomb_does_not_go_off() -> None:
    """A hundred kilobytes that would become a hundred megabytes."""
    bomb = packed(bytes(100 * 1024 * 1024))
    assert len(bomb) < wire.ENCODED_BYTES
    tracemalloc.start()
    try:
        assert wire.encoded_text(bomb) == "(an error text too long to read)"
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()
