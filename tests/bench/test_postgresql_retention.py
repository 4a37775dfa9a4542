"""Two million rows with three indexes under a running pgbench: speed unthrottled, and what the others notice."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.paths import BUILD
from lab.postgresql import PostgresServer

ROWS = 2_000_000
NOW = "2026-06-01T00:00:00Z"
CUTOFF = "2026-05-02 00:00+00"
# So many transactions a second that the server has work and room: what a shop has, not what it can bear.
LOAD = 100
SECONDS = 12
TURNS = 8

FILL = (
    "DROP TABLE IF EXISTS public.events, public.events_archive",
    """CREATE TABLE public.events (id bigint PRIMARY KEY, customer int NOT NULL, status text NOT NULL, payload text,
                                   amount numeric(12, 2), created_at timestamptz NOT NULL)""",
    f"""INSERT INTO public.events
        SELECT g, g % 1000, 'COMPLETED', repeat('x', 60), g * 0.01,
               timestamptz '2024-01-01' + g * interval '10 seconds'
        FROM generate_series(1, {ROWS}) g""",
    "CREATE INDEX ON public.events (created_at, id)",
    "CREATE INDEX ON public.events (customer)",
    "CREATE TABLE public.events_archive (LIKE public.events)",
    "ALTER TABLE public.events_archive ADD PRIMARY KEY (id)",
    "VACUUM ANALYZE public.events",
    "CHECKPOINT",
)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    settings = {
        "shared_buffers": "512MB",
        "max_wal_size": "4GB",
        "fsync": True,
        "synchronous_commit": True,
        "full_page_writes": True,
        "autovacuum": False,
    }
    with PostgresServer(settings=settings) as started:
        environment = {**os.environ, "PGPASSWORD": started.password}
        command = [started.client("pgbench"), "-i", "-q", "-s", "10", *where(started)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        yield started


def where(server: PostgresServer) -> list[str]:
    return ["-h", server.host, "-p", str(server.port), "-U", server.superuser, "postgres"]


@contextlib.contextmanager
def load(server: PostgresServer, directory: Path, seconds: int = 3600) -> Iterator[subprocess.Popen[bytes]]:
    """A steady pgbench beside whatever happens; its transactions are logged in the directory."""
    directory.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [
            *(server.client("pgbench"), "-n", "-c", "4", "-j", "1", "-R", str(LOAD), "-T", str(seconds)),
            *("-l", *where(server)),
        ],
        cwd=directory,
        env={**os.environ, "PGPASSWORD": server.password},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def latencies(directory: Path, began: float = 0.0, ended: float = float("inf")) -> list[float]:
    """Milliseconds of every transaction of the window, in ascending order."""
    found = []
    for path in directory.glob("pgbench_log.*"):
        for line in path.read_text(encoding="utf-8").splitlines():
            parts = line.split()
            # client, transaction, microseconds, script, epoch, epoch's microseconds, lag
            if len(parts) >= 6 and parts[2].isdigit() and began <= int(parts[4]) + int(parts[5]) / 1e6 <= ended:
                found.append(int(parts[2]) / 1000)
    return sorted(found)


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def start(server: PostgresServer, **options: Any) -> subprocess.Popen[str]:
    policy = {"name": "events", "table": "public.events", "column": "created_at", "keep": "30 days"}
    policy.update(options.pop("policy"))
    arguments = {**server.login(), "policies": [policy], "reference_time": NOW, "vacuum": False, **options}
    process = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.postgresql_retention"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BUILD / "collections")},
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    process.stdin = None
    return process


def fill(server: PostgresServer) -> None:
    for statement in FILL:
        server.execute(statement)
    server.execute("DROP SCHEMA IF EXISTS runbook_ops CASCADE")


ARCHIVE = {"action": "archive", "archive_table": "public.events_archive"}
PURGE = {"action": "purge"}


def single_cte(server: PostgresServer, insert: bool) -> float:
    """The manual's statement: everything at once."""
    target = "INSERT INTO public.events_archive SELECT * FROM gone" if insert else "SELECT count(*) FROM gone"
    began = time.perf_counter()
    server.execute(f"WITH gone AS (DELETE FROM public.events WHERE created_at < '{CUTOFF}' RETURNING *) {target}")
    return time.perf_counter() - began


