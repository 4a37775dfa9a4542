"""History: one file per run, read leniently, pruned by count, never anyone else's file."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.report import history


def moment(day: int, hour: int = 0) -> dt.datetime:
    return dt.datetime(2025, 10, day, hour, tzinfo=dt.timezone.utc)


def test_the_name_is_in_utc_whatever_the_zone() -> None:
    seoul = dt.timezone(dt.timedelta(hours=9))
    assert history.file_name(dt.datetime(2025, 10, 17, 9, 0, 4, tzinfo=seoul)) == "findings-20251017T000004Z.json"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("findings-20251017T000004Z.json", dt.datetime(2025, 10, 17, 0, 0, 4, tzinfo=dt.timezone.utc)),
        ("findings-20251317T000004Z.json", None),
        ("findings.json", None),
        ("findings-20251017T000004Z.json.bak", None),
        (".findings-20251017T000004Z.json.x.tmp", None),
    ],
)
def test_moment_of(name: str, found: dt.datetime | None) -> None:
    assert history.moment_of(name) == found


def test_a_file_holds_the_agreed_keys_and_nothing_else(make_finding: Callable[..., dict[str, Any]]) -> None:
    text = history.dump([make_finding(remedy="secret stuff", object="수동 검토")])
    assert json.loads(text) == [
        {
            "id": "queue.depth",
            "host": "storebridge-redis",
            "object": "수동 검토",
            "value": 1340,
            "unit": "count",
            "severity": "warning",
        }
    ]
    assert json.loads(history.dump([])) == []


@pytest.fixture
def kept(tmp_path: Path, make_finding: Callable[..., dict[str, Any]]) -> Path:
    for day in (1, 2, 3, 4):
        (tmp_path / history.file_name(moment(day))).write_text(
            history.dump([make_finding(value=day)]), encoding="utf-8"
        )
    (tmp_path / "notes.txt").write_text("not ours")
    return tmp_path


@pytest.mark.parametrize(
    ("choice", "days"),
    [
        ({}, [1, 2, 3, 4]),
        ({"before": moment(4)}, [1, 2, 3]),
        ({"since": moment(2)}, [2, 3, 4]),
        ({"newest": 2}, [3, 4]),
        ({"newest": 0}, []),
        ({"most_bytes": 0}, [4]),
        ({"most_bytes": 150}, [3, 4]),
        ({"before": moment(4), "newest": 1}, [3]),
    ],
)
def test_read_runs(kept: Path, choice: dict[str, Any], days: list[int]) -> None:
    runs, problems = history.read_runs(kept, **choice)
    assert [run["findings"][0]["value"] for run in runs] == days
    assert [run["measured_at"] for run in runs] == [f"2025-10-0{day}T00:00:00Z" for day in days]
    assert problems == []


def test_no_directory_is_an_empty_history(tmp_path: Path) -> None:
    assert history.read_runs(tmp_path / "never") == ([], [])
    assert history.surplus(tmp_path / "never", 3, "findings-20251017T000004Z.json") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{broken", "cannot be read as JSON"),
        ('{"a": 1}', "is not a list of findings"),
        ("[1]", "is not a list of findings"),
    ],
)
def test_a_broken_file_is_left_out_and_said(kept: Path, content: str, said: str) -> None:
    broken = kept / history.file_name(moment(2))
    broken.write_text(content)
    runs, problems = history.read_runs(kept)
    assert len(runs) == 3
    assert len(problems) == 1
    assert str(broken) in problems[0]
    assert said in problems[0]


@pytest.mark.parametrize(
    ("keep", "coming", "gone"),
    [
        (0, moment(5), []),
        (5, moment(5), []),
        (4, moment(5), [1]),
        (1, moment(5), [1, 2, 3, 4]),
        (4, moment(4), []),
        (3, moment(4), [1]),
    ],
)
def test_surplus(kept: Path, keep: int, coming: dt.datetime, gone: list[int]) -> None:
    assert [path.name for path in history.surplus(kept, keep, history.file_name(coming))] == [
        history.file_name(moment(day)) for day in gone
    ]
