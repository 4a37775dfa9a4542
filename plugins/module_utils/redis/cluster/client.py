# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis Cluster as if it were one server: every command goes to the primary that has its keys.

Nothing is sent twice: a command is repeated elsewhere only when a server has answered that it did not carry it out
(MOVED, ASK, TRYAGAIN). Transactions (MULTI) have no place here: what must happen at once is a script.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import PIPELINE_COMMANDS, Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import slot_of, slots_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.topology import (
    Address,
    SlotMap,
    Standing,
    disturbance,
    parse_redirection,
    parse_slots,
    parse_standing,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal, command_name

CLUSTER_SLOTS: Command = ("CLUSTER", "SLOTS")
CLUSTER_NODES: Command = ("CLUSTER", "NODES")
REDIRECTIONS = frozenset({"MOVED", "ASK", "TRYAGAIN"})

# A command is sent on at most so many times. TRYAGAIN lasts as long as a slot with the keys is on its way.
MOST_ROUNDS = 8
TRYAGAIN_SECONDS = 0.1


class ClusterClient(RedisClient):
    """Connections to the primaries of a cluster, opened when they are first needed."""

    is_cluster = True

    def __init__(self, seed: RedisClient) -> None:
        """C(seed) is open, and stays its owner's to close."""
        super().__init__(seed.settings)
        self._seed = seed
        self._asked: Address = (seed.settings.host, seed.settings.port)
        self._clients: dict[Address, RedisClient] = {}
        self._map = SlotMap()

    def open(self) -> RedisClient:
        """Learn who serves which slots; raises Unavailable.

        Where that is not allowed, the refusals are kept in C(refusals), and the seed stands for the cluster, so that
        a preflight can name them together with everything else that is missing.
        """
        replies = self._seed.pipeline([CLUSTER_SLOTS, CLUSTER_NODES])
        self.refusals = [reply for reply in replies if isinstance(reply, Refusal)]
        for refusal in self.refusals:
            if refusal.code not in ("NOPERM", "UNKNOWN"):
                raise self._seed.unusable(refusal)
        if not self.refusals:
            self._learn(replies[0], self._asked)
            if not self._map.ranges:
                raise Unavailable(
                    f"The Redis Cluster at {self.where} serves no slot: it holds no keys and takes none. "
                    "Has it been created (redis-cli --cluster create), and is this one of its nodes?"
                )
        return self

    def close(self) -> None:
        """Close every connection; safe to call twice."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def nodes(self) -> list[RedisClient]:
        """The primaries that serve slots, in the order of their slots; raises Unavailable if one cannot be reached."""
        if self.refusals:
            return [self._seed]
        return [self._client(address) for address in self._map.primaries]

    @property
    def unserved(self) -> int:
        """How many slots nobody serves."""
        return 0 if self.refusals else self._map.unserved

    def topology(self) -> list[Standing]:
        """What every primary says about itself, to be compared with what it says later."""
        found = []
        for node in self.nodes():
            standing = parse_standing(node.call(*CLUSTER_NODES))
            if standing is not None:
                found.append(standing)
        return found

    def disturbance(self, before: Any) -> Optional[str]:
        """Why keys may have been missed by a pass over C(nodes()) that began at C(before)."""
        return disturbance(before, self.topology())

    def pipeline(
        self, commands: Sequence[Command], *, tolerant: bool = False, batch: int = PIPELINE_COMMANDS
    ) -> list[Any]:
        """Send each command to the server that has its keys; the replies are in the order of the commands.

        DBSIZE is the sum over all primaries and CLIENT LIST the list of all; other commands without keys are answered
        by the first primary. A command with keys of several slots is refused without being sent.
        """
        replies: list[Any] = [None] * len(commands)
        pending: list[int] = []
        for index, command in enumerate(commands):
            if len(slots_of(command)) > 1:
                replies[index] = Refusal(command_name(command), "CROSSSLOT", "Keys in request don't hash to one slot")
            elif command_name(command) in _TRANSACTIONS:
                replies[index] = Refusal(command_name(command), "CLUSTER", "transactions are not spread over a cluster")
            elif command_name(command) in _OF_ALL:
                replies[index] = self._of_all(command)
            else:
                pending.append(index)
        for attempt in range(MOST_ROUNDS):
            pending = self._round(commands, pending, replies, batch)
            if not pending:
                break
            if any(replies[index].code == "TRYAGAIN" for index in pending):
                time.sleep(TRYAGAIN_SECONDS * (attempt + 1))
        if not tolerant:
            for reply in replies:
                if isinstance(reply, Refusal) and reply.concerns_connection:
                    raise self.unusable(reply)
        return replies

    def _round(self, commands: Sequence[Command], pending: Sequence[int], replies: list[Any], batch: int) -> list[int]:
        """Send what is pending, each server's share at once; the commands that have to be sent elsewhere."""
        shares: dict[Address, list[int]] = {}
        for index in pending:
            shares.setdefault(self._address(commands[index]), []).append(index)
        redirected: list[int] = []
        moved: list[tuple[Refusal, Address]] = []
        for address, share in shares.items():
            client = self._client(address)
            answers = client.pipeline([commands[index] for index in share], tolerant=True, batch=batch)
            for index, first in zip(share, answers):
                asks = isinstance(first, Refusal) and first.code == "ASK"
                answer = self._ask_there(first, commands[index], address) if asks else first
                replies[index] = answer
                if isinstance(answer, Refusal) and answer.code in REDIRECTIONS:
                    redirected.append(index)
                    moved += [(answer, address)] if answer.code == "MOVED" else []
        if moved:
            self._refresh()
            for answer, address in moved:
                self._believe(answer, address)
        return sorted(redirected)

    def _ask_there(self, answer: Refusal, command: Command, address: Address) -> Any:
        """A slot is on its way, and the key has gone ahead: this once, ask where it goes."""
        there = parse_redirection(answer.text, address)[1]
        return self._client(self._map.aliases.get(there, there)).pipeline([("ASKING",), command], tolerant=True)[1]

    def _believe(self, answer: Refusal, address: Address) -> None:
        slot, there = parse_redirection(answer.text, address)
        self._map.moved[slot] = self._map.aliases.get(there, there)

    def _refresh(self) -> None:
        """Read the map again, from the first server that gives it."""
        for address, client in [(self._asked, self._seed), *self._clients.items()]:
            try:
                reply = client.pipeline([CLUSTER_SLOTS], tolerant=True)[0]
            except Unavailable:
                continue
            if not isinstance(reply, Refusal) and reply:
                self._learn(reply, address)
                return

    def _learn(self, reply: Any, asked: Address) -> None:
        by_name = self.settings.tls and self.settings.validate_certs
        self._map = parse_slots(reply, asked, by_name=by_name)

    def _of_all(self, command: Command) -> Any:
        answers = [node.pipeline([command], tolerant=True)[0] for node in self.nodes()]
        refused = next((answer for answer in answers if isinstance(answer, Refusal)), None)
        if refused is not None:
            return refused
        return sum(answers) if command_name(command) == "DBSIZE" else b"".join(answers)

    def _address(self, command: Command) -> Address:
        slot = slot_of(command)
        owner = None if slot is None else self._map.owner(slot)
        # A server that does not serve the slot says best why nobody does.
        return owner or (self._map.primaries[0] if self._map.ranges else self._asked)

    def _client(self, address: Address) -> RedisClient:
        """The connection to a server; raises Unavailable."""
        if address == self._asked:
            return self._seed
        if address not in self._clients:
            host, port = address
            settings = replace(self.settings, host=host, port=port, unix_socket=None)
            try:
                self._clients[address] = RedisClient(settings).open()
            except Unavailable as error:
                raise Unavailable(f"{error.message} It belongs to the Redis Cluster of {self.where}.") from None
        return self._clients[address]


# Commands without keys of which one server's answer would be too little.
_OF_ALL = frozenset({"DBSIZE", "CLIENT LIST"})
# Begun on one server, they would not hold for the commands that go to others.
_TRANSACTIONS = frozenset({"MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"})
