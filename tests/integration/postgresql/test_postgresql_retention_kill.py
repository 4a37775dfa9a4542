"""Killed at twenty random moments, in three ways, and taken up again: every row is there exactly once."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.paths import BUILD
from lab.postgresql import PostgresServer

KILLS = 20
ORDERS, LINES = 24000, 60000
NOW = "2026-06-01T00:00:00Z"
BACKEND = "SELECT pid FROM pg_stat_activity WHERE application_name = 'runbook.ops postgresql_retention'"

SCHEMA = f"""
    CREATE TABLE public.orders (id bigint PRIMARY KEY, closed_at timestamptz NOT NULL, note text);
    CREATE INDEX ON public.orders (closed_at, id);
    CREATE TABLE public.lines (id bigint PRIMARY KEY, text text,
                               order_id bigint NOT NULL REFERENCES public.orders ON DELETE CASCADE);
    CREATE INDEX ON public.lines (order_id);
    CREATE TABLE public.orders_archive (LIKE public.orders INCLUDING INDEXES);
    CREATE TABLE public.lines_archive (LIKE public.lines INCLUDING INDEXES);
    -- Forty orders share a moment; a tenth of them stays.
    INSERT INTO public.orders
    SELECT g, CASE WHEN g % 10 = 0 THEN timestamptz '2026-05-30 00:00+00'
                   ELSE timestamptz '2025-01-01 00:00+00' + (g / 40) * interval '1 hour' END, md5(g::text)
    FROM generate_series(1, {ORDERS}) g;
    INSERT INTO public.lines SELECT g, md5(g::text), 1 + g % {ORDERS} FROM generate_series(1, {LINES}) g;
    CREATE TABLE public.all_orders AS SELECT * FROM public.orders;
    CREATE TABLE public.all_lines AS SELECT * FROM public.lines;
    ANALYZE;
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of its own: it is crashed."""
    with PostgresServer(settings={"fsync": True, "synchronous_commit": True}) as started:
        yield started


@pytest.fixture(params=["one table", "with children"])
def has_children(request: pytest.FixtureRequest, server: PostgresServer) -> bool:
    server.execute(SCHEMA)
    if request.param == "one table":
        server.execute("DROP TABLE public.lines")
        server.execute("CREATE TABLE public.lines AS SELECT * FROM public.all_lines")
    return bool(request.param == "with children")


def options(server: PostgresServer, **policy: Any) -> dict[str, Any]:
    return {
        **server.login(),
        "reference_time": NOW,
        "policies": [{"name": "orders", "table": "public.orders", "column": "closed_at", "keep": "30 days", **policy}],
        # So slow that twenty kills fit in, and every one of them meets a run at work.
        "batch_rows": 120,
        "max_batch_rows": 120,
        "max_rows_per_second": 800,
    }


def start(arguments: dict[str, Any]) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.postgresql_retention"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BUILD / "collections")},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    process.stdin = None
    return process


def until(server: PostgresServer, condition: str, seconds: float = 240.0) -> Any:
    """The first value of a statement once there is one."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            rows = server.query(condition)
        except Exception:  # the server may be recovering
            rows = []
        if rows:
            return rows[0][0]
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} seconds: {condition}")


