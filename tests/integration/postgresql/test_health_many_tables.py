"""A database with 20,000 tables gives a small answer, and every ranking is still right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lab.postgresql import PostgresServer

TABLES = 20_000
BATCH = """
DO $$ BEGIN
    FOR number IN %s..%s LOOP
        EXECUTE format('CREATE TABLE t%%s (id int PRIMARY KEY, v int)', number);
    END LOOP;
END $$
"""


def test_20000_tables(run_module: Callable[..., dict[str, Any]]) -> None:
    settings = {"autovacuum": False, "max_locks_per_transaction": 1024}
    with PostgresServer(settings=settings) as server:
        # Bounded transactions: each new table holds a lock until its end.
        for first in range(1, TABLES, 2000):
            server.execute(BATCH % (first, first + 1999))
        server.execute(
            "INSERT INTO t777 SELECT g, g FROM generate_series(1, 20000) g; DELETE FROM t777 WHERE id % 2 = 0"
        )
        server.execute("INSERT INTO t13 SELECT g, g FROM generate_series(1, 50000) g")
        server.execute("CREATE INDEX lonely ON t4711 (v)")
        options = {
            **server.login(),
            "sections": ["tables", "indexes", "sequences", "wraparound", "databases", "collations"],
        }
        result = run_module("postgresql_health_info", {**options, "statement_timeout": 60})
        health = result["health"]
        assert (result["available"], result["skipped_sections"]) == (True, [])
        assert (health["tables"]["count"], health["indexes"]["count"]) == (TABLES, TABLES + 1)
        assert [each["name"] for each in health["tables"]["largest"][:2]] == ["t13", "t777"]
        assert [each["name"] for each in health["tables"]["dead_rows"]] == ["t777"]
        assert [each["name"] for each in health["indexes"]["unused"]] == ["lonely"]
        assert health["tables"]["truncated"] is True
        assert health["tables"]["total_bytes"] == int(
            server.psql("SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables")
        )
        assert len(json.dumps(result)) < 100_000
