# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of backup_copy to its result: look, plan, guard, carry, look again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.carry import Carrier
from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.look import Due, Looking, Outlook, Place
from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.plan import COMPLETE, COPY, PROVE, UPDATE
from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.telling import (
    actions_of,
    refusals_of,
    result_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import open_repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.room import check_room
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused, check_refusals
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import StoreError
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec


def copying_argument_spec() -> dict[str, dict[str, Any]]:
    """The options that are the module's own."""
    return {
        "repository": {"type": "str", "required": True},
        "name_pattern": {"type": "str", "required": True},
        "record_repository": {"type": "str"},
        "destination": {
            "type": "dict",
            "required": True,
            "options": {"repository": {"type": "str", "required": True}, **object_store_argument_spec()},
        },
        "names": {"type": "list", "elements": "str", "default": []},
        "newest": {"type": "int", "default": 3},
    }


def copy_backups(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    check_guards(params)
    rule = NamingRule(params["name_pattern"], zone(params["timezone"]))
    if params["newest"] < 1:
        raise InvalidOption("newest", params["newest"], "a number above 0")
    source, target = _places(params)
    progress = Progress(params["progress_path"])
    run = _Run(params, source, target, rule, progress)
    with progress.stoppable():
        result = run.run(check_mode=check_mode)
    check_refusals(result, params["on_refusal"])
    return result


def _places(params: Mapping[str, Any]) -> tuple[Place, Place]:
    """The repository and the one that copies go to; raises InvalidOption when they are the same."""
    there = params["destination"]
    target = open_depot(there)
    source = open_depot(params)
    same_store = (params["endpoint_url"] or "") == (there["endpoint_url"] or "")
    if source.location == target.location and (source.kind == "directory" or same_store):
        raise InvalidOption("destination.repository", there["repository"], "another place than that of repository")
    records = (
        open_depot({**params, "repository": params["record_repository"]}) if params["record_repository"] else source
    )
    return Place(source, open_repository(params), records), Place(target, open_repository(there), target)


@dataclass
class _Run:
    params: Mapping[str, Any]
    source: Place
    target: Place
    rule: NamingRule
    progress: Progress
    refusals: list[Refusal] = field(default_factory=list)
    is_touched: bool = False

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        """Look, guard, and unless it is check mode, carry."""
        outlook = self._look()
        self._guard(outlook)
        actions = actions_of(outlook, self.target.depot)
        if check_mode or not actions:
            self.refusals += refusals_of(outlook)
            after = None if check_mode else outlook
            return result_of(self.target.depot, outlook, after, actions, self.refusals, changed=bool(actions))
        self.target.depot.prepare()
        with self.target.depot.lock(f"writing to {self.target.depot.location}"):
            # What holds from now on, since nobody else of this host writes there.
            outlook = self._look()
            self.refusals += refusals_of(outlook)
            self._sweep(outlook)
            done = self._carry(outlook)
            return result_of(self.target.depot, outlook, self._look(), done, self.refusals, changed=self.is_touched)

    def _look(self) -> Outlook:
        self.progress.phase("look", self.target.depot.location)
        return Looking(self.source, self.target, self.rule).look(self.params["names"], self.params["newest"])

    def _guard(self, outlook: Outlook) -> None:
        """Refuse what must not be done, before anything is touched."""
        actions = actions_of(outlook, self.target.depot)
        if not actions:
            return
        if refusal := window_refusal(self.params):
            raise Refused(f"Nothing was copied: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
        needed = sum(due.sheet.bytes for due in outlook.due if due.decision.what == COPY)
        check_room(self.target.depot.location, self.target.depot.free_bytes(), needed, 0)

    def _sweep(self, outlook: Outlook) -> None:
        """Remove halves of files that runs that were killed left; what will be completed is needed."""
        due = {each.sheet.artefact for each in outlook.due}

        def is_ours(name: str) -> bool:
            artefact = self.rule.artefact_of(name) or (self.rule.companion_of(name) or ("",))[0]
            return bool(artefact) and (self.target.depot.kind != "directory" or artefact not in due)

        self.target.depot.sweep(is_ours)

    def _carry(self, outlook: Outlook) -> list[dict[str, Any]]:
        """Carry the actions out: those that were."""
        carrier = Carrier(self.source, self.target, self.progress)
        steps = {COPY: carrier.copy, COMPLETE: carrier.copy, UPDATE: carrier.update, PROVE: carrier.prove}
        open_actions = actions_of(outlook, self.target.depot)
        dues = {each.sheet.artefact: each for each in outlook.due}
        done: list[dict[str, Any]] = []
        for number, action in enumerate(open_actions):
            name = action["object"]
            try:
                self.progress.check()
                self.is_touched = True
                if name in outlook.abandoned:
                    carrier.remove(outlook.abandoned[name])
                else:
                    self._step(dues[name], steps[action["action"]])
            except Stopped as stop:
                raise Stopped(
                    f"{stop.message}. {len(done)} of {len(open_actions)} backups were dealt with, and a copy that was "
                    "begun is no backup yet. Run this again to go on.",
                    changed=self.is_touched,
                    actions=done,
                ) from None
            except RunbookError as error:
                self.refusals.append(_refusal(name, error))
                if isinstance(error, StoreError) and error.is_store_wide:
                    # What holds for one holds for the rest.
                    self.refusals += [_refusal(each["object"], error) for each in open_actions[number + 1 :]]
                    break
            else:
                done.append(action)
        return done

    def _step(self, due: Due, step: Callable[[Due], None]) -> None:
        """Carry one backup, unless one that it needs could not be."""
        failed = {each.object for each in self.refusals}
        if lost := [name for name in due.sheet.requires if name in failed]:
            raise RunbookError(f"it cannot be restored without {lost[0]}, which is not there")
        step(due)


def _refusal(name: str, error: RunbookError) -> Refusal:
    return Refusal(name, f"it was not copied: {error.message.rstrip('.')}", "Correct that, and run this again.")