def kill(server: PostgresServer, process: subprocess.Popen[str], way: str, chance: random.Random) -> None:
    """Wait until it is at work, for a random moment more, and end it in one of three ways."""
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if server.query(f"{BACKEND} AND query ~ 'gone|picked|retention_ledger|COMMIT'"):
            break
        time.sleep(0.01)
    time.sleep(chance.random() * 0.4)
    pids = [row[0] for row in server.query(BACKEND)]
    if process.poll() is not None or not pids:
        process.communicate(timeout=300)
        return
    if way == "module":
        process.kill()
    elif way == "terminate":
        server.execute(f"SELECT pg_terminate_backend({pids[0]})")
    else:
        os.kill(pids[0], signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    if way != "module" and out:
        told = json.loads(out)
        # It may have been at its very end.
        # A server that goes down before anything has begun is only said to be gone.
        assert not told.get("failed") or any(
            words in told["msg"] for words in ("Run the task again", "The connection to PostgreSQL")
        ), told
    # The server ends what the dead client has left, and recovers from a crash.
    until(server, f"SELECT 1 WHERE NOT EXISTS ({BACKEND})")


def work_through(server: PostgresServer, arguments: dict[str, Any], check: Any) -> int:
    """Kill, check, take up again, twenty times; then to the end. Gives how many kills met a run at work."""
    chance = random.Random(20260131)
    met = 0
    ways = ["module", "terminate", "backend"]
    for number in range(KILLS):
        process = start(arguments)
        kill(server, process, ways[number % 3], chance)
        met += process.returncode not in (0, None)
        check()
    # The rest at full speed.
    unhurried = ("batch_rows", "max_batch_rows", "max_rows_per_second")
    last = {name: value for name, value in arguments.items() if name not in unhurried}
    out, err = start(last).communicate(timeout=300)
    done = json.loads(out)
    assert not done.get("failed"), (done.get("msg"), err)
    check()
    return met


def multiset(server: PostgresServer, name: str, columns: str, *, archived: bool = True) -> str:
    """How many rows are missing and how many are too many, over a table and its archive."""
    both = f"SELECT {columns} FROM public.{name}"
    if archived:
        both += f" UNION ALL SELECT {columns} FROM public.{name}_archive"
    original = f"SELECT {columns} FROM public.all_{name}"
    return server.psql(
        f"SELECT (SELECT count(*) FROM ({original} EXCEPT ALL ({both})) m), "
        f"(SELECT count(*) FROM (({both}) EXCEPT ALL {original}) m)"
    )


def test_killed_archiving_loses_and_duplicates_nothing(server: PostgresServer, has_children: bool) -> None:
    children = [{"table": "public.lines", "archive_table": "public.lines_archive"}] if has_children else []
    arguments = options(server, action="archive", archive_table="public.orders_archive", children=children)

    def check() -> None:
        assert multiset(server, "orders", "id, closed_at, note") == "0|0"
        assert multiset(server, "lines", "id, order_id, text") == "0|0"
        if has_children:
            apart = "SELECT count(*) FROM public.lines l JOIN public.orders_archive o ON o.id = l.order_id"
            assert server.psql(apart) == "0"

    met = work_through(server, arguments, check)
    assert met >= KILLS * 3 // 4, "most of the kills came too late to prove anything"
    assert server.psql("SELECT count(*) FROM public.orders WHERE closed_at < '2026-05-02 00:00+00'") == "0"
    due = int(server.psql("SELECT count(*) FROM public.all_orders WHERE closed_at < '2026-05-02 00:00+00'"))
    # One job all along, with every row in it.
    assert server.psql("SELECT count(*), sum(rows), min(state) FROM runbook_ops.retention_ledger") == f"1|{due}|done"


def rows_of(directory: Path, table: str) -> list[dict[str, Any]]:
    """The rows in files whose manifest is there and right."""
    found: list[dict[str, Any]] = []
    for path in sorted(directory.glob("*.manifest.json")):
        for entry in json.loads(path.read_text(encoding="utf-8"))["files"]:
            if entry["table"] == table:
                data = Path(entry["place"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == entry["sha256"]
                lines = gzip.decompress(data).decode().splitlines()
                assert len(lines) == entry["rows"]
                found += [json.loads(line) for line in lines]
    return found


def test_killed_export_deletes_only_what_lies_in_proven_files(
    server: PostgresServer, has_children: bool, tmp_path: Path
) -> None:
    children = [{"table": "public.lines"}] if has_children else []
    directory = tmp_path / "export"
    arguments = options(server, action="export", export={"directory": str(directory)}, children=children)
    tables = ["orders", "lines"] if has_children else ["orders"]

    def check() -> None:
        for table in tables:
            gone = {
                row[0]
                for row in server.query(f"SELECT id FROM public.all_{table} EXCEPT SELECT id FROM public.{table}")
            }
            assert gone <= {row["id"] for row in rows_of(directory, f"public.{table}")}

    met = work_through(server, arguments, check)
    assert met >= KILLS * 3 // 4, "most of the kills came too late to prove anything"
    for table in tables:
        exported = Counter(row["id"] for row in rows_of(directory, f"public.{table}"))
        left = {row[0] for row in server.query(f"SELECT id FROM public.{table}")}
        everything = {row[0] for row in server.query(f"SELECT id FROM public.all_{table}")}
        assert max(exported.values()) == 1, "a row is in two files"
        assert not left & set(exported)
        assert left | set(exported) == everything
    notes = {row["id"]: row["note"] for row in rows_of(directory, "public.orders")}
    assert all(note == hashlib.md5(str(key).encode()).hexdigest() for key, note in notes.items())
    assert not list(directory.glob(".*")), "nothing half-written is left"


def test_two_runs_at_once(server: PostgresServer) -> None:
    server.execute(SCHEMA)
    children = [{"table": "public.lines", "action": "purge"}]
    arguments = options(server, action="purge", children=children)
    first = start(arguments)
    until(server, f"{BACKEND} AND query ~ 'picked'")
    second = start(arguments)
    out, _errors = second.communicate(timeout=300)
    told = json.loads(out)
    assert told["failed"]
    assert told["msg"].startswith("Another run of postgresql_retention is at work in database postgres (pid ")
    out, _errors = first.communicate(timeout=300)
    assert not json.loads(out).get("failed"), out
    assert server.psql("SELECT count(*) FROM public.orders WHERE closed_at < '2026-05-02 00:00+00'") == "0"