def in_loop(server: PostgresServer, insert: bool) -> float:
    """What is usually recommended: a thousand at a time, looked for anew each time."""
    target = "INSERT INTO public.events_archive SELECT * FROM gone" if insert else "SELECT * FROM gone"
    statement = f"""
        WITH gone AS (DELETE FROM public.events WHERE id IN (
            SELECT id FROM public.events WHERE created_at < '{CUTOFF}' LIMIT 1000) RETURNING *) {target}"""
    began = time.perf_counter()
    connection = server.connect()
    with contextlib.closing(connection), connection.cursor() as cursor:
        while True:
            cursor.execute(statement)
            if not cursor.rowcount:
                break
    return time.perf_counter() - began


def ours(server: PostgresServer, policy: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    began = time.perf_counter()
    out, _errors = start(server, policy=policy).communicate()
    took = time.perf_counter() - began
    result = json.loads(out)
    assert not result.get("failed"), result["msg"]
    [done] = result["policies"]
    assert done["rows"] == ROWS
    assert done["proof"][0]["proven"]
    return took, done


@pytest.mark.parametrize("action", ["archive", "purge"])
def test_unthrottled(server: PostgresServer, action: str, tmp_path: Path, table: Callable[..., Any]) -> None:
    rows = table(
        f"{action} of {ROWS:,} rows with three indexes beside pgbench at {LOAD} transactions a second",
        *("method", "seconds", "rows a second", "p99 of pgbench", "longest transaction of pgbench"),
    )
    archives = action == "archive"

    def add(name: str, work: Callable[[], tuple[float, float]]) -> None:
        fill(server)
        place = tmp_path / name.replace(" ", "-").replace("(", "").replace(")", "")
        with load(server, place):
            time.sleep(2)
            began = time.time()
            seconds, per_second = work()
            ended = time.time()
        found = latencies(place, began, ended)
        rows.add(
            name, f"{seconds:.1f}", f"{per_second:,.0f}", f"{percentile(found, 0.99):.1f} ms", f"{found[-1]:.0f} ms"
        )

    def plain(method: Callable[[PostgresServer, bool], float]) -> tuple[float, float]:
        seconds = method(server, archives)
        return seconds, ROWS / seconds

    def module() -> tuple[float, float]:
        seconds, done = ours(server, ARCHIVE if archives else PURGE)
        return seconds, done["rows_per_second"]

    add("one statement", lambda: plain(single_cte))
    add("id IN loop of 1000", lambda: plain(in_loop))
    add("postgresql_retention", module)


def test_throttled(server: PostgresServer, tmp_path: Path, table: Callable[..., Any]) -> None:
    """In short turns, so that a drifting machine touches both sides alike; the percentiles are over all turns."""
    fill(server)
    rows = table(
        f"What pgbench at {LOAD} transactions a second notices of throttle: gentle",
        *("turn", "p99 alone", "p99 beside", "ratio", "rows a second"),
    )
    alone: list[float] = []
    beside: list[float] = []
    moved = 0
    with load(server, tmp_path / "load"):
        time.sleep(3)
        for number in range(TURNS):
            times = [time.time()]
            time.sleep(SECONDS)
            times.append(time.time())
            # Taken up where the last turn ended it. What it counts before its first batch is no batch.
            process = start(server, policy=ARCHIVE, throttle="gentle")
            time.sleep(4)
            times.append(time.time())
            time.sleep(SECONDS)
            times.append(time.time())
            process.terminate()
            out, _errors = process.communicate()
            done = json.loads(out)["policies"][0]
            moved += done["rows"]
            before = latencies(tmp_path / "load", times[0], times[1])
            during = latencies(tmp_path / "load", times[2], times[3])
            alone += before
            beside += during
            add_turn(rows, str(number + 1), before, during, done["rows"] / (SECONDS + 4))
    add_turn(rows, "all", sorted(alone), sorted(beside), moved / TURNS / (SECONDS + 4))


def add_turn(rows: Any, name: str, alone: list[float], beside: list[float], speed: float) -> None:
    before, during = percentile(alone, 0.99), percentile(beside, 0.99)
    rows.add(name, f"{before:.2f} ms", f"{during:.2f} ms", f"{during / before:.2f}", f"{speed:,.0f}")
