"""StockBoom's queues: what BullMQ's own producers and workers do with them, and the figures that a check must find."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lab.node import NodeQueue
from lab.queue_worker import LOCK_MILLISECONDS, doomed_worker
from lab.redis import RedisServer

LIBRARY = "bullmq5"
COLLECTION, ANALYSIS, EXECUTION, NOTIFICATION = "data-collection", "data-analysis", "trade-execution", "notification"
QUEUES = (COLLECTION, ANALYSIS, EXECUTION, NOTIFICATION)
SCHEDULER = "collect-every-hour"

TOKEN = "KIS API 401 Unauthorized: access token expired (EGW00123), symbol {symbol}"
RATE = "KIS API 429 Too Many Requests: EGW00201 초당 거래건수를 초과하였습니다, symbol {symbol}"
TIMEOUT = "timeout of 10000ms exceeded (GET /uapi/domestic-stock/v1/quotations/inquire-price, symbol {symbol})"
REFUSED = "connect ECONNREFUSED 10.0.0.5:9443"
CANDLES = "Not enough candles for RSI of {symbol}: 9 of 14"

MINUTE = 60
# The oldest job that waits in the degraded scenario came so many seconds ago.
OLDEST_SECONDS = 42 * MINUTE
HOUR_MILLISECONDS = 3_600_000
FLOW_CHILDREN = 3

Job = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The jobs of a scenario. Numbers of jobs grow with the size, except those that a person would count."""

    # Failures of data-collection by reason, the most frequent first; `urgent` of the first ones have a priority.
    failures: Mapping[str, int]
    urgent: int
    completed: int
    waiting: int
    prioritized: int
    delayed: int
    # Analyses that wait for their own collection jobs.
    flows: int
    analysis_waiting: int
    analysis_failed: int
    # Orders that a killed worker held, and those behind them in a queue that somebody paused.
    held: int
    held_up: int
    # How long a job takes; only where a worker stays.
    milliseconds: int = 0
    worker_stays: bool = False

    @property
    def failed(self) -> int:
        """Failed jobs of data-collection."""
        return sum(self.failures.values())

    def counts(self) -> dict[str, dict[str, int]]:
        """What the library itself counts afterwards (where no worker stays), without what is 0."""
        counts = {
            COLLECTION: {
                # The scheduler's first job is one of them.
                "waiting": self.waiting + self.flows * FLOW_CHILDREN + 1,
                "prioritized": self.prioritized,
                "delayed": self.delayed,
                "failed": self.failed,
                "completed": self.completed,
            },
            ANALYSIS: {
                "waiting": self.analysis_waiting,
                "waiting-children": self.flows,
                "failed": self.analysis_failed,
                "completed": 20,
            },
            EXECUTION: {"paused": self.held_up, "active": self.held, "completed": 30},
            NOTIFICATION: {"completed": 50},
        }
        return {queue: {state: count for state, count in states.items() if count} for queue, states in counts.items()}


def plan(scenario: str, factor: int) -> Plan:
    """What is planted; ``factor`` is the size's."""
    if scenario == "healthy":
        return Plan(
            failures={}, urgent=0, completed=60 * factor, waiting=12, prioritized=3, delayed=5, flows=0,
            analysis_waiting=4, analysis_failed=0, held=0, held_up=0, milliseconds=8_000, worker_stays=True,
        )  # fmt: skip
    return Plan(
        failures={TOKEN: 120 * factor, RATE: 40 * factor, TIMEOUT: 15 * factor, REFUSED: 5 * factor},
        urgent=30, completed=60 * factor, waiting=150 * factor, prioritized=25, delayed=20, flows=8,
        analysis_waiting=6, analysis_failed=2, held=3, held_up=4,
    )  # fmt: skip


