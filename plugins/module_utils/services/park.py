# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping services and bringing back those that ran: look, remember, stop; look, start, forget."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.services.alone import alone
from ansible_collections.runbook.ops.plugins.module_utils.services.client import Machine
from ansible_collections.runbook.ops.plugins.module_utils.services.model import COMPOSE, Service, services_from
from ansible_collections.runbook.ops.plugins.module_utils.services.parked import (
    Memory,
    Parked,
    read_parked,
    write_parked,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.survey import check_seconds

STATES = ("parked", "running")
_STOPPED = ("inactive", "failed")
_PAUSE_SECONDS = 0.5
_TIMES = 2


class NotReached(RunbookError):
    """A service is not as it should be in time; what was done until then travels along."""


def park_services(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Everything C(service_park) returns; raises RunbookError."""
    services = list(dict.fromkeys(services_from(params["services"])))
    if not services:
        raise InvalidOption("services", params["services"], "the services, each with its name")
    path = Path(params["state_path"])
    if not path.is_absolute():
        raise InvalidOption("state_path", params["state_path"], "an absolute path")
    if not 1 <= params["wait_timeout"] <= 86400:
        raise InvalidOption("wait_timeout", params["wait_timeout"], "seconds from 1 to 86400")
    machine = Machine(seconds=check_seconds(params["timeout"]), docker=params["docker"], lines=0)
    run = _Run(machine, services, path, params["state"] == "parked", float(params["wait_timeout"]), check_mode)
    with alone(path, "parking services here", check_mode=check_mode):
        return run.run()


@dataclass(frozen=True)
class Found:
    """A service as it is: whether anything of it runs, and which containers do; C(active) is what it says itself."""

    exists: bool
    running: bool
    active: bool
    reason: str
    containers: tuple[str, ...] = ()


@dataclass
class _Run:
    machine: Machine
    services: Sequence[Service]
    path: Path
    parks: bool
    wait_seconds: float
    check_mode: bool
    actions: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic

    def run(self) -> dict[str, Any]:
        parked = read_parked(self.path)
        found = {each.label: self._look(each) for each in self.services}
        before = self._figures(found, parked)
        missing = [
            Refusal(label, each.reason, "Name the service as the machine knows it.")
            for label, each in found.items()
            if not each.exists and (self.parks or label in parked)
        ]
        if missing:
            check_refusals(outcome(changed=False, actions=[], refused=missing, before=before, after=before), "fail")
        try:
            for service in self.services:
                (self._park if self.parks else self._bring_back)(service, found[service.label], parked)
        except RunbookError as error:
            error.details = {**self._result(before, None), **error.details}
            raise
        if self.check_mode:
            return self._result(before, None)
        return self._result(before, self._figures({each.label: self._look(each) for each in self.services}, parked))

    def _park(self, service: Service, found: Found, parked: Parked) -> None:
        known = parked.get(service.label)
        if known is None or (found.running and not known.knows(found.containers)):
            # Before it is stopped, so that there is no moment at which it is stopped and nobody knows that it ran.
            memory = Memory(iso(utc_now()), found.running, found.containers)
            parked[service.label] = known.with_more(memory) if known else memory
            if not found.running:
                self.notes.append(f"{service.label} did not run before it was parked, and stays so.")
            self._keep(parked)
        if not found.running:
            return
        self._act("park", service, "running", "stopped")
        if not self.check_mode:
            self._order(service, "stop", found.containers)
            self._wait(service, lambda now: not now.running, "still runs")

    def _bring_back(self, service: Service, found: Found, parked: Parked) -> None:
        memory = parked.get(service.label)
        if memory is None:
            return
        if memory.running and not found.running:
            self._act("unpark", service, "stopped", "running")
            if not self.check_mode:
                self._order(service, "start", memory.containers)
                self._wait(service, lambda now: now.active, "does not run")
        elif memory.running:
            self.notes.append(f"{service.label} runs already.")
        if not self.check_mode:
            del parked[service.label]
            self._keep(parked)

    # --- the machine
    def _look(self, service: Service) -> Found:
        (facts,) = self.machine.look([service], utc_now())
        if facts["exists"] is None:
            raise RunbookError(f"Nothing is known about {service.label}, and nothing was touched: {facts['reason']}.")
        if service.kind == COMPOSE:
            containers = self.machine.running_containers(service) if facts["exists"] else ()
            return Found(facts["exists"], bool(containers), facts["active"], facts["reason"] or "", containers)
        running = facts["exists"] and facts["state"] not in _STOPPED
        return Found(facts["exists"], running, facts["active"], facts["reason"] or "")

    def _order(self, service: Service, verb: str, containers: Sequence[str]) -> None:
        if service.kind == COMPOSE:
            answer = self.machine.docker(verb, *containers, seconds=self.wait_seconds)
            remedy = (
                f"docker compose --project-name {service.project} {'up -d' if verb == 'start' else verb} {service.name}"
            )
        else:
            answer = self.machine.systemctl(verb, "--", service.name, seconds=self.wait_seconds)
            remedy = f"systemctl {verb} {service.name}"
        if answer.code != 0:
            kept = " That it ran is still remembered: mend the cause and run the task again." if verb == "start" else ""
            raise NotReached(f"{service.label}: {verb} failed: {answer.reason.rstrip('.')}. By hand: {remedy}.{kept}")

    def _wait(self, service: Service, is_so: Callable[[Found], bool], what: str) -> None:
        """Until it is so twice in a row: what ends at once has run for a moment, too."""
        deadline = self.clock() + self.wait_seconds
        times = 0
        while True:
            times = times + 1 if is_so(self._look(service)) else 0
            if times == _TIMES:
                return
            if not times and self.clock() >= deadline:
                raise NotReached(
                    f"{service.label} {what} after {self.wait_seconds:g} seconds (wait_timeout). What ran is still"
                    " remembered: mend the cause and run the task again."
                )
            time.sleep(_PAUSE_SECONDS)

    def _keep(self, parked: Parked) -> None:
        if not self.check_mode:
            write_parked(self.path, parked)

    # --- telling
    def _act(self, action: str, service: Service, was: str, becomes: str) -> None:
        self.actions.append({"action": action, "object": service.label, "from": was, "to": becomes})

    def _figures(self, found: Mapping[str, Found], parked: Parked) -> dict[str, Any]:
        return {
            label: {
                "running": each.running,
                "parked": label in parked,
                "remembered_running": parked[label].running if label in parked else None,
            }
            for label, each in found.items()
        }

    def _result(self, before: Mapping[str, Any], after: Optional[Mapping[str, Any]]) -> dict[str, Any]:
        becomes = {each["object"]: each["action"] == "unpark" for each in self.actions}
        foreseen = {label: {**each, "running": becomes.get(label, each["running"])} for label, each in before.items()}
        return outcome(
            changed=bool(self.actions),
            actions=self.actions,
            before=before,
            after=after,
            diff={"before": dict(before), "after": foreseen},
            notes=self.notes,
        )
