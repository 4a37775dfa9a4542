# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making room: one plan, the same for a rehearsal and for the act, and the disk measured before and after."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import free_bytes
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment
from ansible_collections.runbook.ops.plugins.module_utils.disk.candidates import (
    Identity,
    Selection,
    delete,
    open_files,
    select,
)
from ansible_collections.runbook.ops.plugins.module_utils.disk.journal import PLACES, Archived, archived_files, vacuumed
from ansible_collections.runbook.ops.plugins.module_utils.disk.request import Directory, Request, request_from
from ansible_collections.runbook.ops.plugins.module_utils.disk.walk import Limits

_JOURNAL = "journal"
# Packages that were downloaded can be downloaded again. A fetch that broke off goes on from its part.
_CACHES = (
    Directory("/var/cache/apt/archives", ("*.deb",), 0, False, 0),
    Directory("/var/cache/dnf", ("*.rpm",), 3600, True, 0),
    Directory("/var/cache/yum", ("*.rpm",), 3600, True, 0),
)
_APT_LOCK = Path("/var/cache/apt/archives/lock")
_AGAIN = "Look at the plan in check mode, then raise the limit, or declare less."


@dataclass
class Plan:
    """Everything that would go, and what was refused."""

    selections: list[Selection]
    journal: list[Archived]
    refused: list[Refusal]

    @property
    def files_count(self) -> int:
        """How many files."""
        return sum(len(each.chosen) for each in self.selections) + len(self.journal)

    @property
    def size_bytes(self) -> int:
        """How many bytes of the disk."""
        return sum(each.size_bytes for each in self.selections) + sum(each.size_bytes for each in self.journal)

    def actions(self) -> list[dict[str, Any]]:
        """One entry for each directory, and one for the journal."""
        told = [
            {
                "action": "delete_files",
                "object": each.root,
                "files_count": len(each.chosen),
                "size_bytes": each.size_bytes,
                "files": [candidate.name for candidate in each.chosen],
            }
            for each in self.selections
            if each.chosen
        ]
        if self.journal:
            told.append(
                {
                    "action": "vacuum_journal",
                    "object": _JOURNAL,
                    "files_count": len(self.journal),
                    "size_bytes": sum(each.size_bytes for each in self.journal),
                    "files": [f"{each.directory}/{each.name}" for each in self.journal],
                }
            )
        return told


