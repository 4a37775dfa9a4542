# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of backup_prune to its result: look, plan, guard, delete, look again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.keep import (
    GOOD,
    Copy,
    KeepPlan,
    Policy,
    copies_of,
    keep_plan,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import Artefact, Clocks, artefact_facts
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import (
    MANIFEST_SUFFIX,
    NamingRule,
    duration,
    zone,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import RECORD_SUFFIX, record_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository, open_repository
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.backup.survey import (
    Seen,
    Wishes,
    check_inspect,
    look_through,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.module_utils.object_store.errors import StoreError

_MAX_ENTRIES = 1_000_000
_WORKERS = 8
# What must have been seen: backups, and what speaks for them. One that could not be heard would count as unproven.
_DECISIVE = ("artefacts", "newest", "verified")
_DAY = 86400.0


def prune_argument_spec() -> dict[str, dict[str, Any]]:
    """The options that are the module's own."""
    counts = {name: {"type": "int", "default": 0} for name in ("daily", "weekly", "monthly", "yearly")}
    return {
        "repository": {"type": "str", "required": True},
        "name_pattern": {"type": "str", "required": True},
        "record_repository": {"type": "str"},
        "writer_timezone": {"type": "str"},
        "ignore": {"type": "list", "elements": "str", "default": []},
        **counts,
        "rpo": {"type": "str", "required": True},
        "min_keep": {"type": "int", "default": 3},
        "max_deletes": {"type": "int", "default": 50},
        "keep_within": {"type": "str"},
        "wal_window": {"type": "str"},
        "require_verified": {"type": "bool", "default": True},
        "inspect": {"type": "str", "default": "newest"},
        "inspect_max_bytes": {"type": "int", "default": 2 * 1024**3},
        "timeout": {"type": "float", "default": 900},
    }


def policy_from(params: Mapping[str, Any]) -> Policy:
    """The policy that the options describe; raises InvalidOption."""

    def span(name: str) -> float | None:
        return duration(params[name], name) if params[name] else None

    policy = Policy(
        daily=params["daily"],
        weekly=params["weekly"],
        monthly=params["monthly"],
        yearly=params["yearly"],
        zone=zone(params["timezone"]),
        rpo_seconds=duration(params["rpo"], "rpo"),
        min_keep=params["min_keep"],
        max_deletes=params["max_deletes"],
        keep_within_seconds=span("keep_within"),
        wal_window_seconds=span("wal_window"),
        is_proof_required=params["require_verified"],
    )
    policy.check()
    return policy


def prune(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises RunbookError."""
    check_guards(params)
    policy = policy_from(params)
    clocks = Clocks(
        now=moment(params["reference_time"]),
        rule=NamingRule(params["name_pattern"], policy.zone),
        tolerance=dt.timedelta(hours=6),
        writer_zone=zone(params["writer_timezone"], "writer_timezone") if params["writer_timezone"] else None,
    )
    wishes = Wishes(
        # Proof comes from records; without it, what is read to its end tells at least what is bad.
        inspect="none" if policy.is_proof_required else check_inspect(params["inspect"]),
        interval_seconds=_DAY,
        gap_window_seconds=_DAY,
        max_entries=_MAX_ENTRIES,
        top=_MAX_ENTRIES,
        workers=_WORKERS,
        ignore=params["ignore"],
    )
    elsewhere = {**params, "repository": params["record_repository"]} if params["record_repository"] else None
    progress = Progress(params["progress_path"])
    run = _Run(
        params=params,
        policy=policy,
        clocks=clocks,
        wishes=wishes,
        repository=open_repository(params),
        records=open_repository(elsewhere) if elsewhere else None,
        depot=open_depot(params),
        record_depot=open_depot(elsewhere) if elsewhere else None,
        progress=progress,
    )
    with progress.stoppable():
        result = run.run(check_mode=check_mode)
    check_refusals(result, params["on_refusal"])
    return result


@dataclass
class _Run:
    params: Mapping[str, Any]
    policy: Policy
    clocks: Clocks
    wishes: Wishes
    repository: Repository
    records: Optional[Repository]
    depot: Depot
    record_depot: Optional[Depot]
    progress: Progress
    refusals: list[Refusal] = field(default_factory=list)
    is_changed: bool = False

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        if check_mode:
            return self._planned(check_mode=True)
        # The plan holds only as long as nobody else writes or deletes there. (Locking makes the directory's lock file,
        # so that a directory that is not there has to be told of before.)
        self._look()
        with self.depot.lock(f"at work on {self.depot.location}"):
            return self._planned(check_mode=False)

    def _planned(self, *, check_mode: bool) -> dict[str, Any]:
        seen = self._look()
        artefacts = {each.name: each for each in seen.ordered}
        copies = self._copies(seen)
        plan = keep_plan(copies, self.policy, self.clocks.now)
        actions = [self._action(copy, reason, artefacts[copy.name]) for copy, reason in plan.doomed]
        self._guard(seen, plan, actions)
        if check_mode:
            return self._result(actions, plan, copies, None, changed=bool(actions))
        done = self._delete(plan, actions, artefacts)
        after = self._copies(self._look()) if done else copies
        return self._result(done, plan, copies, after, changed=self.is_changed)

    def _look(self) -> Seen:
        self.progress.phase("list", self.repository.location)
        meter = Meter(self.params["inspect_max_bytes"], self.params["timeout"])
        return look_through(self.repository, self.wishes, self.clocks, meter, self.records)

    def _copies(self, seen: Seen) -> list[Copy]:
        facts = [artefact_facts(each, self.clocks) for each in seen.ordered]
        return copies_of(facts, is_proof_required=self.policy.is_proof_required)

    def _guard(self, seen: Seen, plan: KeepPlan, actions: Sequence[Mapping[str, Any]]) -> None:
        """Refuse what must not be done, before anything is touched."""
        if not actions and not plan.is_refused:
            return
        reason = plan.refusal
        if not seen.listing.complete:
            reason = (f"the listing stopped at {seen.listing.incomplete_reason}", "Raise timeout.")
        elif unseen := [each for each in seen.skipped if each["section"] in _DECISIVE]:
            reason = (unseen[0]["reason"].rstrip("."), unseen[0]["remedy"])
        reason = reason or window_refusal(self.params)
        if reason is not None:
            raise Refused(
                f"Nothing in {self.repository.location} was deleted: {reason[0]}. {reason[1]}",
                changed=False,
                actions=list(actions),
                kept=_kept(plan),
            )

    def _action(self, copy: Copy, reason: str, artefact: Artefact) -> dict[str, Any]:
        return {
            "action": "delete",
            "object": copy.name,
            "reason": reason,
            "state": copy.state,
            "taken_at": iso(copy.taken_at),
            "bytes": copy.bytes,
            "files": [depot.address(name) for depot, name in self._files(artefact)],
        }

    def _files(self, artefact: Artefact) -> list[tuple[Depot, str]]:
        """What belongs to a backup, in the order of deletion.

        First its manifest, without which it is no backup, and the record that says that it is good: a run that is
        killed leaves nothing that looks better than it is. The backup itself last, so that the next run finds the rest.
        """
        suffixes = set(artefact.companions)
        first = [suffix for suffix in (MANIFEST_SUFFIX, RECORD_SUFFIX) if suffix in suffixes]
        files = [(self.depot, artefact.name + suffix) for suffix in first]
        if self.record_depot is not None and artefact.record is not None:
            files.append((self.record_depot, record_name(artefact.name)))
        files += [(self.depot, artefact.name + suffix) for suffix in sorted(suffixes - set(first))]
        return [*files, (self.depot, artefact.name)]

    def _delete(
        self, plan: KeepPlan, actions: Sequence[dict[str, Any]], artefacts: Mapping[str, Artefact]
    ) -> list[dict[str, Any]]:
        """Carry the actions out: those that were."""
        done: list[dict[str, Any]] = []
        anchor = None if plan.newest_good is None else artefacts[plan.newest_good.name]
        self.progress.phase("delete", self.repository.location, total=len(actions), unit="backups")
        for number, action in enumerate(actions):
            self.progress.check()
            try:
                self._check_anchor(anchor)
                self._delete_one(artefacts[action["object"]])
            except Stopped:
                raise
            except RunbookError as error:
                if isinstance(error, Refused) or (isinstance(error, StoreError) and error.is_store_wide):
                    # The anchor is gone, or the store is: what holds for one holds for the rest.
                    self.refusals += [_refusal(each, error) for each in actions[number:]]
                    break
                self.refusals.append(_refusal(action, error))
            else:
                done.append(action)
            self.progress.at(number + 1)
        return done

    def _check_anchor(self, anchor: Artefact | None) -> None:
        """Refuse to go on when the newest good backup, which makes the others dispensable, is not there any more."""
        if anchor is not None and self._has_changed(anchor):
            raise Refused(
                f"the newest good backup, {anchor.name}, was deleted or written to meanwhile; nothing more is deleted"
            )

    def _delete_one(self, artefact: Artefact) -> None:
        if self._has_changed(artefact):
            raise RunbookError("it was deleted or written to since it was listed")
        for depot, name in self._files(artefact):
            depot.delete(name)
            self.is_changed = True

    def _has_changed(self, artefact: Artefact) -> bool:
        members, state = artefact.entry.members, artefact.entry.state
        if members is not None:
            return self.depot.members(artefact.name) != dict(members)
        if state is None:
            return False
        found = self.depot.stat(artefact.name)
        return found is None or any(found.identity.get(name) != value for name, value in state.items())

    def _result(
        self,
        actions: Sequence[dict[str, Any]],
        plan: KeepPlan,
        before: Sequence[Copy],
        after: Sequence[Copy] | None,
        *,
        changed: bool,
    ) -> dict[str, Any]:
        gone = {each["object"] for each in actions}
        left = [each.name for each in before if each.name not in gone]
        return outcome(
            changed=changed,
            actions=actions,
            refused=self.refusals,
            before=_figures(before),
            after=None if after is None else _figures(after),
            kept=_kept(plan),
            diff={"before": _lines([each.name for each in before]), "after": _lines(left)},
        )


def _refusal(action: Mapping[str, Any], error: RunbookError) -> Refusal:
    return Refusal(
        action["object"], f"it was not deleted: {error.message.rstrip('.')}", "Correct that, and run this again."
    )


def _kept(plan: KeepPlan) -> list[dict[str, Any]]:
    return [
        {"name": copy.name, "taken_at": iso(copy.taken_at), "state": copy.state, "reasons": reasons}
        for copy, reasons in plan.kept
    ]


def _figures(copies: Sequence[Copy]) -> dict[str, Any]:
    good = [each for each in copies if each.state == GOOD]
    newest = max(good, key=lambda each: each.taken_at, default=None)
    oldest = min(copies, key=lambda each: each.taken_at, default=None)
    return {
        "count": len(copies),
        "good_count": len(good),
        "bytes": sum(each.bytes or 0 for each in copies),
        "newest_good": None if newest is None else newest.name,
        "oldest_taken_at": None if oldest is None else iso(oldest.taken_at),
    }


def _lines(names: Sequence[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))
