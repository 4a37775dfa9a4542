"""Runs of updates on a machine whose package manager is played: what is kept for the way back, what counts as done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.packages import change
from ansible_collections.runbook.ops.plugins.module_utils.packages.apt_output import Simulated
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed, Update
from ansible_collections.runbook.ops.plugins.module_utils.packages.record import Record


class Manager:
    """One package, C(shop), whose installation may stay half done."""

    def __init__(self) -> None:
        self.there = "1.0"
        self.newest = "1.1"
        self.is_whole = True
        self.log = Path("/var/log/updates.log")
        self.files: list[str] = []

    def wait_for_lock(self) -> None:
        """Nobody else works."""

    def repair(self) -> None:
        """It does not help."""

    def interrupted(self) -> bool:
        return not self.is_whole

    def kernels(self) -> list[str]:
        return []

    def installed(self) -> dict[str, Installed]:
        return {"shop": Installed(self.there, self.is_whole)}

    def pending(self) -> Simulated:
        return Simulated([] if self.there == self.newest else [Update("shop", self.there, self.newest)])

    def keep(self, versions: Mapping[str, str], place: Path) -> dict[str, str]:
        place.mkdir(exist_ok=True)
        kept = {name: place / f"{name}_{version}_all.deb" for name, version in versions.items()}
        for name, file in kept.items():
            file.write_text(versions[name])
        return {name: str(file) for name, file in kept.items()}

    def simulate(self, wanted: Mapping[str, Any], files: Sequence[str] = ()) -> Simulated:
        return Simulated([Update("shop", self.there, self._aim(wanted, files))])

    def change(self, wanted: Mapping[str, Any], files: Sequence[str] = ()) -> None:
        self.there = self._aim(wanted, files)

    def _aim(self, wanted: Mapping[str, Any], files: Sequence[str]) -> str:
        return Path(files[0]).read_text() if files else str(wanted["shop"])


PARAMS = {
    "state": "updated", "packages": ["*"], "hold": [], "security_only": False, "versions": None, "refresh": False,
    "max_packages": 9, "require_way_back": True, "restart_services": False, "only_open": False,
}  # fmt: skip


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    made = Manager()
    monkeypatch.setattr(change, "manager_of", lambda _params: made)
    return made


def test_two_updates_in_one_run_go_back_to_the_version_before_both(manager: Manager, tmp_path: Path) -> None:
    params = {**PARAMS, "state_directory": str(tmp_path)}
    change.Work(params, check_mode=False).run()
    manager.newest = "1.2"
    change.Work(params, check_mode=False).run()
    (run,) = Record.load(tmp_path).runs
    assert run.packages == {"shop": "1.0"}
    assert Path(run.kept["shop"]).read_text() == "1.0"
    undone = change.Work({**params, "state": "undone"}, check_mode=False).run()
    assert undone["after"] == {"shop": "1.0"}


def test_what_is_installed_by_half_is_not_green_in_the_next_run(manager: Manager, tmp_path: Path) -> None:
    params = {**PARAMS, "state_directory": str(tmp_path)}
    manager.there, manager.is_whole = "1.1", False
    assert change.Work(params, check_mode=True).run()["actions"][0]["action"] == "finish"
    with pytest.raises(RunbookError, match=r"installed by half .* See /var/log/updates.log and dpkg --audit"):
        change.Work(params, check_mode=False).run()
