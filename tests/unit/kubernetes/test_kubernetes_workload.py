"""Which logs there are, and how much of each is kept."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_logs import Limits, newest
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.workload import logs_of, pod_facts, selector_of


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"app": "api", "a": "b"}}, "a=b,app=api"),
        ({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}, "tier in (a,b)"),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a"]}]}, "tier notin (a)"),
        (
            {
                "matchLabels": {"app": "api"},
                "matchExpressions": [{"key": "x", "operator": "Exists"}, {"key": "y", "operator": "DoesNotExist"}],
            },
            "app=api,x,!y",
        ),
        (None, ""),
    ],
)
def test_selectors(selector: dict[str, Any] | None, text: str) -> None:
    assert selector_of({"spec": {"selector": selector}}) == text


POD = {
    "metadata": {"name": "api-1"},
    "spec": {
        "nodeName": "a",
        "initContainers": [{"name": "migrate"}],
        "containers": [{"name": "app"}, {"name": "proxy"}, {"name": "late"}],
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "False"}],
        "initContainerStatuses": [{"name": "migrate", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}],
        "containerStatuses": [
            {"name": "app", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            {"name": "proxy", "restartCount": 0, "state": {"running": {}}},
            {"name": "late", "restartCount": 0, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such"}}},
        ],
    },
}


def test_every_log_of_a_pod() -> None:
    found = [(log.shown, log.kind, log.state, log.missing_reason) for log in logs_of(POD, previous=True)]
    assert found == [
        ("api-1/migrate", "init", "terminated", None),
        # It waits for its next run and has the logs of its last ones.
        ("api-1/app", "container", "waiting", None),
        ("api-1/app (previous)", "container", "terminated", None),
        ("api-1/proxy", "container", "running", None),
        ("api-1/late", "container", "waiting", "it has not started (ErrImagePull: no such)"),
    ]
    chosen = logs_of(POD, previous=False, containers=frozenset({"app"}))
    assert [log.shown for log in chosen] == ["api-1/app"]
    assert pod_facts(POD) == {"name": "api-1", "phase": "Running", "ready": False, "node": "a", "restarts": 2}


def test_a_pod_without_a_status() -> None:
    bare = {"metadata": {"name": "new"}, "spec": {"containers": [{"name": "app"}]}}
    assert [(log.state, log.missing_reason) for log in logs_of(bare, previous=True)] == [("unknown", None)]
    assert pod_facts(bare)["ready"] is None


TEN = b"".join(b"line %d\n" % number for number in range(10))


@pytest.mark.parametrize(
    ("tail_lines", "max_bytes", "data", "cut_by"),
    [
        (10, 1000, TEN, None),
        (3, 1000, TEN[-21:], "tail_lines"),
        (10, 20, TEN[-14:], "max_bytes"),
        (1, 20, TEN[-7:], "max_bytes"),
    ],
)
def test_the_newest_part_is_kept(tail_lines: int, max_bytes: int, data: bytes, cut_by: str | None) -> None:
    for size in (1, 5, 1000):
        chunks = (TEN[at : at + size] for at in range(0, len(TEN), size))
        text = newest(chunks, Limits(tail_lines, max_bytes, time.monotonic() + 1000))
        assert (text.data, text.cut_by) == (data, cut_by)


def test_a_log_without_an_end_is_left_in_time() -> None:
    text = newest(iter([b"a\n", b"b\n"]), Limits(10, 1000, time.monotonic() - 1))
    assert (text.data, text.cut_by) == (b"a\n", "timeout")


def test_one_line_that_is_too_long() -> None:
    text = newest(iter([b"x" * 50, b"end\n"]), Limits(10, 10, time.monotonic() + 1000))
    assert (text.data, text.cut_by) == (b"xxxxxxend\n", "max_bytes")


def test_a_last_line_without_an_end() -> None:
    text = newest(iter([b"a\nb"]), Limits(1, 1000, time.monotonic() + 1000))
    assert (text.data, text.cut_by) == (b"b", "tail_lines")
