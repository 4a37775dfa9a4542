"""solid_queue_info on real servers: what Solid Queue's tables hold, and why nobody works on it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from lab.databases import populate
from lab.postgresql import PostgresServer
from lab.solid_queue import SolidQueue

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue import collect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.solid_queue.report import solid_queue_report
from ansible_collections.runbook.ops.plugins.modules import solid_queue_info

Result = dict[str, Any]
RunModule = Callable[..., Result]
Ask = Callable[..., Result]

DEFAULT, MAIL, IMPORT = "excelapp_production_default", "excelapp_production_mailers", "excelapp_production_imports"


def asker(server: PostgresServer, database: str, run_module: RunModule) -> Ask:
    def ask(**options: Any) -> Result:
        return run_module("solid_queue_info", {**server.login(database), **options})

    return ask


@pytest.fixture
def queue(postgresql_server: PostgresServer, postgresql_database: str) -> SolidQueue:
    return SolidQueue(postgresql_server, postgresql_database)


@pytest.fixture
def ask(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Ask:
    return asker(postgresql_server, postgresql_database, run_module)


def of(result: Result, name: str) -> Result:
    return next(each for each in result["queues"] if each["name"] == name)


def sections(result: Result) -> list[str]:
    return sorted(entry["section"] for entry in result["skipped_sections"])


def test_every_state(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> None:
    queue = SolidQueue(postgresql_by_major, database_by_major)
    living = queue.process("Worker", silent=10, queues=f"{DEFAULT},{MAIL}")
    dead = queue.process("Worker", silent=900, queues="*")
    queue.process("Dispatcher", silent=10)
    queue.ready(DEFAULT, 3, age=120, class_name="AnalyseJob")
    queue.ready(DEFAULT, 2, age=600, priority=10, class_name="ReportJob")
    queue.claimed(DEFAULT, living, 2, age=30)
    queue.claimed(DEFAULT, dead, 3, age=1200)
    queue.claimed(DEFAULT, None, 1, age=60)
    queue.scheduled(DEFAULT, 4, due_in=3600)
    queue.scheduled(DEFAULT, 2, due_in=-300)
    queue.scheduled(DEFAULT, 1, due_in=-10)
    queue.blocked(DEFAULT, 2)
    queue.blocked(DEFAULT, 1, key="User/2", expires_in=-60)
    queue.semaphore("User/1")
    queue.semaphore("User/2", expires_in=-60)
    queue.failed(
        DEFAULT, "Faraday::TooManyRequestsError", "the server responded with status 429 for file {n}", 4, age=50
    )
    queue.failed(DEFAULT, "ActiveRecord::RecordNotFound", "Couldn't find ExcelFile with 'id'={n}", 1, age=90_000)
    queue.finished(DEFAULT, 7)
    queue.add(DEFAULT, 2)
    queue.finished(MAIL, 1)
    queue.paused(MAIL)
    queue.recurring("clean_up", DEFAULT, ran=1800)

    result = asker(postgresql_by_major, database_by_major, run_module)()
    assert (result["changed"], result["available"], result["reason"]) == (False, True, None)
    assert result["skipped_sections"] == []
    assert result["complete"] is True
    assert (result["found"], result["queue_count"], result["systems"]) == (True, 2, ["solid_queue"])
    facts = of(result, DEFAULT)
    assert facts["counts"] == {
        "waiting": 5, "active": 6, "delayed": 7, "blocked": 3, "retrying": None, "failed": 5, "completed": 8,
    }  # fmt: skip
    assert facts["states"] == {
        "ready": 5, "claimed": 6, "scheduled": 7, "blocked": 3, "failed": 5, "finished": 8,
    }  # fmt: skip
    # Beside it, as somebody would count by hand.
    for table, state in (("ready_executions", "waiting"), ("claimed_executions", "active")):
        counted = postgresql_by_major.psql(f"SELECT count(*) FROM solid_queue_{table}", database_by_major)
        assert counted == str(facts["counts"][state])
    assert facts["priorities"] == [{"priority": 0, "waiting": 3}, {"priority": 10, "waiting": 2}]
    assert facts["tasks"] == [{"name": "AnalyseJob", "count": 3}, {"name": "ReportJob", "count": 2}]
    assert (facts["backlog"], facts["consumers"], facts["paused"], facts["unconsumed"]) == (11, 1, False, False)
    assert (facts["stalled"], facts["overdue"], facts["orphans"], facts["ghosts"]) == (4, 2, 2, 0)
    assert facts["oldest_age_exact"] is True
    assert 600 <= facts["oldest_age_seconds"] < 660
    assert 1200 <= facts["oldest_unacked_seconds"] < 1260
    assert [(each["reason"], each["count"]) for each in facts["failures"]] == [
        ("Faraday::TooManyRequestsError: the server responded with status <n> for file <n>", 4),
        ("ActiveRecord::RecordNotFound: Couldn't find ExcelFile with 'id'=<n>", 1),
    ]
    assert result["most_frequent_failure"].startswith("Faraday::TooManyRequestsError")
    assert (result["failed_count"], result["failed_seen"]) == (5, 5)
    mail = of(result, MAIL)
    assert (mail["paused"], mail["counts"]["waiting"], mail["counts"]["completed"]) == (True, 0, 1)
    assert (result["unconsumed"], result["consumers"], result["process_count"]) == (False, 1, 3)
    assert [each["alive"] for each in result["processes"]] == [True, True, False]
    assert result["semaphores"] == {"count": 2, "expired": 1}
    (task,) = result["recurring_tasks"]
    assert (task["key"], task["task"], task["queue"]) == ("clean_up", "CleanUpJob", DEFAULT)
    assert 1800 <= task["last_run_age_seconds"] < 1860
    notes = " | ".join(facts["notes"])
    for part in (
        "1 blocked job whose concurrency limit has expired",
        "4 claimed jobs whose worker has not been heard of in time",
        "2 scheduled jobs overdue, the longest for 30",
        "2 jobs unfinished and in no state, so that nobody runs them (the first has the id ",
    ):
        assert part in notes
    # What jobs carry is nobody's business.
    assert "secret payload" not in json.dumps(result)
    assert result["endpoint"]["database"] == database_by_major
    assert result["endpoint"]["role"] == "primary"


def test_a_prefix_that_the_workers_do_not_have(queue: SolidQueue, ask: Ask) -> None:
    """queue_name_prefix of the application is in the jobs and not in config/queue.yml: nothing is processed."""
    queue.process("Worker", queues="default,mailers")
    queue.process("Dispatcher")
    queue.ready(DEFAULT, 40, age=7200)
    queue.ready(MAIL, 2)
    result = ask()
    assert result["unconsumed"] is True
    assert result["unconsumed_queues"] == [DEFAULT, MAIL]
    facts = of(result, DEFAULT)
    assert (facts["consumers"], facts["unconsumed"]) == (0, True)
    assert facts["notes"] == [
        "no worker takes its jobs: worker 100 on app-1 works on 'default', which queue_name_prefix has made "
        f"'{DEFAULT}'. Write the prefix into the list (config/queue.yml, queues: excelapp_production_*)"
    ]
    # What the worker does look at is there, and empty.
    idle = of(result, "default")
    assert (idle["counts"]["waiting"], idle["consumers"], idle["unconsumed"]) == (0, 1, False)

    queue.process("Worker", queues="excelapp_production_*")
    mended = ask(queues=[DEFAULT])
    assert (mended["unconsumed"], of(mended, DEFAULT)["consumers"], of(mended, DEFAULT)["notes"]) == (False, 1, [])


@pytest.mark.parametrize(
    ("workers", "consumers", "note"),
    [
        (["*"], 1, ""),
        (["excelapp_*", "other"], 1, ""),
        (["other", "*_default"], 0, "no worker takes its jobs: the lists of the 2 living workers are *_default, other"),
        ([], 0, "no worker is alive"),
    ],
    ids=["every", "prefix", "others", "none"],
)
def test_who_works_on_it(queue: SolidQueue, ask: Ask, workers: list[str], consumers: int, note: str) -> None:
    for listed in workers:
        queue.process("Worker", queues=listed)
    queue.process("Worker", silent=301, queues="*")
    queue.ready(DEFAULT, 1)
    facts = of(ask(), DEFAULT)
    assert (facts["consumers"], facts["unconsumed"]) == (consumers, consumers == 0)
    assert facts["notes"] == ([note] if note else [])


def test_the_threshold_is_the_applications(queue: SolidQueue, ask: Ask) -> None:
    held = queue.process("Worker", silent=400, queues="*")
    queue.claimed(DEFAULT, held, 2)
    assert of(ask(), DEFAULT)["stalled"] == 2
    patient = ask(process_alive_threshold=3600)
    assert (of(patient, DEFAULT)["stalled"], patient["consumers"]) == (0, 1)


def test_a_worker_without_a_readable_list(queue: SolidQueue, ask: Ask) -> None:
    queue.process("Worker", metadata="{not json")
    queue.ready(DEFAULT, 1)
    facts = of(ask(), DEFAULT)
    assert (facts["consumers"], facts["unconsumed"]) == (None, None)
    assert facts["notes"] == ["consumers: worker 100 on app-1 does not say which queues it works on"]


def test_a_paused_queue_is_not_unconsumed(queue: SolidQueue, ask: Ask) -> None:
    queue.paused(DEFAULT)
    queue.ready(DEFAULT, 3)
    assert of(ask(), DEFAULT)["unconsumed"] is False


def test_named_queues(queue: SolidQueue, ask: Ask, postgresql_database: str) -> None:
    queue.finished(DEFAULT)
    queue.paused(MAIL)
    queue.recurring("nightly", IMPORT)
    queue.process("Worker", queues="idle,any_*")
    named = [MAIL, DEFAULT, IMPORT, "idle"]
    result = ask(queues=named)
    assert [(each["name"], each["exists"]) for each in result["queues"]] == [(name, True) for name in named]
    missing = ask(queues=["default", DEFAULT])
    assert missing["failed"] is True
    assert missing["msg"] == (
        f"Queue 'default' was not found in schema public of database {postgresql_database} at "
        f"{missing['endpoint']['address']}: no job, pause, recurring task or living worker names it. "
        f"With queue_name_prefix it is called '{DEFAULT}'. There are: {DEFAULT}, {IMPORT}, {MAIL}, idle."
    )
    reported = ask(queues=["default", DEFAULT], missing_queues="report")
    facts = of(reported, "default")
    assert (facts["exists"], facts["reason"], facts["counts"]["waiting"]) == (False, missing["msg"], None)
    assert of(reported, DEFAULT)["exists"] is True
    assert reported["queue_count"] == 1


def test_no_queue_at_all(queue: SolidQueue, ask: Ask) -> None:
    result = ask()
    assert (result["available"], result["found"], result["queues"]) == (True, None, [])
    assert sections(result) == ["failed_count", "found", "unconsumed"]
    assert "has Solid Queue's tables and no queue" in result["skipped_sections"][0]["reason"]


def test_the_wrong_place(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> None:
    """Without the tables it says where else they may be."""
    ask = asker(postgresql_server, postgresql_database, run_module)
    SolidQueue(postgresql_server, postgresql_database, "Jobs %s").ready(DEFAULT)
    beside = f"{postgresql_database}_queue"
    postgresql_server.execute(f"CREATE DATABASE {beside}")
    try:
        result = ask()
        assert (result["available"], result["found"], result["queue_count"]) == (True, None, None)
        reason = result["skipped_sections"][0]["reason"]
        assert "the tables solid_queue_* are not in schema public of database" in reason
        assert "this database has them in schema Jobs %s" in reason
        assert f"such as {beside} here" in reason
        failed = ask(queues=[DEFAULT])
        assert failed["failed"] is True
        assert failed["msg"].startswith("The tables solid_queue_* are not in schema public")
        assert of(ask(queues=[DEFAULT], missing_queues="report"), DEFAULT)["exists"] is False
    finally:
        postgresql_server.execute(f"DROP DATABASE {beside}")
    # A schema whose name needs quoting, and doubles its percent sign.
    assert of(ask(schema="Jobs %s"), DEFAULT)["counts"]["waiting"] == 1


@pytest.fixture
def reader(postgresql_server: PostgresServer, queue: SolidQueue) -> Iterator[Result]:
    """A login that may connect and nothing else."""
    name = f"reader_{os.urandom(4).hex()}"
    postgresql_server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'only me @:/%'")
    yield postgresql_server.login(queue.database, user=name, password="only me @:/%")
    postgresql_server.execute(f"DROP OWNED BY {name}", db=queue.database)
    postgresql_server.execute(f"DROP ROLE {name}")


def test_a_missing_privilege_costs_its_own_figures(
    postgresql_server: PostgresServer, queue: SolidQueue, reader: Result, run_module: RunModule
) -> None:
    user = reader["login_user"]
    queue.ready(DEFAULT, 2)
    queue.failed(DEFAULT, "RuntimeError", "no", 1)
    nothing = run_module("solid_queue_info", reader)
    assert (nothing["available"], nothing["found"], nothing["queue_count"]) == (True, None, None)
    remedy = next(entry["remedy"] for entry in nothing["skipped_sections"] if entry["section"] == "found")
    assert remedy.startswith("GRANT SELECT ON public.solid_queue_jobs, public.solid_queue_ready_executions,")
    assert remedy.endswith(f" TO {user};")
    postgresql_server.execute(
        f"GRANT SELECT ON solid_queue_jobs, solid_queue_ready_executions, solid_queue_pauses TO {user}",
        db=queue.database,
    )
    partly = run_module("solid_queue_info", reader)
    facts = of(partly, DEFAULT)
    assert (facts["counts"]["waiting"], facts["counts"]["failed"], facts["counts"]["active"]) == (2, None, None)
    assert (facts["consumers"], facts["unconsumed"], facts["orphans"]) == (None, None, None)
    assert {"consumers", "unconsumed", "failed", "active", "orphans", "semaphores"} <= set(sections(partly))
    # What it says is enough.
    postgresql_server.execute(partly["skipped_sections"][0]["remedy"], db=queue.database)
    whole = run_module("solid_queue_info", reader)
    assert whole["skipped_sections"] == []
    assert of(whole, DEFAULT)["counts"]["failed"] == 1
    assert "only me" not in json.dumps([nothing, partly, whole])


def test_an_older_version_has_fewer_tables(queue: SolidQueue, ask: Ask) -> None:
    queue.ready(DEFAULT, 2)
    queue.execute("DROP TABLE solid_queue_recurring_executions, solid_queue_recurring_tasks, solid_queue_semaphores")
    result = ask()
    assert of(result, DEFAULT)["counts"]["waiting"] == 2
    assert sections(result) == ["recurring_tasks", "semaphores"]
    assert result["recurring_tasks"] is None


def test_failures_are_bounded(queue: SolidQueue, ask: Ask) -> None:
    queue.failed(DEFAULT, "RuntimeError", "old", 3, age=7200)
    queue.failed(DEFAULT, "Net::ReadTimeout", "token=abc123secret " + "x" * 100_000, 2, age=60)
    newest = ask(max_failed=2)
    facts = of(newest, DEFAULT)
    assert (facts["counts"]["failed"], newest["failed_seen"], facts["failures_sampled"]) == (5, 2, True)
    (group,) = facts["failures"]
    assert group["example"].startswith("Net::ReadTimeout: token=********")
    assert len(group["example"]) <= 200
    assert len(group["example_ids"]) == 2
    assert "abc123secret" not in json.dumps(newest)
    lately = ask(failed_within=3600)
    assert (of(lately, DEFAULT)["counts"]["failed"], lately["failed_count"]) == (2, 2)
    assert of(lately, DEFAULT)["states"]["failed"] == 5
    without = ask(failures=False)
    assert (without["failed_count"], without["failed_seen"], without["failures"]) == (5, None, [])


def test_a_statement_that_takes_too_long(queue: SolidQueue, ask: Ask) -> None:
    """One table is locked: its figures are unknown, the others are there, and nobody waits for long."""
    queue.ready(DEFAULT, 2)
    connection = queue.server.connect(queue.database, autocommit=False)
    try:
        connection.cursor().execute("LOCK TABLE solid_queue_failed_executions IN ACCESS EXCLUSIVE MODE")
        result = ask(statement_timeout=1)
    finally:
        connection.rollback()
        connection.close()
    facts = of(result, DEFAULT)
    assert (facts["counts"]["waiting"], facts["counts"]["failed"], facts["orphans"]) == (2, None, None)
    assert {"failed", "orphans", "failures"} <= set(sections(result))


def test_rates(queue: SolidQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = queue.ready(DEFAULT, 50)
    queue.ready(MAIL, 1)
    queue.process("Worker", queues="*")
    asked: list[float] = []

    def meanwhile(seconds: float) -> None:
        """Instead of the pause between the two looks: what happens in it."""
        asked.append(seconds)
        clock.now += seconds
        queue.ready(DEFAULT, 5)
        queue.execute("DELETE FROM solid_queue_ready_executions WHERE job_id = ANY (%s)", (waiting[:20],))
        queue.execute("UPDATE solid_queue_jobs SET finished_at = now() WHERE id = ANY (%s)", (waiting[:20],))

    clock = SimpleNamespace(now=0.0, sleep=meanwhile)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(collect, "time", clock)
    defaults = {name: option.get("default") for name, option in solid_queue_info.argument_spec().items()}
    result = solid_queue_report({**defaults, **queue.server.login(queue.database), "sample_seconds": 10.0})
    assert asked == [10.0]
    assert of(result, DEFAULT)["rate"] == {
        "sample_seconds": 10.0,
        "arrivals_per_second": 0.5,
        "departures_per_second": 2.0,
        "growth_per_second": -1.5,
        # 50 waited when the figures were read, and they were 15 fewer after ten seconds.
        "drain_seconds": 33.3,
    }
    still = of(result, MAIL)["rate"]
    assert (still["arrivals_per_second"], still["departures_per_second"], still["drain_seconds"]) == (0, 0, None)


def test_thousands_of_jobs_are_counted_by_index(queue: SolidQueue, ask: Ask) -> None:
    """The names are found by steps through the index, not by reading every job ever kept."""
    queue.execute(
        "INSERT INTO solid_queue_jobs (queue_name, class_name, finished_at, created_at, updated_at)"
        " SELECT 'many', 'Job', now(), now(), now() FROM generate_series(1, 20000)"
    )
    queue.ready("z" * 200)
    result = ask()
    assert [each["name"] for each in result["queues"]] == ["many", "z" * 200]
    assert of(result, "many")["counts"]["completed"] == 20000


def test_a_reference_time(queue: SolidQueue, ask: Ask) -> None:
    queue.process("Worker", queues="*")
    queue.ready(DEFAULT, 1, age=0)
    result = ask(reference_time="2099-01-01T00:00:00Z")
    assert of(result, DEFAULT)["oldest_age_seconds"] > 365 * 86400
    # Ages only: a worker that is heard of is alive.
    assert result["consumers"] == 1
    before = of(ask(reference_time="2020-01-01T00:00:00Z"), DEFAULT)
    assert (before["oldest_age_seconds"], before["oldest_age_exact"]) == (0, False)
    assert "default_timezone" in before["oldest_age_note"]


def test_excelapp(run_module: RunModule) -> None:
    """The system whose manual sets a prefix and no list of queues: alive, and nothing is processed."""
    with PostgresServer() as server:
        database = populate(server, "excelapp")
        result = asker(server, database, run_module)(login_user="runbook_monitor")
        waiting = "SELECT count(*) FROM solid_queue_ready_executions WHERE queue_name = '%s'"
        assert server.psql(waiting % DEFAULT, database) == "40"
    assert result["skipped_sections"] == []
    assert result["unconsumed_queues"] == [DEFAULT, MAIL]
    facts = of(result, DEFAULT)
    assert {state: count for state, count in facts["counts"].items() if count} == {
        "waiting": 40, "delayed": 6, "blocked": 2, "failed": 23, "completed": 200,
    }  # fmt: skip
    assert (facts["consumers"], facts["orphans"], facts["stalled"]) == (0, 0, 0)
    assert "Write the prefix into the list (config/queue.yml, queues: excelapp_production_*)" in facts["notes"][0]
    assert facts["oldest_age_seconds"] > 2 * 3600
    assert result["most_frequent_failure"].startswith("Net::ReadTimeout")
    assert result["consumers"] == 1


def test_a_server_that_is_down(run_module: RunModule) -> None:
    result = run_module("solid_queue_info", {"login_host": "127.0.0.1", "login_port": 1, "login_user": "app"})
    assert (result["available"], result["found"], result["queues"], result["complete"]) == (False, None, [], False)
    assert "connection refused" in result["reason"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queues": ["a", "a"]}, "queues: 'a' is not accepted. Accepted: each name once."),
        ({"sample": 1001}, "sample: 1001 is not accepted. Accepted: a number from 0 to 1000."),
        ({"max_failed": 0}, "max_failed: 0 is not accepted. Accepted: a number from 1 to 100000."),
        (
            {"failed_within": -1},
            "failed_within: -1.0 is not accepted. Accepted: a number of seconds greater than 0.",
        ),
        (
            {"process_alive_threshold": 0},
            "process_alive_threshold: 0.0 is not accepted. Accepted: a number of seconds greater than 0.",
        ),
        (
            {"sample_seconds": 301},
            "sample_seconds: 301.0 is not accepted. Accepted: a number of seconds from 0 to 300.",
        ),
        (
            {"schema": ""},
            "schema: '' is not accepted. Accepted: the name of the schema with the tables solid_queue_*.",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_options_that_cannot_work(run_module: RunModule, options: Result, message: str) -> None:
    """Before anything is touched: there is no server at this address."""
    result = run_module("solid_queue_info", {"login_host": "127.0.0.1", "login_port": 1, **options})
    assert (result["failed"], result["msg"]) == (True, message)
