# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses shut out of this machine, and let in again, in a table of our own."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.address_block.model import (
    FAMILY,
    MAX_ADDRESSES,
    MAX_TIMEOUT_SECONDS,
    TABLE,
    Blocked,
    Network,
    Plan,
    blocked_of,
    networks_of,
    plan_block,
    plan_unblock,
    script_of,
    text_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.security.commands import Answer, ask
from ansible_collections.runbook.ops.plugins.module_utils.security.sockets import read_sockets

_PROC = Path("/proc")
_OWN = "it is an address of this machine"
_CONTROLLER = "this task comes from it"


def change_addresses(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Shut addresses out or let them in; raises InvalidOption, Refused, RunbookError."""
    wanted = networks_of(options["addresses"])
    declared = networks_of(options["never_block"], "never_block")
    seconds = parse_seconds(options["timeout"], "timeout") if options["timeout"] else 0
    if len(wanted) > MAX_ADDRESSES:
        raise InvalidOption("addresses", f"{len(wanted)} addresses", f"at most {MAX_ADDRESSES}")
    if seconds > MAX_TIMEOUT_SECONDS:
        raise InvalidOption("timeout", options["timeout"], "at most 365d; without a timeout it is for ever")
    protected = {**dict(_protected()), **{str(each): "never_block names it" for each in declared}}

    def planned() -> tuple[bool, list[Blocked], Plan]:
        exists, blocked = _blocked()
        if options["state"] != "present":
            return exists, blocked, plan_unblock(wanted, blocked)
        flags = {"allow_private": options["allow_private"], "allow_wide": options["allow_wide"]}
        return exists, blocked, plan_block(wanted, blocked, protected, timeout_seconds=seconds, **flags)

    exists, before, plan = planned()
    if not check_mode and _apply(plan, before, exists=exists, seconds=seconds).code != 0:
        # An address whose time was over in between cannot be taken out any more.
        exists, before, plan = planned()
        answer = _apply(plan, before, exists=exists, seconds=seconds)
        if answer.code != 0:
            raise RunbookError(f"nft refused the change, and nothing was changed: {answer.words}")
    after = None if check_mode else _blocked()[1]
    result = outcome(
        changed=not plan.is_empty,
        actions=_actions(plan, seconds),
        refused=[Refusal(*each) for each in plan.refused],
        before={"blocked_count": len(before)},
        after=None if after is None else {"blocked_count": len(after)},
        blocked=[each.facts() for each in (before if after is None else after)],
        diff=_diff(before, plan, seconds),
    )
    check_refusals(result, options["on_refusal"])
    return result


def _apply(plan: Plan, before: list[Blocked], *, exists: bool, seconds: int) -> Answer:
    if plan.is_empty:
        return Answer(0)
    empties = exists and not plan.add and len(plan.remove) == len(before)
    script = script_of(plan, exists=exists, timeout_seconds=seconds, empties=empties)
    return ask(["nft", "--file", "-"], text_in=script)


def _actions(plan: Plan, seconds: int) -> list[dict[str, Any]]:
    removed = [
        {"action": "unblock", "name": text_of(each), "timeout_seconds": None}
        for each in plan.remove
        if each not in plan.add
    ]
    return removed + [
        {"action": "block", "name": text_of(each), "timeout_seconds": seconds or None} for each in plan.add
    ]


def _diff(before: list[Blocked], plan: Plan, seconds: int) -> dict[str, str]:
    """Both, with the times of those that get a new one."""
    old = [_line(each.network, each.left_seconds if each.network in plan.add else None) for each in before]
    new = [_line(each.network, None) for each in before if each.network not in plan.remove]
    new += [_line(each, seconds) for each in plan.add]
    return {"before": "".join(sorted(old)), "after": "".join(sorted(new))}


def _line(network: Network, seconds: Optional[int]) -> str:
    return f"{text_of(network)} for {seconds} s\n" if seconds else f"{text_of(network)}\n"


def _blocked() -> tuple[bool, list[Blocked]]:
    """Whether our table exists, and what is in it."""
    # Without list tables, a missing table and a missing permission would look the same.
    tables = _ask(["nft", "--json", "list", "tables", FAMILY])
    names = [entry["table"]["name"] for entry in tables.get("nftables", []) if "table" in entry]
    if TABLE not in names:
        return False, []
    return True, blocked_of(_ask(["nft", "--json", "list", "table", FAMILY, TABLE]))


def _ask(argv: list[str]) -> dict[str, Any]:
    answer: Answer = ask(argv)
    if answer.is_missing:
        raise RunbookError("nft is not installed. Install the package nftables, then run the task again.")
    if answer.code != 0:
        raise RunbookError(f"{' '.join(argv)} failed: {answer.words}. It takes root (become) and CAP_NET_ADMIN.")
    try:
        return dict(json.loads(answer.out))
    except ValueError:
        raise RunbookError(f"{' '.join(argv)} wrote no JSON. Update nftables.") from None


def _protected() -> Iterator[tuple[str, str]]:
    """Addresses that must stay open: this machine's own, and those the task came from."""
    for address in _own_addresses():
        yield address, _OWN
    for address in controllers():
        yield address, _CONTROLLER


def _own_addresses() -> list[str]:
    answer = ask(["ip", "-json", "address"])
    found = []
    with contextlib.suppress(ValueError):
        for link in json.loads(answer.out or "[]"):
            found += [each["local"] for each in link.get("addr_info", []) if "local" in each]
    return found


def controllers() -> list[str]:
    """Where the session comes from in which this runs, by the environment of its ancestors and by their sockets.

    sudo takes C(SSH_CONNECTION) out of the environment; the processes above it still have it.
    """
    found: dict[str, None] = {}
    pids: list[int] = []
    pid = os.getpid()
    while pid > 1 and len(pids) < 64:
        pids.append(pid)
        with contextlib.suppress(OSError):
            environment = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
            for variable in environment:
                if variable.startswith((b"SSH_CONNECTION=", b"SSH_CLIENT=")):
                    found[variable.split(b"=", 1)[1].split(b" ")[0].decode("ascii", "replace")] = None
        try:
            pid = int(
                (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[1]
            )
        except (OSError, IndexError, ValueError):
            break
    for each in read_sockets():
        if each.state == "established" and each.pid in pids:
            found[each.peer] = None
    return [each for each in found if _is_address(each)]


def _is_address(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return not ipaddress.ip_address(text).is_loopback
    return False
