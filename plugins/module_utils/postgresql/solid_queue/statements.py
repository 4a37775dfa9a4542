# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements over Solid Queue's tables. Pure: every name is an Identifier, every value is bound.

Each is bounded by C(LIMIT), by the number of queues, or by the rows of an executions table, which hold what is not done
yet; C(statement_timeout) bounds them all. The columns are those of Solid Queue 0.3 to 1.5. Rails keeps UTC in columns
without a zone, and the session counts in UTC, so that both kinds of column compare rightly.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.statements import identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.failures import ERROR_CHARACTERS

# Without the driver nothing here is called: connecting says what is missing.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

JOBS, READY, CLAIMED, SCHEDULED, BLOCKED, FAILED, PROCESSES, PAUSES, SEMAPHORES, TASKS, RUNS = (
    "jobs",
    "ready_executions",
    "claimed_executions",
    "scheduled_executions",
    "blocked_executions",
    "failed_executions",
    "processes",
    "pauses",
    "semaphores",
    "recurring_tasks",
    "recurring_executions",
)
TABLES = (JOBS, READY, CLAIMED, SCHEDULED, BLOCKED, FAILED, PROCESSES, PAUSES, SEMAPHORES, TASKS, RUNS)
PREFIX = "solid_queue_"

MOST_QUEUES = 1000
MOST_PROCESSES = 1000
MOST_TASKS = 100
METADATA_CHARACTERS = 20000

SERVER_SQL = """
SELECT current_user::text AS "user", quote_ident(current_user) AS quoted_user, quote_ident(%(schema)s) AS quoted_schema,
       current_database()::text AS database, current_setting('server_version') AS version,
       pg_is_in_recovery() AS in_recovery, extract(epoch FROM clock_timestamp()) AS now
"""

# Who may not use the schema may not read the table either, whatever is granted on it.
TABLES_SQL = """
SELECT c.relname::text AS relation, has_schema_privilege(n.oid, 'USAGE') AS usable,
       has_table_privilege(c.oid, 'SELECT') AS readable
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = ANY (%(relations)s::name[]) AND c.relkind IN ('r', 'p', 'v', 'f')
"""

ELSEWHERE_SQL = """
SELECT array(SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relname = 'solid_queue_jobs' AND n.nspname <> %(schema)s ORDER BY 1 LIMIT 10) AS schemas,
       array(SELECT d.datname::text FROM pg_database d
             WHERE d.datallowconn AND d.datname LIKE '%%queue%%' AND d.datname <> current_database()
             ORDER BY 1 LIMIT 10) AS databases
"""


@dataclass(frozen=True)
class Statement:
    """One statement: what people call that which it reads, the tables it needs, and the facts that come from it.

    C(sections) are the paths of facts that are unknown without it.
    """

    what: str
    tables: tuple[str, ...]
    sections: tuple[str, ...]
    text: str

    def composed(self, schema: str) -> Any:
        """The SQL for the tables of a schema."""
        names = {name: identifier(schema, PREFIX + name) for name in self.tables}
        return sql.SQL(self.text).format(**names)


