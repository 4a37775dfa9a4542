"""Where going back goes, and what it puts back on the way."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.back import GoingBack

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)
WORKS, FAILS = {"api": ["true"]}, {"api": ["false"]}


def going_back(place: Path, state: dict[str, Any], undrain: dict[str, Any]) -> GoingBack:
    (place / "release.json").write_text(json.dumps({"current": "new", "previous": "old", **state}), encoding="utf-8")
    project = Project("shop", place, (), (), (), place)
    options = {"release": None, "stateful_services": None, "undrain": undrain, "hook_timeout": 60}
    return GoingBack(Docker(), project, options, NOW, check_mode=False)


def doing(what: str, release: str) -> dict[str, Any]:
    return {"in_progress": {"doing": what, "id": release, "at": "2026-01-31T00:00:00Z", "drained": "api"}}


@pytest.mark.parametrize(
    ("state", "target"),
    [
        ({}, "old"),
        ({"rolled_back_from": "newer"}, None),
        # An interrupted release is what one goes back from, also one after a way back; a way back goes on.
        (doing("release", "newest"), "new"),
        ({**doing("release", "newest"), "rolled_back_from": "newer"}, "new"),
        (doing("roll_back", "old"), "old"),
        # Made anew is no release, and what it left out of the balancer is put back.
        (doing("recreate", "new"), "old"),
        ({**doing("recreate", "new"), "rolled_back_from": "newer"}, "new"),
    ],
)
def test_where_it_goes(tmp_path: Path, state: dict[str, Any], target: str | None) -> None:
    assert going_back(tmp_path, state, WORKS).target() == target


@pytest.mark.parametrize(("undrain", "wrong"), [(WORKS, 0), (FAILS, 1)])
def test_what_an_interrupted_run_drained_is_forgotten_only_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undrain: dict[str, Any], wrong: int
) -> None:
    back = going_back(tmp_path, doing("release", "newest"), undrain)
    monkeypatch.setattr(back, "raw", list)
    assert back.left_drained([]) == ["api"]
    actions, found = back.back([], None)
    assert (actions, len(found)) == ([], wrong)
    assert back.left_drained([]) == ["api"] * wrong