def reclaim(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result of M(runbook.ops.disk_reclaim)."""
    request = request_from(options)
    opened = open_files()
    plan = make_plan(request, opened, moment(options["reference_time"]).timestamp())
    refusal = _guard(plan, request, options)
    if refusal:
        plan = Plan([], [], [*plan.refused, refusal])
    actions = plan.actions()
    before = _measured(plan, actions)
    diff = _diff(plan)
    done: dict[str, Any] = {"deleted_count": None, "freed_bytes": None, "stayed_count": None}
    if not check_mode and actions:
        done = _apply(plan, request, opened or frozenset())
    changed = bool(actions) if check_mode else bool(done["deleted_count"])
    return outcome(
        changed=changed,
        actions=actions,
        refused=plan.refused,
        before=before,
        after=None if check_mode else _measured(plan, actions),
        kept={each.root: each.kept for each in plan.selections},
        planned_files_count=plan.files_count,
        planned_bytes=plan.size_bytes,
        diff=diff,
        **done,
    )


def make_plan(request: Request, opened: Optional[frozenset[Identity]], now: float) -> Plan:
    """Look, and touch nothing."""
    plan = Plan([], [], [])
    limits = Limits(request.max_entries, request.timeout)
    wanted = [*request.directories, *(_CACHES if request.package_cache else ())]
    for directory in wanted:
        if not Path(directory.path).is_dir():
            continue
        if opened is None:
            plan.refused.append(
                Refusal(
                    directory.path, "which files are open could not be seen for all processes", "Run it with become."
                )
            )
            continue
        selection = select(directory, opened, now, limits)
        if selection.incomplete:
            # Half a look would delete other files next time.
            plan.refused.append(
                Refusal(directory.path, f"it was not looked through: {selection.incomplete}", "Raise the limit.")
            )
            continue
        plan.selections.append(selection)
    if request.journal_bytes is not None and any(Path(place).is_dir() for place in PLACES):
        plan.journal = vacuumed(archived_files()[0], request.journal_bytes)
    return plan


def _guard(plan: Plan, request: Request, options: Mapping[str, Any]) -> Optional[Refusal]:
    if not plan.files_count:
        return None
    why = window_refusal(options)
    if why:
        return Refusal("disk", *why)
    if plan.files_count > request.max_files:
        reason = f"{plan.files_count} files would be deleted, max_files is {request.max_files}"
        return Refusal("disk", reason, _AGAIN)
    if request.max_bytes is not None and plan.size_bytes > request.max_bytes:
        reason = f"{plan.size_bytes} bytes would be deleted, max_bytes is {request.max_bytes}"
        return Refusal("disk", reason, _AGAIN)
    return None


def _apply(plan: Plan, request: Request, opened: frozenset[Identity]) -> dict[str, Any]:
    deleted = freed = stayed = 0
    for selection in plan.selections:
        if not selection.chosen:
            continue
        try:
            with _undisturbed(selection.root):
                # Looked at once more: a program may have opened one of them since.
                now_open = open_files() or opened
                counts = delete(selection.root, selection.chosen, now_open)
        except Refused as error:
            plan.refused.append(Refusal(selection.root, error.message, "Run it again when apt has ended."))
            continue
        deleted, freed, stayed = deleted + counts[0], freed + counts[1], stayed + counts[2]
    if plan.journal:
        files, _total = archived_files()
        try:
            run(["journalctl", f"--vacuum-size={request.journal_bytes}"], seconds=request.timeout)
        except RunbookError as error:
            plan.refused.append(Refusal(_JOURNAL, error.message, "Run journalctl --vacuum-size by hand and see."))
        left = {(each.directory, each.name) for each in archived_files()[0]}
        gone = [each for each in files if (each.directory, each.name) not in left]
        deleted += len(gone)
        freed += sum(each.size_bytes for each in gone)
        stayed += sum(1 for each in plan.journal if (each.directory, each.name) in left)
    return {"deleted_count": deleted, "freed_bytes": freed, "stayed_count": stayed}


@contextlib.contextmanager
def _undisturbed(root: str) -> Iterator[None]:
    """Hold apt's own lock while its archives are emptied."""
    if Path(root) != _APT_LOCK.parent or not _APT_LOCK.exists():
        yield
        return
    descriptor = os.open(_APT_LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused("apt is at work") from None
        yield
    finally:
        os.close(descriptor)


def _measured(plan: Plan, actions: list[dict[str, Any]]) -> dict[str, Any]:
    """By object: what is there of its kind, and what is free on its file system."""
    found: dict[str, Any] = {}
    for each in actions:
        name = each["object"]
        if name == _JOURNAL:
            place = next(Path(one) for one in PLACES if Path(one).is_dir())
            found[name] = {"size_bytes": archived_files()[1], "available_bytes": free_bytes(place)}
            continue
        selection = next(one for one in plan.selections if one.root == name)
        there = [one for one in selection.chosen if os.path.lexists(Path(name, *one.parts))]
        found[name] = {
            "size_bytes": sum(one.allocated_bytes for one in there),
            "available_bytes": free_bytes(Path(name)),
        }
    return found


def _diff(plan: Plan) -> dict[str, str]:
    names = [str(Path(each.root, *candidate.parts)) for each in plan.selections for candidate in each.chosen]
    names += [f"{each.directory}/{each.name}" for each in plan.journal]
    return {"before": "".join(f"{name}\n" for name in names), "after": ""}
