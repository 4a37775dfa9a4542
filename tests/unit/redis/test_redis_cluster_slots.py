"""Slots, keys of commands, and the cluster's own words about itself."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import (
    SLOTS,
    hash_slot,
    keys_of,
    slot_of,
    slots_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.topology import (
    SlotMap,
    Standing,
    disturbance,
    parse_redirection,
    parse_slots,
    parse_standing,
)

ASKED = ("seed.example", 7000)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        # The specification's own check value, and CLUSTER KEYSLOT's answers.
        (b"123456789", 0x31C3 % SLOTS),
        (b"foo", 12182),
        (b"", 0),
        (b"{user1000}.following", 3443),
        (b"{user1000}.followers", 3443),
        (b"foo{}{bar}", 8363),
        (b"foo{{bar}}zap", 4015),
        (b"foo{bar}{zap}", 5061),
        (b"\xff\x00{\xfe}", 3793),
    ],
)
def test_hash_slot(key: bytes, slot: int) -> None:
    assert hash_slot(key) == slot


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("PING",), []),
        (("TIME",), []),
        (("scan", 0, "COUNT", 1), []),
        (("CONFIG", "GET", "save"), []),
        (("GET", "a"), [b"a"]),
        ((b"lrange", b"q", 0, -1), [b"q"]),
        (("GET", "\udcff"), [b"\xff"]),
        (("MEMORY", "USAGE", b"a", "SAMPLES", 1), [b"a"]),
        (("OBJECT", "HELP"), []),
        (("UNLINK", b"a", b"b"), [b"a", b"b"]),
        (("RENAME", b"a", b"b"), [b"a", b"b"]),
        (("MSET", b"a", 1, b"b", 2), [b"a", b"b"]),
        (("EVALSHA", "f" * 40, 2, b"a", b"b", "argument"), [b"a", b"b"]),
        (("EVAL", "return 1", 0), []),
        (("ZUNIONSTORE", b"t", 2, b"a", b"b", "WEIGHTS", 1, 2), [b"t", b"a", b"b"]),
        (("ZINTER", 1, b"a"), [b"a"]),
        (("LMPOP", 2, b"a", b"b", "LEFT"), [b"a", b"b"]),
        (("BLMPOP", 0, 1, b"a", "LEFT"), [b"a"]),
        (("XREAD", "COUNT", 5, "STREAMS", b"a", b"b", 0, 0), [b"a", b"b"]),
        (("XREAD", "COUNT", 5), []),
        (("XINFO", "STREAM", b"a"), [b"a"]),
        (("NEWCOMMAND", b"a", b"b"), [b"a"]),
    ],
)
def test_keys_of(command: tuple[Any, ...], keys: list[bytes]) -> None:
    assert keys_of(command) == keys


def test_slots_of_a_command() -> None:
    assert slots_of(("EVAL", "return 1", 3, "{q}:wait", "{q}:active", "{q}:1")) == [hash_slot(b"q")]
    assert len(slots_of(("DEL", "a", "b"))) == 2
    assert slots_of(("PING",)) == []
    assert (slot_of(("PING",)), slot_of(("GET", "foo"))) == (None, 12182)


def test_the_map_of_a_cluster() -> None:
    found = parse_slots(
        [
            [5461, 10922, [b"10.0.0.2", 6379, b"b"], [b"10.0.0.5", 6379, b"e"]],
            [0, 5460, [b"10.0.0.1", 6379, b"a", []], [b"10.0.0.4", 6379, b"d", []]],
            [10923, 16000, [None, 6380, b"c", []]],
            [16001, 16001, [b"10.0.0.1", 6379, b"a", []]],
        ],
        ASKED,
    )
    first, second, third = ("10.0.0.1", 6379), ("10.0.0.2", 6379), ("seed.example", 6380)
    assert found.primaries == [first, second, third]
    assert [found.owner(slot) for slot in (0, 5460, 5461, 10922, 10923, 16001)] == [
        *(first, first, second, second, third, first)
    ]
    assert (found.owner(16002), found.owner(SLOTS - 1), found.unserved) == (None, None, SLOTS - 16002)
    found.moved[0] = second
    assert (found.owner(0), found.owner(1)) == (second, first)
    assert (SlotMap().owner(0), SlotMap().unserved, SlotMap().primaries) == (None, SLOTS, [])


@pytest.mark.parametrize(
    ("by_name", "address", "alias"),
    [
        (False, ("10.0.0.1", 6379), ("redis-1.example", 6379)),
        (True, ("redis-1.example", 6379), ("10.0.0.1", 6379)),
    ],
)
def test_names_beside_addresses(by_name: bool, address: tuple[str, int], alias: tuple[str, int]) -> None:
    reply = [[0, 16383, [b"10.0.0.1", 6379, b"a", [b"hostname", b"redis-1.example"]]]]
    found = parse_slots(reply, ASKED, by_name=by_name)
    assert (found.primaries, found.aliases) == ([address], {alias: address})


@pytest.mark.parametrize(
    ("text", "slot", "address"),
    [
        ("3999 127.0.0.1:6381", 3999, ("127.0.0.1", 6381)),
        ("3999 redis.example:6381", 3999, ("redis.example", 6381)),
        ("3999 2001:db8::1:6381", 3999, ("2001:db8::1", 6381)),
        ("3999 :6381", 3999, ("seed.example", 6381)),
    ],
)
def test_redirections(text: str, slot: int, address: tuple[str, int]) -> None:
    assert parse_redirection(text, ASKED) == (slot, address)


NODES = b"""\
aa 10.0.0.1:6379@16379,redis-1 myself,master - 0 0 7 connected 0-5460 9000 [5461->-bb] [77-<-cc]
bb 10.0.0.2:6379@16379 master - 0 1 2 connected 5461-10922
dd 10.0.0.4:6379@16379 slave aa 0 1 7 connected
"""


def test_a_servers_own_line() -> None:
    assert parse_standing(NODES) == Standing("aa", True, 7, ("0-5460", "9000"), ("5461", "77"))
    replica = parse_standing(b"dd 10.0.0.4:6379@16379 myself,slave aa 0 1 7 connected\n")
    assert replica == Standing("dd", False, 7, (), ())
    assert parse_standing(b"") is None


CALM = Standing("aa", True, 1, ("0-16383",), ())


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ([CALM], [CALM], None),
        ([CALM], [Standing("aa", True, 1, ("0-9",), ())], "slots of the cluster changed their server during the scan"),
        # There and back again leaves the slots as they were.
        (
            [CALM],
            [Standing("aa", True, 2, ("0-16383",), ())],
            "slots of the cluster changed their server during the scan",
        ),
        (
            [CALM],
            [Standing("aa", False, 1, ("0-16383",), ())],
            "slots of the cluster changed their server during the scan",
        ),
        ([Standing("aa", True, 1, (), ("5",))], [CALM], "slot 5 of the cluster is being moved"),
        ([CALM], [Standing("aa", True, 1, (), ("10", "9"))], "slots 9, 10 of the cluster are being moved"),
        (
            [Standing("aa", True, 1, (), tuple(map(str, range(5))))],
            [CALM],
            "slots 0, 1, 2 and 2 more of the cluster are being moved",
        ),
    ],
)
def test_disturbance(before: list[Standing], after: list[Standing], reason: str | None) -> None:
    assert disturbance(before, after) == reason
