"""Deleting rows does not cure a full disk: it writes more than it frees."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import Any

from lab.postgresql import PostgresServer

RunModule = Callable[..., dict[str, Any]]

SHOP = """
    CREATE TABLE jobs (id bigint PRIMARY KEY, status text NOT NULL, completed_at timestamptz, payload text);
    CREATE TABLE jobs_archive (LIKE jobs INCLUDING ALL);
    INSERT INTO jobs
    SELECT g, 'COMPLETED', now() - interval '1 year' - g * interval '1 second', repeat(md5(g::text), 20)
      FROM generate_series(1, 60000) g;
    CREATE INDEX jobs_completed ON jobs (completed_at, id);
"""
# The manual's monthly archiving, to which it sends the person whose disk is 90 % full.
MANUAL = """
    WITH moved AS (
        DELETE FROM jobs WHERE status = 'COMPLETED' AND completed_at < now() - interval '90 days' RETURNING *
    )
    INSERT INTO jobs_archive SELECT * FROM moved
"""


def used(server: PostgresServer) -> int:
    """Bytes of the data directory, by du."""
    answer = subprocess.run(["du", "-sb", str(server.data)], check=True, capture_output=True, text=True)
    return int(answer.stdout.split()[0])


def test_f14_archiving_on_a_full_disk_takes_more_of_it(run_module: RunModule) -> None:
    # WAL files are kept as they come, as on a server under load whose next checkpoint is some time away.
    with PostgresServer(settings={"max_wal_size": "2GB", "min_wal_size": "64MB", "autovacuum": False}) as server:
        server.psql(SHOP)
        server.psql("CHECKPOINT")
        before = used(server)

        policy = {
            "name": "jobs",
            "table": "public.jobs",
            "column": "completed_at",
            "keep": "90 days",
            "where": [{"column": "status", "value": "COMPLETED"}],
            "action": "archive",
            "archive_table": "public.jobs_archive",
        }
        ours = run_module(
            "postgresql_retention",
            {**server.login(), "policies": [policy], "min_disk_free_bytes": 2**62, "max_pause_seconds": 1},
        )
        assert ours["failed"] is True
        assert "disk" in ours["msg"]
        assert server.psql("SELECT count(*) FROM jobs") == "60000"
        assert used(server) - before < 2**22, "nothing but the ledger was written"

        server.psql(MANUAL)
        after = used(server)
        assert after - before > server.query("SELECT pg_relation_size('jobs_archive')")[0][0] > 0
        # Not even afterwards is anything given back.
        server.psql("VACUUM jobs")
        assert used(server) > before
