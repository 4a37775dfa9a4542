"""What the report says of changes to queues and keys."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.changes_from_results import Context, changes_of

BEFORE = {"paused": False, "counts": {"waiting": 412, "failed": 7, "blocked": None}}


def told(result: dict[str, Any], **context: Any) -> list[tuple[str, str, str, str, list[tuple[Any, ...]]]]:
    return [
        (
            each["status"],
            each["action"],
            each["object"],
            each["reason"],
            [(figure["name"], figure["before"], figure["after"]) for figure in each["figures"]],
        )
        for each in changes_of(result, Context(**context))
    ]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            {
                "changed": True,
                "actions": [{"action": "pause", "queue": "mail"}],
                "before": BEFORE,
                "after": {**BEFORE, "paused": True},
            },
            [("done", "pause", "mail", "", [("paused", False, True)])],
        ),
        (
            {"changed": True, "actions": [{"action": "pause", "queue": "mail"}], "before": BEFORE, "after": None},
            [("planned", "pause", "mail", "", [])],
        ),
        (
            {
                "changed": True,
                "actions": [{"action": "remove", "queue": "mail", "state": "waiting", "jobs": 412}],
                "before": BEFORE,
                "after": {"paused": False, "counts": {"waiting": 0, "failed": 7, "blocked": None}},
            },
            [("done", "remove", "mail, waiting", "412 jobs", [("waiting", 412, 0)])],
        ),
        (
            {
                "changed": True,
                "actions": [{"action": "remove", "queue": "mail", "state": "waiting", "jobs": 412}],
                "before": BEFORE,
                "after": None,
            },
            [("planned", "remove", "mail, waiting", "412 jobs", [("waiting", 412, None)])],
        ),
        (
            {
                "changed": True,
                "actions": [{"action": "retry", "queue": "mail", "reason": "boom <n>", "count": 1}],
                "before": {"failed": 7, "waiting": 3, "paused": None},
                "after": {"failed": 6, "waiting": 4, "paused": None},
            },
            [("done", "retry", "mail", "1 job failed with: boom <n>", [("failed", 7, 6), ("waiting", 3, 4)])],
        ),
        (
            {
                "changed": True,
                "actions": [
                    {"action": "unlink", "pattern": "cache:*", "group": "cache:", "count": 1200, "bytes": 3_100_000}
                ],
                "before": {"matching": 1200, "without_ttl": 3, "due": 1200},
                "after": {"matching": 0, "without_ttl": 0, "due": 0},
            },
            [
                (
                    "done",
                    "unlink",
                    "cache:*",
                    "1,200 keys of 3.1 MB",
                    [("matching", 1200, 0), ("without ttl", 3, 0), ("due", 1200, 0)],
                )
            ],
        ),
    ],
)
def test_changes(result: dict[str, Any], expected: list[Any]) -> None:
    assert told(result) == expected


def test_what_a_retry_leaves_alone_is_said() -> None:
    result = {
        "changed": False,
        "actions": [],
        "refused": [{"object": "2 failed jobs of mail (7, 9)", "reason": "no data", "remedy": "empty them"}],
        "before": {"failed": 2},
        "after": {"failed": 2},
    }
    assert told(result) == [("refused", "", "2 failed jobs of mail (7, 9)", "no data", [])]
