# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases in the state that is wanted: prepared, current, confirmed, rolled back, pruned."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, locked
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.releases.model import (
    CONFIRM,
    HISTORY,
    LOCK,
    ROLLBACK,
    SWITCH,
    Stock,
    check_id,
    confirmed,
    grown,
    is_confirmed,
    previous,
    spared,
)
from ansible_collections.runbook.ops.plugins.module_utils.releases.prepare import (
    Recipe,
    plan_preparation,
    prepare,
    recipe_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.releases.store import (
    Layout,
    layout_of,
    point,
    remove_leftover,
    remove_release,
    survey,
    write_json,
)

Action = dict[str, Any]


def control_release(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module; raises InvalidOption, Refused or RunbookError."""
    layout = layout_of(params)
    state = params["state"]
    name = check_id(params["release"]) if state != "pruned" else None
    recipe = recipe_from(params) if state == "prepared" else None
    back_to = check_id(params["to"], "to") if params["to"] is not None else None
    if params["keep"] < 1:
        raise InvalidOption("keep", params["keep"], "a number from 1")
    if check_mode or not layout.root.is_dir():
        # Without the directory there is nothing that another run could be at.
        stock = survey(layout)
        actions = _plan(layout, stock, state, name, recipe, back_to, params["keep"])
        if check_mode:
            return _result(layout, stock, None, actions)
        with explained("make", layout.root):
            layout.root.mkdir(parents=True, exist_ok=True)
    with locked(layout.root / LOCK, f"working on the releases in {layout.root}"):
        stock = survey(layout)
        actions = _plan(layout, stock, state, name, recipe, back_to, params["keep"])
        if actions:
            _apply(layout, stock, name, recipe, actions)
        return _result(layout, stock, survey(layout), actions)


def _plan(
    layout: Layout,
    stock: Stock,
    state: str,
    name: Optional[str],
    recipe: Optional[Recipe],
    back_to: Optional[str],
    keep: int,
) -> list[Action]:
    if state == "prepared" and recipe is not None:
        return plan_preparation(layout, stock, str(name), recipe)
    if state == "current":
        return plan_switch(stock, str(name))
    if state == "confirmed":
        return plan_confirmation(stock, str(name))
    if state == "rolled_back":
        return plan_rollback(stock, str(name), back_to)
    return plan_pruning(stock, keep)


def plan_switch(stock: Stock, name: str) -> list[Action]:
    """The switch to a release; nothing if it is served. Pure; raises Refused."""
    if stock.current == name:
        return []
    found = stock.get(name)
    if found is None:
        raise Refused(f"There is no release {name}. Prepare it first (state=prepared).")
    if found.complete is False:
        raise Refused(f"Release {name} is not complete: its making ended early. Prepare it again (state=prepared).")
    return [{"action": SWITCH, "object": name, "release_before": stock.current, "release_after": name}]


def plan_confirmation(stock: Stock, name: str) -> list[Action]:
    """The note that a release is healthy; nothing if it is there. Pure; raises Refused."""
    if stock.current != name:
        raise Refused(f"Release {name} is not served, so nobody can have found it healthy. Switch to it first.")
    return [] if is_confirmed(stock) else [{"action": CONFIRM, "object": name}]


def plan_rollback(stock: Stock, name: str, back_to: Optional[str]) -> list[Action]:
    """The way back from a release; nothing if it is not served. Pure; raises Refused."""
    if stock.current != name:
        return []
    target = back_to or previous(stock)[0]
    if target is None:
        raise Refused(f"There is no release to go back to from {name}. Name one with to, or prepare one.")
    if target == name:
        raise InvalidOption("to", target, "a release other than the one to go back from")
    found = stock.get(target)
    if found is None or found.complete is False:
        raise Refused(f"Release {target} {'is not complete' if found else 'is not there'}. Name another one with to.")
    return [{"action": ROLLBACK, "object": target, "release_before": name, "release_after": target}]


def plan_pruning(stock: Stock, keep: int) -> list[Action]:
    """What a clean-up removes, oldest first. Pure."""
    stays = spared(stock, keep)
    actions: list[Action] = [
        {
            "action": "remove",
            "object": each.id,
            "reason": "its making ended early" if each.complete is False else f"older than the newest {keep}",
        }
        for each in stock.releases
        if each.id not in stays
    ]
    rests = [
        {"action": "remove", "object": each, "reason": "its removal ended early"} for each in sorted(stock.leftovers)
    ]
    return actions + rests


def _apply(layout: Layout, stock: Stock, name: Optional[str], recipe: Optional[Recipe], actions: list[Action]) -> None:
    if recipe is not None:
        prepare(layout, str(name), recipe, actions)
        return
    for action in actions:
        if action["action"] in (SWITCH, ROLLBACK):
            entry = {
                "id": action["object"],
                "from": stock.current,
                "kind": action["action"],
                "at": iso_of(time.time()),
            }
            # The entry first: one whose switch never came is recognised, a switch without an entry would not be.
            write_json(layout.root / HISTORY, {"history": grown(stock.history, entry)})
            point(layout, action["object"])
        elif action["action"] == CONFIRM:
            write_json(layout.root / HISTORY, {"history": confirmed(stock, iso_of(time.time()))})
        elif action["object"] in stock.leftovers:
            remove_leftover(layout, action["object"])
        else:
            remove_release(layout, action["object"])


def _result(layout: Layout, before: Stock, after: Optional[Stock], actions: list[Action]) -> dict[str, Any]:
    was, then = figures(before), figures(after) if after is not None else None
    foreseen = then or {**was, "current": _foreseen(actions) or was["current"]}
    return outcome(
        changed=bool(actions),
        actions=actions,
        before=was,
        after=then,
        current=foreseen["current"],
        previous=previous(after)[0] if after is not None else was["previous"],
        confirmed=is_confirmed(after or before),
        link=str(layout.current),
        diff={"before": _lines(was, []), "after": _lines(foreseen, actions if after is None else [])},
    )


def _foreseen(actions: list[Action]) -> Optional[str]:
    return next((str(each["release_after"]) for each in actions if "release_after" in each), None)


def figures(stock: Stock) -> dict[str, Any]:
    """What a change of releases is about."""
    return {
        "current": stock.current,
        "previous": previous(stock)[0],
        "releases": [each.id for each in stock.releases if each.complete is not False],
        "unfinished": [each.id for each in stock.unfinished],
    }


def _lines(told: Mapping[str, Any], planned: list[Action]) -> str:
    lines = [f"current: {told['current'] or '-'}", *(f"release: {each}" for each in told["releases"])]
    lines += [f"unfinished: {each}" for each in told["unfinished"]]
    lines += [f"planned: {each['action']} {each['object']}" for each in planned]
    return "\n".join(lines) + "\n"
