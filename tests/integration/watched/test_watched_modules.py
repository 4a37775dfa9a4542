"""The collection's own long-running modules, watched and interrupted against a real server."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.bench import environment
from lab.playbook_run import PlaybookRun, eventually
from lab.postgresql import PostgresServer

ROWS = 60_000
RETENTION = {
    "throttle": "gentle",
    "policies": [
        {
            "name": "jobs",
            "table": "public.jobs",
            "column": "completed_at",
            "keep": "90 days",
            "action": "archive",
            "archive_table": "public.jobs_archive",
        }
    ],
}


def play(tmp_path: Path, module: str, options: dict[str, Any], *arguments: str) -> PlaybookRun:
    """Begin a playbook of one task; what it registers is kept."""
    answer = tmp_path / "answer.json"
    answer.unlink(missing_ok=True)
    content = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "runbook_progress_interval": 0.5,
            },
            "tasks": [
                {"name": "Work", f"runbook.ops.{module}": options, "register": "done", "ignore_errors": True},
                {
                    "name": "Keep",
                    "ansible.builtin.copy": {"content": "{{ done | to_json }}", "dest": str(answer), "mode": "0600"},
                },
            ],
        }
    ]
    playbook = tmp_path / "play.yml"
    playbook.write_text(yaml.safe_dump(content), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("ansible-playbook")), *arguments, str(playbook)]
    where = {"ANSIBLE_HOME": str(tmp_path / "home"), "ANSIBLE_REMOTE_TMP": str(tmp_path / "remote")}
    return PlaybookRun(command, {**environment(), **where})


def answer_of(tmp_path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))
    return found


def at_work(server: PostgresServer) -> list[tuple[Any, ...]]:
    return server.query(
        "SELECT pid, query FROM pg_stat_activity WHERE application_name LIKE 'runbook.ops postgresql_%'"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_retention_goes_on_where_it_was_interrupted(
    postgresql_server: PostgresServer, postgresql_database: str, tmp_path: Path, number: signal.Signals
) -> None:
    server, database = postgresql_server, postgresql_database
    server.psql(
        "CREATE TABLE public.jobs (id bigint PRIMARY KEY, completed_at timestamptz NOT NULL, payload text);"
        f"INSERT INTO public.jobs SELECT g, now() - interval '1 year', md5(g::text) FROM generate_series(1, {ROWS}) g;"
        "CREATE TABLE public.jobs_archive (LIKE public.jobs INCLUDING ALL);"
        "CREATE INDEX ON public.jobs (completed_at); ANALYZE public.jobs",
        db=database,
    )
    options = {**server.login(database), **RETENTION}
    run = play(tmp_path, "postgresql_retention", options)
    line = run.line("localhost | archive public.jobs: ", f" of {ROWS:,} rows)")
    assert " % (" in line
    run.process.send_signal(number)
    assert run.end() == (99 if number == signal.SIGINT else -number), run.output
    eventually(lambda: at_work(server) == [], lambda: at_work(server))
    last = run.lines[-1]
    assert last.startswith("localhost | stopped at archive public.jobs: "), run.output
    assert "again" in last

    moved = int(server.psql("SELECT count(*) FROM public.jobs_archive", db=database))
    assert 0 < moved < ROWS
    both = "SELECT count(*), count(DISTINCT id) FROM (TABLE public.jobs UNION ALL TABLE public.jobs_archive) moved"
    assert server.query(both, db=database) == [(ROWS, ROWS)]

    again = play(tmp_path, "postgresql_retention", {**options, "throttle": "off"})
    assert again.end() == 0, again.output
    assert answer_of(tmp_path).get("failed") is False, answer_of(tmp_path)
    assert answer_of(tmp_path)["changed"] is True
    assert "started" not in answer_of(tmp_path)
    assert server.psql("SELECT count(*) FROM public.jobs", db=database).strip() == "0"
    assert server.query("SELECT count(*), count(DISTINCT id) FROM public.jobs_archive", db=database) == [(ROWS, ROWS)]


def test_an_interrupted_vacuum_leaves_nothing_at_work(tmp_path: Path) -> None:
    with PostgresServer(settings={"autovacuum": "off"}) as server:
        server.execute("CREATE DATABASE shop")
        server.psql(
            "CREATE TABLE public.jobs AS SELECT g AS id, repeat(md5(g::text), 8) AS payload "
            "FROM generate_series(1, 200000) g; DELETE FROM public.jobs WHERE id % 3 = 0;"
            # Slow enough to be caught at work on any machine.
            "ALTER DATABASE shop SET vacuum_cost_delay = '50ms'",
            db="shop",
        )
        options = {**server.login("shop"), "tables": ["public.jobs"]}
        run = play(tmp_path, "postgresql_vacuum", options)
        run.line("localhost | vacuum public.jobs", " blocks)")
        run.process.send_signal(signal.SIGINT)
        assert run.end() == 99, run.output
        eventually(lambda: at_work(server) == [], lambda: at_work(server))
        assert run.lines[-1].startswith("localhost | stopped at vacuum public.jobs"), run.output
        assert server.psql("SELECT count(*) FROM pg_stat_progress_vacuum", db="shop").strip() == "0"
        assert (
            server.psql("SELECT vacuum_count FROM pg_stat_all_tables WHERE relname = 'jobs'", db="shop").strip() == "0"
        )

        server.execute("ALTER DATABASE shop SET vacuum_cost_delay = 0")
        again = play(tmp_path, "postgresql_vacuum", options)
        assert again.end() == 0, again.output
        assert answer_of(tmp_path)["changed"] is True, answer_of(tmp_path)
        assert (
            server.psql("SELECT vacuum_count FROM pg_stat_all_tables WHERE relname = 'jobs'", db="shop").strip() == "1"
        )


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("postgresql_vacuum", {}),
        ("postgresql_reindex", {}),
        ("postgresql_session", {"state": "terminated", "application": ["nobody"], "max_sessions": 1}),
        ("postgresql_retention", {"policies": RETENTION["policies"]}),
    ],
)
def test_results_are_the_same_in_every_way(
    postgresql_server: PostgresServer, postgresql_database: str, tmp_path: Path, module: str, options: dict[str, Any]
) -> None:
    """With nothing left to do, watched and sent without being watched."""
    postgresql_server.psql(
        "CREATE TABLE public.jobs (id bigint PRIMARY KEY, completed_at timestamptz NOT NULL);"
        "CREATE TABLE public.jobs_archive (LIKE public.jobs INCLUDING ALL);"
        "CREATE INDEX ON public.jobs (completed_at)",
        db=postgresql_database,
    )
    given = {**postgresql_server.login(postgresql_database), **options}
    keys = {}
    for watched in (True, True, False):
        run = play(
            tmp_path,
            module,
            given,
            *("-e", json.dumps({"runbook_progress": watched, "runbook_direct": False})),
        )
        assert run.end() == 0, run.output
        found = answer_of(tmp_path)
        assert found.get("failed") is False, found
        # The first run may have something to do; the others must agree.
        keys[watched] = (sorted(found), found["changed"], found["actions"], found["refused"])
    assert keys[True] == keys[False]
    assert not any(each.name.startswith("ansible-runbook-") for each in (tmp_path / "remote").iterdir())
