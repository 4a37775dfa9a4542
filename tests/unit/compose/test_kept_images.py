"""The images that releases may go back to, and records that do not say which."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.store import kept_images

RECORD = json.dumps({"history": [{"id": "a", "images": {"api": "1", "web": "2"}}, {"id": "b", "images": {"api": "3"}}]})


def test_images_of_all_projects(tmp_path: Path) -> None:
    assert kept_images(tmp_path / "nothing") == set()
    (tmp_path / "new" / "releases").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "release.json").write_text(RECORD, encoding="utf-8")
    # The folder of all projects, and a state directory itself.
    assert kept_images(tmp_path) == kept_images(tmp_path / "shop") == {"1", "2", "3"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"history": {}}', '{"history": [{"id": "a"}]}', '{"history": [{"images": null}]}']
)
def test_a_damaged_record_is_not_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "release.json").write_text(text, encoding="utf-8")
    with pytest.raises(RunbookError, match=r"shop/release.json does not say which images.*Nothing was removed"):
        kept_images(tmp_path)


def test_a_directory_that_may_not_be_read_is_not_empty() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "shop").mkdir()
        (root / "shop" / "release.json").write_text(RECORD, encoding="utf-8")
        (root / "shop").chmod(0)
        was = os.geteuid()
        try:
            if was == 0:
                os.seteuid(65534)
            with pytest.raises(RunbookError, match=r"shop/release.json .*PermissionError.*become: true"):
                kept_images(root)
        finally:
            os.seteuid(was)
            (root / "shop").chmod(0o700)
