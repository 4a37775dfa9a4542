# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore will do, step by step: the same list in check mode and in the run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.attributes import (
    carried_over,
    untouched,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.globals import Globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import (
    BEFORE,
    BESIDE,
    FAILED,
    LOADED,
    REPLACED,
    RESTORED,
    planned,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.preflight import missing_roles
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import APPLY, RestoreRequest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.state import Neighbour, State


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        is_done: Whether the database was restored from this backup already.
        drop: What earlier runs left and nobody needs, to be dropped first.
        drop_old: Former databases that are not to be kept, to be dropped last, beside that of this run.
        reuse: A database that an earlier run loaded from this backup and did not put in place; None to load anew.
        roles: Roles to create.
        notes: What was found and is left alone.

    """

    is_done: bool
    drop: tuple[Neighbour, ...]
    drop_old: tuple[Neighbour, ...]
    reuse: Optional[Neighbour]
    roles: tuple[str, ...]
    notes: tuple[str, ...]


def make_plan(request: RestoreRequest, state: State, key: str, known: Optional[Globals]) -> Plan:
    """What the restore of the backup with this key comes down to on a server in this state."""
    mark = state.mark
    is_done = mark is not None and mark.state == RESTORED and mark.key == key and not request.force
    reuse = None if is_done else next((each for each in state.beside if _is_loaded(each, key)), None)
    drop, notes = [], []
    for each in state.beside:
        if each is reuse:
            continue
        if why := _why_left_alone(each):
            notes.append(f"{each.name} is left alone: {why}")
        else:
            drop.append(each)
    return Plan(
        is_done=is_done,
        drop=tuple(drop),
        drop_old=tuple(_to_be_dropped(request, state, key)) if is_done else (),
        reuse=reuse,
        roles=tuple(missing_roles(state, known)) if request.globals == APPLY and not is_done else (),
        notes=tuple(notes),
    )


def drops_old(request: RestoreRequest) -> bool:
    """Whether the database that was replaced goes: an empty one, and one that is not wanted."""
    return not request.is_swap or not request.keep_old


def actions(
    request: RestoreRequest, state: State, plan: Plan, artefact: str, known: Optional[Globals]
) -> list[dict[str, Any]]:
    """The entries of the result's C(actions)."""
    return [
        {"action": action, "object": name, "reason": reason}
        for action, name, reason in _steps(request, state, plan, artefact, known)
    ]


def _steps(
    request: RestoreRequest, state: State, plan: Plan, artefact: str, known: Optional[Globals]
) -> Iterator[tuple[str, str, str]]:
    database, live = request.database, state.live
    for each in plan.drop:
        yield "drop_leftover", each.name, "an earlier run was ended before it was complete"
    if not plan.is_done:
        for role in plan.roles:
            has = "" if known is None else " ".join(known.attributes(role)).lower()
            yield "create_role", role, f"missing on the server{f' ({has})' if has else ''}"
        beside = planned(database, BESIDE)
        if plan.reuse is not None:
            yield "reuse", plan.reuse.name, f"an earlier run loaded {artefact} into it"
            beside = plan.reuse.name
        else:
            yield "create_database", beside, "beside whatever there is"
            yield "load", beside, f"from {artefact}"
        if request.verify:
            yield "verify", beside, "before it is put in place"
        if live is not None:
            if request.fence:
                yield "fence", database, "sessions are ended, and new ones wait while names change"
            yield "rename", database, f"to {planned(database, BEFORE)}"
        yield "rename", beside, f"to {database}"
        if live is not None:
            for words, _statement in carried_over(live, untouched(live, live.owner), database):
                if words:
                    yield "carry_over", database, words
            if drops_old(request):
                yield "drop_old", planned(database, BEFORE), _why_dropped(request)
    for each in plan.drop_old:
        yield "drop_old", each.name, _why_dropped(request)


def _why_dropped(request: RestoreRequest) -> str:
    return "keep_old is false" if request.is_swap else "it is empty"


def _is_loaded(neighbour: Neighbour, key: str) -> bool:
    mark = neighbour.mark
    return mark is not None and mark.state == LOADED and mark.key == key and neighbour.is_ours


def _why_left_alone(neighbour: Neighbour) -> Optional[str]:
    """Why a database that stands beside the live one is not dropped; None for a leftover of a run that was cut off."""
    if not neighbour.is_ours:
        return "another role owns it"
    if neighbour.mark is None:
        # A run that was ended right after CREATE DATABASE left one that nobody could ever connect to.
        return None if not neighbour.allows_connections else "nothing says that a run of this module made it"
    if neighbour.mark.state == FAILED:
        return "it was kept in order to be looked at (keep_failed); drop it when that is done"
    return None


def _to_be_dropped(request: RestoreRequest, state: State, key: str) -> Sequence[Neighbour]:
    """What the run that put this backup in place was to drop, and did not come to."""
    # An empty one that a run was ended before dropping does no harm, and may not be empty any more.
    if request.keep_old or not request.is_swap:
        return ()
    return [
        each
        for each in state.kept
        if each.is_ours and each.mark is not None and each.mark.state == REPLACED and each.mark.key == key
    ]
