# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Sidekiq 6, 7 and 8 write queues, jobs and processes into Redis. Pure.

Sources: sidekiq's client.rb, job_retry.rb, launcher.rb, processor.rb, api.rb, and its changes of 7.0 (the hash C(work)
instead of C(workers)) and 8.0 (times in whole milliseconds). A job is JSON and travels whole from list to sorted set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

# The sorted sets over all queues, by the common names of their states; the score is epoch seconds.
SETS = {"retrying": "retry", "delayed": "schedule", "failed": "dead"}

# A process renews its key every few seconds, for so long.
HEARTBEAT_SECONDS = 60
# One that has not done so for half of that is not alive any more.
SILENT_SECONDS = 30

# Epoch seconds reach this in the year 5138; epoch milliseconds did in 1973.
MILLISECONDS_FROM = 100_000_000_000

ACTIVE_JOB = "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"
# From Rails 7.2 and Sidekiq 7.3 on.
ACTIVE_JOB_WRAPPERS = (ACTIVE_JOB, "Sidekiq::ActiveJob::Wrapper")


@dataclass(frozen=True)
class SidekiqKeys:
    """The keys of one installation; C(prefix) is the namespace of the gem redis-namespace, if it is used."""

    prefix: bytes = b""

    def key(self, name: bytes | str) -> bytes:
        """A key by the name that Sidekiq gives it."""
        raw = name.encode() if isinstance(name, str) else name
        return self.prefix + b":" + raw if self.prefix else raw

    def queue(self, name: bytes) -> bytes:
        """The list of jobs that wait."""
        return self.key(b"queue:" + name)

    def work(self, identity: bytes) -> tuple[bytes, bytes]:
        """What the threads of a process work on: from 7 on, and before."""
        return self.key(identity + b":work"), self.key(identity + b":workers")


@dataclass(frozen=True)
class Job:
    """What a job tells. Times are epoch seconds by the clocks of those who wrote them."""

    jid: str
    queue: Optional[bytes]
    task: str
    error: Optional[str]
    enqueued_at: Optional[float]
    failed_at: Optional[float]


def parse(raw: bytes) -> Optional[dict[str, Any]]:
    """A job as it was written; None if it is not JSON."""
    try:
        payload = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def parse_job(raw: bytes) -> Optional[Job]:
    """A job as it lies in a list or a sorted set; None if it is none."""
    payload = parse(raw)
    return None if payload is None else job_from(payload)


def job_from(payload: Mapping[str, Any]) -> Job:
    """What a decoded job tells; its arguments are not looked at, but for the name of the job that Rails wraps."""
    queue, jid = payload.get("queue"), payload.get("jid")
    return Job(
        jid if isinstance(jid, str) else "",
        queue_name(queue),
        task_name(payload),
        error_text(payload),
        seconds(payload.get("enqueued_at")),
        seconds(payload.get("retried_at")) or seconds(payload.get("failed_at")),
    )


def queue_name(value: Any) -> Optional[bytes]:
    """A queue's name in a job, or in what a thread works on, with or without C(queue:)."""
    if not isinstance(value, str) or not value:
        return None
    name = value[len("queue:") :] if value.startswith("queue:") else value
    return name.encode("utf-8", "surrogatepass")


def task_name(payload: Mapping[str, Any]) -> str:
    """The class of a job; of one that Rails wraps, the class inside."""
    name = payload.get("display_class") or payload.get("class")
    if name in ACTIVE_JOB_WRAPPERS and isinstance(payload.get("wrapped"), str):
        name = payload["wrapped"]
    return name if isinstance(name, str) and name else "(unknown)"


def error_text(payload: Mapping[str, Any]) -> Optional[str]:
    """C(ArgumentError: no such product); None for a job that has not failed."""
    kind, message = payload.get("error_class"), payload.get("error_message")
    if not kind and not message:
        return None
    return ": ".join(str(part) for part in (kind, message) if part)


def seconds(value: Any) -> Optional[float]:
    """A time in a job: seconds with a fraction until Sidekiq 7, whole milliseconds from 8 on."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value / 1000 if value >= MILLISECONDS_FROM else float(value)


def moment_like(payload: Mapping[str, Any], now: float) -> int | float:
    """A moment in the unit in which this job's times are."""
    times = [payload.get(name) for name in ("enqueued_at", "created_at", "failed_at", "retried_at")]
    return int(now * 1000) if any(isinstance(time, int) and time >= MILLISECONDS_FROM for time in times) else now


@dataclass(frozen=True)
class Process:
    """A process of Sidekiq. C(queues) are those it fetches from."""

    queues: frozenset[bytes] = frozenset()
    version: Optional[str] = None


def parse_process(raw: bytes) -> Process:
    """What the field C(info) of a process says; from 8 on queues may be told by capsule."""
    info = parse(raw) or {}
    names = list(info["queues"]) if isinstance(info.get("queues"), list) else []
    capsules = info.get("capsules")
    for capsule in capsules.values() if isinstance(capsules, dict) else []:
        weights = capsule.get("weights") if isinstance(capsule, dict) else None
        names += list(weights) if isinstance(weights, (dict, list)) else []
    version = info.get("version")
    queues = frozenset(name for name in map(queue_name, names) if name is not None)
    return Process(queues, version if isinstance(version, str) else None)


def work_queue(raw: bytes) -> Optional[bytes]:
    """The queue of what a thread works on; None if it cannot be told."""
    work = parse(raw) or {}
    queue = queue_name(work.get("queue"))
    if queue is not None:
        return queue
    payload = work.get("payload")
    if isinstance(payload, str):
        payload = parse(payload.encode("utf-8", "surrogatepass"))
    return queue_name(payload.get("queue")) if isinstance(payload, dict) else None
