# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server of a cluster serves which slots, from what its servers say. Pure."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import SLOTS

Address = tuple[str, int]


@dataclass
class SlotMap:
    """Ranges of slots and the primary that serves each; what was learnt of single slots since stands above them."""

    ranges: list[tuple[int, int, Address]] = field(default_factory=list)
    moved: dict[int, Address] = field(default_factory=dict)
    # Other addresses under which a redirection may name a primary.
    aliases: dict[Address, Address] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ranges.sort(key=lambda each: each[0])
        self._starts = [start for start, end, address in self.ranges]

    def owner(self, slot: int) -> Optional[Address]:
        """The primary that serves a slot; None if nobody does."""
        if slot in self.moved:
            return self.moved[slot]
        position = bisect.bisect_right(self._starts, slot) - 1
        if position < 0:
            return None
        start, end, address = self.ranges[position]
        return address if start <= slot <= end else None

    @property
    def primaries(self) -> list[Address]:
        """Every primary that serves slots, in the order of their slots."""
        return list(dict.fromkeys(address for start, end, address in self.ranges))

    @property
    def unserved(self) -> int:
        """How many slots nobody serves."""
        return SLOTS - sum(end - start + 1 for start, end, address in self.ranges)


def parse_slots(reply: Sequence[Any], asked: Address, *, by_name: bool = False) -> SlotMap:
    """The reply of CLUSTER SLOTS: C([start, end, [host, port, id, metadata], replica…]) a range.

    A host that is not given means the one that was asked (C(asked)). C(by_name): prefer the host name that a server
    announces beside its address, because its certificate is for that.
    """
    ranges: list[tuple[int, int, Address]] = []
    aliases: dict[Address, Address] = {}
    for start, end, primary, *_replicas in reply:
        host = _text(primary[0]) or asked[0]
        port = int(primary[1])
        extra = _pairs(primary[3]) if len(primary) > 3 else {}
        address = (extra["hostname"], port) if by_name and extra.get("hostname") else (host, port)
        for other in (host, extra.get("hostname"), extra.get("ip")):
            if other and (other, port) != address:
                aliases[(other, port)] = address
        ranges.append((int(start), int(end), address))
    return SlotMap(ranges, aliases=aliases)


def parse_redirection(text: str, asked: Address) -> tuple[int, Address]:
    """The text of MOVED and ASK, C(3999 10.0.0.1:6381): the slot, and the server to turn to."""
    slot, _separator, place = text.partition(" ")
    host, _separator, port = place.strip().rpartition(":")
    return int(slot), (host or asked[0], int(port))


@dataclass(frozen=True)
class Standing:
    """A server's own line of CLUSTER NODES: who it is, since which epoch, for which slots.

    C(moving) are slots on the way to or from it. While a slot is moving, its keys are on two servers.
    """

    id: str
    primary: bool
    epoch: int
    slots: tuple[str, ...]
    moving: tuple[str, ...]


def parse_standing(reply: bytes) -> Optional[Standing]:
    """The line C(myself) of CLUSTER NODES; None if there is none."""
    for line in reply.decode("utf-8", "replace").splitlines():
        words = line.split()
        if len(words) < 8 or "myself" not in words[2].split(","):
            continue
        # "[5461->-id]" leaves this server, "[5461-<-id]" comes to it.
        moving = tuple(re.sub(r"\[(\d+)-.*", r"\1", word) for word in words[8:] if word.startswith("["))
        slots = tuple(word for word in words[8:] if not word.startswith("["))
        return Standing(words[0], "master" in words[2].split(","), int(words[6]), slots, moving)
    return None


def disturbance(before: Sequence[Standing], after: Sequence[Standing]) -> Optional[str]:
    """Why a pass over all servers may have missed keys; None if it cannot have.

    A key that moves from a server not yet walked through to one that was is seen on neither. Every slot that changes
    its owner raises an epoch, also when it comes back meanwhile.
    """
    moving = sorted({int(slot) for each in (*before, *after) for slot in each.moving})
    if moving:
        if len(moving) == 1:
            return f"slot {moving[0]} of the cluster is being moved"
        shown = ", ".join(map(str, moving[:3])) + (f" and {len(moving) - 3} more" if len(moving) > 3 else "")
        return f"slots {shown} of the cluster are being moved"
    if list(before) != list(after):
        return "slots of the cluster changed their server during the scan"
    return None


def _pairs(metadata: Any) -> Mapping[str, str]:
    """The metadata of a server: a flat list of names and values."""
    if not isinstance(metadata, (list, tuple)):
        return {}
    words = [_text(word) for word in metadata]
    return dict(zip(words[::2], words[1::2]))


def _text(value: Any) -> str:
    """A host as text; an unknown one (null, or C(?)) is empty."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
    return "" if text == "?" else text
