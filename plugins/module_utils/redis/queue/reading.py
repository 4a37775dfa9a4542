# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every queue system's reader is given, and what it must answer."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts, SystemFacts
from ansible_collections.runbook.ops.plugins.module_utils.queues.rate import Sample
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import integer
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan

# A list of more clients than this is not asked for: building it would keep the server busy.
MOST_CLIENTS = 5000
REMEDY_INCOMPLETE = "Raise max_keys or max_seconds, or name the queues."


@dataclass
class Reading:
    """One look at one database: the connection, the question, and the moment ages are counted to (epoch seconds)."""

    client: RedisClient
    endpoint: Endpoint
    request: QueueRequest
    now: float
    denied: set[str] = field(default_factory=set)
    # What readers of one family share, by a name of theirs.
    shared: dict[str, object] = field(default_factory=dict)
    _clients: Optional[Union[str, dict[str, str]]] = None

    def __post_init__(self) -> None:
        self.denied = {entry["section"] for entry in self.endpoint.skipped}

    def client_list(self) -> str | dict[str, str] | None:
        """The reply of CLIENT LIST, asked for once; else the entry for C(skipped_sections), without its section.

        None when the preflight has already reported that it is not allowed.
        """
        if "consumers" in self.denied:
            return None
        if self._clients is None:
            self._clients = self._ask_for_clients()
        return self._clients

    def _ask_for_clients(self) -> str | dict[str, str]:
        connected = integer(self.endpoint.info, "connected_clients")
        if connected is not None and connected > MOST_CLIENTS:
            reason = f"{connected} clients are connected, too many to ask for a list"
            return {"section": "consumers", "reason": reason, "remedy": "Count the workers where they run."}
        reply = self.client.ask("CLIENT", "LIST")
        if isinstance(reply, Refusal):
            return reply.skipped("consumers", self.client.user)
        text: str = reply.decode("utf-8", "replace")
        return text

    def scan(
        self,
        patterns: Sequence[bytes],
        *,
        match: Optional[bytes] = None,
        client: Optional[RedisClient] = None,
        dbsize: Optional[int] = None,
        distinct: bool = True,
    ) -> Scan:
        """A bounded pass over the keys; C(client) and C(dbsize) for another database than this one.

        C(distinct): false where a name may come twice, so that the names need not be remembered.
        """
        return Scan(
            client or self.client,
            patterns,
            self.request.budget,
            match=match,
            dbsize=self.endpoint.dbsize if client is None else dbsize,
            overhead_seconds=self.endpoint.round_trip_seconds,
            distinct=distinct,
        )


class QueueReader(abc.ABC):
    """One queue system in one database.

    Without names in the request, C(look) is called with every batch of the common scan before C(read); with names it is
    not. C(read) is called once. A named queue that is not there is returned with C(exists=False); whether that is an
    error is decided when all systems were asked, and only then C(why_missing) is.
    """

    system: ClassVar[str]
    # As people write it.
    title: ClassVar[str]

    # Every key that C(look) wants to see contains one of these three bytes: they make one cheap pattern for the server,
    # so that the millions of job keys never travel. Empty for systems that list their queues themselves.
    marks: ClassVar[tuple[bytes, ...]] = ()

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.client = reading.client
        self.endpoint = reading.endpoint
        self.request = reading.request
        self.now = reading.now
        self.facts = SystemFacts()

    @classmethod
    @abc.abstractmethod
    def needed(cls, request: QueueRequest) -> list[Command]:
        """One harmless sample of every command without which its queues cannot be read."""

    @classmethod
    def useful(cls, request: QueueRequest) -> list[tuple[str, Command]]:  # noqa: ARG003
        """Commands whose lack costs one figure each, with the section that lacks it."""
        return []

    def patterns(self) -> list[bytes]:
        """Which keys of the common scan it wants to see."""
        return []

    def look(self, names: Sequence[bytes]) -> None:  # noqa: B027 - systems without patterns see none
        """A batch of keys of the common scan that match one of the patterns of one of the systems."""

    @abc.abstractmethod
    def read(self, scan: Optional[Scan]) -> SystemFacts:
        """Everything about the queues; C(scan) is the common scan, None if there was none."""

    @abc.abstractmethod
    def why_missing(self, queues: Sequence[QueueFacts]) -> dict[bytes, str]:
        """For named queues that seem not to be there: why, in a sentence, by name; without those found after all."""

    def sample(self) -> dict[tuple[bytes, bytes], Sample]:
        """Counters of the queues that C(read) found, by prefix and name, for rates between two moments."""
        return {}

    # --- for all of them

    def skip(self, entry: dict[str, str]) -> None:
        """Note what could not be read, once."""
        if entry not in self.facts.skipped:
            self.facts.skipped.append(entry)

    def refused(self, section: str, refusal: Refusal) -> None:
        """Note a refusal; a key of another type is somebody else's and only worth a note."""
        if refusal.code == "WRONGTYPE":
            note = f"key {refusal.key} is of another type than {self.title}'s and was left alone"
            self.facts.notes += [] if note in self.facts.notes else [note]
        else:
            self.skip(refusal.skipped(section, self.client.user))

    def account(self, scan: Scan, section: str) -> None:
        """Note how far a scan of this system's own came."""
        self.facts.keys_seen += scan.keys_seen
        if not scan.complete:
            self.facts.complete = False
            self.skip({"section": section, "reason": scan.incomplete_reason(), "remedy": REMEDY_INCOMPLETE})


def cover(marks: Sequence[bytes]) -> bytes:
    """One pattern that lets every name with one of the marks (three bytes each) through, and few others."""
    columns = [sorted({mark[position] for mark in marks}) for position in range(3)]
    return b"*" + b"".join(_class(column) for column in columns) + b"*"


def _class(values: Sequence[int]) -> bytes:
    body = b"".join(b"\\" + bytes([value]) if value in b"*?[]^-\\" else bytes([value]) for value in values)
    return body if len(values) == 1 else b"[" + body + b"]"
