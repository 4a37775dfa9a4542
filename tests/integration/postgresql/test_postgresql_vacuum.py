"""postgresql_vacuum on real servers: what is due is treated and proven, what would be in vain or harmful is refused."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from lab.errors import LabError
from lab.paths import BUILD
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import (
    maintenance_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import maintenance_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum import measure
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.apply import Run, Worker
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.horizon import Horizon
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import (
    rules_from,
    vacuum_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.plan import make_plan

Result = dict[str, Any]
RunModule = Callable[..., Result]
MODULE = "postgresql_vacuum"
# Autovacuum must not come first; its rules for the tables stay as they are.
OFF = "autovacuum_enabled = off, toast.autovacuum_enabled = off"
PLANNED = ("schema", "table", "kind", "statement", "reasons", "lock", "dead_rows_before", "toast_dead_rows_before")


@dataclass
class Database:
    server: PostgresServer
    name: str
    run_module: RunModule

    def run(self, *, check: bool = False, diff: bool = False, login: Result | None = None, **options: Any) -> Result:
        arguments = {**(login or self.server.login(self.name)), **options}
        return self.run_module(MODULE, arguments, check_mode=check, diff=diff)

    def execute(self, statement: str) -> None:
        self.server.execute(statement, db=self.name)

    def psql(self, statement: str, **login: Any) -> str:
        return self.server.psql(statement, db=self.name, **login)

    def table(self, name: str, rows: int = 1000, *, delete: int = 0, more: str = "", analyze: bool = True) -> None:
        """A table of (id, v); the first C(delete) rows are dead, the statistics know it."""
        options = f"{OFF}{', ' if more else ''}{more}"
        self.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v text) WITH ({options})")
        self.execute(f"INSERT INTO {name} SELECT g, 'value ' || g FROM generate_series(1, {rows}) g")
        if analyze:
            # Inserted rows, modified rows and the unknown row count are settled; only what follows counts. Before 15
            # the insert's report may come after the VACUUM's, which would not settle it.
            self.wait_until(f"pg_stat_get_tuples_inserted('{name}'::regclass) >= {rows}")
            self.execute(f"VACUUM (ANALYZE) {name}")
        if delete:
            self.delete(name, delete)

    def delete(self, name: str, count: int) -> None:
        before = self.dead(name)
        self.execute(f"DELETE FROM {name} WHERE id IN (SELECT id FROM {name} ORDER BY id LIMIT {count})")
        self.wait_until(f"pg_stat_get_dead_tuples('{name}'::regclass) >= {before + count}")

    def dead(self, name: str) -> int:
        return int(self.psql(f"SELECT pg_stat_get_dead_tuples('{name}'::regclass)"))

    def wait_until(self, condition: str) -> None:
        for _ignored in range(300):
            if self.server.query(f"SELECT {condition}", db=self.name)[0][0]:
                return
            time.sleep(0.1)
        raise AssertionError(f"never became true: {condition}")

    @contextlib.contextmanager
    def session(self, *statements: str, db: str | None = None) -> Iterator[int]:
        """A session that stays in its transaction; its process id."""
        with closing(self.server.connect(db or self.name, autocommit=False)) as connection:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
            yield connection.info.backend_pid

    def vacuum_in_vain(self, name: str, statement: str) -> None:
        """The manual's command: it says that all is well, and every dead row is still there."""
        before, count = self.dead(name), f"pg_stat_get_vacuum_count('{name}'::regclass)"
        done = int(self.psql(f"SELECT {count}"))
        assert self.psql(statement) == "VACUUM"
        # PostgreSQL 14 shows it up to half a second later.
        self.wait_until(f"{count} > {done}")
        assert self.dead(name) == before

    def slow_down(self) -> None:
        """Have VACUUM, with a delay, sleep after each page."""
        self.execute(f"ALTER DATABASE {self.name} SET vacuum_cost_limit = 1")

    def burn(self, count: int) -> None:
        """Use up transaction ids."""
        self.execute(f"DO $$ BEGIN FOR i IN 1..{count} LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")


SNAPSHOT = ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM pg_class LIMIT 1")


