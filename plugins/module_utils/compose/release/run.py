# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releasing, going back, and making services anew: the plan, and the same plan carried out."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory, write_file
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import docker_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import Declared, services_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.options import project_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.back import GoingBack
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.base import RECREATE, RELEASE, undrain_actions
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.gate import (
    GateClosed,
    evidence_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.images import (
    PRESENT,
    missing_images,
    obtain_all,
    protect,
    way_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.release.plan import (
    Step,
    check_images,
    check_unset,
    chosen_services,
    steps_of,
)

RELEASED, ROLLED_BACK, RECREATED = "released", "rolled_back", "recreated"


def run_release(options: Mapping[str, Any], now: dt.datetime, *, check_mode: bool) -> dict[str, Any]:
    """Carry out C(compose_release); raises RunbookError with the result in its details."""
    _check(options)
    docker = docker_of(options)
    docker.versions()
    project = project_of(options)
    if options["state"] == RELEASED and (refusal := window_refusal(options)):
        raise Refused(f"{project.name} is not released: {refusal[0]}. {refusal[1]}")
    work = Work(docker, project, options, now, check_mode=check_mode)
    doing = {RELEASED: work.release, ROLLED_BACK: work.roll_back, RECREATED: work.recreate}[options["state"]]
    if check_mode:
        return doing()
    with work.store.alone():
        return doing()


def _check(options: Mapping[str, Any]) -> None:
    check_guards(options)
    for name in ("wait_timeout", "obtain_timeout", "hook_timeout"):
        if options[name] < 1:
            raise InvalidOption(name, options[name], "seconds, at least 1")
    if options["settle_seconds"] < 0 or options["log_lines"] < 0:
        raise InvalidOption("settle_seconds and log_lines", options["settle_seconds"], "0 or more")
    if options["state"] == RECREATED and not options["services"]:
        raise InvalidOption("services", [], "the services to make anew, by name")
    for hook in ("drain", "undrain"):
        for service, command in options[hook].items():
            if not isinstance(command, list) or not command:
                raise InvalidOption(hook, command, f"the command for {service} as a list of words")


class Work(GoingBack):
    """One run over one project."""

    def release(self) -> dict[str, Any]:
        """Bring the declared release to the services, one after the other."""
        options, docker = self.options, self.docker
        resolved = docker.resolve(self.project)
        check_unset(resolved.unset_variables, options["allow_unset"])
        declared = services_of(resolved.model, options["stateful_services"])
        for name in options["images"]:
            if name not in declared:
                raise InvalidOption("images", name, f"services of the project: {', '.join(sorted(declared))}")
        references = {name: options["images"].get(name, each.image) for name, each in declared.items()}
        chosen = chosen_services(options["services"], declared)
        named = {name: Declared(**{**vars(each), "image": references[name]}) for name, each in declared.items()}
        check_images(chosen, named, allow_unpinned=options["allow_unpinned"])
        ways = {name: way_of(declared[name], options["obtain"], is_given=name in options["images"]) for name in chosen}
        wanted = {name: references[name] for name in chosen}
        if not self.check_mode:
            services = [declared[name] for name in chosen]
            obtain_all(docker, self.project, services, ways, options["images"], options["obtain_timeout"])
        ids = docker.image_ids(wanted.values())
        missing = missing_images(
            {name: wanted[name] for name in chosen if ways[name] == PRESENT or not self.check_mode}, ids
        )
        if missing:
            raise Refused(
                f"Images that are not on this host: {', '.join(missing)}. Fetch or build them first, or change obtain."
            )
        # In check mode nothing is fetched: what a fetch would bring is not known, unless it is here already.
        targets = {name: ids[reference] for name, reference in wanted.items()}
        pins = {**self.pinned(), **{name: each for name, each in targets.items() if each}}
        with private_directory("runbook-compose-") as place:
            write_file(place / "images.yml", _override(pins, targets, references))
            candidate = self.project.__class__(
                **{**vars(self.project), "files": (*self.project.files, place / "images.yml")}
            )
            text = self.definition_text(candidate)
            facts = self.facts(candidate, declared, chosen)
        steps = steps_of(chosen, facts, targets)
        release = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self._carry_out(release, text, steps, declared, pins)

    def _carry_out(
        self, release: str, text: str, steps: Sequence[Step], declared: Mapping[str, Declared], pins: Mapping[str, str]
    ) -> dict[str, Any]:
        left = self.left_drained(steps)
        actions = [each.as_action(RELEASE) for each in steps]
        actions += undrain_actions(left)
        before = self.images()
        is_other = self.state["current"] != release
        # What an interrupted run did counts: its release is the one that goes on here.
        shifts = bool(steps) or (self.state["in_progress"] or {}).get("doing") == RELEASE
        is_new = is_other and shifts
        if self.check_mode or not (steps or left or is_other):
            after = None if self.check_mode else before
            return self.result(actions, before, release=release, after=after, steps=steps, is_new=is_new)
        fallback = self.fallback(declared) if steps else None
        images = dict(pins)
        self.store.keep_definition(release, text)
        self.begin(RELEASE, release)
        protect(self.docker, self.project, images)
        project = self.project.resolved(self.store.definition(release))
        done: list[Step] = []
        try:
            self.undrain(left)
            for step in steps:
                done.append(step)
                self.one(project, declared[step.service], step.to_image, force=step.from_image == step.to_image)
        except RunbookError as error:
            self.give_up(error, done, fallback, actions, before, release)
        self.commit(release, images, shifts=shifts)
        return self.result(actions, before, release=release, after=self.images(), steps=steps, is_new=is_new)

    def recreate(self) -> dict[str, Any]:
        """Make services anew from what is released, the evidence first."""
        # What the files hold now may be a release that failed: what runs is what was released.
        released = self.store.definition(self.state["current"] or "")
        project = self.project.resolved(released) if released.is_file() else self.project
        resolved = self.docker.resolve(project)
        check_unset(resolved.unset_variables, self.options["allow_unset"])
        declared = services_of(resolved.model, self.options["stateful_services"])
        chosen = chosen_services(self.options["services"], declared)
        before = self.images()
        self.evidence = evidence_of(self.docker, self.project, chosen, self.options["log_lines"], self.now)
        steps = [Step(name, "asked for", (before.get(name) or [""])[0] or None, None) for name in chosen]
        left = self.left_drained(steps)
        actions = [*(each.as_action(RECREATE) for each in steps), *undrain_actions(left)]
        if self.check_mode:
            return self.result(actions, before, release=self.state["current"], after=None, steps=steps)
        self.begin(RECREATE, self.state["current"] or "")
        try:
            self.undrain(left)
            for name in chosen:
                self.one(project, declared[name], None, force=True)
        except RunbookError as error:
            result = self.result(actions, before, release=self.state["current"], after=self.images(), steps=steps)
            result["changed"] = True
            raise GateClosed(
                f"{error.message.rstrip('.')}. The evidence was taken before it was made anew.", **result
            ) from None
        self.state["in_progress"] = None
        self.store.save(self.state)
        return self.result(actions, before, release=self.state["current"], after=self.images(), steps=steps)


def _override(pins: Mapping[str, str], targets: Mapping[str, Optional[str]], references: Mapping[str, str]) -> bytes:
    """The Compose file that pins the images; one that is not known yet is named as it was asked for."""
    services = {
        name: {"image": pins.get(name) or references[name]} for name in {**pins, **targets} if name in references
    }
    return json.dumps({"services": services}).encode()