class Producer:
    """Jobs of one moment and one source of chance."""

    def __init__(self, planned: Plan, seed: int, now: datetime) -> None:
        self.planned = planned
        self._chance = random.Random(f"{seed}:stockboom")
        self._now = round(now.timestamp() * 1000)

    def symbol(self) -> str:
        return f"{self._chance.randrange(1_000, 400_000):06d}"

    def jobs(self, name: str, count: int, *, since: int = 0, fail: str = "", **options: Any) -> list[Job]:
        """Jobs that came one after the other, the first one ``since`` seconds ago."""
        made = []
        for number in range(count):
            symbol = self.symbol()
            data: dict[str, Any] = {"symbol": symbol}
            if fail:
                data["fail"] = fail.format(symbol=symbol)
            if self.planned.milliseconds:
                data["milliseconds"] = self.planned.milliseconds
            at = self._now - since * 1000 * (count - number) // count
            made.append({"name": name, "data": data, "opts": {"timestamp": at, **options}})
        return made

    def settled(self) -> list[Job]:
        """Jobs of data-collection that the worker runs before anything else."""
        ended = [_quick(job) for job in self.jobs("collect-price", self.planned.completed, since=6 * 60 * MINUTE)]
        for number, (reason, count) in enumerate(self.planned.failures.items()):
            urgent = self.planned.urgent if number == 0 else 0
            ended += self.jobs("collect-price", urgent, since=90 * MINUTE, fail=reason, priority=1)
            ended += self.jobs("collect-price", count - urgent, since=90 * MINUTE, fail=reason)
        return ended

    def pending(self) -> list[Job]:
        """Jobs of data-collection that nobody has taken."""
        since = 0 if self.planned.worker_stays else OLDEST_SECONDS
        return [
            *self.jobs("collect-price", self.planned.waiting, since=since),
            *self.jobs("collect-index", self.planned.prioritized, since=since // 2, priority=2),
            *self.jobs("collect-financials", self.planned.delayed, delay=HOUR_MILLISECONDS),
        ]


def _quick(job: Job) -> Job:
    return {**job, "data": {key: value for key, value in job["data"].items() if key != "milliseconds"}}


def fill(server: RedisServer, planned: Plan, seed: int, now: datetime) -> None:
    """Produce and consume; afterwards Redis holds what the plan says."""
    made = Producer(planned, seed, now)
    queue = NodeQueue(LIBRARY, server.port, COLLECTION, password=server.password)
    orders = NodeQueue(LIBRARY, server.port, EXECUTION, password=server.password)
    steps = list(_steps(made))
    if planned.held:
        with doomed_worker(server, orders, planned.held, lockDuration=LOCK_MILLISECONDS):
            queue.batch([*_orders(made), *steps])
        # Far from the ten minutes after which the inventory calls them old, however long a busy machine takes.
        queue.batch([
            {"queue": EXECUTION, "command": "pause"},
            {"queue": EXECUTION, "command": "add", "jobs": made.jobs("place-order", planned.held_up, since=2 * MINUTE)},
        ])  # fmt: skip
    else:
        queue.batch([*_orders(made), {"queue": EXECUTION, "command": "drainByWork"}, *steps])
    if planned.worker_stays:
        queue.worker_of(server, queues=list(QUEUES))


def _orders(made: Producer) -> Iterable[Mapping[str, Any]]:
    held = [
        {**job, "data": {**job["data"], "milliseconds": HOUR_MILLISECONDS}}
        for job in made.jobs("place-order", made.planned.held, since=12 * MINUTE)
    ]
    done = [_quick(job) for job in made.jobs("place-order", 30, since=60 * MINUTE)]
    yield {"queue": EXECUTION, "command": "add", "jobs": done + held}


def _steps(made: Producer) -> Iterable[Mapping[str, Any]]:
    planned = made.planned
    sent = [_quick(job) for job in made.jobs("notify", 50, since=60 * MINUTE)]
    analysed = [_quick(job) for job in made.jobs("analyse", 20, since=60 * MINUTE)]
    poor = made.jobs("analyse", planned.analysis_failed, since=50 * MINUTE, fail=CANDLES)
    for name, jobs in ((NOTIFICATION, sent), (ANALYSIS, analysed + poor), (COLLECTION, made.settled())):
        yield {"queue": name, "command": "add", "jobs": jobs}
        yield {"queue": name, "command": "drainByWork", "concurrency": 20}
    yield {"queue": COLLECTION, "command": "add", "jobs": made.pending()}
    yield {"queue": COLLECTION, "command": "scheduler", "name": SCHEDULER, "every": HOUR_MILLISECONDS}
    waiting = made.jobs("analyse", planned.analysis_waiting, since=MINUTE)
    yield {"queue": ANALYSIS, "command": "add", "jobs": waiting}
    for _ignored in range(planned.flows):
        symbol = made.symbol()
        children = [
            {"name": "collect-candles", "queueName": COLLECTION, "data": {"symbol": symbol, "part": part}}
            for part in range(FLOW_CHILDREN)
        ]
        flow = {"name": "analyse", "queueName": ANALYSIS, "data": {"symbol": symbol}, "children": children}
        yield {"queue": ANALYSIS, "command": "flow", "flow": flow}
