# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of a running server that cost jobs, memory or sleep sooner or later. Pure.

A C(warning) is wrong wherever it is found. A C(hint) may be meant so, and is worth a look when something else is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.info import integer

WARNING, HINT, CRITICAL = "warning", "hint", "critical"
# While a snapshot is written, every page that changes is there twice.
FORK_SHARE = 0.8

# What is asked of the server for the lint, beside what other sections need.
SETTINGS = (
    *("stop-writes-on-bgsave-error", "no-appendfsync-on-rewrite", "auto-aof-rewrite-percentage", "rdbchecksum"),
    *("timeout", "tcp-keepalive", "client-output-buffer-limit", "latency-monitor-threshold"),
)


@dataclass(frozen=True)
class Entry:
    """One setting that draws attention."""

    setting: str
    value: str
    severity: str
    reason: str
    remedy: str
    # The figure of the health that says the same, where there is one, so that nobody reports it twice.
    also_in: str = ""

    def facts(self) -> dict[str, str]:
        """The entry of the result."""
        return {
            "setting": self.setting,
            "value": self.value,
            "severity": self.severity,
            "reason": self.reason,
            "remedy": self.remedy,
            "also_in": self.also_in,
        }


def config_lint_facts(
    info: Mapping[str, str], config: Mapping[str, str], *, queues: bool, auth_required: Optional[bool]
) -> dict[str, Any]:
    """The C(config_lint) of the health; everything is null where the server does not tell its settings."""
    if not config or not info:
        return {"entries": None, "warnings_count": None, "hints_count": None}
    entries = list(lint(info, config, queues=queues, auth_required=auth_required))
    return {
        "entries": [entry.facts() for entry in entries],
        "warnings_count": sum(entry.severity == WARNING for entry in entries),
        "hints_count": sum(entry.severity == HINT for entry in entries),
    }


def lint(
    info: Mapping[str, str], config: Mapping[str, str], *, queues: bool, auth_required: Optional[bool]
) -> Iterator[Entry]:
    """What draws attention, in the order of importance."""
    aof = config.get("appendonly") == "yes"
    rdb = bool(config.get("save", "").strip())
    yield from _memory(info, queues=queues)
    yield from _durability(config, aof=aof, rdb=rdb, queues=queues)
    if aof:
        yield from _append_only(config)
    yield from _connections(config, auth_required=auth_required)
    yield from _sight(config)


def set_it(setting: str, value: str) -> str:
    """The command that puts a setting right, now and after a restart."""
    return f"CONFIG SET {setting} {value}, then CONFIG REWRITE."


def _memory(info: Mapping[str, str], *, queues: bool) -> Iterator[Entry]:
    policy, limit = info.get("maxmemory_policy"), integer(info, "maxmemory")
    system = integer(info, "total_system_memory")
    if queues and policy is not None and policy != "noeviction":
        when = "when maxmemory is reached" if limit else "as soon as a maxmemory is set"
        reason = f"{when}, the server throws out keys of job queues like any others: jobs vanish without an error"
        also_in = "config.eviction_risk" if limit else ""
        yield Entry("maxmemory-policy", policy, WARNING, reason, set_it("maxmemory-policy", "noeviction"), also_in)
    if limit == 0:
        reason = "the server takes memory until the kernel ends it, and what was not saved is lost"
        remedy = "CONFIG SET maxmemory to what the machine or container can spare, three quarters of it at most."
        yield Entry("maxmemory", "0", HINT, reason, remedy)
    elif limit and system and limit > FORK_SHARE * system:
        reason = (
            f"the machine has {system} bytes: nothing is left for the copy that a snapshot or a rewrite needs, "
            "and the kernel ends the server"
        )
        yield Entry("maxmemory", str(limit), WARNING, reason, "Lower maxmemory, or give the machine more memory.")


