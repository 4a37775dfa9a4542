"""Trying again: what passes is waited for, and what somebody else changed is decided anew."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.errors import ClusterError
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.persistence import anew, persist


@pytest.mark.parametrize(
    ("kinds", "tries", "raised"),
    [
        (["conflict", "conflict"], 3, None),
        (["conflict"] * 3, 3, "conflict"),
        (["busy", "timeout", "conflict", "busy"], 5, None),
        (["busy"] * 20, 10, "busy"),
        (["forbidden"], 1, "forbidden"),
        (["down"], 1, "down"),
    ],
)
def test_what_is_tried_again(kinds: list[str], tries: int, raised: str | None) -> None:
    now, left, count = [0.0], list(kinds), 0

    def attempt() -> str:
        nonlocal count
        count += 1
        if left:
            raise ClusterError("no", left.pop(0))
        return "done"

    def pause(seconds: float, _reason: str) -> None:
        now[0] += seconds

    def tried() -> str:
        return persist(attempt, timeout=10, sleep=1, pause=pause, clock=lambda: now[0])

    if raised:
        with pytest.raises(ClusterError) as error:
            tried()
        assert error.value.kind == raised
    else:
        assert tried() == "done"
    assert count == tries


@pytest.mark.parametrize(
    ("failures", "done", "tries"),
    [
        ([], False, 1),
        (["conflict", "conflict"], False, 3),
        (["conflict", "conflict", "conflict"], False, None),
        (["missing"], False, None),
        # A part is done already.
        (["conflict"], True, None),
    ],
)
def test_deciding_anew(failures: list[str], done: bool, tries: int | None) -> None:
    count = 0

    def attempt() -> int:
        nonlocal count
        count += 1
        if count <= len(failures):
            raise ClusterError("no", failures[count - 1])
        return count

    if tries is None:
        with pytest.raises(ClusterError) as error:
            anew(attempt, unless=lambda: done)
        assert (error.value.kind, count) == (failures[-1], len(failures))
    else:
        assert anew(attempt, unless=lambda: done) == tries


def test_other_kinds_of_being_late() -> None:
    failures = iter(["missing"])

    def attempt() -> str:
        for kind in failures:
            raise ClusterError("no", kind)
        return "done"

    assert anew(attempt, kinds=("conflict", "missing")) == "done"
