# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where we are: the database an answer comes from, so that an empty one can be told from a wrong one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal, missing_permissions
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import (
    databases_of,
    flag,
    integer,
    loading_reason,
    parse_info,
    role_of,
    version_of,
)

# A name for probes of commands. That an ACL keeps us away from it says nothing about the command.
PROBE_KEY = b"runbook.ops"
SENTINEL_MASTERS: Command = ("SENTINEL", "MASTERS")


@dataclass
class Endpoint:
    """A server and database as they were at the beginning of a measurement."""

    where: str
    db: int
    info: dict[str, str] = field(default_factory=dict)
    dbsize: int | None = None
    time: float | None = None
    round_trip_seconds: float = 0.0
    skipped: list[dict[str, str]] = field(default_factory=list)

    @property
    def role(self) -> str | None:
        """C(master) or C(replica); None if the server does not say."""
        return role_of(self.info)

    @property
    def databases(self) -> list[dict[str, Any]]:
        """The databases that hold keys, with their number of keys."""
        return [{"db": entry["db"], "keys": entry["keys"]} for entry in databases_of(self.info)]

    def facts(self) -> dict[str, Any]:
        """The C(endpoint) key of results."""
        return {
            "address": self.where,
            "db": self.db,
            "dbsize": self.dbsize,
            "databases": self.databases,
            "version": version_of(self.info),
            "role": self.role,
        }

    @property
    def place(self) -> str:
        """C(database 0 of redis.internal:6379)."""
        return f"database {self.db} of {self.where}"

    def elsewhere(self) -> str:
        """A sentence on the databases that do hold keys, when this one is empty; else nothing."""
        if self.dbsize != 0:
            return ""
        others = [entry for entry in self.databases if entry["db"] != self.db]
        if not others:
            return f"{self.place[0].upper()}{self.place[1:]} is empty, and so is every other database there."
        listed = ", ".join(f"{entry['db']} ({entry['keys']} keys)" for entry in others)
        return f"{self.place[0].upper()}{self.place[1:]} is empty; keys are in database {listed}. Is login_db right?"

    def notes(self) -> list[str]:
        """What a reader must know about this server before believing its figures."""
        notes = [self.elsewhere()]
        if self.role == "replica":
            notes.append(f"{self.where} is a replica: figures may lag behind its master.")
            if self.info.get("master_link_status") != "up":
                down = integer(self.info, "master_link_down_since_seconds")
                since = f" for {down} s" if down and down > 0 else ""
                notes.append(f"The replica's link to its master is down{since}: figures are old.")
        return [note for note in notes if note]


def survey(client: RedisClient, needed: Sequence[Command], useful: Sequence[tuple[str, Command]] = ()) -> Endpoint:
    """Look at the server and probe the permissions a measurement is going to need, in one round trip.

    C(needed) are harmless sample commands without which nothing can be measured: whatever the ACL denies of
    them is reported in one message (Unavailable). C(useful) are pairs of a result section and a command:
    what is denied of them goes to the endpoint's C(skipped_sections).
    """
    basics: list[tuple[str, Command]] = [
        ("endpoint", ("INFO",)),
        ("endpoint", ("DBSIZE",)),
        ("endpoint", ("TIME",)),
    ]
    probes = [*basics, *useful]
    replies = client.pipeline([command for section, command in probes] + list(needed), tolerant=True)
    info, dbsize, time = replies[:3]
    endpoint = Endpoint(client.where, client.settings.db)
    if not isinstance(info, Refusal):
        endpoint.info = parse_info(info)
        if flag(endpoint.info, "loading"):
            raise Unavailable(loading_reason(client.where, endpoint.info))
        refuse_other_kinds(client, endpoint.info)
    for reply in replies:
        if isinstance(reply, Refusal) and reply.concerns_connection:
            raise client.unusable(reply)
    required = [reply for reply in replies[len(probes) :] if isinstance(reply, Refusal) and denied(reply)]
    if client.select_refusal:
        required.append(client.select_refusal)
    sections = [section for section, command in probes]
    optional = [
        (section, reply) for section, reply in zip(sections, replies) if isinstance(reply, Refusal) and denied(reply)
    ]
    if any(reply.permission for reply in required):
        every = [*required, *(reply for section, reply in optional)]
        raise Unavailable(missing_permissions(every, client.where, client.user))
    unknown = sorted({reply.command for reply in required if reply.code == "UNKNOWN"})
    if unknown:
        raise Unavailable(f"The server at {client.where} does not offer {', '.join(unknown)}, which this needs.")
    # An idle round trip, so that distance is not taken for load later; the first one may still be warming up.
    endpoint.round_trip_seconds = min(client.timed("PING")[1] for attempt in range(3))
    endpoint.dbsize = None if isinstance(dbsize, Refusal) else dbsize
    endpoint.time = None if isinstance(time, Refusal) else int(time[0]) + int(time[1]) / 1e6
    endpoint.skipped = [reply.skipped(section, client.user) for section, reply in optional]
    return endpoint


def denied(refusal: Refusal) -> bool:
    """Whether a probe says that we may not, or cannot, use the command; a wrong type only says the key is odd."""
    if refusal.permission == f"~{PROBE_KEY.decode()}":
        return False
    return refusal.code in ("NOPERM", "UNKNOWN")


def refuse_other_kinds(client: RedisClient, info: dict[str, str]) -> None:
    """Raise Unavailable where one connection cannot give a true answer: a sentinel, a node of a cluster."""
    if info.get("redis_mode") == "sentinel":
        known = masters(client)
        raise Unavailable(f"{client.where} is a Redis Sentinel, which holds no keys. Connect to a master{known}.")
    if info.get("redis_mode") == "cluster" or flag(info, "cluster_enabled"):
        raise Unavailable(
            f"{client.where} is a node of a Redis Cluster and holds only a part of the keys; its figures would be too "
            "low. Clusters are not supported here: measure where the keys are whole."
        )


def masters(client: RedisClient) -> str:
    """The masters a Sentinel watches, as a clause with their addresses; empty if it does not say."""
    reply = client.ask(*SENTINEL_MASTERS)
    if isinstance(reply, Refusal):
        return ""
    found = []
    for entry in reply:
        pairs = dict(zip(entry[::2], entry[1::2]))
        name, address, port = (pairs.get(key, b"?").decode("utf-8", "replace") for key in (b"name", b"ip", b"port"))
        found.append(f"{name} at {address}:{port}")
    return f": {', '.join(found)}" if found else ""


def clock(endpoint: Endpoint, reference: dt.datetime | None) -> float:
    """The moment ages are counted to, epoch seconds: the reference, else the server's clock, else ours."""
    if reference is not None:
        return reference.timestamp()
    if endpoint.time is not None:
        return endpoint.time
    return dt.datetime.now(dt.timezone.utc).timestamp()
