# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server's health from what it says about itself. Pure.

Every number that the server did not give is null, so that it is judged as unknown and never as fine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import SLOTS
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.latency import (
    command_facts,
    event_facts,
    ping_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.lint import config_lint_facts
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import (
    databases_of,
    flag,
    integer,
    number,
    parse_pairs,
    percent,
    role_of,
    version_of,
)

SECTIONS = (
    *("server", "memory", "clients", "persistence", "replication", "stats"),
    *("cluster", "slowlog", "config", "config_lint", "latency"),
)

# Below this the allocator's own pages dominate and the ratio says nothing (the same server shows 7.8 when idle).
FRAGMENTATION_FLOOR_BYTES = 100 * 1024 * 1024

# Waiting for work is what queue consumers do, whatever the queue system; the counters cover all databases.
CONSUMER_COMMANDS = ("brpop", "blpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "xreadgroup")
# Keys that queue systems keep under fixed names, while no consumer has come yet.
QUEUE_KEYS = ("_kombu.binding.celery", "_kombu.binding.celery.pidbox", "unacked_index", "rq:queues", "rq:workers")

LOOPBACK = ("127.", "::1", "localhost")


@dataclass
class Snapshot:
    """What was read from the server: raw values, None for what was refused."""

    info: dict[str, str] = field(default_factory=dict)
    # A second look at INFO, C(sample_seconds) later, for rates; None if none was taken.
    later: dict[str, str] | None = None
    sample_seconds: float = 0.0
    config: dict[str, str] = field(default_factory=dict)
    dbsize: int | None = None
    server_time: float | None = None
    local_time: float | None = None
    ping_seconds: list[float] = field(default_factory=list)
    write_refusal: str | None = None
    auth_required: bool | None = None
    queue_keys: list[str] = field(default_factory=list)
    slowlog_length: int | None = None
    slowlog: list[SlowCommand] | None = None
    # LATENCY LATEST: name, when (epoch seconds), the latest and the longest in milliseconds.
    latency_events: list[tuple[str, float, float, float]] | None = None
    # CLUSTER INFO of a node of a Redis Cluster.
    cluster: dict[str, str] = field(default_factory=dict)
    where: str = ""


@dataclass(frozen=True)
class SlowCommand:
    """An entry of the slow log without its arguments, which are data."""

    command: str
    seconds: float
    at: float


def health(snapshot: Snapshot) -> dict[str, Any]:
    """The C(health) key of redis_health_info."""
    info = snapshot.info
    persistence = persistence_facts(snapshot)
    queues = bool(queue_evidence(info, snapshot.queue_keys))
    return {
        "server": server_facts(snapshot),
        "memory": memory_facts(info),
        "clients": clients_facts(info, snapshot.config),
        "persistence": persistence,
        "replication": replication_facts(info),
        "cluster": cluster_facts(info, snapshot.cluster),
        "stats": stats_facts(snapshot),
        "slowlog": slowlog_facts(snapshot),
        "config": config_facts(snapshot, persistence["kind"]),
        "config_lint": config_lint_facts(info, snapshot.config, queues=queues, auth_required=snapshot.auth_required),
        "latency": {
            **ping_facts(snapshot.ping_seconds),
            **event_facts(snapshot.latency_events, snapshot.server_time, snapshot.config),
            "commands": command_facts(info),
        },
    }


def server_facts(snapshot: Snapshot) -> dict[str, Any]:
    """Which server this is, and how far its clock is from ours."""
    info = snapshot.info
    skew = None
    if snapshot.server_time is not None and snapshot.local_time is not None:
        skew = round(abs(snapshot.server_time - snapshot.local_time), 1)
    return {
        "name": info.get("server_name") or ("redis" if "redis_version" in info else None),
        "version": version_of(info),
        "mode": info.get("redis_mode"),
        "role": role_of(info),
        "uptime_seconds": integer(info, "uptime_in_seconds"),
        "os": info.get("os"),
        "process_id": integer(info, "process_id"),
        "port": integer(info, "tcp_port"),
        "config_file": info.get("config_file") or None,
        "clock_skew_seconds": skew,
    }


def memory_facts(info: Mapping[str, str]) -> dict[str, Any]:
    """Memory against its limit.

    C(used_percent) is what eviction goes by (evict.c, getMaxmemoryState): buffers of replicas and of the
    AOF do not count. Without a limit it is null and C(limited) is false.
    """
    used = integer(info, "used_memory")
    limit = integer(info, "maxmemory")
    uncounted = integer(info, "mem_not_counted_for_evict") or 0
    rss = integer(info, "used_memory_rss")
    system = integer(info, "total_system_memory")
    meaningful = None if used is None else used >= FRAGMENTATION_FLOOR_BYTES
    return {
        "used_bytes": used,
        "peak_bytes": integer(info, "used_memory_peak"),
        "rss_bytes": rss,
        "dataset_bytes": integer(info, "used_memory_dataset"),
        "maxmemory_bytes": limit or None,
        "limited": None if limit is None else limit > 0,
        "used_percent": percent(None if used is None else used - uncounted, limit),
        "policy": info.get("maxmemory_policy"),
        "system_bytes": system,
        "system_percent": percent(rss, system),
        "fragmentation_meaningful": meaningful,
        "fragmentation_ratio": number(info, "mem_fragmentation_ratio") if meaningful else None,
        "lazyfree_pending_count": integer(info, "lazyfree_pending_objects"),
        **overhead_facts(info),
    }


def overhead_facts(info: Mapping[str, str]) -> dict[str, Any]:
    """Memory that is no data, and who holds it: buffers of clients and replicas, the backlog, the server itself."""
    overhead = integer(info, "used_memory_overhead")
    return {
        "overhead_bytes": overhead,
        "overhead_percent": percent(overhead, integer(info, "used_memory")),
        "startup_bytes": integer(info, "used_memory_startup"),
        "clients_bytes": integer(info, "mem_clients_normal"),
        "replicas_bytes": integer(info, "mem_clients_slaves"),
        "replication_backlog_bytes": integer(info, "mem_replication_backlog"),
        "aof_buffer_bytes": integer(info, "mem_aof_buffer"),
        "scripts_bytes": integer(info, "used_memory_scripts"),
    }


def clients_facts(info: Mapping[str, str], config: Mapping[str, str]) -> dict[str, Any]:
    """Clients against their limit."""
    connected = integer(info, "connected_clients")
    limit = integer(info, "maxclients") or integer(config, "maxclients")
    return {
        "connected_count": connected,
        "blocked_count": integer(info, "blocked_clients"),
        "max_count": limit,
        "used_percent": percent(connected, limit),
        "rejected_total": integer(info, "rejected_connections"),
        "largest_output_buffer_bytes": integer(info, "client_recent_max_output_buffer"),
    }


def persistence_facts(snapshot: Snapshot) -> dict[str, Any]:
    """What would survive a crash, and how old it is.

    C(rdb_unsaved_seconds) is the age of the oldest possible loss: 0 while nothing has changed since the last
    save. The server counts the age from its start while it has not saved yet, and its status then reads
    C(ok), which is why C(rdb_saved_since_start) stands beside it.
    """
    info, config = snapshot.info, snapshot.config
    rdb = None if "save" not in config else bool(config["save"].strip())
    aof = flag(info, "aof_enabled")
    saved_at = integer(info, "rdb_last_save_time")
    age = None
    if saved_at is not None and snapshot.server_time is not None:
        age = max(0, round(snapshot.server_time - saved_at))
    changes = integer(info, "rdb_changes_since_last_save")
    unsaved = age if changes else (0 if changes == 0 else None)
    duration = integer(info, "rdb_last_bgsave_time_sec")
    return {
        "kind": persistence_kind(rdb, aof),
        "loading": flag(info, "loading"),
        "loading_percent": number(info, "loading_loaded_perc"),
        "loading_eta_seconds": integer(info, "loading_eta_seconds"),
        "rdb_enabled": rdb,
        "rdb_last_save_age_seconds": age,
        "rdb_saved_since_start": None if duration is None else duration >= 0,
        "rdb_changes_count": changes,
        "rdb_unsaved_seconds": unsaved if rdb is not False else None,
        "rdb_last_status": info.get("rdb_last_bgsave_status"),
        "rdb_last_duration_seconds": _duration(info, "rdb_last_bgsave_time_sec"),
        "rdb_in_progress": flag(info, "rdb_bgsave_in_progress"),
        "aof_enabled": aof,
        "aof_last_write_status": info.get("aof_last_write_status"),
        "aof_last_rewrite_status": info.get("aof_last_bgrewrite_status"),
        "aof_rewrite_in_progress": flag(info, "aof_rewrite_in_progress"),
        "aof_rewrite_scheduled": flag(info, "aof_rewrite_scheduled"),
        "aof_rewrite_last_duration_seconds": _duration(info, "aof_last_rewrite_time_sec"),
        "aof_size_bytes": integer(info, "aof_current_size"),
        "aof_base_size_bytes": integer(info, "aof_base_size"),
        # Writes that had to wait, because the disk had not yet taken the second before.
        "aof_delayed_fsync_total": integer(info, "aof_delayed_fsync") if aof else None,
        **fork_facts(info),
        "writes_refused": snapshot.write_refusal is not None if snapshot.ping_seconds else None,
        "writes_refused_reason": snapshot.write_refusal,
    }


def fork_facts(info: Mapping[str, str]) -> dict[str, Any]:
    """How long the server stood still for the last copy of itself, and what that copy cost; null before the first.

    Older servers do not count copies: a fork that took no time has then not been made.
    """
    forks, micros = integer(info, "total_forks"), integer(info, "latest_fork_usec")
    made = bool(forks) if forks is not None else bool(micros)
    return {
        "forks_total": forks,
        "forked": None if micros is None else made,
        "last_fork_milliseconds": None if micros is None or not made else round(micros / 1000, 3),
        "rdb_last_copy_on_write_bytes": integer(info, "rdb_last_cow_size"),
        "aof_last_copy_on_write_bytes": integer(info, "aof_last_cow_size"),
    }


def _duration(info: Mapping[str, str], name: str) -> int | None:
    """Seconds; -1 stands for never."""
    seconds = integer(info, name)
    return seconds if seconds is not None and seconds >= 0 else None


def persistence_kind(rdb: bool | None, aof: bool | None) -> str | None:
    """C(none), C(rdb), C(aof), C(rdb+aof), or null when half of it is not known."""
    if aof:
        return "rdb+aof" if rdb else "aof"
    if rdb is None or aof is None:
        return None
    return "rdb" if rdb else "none"


def replication_facts(info: Mapping[str, str]) -> dict[str, Any]:
    """A replica's link to its master, or a master's replicas."""
    offset = integer(info, "master_repl_offset")
    replicas = []
    for name, text in info.items():
        if name.startswith("slave") and name[5:].isdigit():
            pairs = parse_pairs(text)
            theirs = integer(pairs, "offset")
            replicas.append(
                {
                    "address": f"{pairs.get('ip', '?')}:{pairs.get('port', '?')}",
                    "state": pairs.get("state"),
                    "lag_seconds": integer(pairs, "lag"),
                    "lag_bytes": None if offset is None or theirs is None else max(0, offset - theirs),
                }
            )
    role = role_of(info)
    io_age = integer(info, "master_last_io_seconds_ago")
    link_down = integer(info, "master_link_down_since_seconds")
    return {
        "role": role,
        "master": f"{info.get('master_host')}:{info.get('master_port')}" if role == "replica" else None,
        "link_status": info.get("master_link_status"),
        # -1 means that there is no link.
        "link_down_seconds": link_down if link_down is not None and link_down >= 0 else None,
        "lag_seconds": io_age if io_age is not None and io_age >= 0 else None,
        "sync_in_progress": flag(info, "master_sync_in_progress"),
        "read_only": flag(info, "slave_read_only"),
        "replicas_count": integer(info, "connected_slaves"),
        "replicas": replicas,
    }


def cluster_facts(info: Mapping[str, str], cluster: Mapping[str, str]) -> dict[str, Any]:
    """A Redis Cluster as this node sees it (CLUSTER INFO); null but for C(enabled) on a single server.

    C(slots_suspected_count) is of primaries this node cannot reach (pfail), C(slots_failed_count) of those the others
    cannot reach either (fail).
    """
    assigned = integer(cluster, "cluster_slots_assigned")
    return {
        "enabled": flag(info, "cluster_enabled"),
        "state": cluster.get("cluster_state"),
        "slots_assigned_count": assigned,
        "slots_ok_count": integer(cluster, "cluster_slots_ok"),
        "slots_suspected_count": integer(cluster, "cluster_slots_pfail"),
        "slots_failed_count": integer(cluster, "cluster_slots_fail"),
        "slots_unserved_count": None if assigned is None else SLOTS - assigned,
        "nodes_count": integer(cluster, "cluster_known_nodes"),
        "primaries_count": integer(cluster, "cluster_size"),
    }


def notes(snapshot: Snapshot) -> list[str]:
    """What a reader must know before believing the figures."""
    if not flag(snapshot.info, "cluster_enabled"):
        return []
    size = integer(snapshot.cluster, "cluster_size")
    primaries = f" with {size} primar{'y' if size == 1 else 'ies'}" if size is not None else ""
    return [
        f"{snapshot.where} is one node of a Redis Cluster{primaries}; apart from section cluster the figures are its "
        "own. Measure every node."
    ]


def stats_facts(snapshot: Snapshot) -> dict[str, Any]:
    """Traffic and losses. C(…_total) count since the start or the last CONFIG RESETSTAT."""
    info = snapshot.info
    return {
        "operations_per_second": integer(snapshot.later or info, "instantaneous_ops_per_sec"),
        **hit_facts(info, snapshot.later),
        # Waiting in BRPOP and the like is not counted as a lookup; LLEN, HGET and what scripts read are.
        "hit_includes_queues": bool(queue_evidence(info, snapshot.queue_keys)) if info else None,
        "sample_seconds": round(snapshot.sample_seconds, 3) if snapshot.later else None,
        "commands_total": integer(info, "total_commands_processed"),
        "expired_keys_total": integer(info, "expired_keys"),
        "evicted_keys_total": integer(info, "evicted_keys"),
        "rejected_connections_total": integer(info, "rejected_connections"),
        "errors_total": integer(info, "total_error_replies"),
        "errors": {
            name[len("errorstat_") :]: integer(parse_pairs(text), "count")
            for name, text in info.items()
            if name.startswith("errorstat_")
        },
        "keys_count": sum(entry["keys"] or 0 for entry in databases_of(info)) if info else None,
        "dbsize": snapshot.dbsize,
        "databases": databases_of(info),
    }


def hit_facts(info: Mapping[str, str], later: Mapping[str, str] | None) -> dict[str, Any]:
    """How many lookups found their key: between two samples if there were two, else over the server's life.

    0 of 0 is null: nothing was looked up, so nothing is known.
    """
    hits, misses = integer(info, "keyspace_hits"), integer(info, "keyspace_misses")
    basis = "lifetime"
    if later is not None:
        basis = "sample"
        hits_later, misses_later = integer(later, "keyspace_hits"), integer(later, "keyspace_misses")
        # A reset of the statistics between the samples makes the difference meaningless.
        if None not in (hits, misses, hits_later, misses_later) and hits_later >= hits and misses_later >= misses:  # type: ignore[operator]
            hits, misses = hits_later - hits, misses_later - misses  # type: ignore[operator]
        else:
            hits = misses = None
    lookups = None if hits is None or misses is None else hits + misses
    return {
        "hit_percent": percent(hits, lookups),
        "hit_basis": basis if lookups is not None else None,
        "hits_count": hits,
        "misses_count": misses,
        "lookups_count": lookups,
    }


def slowlog_facts(snapshot: Snapshot, top: int = 10) -> dict[str, Any]:
    """The slow log without arguments: they are data.

    C(slowest_last_day_seconds) is 0 when nothing was slower than the log's threshold.
    """
    threshold = integer(snapshot.config, "slowlog-log-slower-than")
    entries = snapshot.slowlog
    facts: dict[str, Any] = {
        "length": snapshot.slowlog_length,
        "threshold_seconds": threshold / 1e6 if threshold is not None and threshold >= 0 else None,
        "entries_read": None if entries is None else len(entries),
        "truncated": None
        if entries is None or snapshot.slowlog_length is None
        else len(entries) < snapshot.slowlog_length,
        "slowest_last_day_seconds": None,
        "last_day_count": None,
        "commands": [],
    }
    if entries is None or (threshold is not None and threshold < 0):
        return facts
    now = snapshot.server_time
    recent = [entry for entry in entries if now is None or now - entry.at <= 86400]
    facts["last_day_count"] = len(recent)
    facts["slowest_last_day_seconds"] = max((entry.seconds for entry in recent), default=0.0)
    groups: dict[str, list[SlowCommand]] = {}
    for entry in entries:
        groups.setdefault(entry.command, []).append(entry)
    ranked = sorted(groups.items(), key=lambda group: (-max(entry.seconds for entry in group[1]), group[0]))
    facts["commands"] = [
        {
            "command": name,
            "count": len(group),
            "slowest_seconds": max(entry.seconds for entry in group),
            "last_age_seconds": None if now is None else max(0, round(now - max(entry.at for entry in group))),
        }
        for name, group in ranked[:top]
    ]
    facts["commands_count"] = len(ranked)
    return facts


def config_facts(snapshot: Snapshot, kind: str | None) -> dict[str, Any]:
    """Settings that decide whether jobs survive and who may come in."""
    config, info = snapshot.config, snapshot.info
    evidence = queue_evidence(info, snapshot.queue_keys)
    bind = config.get("bind")
    protected = {"yes": True, "no": False}.get(config.get("protected-mode", ""))
    return {
        "queue_evidence": evidence,
        "queues_present": bool(evidence) if info else None,
        "eviction_risk": eviction_risk(info, bool(evidence)),
        "jobs_not_persisted": (bool(evidence) and kind == "none") if kind is not None and info else None,
        "bind": bind,
        "protected_mode": protected,
        "auth_required": snapshot.auth_required,
        "exposed_without_auth": exposed(snapshot.auth_required, bind, protected),
        "save": config.get("save"),
        "appendonly": config.get("appendonly"),
        "appendfsync": config.get("appendfsync"),
        "databases_count": integer(config, "databases"),
    }


def queue_evidence(info: Mapping[str, str], keys: Sequence[str]) -> list[str]:
    """Signs that job queues live on this server."""
    used = []
    for command in CONSUMER_COMMANDS:
        calls = integer(parse_pairs(info.get(f"cmdstat_{command}", "")), "calls")
        if calls:
            used.append(f"{command.upper()} was called {calls} times")
    return used + [f"key {key} exists" for key in keys]


def eviction_risk(info: Mapping[str, str], queues: bool) -> str | None:
    """What eviction may do to jobs: C(none), C(expiring) (results and rate counters) or C(any) (jobs themselves)."""
    policy, limit = info.get("maxmemory_policy"), integer(info, "maxmemory")
    if policy is None or limit is None:
        return None
    if not queues or not limit or policy == "noeviction":
        return "none"
    return "expiring" if policy.startswith("volatile-") else "any"


def exposed(auth_required: bool | None, bind: str | None, protected: bool | None) -> bool | None:
    """Whether somebody on the network gets in without a password."""
    if auth_required:
        return False
    if bind is None or protected is None or auth_required is None:
        return None
    addresses = [address.lstrip("-") for address in bind.split()]
    outside = not addresses or any(not address.startswith(LOOPBACK) for address in addresses)
    return outside and not protected
