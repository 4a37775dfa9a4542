"""Figures from run to run."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.host.history import keep_figures

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)
FIGURES = [{"name": "disk /", "value": 5.0, "limit": 10.0}, {"name": "unknown", "value": None, "limit": None}]


def keep(place: Path, now: dt.datetime = NOW, *, check_mode: bool = False, **more: Any) -> dict[str, Any]:
    given = {"path": str(place), "figures": FIGURES, "keep": 3, "max_age": "90d", "min_interval": "1h", **more}
    return keep_figures(given, now, check_mode=check_mode)


def test_points_are_added_in_time_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "host.json"
    assert keep(path, check_mode=True)["changed"]
    assert not path.parent.exists()
    assert keep(path)["added_count"] == 1
    # A second run, and one a little later, change nothing.
    for minutes in (0, 59):
        again = keep(path, NOW + dt.timedelta(minutes=minutes))
        assert (again["changed"], again["added_count"]) == (False, 0)
    for hours in (1, 2, 3):
        result = keep(path, NOW + dt.timedelta(hours=hours))
    assert [point["at"] for point in result["series"][0]["points"]] == [
        "2026-01-31T01:00:00Z",
        "2026-01-31T02:00:00Z",
        "2026-01-31T03:00:00Z",
    ]
    assert result["series"][0]["limit"] == 10.0
    assert path.stat().st_mode & 0o777 == 0o600
    # Too old, and from a clock that was wrong.
    assert keep(path, NOW + dt.timedelta(days=100), figures=[])["series"] == []
    keep(path, NOW + dt.timedelta(days=200))
    assert len(keep(path, NOW)["series"][0]["points"]) == 1


@pytest.mark.parametrize("content", ["", "{", '{"version":2,"series":{}}', '{"version":1,"series":{"a":[[1]]}}', "[]"])
def test_a_file_that_cannot_be_read_is_not_lost(tmp_path: Path, content: str) -> None:
    path = tmp_path / "host.json"
    path.write_text(content, encoding="utf-8")
    result = keep(path)
    assert result["problem"]
    assert (tmp_path / "host.json.unreadable").read_text(encoding="utf-8") == content
    assert json.loads(path.read_text(encoding="utf-8"))["series"] == {"disk /": [[1769817600, 5.0, 10.0]]}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"keep": 1}, "keep: 1 is not accepted. Accepted: a number from 2 to 10000."),
        ({"max_age": "long"}, "max_age: 'long' is not accepted."),
        ({"path": "here.json"}, "path: 'here.json' is not accepted. Accepted: an absolute path of a file."),
        ({"figures": [{"name": "", "value": 1.0}]}, "figures.name: '' is not accepted."),
        ({"figures": [{"name": "a", "value": float("nan")}]}, "figures.value: nan is not accepted."),
    ],
)
def test_bad_options(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        keep(tmp_path / "host.json", **more)
    assert caught.value.message.startswith(message)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunbookError, match="Cannot make"):
        keep(tmp_path / "file" / "host.json")
