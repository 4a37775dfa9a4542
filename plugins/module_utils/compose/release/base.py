# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What releasing, going back and making anew have in common: the state, one service at a time, the result."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker, DockerFailed
from ansible_collections.runbook.ops.plugins.module_utils.compose.containers import (
    LABEL,
    container_facts,
    is_one_off,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import Declared
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.gate import (
    bring_up,
    run_hook,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.plan import (
    Step,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.store import Store
from ansible_collections.runbook.ops.plugins.module_utils.compose.services import service_facts

# What a run does, as its record says it.
RELEASE, ROLL_BACK, RECREATE = "release", "roll_back", "recreate"


class Base:
    """One run over one project."""

    def __init__(
        self, docker: Docker, project: Project, options: Mapping[str, Any], now: dt.datetime, *, check_mode: bool
    ) -> None:
        self.docker = docker
        self.project = project
        self.options = options
        self.now = now
        self.check_mode = check_mode
        self.store = Store(project)
        self.state = self.store.load()
        self.evidence: list[dict[str, Any]] = []
        self.is_out: Optional[str] = None

    def pinned(self) -> dict[str, str]:
        """The images of the release that runs, for the services that this one does not touch."""
        entry = self.entry(self.state["current"])
        return dict(entry["images"]) if entry else {}

    def definition_text(self, project: Project) -> str:
        """The definition with everything filled in, as a Compose file. It holds secrets."""
        ended = self.docker.compose(project, "config")
        if ended.code:
            raise DockerFailed(
                f"The definition of {project.name} is not valid: {ended.words[-300:]}", words=ended.words
            )
        return ended.output

    def facts(
        self, project: Project, declared: Mapping[str, Declared], names: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """What runs of some services, held against a definition."""
        hashes = self.docker.hashes(project, self.docker.resolve(project).model)
        raw = self.raw()
        containers = [container_facts(each, self.now) for each in raw]
        return {
            name: service_facts(
                name,
                declared[name],
                [each for each in containers if each["service"] == name],
                is_expected=True,
                current_image_id=None,
                config_hashes=hashes.get(name, ()),
            )
            for name in names
        }

    def raw(self) -> list[dict[str, Any]]:
        """The project's containers."""
        found = self.docker.containers(f"label={LABEL}.project={self.project.name}")
        return [each for each in found if not is_one_off(each)]

    def one(self, project: Project, service: Declared, image: Optional[str], *, force: bool) -> None:
        """One service: out of the balancer, made anew, watched, and back in."""
        options = self.options
        # What this run took out and could not put back is out still, and a balancer may not say so of what is down.
        if options["drain"].get(service.name) and service.name != self.is_out:
            self.state["in_progress"]["drained"] = service.name
            self.store.save(self.state)
            run_hook(options["drain"], service.name, "drain", options["hook_timeout"])
            self.is_out = service.name
        bring_up(
            self.docker, project, service, image=image,
            seconds=options["wait_timeout"], settle=options["settle_seconds"], force=force,
        )  # fmt: skip
        run_hook(options["undrain"], service.name, "put back", options["hook_timeout"])
        self.state["in_progress"]["drained"] = self.is_out = None

    def left_drained(self, steps: Sequence[Step]) -> list[str]:
        """The service that an interrupted run took out of the balancer, if no step puts it back anyway."""
        drained = (self.state["in_progress"] or {}).get("drained")
        return [drained] if drained and drained not in [step.service for step in steps] else []

    def undrain(self, left: Sequence[str]) -> None:
        """Put back what an interrupted run left out; raises GateClosed."""
        for name in left:
            run_hook(self.options["undrain"], name, "put back", self.options["hook_timeout"])
            self.state["in_progress"]["drained"] = None

    def begin(self, doing: str, release: str) -> None:
        """Note what is about to happen, so that a run after an interruption knows."""
        drained = (self.state["in_progress"] or {}).get("drained")
        self.state["in_progress"] = {"doing": doing, "id": release, "at": iso(self.now), "drained": drained}
        self.store.save(self.state)

    def commit(self, release: str, images: Mapping[str, str], *, shifts: bool) -> None:
        """The release is the one that runs."""
        state = self.state
        if state["current"] != release:
            # Without a step nothing else runs than before: there is nothing to go back to that is not there.
            state["previous"] = state["current"] if shifts else state["previous"]
            state["current"] = release
        state["rolled_back_from"] = state["in_progress"] = None
        self.remember(release, images)
        self.store.pin(images)
        self.store.save(state)

    def remember(self, release: str, images: Mapping[str, str]) -> None:
        """Put a release at the end of the history."""
        history = [each for each in self.state["history"] if each["id"] != release]
        self.state["history"] = [*history, {"id": release, "at": iso(self.now), "images": dict(images)}]

    def entry(self, release: Optional[str]) -> dict[str, Any] | None:
        """A release of the history."""
        found: list[dict[str, Any]] = [each for each in self.state["history"] if each["id"] == release]
        return found[0] if found else None

    def images(self) -> dict[str, list[str]]:
        """The images that run, by service."""
        found: dict[str, list[str]] = {}
        for each in self.raw():
            name = each["Config"]["Labels"].get(f"{LABEL}.service", "")
            found[name] = sorted({*found.get(name, []), each["Image"]})
        return dict(sorted(found.items()))

    def result(
        self,
        actions: Sequence[Mapping[str, Any]],
        before: Mapping[str, Any],
        *,
        release: Optional[str],
        after: Mapping[str, Any] | None,
        steps: Sequence[Step],
        changed: bool = False,
        is_new: bool = False,
    ) -> dict[str, Any]:
        """The module's result."""
        lines = {each.service: each.to_image or "" for each in steps}
        shown = after if after is not None else {**before, **{name: [each] for name, each in lines.items()}}
        return outcome(
            changed=bool(actions) or changed,
            actions=actions,
            before={"images": dict(before)},
            after=None if after is None else {"images": dict(after)},
            release=release,
            previous=self.state["previous"],
            is_new=is_new,
            rolled_back=False,
            failed_service=None,
            evidence=self.evidence,
            diff={"before": _lines(before), "after": _lines(shown)},
        )


def undrain_actions(left: Sequence[str]) -> list[dict[str, Any]]:
    """The entries of C(actions) for what an interrupted run left out of its balancer."""
    return [{"action": "undrain", "object": name, "reason": "an interrupted run left it out"} for name in left]


def _lines(images: Mapping[str, Sequence[str]]) -> str:
    return "".join(f"{name}: {', '.join(each or 'unknown' for each in ids)}\n" for name, ids in sorted(images.items()))
