"""What a watching action decides without a module."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils import watched
from ansible_collections.runbook.ops.plugins.plugin_utils.watching.place import LocalPlace


@pytest.mark.parametrize(
    ("callback", "shown"),
    [
        ("default", True),
        ("ansible.builtin.default", True),
        ("awx_display", True),
        ("community.general.yaml", True),
        ("ansible.posix.json", False),
        ("ansible.posix.jsonl", False),
        ("minimal", False),
        ("oneline", False),
        ("community.general.dense", False),
        ("community.general.unixy", False),
        ("community.general.selective", False),
        ("community.general.null", False),
        ("a.company.own", False),
        (None, False),
    ],
)
def test_only_callbacks_for_people_are_printed_beside(callback: object, shown: bool) -> None:
    assert watched.is_shown(callback) is shown


def test_a_paused_reader_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pager at its first page: the pipe fills up, and a line would block the watching."""
    read, write = os.pipe()
    try:
        monkeypatch.setattr(watched, "display", SimpleNamespace(_final_q=SimpleNamespace(_writer=write)))
        assert watched._is_queue_full() is False
        os.set_blocking(write, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(write, b"x" * 4096)
        assert watched._is_queue_full() is True
    finally:
        os.close(read)
        os.close(write)
    monkeypatch.setattr(watched, "display", SimpleNamespace(_final_q=None))
    assert watched._is_queue_full() is False


@pytest.mark.parametrize(
    ("content", "stage"),
    [
        (None, "empty"),
        ("", "empty"),
        ('{"started": true, "finished": false, "ansible_job_id": "j1.2"}', "running"),
        ('{"started": 1, "finished": 0, "ansible_job_id": "j1.2"}', "running"),
        ('{"changed": false}', "ended"),
        ('{"changed": false, "rows": [' + "1, " * 400 + "1]}", "ended"),
    ],
)
def test_stages_of_a_job(tmp_path: Any, content: str | None, stage: str) -> None:
    place = LocalPlace.make(str(tmp_path))
    if content is not None:
        (tmp_path / place.directory / "j1.2").write_text(content, encoding="utf-8")
    (tmp_path / place.directory / "j1.2.tmp").write_text("half", encoding="utf-8")
    assert place.look().stage == stage
    place.remove()
    assert place.look().stage == "gone"
    assert list(tmp_path.iterdir()) == []
