# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sidekiq's processes: who fetches from which queue, and what their threads work on."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import read_fields, read_set
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq import format as wire

# What a thread works on holds the job with its arguments; larger ones are counted, but not read.
WORK_BYTES = 1024 * 1024
MOST_PROCESSES = 1000


@dataclass
class Processes:
    """What all processes together tell, by queue."""

    known: bool = True
    count: int = 0
    living: int = 0
    quiet: int = 0
    consumers: dict[bytes, int] = field(default_factory=dict)
    busy: dict[bytes, int] = field(default_factory=dict)
    stalled: dict[bytes, int] = field(default_factory=dict)
    # Threads whose queue is not known.
    unattributed: int = 0
    versions: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)

    @property
    def version(self) -> str | None:
        """The version that the processes say they are of, from 7 on; None where they differ."""
        return next(iter(self.versions)) if len(self.versions) == 1 else None


def read_processes(client: RedisClient, keys: wire.SidekiqKeys) -> Processes:
    """Look at every process that registered itself, whether it lives or not."""
    found = Processes()
    members = read_set(client, keys.key("processes"))
    if isinstance(members, Refusal):
        found.known = False
        found.refusals.append(members)
        return found
    found.count = len(members)
    found.known = len(members) <= MOST_PROCESSES
    identities = members[:MOST_PROCESSES]
    hashes = [keys.key(identity) for identity in identities]
    lifetimes = client.pipeline([("PTTL", key) for key in hashes])
    fields = read_fields(client, hashes, (b"info", b"quiet"), WORK_BYTES)
    for identity, lifetime, each in zip(identities, lifetimes, fields):
        # By the server's own clock: the process renews its key for a minute with every heartbeat.
        silent = not isinstance(lifetime, int) or _silent(lifetime)
        process = wire.parse_process(each.get(b"info", b""))
        if not silent:
            found.living += 1
            found.versions |= {process.version} if process.version else set()
            if each.get(b"quiet") == b"true":
                found.quiet += 1
            else:
                for queue in process.queues:
                    found.consumers[queue] = found.consumers.get(queue, 0) + 1
        _read_work(client, keys, identity, silent, found)
    return found


def _silent(milliseconds: int) -> bool:
    """Whether a key of this lifetime (-1 for ever, -2 for none) was not renewed for long."""
    if milliseconds == -1:
        return False
    return milliseconds < (wire.HEARTBEAT_SECONDS - wire.SILENT_SECONDS) * 1000


def _read_work(client: RedisClient, keys: wire.SidekiqKeys, identity: bytes, silent: bool, found: Processes) -> None:
    for key in keys.work(identity):
        threads = client.ask("HKEYS", key)
        if isinstance(threads, Refusal):
            found.refusals.append(threads)
            continue
        work = read_fields(client, [key], threads, WORK_BYTES)[0]
        for thread in threads:
            queue = wire.work_queue(work.get(thread, b""))
            if queue is None:
                found.unattributed += 1
                continue
            found.busy[queue] = found.busy.get(queue, 0) + 1
            if silent:
                found.stalled[queue] = found.stalled.get(queue, 0) + 1
