# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Solid Queue's processes, and which queues a worker's list covers. Pure.

The list is what the worker wrote into its metadata: C(queues), names with commas between. The rules are those of
QueueSelector (rails/solid_queue, app/models/solid_queue/queue_selector.rb): C(*) covers every queue, a name that ends
in C(*) covers what begins like it, any other name with a star covers nothing, and the application's
C(queue_name_prefix) is never added to a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of

WORKER, DISPATCHER = "Worker", "Dispatcher"
EVERY_QUEUE = "*"


@dataclass(frozen=True)
class QueueProcess:
    """One row of solid_queue_processes. Moments are epoch seconds."""

    id: int
    kind: str
    hostname: str
    pid: int
    # None where the metadata cannot be read.
    queues: Optional[tuple[str, ...]]
    threads: Optional[int]
    heartbeat: float
    alive: bool

    @property
    def is_worker(self) -> bool:
        """Whether it fetches jobs."""
        return self.kind == WORKER

    @property
    def label(self) -> str:
        """How a person finds it."""
        return f"{self.kind.lower()} {self.pid} on {self.hostname or 'an unnamed host'}"

    def facts(self, now: float) -> dict[str, Any]:
        """The entry of the result's C(processes)."""
        return {
            "id": self.id,
            "kind": self.kind,
            "hostname": self.hostname,
            "pid": self.pid,
            "queues": None if self.queues is None else list(self.queues),
            "threads": self.threads,
            "alive": self.alive,
            "last_heartbeat_at": iso_of(self.heartbeat),
            "heartbeat_age_seconds": round(max(0.0, now - self.heartbeat), 1),
        }


def process_from(row: Mapping[str, Any], now: float, alive_seconds: float) -> QueueProcess:
    """A row with its metadata read; C(now) and the heartbeat are by the same server's clock, epoch seconds."""
    metadata = _metadata(row["metadata"])
    heartbeat = float(row["heartbeat"])
    threads = metadata.get("thread_pool_size")
    return QueueProcess(
        id=row["id"],
        kind=row["kind"],
        hostname=row["hostname"] or "",
        pid=row["pid"],
        queues=_queues(metadata) if row["kind"] == WORKER else (),
        threads=threads if isinstance(threads, int) else None,
        heartbeat=heartbeat,
        # As its own supervisor decides: at the threshold it is dead.
        alive=now - heartbeat < alive_seconds,
    )


def covers(listed: Iterable[str], queue: str) -> bool:
    """Whether a worker with this list fetches jobs of a queue."""
    return any(_matches(name, queue) for name in listed)


def exact_names(listed: Iterable[str]) -> list[str]:
    """The names of a list that stand for one queue each."""
    return [name for name in listed if "*" not in name]


def without_prefix(listed: Iterable[str], queue: str) -> list[str]:
    """Names of a list that would be the queue's if the application's queue_name_prefix stood before them."""
    return [name for name in exact_names(listed) if name != queue and queue.endswith(f"_{name}")]


def _matches(name: str, queue: str) -> bool:
    if "*" not in name:
        return name == queue
    return name == EVERY_QUEUE or (name.endswith("*") and queue.startswith(name.replace("*", "")))


def _metadata(text: Optional[str]) -> Mapping[str, Any]:
    try:
        found = json.loads(text or "{}")
        # Stored with one more layer of JSON by some versions.
        found = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _queues(metadata: Mapping[str, Any]) -> Optional[tuple[str, ...]]:
    listed = metadata.get("queues")
    if isinstance(listed, str):
        listed = listed.split(",")
    if not isinstance(listed, list):
        return None
    names = tuple(str(name).strip() for name in listed if str(name).strip())
    return names or (EVERY_QUEUE,)