# The server has no loose index scan: DISTINCT would read every job ever kept, this steps from one name to the next.
NAMES = Statement(
    "the names of the queues",
    (JOBS,),
    ("found",),
    f"""
WITH RECURSIVE names AS (
    (SELECT queue_name FROM {{jobs}} ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (SELECT j.queue_name FROM {{jobs}} j WHERE j.queue_name > n.queue_name ORDER BY j.queue_name LIMIT 1)
    FROM names n WHERE n.queue_name IS NOT NULL
)
SELECT queue_name AS name FROM names WHERE queue_name IS NOT NULL LIMIT {MOST_QUEUES + 1}
""",  # noqa: S608 - a number of ours
)
PRESENT = Statement(
    "whether the queues are there",
    (JOBS,),
    ("found",),
    """
SELECT q.name FROM unnest(%(queues)s::text[]) AS q (name)
WHERE EXISTS (SELECT FROM {jobs} j WHERE j.queue_name = q.name)
""",
)
PAUSED = Statement(
    "which queues are paused",
    (PAUSES,),
    ("paused", "unconsumed"),
    f"SELECT queue_name AS name FROM {{pauses}} ORDER BY 1 LIMIT {MOST_QUEUES}",  # noqa: S608 - a number of ours
)
PROCESS_LIST = Statement(
    "the processes",
    (PROCESSES,),
    ("consumers", "unconsumed", "stalled", "processes"),
    f"""
SELECT id, kind, hostname, pid, left(metadata, {METADATA_CHARACTERS}) AS metadata,
       extract(epoch FROM last_heartbeat_at) AS heartbeat
FROM {{processes}} ORDER BY last_heartbeat_at DESC, id LIMIT {MOST_PROCESSES + 1}
""",  # noqa: S608 - numbers of ours
)
RECURRING = Statement(
    "the recurring tasks",
    (TASKS,),
    ("recurring_tasks",),
    f"""
SELECT t.key, t.schedule, t.class_name, t.queue_name FROM {{recurring_tasks}} t ORDER BY t.key LIMIT {MOST_TASKS + 1}
""",  # noqa: S608 - a number of ours
)
LAST_RUNS = Statement(
    "when the recurring tasks ran last",
    (RUNS,),
    ("last_run_at", "last_run_age_seconds"),
    """
SELECT t.key,
       extract(epoch FROM (SELECT max(r.run_at) FROM {recurring_executions} r WHERE r.task_key = t.key)) AS run_at
FROM unnest(%(keys)s::text[]) AS t (key)
""",
)
LOCKS = Statement(
    "the semaphores",
    (SEMAPHORES,),
    ("semaphores",),
    """
SELECT count(*) AS count, count(*) FILTER (WHERE expires_at < to_timestamp(%(now)s)) AS expired FROM {semaphores}
""",
)

