"""Maintenance of a database with 20,000 tables: look first, or do everything."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.bench import alternate, median, ratio, seconds
from lab.postgresql import PostgresServer

ROUNDS = 3
TABLES = 20_000
DUE = 20
BATCH = """
DO $$ BEGIN
    FOR number IN %s..%s LOOP
        EXECUTE format('CREATE TABLE t%%s (id int PRIMARY KEY, v text)', number);
        EXECUTE format('INSERT INTO t%%s SELECT g, %%L FROM generate_series(1, 20) g', number, 'value');
    END LOOP;
END $$
"""


def test_20000_tables(tmp_path: Path, table: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The manual vacuums and analyzes whatever is there; ours asks once what is due."""
    settings = {"autovacuum": False, "max_locks_per_transaction": 1024}
    with PostgresServer(settings=settings) as server:
        for first in range(1, TABLES, 2000):
            server.execute(BATCH % (first, first + 1999))
        server.execute("ANALYZE")
        for number in range(1, DUE + 1):
            server.execute(f"INSERT INTO t{number} SELECT g, 'x' FROM generate_series(100, 1100) g")
            server.execute(f"DELETE FROM t{number} WHERE id > 100")
        monkeypatch.setenv("PGPASSWORD", server.password)
        where = ["-h", server.host, "-p", str(server.port), "-U", server.superuser]
        options = {**server.login(), "login_password": "{{ lookup('env', 'PGPASSWORD') }}"}
        task = ["ansible", "localhost", "-m", "runbook.ops.postgresql_vacuum", "-a", json.dumps(options)]
        plan = {"plan": [*task, "--check"]}
        due = alternate(plan, tmp_path, ROUNDS)["plan"]
        # Once: up to PostgreSQL 15 each VACUUM reads all of pg_class, which takes minutes with so many tables.
        slow = [seconds([str(server.client("vacuumdb")), "-q", "-z", *where, "postgres"], tmp_path)] * ROUNDS
        fast = alternate(plan, tmp_path, ROUNDS)["plan"]
    rows = table(f"A database of {TABLES:,} tables", "what", "median wall time", "ratio")
    rows.add("vacuumdb --analyze: every table, each time", median(slow), ratio(slow, fast))
    rows.add("ansible -m postgresql_vacuum --check: nothing is due", median(fast), "1")
    rows.add(
        f"ansible -m postgresql_vacuum --check: {DUE} tables are due",
        median(due),
        f"{statistics.median(due) / statistics.median(fast):.1f} times",
    )