def _durability(config: Mapping[str, str], *, aof: bool, rdb: bool, queues: bool) -> Iterator[Entry]:
    if queues and not aof and not rdb and "save" in config and "appendonly" in config:
        reason = "there are neither snapshots nor an append-only file: a restart loses every job"
        yield Entry("save", '""', WARNING, reason, set_it("appendonly", "yes"), "config.jobs_not_persisted")
    if rdb and not aof and config.get("stop-writes-on-bgsave-error") == "no":
        reason = "snapshots may fail for weeks while writes go on, and only the restart shows it"
        yield Entry("stop-writes-on-bgsave-error", "no", WARNING, reason, set_it("stop-writes-on-bgsave-error", "yes"))
    if config.get("rdbchecksum") == "no":
        reason = "a damaged snapshot is loaded without complaint"
        yield Entry("rdbchecksum", "no", HINT, reason, "Set rdbchecksum yes in the configuration file, and restart.")


def _append_only(config: Mapping[str, str]) -> Iterator[Entry]:
    fsync = config.get("appendfsync", "")
    if fsync == "no":
        reason = "the kernel decides when the append-only file reaches the disk: a crash loses half a minute"
        yield Entry("appendfsync", fsync, WARNING, reason, set_it("appendfsync", "everysec"))
    elif fsync == "always":
        reason = "every write waits for the disk; everysec loses a second at most and is many times faster"
        yield Entry("appendfsync", fsync, HINT, reason, set_it("appendfsync", "everysec"))
    if config.get("auto-aof-rewrite-percentage") == "0":
        reason = "the append-only file is never rewritten: it grows until the disk is full and writes are refused"
        yield Entry("auto-aof-rewrite-percentage", "0", WARNING, reason, set_it("auto-aof-rewrite-percentage", "100"))
    if config.get("no-appendfsync-on-rewrite") == "yes":
        reason = "while the file is rewritten nothing is flushed: a crash then loses half a minute"
        yield Entry("no-appendfsync-on-rewrite", "yes", HINT, reason, set_it("no-appendfsync-on-rewrite", "no"))


def _connections(config: Mapping[str, str], *, auth_required: Optional[bool]) -> Iterator[Entry]:
    if config.get("protected-mode") == "no" and not auth_required:
        reason = "nothing but the network keeps anybody out: there is no password that is asked for"
        remedy = "Set a password (ACL SETUSER default), or protected-mode yes."
        yield Entry("protected-mode", "no", HINT, reason, remedy)
    if config.get("tcp-keepalive") == "0":
        reason = "clients that vanished keep their connections, until maxclients is reached"
        yield Entry("tcp-keepalive", "0", WARNING, reason, set_it("tcp-keepalive", "300"))
    timeout = integer(config, "timeout")
    if timeout:
        reason = f"connections that are idle for {timeout} s are closed; a pool then meets a broken one"
        yield Entry("timeout", str(timeout), HINT, reason, "Leave it at 0: tcp-keepalive removes the dead ones.")
    limits = buffer_limits(config.get("client-output-buffer-limit", ""))
    if limits.get("pubsub") == ("0", "0", "0"):
        reason = "one subscriber that does not read fills the server's memory"
        remedy = set_it("client-output-buffer-limit", '"pubsub 32mb 8mb 60"')
        yield Entry("client-output-buffer-limit", "pubsub 0 0 0", WARNING, reason, remedy)


def _sight(config: Mapping[str, str]) -> Iterator[Entry]:
    if integer(config, "slowlog-log-slower-than") in range(-(2**63), 0):
        reason = "the slow log is off: what kept everybody waiting cannot be told afterwards"
        yield Entry(
            "slowlog-log-slower-than",
            config["slowlog-log-slower-than"],
            HINT,
            reason,
            set_it("slowlog-log-slower-than", "10000"),
        )
    if config.get("latency-monitor-threshold") == "0":
        reason = "the latency monitor is off: stalls by forks, the disk or expiry leave no trace"
        yield Entry("latency-monitor-threshold", "0", HINT, reason, set_it("latency-monitor-threshold", "100"))


def buffer_limits(text: str) -> dict[str, tuple[str, str, str]]:
    """The limits by class: hard bytes, soft bytes, soft seconds, as CONFIG GET says them."""
    words = text.split()
    return {
        "replica" if words[start] == "slave" else words[start]: (words[start + 1], words[start + 2], words[start + 3])
        for start in range(0, len(words) - 3, 4)
    }
