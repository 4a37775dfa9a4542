"""Log lines that say the same thing are counted together."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.logs.messages import normalise, top_messages


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2025-10-16 09:00:01,123 ERROR Rate limit exceeded", "ERROR Rate limit exceeded"),
        ("[2025-10-16T09:00:01.5+09:00] ERROR x", "ERROR x"),
        ("Oct 16 09:00:01 host app[123]: failed", "host app[<n>]: failed"),
        ("09:00:01 retry at 10:11:12.5", "retry at <time>"),
        ("item 3f2504e0-4f89-11d3-9a0c-0305e82c3301 failed", "item <id> failed"),
        ("10.0.0.1:8080 refused", "<address> refused"),
        ("fe80:0:0:0:1:2:3:4 refused", "<address> refused"),
        ("at 0xdeadBEEF", "at <hex>"),
        ("commit 9f86d081884c7d65", "commit <hex>"),
        ("facade decade", "facade decade"),
        ("took 12ms, 3.5 of 1,000", "took <n>ms, <n> of <n>"),
        ("worker-3 of task_42 v1.2.3", "worker-<n> of task_<n> v<n>.<n>"),
        ("delta -5 +7", "delta <n> <n>"),
        # The status is the message.
        ("Naver API 503 for item 8", "Naver API 503 for item <n>"),
        ("HTTP/1.1 502 from upstream", "HTTP/<n> 502 from upstream"),
        ("status=429 after 10 calls", "status=429 after <n> calls"),
        ("status 9000", "status <n>"),
        ("Completed 500 Internal Server Error in 12ms", "Completed 500 Internal Server Error in <n>ms"),
        ("Completed 200 of 300 items", "Completed <n> of <n> items"),
        ("\x1b[31mERROR\x1b[0m  two   spaces", "ERROR two spaces"),
        ("\uc7ac\uace0 12 \ubd80\uc871", "\uc7ac\uace0 <n> \ubd80\uc871"),
        ("", ""),
    ],
)
def test_normalise(line: str, message: str) -> None:
    assert normalise(line) == message


def test_long_messages_are_cut() -> None:
    assert normalise("word " * 100)[-1] == "…"
    assert len(normalise("word " * 100)) == 200


def test_top_messages() -> None:
    lines = ["a 1", "b", "a 2", "c", "a 3", "b"]
    assert top_messages(lines, 2) == [
        {"message": "a <n>", "count": 3, "example": "a 1"},
        {"message": "b", "count": 2, "example": "b"},
    ]
    assert top_messages([], 5) == []
