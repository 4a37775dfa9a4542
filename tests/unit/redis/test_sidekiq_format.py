"""Sidekiq's formats, as versions 6 to 8 write them, and as nobody should."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.sidekiq import again
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq.format import (
    Job,
    Process,
    SidekiqKeys,
    moment_like,
    parse_job,
    parse_process,
    queue_name,
    seconds,
    task_name,
    work_queue,
)

OF_7 = {"class": "Register", "args": [7], "jid": "b1", "queue": "low", "created_at": 1769817600.5}
OF_8 = {**OF_7, "created_at": 1769817600500}


@pytest.mark.parametrize(("prefix", "key"), [(b"", b"queue:low"), (b"shop", b"shop:queue:low")])
def test_keys(prefix: bytes, key: bytes) -> None:
    keys = SidekiqKeys(prefix)
    assert keys.queue(b"low") == key
    assert keys.key("dead") == key.replace(b"queue:low", b"dead")


@pytest.mark.parametrize(
    ("value", "epoch"),
    [
        (1769817600.25, 1769817600.25),
        (1769817600, 1769817600.0),
        (1769817600250, 1769817600.25),
        ("1769817600", None),
        (True, None),
        (None, None),
    ],
)
def test_times_of_all_versions(value: Any, epoch: float | None) -> None:
    assert seconds(value) == epoch


def test_a_failed_job() -> None:
    payload = {**OF_7, "error_class": "KeyError", "error_message": "sku", "failed_at": 1.0, "retried_at": 2.0}
    assert parse_job(json.dumps(payload).encode()) == Job("b1", b"low", "Register", "KeyError: sku", None, 2.0)
    assert parse_job(json.dumps(OF_7).encode()) == Job("b1", b"low", "Register", None, None, None)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff\xfe", b"null", b"[" * 100_000])
def test_what_is_no_job(raw: bytes) -> None:
    assert parse_job(raw) is None


@pytest.mark.parametrize(
    ("value", "name"),
    [("low", b"low"), ("queue:low", b"low"), ("queue:", b""), ("", None), (7, None), ("낮음", "낮음".encode())],
)
def test_queue_names(value: Any, name: bytes | None) -> None:
    assert queue_name(value) == name


@pytest.mark.parametrize(
    ("payload", "task"),
    [
        ({"class": "Register"}, "Register"),
        ({"class": wire.ACTIVE_JOB, "wrapped": "MailJob"}, "MailJob"),
        ({"class": "Sidekiq::ActiveJob::Wrapper", "wrapped": "MailJob"}, "MailJob"),
        ({"class": wire.ACTIVE_JOB}, wire.ACTIVE_JOB),
        ({"class": "X", "display_class": "Nice"}, "Nice"),
        ({"class": 7}, "(unknown)"),
        ({}, "(unknown)"),
    ],
)
def test_task_names(payload: dict[str, Any], task: str) -> None:
    assert task_name(payload) == task


@pytest.mark.parametrize(
    ("info", "process"),
    [
        ({"queues": ["low", "high"], "tag": ""}, Process(frozenset({b"low", b"high"}), None)),
        ({"queues": ["low"], "version": "7.3.9"}, Process(frozenset({b"low"}), "7.3.9")),
        (
            {"capsules": {"default": {"weights": {"low": 1}}, "one": {"weights": {"high": 0}}}, "version": "8.1.0"},
            Process(frozenset({b"low", b"high"}), "8.1.0"),
        ),
        ({"queues": "low", "capsules": [], "version": 8}, Process()),
        ({"queues": [7, None]}, Process()),
    ],
)
def test_processes(info: dict[str, Any], process: Process) -> None:
    assert parse_process(json.dumps(info).encode()) == process


def test_a_process_that_says_nothing() -> None:
    assert parse_process(b"") == Process()


@pytest.mark.parametrize(
    ("work", "queue"),
    [
        ({"queue": "low", "payload": OF_7, "run_at": 1}, b"low"),
        ({"queue": "queue:low", "payload": json.dumps(OF_7)}, b"low"),
        ({"payload": json.dumps(OF_7)}, b"low"),
        ({"payload": OF_7}, b"low"),
        ({"payload": "nonsense"}, None),
        ({}, None),
    ],
)
def test_what_a_thread_works_on(work: dict[str, Any], queue: bytes | None) -> None:
    assert work_queue(json.dumps(work).encode()) == queue


def test_a_moment_in_the_unit_of_the_job() -> None:
    assert moment_like(OF_7, 5.25) == 5.25
    assert moment_like(OF_8, 5.25) == 5250
    assert moment_like({}, 5.25) == 5.25


DEAD = {**OF_7, "retry": 2, "retry_count": 2, "failed_at": 1.0, "error_class": "KeyError", "error_message": "sku"}


def test_a_dead_job_has_one_attempt_more() -> None:
    assert json.loads(again(DEAD, 9.5, False)) == {**DEAD, "retry_count": 1, "enqueued_at": 9.5}


def test_or_all_of_them() -> None:
    assert json.loads(again(DEAD, 9.5, True)) == {**OF_7, "retry": 2, "enqueued_at": 9.5}


def test_arguments_stay_what_they_were() -> None:
    arguments = [2**80, 0.1, 1.0, -0.0, 1e300, "낮음", "\ud83d", {"a": [None, True]}, "</script>"]
    written = again({**OF_8, "args": arguments}, 9.5, False)
    assert json.loads(written) == {**OF_8, "args": arguments, "enqueued_at": 9500}
    assert json.dumps(2**80).encode() in written
