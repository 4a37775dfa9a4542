# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Updates installed, proven, recorded, and undone."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import locked, write_file
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.packages.info import standing
from ansible_collections.runbook.ops.plugins.module_utils.packages.manager import Manager, manager_of
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import Installed, Update
from ansible_collections.runbook.ops.plugins.module_utils.packages.plan import (
    actions_of,
    check_plan,
    choose,
    not_reached,
)
from ansible_collections.runbook.ops.plugins.module_utils.packages.record import Record, Run
from ansible_collections.runbook.ops.plugins.module_utils.packages.stale import INIT

UPDATED, UNDONE, FINISHED = "updated", "undone", "finished"
_RESTART_SECONDS = 300.0


class Work:
    """One run of C(package_updates) on a machine."""

    def __init__(self, params: Mapping[str, Any], check_mode: bool) -> None:
        self.params = params
        self.check_mode = check_mode
        manager = manager_of(params)
        if manager is None:
            raise RunbookError("There is neither apt-get nor dnf on this machine; nothing was changed.")
        self.manager: Manager = manager
        self.place = Path(params["state_directory"])
        if params["max_packages"] < 1:
            raise InvalidOption("max_packages", params["max_packages"], "a number above zero")
        self.actions: list[dict[str, Any]] = []
        self.left: list[dict[str, str]] = []
        self.no_way_back: list[str] = []

    def run(self) -> dict[str, Any]:
        """Bring the machine to the state; the module's result."""
        self.manager.wait_for_lock()
        if self.check_mode:
            return self._result(*self._to_state())
        self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.place / "lock", "changing this machine's packages"):
            return self._result(*self._to_state())

    def _to_state(self) -> tuple[dict[str, Optional[str]], Optional[dict[str, Optional[str]]]]:
        steps = {UPDATED: self._update, UNDONE: self._undo, FINISHED: self._finish}
        return steps[self.params["state"]]()

    def _result(
        self, before: Mapping[str, Optional[str]], after: Optional[Mapping[str, Optional[str]]]
    ) -> dict[str, Any]:
        record = Record.load(self.place).facts()
        return {
            "changed": bool(self.actions),
            "actions": self.actions,
            "refused": [],
            "left": self.left,
            "no_way_back": self.no_way_back,
            "before": dict(before),
            "after": None if self.check_mode or after is None else dict(after),
            "diff": {"before": _lines(before), "after": _lines({**before, **_planned(self.actions)})},
            "record": record,
            **standing(self.manager, self.params["hold"]),
        }

    def _update(self) -> tuple[dict[str, Optional[str]], Optional[dict[str, Optional[str]]]]:
        record = Record.load(self.place)
        if self.manager.interrupted():
            self.actions.append(
                {
                    "action": "finish",
                    "object": "an interrupted installation",
                    "reason": "an earlier run was ended in the middle",
                }
            )
            if not self.check_mode:
                self.manager.repair()
        if self.params["refresh"]:
            self.manager.refresh()
        options = {name: self.params[name] for name in ("packages", "hold", "security_only")}
        chosen = choose(self.manager.pending().installs, versions=self.params["versions"], **options)
        self.left = chosen.left
        before: dict[str, Optional[str]] = {}
        if chosen.wanted:
            simulated = self.manager.simulate(chosen.wanted)
            check_plan(
                simulated.installs, simulated.removals, chosen.wanted, self.params["hold"], self.params["max_packages"]
            )
            before = {each.name: each.installed for each in simulated.installs}
            self.actions += actions_of(simulated.installs, simulated.removals, "update")
            if not self.check_mode:
                self._install(record, chosen.wanted, simulated.installs)
        if not self.check_mode and self.manager.interrupted():
            raise RunbookError(
                f"Packages are installed by half and could not be set up. See {self.manager.log} and dpkg --audit."
            )
        self._restart_stale(record)
        return before, None if self.check_mode else self._now(before)

    def _install(self, record: Record, wanted: Mapping[str, Optional[str]], installs: list[Update]) -> None:
        before = {each.name: each.installed for each in installs}
        kept = self.manager.keep({name: version for name, version in before.items() if version}, self.place / "kept")
        self.no_way_back = sorted(name for name, version in before.items() if version and name not in kept)
        if self.no_way_back and self.params["require_way_back"]:
            raise Refused(
                f"Of {', '.join(self.no_way_back)} the installed version is in no source any more, so that it could "
                "not come back. Nothing was changed. Leave the package out, or allow it with require_way_back: false."
            )
        run = record.opened(iso(utc_now()))
        if not run.packages:
            self._snapshot(run)
        run.add(before, {each.name: each.candidate for each in installs})
        # After a second update the file is that of the version in between.
        run.kept.update({name: file for name, file in kept.items() if run.packages[name] == before[name]})
        # What was there before is on the disk before anything is changed.
        record.save()
        self.manager.change(wanted)
        self._prove(wanted, {each.name: each.candidate for each in installs})

    def _prove(self, wanted: Mapping[str, Optional[str]], also: Mapping[str, Optional[str]]) -> None:
        wrong = not_reached(wanted, self.manager.installed(), also)
        if wrong:
            raise RunbookError(f"The packages are not as they should be: {'; '.join(wrong)}. See {self.manager.log}.")

    def _snapshot(self, run: Run) -> None:
        """All packages with their versions, as they were before the run."""
        lines = [f"{name} {each.version}\n" for name, each in sorted(self.manager.installed().items())]
        write_file(self.place / f"before-{run.started_at.replace(':', '')}.txt", "".join(lines).encode())

    def _undo(self) -> tuple[dict[str, Optional[str]], Optional[dict[str, Optional[str]]]]:
        record = Record.load(self.place)
        run = record.last
        if run is None or (self.params["only_open"] and not run.is_open):
            return {}, {}
        if self.manager.interrupted() and not self.check_mode:
            self.manager.repair()
        there = self.manager.installed()
        wanted = {name: version for name, version in run.packages.items() if _differs(there.get(name), version)}
        before: dict[str, Optional[str]] = {name: each.version for name in wanted if (each := there.get(name))}
        if wanted:
            by_file = {name: run.kept[name] for name in wanted if run.kept.get(name) and Path(run.kept[name]).exists()}
            named = {name: version for name, version in wanted.items() if name not in by_file}
            simulated = self.manager.simulate(named, list(by_file.values()))
            check_plan(simulated.installs, simulated.removals, wanted, [], self.params["max_packages"])
            self.actions += actions_of(simulated.installs, simulated.removals, "undo")
            if not self.check_mode:
                self.manager.change(named, list(by_file.values()))
                self._prove(wanted, {})
        if not self.check_mode:
            run.undone_at = iso(utc_now())
            record.save()
        self._restart_stale(record)
        return before, None if self.check_mode else self._now(wanted)

    def _finish(self) -> tuple[dict[str, Optional[str]], Optional[dict[str, Optional[str]]]]:
        record = Record.load(self.place)
        run = record.runs[-1] if record.runs else None
        if run is not None and run.is_open:
            self.actions.append(
                {"action": "finish", "object": "the record", "reason": f"of the run of {run.started_at}"}
            )
            if not self.check_mode:
                run.finished_at = iso(utc_now())
                record.save()
        return {}, {}

    def _restart_stale(self, record: Record) -> None:
        """Restart the services that use replaced files, as far as that is allowed."""
        if not self.params["restart_services"]:
            return
        for each in standing(None, self.params["hold"])["needs_restart"]:
            unit = each["unit"]
            if not each["may_restart"]:
                if unit is not None:
                    reason = f"it uses replaced files and {each['reason']}"
                    self.left.append({"object": unit, "version": "", "reason": reason})
                continue
            self.actions.append(
                {"action": "restart", "object": unit, "reason": f"it uses {each['files_count']} replaced files"}
            )
            if not self.check_mode:
                _restart(unit)
                if record.runs and record.runs[-1].is_open:
                    record.runs[-1].restarted.append(unit)
                    record.save()

    def _now(self, names: Mapping[str, object]) -> dict[str, Optional[str]]:
        there = self.manager.installed()
        return {name: there[name].version if name in there else None for name in names}


def _restart(unit: str) -> None:
    argv = ["systemctl", "daemon-reexec"] if unit == INIT else ["systemctl", "restart", unit]
    try:
        ended = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_RESTART_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise RunbookError(
            f"{unit} was not restarted within {_RESTART_SECONDS:g} s. See journalctl -u {unit}."
        ) from None
    if ended.returncode:
        raise RunbookError(f"{unit} could not be restarted: {ended.stderr.strip()[-300:]}. See journalctl -u {unit}.")


def _differs(now: Optional[Installed], version: Optional[str]) -> bool:
    if now is None or version is None:
        return (now is None) != (version is None)
    return now.version != version or not now.whole


def _planned(actions: list[dict[str, Any]]) -> dict[str, Optional[str]]:
    return {each["object"]: each["version_after"] for each in actions if "version_after" in each}


def _lines(versions: Mapping[str, Optional[str]]) -> str:
    return "".join(f"{name} {version or '-'}\n" for name, version in sorted(versions.items()))
