"""Locking accounts and shutting addresses out: plans from what is there."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.account_lock.plan import (
    EXPIRED_DAY,
    Record,
    State,
    lock_steps,
    refusal,
    unlock_steps,
)
from ansible_collections.runbook.ops.plugins.module_utils.address_block.model import (
    Blocked,
    blocked_of,
    networks_of,
    plan_block,
    plan_unblock,
    script_of,
    text_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

KEYS = "/home/kim/.ssh/authorized_keys"
ASIDE = f"{KEYS}.runbook-locked"
OPEN = State(1000, "set", None, (KEYS,), (), 2)
SHUT = State(1000, "locked", EXPIRED_DAY, (), (ASIDE,), 0)


def names(steps: Any) -> list[str]:
    return [each.action for each in steps]


def test_locking_closes_every_way_and_twice_is_once() -> None:
    assert names(lock_steps(OPEN, move_keys=True, end_sessions=True)) == [
        "expire",
        "lock_password",
        "move_keys",
        "end_sessions",
    ]
    assert names(lock_steps(OPEN, move_keys=False, end_sessions=False)) == ["expire", "lock_password"]
    assert lock_steps(SHUT, move_keys=True, end_sessions=True) == []


@pytest.mark.parametrize(
    ("state", "record", "steps", "refused"),
    [
        (SHUT, Record("set", None, (KEYS,)), ["return_keys", "unlock_password", "restore_expiry"], []),
        # What was locked before stays locked.
        (SHUT, Record("locked", 20000, (KEYS,)), ["return_keys", "restore_expiry"], []),
        (SHUT, Record("empty", None, ()), ["restore_expiry"], ["it had an empty password"]),
        (
            State(1000, "locked", EXPIRED_DAY, (KEYS,), (ASIDE,), 0),
            Record("locked", EXPIRED_DAY, (KEYS,)),
            [],
            [f"there is a new {KEYS}"],
        ),
        (
            State(1000, "locked", EXPIRED_DAY, (), (), 0),
            Record("locked", EXPIRED_DAY, (KEYS,)),
            [],
            [f"{ASIDE} is gone"],
        ),
        # An interrupted unlock goes on.
        (State(1000, "set", EXPIRED_DAY, (KEYS,), (), 0), Record("set", None, (KEYS,)), ["restore_expiry"], []),
    ],
)
def test_unlocking_brings_back_what_was(state: State, record: Record, steps: list[str], refused: list[str]) -> None:
    planned, left = unlock_steps(state, record)
    assert names(planned) == steps
    assert [reason for reason, _ in left] == refused
    assert Record.of(record.as_dict()) == record


@pytest.mark.parametrize(
    ("user", "uid", "own", "sudoers", "reason"),
    [
        ("root", 0, [], [], "it is root"),
        ("toor", 0, [], [], "it is root"),
        ("kim", 1000, ["kim"], ["kim", "lee"], "this task came in by it"),
        ("kim", 1000, ["lee"], ["kim"], "nobody else may use sudo"),
        ("kim", 1000, ["lee"], ["kim", "lee"], None),
        ("kim", 1000, [], [], None),
    ],
)
def test_who_is_never_locked(user: str, uid: int, own: list[str], sudoers: list[str], reason: str | None) -> None:
    refused = refusal(user, uid, own, sudoers)
    assert (refused and refused[0]) == reason


@pytest.mark.parametrize("text", ["api.partner.com", "211.1.2.3/24", "1.2.3", "", "211.xxx.xxx.0/24", "1.2.3.4/33"])
def test_what_is_no_address_is_no_rule(text: str) -> None:
    with pytest.raises(InvalidOption, match="names are no rule for packets"):
        networks_of([text])


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("10.0.0.7", "it is a private network"),
        ("127.0.0.1", "it is no address of anybody outside"),
        ("224.0.0.1", "it is no address of anybody outside"),
        ("8.0.0.0/8", "it is wider than /16"),
        ("2600::/16", "it is wider than /32"),
        ("203.0.113.0/24", "this task comes from it"),
        ("198.51.100.0/24", None),
        ("2001:db8::/48", None),
    ],
)
def test_what_is_never_shut_out(address: str, reason: str | None) -> None:
    protected = {"203.0.113.9": "this task comes from it"}
    plan = plan_block(networks_of([address]), [], protected, allow_private=False, allow_wide=False)
    assert [each[1] for each in plan.refused] == ([reason] if reason else [])
    assert len(plan.add) == (0 if reason else 1)


def test_networks_that_overlap() -> None:
    blocked = [Blocked(each) for each in networks_of(["198.51.100.0/24", "203.0.113.9"])]
    plan = plan_block(
        networks_of(["198.51.100.7", "198.51.0.0/16", "198.51.100.0/24", "203.0.113.9"]),
        *(blocked, {}),
        allow_private=False,
        allow_wide=False,
    )
    assert [text_of(each) for each in plan.add] == ["198.51.0.0/16"]
    assert [text_of(each) for each in plan.remove] == ["198.51.100.0/24"]
    assert script_of(plan, exists=True, timeout_seconds=60, empties=False) == (
        "delete element inet runbook_block blocked4 { 198.51.100.0/24 }\n"
        "add element inet runbook_block blocked4 { 198.51.0.0/16 timeout 60s }\n"
    )
    part = plan_unblock(networks_of(["198.51.100.7", "203.0.113.9", "192.0.2.1"]), blocked)
    assert [text_of(each) for each in part.remove] == ["203.0.113.9"]
    assert part.refused[0][1] == "it is shut out as part of 198.51.100.0/24"
    assert script_of(part, exists=True, timeout_seconds=0, empties=True) == "delete table inet runbook_block\n"


@pytest.mark.parametrize(
    ("held", "left", "asked", "added", "refused"),
    [
        ("203.0.113.9", None, 86400, [], []),
        ("203.0.113.9", 43200, 86400, [], []),
        ("203.0.113.9", 90000, 86400, [], []),
        # About to end is not shut out.
        ("203.0.113.9", 20, 86400, ["203.0.113.9"], []),
        ("203.0.113.9", 86400, 0, ["203.0.113.9"], []),
        ("203.0.113.9", None, 0, [], []),
        ("203.0.113.0/24", 43200, 86400, [], []),
        ("203.0.113.0/24", 20, 86400, [], ["it is shut out as part of 203.0.113.0/24, for 20 s more"]),
    ],
)
def test_what_is_about_to_end_is_shut_out_anew(
    held: str, left: int | None, asked: int, added: list[str], refused: list[str]
) -> None:
    blocked = [Blocked(networks_of([held])[0], left)]
    flags = {"allow_private": False, "allow_wide": False}
    plan = plan_block(networks_of(["203.0.113.9"]), blocked, {}, timeout_seconds=asked, **flags)
    assert [text_of(each) for each in plan.add] == [text_of(each) for each in plan.remove] == added
    assert [each[1] for each in plan.refused] == refused
    again = plan_block(networks_of(["203.0.113.9", held]), blocked, {}, timeout_seconds=asked, **flags)
    assert (again.refused, again.is_empty) == ((), not added and not refused)


def test_what_nft_lists() -> None:
    def elements(*each: Any, table: str = "runbook_block") -> dict[str, Any]:
        return {"nftables": [{"metainfo": {}}, {"set": {"table": table, "name": "blocked4", "elem": list(each)}}]}

    listed = elements(
        "192.0.2.1",
        {"prefix": {"addr": "198.51.100.0", "len": 24}},
        {"elem": {"val": "203.0.113.9", "timeout": 60, "expires": 12}},
        {"elem": {"val": {"range": ["203.0.113.16", "203.0.113.31"]}, "timeout": 60}},
    )
    assert [each.facts() for each in blocked_of(listed)] == [
        {"address": "192.0.2.1", "left_seconds": None},
        {"address": "198.51.100.0/24", "left_seconds": None},
        {"address": "203.0.113.9", "left_seconds": 12},
        {"address": "203.0.113.16/28", "left_seconds": 60},
    ]
    assert blocked_of(elements("192.0.2.1", table="other")) == []