# --- by queue
WAITING = Statement(
    "what waits",
    (READY,),
    ("waiting", "backlog", "oldest_age_seconds", "unconsumed"),
    """
SELECT queue_name AS name, priority, count(*) AS count, extract(epoch FROM min(created_at)) AS oldest
FROM {ready_executions} WHERE queue_name = ANY (%(queues)s) GROUP BY queue_name, priority ORDER BY queue_name, priority
""",
)
HELD = Statement(
    "what workers hold",
    (CLAIMED, JOBS),
    ("active", "backlog", "stalled"),
    """
SELECT j.queue_name AS name, c.process_id, count(*) AS count, extract(epoch FROM min(c.created_at)) AS oldest
FROM {claimed_executions} c JOIN {jobs} j ON j.id = c.job_id
WHERE j.queue_name = ANY (%(queues)s) GROUP BY j.queue_name, c.process_id
""",
)
LATER = Statement(
    "what is scheduled",
    (SCHEDULED,),
    ("delayed", "overdue"),
    """
SELECT queue_name AS name, count(*) AS count,
       count(*) FILTER (WHERE scheduled_at < to_timestamp(%(overdue_before)s)) AS overdue,
       extract(epoch FROM min(scheduled_at)) AS earliest
FROM {scheduled_executions} WHERE queue_name = ANY (%(queues)s) GROUP BY queue_name
""",
)
LIMITED = Statement(
    "what a concurrency limit holds back",
    (BLOCKED,),
    ("blocked",),
    """
SELECT queue_name AS name, count(*) AS count, count(*) FILTER (WHERE expires_at < to_timestamp(%(now)s)) AS expired
FROM {blocked_executions} WHERE queue_name = ANY (%(queues)s) GROUP BY queue_name
""",
)
FAILURE_COUNTS = Statement(
    "how many jobs failed",
    (FAILED, JOBS),
    ("failed", "failed_count"),
    """
SELECT j.queue_name AS name, count(*) AS count,
       count(*) FILTER (WHERE f.created_at >= to_timestamp(%(failed_since)s)) AS lately
FROM {failed_executions} f JOIN {jobs} j ON j.id = f.job_id
WHERE j.queue_name = ANY (%(queues)s) GROUP BY j.queue_name
""",
)
FAILURES = Statement(
    "why jobs failed",
    (FAILED, JOBS),
    ("failures", "failed_seen", "most_frequent_failure"),
    f"""
SELECT j.queue_name AS name, f.job_id, left(f.error, {ERROR_CHARACTERS}) AS error,
       extract(epoch FROM f.created_at) AS failed_at
FROM {{failed_executions}} f JOIN {{jobs}} j ON j.id = f.job_id
WHERE j.queue_name = ANY (%(queues)s) AND f.created_at >= to_timestamp(%(failed_since)s)
ORDER BY f.id DESC LIMIT %(max_failed)s
""",  # noqa: S608 - a number of ours
)
FINISHED = Statement(
    "what is finished and kept",
    (JOBS,),
    ("completed",),
    """
SELECT queue_name AS name, count(*) AS count
FROM {jobs} WHERE queue_name = ANY (%(queues)s) AND finished_at IS NOT NULL GROUP BY queue_name
""",
)
# What a discarded or half deleted execution leaves behind. A job and its execution are written in one transaction.
LOST = Statement(
    "unfinished jobs in no state",
    (JOBS, READY, CLAIMED, SCHEDULED, BLOCKED, FAILED),
    ("orphans",),
    """
SELECT j.queue_name AS name, count(*) AS count, min(j.id) AS first
FROM {jobs} j
WHERE j.queue_name = ANY (%(queues)s) AND j.finished_at IS NULL
  AND NOT EXISTS (SELECT FROM {ready_executions} e WHERE e.job_id = j.id)
  AND NOT EXISTS (SELECT FROM {claimed_executions} e WHERE e.job_id = j.id)
  AND NOT EXISTS (SELECT FROM {scheduled_executions} e WHERE e.job_id = j.id)
  AND NOT EXISTS (SELECT FROM {blocked_executions} e WHERE e.job_id = j.id)
  AND NOT EXISTS (SELECT FROM {failed_executions} e WHERE e.job_id = j.id)
GROUP BY j.queue_name
""",
)
NEXT_TASKS = Statement(
    "which jobs wait",
    (READY, JOBS),
    ("tasks", "tasks_count", "sampled"),
    """
SELECT q.name, t.class_name, count(*) AS count
FROM unnest(%(queues)s::text[]) AS q (name)
CROSS JOIN LATERAL (
    SELECT j.class_name
    FROM (SELECT r.job_id FROM {ready_executions} r WHERE r.queue_name = q.name
          ORDER BY r.priority, r.job_id LIMIT %(sample)s) n
    JOIN {jobs} j ON j.id = n.job_id
) t
GROUP BY q.name, t.class_name
""",
)

# --- rates
UNFINISHED = Statement(
    "how fast jobs come and go",
    (JOBS, READY, CLAIMED, SCHEDULED, BLOCKED),
    ("rate",),
    """
SELECT q.name, (SELECT coalesce(max(id), 0) FROM {jobs}) AS newest, coalesce(a.count, 0) AS arrived,
       (SELECT count(*) FROM {ready_executions} e WHERE e.queue_name = q.name)
       + coalesce(s.count, 0) + coalesce(b.count, 0) + coalesce(c.count, 0) AS unfinished
FROM unnest(%(queues)s::text[]) AS q (name)
LEFT JOIN (SELECT queue_name, count(*) FROM {jobs} WHERE id > %(base)s GROUP BY 1) a ON a.queue_name = q.name
LEFT JOIN (SELECT queue_name, count(*) FROM {scheduled_executions} GROUP BY 1) s ON s.queue_name = q.name
LEFT JOIN (SELECT queue_name, count(*) FROM {blocked_executions} GROUP BY 1) b ON b.queue_name = q.name
LEFT JOIN (SELECT j.queue_name, count(*) FROM {claimed_executions} e JOIN {jobs} j ON j.id = e.job_id GROUP BY 1) c
       ON c.queue_name = q.name
""",
)
