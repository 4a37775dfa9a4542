# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a server for its health: one connection, a handful of round trips, nothing that blocks it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect_server
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal, command_name
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.config_file import COMPARED
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.lint import SETTINGS as LINTED
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import (
    QUEUE_KEYS,
    SECTIONS,
    SlowCommand,
    Snapshot,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import flag, loading_reason, parse_info
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings

# One setting a command: servers before 7.0 take no more. Never requirepass and its like: they are secrets.
SETTINGS = tuple(
    dict.fromkeys(
        (
            *("save", "appendonly", "appendfsync", "bind", "protected-mode"),
            *("databases", "maxclients", "slowlog-log-slower-than"),
            *LINTED,
            *COMPARED,
        )
    )
)


@dataclass(frozen=True)
class Wishes:
    """How much to look at."""

    slowlog_entries: int = 128
    ping_samples: int = 5
    sample_seconds: float = 0.0


def collect(settings: Settings, wishes: Wishes) -> tuple[Snapshot, list[dict[str, str]]]:
    """A snapshot and what had to be skipped; raises Unavailable when the server cannot serve."""
    with connect_server(settings) as client:
        snapshot = Snapshot()
        refusals: list[tuple[str, Refusal]] = []
        if client.select_refusal:
            refusals.append(("stats", client.select_refusal))
        _basics(client, snapshot, refusals)
        _pings(client, snapshot, refusals, wishes.ping_samples)
        _settings(client, snapshot, refusals)
        _latency_events(client, snapshot, refusals)
        _cluster(client, snapshot, refusals)
        snapshot.where = client.where
        if wishes.slowlog_entries:
            _slowlog(client, snapshot, refusals, wishes.slowlog_entries)
        if wishes.sample_seconds:
            _second_sample(client, snapshot, wishes.sample_seconds)
        skipped = _skipped(refusals, client.user)
        snapshot.auth_required = _auth_required(client.settings)
    return snapshot, skipped


def _basics(client: RedisClient, snapshot: Snapshot, refusals: list[tuple[str, Refusal]]) -> None:
    # Unlike EXISTS, MEMORY USAGE does not count as a lookup, which would spoil the hit rate of an idle server.
    probes: list[Command] = [("MEMORY", "USAGE", key, "SAMPLES", 1) for key in QUEUE_KEYS]
    commands: list[Command] = [("INFO", "ALL"), ("DBSIZE",), ("TIME",), *probes]
    info, dbsize, server_time, *present = client.pipeline(commands, tolerant=True)
    snapshot.local_time = time.time()
    if isinstance(info, Refusal):
        if info.concerns_connection:
            raise client.unusable(info)
        refusals += [(section, info) for section in SECTIONS if section not in ("slowlog", "latency")]
    else:
        snapshot.info = parse_info(info)
    if flag(snapshot.info, "loading"):
        raise Unavailable(loading_reason(client.where, snapshot.info))
    for reply in (dbsize, server_time):
        if isinstance(reply, Refusal) and reply.concerns_connection:
            raise client.unusable(reply)
    if isinstance(dbsize, Refusal):
        refusals.append(("stats", dbsize))
    else:
        snapshot.dbsize = dbsize
    if isinstance(server_time, Refusal):
        refusals += [(section, server_time) for section in ("server", "persistence", "slowlog")]
    else:
        snapshot.server_time = int(server_time[0]) + int(server_time[1]) / 1e6
    # A refusal here only means that these keys are not ours to see.
    snapshot.queue_keys = [key for key, reply in zip(QUEUE_KEYS, present) if isinstance(reply, int)]


def _pings(client: RedisClient, snapshot: Snapshot, refusals: list[tuple[str, Refusal]], samples: int) -> None:
    # PING fails with MISCONF while the server refuses all writes, which no figure of INFO says so plainly.
    for reply, seconds in [client.timed("PING") for sample in range(samples)]:
        if isinstance(reply, Refusal) and reply.code != "MISCONF":
            refusals += [(section, reply) for section in ("latency", "writes_refused")]
            continue
        snapshot.ping_seconds.append(seconds)
        if isinstance(reply, Refusal):
            snapshot.write_refusal = reply.text


def _settings(client: RedisClient, snapshot: Snapshot, refusals: list[tuple[str, Refusal]]) -> None:
    replies = client.pipeline([("CONFIG", "GET", name) for name in SETTINGS])
    for name, reply in zip(SETTINGS, replies):
        if isinstance(reply, Refusal):
            sections = ("persistence", "config", "config_lint") if name == "save" else ("config", "config_lint")
            refusals += [(section, reply) for section in sections]
        elif len(reply) == 2:
            snapshot.config[name] = reply[1].decode("utf-8", "replace")


def _latency_events(client: RedisClient, snapshot: Snapshot, refusals: list[tuple[str, Refusal]]) -> None:
    reply = client.ask("LATENCY", "LATEST")
    if isinstance(reply, Refusal):
        refusals.append(("latency.events", reply))
    else:
        snapshot.latency_events = [
            (event[0].decode("utf-8", "replace"), float(event[1]), float(event[2]), float(event[3])) for event in reply
        ]


def _cluster(client: RedisClient, snapshot: Snapshot, refusals: list[tuple[str, Refusal]]) -> None:
    if not flag(snapshot.info, "cluster_enabled"):
        return
    reply = client.ask("CLUSTER", "INFO")
    if isinstance(reply, Refusal):
        refusals.append(("cluster", reply))
    else:
        snapshot.cluster = parse_info(reply)


def _slowlog(client: RedisClient, snapshot: Snapshot, refusals: list[tuple[str, Refusal]], entries: int) -> None:
    length, log = client.pipeline([("SLOWLOG", "LEN"), ("SLOWLOG", "GET", entries)])
    if isinstance(length, Refusal):
        refusals.append(("slowlog", length))
    else:
        snapshot.slowlog_length = length
    if isinstance(log, Refusal):
        refusals.append(("slowlog", log))
    else:
        snapshot.slowlog = [slow_command(entry) for entry in log]


def slow_command(entry: list[Any]) -> SlowCommand:
    """An entry of SLOWLOG GET; of its arguments only the command's name is kept."""
    return SlowCommand(command_name(tuple(entry[3])), entry[2] / 1e6, float(entry[1]))


def _second_sample(client: RedisClient, snapshot: Snapshot, seconds: float) -> None:
    if not snapshot.info:
        return
    started = time.monotonic()
    time.sleep(seconds)
    reply = client.ask("INFO", "STATS")
    if not isinstance(reply, Refusal):
        snapshot.later = parse_info(reply)
        snapshot.sample_seconds = time.monotonic() - started


def _auth_required(settings: Settings) -> bool | None:
    """Whether a client without credentials is turned away; tried with a connection of its own.

    The setting itself (requirepass) would answer with the password.
    """
    if not settings.password:
        return False
    anonymous = replace(settings, user=None, password=None, db=0)
    try:
        with RedisClient(anonymous) as client:
            reply = client.pipeline([("PING",)], tolerant=True)[0]
    except Unavailable:
        return None
    return isinstance(reply, Refusal) and reply.code in ("NOAUTH", "DENIED")


def _skipped(refusals: list[tuple[str, Refusal]], user: str) -> list[dict[str, str]]:
    """One entry for a section and a cause, in the order they came."""
    entries: list[dict[str, str]] = []
    for section, refusal in refusals:
        entry = refusal.skipped(section, user)
        if entry not in entries:
            entries.append(entry)
    return entries
