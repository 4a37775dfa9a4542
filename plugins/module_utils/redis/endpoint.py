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
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import SLOTS
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
from ansible_collections.runbook.ops.plugins.module_utils.redis.sentinel import masters

# A name for probes of commands. That an ACL keeps us away from it says nothing about the command.
PROBE_KEY = b"runbook.ops"


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
    # The primaries of a Redis Cluster, all of which were asked; empty for a single server.
    primaries: list[str] = field(default_factory=list)
    # How many slots of the cluster nobody serves.
    unserved: int = 0

    @property
    def role(self) -> str | None:
        """C(master) or C(replica); None if the server does not say."""
        return role_of(self.info)

    @property
    def databases(self) -> list[dict[str, Any]]:
        """The databases that hold keys, with their number of keys."""
        if self.primaries:
            return [{"db": 0, "keys": self.dbsize}] if self.dbsize else []
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
        if self.primaries:
            return f"The Redis Cluster of {self.where} is empty."
        others = [entry for entry in self.databases if entry["db"] != self.db]
        if not others:
            return f"{self.place[0].upper()}{self.place[1:]} is empty, and so is every other database there."
        listed = ", ".join(f"{entry['db']} ({entry['keys']} keys)" for entry in others)
        return f"{self.place[0].upper()}{self.place[1:]} is empty; keys are in database {listed}. Is login_db right?"

    def notes(self) -> list[str]:
        """What a reader must know about this server before believing its figures."""
        notes = [self.elsewhere()]
        if self.primaries:
            count = len(self.primaries)
            listed = ", ".join(self.primaries)
            notes.append(
                f"{self.where} belongs to a Redis Cluster; the figures are those of its "
                f"{f'{count} primaries' if count > 1 else 'only primary'}: {listed}."
            )
        if self.unserved:
            notes.append(
                f"{self.unserved} of the cluster's {SLOTS} slots are served by nobody; keys in them are missing."
            )
        if self.role == "replica":
            notes.append(f"{self.where} is a replica: figures may lag behind its master.")
            if self.info.get("master_link_status") != "up":
                down = integer(self.info, "master_link_down_since_seconds")
                since = f" for {down} s" if down and down > 0 else ""
                notes.append(f"The replica's link to its master is down{since}: figures are old.")
        return [note for note in notes if note]


@dataclass
class _Look:
    """What one server answered to the preflight."""

    client: RedisClient
    info: dict[str, str]
    dbsize: int | None
    time: float | None
    required: list[Refusal]
    optional: list[tuple[str, Refusal]]


def survey(
    client: RedisClient,
    needed: Sequence[Command],
    useful: Sequence[tuple[str, Command]] = (),
    also: Sequence[Refusal] = (),
) -> Endpoint:
    """Look at the server and probe the permissions a measurement is going to need, in one round trip.

    C(needed) are harmless sample commands without which nothing can be measured: whatever the ACL denies of
    them is reported in one message (Unavailable). C(useful) are pairs of a result section and a command:
    what is denied of them goes to the endpoint's C(skipped_sections). C(also) is what is known to be denied already
    (C(denied_writes)). On a Redis Cluster every primary is asked: each
    has an ACL of its own.
    """
    looks = [_look(node, needed, useful, alone=not client.is_cluster) for node in client.nodes()]
    required = [*client.refusals, *also]
    optional: list[tuple[str, Refusal]] = []
    for look in looks:
        required += [refusal for refusal in look.required if refusal not in required]
        optional += [pair for pair in look.optional if pair not in optional]
    if any(reply.permission for reply in required):
        every = [*required, *(reply for section, reply in optional)]
        raise Unavailable(missing_permissions(every, client.where, client.user))
    unknown = sorted({reply.command for reply in required if reply.code == "UNKNOWN"})
    if unknown:
        raise Unavailable(f"The server at {client.where} does not offer {', '.join(unknown)}, which this needs.")
    first = looks[0]
    sizes = [look.dbsize for look in looks if look.dbsize is not None]
    return Endpoint(
        client.where,
        client.settings.db,
        first.info,
        sum(sizes) if len(sizes) == len(looks) else None,
        first.time,
        # An idle round trip, so that distance is not taken for load later; the first one may still be warming up.
        min(client.timed("PING")[1] for attempt in range(3)),
        [reply.skipped(section, client.user) for section, reply in optional],
        [look.client.where for look in looks] if client.is_cluster else [],
        client.unserved,
    )


def _look(
    client: RedisClient, needed: Sequence[Command], useful: Sequence[tuple[str, Command]], *, alone: bool
) -> _Look:
    basics: list[tuple[str, Command]] = [
        ("endpoint", ("INFO",)),
        ("endpoint", ("DBSIZE",)),
        ("endpoint", ("TIME",)),
    ]
    probes = [*basics, *useful]
    replies = client.pipeline([command for section, command in probes] + list(needed), tolerant=True)
    info, dbsize, time = replies[:3]
    parsed: dict[str, str] = {}
    if not isinstance(info, Refusal):
        parsed = parse_info(info)
        if flag(parsed, "loading"):
            raise Unavailable(loading_reason(client.where, parsed))
        if alone:
            refuse_other_kinds(client, parsed)
    for reply in replies:
        if isinstance(reply, Refusal) and reply.concerns_connection:
            raise client.unusable(reply)
    sections = [section for section, command in probes]
    return _Look(
        client,
        parsed,
        None if isinstance(dbsize, Refusal) else dbsize,
        None if isinstance(time, Refusal) else int(time[0]) + int(time[1]) / 1e6,
        [reply for reply in replies[len(probes) :] if isinstance(reply, Refusal) and denied(reply)],
        [(section, reply) for section, reply in zip(sections, replies) if isinstance(reply, Refusal) and denied(reply)],
    )


def denied(refusal: Refusal) -> bool:
    """Whether a probe says that we may not, or cannot, use the command; a wrong type only says the key is odd."""
    if refusal.permission == f"~{PROBE_KEY.decode()}":
        return False
    return refusal.code in ("NOPERM", "UNKNOWN")


def refuse_other_kinds(client: RedisClient, info: dict[str, str]) -> None:
    """Raise Unavailable where one connection cannot give a true answer: a sentinel, a lone node of a cluster."""
    if info.get("redis_mode") == "sentinel":
        known = masters(client)
        raise Unavailable(
            f"{client.where} is a Redis Sentinel, which holds no keys. Connect to a master{known}, or set sentinels "
            "and sentinel_master instead of login_host."
        )
    if info.get("redis_mode") == "cluster" or flag(info, "cluster_enabled"):
        raise Unavailable(
            f"{client.where} is a node of a Redis Cluster and holds only a part of the keys; its figures would be too "
            "low."
        )


def clock(endpoint: Endpoint, reference: dt.datetime | None) -> float:
    """The moment ages are counted to, epoch seconds: the reference, else the server's clock, else ours."""
    if reference is not None:
        return reference.timestamp()
    if endpoint.time is not None:
        return endpoint.time
    return dt.datetime.now(dt.timezone.utc).timestamp()
