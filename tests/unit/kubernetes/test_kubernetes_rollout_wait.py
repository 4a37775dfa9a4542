"""How long a rollout is waited for, and what is said meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_wait import _Wait

LATE = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}


def web(updated: int, *, late: bool = False, paused: bool = False) -> dict[str, Any]:
    status = {"observedGeneration": 1, "replicas": 2, "availableReplicas": 2, "updatedReplicas": updated}
    return {
        "metadata": {"name": "web", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 2, "paused": paused},
        "status": {**status, "conditions": [LATE] if late else []},
    }


def failure(kind: str) -> ClusterError:
    return ClusterError(f"the server is {kind}.", kind)


class Script:
    """A cluster whose answers are given; the last one stays."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.now = 0.0

    def read(self, *_: Any) -> dict[str, Any]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, ClusterError):
            raise answer
        return dict(answer)

    def list(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        return []

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("answers", "done", "reason", "lines", "seconds"),
    [
        ([web(0), web(1), web(1), web(2)], True, None, ["0 of 2", "1 of 2", "2 of 2"], 3),
        # What passes is waited for, and said.
        (
            [web(1), failure("busy"), failure("busy"), failure("timeout"), web(2)],
            True,
            None,
            ["1 of 2", "1 of 2 updated, 2 available, 1 old (the server is busy)", "1 of 2", "2 of 2"],
            4,
        ),
        ([failure("busy")], False, "the server is busy", ["not known yet (the server is busy)"], 10),
        # What does not pass ends it at once.
        ([web(1), failure("forbidden")], False, "the server is forbidden", ["1 of 2", "1 of 2"], 1),
        ([web(1), failure("missing")], False, "the server is missing", ["1 of 2", "1 of 2"], 1),
        ([web(1, paused=True)], False, "it is paused", ["1 of 2 updated, 2 available, 1 old, paused"], 0),
        # Left from the rollout before, and then not.
        ([web(0, late=True), web(1), web(2)], True, None, ["0 of 2", "1 of 2", "2 of 2"], 2),
        ([web(1, late=True)], False, "it made no progress for 600 seconds", ["1 of 2"], 3),
    ],
)
def test_waits(answers: list[Any], done: bool, reason: str | None, lines: list[str], seconds: float) -> None:
    script, said = Script(*answers), list[str]()
    wait = _Wait(
        script,  # type: ignore[arg-type]
        "deployment",
        "shop",
        "web",
        said.append,
        script.sleep,
        lambda: script.now,
    )
    found = wait.run(10, 1)
    assert found.done is done
    assert (found.reason is None) if reason is None else str(found.reason).startswith(reason)
    assert len(said) == len(lines), said
    assert all(line.startswith(start) for line, start in zip(said, lines, strict=True)), said
    assert script.now == seconds
