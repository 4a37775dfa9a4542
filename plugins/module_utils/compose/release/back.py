# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going back: after a gate that closed, and when somebody asks for it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.compose.containers import (
    LABEL,
    environment_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import Declared, services_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.base import (
    RELEASE,
    ROLL_BACK,
    Base,
    undrain_actions,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.gate import (
    GateClosed,
    evidence_of,
    run_hook,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.images import (
    missing_images,
    protect,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.plan import (
    Step,
    steps_of,
)

_REMOVE = "remove"


class GoingBack(Base):
    """The ways back of one run."""

    def fallback(self, declared: Mapping[str, Declared]) -> Path | None:
        """The definition to go back to: the last good release; before the first one, what runs now."""
        if self.state["current"] is not None and self.store.definition(self.state["current"]).is_file():
            return self.store.definition(self.state["current"])
        raw = self.raw()
        if not raw:
            return None
        model = copy.deepcopy(dict(self.docker.resolve(self.project).model))
        images: dict[str, str] = {}
        for each in raw:
            name = each["Config"]["Labels"].get(f"{LABEL}.service", "")
            if name not in declared:
                continue
            service = model["services"][name]
            service["image"] = each["Image"]
            service.pop("build", None)
            service["environment"] = {key: value.replace("$", "$$") for key, value in environment_of(each).items()}
            if not declared[name].is_stateful:
                images[name] = each["Image"]
        text = json.dumps(model, indent=1)
        release = hashlib.sha256(text.encode()).hexdigest()[:12]
        path = self.store.keep_definition(release, text)
        self.state["current"] = release
        self.remember(release, images)
        protect(self.docker, self.project, images)
        return path

    def give_up(
        self,
        error: RunbookError,
        done: Sequence[Step],
        fallback: Path | None,
        actions: list[dict[str, Any]],
        before: Mapping[str, Any],
        release: str,
    ) -> None:
        """Keep the evidence, go back, and fail with both."""
        self.evidence = evidence_of(
            self.docker, self.project, [done[-1].service] if done else [], self.options["log_lines"], self.now
        )
        undone, wrong = self.back(done, fallback)
        self.state["failed"] = {"id": release, "at": iso(self.now), "reason": error.message}
        if not wrong:
            self.state["in_progress"] = None
        self.store.save(self.state)
        touched = {step.service for step in done}
        actions[:] = [each for each in actions if each["object"] in touched] + undone
        result = self.result(actions, before, release=self.state["current"], after=self.images(), steps=done)
        result.update(changed=True, rolled_back=not wrong, failed_service=done[-1].service if done else None)
        if wrong:
            text = f"Going back failed as well: {'; '.join(wrong)}. Look at it at once."
        else:
            names = ", ".join(each["object"] for each in undone) or "nothing had changed"
            text = f"Rolled back: {names}. The evidence has the log."
        raise GateClosed(f"{error.message.rstrip('.')}. {text}", **result)

    def back(self, done: Sequence[Step], fallback: Path | None) -> tuple[list[dict[str, Any]], list[str]]:
        """Undo the steps, the last one first, and those of an interrupted run before: actions, and what went wrong."""
        actions, wrong = [], []
        project = self.project.resolved(fallback) if fallback else None
        old = services_of(self.docker.resolve(project).model, self.options["stateful_services"]) if project else {}
        for step in [*reversed(done), *self.of_an_interrupted_run(done)]:
            try:
                if step.from_image is None or project is None or step.service not in old:
                    self.remove(step.service)
                    actions.append({"action": _REMOVE, "object": step.service, "reason": "it did not run before"})
                elif self.is_back(project, old, step):
                    run_hook(self.options["undrain"], step.service, "put back", self.options["hook_timeout"])
                else:
                    self.one(project, old[step.service], None, force=False)
                    back = Step(step.service, "the release failed", step.to_image, step.from_image)
                    actions.append(back.as_action(ROLL_BACK))
            except RunbookError as error:
                wrong.append(error.message.rstrip("."))
        try:
            self.undrain(self.left_drained(done))
        except RunbookError as error:
            wrong.append(error.message.rstrip("."))
        return actions, wrong

    def of_an_interrupted_run(self, done: Sequence[Step]) -> list[Step]:
        """What runs in another version than the last good release, and is none of this run's steps."""
        entry = self.entry(self.state["current"]) or {"images": {}}
        touched = {step.service for step in done}
        running = self.images()
        return [
            Step(name, "an interrupted run released it", image, running[name][0])
            for name, image in entry["images"].items()
            if name not in touched and running.get(name, [image]) != [image]
        ]

    def is_back(self, project: Project, old: Mapping[str, Declared], step: Step) -> bool:
        """Whether a service runs as it did before the release."""
        facts = self.facts(project, old, [step.service])
        return not steps_of([step.service], facts, {step.service: step.from_image})

    def remove(self, service: str) -> None:
        """Remove a service's containers; its volumes stay."""
        self.docker.compose(self.project, "rm", "--stop", "--force", service, seconds=self.options["wait_timeout"] + 60)

    def roll_back(self) -> dict[str, Any]:
        """Go back to the release before this one, or to a named one."""
        target = self.target()
        before = self.images()
        if target is None:
            return self.result([], before, release=self.state["current"], after=before, steps=[])
        path = self.store.definition(target)
        if not path.is_file():
            raise Refused(
                f"The definition of release {target} is gone from {path}. Release the wanted version instead."
            )
        entry = self.entry(target) or {"images": {}}
        project = self.project.resolved(path)
        declared = services_of(self.docker.resolve(project).model, self.options["stateful_services"])
        names = [name for name in (self.options["services"] or entry["images"]) if name in declared]
        targets = {name: entry["images"].get(name) for name in names}
        gone = missing_images(
            {name: each for name, each in targets.items() if each},
            self.docker.image_ids(filter(None, targets.values())),
        )
        if gone:
            raise Refused(
                f"Images of release {target} are gone: {', '.join(gone)}. Release the wanted version instead."
            )
        steps = steps_of(names, self.facts(project, declared, names), targets)
        left = self.left_drained(steps)
        actions = [*(each.as_action(ROLL_BACK) for each in steps), *undrain_actions(left)]
        if self.check_mode:
            return self.result(actions, before, release=target, after=None, steps=steps)
        self.begin(ROLL_BACK, target)
        try:
            self.undrain(left)
            for step in steps:
                self.one(project, declared[step.service], step.to_image, force=step.from_image == step.to_image)
        except RunbookError as error:
            self.evidence = evidence_of(self.docker, self.project, names, self.options["log_lines"], self.now)
            result = self.result(actions, before, release=self.state["current"], after=self.images(), steps=steps)
            result.update(changed=True, rolled_back=False)
            raise GateClosed(f"Going back to release {target} failed: {error.message}", **result) from None
        was = self.state["current"]
        self.state.update(current=target, previous=self.older(target), in_progress=None, rolled_back_from=was)
        self.store.pin(entry["images"])
        self.store.save(self.state)
        return {
            **self.result(actions, before, release=target, after=self.images(), steps=steps, changed=True),
            "rolled_back": True,
        }

    def target(self) -> str | None:
        """The release to go back to; None when that has been done already. Raises Refused."""
        wanted = self.options["release"]
        state = self.state
        if wanted:
            if self.entry(wanted) is None:
                known = ", ".join(each["id"] for each in state["history"]) or "none"
                raise InvalidOption("release", wanted, f"a release that is kept ({known})")
            return str(wanted)
        doing = (state["in_progress"] or {}).get("doing")
        if doing == ROLL_BACK:
            # A way back that was interrupted goes on.
            return str(state["in_progress"]["id"])
        if doing == RELEASE and state["current"]:
            # A release that was interrupted is what one goes back from.
            return str(state["current"])
        if state["rolled_back_from"]:
            return str(state["current"]) if doing else None
        if state["previous"] is None:
            raise Refused(
                f"There is no release of {self.project.name} before the one that runs. Name one with release."
            )
        return str(state["previous"])

    def older(self, release: str) -> str | None:
        """The release before another one."""
        ids = [each["id"] for each in self.state["history"]]
        at = ids.index(release) if release in ids else 0
        return ids[at - 1] if at > 0 else None
