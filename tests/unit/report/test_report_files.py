"""Atomic writing: the old file or the new one, with the asked mode, and one clear sentence when it cannot be."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.plugin_utils.report.files import differs, write_atomically


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_written_with_the_mode_and_without_remains(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "new" / "report.html"
    write_atomically(path, "한국어", mode)
    assert path.read_text(encoding="utf-8") == "한국어"
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert list(path.parent.iterdir()) == [path]
    assert not differs(path, "한국어", mode)


def test_what_counts_as_different(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    assert differs(path, "a", 0o640)
    write_atomically(path, "a", 0o640)
    assert not differs(path, "a", 0o640)
    assert differs(path, "b", 0o640)
    assert differs(path, "a", 0o644)
    path.write_bytes(b"\xff\xfe")
    assert differs(path, "a", 0o640)


def test_a_directory_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunbookError) as caught:
        write_atomically(tmp_path / "file" / "report.html", "x", 0o640)
    assert caught.value.message == (
        f"Cannot write {tmp_path}/file/report.html: File exists. "
        "Choose a directory that the user running Ansible may write to."
    )


def test_a_failure_leaves_the_old_file_and_no_remains(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.mkdir()
    (target / "inside").write_text("x")
    with pytest.raises(RunbookError):
        write_atomically(target, "new", 0o640)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
