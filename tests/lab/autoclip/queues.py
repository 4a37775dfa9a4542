"""AutoClip's queues: the application's, and n8n's own, both of Bull 4, filled by its producers and workers."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.node import NodeQueue
from lab.queue_worker import LOCK_MILLISECONDS, doomed_worker
from lab.redis import RedisServer

LIBRARY = "bull4"
CONTENT, N8N = "content-generation", "jobs"

OVERLOADED = "Gemini API 503 Service Unavailable: The model is overloaded. Please try again later. (content {content})"
EXHAUSTED = "Gemini API 429 RESOURCE_EXHAUSTED: You exceeded your current quota (content {content})"
CREDITS = "ElevenLabs 401 quota_exceeded: This request exceeds your quota of 100000 (content {content})"

OLDEST_SECONDS = 50 * 60
HOUR_MILLISECONDS = 3_600_000
# n8n runs what somebody waits for first, and keeps nothing of what has ended.
N8N_PRIORITIES = (50, 100)
N8N_OPTIONS = {"removeOnComplete": True, "removeOnFail": True}

Job = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The jobs of a scenario."""

    failures: Mapping[str, int]
    completed: int
    waiting: int
    delayed: int
    # Jobs that a killed worker held.
    held: int
    workflows: int
    milliseconds: int = 0
    worker_stays: bool = False

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """What the library itself counts afterwards (where no worker stays), without what is 0."""
        counts = {
            CONTENT: {
                "waiting": self.waiting,
                "active": self.held,
                "delayed": self.delayed,
                "failed": self.failed,
                "completed": self.completed,
            },
            N8N: {"waiting": self.workflows},
        }
        return {queue: {state: count for state, count in states.items() if count} for queue, states in counts.items()}


def plan(scenario: str, factor: int) -> Plan:
    """What is planted; ``factor`` is the size's."""
    if scenario == "healthy":
        return Plan({}, 80 * factor, waiting=10, delayed=3, held=0, workflows=4, milliseconds=8_000, worker_stays=True)
    failures = {OVERLOADED: 72 * factor, EXHAUSTED: 42 * factor, CREDITS: 26 * factor}
    return Plan(failures, 80 * factor, waiting=130 * factor, delayed=5, held=2, workflows=16)


def fill(server: RedisServer, planned: Plan, seed: int, now: datetime) -> None:
    """Produce and consume; afterwards Redis holds what the plan says."""
    chance = random.Random(f"{seed}:autoclip")
    moment = round(now.timestamp() * 1000)

    def jobs(count: int, since: int, *, fail: str = "", milliseconds: int = 0, **options: Any) -> list[Job]:
        made = []
        for number in range(count):
            content = f"{chance.getrandbits(32):08x}"
            data: dict[str, Any] = {"contentId": content}
            if fail:
                data["fail"] = fail.format(content=content)
            if milliseconds:
                data["milliseconds"] = milliseconds
            at = moment - since * 1000 * (count - number) // count
            made.append({"name": "generate", "data": data, "opts": {"timestamp": at, **options}})
        return made

    queue = NodeQueue(LIBRARY, server.port, CONTENT, password=server.password)
    settled = jobs(planned.completed, 5 * 3600)
    for reason, count in planned.failures.items():
        settled += jobs(count, 2 * 3600, fail=reason)
    queue.batch([
        {"command": "add", "jobs": settled},
        {"command": "drainByWork", "concurrency": 20},
    ])  # fmt: skip
    pending = [
        *jobs(planned.waiting, OLDEST_SECONDS if planned.held else 0, milliseconds=planned.milliseconds),
        *jobs(planned.delayed, 0, delay=HOUR_MILLISECONDS),
    ]
    workflows = [
        {
            "name": "job",
            "data": {"workflowId": "content-generation", "executionId": str(4_000 + number), "loadStaticData": False},
            "opts": {"priority": N8N_PRIORITIES[number % 2], **N8N_OPTIONS},
        }
        for number in range(planned.workflows)
    ]
    rest = [{"command": "add", "jobs": pending}, {"queue": N8N, "command": "add", "jobs": workflows}]
    if planned.held:
        held = jobs(planned.held, 20 * 60, milliseconds=HOUR_MILLISECONDS)
        with doomed_worker(server, queue, planned.held, settings={"lockDuration": LOCK_MILLISECONDS}):
            queue.ask("add", jobs=held)
    queue.batch(rest)
    if planned.worker_stays:
        queue.worker_of(server, queues=[CONTENT, N8N])
