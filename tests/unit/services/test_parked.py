"""What is remembered of services that are stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.services.parked import Memory, read_parked, write_parked

NOW, LATER = "2026-01-31T03:00:00Z", "2026-01-31T04:00:00Z"


@pytest.mark.parametrize(
    ("known", "found", "kept"),
    [
        # It ran, and was found stopped by a second run.
        (Memory(NOW, True, ("a",)), Memory(LATER, False), Memory(NOW, True, ("a",))),
        # It did not run, and somebody has started it since.
        (Memory(NOW, False), Memory(LATER, True, ("a",)), Memory(NOW, True, ("a",))),
        # A container more.
        (Memory(NOW, True, ("a",)), Memory(LATER, True, ("b", "a")), Memory(NOW, True, ("a", "b"))),
    ],
)
def test_it_never_becomes_less(known: Memory, found: Memory, kept: Memory) -> None:
    assert known.with_more(found) == kept
    assert kept.knows(found.containers)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "parked.json"
    assert read_parked(path) == {}
    parked = {"shop/api": Memory(NOW, True, ("a", "b")), "web.service": Memory(LATER, False)}
    write_parked(path, parked)
    assert read_parked(path) == parked
    path.write_text("[]")
    with pytest.raises(RunbookError, match="cannot be read, so that nobody knows what ran"):
        read_parked(path)
