"""Solid Queue's tables, and rows as its producers, workers and supervisors write them.

The library itself needs Rails 7.1, which no package here brings: the rows below follow its sources, version 1.5.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from lab.postgresql import PostgresServer

# Of every moment: seconds before the database's clock.
_AT = "(clock_timestamp() - make_interval(secs => %s)) AT TIME ZONE 'UTC'"


def schema() -> str:
    """SQL that makes the tables in the first schema of the search path."""
    return files("lab").joinpath("solid_queue.sql").read_text(encoding="utf-8")


class SolidQueue:
    """An application's queues in one database; ages are in seconds."""

    def __init__(self, server: PostgresServer, database: str, namespace: str = "public") -> None:
        self.server = server
        self.database = database
        self.namespace = namespace
        self.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
        self.execute(schema())

    def execute(self, statement: str, parameters: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as the application does; its rows."""
        connection = self.server.connect(self.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(f'SET search_path = "{self.namespace}"')
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def add(
        self, queue: str, count: int = 1, *, age: float = 0, priority: int = 0, class_name: str = "Job", key: str = ""
    ) -> list[int]:
        """Jobs without an execution."""
        rows = self.execute(
            "INSERT INTO solid_queue_jobs"
            " (queue_name, class_name, arguments, priority, active_job_id, concurrency_key, created_at, updated_at)"
            f" SELECT %s, %s, %s, %s, gen_random_uuid()::text, nullif(%s, ''), {_AT}, {_AT}"
            " FROM generate_series(1, %s) RETURNING id",
            (queue, class_name, '{"arguments": ["secret payload"]}', priority, key, age, age, count),
        )
        return [row[0] for row in rows]

    def ready(self, queue: str, count: int = 1, *, age: float = 0, **job: Any) -> list[int]:
        """Jobs that wait for a worker."""
        made = self.add(queue, count, age=age, **job)
        self.execute(
            "INSERT INTO solid_queue_ready_executions (job_id, queue_name, priority, created_at)"
            " SELECT id, queue_name, priority, created_at FROM solid_queue_jobs WHERE id = ANY (%s)",
            (made,),
        )
        return made

    def claimed(self, queue: str, process: int | None, count: int = 1, *, age: float = 0) -> list[int]:
        """Jobs that a process has taken."""
        made = self.add(queue, count, age=age)
        self.execute(
            f"INSERT INTO solid_queue_claimed_executions (job_id, process_id, created_at) SELECT unnest(%s), %s, {_AT}",
            (made, process, age),
        )
        return made

    def scheduled(self, queue: str, count: int = 1, *, due_in: float) -> list[int]:
        """Jobs for later, or, with a negative number, for a moment that has passed."""
        made = self.add(queue, count)
        self.execute(
            "INSERT INTO solid_queue_scheduled_executions (job_id, queue_name, priority, scheduled_at, created_at)"
            f" SELECT id, queue_name, priority, {_AT}, created_at FROM solid_queue_jobs WHERE id = ANY (%s)",
            (-due_in, made),
        )
        return made

    def blocked(self, queue: str, count: int = 1, *, key: str = "User/1", expires_in: float = 180) -> list[int]:
        """Jobs that a concurrency limit holds back."""
        made = self.add(queue, count, key=key)
        self.execute(
            "INSERT INTO solid_queue_blocked_executions"
            " (job_id, queue_name, priority, concurrency_key, expires_at, created_at)"
            f" SELECT id, queue_name, priority, %s, {_AT}, created_at FROM solid_queue_jobs WHERE id = ANY (%s)",
            (key, -expires_in, made),
        )
        return made

    def failed(self, queue: str, error: str, message: str, count: int = 1, *, age: float = 0) -> list[int]:
        """Jobs that raised; C({n}) in the message becomes the job's id."""
        made = self.add(queue, count, age=age)
        for identifier in made:
            details = {
                "exception_class": error,
                "message": message.replace("{n}", str(identifier)),
                "backtrace": ["app/jobs/job.rb:3:in 'perform'"] * 40,
            }
            self.execute(
                f"INSERT INTO solid_queue_failed_executions (job_id, error, created_at) VALUES (%s, %s, {_AT})",
                (identifier, json.dumps(details), age),
            )
        return made

    def finished(self, queue: str, count: int = 1, *, age: float = 0) -> list[int]:
        """Jobs that are done and kept."""
        made = self.add(queue, count, age=age)
        self.execute("UPDATE solid_queue_jobs SET finished_at = updated_at WHERE id = ANY (%s)", (made,))
        return made

    def paused(self, queue: str) -> None:
        """As Queue#pause leaves it."""
        self.execute(f"INSERT INTO solid_queue_pauses (queue_name, created_at) VALUES (%s, {_AT})", (queue, 0))

    def process(self, kind: str, *, silent: float = 0, queues: str | None = None, metadata: str | None = None) -> int:
        """A registered process that was heard of so many seconds ago; ``queues`` as Worker#metadata joins them."""
        if metadata is None:
            details = {"polling_interval": 0.1, "queues": queues, "thread_pool_size": 3} if queues else {}
            metadata = json.dumps(details)
        rows = self.execute(
            "INSERT INTO solid_queue_processes (kind, last_heartbeat_at, pid, hostname, metadata, created_at, name)"
            f" SELECT %s, {_AT}, 100 + count(*), 'app-1', %s, {_AT}, %s || '-' || count(*)"
            " FROM solid_queue_processes RETURNING id",
            (kind, silent, metadata, silent, kind.lower()),
        )
        return int(rows[0][0])

    def semaphore(self, key: str, *, value: int = 0, expires_in: float = 180) -> None:
        """A concurrency limit in use."""
        self.execute(
            "INSERT INTO solid_queue_semaphores (key, value, expires_at, created_at, updated_at)"
            f" SELECT %s, %s, {_AT}, {_AT}, {_AT}",
            (key, value, -expires_in, 0, 0),
        )

    def recurring(self, key: str, queue: str | None, *, ran: float | None = None) -> None:
        """A recurring task, and its last run so many seconds ago."""
        self.execute(
            "INSERT INTO solid_queue_recurring_tasks (key, schedule, class_name, queue_name, created_at, updated_at)"
            f" SELECT %s, 'every hour', 'CleanUpJob', %s, {_AT}, {_AT}",
            (key, queue, 0, 0),
        )
        if ran is not None:
            (job,) = self.finished(queue or "default", age=ran)
            self.execute(
                "INSERT INTO solid_queue_recurring_executions (job_id, task_key, run_at, created_at)"
                f" SELECT %s, %s, {_AT}, {_AT}",
                (job, key, ran, ran),
            )