@pytest.fixture
def database(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> Database:
    return Database(postgresql_by_major, database_by_major, run_module)


@pytest.fixture
def one(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Database:
    """The preferred server only, for what does not depend on the version."""
    return Database(postgresql_server, postgresql_database, run_module)


@pytest.fixture
def other_database(one: Database) -> Iterator[str]:
    name = f"{one.name}_b"
    one.server.execute(f"CREATE DATABASE {name}")
    yield name
    one.server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def statements(result: Result) -> dict[str, str]:
    return {f"{each['schema']}.{each['table']}": each["statement"] for each in result["actions"]}


def planned(result: Result) -> list[Result]:
    return [{key: each[key] for key in PLANNED} for each in result["actions"]]


def refusals(result: Result) -> dict[str, str]:
    return {each["object"]: each["reason"] for each in result["refused"]}


def in_background(database: Database, statement: str, settings: str = "SELECT 1") -> tuple[Any, threading.Thread]:
    """Begin a statement that the test cancels when it has seen enough; its connection and its thread."""
    connection = database.server.connect(database.name)
    connection.cursor().execute(settings)

    def work() -> None:
        with contextlib.suppress(psycopg2.errors.QueryCanceled):
            connection.cursor().execute(statement)

    thread = threading.Thread(target=work)
    thread.start()
    return connection, thread


# --- what is due
def test_what_is_due_is_treated_and_nothing_else(database: Database) -> None:
    database.execute("CREATE SCHEMA sales")
    database.table("dead", delete=400)
    database.table("fine")
    database.table(
        "patient", delete=400, more="autovacuum_vacuum_threshold = 5000, autovacuum_analyze_threshold = 5000"
    )
    database.table('sales."Mixed.Case ""order"', delete=300)
    database.table("never", 10, analyze=False)
    database.table("grown")
    database.execute("INSERT INTO grown SELECT g, 'more' FROM generate_series(1001, 3000) g")
    database.execute(f"CREATE TABLE changed (id int, v int) WITH ({OFF}, fillfactor = 10)")
    database.execute("INSERT INTO changed SELECT g, g FROM generate_series(1, 1000) g; ")
    database.execute("VACUUM (ANALYZE) changed")
    database.execute("UPDATE changed SET v = 0 WHERE id <= 155")
    for name, kind, count in (("grown", "ins_since_vacuum", 2000), ("changed", "mod_since_analyze", 155)):
        database.wait_until(f"pg_stat_get_{kind}('{name}'::regclass) >= {count}")

    check = database.run(check=True)
    assert check["changed"] is True, check
    assert (
        statements(check)
        == {
            'sales.Mixed.Case "order': 'VACUUM (ANALYZE) sales."Mixed.Case ""order"',
            "public.dead": "VACUUM (ANALYZE) public.dead",
            "public.grown": "VACUUM (ANALYZE) public.grown",
            "public.changed": "VACUUM (ANALYZE) public.changed",
            "public.never": "ANALYZE public.never",
            **({"None.None": "VACUUM (ONLY_DATABASE_STATS)"} if database.server.installation.major >= 16 else {}),
        }
        or database.server.installation.major >= 16
    )
    reasons = {each["table"]: each["reasons"] for each in check["actions"]}
    assert reasons["dead"] == ["dead rows 400 > threshold 250", "modified rows 400 > threshold 150"]
    assert reasons["grown"][0] == "inserted rows 2000 > threshold 1200"
    assert reasons["never"] == ["never analyzed (about 10 rows)"]
    assert reasons["changed"][0] == "modified rows 155 > threshold 150"
    assert check["refused"] == check["remaining"] == []
    assert (check["after"], check["table_count"], check["before"]["tables"]) == (None, 7, 5)

    run = database.run()
    assert run["changed"] is True, run
    assert planned(run) == planned(check)
    assert all(each["effective"] for each in run["actions"]), run["actions"]
    assert run["before"] == check["before"]
    assert run["after"]["dead_rows"] == 0
    for again in (database.run(check=True), database.run()):
        assert (again["changed"], again["actions"], again["refused"]) == (False, [], []), again
    assert database.psql(
        "SELECT string_agg(relname || ' ' || n_dead_tup || ' ' || vacuum_count || ' ' || analyze_count, ', ' "
        'ORDER BY relname COLLATE "C") FROM pg_stat_user_tables'
    ) == ('Mixed.Case "order 0 2 2, changed 0 2 2, dead 0 2 2, fine 0 1 1, grown 0 2 2, never 0 0 1, patient 400 1 1')


def test_options_by_version(database: Database) -> None:
    """Each server gets what it knows; several tables share one computation of the database's oldest ids from 16."""
    major = database.server.installation.major
    database.table("a", delete=300)
    database.table("b", delete=400)
    database.execute(f"CREATE TABLE b_child () INHERITS (b) WITH ({OFF})")
    options = {
        "parallel": 2, "buffer_usage_limit": "1MB", "cost_delay": 0, "index_cleanup": "auto", "truncate": False,
        "process_toast": False,
    }  # fmt: skip
    check, run = database.run(check=True, **options), database.run(**options)
    extra = ["PARALLEL 2", "INDEX_CLEANUP AUTO", "PROCESS_TOAST FALSE", "TRUNCATE FALSE"]
    extra += ["BUFFER_USAGE_LIMIT '1MB'", "SKIP_DATABASE_STATS"] if major >= 16 else []
    only = "ONLY " if major >= 18 else ""
    expected = [
        f"VACUUM (ANALYZE, {', '.join(extra)}) {only}public.b",
        f"VACUUM (ANALYZE, {', '.join(extra)}) public.a",
        *(["VACUUM (ONLY_DATABASE_STATS)"] if major >= 16 else []),
    ]
    assert [each["statement"] for each in check["actions"]] == expected
    assert [each["statement"] for each in run["actions"]] == expected, run
    assert [each["option"] for each in run["ignored_options"]] == ([] if major >= 16 else ["buffer_usage_limit"])
    assert database.psql("SELECT sum(n_dead_tup), count(last_vacuum) FROM pg_stat_user_tables") == "0|2"
    assert database.run()["changed"] is False


def test_toast_and_partitions(database: Database) -> None:
    database.execute(f"CREATE TABLE documents (id int, body text) WITH ({OFF})")
    database.execute("ALTER TABLE documents ALTER body SET STORAGE EXTERNAL")
    database.execute("INSERT INTO documents SELECT g, repeat('x', 40000) FROM generate_series(1, 40) g")
    database.execute("VACUUM (ANALYZE) documents")
    database.execute("UPDATE documents SET body = repeat('y', 40000) WHERE id <= 30")
    toast = "(SELECT reltoastrelid FROM pg_class WHERE relname = 'documents')"
    database.wait_until(f"pg_stat_get_dead_tuples({toast}) >= 600")
    database.execute("CREATE TABLE events (id int, day int, v text) PARTITION BY LIST (day)")
    for day in (1, 2):
        database.execute(f"CREATE TABLE events_{day} PARTITION OF events FOR VALUES IN ({day}) WITH ({OFF})")
    database.execute("INSERT INTO events SELECT g, 1 + g % 2, 'x' FROM generate_series(1, 800) g")
    # Counted after the VACUUM they would make it due again.
    database.wait_until("pg_stat_get_tuples_inserted('events_2'::regclass) >= 400")
    database.execute("VACUUM (ANALYZE) events")
    database.execute("DELETE FROM events_1")
    database.wait_until("pg_stat_get_dead_tuples('events_1'::regclass) >= 400")

    named = database.run(check=True, tables=["events"])
    assert [(each["table"], each["kind"]) for each in named["actions"]] == [("events_1", "partition")]
    assert database.run(check=True, exclude_tables=["events"])["actions"][0]["table"] == "documents"
    run = database.run()
    assert {each["table"] for each in run["actions"] if each["table"]} == {"documents", "events_1"}, run
    (documents,) = [each for each in run["actions"] if each["table"] == "documents"]
    assert documents["reasons"][0].startswith("dead rows of its TOAST table ")
    assert (documents["toast_dead_rows_before"] >= 600, documents["toast_dead_rows_after"]) == (True, 0)
    assert database.psql(f"SELECT pg_stat_get_dead_tuples({toast})") == "0"
    assert database.run()["changed"] is False


def test_wraparound_is_frozen_first(database: Database) -> None:
    database.table("worn", more="autovacuum_freeze_max_age = 100000")
    database.table("dead", delete=900)
    database.burn(1100)
    options = {"freeze_age_percent": 1}
    check = database.run(check=True, **options)
    first = check["actions"][0]
    assert re.fullmatch(
        r"transaction age \d+ >= 1000 \(1 % of autovacuum_freeze_max_age 100000\)", first["reasons"][0]
    ), first
    assert first["statement"].startswith("VACUUM (FREEZE")
    # Freezing gets no table below the age of the oldest snapshot.
    with database.session(*SNAPSHOT) as pid:
        database.burn(1100)
        held = database.run(check=True, on_refusal="report", **options)
        assert [each["table"] for each in held["actions"] if each["table"]] == ["dead"]
        (reason,) = refusals(held).values()
        assert re.search(rf"would be in vain: session pid {pid} \(.*\) keeps it at an age of \d+ at least", reason)
    run = database.run(**options)
    assert [each["table"] for each in run["actions"] if each["table"]] == ["worn", "dead"], run
    assert int(database.psql("SELECT age(relfrozenxid) FROM pg_class WHERE relname = 'worn'")) < 1000
    assert database.run(**options)["changed"] is False


def test_which_tables(one: Database) -> None:
    one.execute("CREATE SCHEMA sales; CREATE VIEW a_view AS SELECT 1 AS one")
    one.table("jobs", delete=300)
    one.table("sales.jobs", delete=300)
    one.table('"MixedCase"', delete=300)
    one.table("slight", delete=130)

    def due(**options: Any) -> list[str]:
        result = one.run(check=True, **options)
        assert "failed" not in result, result["msg"]
        return sorted(f"{each['schema']}.{each['table']}" for each in result["actions"])

    assert due() == ["public.MixedCase", "public.jobs", "sales.jobs"]
    assert due(due_percent=50) == ["public.MixedCase", "public.jobs", "public.slight", "sales.jobs"]
    assert due(min_dead_rows=301, analyze=False) == []
    assert due(schemas=["sales"]) == ["sales.jobs"]
    assert due(tables=["public.JOBS", "MixedCase"]) == ["public.MixedCase", "public.jobs"]
    assert due(tables=['"public"."MixedCase"'], exclude_tables=["MixedCase"]) == []
    assert due(tables=["slight"]) == []
    assert due(tables=["slight"], force=True) == ["public.slight"]
    for options, message in (
        ({"tables": ["jobs"]}, "tables: jobs is in several schemas (public, sales). Write schema.table."),
        ({"tables": ["public.nowhere"]}, f"tables: there is no table public.nowhere in database {one.name}. Correct"),
        ({"tables": ['"JOBS"']}, 'tables: there is no table "JOBS" in database'),
        ({"tables": ["a_view"]}, "tables: a_view is a view, not a table."),
        ({"exclude_tables": ["mixedcase"]}, "exclude_tables: there is no table mixedcase in database"),
        ({"schemas": ["nowhere"]}, "schemas: there is no schema nowhere in database"),
        ({"tables": ["a.b.c"]}, "tables: 'a.b.c' is not accepted."),
        ({"full": True}, "full: True is not accepted. Accepted: only together with tables"),
        ({"due_percent": 0}, "due_percent: 0.0 is not accepted. Accepted: a number from 1 to 1000."),
        ({"buffer_usage_limit": "1kB"}, "buffer_usage_limit: '1kB' is not accepted."),
        ({"window": ["whenever"]}, "window: 'whenever' is not accepted."),
    ):
        result = one.run(**options)
        assert result["failed"] is True
        assert result["msg"].startswith(message), result["msg"]
    assert one.psql("SELECT count(last_vacuum), sum(vacuum_count) FROM pg_stat_user_tables") == "4|4", "untouched"


def test_diff_shows_what_is_due_and_what_stays(one: Database) -> None:
    one.table("jobs", delete=300)
    due = "public.jobs: dead rows 300 > threshold 250, modified rows 300 > threshold 150\n"
    assert one.run(check=True, diff=True)["diff"] == {"before": due, "after": ""}
    assert one.run(diff=True)["diff"] == {"before": due, "after": ""}
    assert one.run(diff=True)["diff"] == {"before": "", "after": ""}


# --- limits of the whole run
def test_limits_refuse_the_whole_run(one: Database) -> None:
    one.table("a", delete=300)
    one.table("b", delete=300)
    for check in (True, False):
        result = one.run(check=check, max_tables=1)
        assert result["failed"] is True
        assert "2 tables are due, which is more than max_tables (1). Nothing was done." in result["msg"]
        assert (result["changed"], len([each for each in result["actions"] if each["table"]])) == (False, 2)
        closed = {
            "window": ["Sun 02:00-06:00"],
            "timezone": "Asia/Seoul",
            "reference_time": "2026-01-31T09:00:00+09:00",
        }
        result = one.run(check=check, **closed)
        assert result["msg"] == (
            "2 tables are due, but it is Sat 09:00 in Asia/Seoul, outside the window (Sun 02:00-06:00). "
            "Run it within the window."
        )
    assert (one.dead("a"), one.dead("b")) == (300, 300)
    assert one.run(max_tables=2)["changed"] is True
    assert one.run(max_tables=0, **closed)["changed"] is False, "nothing is due, so nothing is refused"


def test_the_time_that_is_given(one: Database) -> None:
    """A table that is begun is finished; the rest is said, and the next run goes on with it."""
    for name, count in (("a", 30000), ("b", 300)):
        one.table(name, 40000 if name == "a" else 1000, delete=count)
    one.slow_down()
    first = one.run(max_seconds=1, cost_delay=10)
    assert [each["table"] for each in first["actions"]] == ["a"], first
    assert first["actions"][0]["duration_seconds"] >= 1
    assert first["remaining"][0]["table"] == "b"
    assert first["remaining"][0]["reason"] == "max_seconds (1) is used up"
    assert (one.dead("a"), one.dead("b")) == (0, 300)
    second = one.run(max_seconds=60)
    assert ([each["table"] for each in second["actions"]], second["remaining"]) == (["b"], [])


def test_nothing_is_counted(run_module: RunModule) -> None:
    with PostgresServer(settings={"track_counts": False}) as server:
        result = run_module(MODULE, server.login())
    assert result["msg"].startswith("track_counts is off, so the server does not know how many rows are dead")


# --- the manuals' commands
def test_f12_several_vacuums_in_one_command(database: Database) -> None:
    """The monthly routine, word for word: the first table stops it, and nothing is vacuumed."""
    for name in ("products", "product_registrations", "jobs", "job_items", "audit_logs"):
        database.table(name, delete=300)
    with pytest.raises(LabError, match="VACUUM cannot run inside a transaction block"):
        database.psql(
            "VACUUM ANALYZE products; VACUUM ANALYZE product_registrations; "
            "VACUUM ANALYZE jobs; VACUUM ANALYZE job_items;"
        )
    assert database.psql("SELECT sum(n_dead_tup) FROM pg_stat_user_tables") == "1500"
    result = database.run()
    assert len([each for each in result["actions"] if each["table"]]) == 5, "audit_logs too, which the manual forgot"
    assert database.psql("SELECT sum(n_dead_tup) FROM pg_stat_user_tables") == "0"


def test_f08_names_that_need_quotes(one: Database) -> None:
    """A loop over names, as the manuals write it, fails at the first one that needs quotes."""
    one.table('"MixedCase"', delete=300)
    (name,) = one.psql("SELECT schemaname || '.' || relname FROM pg_stat_user_tables").splitlines()
    with pytest.raises(LabError, match=r'relation "public\.mixedcase" does not exist'):
        one.psql(f"VACUUM ANALYZE {name}")
    assert [each["statement"] for each in one.run()["actions"]] == ['VACUUM (ANALYZE) public."MixedCase"']
    assert one.dead('public."MixedCase"') == 0


def test_vacuum_without_the_right_to_it(database: Database) -> None:
    """The manual's psql says VACUUM and exits with 0, and the table is as before."""
    role = f"keeper_{os.urandom(4).hex()}"
    database.server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'keeps'")
    login = database.server.login(database.name, user=role, password="keeps")
    try:
        database.table("theirs", delete=300)
        assert database.psql("VACUUM ANALYZE theirs", user=role, password="keeps") == "VACUUM"
        assert database.dead("theirs") == 300
        for check in (True, False):
            result = database.run(check=check, login=login)
            assert result["failed"] is True
            assert result["refused"][0]["reason"] == (
                "it is due (dead rows 300 > threshold 250, modified rows 300 > threshold 150) "
                f"and {role} may not vacuum it"
            )
            assert (result["changed"], result["actions"]) == (False, [])
            assert result["horizon"]["sees_all"] is False
        remedy = result["refused"][0]["remedy"]
        if database.server.installation.major >= 17:
            assert remedy == f"GRANT MAINTAIN ON TABLE public.theirs TO {role};"
        else:
            assert remedy == f"ALTER TABLE public.theirs OWNER TO {role};"
        database.execute(f"GRANT CREATE ON SCHEMA public TO {role}")
        database.execute(remedy)
        assert database.run(login=login)["changed"] is True
        assert database.dead("theirs") == 0
    finally:
        database.execute(f"DROP OWNED BY {role}")
        database.server.execute(f"DROP ROLE {role}")


def test_a_vacuum_that_the_server_skips_is_no_success(database: Database) -> None:
    """Whatever the reason: what counts is that the counters move, not that the statement succeeds."""
    role = f"keeper_{os.urandom(4).hex()}"
    database.server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'keeps'")
    database.table("theirs", delete=300)
    login = database.server.login(database.name, user=role, password="keeps")
    defaults = {**postgresql_argument_spec(), **maintenance_argument_spec(), **vacuum_argument_spec()}
    options = {**{name: spec.get("default") for name, spec in defaults.items()}, **login}
    try:
        with maintenance_session(options, purpose="test", check_mode=False) as session:
            server = measure.ask_server(session)
            rules = rules_from(options, major=server.major, quoted_user=role, database=server.database)
            target = measure.find_target(session, options, server)
            rows = measure.measure_tables(session, target, rules, server)
            plan = make_plan([{**row, "may_maintain": True} for row in rows], rules, Horizon())
            assert [each.table for each in plan.actions] == ["theirs"], "as if the privilege were lost meanwhile"
            run = Run()
            Worker(session, options, rules, server, target, Progress(), proof_seconds=1.0).carry_out(plan, run)
        assert run.done == []
        (refused,) = run.refused
        assert re.fullmatch(
            r"VACUUM \(ANALYZE\) public\.theirs reported success and did nothing "
            r"\(WARNING: .*(permission denied to vacuum|only table or database owner can vacuum it).*\)",
            refused.reason,
            re.DOTALL,
        ), refused.reason
        assert database.dead("theirs") == 300
    finally:
        database.server.execute(f"DROP ROLE {role}")


def test_the_right_of_a_group(one: Database) -> None:
    """Before MAINTAIN there is membership in the owner; the owner of the database may do it all along."""
    owner, role = f"owner_{os.urandom(4).hex()}", f"keeper_{os.urandom(4).hex()}"
    one.server.execute(f"CREATE ROLE {owner}; CREATE ROLE {role} LOGIN PASSWORD 'keeps'")
    login = one.server.login(one.name, user=role, password="keeps")
    try:
        one.table("theirs", delete=300)
        one.execute(f"GRANT ALL ON SCHEMA public TO {owner}; ALTER TABLE theirs OWNER TO {owner}")
        refused = one.run(check=True, login=login)["refused"][0]
        assert refused["remedy"] == (
            f"GRANT {owner} TO {role};"
            if one.server.installation.major < 17
            else f"GRANT MAINTAIN ON TABLE public.theirs TO {role};"
        )
        one.server.execute(f"ALTER DATABASE {one.name} OWNER TO {role}")
        assert one.run(login=login)["changed"] is True
        assert one.dead("theirs") == 0
    finally:
        one.server.execute(f"ALTER DATABASE {one.name} OWNER TO postgres")
        one.execute(f"DROP OWNED BY {owner}; DROP OWNED BY {role}")
        one.server.execute(f"DROP ROLE {owner}; DROP ROLE {role}")


# --- in vain
def test_a_snapshot_that_is_still_needed(database: Database) -> None:
    """The manual's VACUUM says VACUUM and removes nothing."""
    database.table("jobs")
    with database.session(*SNAPSHOT) as pid:
        database.delete("jobs", 400)
        database.vacuum_in_vain("jobs", "VACUUM jobs")
        check = database.run(check=True)
        run = database.run()
        for result in (check, run):
            assert result["failed"] is True
            assert [each["statement"] for each in result["actions"]] == ["ANALYZE public.jobs"], "not in vain"
            assert re.fullmatch(
                r"public\.jobs: VACUUM is due \(dead rows 400 > threshold \d+\) and would be in vain: the last VACUUM, "
                rf"at \S+, removed what could be, and session pid {pid} \(postgres on {database.name}\) has been there "
                r"since \S+\. End its transaction in the application, or terminate the session\. "
                r"Then run the task again\.",
                result["msg"],
            ), result["msg"]
            assert (result["horizon"]["holder"]["pid"], result["horizon"]["sees_all"]) == (pid, True)
        assert planned(run) == planned(check)
        again = database.run(on_refusal="report")
        assert (again["changed"], len(again["refused"])) == (False, 1)
        forced = database.run(ignore_horizon=True)
        assert forced["actions"][0]["effective"] is False
        assert forced["actions"][0]["holder"]["pid"] == pid
        assert forced["actions"][0]["without_effect"] == forced["actions"][0]["reasons"][:1]
    cured = database.run()
    assert (cured["changed"], cured["refused"], cured["actions"][0]["effective"]) == (True, [], True)
    assert database.dead("jobs") == 0


def test_what_died_before_the_snapshot_can_go(one: Database) -> None:
    """An open transaction alone is no reason to refuse; and what is in vain is seen by the next run at the latest."""
    one.table("jobs", delete=400)
    with one.session(*SNAPSHOT) as pid:
        result = one.run()
        assert (result["refused"], result["actions"][0]["effective"], one.dead("jobs")) == ([], True, 0)
        one.delete("jobs", 300)
        assert list(refusals(one.run(on_refusal="report"))) == ["public.jobs"]
    # One that was never vacuumed, and nobody knows when its rows died: tried, and told truly.
    one.execute(f"CREATE TABLE fresh (id int PRIMARY KEY) WITH ({OFF})")
    one.execute("INSERT INTO fresh SELECT generate_series(1, 400)")
    with one.session(*SNAPSHOT) as pid:
        one.delete("fresh", 300)
        first = one.run(tables=["fresh"], on_refusal="report")
        assert first["actions"][0]["effective"] is False
        assert first["actions"][0]["holder"]["pid"] == pid
        second = one.run(tables=["fresh"], on_refusal="report")
        assert (second["changed"], list(refusals(second))) == (False, ["public.fresh"])


def test_a_table_younger_than_the_snapshot(one: Database) -> None:
    with one.session(*SNAPSHOT) as pid:
        one.table("young", analyze=False)
        one.delete("young", 400)
        (reason,) = refusals(one.run(check=True, on_refusal="report")).values()
        assert f"nothing in it is older than what session pid {pid} (postgres on {one.name}) may still see" in reason


def test_a_holder_that_is_too_old(one: Database) -> None:
    """Rows that died before it could go; but whoever holds on for so long is to be dealt with first."""
    one.table("jobs", delete=400)
    with one.session(*SNAPSHOT) as pid:
        one.wait_until(f"now() - state_change > interval '2 s' FROM pg_stat_activity WHERE pid = {pid}")
        limited = one.run(check=True, on_refusal="report", max_holder_age=1)
        (reason,) = refusals(limited).values()
        assert re.search(rf"session pid {pid} \(.*\) has held it back for \d+ s \(max_holder_age is 1 s\)", reason)
        assert one.run(max_holder_age=0)["actions"][0]["effective"] is True


def test_another_databases_transaction_holds_nothing_back(one: Database, other_database: str) -> None:
    one.table("jobs")
    with one.session(*SNAPSHOT, db=other_database):
        one.delete("jobs", 300)
        one.execute("ANALYZE jobs")
        result = one.run()
    assert (result["refused"], result["actions"][0]["effective"]) == ([], True)
    assert result["horizon"]["holder"] is None
    assert one.dead("jobs") == 0


def test_a_forgotten_prepared_transaction(run_module: RunModule) -> None:
    with PostgresServer(settings={"autovacuum": False, "max_prepared_transactions": 5}) as server:
        database = Database(server, "postgres", run_module)
        database.table("jobs")
        database.execute("BEGIN; CREATE TABLE half_done (id int); PREPARE TRANSACTION 'order 17'")
        database.delete("jobs", 400)
        database.vacuum_in_vain("jobs", "VACUUM ANALYZE jobs")
        result = database.run()
        assert (result["failed"], result["changed"]) == (True, False)
        refused = result["refused"][0]
        assert "prepared transaction order 17 has been there since" in refused["reason"]
        assert refused["remedy"] == (
            "In database postgres: COMMIT PREPARED or ROLLBACK PREPARED 'order 17'. Then run the task again."
        )
        database.execute("ROLLBACK PREPARED 'order 17'")
        assert database.run()["changed"] is True
        assert database.dead("jobs") == 0


def test_a_standby_and_a_slot(run_module: RunModule) -> None:
    """A long query on a standby, and the slot of a standby that is gone, hold back the primary."""
    with PostgresServer(settings={"autovacuum": False}) as primary:
        database = Database(primary, "postgres", run_module)
        database.table("jobs")
        database.execute("SELECT pg_create_physical_replication_slot('replica_slot')")
        feedback = {"hot_standby_feedback": True, "wal_receiver_status_interval": "1s"}
        with PostgresServer(settings=feedback, standby_of=primary) as standby:
            database.wait_until("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
            replica = Database(standby, "postgres", run_module)
            replica.wait_until("to_regclass('jobs') IS NOT NULL")
            with replica.session(*SNAPSHOT):
                database.wait_until("bool_or(backend_xmin IS NOT NULL) FROM pg_stat_replication")
                database.delete("jobs", 400)
                database.burn(5)
                database.wait_until("bool_or(age(backend_xmin) > 4) FROM pg_stat_replication")
                database.vacuum_in_vain("jobs", "VACUUM ANALYZE jobs")
                refused = database.run(check=True)["refused"][0]
                assert re.search(r"and standby standby \(pid \d+\) is still there", refused["reason"])
                assert refused["remedy"].startswith("End the long query on the standby, or switch hot_standby_feedback")
                # From now on through a slot, which stays when the standby goes.
                standby.execute("ALTER SYSTEM SET primary_slot_name = 'replica_slot'")
                standby.execute("SELECT pg_reload_conf()")
                database.wait_until("bool_and(xmin IS NOT NULL AND active) FROM pg_replication_slots")
        database.wait_until("bool_and(NOT active) FROM pg_replication_slots")
        if database.psql("SELECT xmin IS NULL FROM pg_replication_slots") == "t":
            pytest.fail("the standby gave back its xmin when it was shut down")
        database.vacuum_in_vain("jobs", "VACUUM ANALYZE jobs")
        result = database.run()
        refused = result["refused"][0]
        assert "replication slot replica_slot" in refused["reason"]
        assert refused["remedy"].startswith("Bring its consumer back, or drop the slot if nobody needs it any more.")
        # The checkpoint proves later that the slot was there before, also when the last VACUUM is long ago.
        database.execute("CHECKPOINT; SELECT pg_sleep(1)")
        database.burn(5)
        database.execute("VACUUM jobs")
        assert "replication slot replica_slot has been there since" in database.run(check=True)["refused"][0]["reason"]
        database.execute("SELECT pg_drop_replication_slot('replica_slot')")
        assert database.run()["changed"] is True
        assert database.dead("jobs") == 0


def test_a_logical_slot_holds_back_catalogs_only(run_module: RunModule) -> None:
    with PostgresServer(settings={"autovacuum": False, "wal_level": "logical"}) as server:
        database = Database(server, "postgres", run_module)
        database.table("jobs")
        database.execute("VACUUM pg_catalog.pg_attribute")
        database.execute("SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')")
        for number in range(30):
            database.execute(f"CREATE TABLE x{number} (a int, b int); DROP TABLE x{number}")
        database.delete("jobs", 400)
        database.execute("CHECKPOINT; SELECT pg_sleep(1)")
        database.execute("VACUUM pg_catalog.pg_attribute")
        jobs = database.run(tables=["jobs"])
        assert (jobs["refused"], jobs["actions"][0]["effective"]) == ([], True)
        catalog = database.run(tables=["pg_catalog.pg_attribute"], on_refusal="report", due_percent=1)
        assert "replication slot forgotten" in refusals(catalog)["pg_catalog.pg_attribute"]


# --- somebody is in the way
def test_a_locked_table(database: Database) -> None:
    database.table("locked", delete=400)
    database.table("free", delete=300)
    with database.session("LOCK TABLE locked IN SHARE MODE") as pid:
        result = database.run(lock_timeout=0.2)
    assert result["failed"] is True
    assert [each["table"] for each in result["actions"] if each["table"]] == ["free"], "the others are done"
    assert refusals(result) == {
        "public.locked": "its lock was not free (3 times 0.2 s); held by "
        f"pid {pid} (postgres, ShareLock, idle in transaction)"
    }
    assert (database.dead("free"), database.dead("locked")) == (0, 400)
    assert database.run()["changed"] is True


def test_a_table_under_an_exclusive_lock_costs_nobody_the_plan(one: Database) -> None:
    one.table("locked", delete=400)
    with one.session("LOCK TABLE locked IN ACCESS EXCLUSIVE MODE"):
        result = one.run(check=True)
    assert result["actions"][0]["table"] == "locked"


def test_somebody_is_at_it_already(database: Database) -> None:
    database.table("big", 40000, delete=30000)
    connection, thread = in_background(database, "VACUUM big", "SET vacuum_cost_delay = 20; SET vacuum_cost_limit = 1")
    pid = connection.info.backend_pid
    try:
        database.wait_until("EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE relid = 'big'::regclass)")
        result = database.run(on_refusal="report")
    finally:
        connection.cancel()
        thread.join()
        connection.close()
    (reason,) = refusals(result).values()
    assert f"and VACUUM of another session is at it already (pid {pid}, scanning heap" in reason
    assert (result["changed"], result["refused"][0]["remedy"]) == (False, "Let it finish and run the task again.")


# --- FULL
FULL = {"full": True, "allow_exclusive_lock": True, "window": ["00:00-24:00"], "disk_free_bytes": 10**12}


def test_f13_full_locks_everybody_out(database: Database) -> None:
    """The manual's VACUUM FULL, at any time of day: even a SELECT waits until the whole table is written anew."""
    database.table("trades", 20000, delete=15000)
    with database.session("SELECT count(*) FROM trades"):
        connection, thread = in_background(database, "VACUUM FULL trades")
        try:
            database.wait_until("EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted)")
            with pytest.raises(LabError, match="canceling statement due to statement timeout"):
                database.psql("SET statement_timeout = '1s'; SELECT count(*) FROM trades")
        finally:
            connection.cancel()
            thread.join()
            connection.close()
        # Ours does the ordinary VACUUM beside the reader, and the rewriting only with every guard satisfied.
        assert database.run(tables=["trades"])["changed"] is True
        assert database.psql("SELECT count(*) FROM trades") == "5000"


def test_full_only_with_every_guard(database: Database) -> None:
    database.table("trades", 20000, delete=15000)
    named = {"tables": ["trades"]}
    asked = {**named, **FULL}
    size = int(database.psql("SELECT pg_total_relation_size('trades')"))
    missing = database.run(**asked, check=True)
    assert missing["refused"][0]["remedy"] == "CREATE EXTENSION pgstattuple;"
    assert [each["statement"] for each in missing["actions"]] == ["VACUUM (ANALYZE) public.trades"]
    if not database.server.installation.has_library("pgstattuple"):
        return
    database.execute("CREATE EXTENSION pgstattuple")
    for options, message in (
        (
            {"allow_exclusive_lock": False},
            "Set allow_exclusive_lock: true if that is acceptable, and declare a window.",
        ),
        ({"window": []}, "It needs a declared window. Set window to times when nobody uses the table."),
        (
            {"window": ["09:00-10:00"], "reference_time": "2026-01-31T08:59:00Z"},
            "But it is Sat 08:59 in UTC, outside the window (09:00-10:00). Run it within the window.",
        ),
    ):
        for check in (True, False):
            result = database.run(check=check, **{**asked, **options})
            assert result["failed"] is True, options
            if "reference_time" in options:
                assert "outside the window (09:00-10:00)" in result["msg"]
            else:
                assert result["msg"] == (
                    "VACUUM FULL of public.trades takes an ACCESS EXCLUSIVE lock: reads and writes of the table wait "
                    f"until it is done. {message}"
                )
    short = database.run(check=True, **{**asked, "disk_free_bytes": size})
    assert f"it needs {round(size * 1.1)} bytes of disk for the copy, and {size} are free (declared" in str(short)
    assert database.dead("trades") == 15000
    check, run = database.run(check=True, **asked), database.run(**asked)
    assert [each["statement"] for each in run["actions"] if each["table"]] == [
        each["statement"] for each in check["actions"] if each["table"]
    ]
    full, mend = run["actions"][:2]
    assert full["statement"].startswith("VACUUM (FULL"), run
    assert re.match(r"bloat \d+\.\d % >= 30 % \(pgstattuple_approx: ", full["reasons"][0])
    assert full["lock"].startswith("ACCESS EXCLUSIVE")
    assert (full["effective"], full["bytes_freed"] > size / 3) == (True, True)
    assert mend["statement"].startswith("VACUUM (ANALYZE")
    assert int(database.psql("SELECT pg_total_relation_size('trades')")) < size / 2
    assert database.psql("SELECT count(*) FROM trades") == "5000"
    again = database.run(**asked)
    assert (again["changed"], again["refused"]) == (False, [])


def test_full_measures_the_disk_of_this_host(one: Database) -> None:
    if not one.server.installation.has_library("pgstattuple"):
        pytest.fail("the preferred server has contrib")
    one.execute("CREATE EXTENSION pgstattuple")
    one.table("trades", 20000, delete=15000)
    measured = {key: value for key, value in FULL.items() if key != "disk_free_bytes"}
    assert one.run(check=True, tables=["trades"], **measured)["actions"][0]["statement"].startswith("VACUUM (FULL")
    role = f"keeper_{os.urandom(4).hex()}"
    one.server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'keeps'")
    try:
        one.execute(f"ALTER TABLE trades OWNER TO {role}")
        login = one.server.login(one.name, user=role, password="keeps")
        refused = one.run(check=True, login=login, tables=["trades"], **measured)["refused"][0]
        assert refused["remedy"] == f"GRANT pg_stat_scan_tables TO {role};"
        one.server.execute(refused["remedy"])
        refused = one.run(check=True, login=login, tables=["trades"], **measured)["refused"][0]
        assert "free space is unknown: the role may not see data_directory" in refused["reason"]
    finally:
        one.execute(f"REASSIGN OWNED BY {role} TO postgres")
        one.server.execute(f"DROP ROLE {role}")


# --- while it works
def start(one: Database, **options: Any) -> subprocess.Popen[str]:
    arguments = {**one.server.login(one.name), **options}
    started = subprocess.Popen(
        [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{MODULE}"],
        env={**os.environ, "PYTHONPATH": str(BUILD / "collections")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdin is not None
    started.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    started.stdin.close()
    started.stdin = None
    return started


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize("how", ["stop file", "signal"])
def test_progress_and_interruption(database: Database, tmp_path: Path, how: str) -> None:
    database.table("big", 60000, delete=50000)
    database.table("small", delete=300)
    seen: list[Result] = []
    path = tmp_path / "progress.json"
    database.slow_down()
    started = start(database, progress_path=str(path), cost_delay=10)

    def scans() -> bool:
        with contextlib.suppress(OSError, ValueError):
            seen.append(json.loads(path.read_text(encoding="utf-8")))
        return bool(seen) and seen[-1].get("phase") == "vacuum" and 0 < seen[-1]["done"] < (seen[-1]["total"] or 0)

    until(scans, "no progress within the table was shown")
    assert re.fullmatch(r"public\.big \(1 of [23]\)", seen[-1]["what"])
    assert (seen[-1]["unit"], seen[-1]["note"]) == ("blocks", "scanning heap")
    if how == "signal":
        started.terminate()
    else:
        Path(f"{path}.stop").touch()
    output, errors = started.communicate(timeout=300)
    assert "Traceback" not in errors, errors
    result = json.loads(output)
    assert result["failed"] is True
    reason = "Stopped by signal SIGTERM" if how == "signal" else "Stopped because the run was interrupted"
    assert result["msg"] == (
        f"{reason}. 0 of 2 statements were done before. The one at work was rolled back by the server and left nothing "
        "half done. Run the task again to go on with what is still due."
    )
    assert (result["changed"], result["actions"]) == (False, [])
    database.wait_until("NOT EXISTS (SELECT FROM pg_stat_progress_vacuum)")
    Path(f"{path}.stop").unlink(missing_ok=True)
    assert len([each for each in database.run()["actions"] if each["table"]]) == 2
    assert (database.dead("big"), database.dead("small")) == (0, 0)


# --- size
def test_planning_over_20000_tables(run_module: RunModule) -> None:
    batch = """
    DO $$ BEGIN
        FOR number IN %s..%s LOOP
            EXECUTE format('CREATE TABLE t%%s (id int PRIMARY KEY, v text)', number);
        END LOOP;
    END $$
    """
    with PostgresServer(settings={"autovacuum": False, "max_locks_per_transaction": 1024}) as server:
        database = Database(server, "postgres", run_module)
        for first in range(1, 20_000, 2000):
            server.execute(batch % (first, first + 1999))
        for name in ("t777", "t19000"):
            database.execute(f"INSERT INTO {name} SELECT g, 'x' FROM generate_series(1, 1000) g; ANALYZE {name}")
            database.delete(name, 400)
        # With statistics of the catalogs the planner has other ideas.
        server.execute("ANALYZE pg_catalog.pg_class")
        check, run = database.run(check=True), database.run()
        assert check["table_count"] == 20_000
        assert {each["table"] for each in check["actions"]} == {"t777", "t19000"}
        assert planned(run) == planned(check)
        assert server.psql("SELECT count(*) FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL") == "2"
        assert database.run()["changed"] is False
