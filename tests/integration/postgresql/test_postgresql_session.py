"""postgresql_session on real servers: it ends what is at fault, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from lab.clients import PASSWORD, Clients, roles
from lab.pgbouncer import PgBouncer
from lab.postgresql import PostgresServer, installations

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.collect import probe_server
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import (
    maintenance_session,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import request_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.run import control_sessions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.statements import (
    TERMINATE,
    act,
    look,
    target,
)
from ansible_collections.runbook.ops.plugins.modules.postgresql_session import argument_spec

RunModule = Callable[..., dict[str, Any]]
RESERVED_FROM = 160000


@pytest.fixture
def clients(postgresql_server: PostgresServer, postgresql_database: str) -> Iterator[Clients]:
    roles(postgresql_server)
    made = Clients(postgresql_server, postgresql_database)
    yield made
    made.close()


@pytest.fixture
def clients_by_major(postgresql_by_major: PostgresServer, database_by_major: str) -> Iterator[Clients]:
    roles(postgresql_by_major)
    made = Clients(postgresql_by_major, database_by_major)
    yield made
    made.close()


def operator(clients: Clients, by: str = "operator", **options: Any) -> dict[str, Any]:
    """The module's options, for the test's own database."""
    login = clients.server.login(clients.database, user=by, password=PASSWORD)
    return {**login, "state": "terminated", "database": [clients.database], **options}


def outcomes(result: dict[str, Any]) -> dict[int, str]:
    return {each["pid"]: each["outcome"] for each in result["outcomes"]}


LEAK = {"session_state": ["idle_in_transaction", "idle_in_transaction_aborted"], "min_state_age": "1s"}


def test_exactly_the_leak_is_ended(clients_by_major: Clients, run_module: RunModule) -> None:
    """Check, run, check, run: the same sessions, and the second time nothing."""
    clients = clients_by_major
    clients.idle("pooled", user="app")
    clients.connect("never used", user="app")
    clients.leak("leaking", "SELECT 'kim@example.com'", user="app")
    clients.busy("report", user="app")
    clients.leak("administrator")
    clients.aged()
    options = operator(clients, **LEAK)
    predicted = run_module("postgresql_session", options, check_mode=True, diff=True)
    assert clients.alive() == set(clients.pids)
    assert predicted["changed"] is True
    assert (predicted["after"], predicted["outcomes"]) == (None, [])
    assert [(each["pid"], each["state"]) for each in predicted["sessions"]] == [
        (clients.pids["leaking"], "idle in transaction")
    ]
    done = run_module("postgresql_session", options, diff=True)
    for key in ("changed", "actions", "refused", "protected"):
        assert done[key] == predicted[key], key
    assert outcomes(done) == {clients.pids["leaking"]: "terminated"}
    assert clients.alive() == set(clients.pids) - {"leaking"}
    assert done["protected"] == [
        {
            "pid": clients.pids["administrator"],
            "database": clients.database,
            "user": "postgres",
            "application": "administrator",
            "backend_type": "client backend",
            "reason": "postgres is a superuser (allow_superusers)",
        }
    ]
    assert done["before"]["idle_in_transaction"] - done["after"]["idle_in_transaction"] == 1
    assert (done["before"]["matching"], done["after"]["matching"]) == (1, 0)
    assert done["diff"]["before"].startswith(f"pid {clients.pids['leaking']} (leaking, app@{clients.database}, idle in")
    assert done["diff"]["after"] == ""
    for again in (
        run_module("postgresql_session", options, check_mode=True),
        run_module("postgresql_session", options),
    ):
        assert (again["changed"], again["actions"], again["sessions"]) == (False, [], [])
    assert clients.alive() == set(clients.pids) - {"leaking"}
    for text in (json.dumps(predicted), json.dumps(done)):
        assert "kim@example.com" not in text
        assert json.dumps(PASSWORD)[1:-1] not in text


def test_a_canceled_statement_ends_and_its_session_lives(clients_by_major: Clients, run_module: RunModule) -> None:
    clients = clients_by_major
    clients.busy("report", user="app")
    clients.idle("pooled", user="app")
    clients.until(
        f"query_start < clock_timestamp() - interval '1 s' FROM pg_stat_activity WHERE pid = {clients.pids['report']}"
    )
    options = operator(clients, state="canceled", min_query_age="1s")
    predicted = run_module("postgresql_session", options, check_mode=True)
    done = run_module("postgresql_session", options)
    assert done["actions"] == predicted["actions"]
    assert [each["action"] for each in done["actions"]] == ["cancel"]
    assert outcomes(done) == {clients.pids["report"]: "canceled"}
    with pytest.raises(psycopg2.errors.QueryCanceled):
        psycopg2.extras.wait_select(clients.connections["report"])
    assert clients.alive() == {"report", "pooled"}
    assert clients.state("report") == "idle"
    assert run_module("postgresql_session", options)["changed"] is False


def test_a_statement_is_canceled_before_its_session_is_terminated(
    clients_by_major: Clients, run_module: RunModule
) -> None:
    clients = clients_by_major
    clients.busy("report", user="app")
    options = operator(clients, application=["rep*"])
    predicted = run_module("postgresql_session", options, check_mode=True)
    assert [(each["action"], each["cancel_first"]) for each in predicted["actions"]] == [("terminate", True)]
    done = run_module("postgresql_session", options)
    assert done["actions"] == predicted["actions"]
    assert outcomes(done) == {clients.pids["report"]: "terminated"}
    # The statement ended with an error of its own, as it would after Ctrl-C, and was not torn off.
    with pytest.raises(psycopg2.errors.QueryCanceled):
        psycopg2.extras.wait_select(clients.connections["report"])
    assert clients.alive() == set()


CHAIN = """
    CREATE TABLE orders (id int PRIMARY KEY, state text);
    INSERT INTO orders VALUES (1, 'NEW'), (2, 'NEW');
    GRANT ALL ON orders TO app, other;
"""


def plant_chain(clients: Clients) -> None:
    """First holds a row and does nothing; second waits for first, third for second, and somebody else works."""
    clients.server.execute(CHAIN, db=clients.database)
    clients.leak("first", "UPDATE orders SET state = 'PAID' WHERE id = 1", user="app")
    clients.waiter("second", "BEGIN; UPDATE orders SET state = 'SENT' WHERE id = 2; SELECT * FROM orders WHERE id = 1 "
                   "FOR UPDATE", user="app")  # fmt: skip
    clients.waiter("third", "UPDATE orders SET state = 'DONE' WHERE id = 2", user="other")
    clients.leak("bystander", "SELECT * FROM orders WHERE id = 2", user="app")


def test_the_root_of_a_lock_queue_is_one_session(clients_by_major: Clients, run_module: RunModule) -> None:
    """EX-43 (F07): the manual's join finds many; exactly one is at fault, and ending it lets the others go on."""
    clients = clients_by_major
    plant_chain(clients)
    joined = clients.server.query(
        """SELECT DISTINCT blocking_locks.pid
           FROM pg_catalog.pg_locks blocked_locks
           JOIN pg_catalog.pg_stat_activity blocked_activity ON blocked_activity.pid = blocked_locks.pid
           JOIN pg_catalog.pg_locks blocking_locks ON blocking_locks.locktype = blocked_locks.locktype
           JOIN pg_catalog.pg_stat_activity blocking_activity ON blocking_activity.pid = blocking_locks.pid
           WHERE NOT blocked_locks.granted""",
        db=clients.database,
    )
    blamed = {pid for (pid,) in joined}
    # The victims themselves are among them.
    assert {clients.pids["first"], clients.pids["second"], clients.pids["third"]} <= blamed
    options = operator(clients, blocking=True)
    predicted = run_module("postgresql_session", options, check_mode=True)
    assert [(each["pid"], each["blocked_count"]) for each in predicted["sessions"]] == [(clients.pids["first"], 2)]
    assert run_module("postgresql_session", {**options, "min_blocked": 3}, check_mode=True)["sessions"] == []
    done = run_module("postgresql_session", {**options, "min_blocked": 2, "max_sessions": 1})
    assert outcomes(done) == {clients.pids["first"]: "terminated"}
    assert clients.alive() == {"second", "third", "bystander"}
    psycopg2.extras.wait_select(clients.connections["second"])
    assert clients.cursors["second"].fetchall() == [(1, "NEW")]
    # Now the second one holds the third one up.
    again = run_module("postgresql_session", options, check_mode=True)
    assert [(each["pid"], each["blocked_count"]) for each in again["sessions"]] == [(clients.pids["second"], 1)]


def test_canceling_a_root_that_is_idle_in_its_transaction_is_refused(clients: Clients, run_module: RunModule) -> None:
    plant_chain(clients)
    options = operator(clients, state="canceled", blocking=True)
    refused = run_module("postgresql_session", options)
    assert refused["failed"] is True
    assert refused["changed"] is False
    assert refused["msg"] == (
        f"pid {clients.pids['first']} (first, app@{clients.database}): it is idle in transaction: canceling ends a "
        "statement, and it runs none; its transaction would stay open. Use state=terminated for it."
    )
    reported = run_module("postgresql_session", {**options, "on_refusal": "report"})
    assert reported.get("failed", False) is False
    assert len(reported["refused"]) == 1
    assert clients.alive() == set(clients.pids)
    # The manual's remedy: the server says that it has canceled something, and nothing is better.
    assert clients.server.psql(f"SELECT pg_cancel_backend({clients.pids['first']})") == "t"
    assert clients.state("first") == "idle in transaction"


@pytest.mark.parametrize("check_mode", [True, False])
def test_too_many_are_not_cut_to_some(clients: Clients, run_module: RunModule, check_mode: bool) -> None:
    for number in range(4):
        clients.leak(f"leak {number}", user="app")
    options = operator(clients, user=["app"], max_sessions=3)
    refused = run_module("postgresql_session", options, check_mode=check_mode)
    assert refused["failed"] is True
    assert refused["msg"].startswith("4 sessions match and max_sessions is 3: pid ")
    assert "Nothing was touched." in refused["msg"]
    assert {each["pid"] for each in refused["sessions"]} == set(clients.pids.values())
    assert clients.alive() == set(clients.pids)
    done = run_module("postgresql_session", {**options, "max_sessions": 4})
    assert set(outcomes(done).values()) == {"terminated"}
    assert clients.alive() == set()


@pytest.mark.parametrize(
    ("criteria", "meant"),
    [
        ({"session_state": ["idle"], "user": ["app"]}, {"pooled", "never used"}),
        ({"session_state": ["idle_in_transaction"], "user": ["app"]}, {"leaking"}),
        ({"session_state": ["idle_in_transaction_aborted"], "user": ["app"]}, {"failed"}),
        ({"session_state": ["active"], "user": ["app"]}, {"report"}),
        ({"min_state_age": "1s"}, {"pooled", "never used", "leaking", "failed", "report", "elsewhere"}),
        ({"min_state_age": "1h"}, set()),
        ({"min_transaction_age": "1s"}, {"leaking", "report"}),
        # An idle session's last statement began long ago as well; it does not run.
        ({"min_query_age": "1s"}, {"report"}),
        ({"application": ["re*", "fail?d"]}, {"report", "failed"}),
        ({"application": ["RE*"]}, set()),
        ({"application": ["%"]}, set()),
        ({"user": ["other"]}, {"elsewhere"}),
        ({"database": ["nowhere"], "user": ["app"]}, set()),
        ({"client": ["127.0.0.0/8"], "user": ["app"]}, {"pooled", "never used", "leaking", "failed", "report"}),
        ({"client": ["10.0.0.0/8", "::1"], "user": ["app"]}, set()),
        ({"client": ["local"], "user": ["app"]}, set()),
        ({"blocking": True}, set()),
        ({"user": ["app"], "protect_applications": ["pool*", "never*"]}, {"leaking", "failed", "report"}),
        ({"user": ["app", "other"], "protect_users": ["oth*"], "session_state": ["active", "idle"]},
         {"pooled", "never used", "report"}),
        ({"min_state_age": "1s", "protect_databases": ["test_*"]}, set()),
    ],
)  # fmt: skip
def test_criteria_mean_what_they_say(
    crowd: Clients, criteria: dict[str, Any], meant: set[str], run_module: RunModule
) -> None:
    result = run_module("postgresql_session", operator(crowd, **criteria), check_mode=True)
    names = {pid: name for name, pid in crowd.pids.items()}
    assert {names[each["pid"]] for each in result["sessions"]} == meant


@pytest.fixture(scope="module")
def crowd() -> Iterator[Clients]:
    """One of every kind, that only check mode looks at."""
    with PostgresServer() as server:
        roles(server)
        server.execute("CREATE DATABASE test_crowd")
        made = Clients(server, "test_crowd")
        made.idle("pooled", user="app")
        made.connect("never used", user="app")
        made.leak("leaking", user="app")
        made.leak("failed", user="app")
        with pytest.raises(psycopg2.errors.DivisionByZero):
            made.connections["failed"].cursor().execute("SELECT 1 / 0")
        made.busy("report", user="app")
        made.idle("elsewhere", user="other")
        made.aged()
        yield made
        made.close()


def test_pids_and_the_never_used(crowd: Clients, run_module: RunModule) -> None:
    pid = crowd.pids["never used"]
    assert crowd.server.psql(f"SELECT query_start IS NULL FROM pg_stat_activity WHERE pid = {pid}") == "t"
    result = run_module(
        "postgresql_session",
        operator(crowd, pids=[pid, 1], min_state_age="1s", session_state=["idle"]),
        check_mode=True,
    )
    assert [(each["pid"], each["query_age_seconds"]) for each in result["sessions"]] == [(pid, None)]


def test_query_ids(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> None:
    roles(postgresql_by_major)
    clients = Clients(postgresql_by_major, database_by_major)
    try:
        postgresql_by_major.execute("ALTER ROLE app SET compute_query_id = on")
        postgresql_by_major.execute("ALTER ROLE operator SET compute_query_id = off")
    except psycopg2.errors.InsufficientPrivilege:
        pytest.fail("the superuser may set this")
    clients.busy("report", user="app")
    number = postgresql_by_major.psql(f"SELECT query_id FROM pg_stat_activity WHERE pid = {clients.pids['report']}")
    options = operator(clients, query_id=number)
    try:
        refused = run_module("postgresql_session", options, check_mode=True)
        assert refused["failed"] is True
        assert refused["msg"].startswith("query_id was given, and this server computes none for this login.")
        postgresql_by_major.execute("ALTER ROLE operator SET compute_query_id = on")
        found = run_module("postgresql_session", options, check_mode=True)
        assert [(each["pid"], each["query_id"]) for each in found["sessions"]] == [(clients.pids["report"], number)]
        other = run_module("postgresql_session", operator(clients, query_id="1"), check_mode=True)
        assert other["sessions"] == []
    finally:
        postgresql_by_major.execute("ALTER ROLE operator RESET compute_query_id")
        postgresql_by_major.execute("ALTER ROLE app RESET compute_query_id")
        clients.close()


# --- one more look in the statement that acts


def options_for(clients: Clients, **criteria: Any) -> dict[str, Any]:
    defaults = {name: option.get("default") for name, option in argument_spec().items()}
    return {**defaults, **operator(clients, **criteria)}


@pytest.mark.parametrize(
    ("meanwhile", "is_there", "signaled"),
    [
        ("nothing", True, True),
        ("new transaction", True, None),
        ("committed", True, None),
        ("another statement", True, None),
        ("renamed to a backup", True, None),
        ("closed", False, None),
        ("another process", False, None),
    ],
)
def test_a_session_is_looked_at_once_more(
    clients_by_major: Clients, meanwhile: str, is_there: bool, signaled: bool | None
) -> None:
    clients = clients_by_major
    clients.leak("leaking", user="app")
    clients.aged()
    options = options_for(clients, **LEAK)
    request = request_from(options)
    connection = clients.connections["leaking"]
    with maintenance_session(options, purpose="test", check_mode=False) as session:
        capabilities = probe_server(session)
        (found,) = session.query(look(request, capabilities), request.parameters)
        bound = target(found)
        if meanwhile == "new transaction":
            connection.commit()
            connection.cursor().execute("SELECT 1")
        elif meanwhile == "committed":
            connection.commit()
        elif meanwhile == "another statement":
            # In the same transaction: it works, so it has not been idle for a second.
            connection.cursor().execute("SELECT 2")
        elif meanwhile == "renamed to a backup":
            # The statement itself makes it young again, so this criterion must not be what saves it.
            options = options_for(clients, session_state=["idle_in_transaction"], user=["app"])
            request = request_from(options)
            connection.cursor().execute("SET application_name = 'pg_dump'")
        elif meanwhile == "closed":
            connection.close()
            clients.until(f"count(*) = 0 FROM pg_stat_activity WHERE pid = {clients.pids['leaking']}")
        elif meanwhile == "another process":
            bound["target_backend_start"] = found["backend_start"].replace(year=2001)
        (sent,) = session.query(act(request, capabilities, TERMINATE), {**request.parameters, **bound})
    assert (sent["is_there"], sent["was_signaled"]) == (is_there, signaled)
    if signaled or meanwhile == "closed":
        clients.until(f"count(*) = 0 FROM pg_stat_activity WHERE pid = {clients.pids['leaking']}")
    else:
        assert clients.alive() == {"leaking"}


def test_whoever_goes_on_with_other_work_after_the_cancel_is_left_alone(clients: Clients) -> None:
    """A client that takes the canceled statement as an error and begins the next piece of work is not at fault."""
    clients.busy("report", user="app")
    options = options_for(clients, application=["report"])
    request = request_from(options)
    connection = clients.connections["report"]
    with maintenance_session(options, purpose="test", check_mode=False) as session:
        capabilities = probe_server(session)
        (found,) = session.query(look(request, capabilities), request.parameters)
        clients.server.psql(f"SELECT pg_cancel_backend({clients.pids['report']})")
        with pytest.raises(psycopg2.errors.QueryCanceled):
            psycopg2.extras.wait_select(connection)
        clients.cursors["next"] = connection.cursor()
        clients.cursors["next"].execute("SELECT pg_sleep(601)")
        clients.until(f"query LIKE '%601%' FROM pg_stat_activity WHERE pid = {clients.pids['report']}")
        statement = act(request, capabilities, TERMINATE, was_canceled=True)
        (sent,) = session.query(statement, {**request.parameters, **target(found)})
    assert (sent["is_there"], sent["was_signaled"]) == (True, None)
    assert clients.alive() == {"report"}


def test_a_worker_that_retries_is_canceled_and_goes_on(clients: Clients, run_module: RunModule) -> None:
    """The same through the module, which is kept waiting by another statement while the worker starts over."""
    code = (
        "import sys, json, psycopg2\n"
        "login = json.loads(sys.argv[1])\n"
        "c = psycopg2.connect(application_name='worker', **login); c.autocommit = True\n"
        "for seconds in (600, 700):\n"
        "    try:\n"
        "        c.cursor().execute('SELECT pg_sleep(%s)', (seconds,))\n"
        "    except psycopg2.errors.QueryCanceled:\n"
        "        pass\n"
    )
    login = clients.server.login(clients.database, user="app", password=PASSWORD)
    given = {"host": login["login_host"], "port": login["login_port"], "user": "app", "password": PASSWORD,
             "dbname": clients.database}  # fmt: skip
    worker = subprocess.Popen([sys.executable, "-c", code, json.dumps(given)])
    try:
        clients.until("count(*) = 1 FROM pg_stat_activity WHERE application_name = 'worker' AND query LIKE '%600%'")
        clients.busy("hung", user="app")
        with frozen(clients.pids["hung"]):
            done = run_module(
                "postgresql_session",
                operator(clients, application=["worker", "hung"], cancel_wait=3, terminate_wait=0.5),
            )
        (worked,) = [each for each in done["outcomes"] if each["pid"] != clients.pids["hung"]]
        assert worked["outcome"] == "canceled"
        assert worked["detail"] == "Its statement was canceled; it has begun other work and was left alone."
        assert outcomes(done)[clients.pids["hung"]] == "survived"
        clients.until("count(*) = 1 FROM pg_stat_activity WHERE application_name = 'worker' AND query LIKE '%700%'")
    finally:
        worker.kill()
        worker.wait()
        clients.server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'worker'"
        )


# --- rights


def test_one_that_may_not_be_ended_does_not_keep_the_others(clients_by_major: Clients, run_module: RunModule) -> None:
    """The observer may end the sessions of its own role only."""
    clients = clients_by_major
    clients.leak("own", user="observer")
    clients.leak("foreign", user="app")
    options = operator(clients, by="observer", session_state=["idle_in_transaction"])
    options["user"] = ["observer", "app"]
    predicted = run_module("postgresql_session", {**options, "on_refusal": "report"}, check_mode=True)
    done = run_module("postgresql_session", options)
    assert done["failed"] is True
    assert done["refused"] == predicted["refused"]
    assert done["refused"] == [
        {
            "object": f"pid {clients.pids['foreign']} (foreign, app@{clients.database})",
            "reason": "observer may not end sessions of app",
            "remedy": "GRANT pg_signal_backend TO observer;",
        }
    ]
    assert done["msg"].endswith("GRANT pg_signal_backend TO observer;")
    assert outcomes(done) == {clients.pids["own"]: "terminated"}
    assert clients.alive() == {"foreign"}


def test_a_superusers_session_needs_a_superuser(clients_by_major: Clients, run_module: RunModule) -> None:
    clients = clients_by_major
    clients.leak("administrator")
    clients.leak("leaking", user="app")
    options = operator(clients, session_state=["idle_in_transaction"], allow_superusers=True, on_refusal="report")
    options["application"] = ["*"]
    done = run_module("postgresql_session", options)
    assert [(each["reason"], each["remedy"]) for each in done["refused"]] == [
        ("it is a superuser's session, and operator is none", "Let a superuser log in for it (login_user).")
    ]
    assert clients.alive() == {"administrator"}
    done = run_module("postgresql_session", {**options, **clients.server.login(clients.database)})
    assert outcomes(done) == {clients.pids["administrator"]: "terminated"}


def test_what_is_hidden_is_refused_and_not_guessed(clients: Clients, run_module: RunModule) -> None:
    clients.leak("leaking", user="app")
    clients.aged()
    refused = run_module("postgresql_session", operator(clients, "blind", **LEAK))
    assert refused["msg"] == (
        "1 sessions of app: the server does not show blind what they do, so nobody knows whether they are meant. "
        "GRANT pg_read_all_stats TO blind;"
    )
    assert clients.alive() == {"leaking"}
    # Nothing is refused over sessions that another criterion rules out.
    assert run_module("postgresql_session", operator(clients, "blind", **LEAK, application=["x"]))["refused"] == []


# --- guards


def test_a_window_is_kept_also_in_check_mode(clients: Clients, run_module: RunModule) -> None:
    clients.leak("leaking", user="app")
    options = operator(clients, user=["app"], blocked_window=["Sat 00:00-24:00"], reference_time="2026-01-31T12:00:00Z")
    for check_mode in (True, False):
        refused = run_module("postgresql_session", options, check_mode=check_mode)
        assert refused["msg"] == (
            "1 sessions would be ended, but it is Sat 12:00 in UTC, within the hours kept free of changes "
            "(Sat 00:00-24:00). Run it at another time."
        )
        assert len(refused["sessions"]) == 1
    assert clients.alive() == {"leaking"}


def test_a_pooler_in_between_is_refused(clients: Clients, run_module: RunModule) -> None:
    clients.leak("leaking", user="app")
    with PgBouncer(clients.server) as pooler:
        refused = run_module(
            "postgresql_session", {**operator(clients, user=["app"]), **pooler.login(clients.database)}
        )
    assert "is a connection pooler" in refused["msg"]
    assert clients.alive() == {"leaking"}


def test_another_task_of_the_collection_is_protected(clients: Clients, run_module: RunModule) -> None:
    clients.leak("vacuum", user="app", application="runbook.ops postgresql_vacuum")
    clients.leak("dump", user="app", application="pg_dump")
    done = run_module("postgresql_session", operator(clients, user=["app"]))
    assert {each["reason"] for each in done["protected"]} == {
        "it belongs to runbook.ops itself",
        "application pg_dump is protected (protect_applications)",
    }
    assert done["changed"] is False
    # Whoever names the list himself decides.
    done = run_module("postgresql_session", operator(clients, user=["app"], protect_applications=[]))
    assert outcomes(done) == {clients.pids["dump"]: "terminated"}
    assert clients.alive() == {"vacuum"}


def test_bad_options_are_refused_before_connecting(run_module: RunModule) -> None:
    refused = run_module("postgresql_session", {"login_port": 1, "state": "terminated", "session_state": ["idle"]})
    assert "together with what narrows the choice" in refused["msg"]


def test_a_prepared_transaction_at_the_root_is_named(run_module: RunModule) -> None:
    with PostgresServer(settings={"max_prepared_transactions": 2}) as server:
        roles(server)
        clients = Clients(server, "postgres")
        server.execute("CREATE TABLE public.orders (id int PRIMARY KEY); INSERT INTO public.orders VALUES (1)")
        server.execute("GRANT ALL ON public.orders TO app")
        clients.leak("manager", "SELECT * FROM orders WHERE id = 1 FOR UPDATE")
        clients.connections["manager"].cursor().execute("PREPARE TRANSACTION 'order 1'")
        clients.waiter("waiting", "SELECT * FROM orders WHERE id = 1 FOR UPDATE", user="app")
        refused = run_module("postgresql_session", operator(clients, blocking=True))
        assert refused["msg"] == (
            "prepared transaction 'order 1': it keeps 1 sessions waiting and has no session that could be ended. "
            "Ask its transaction manager, then COMMIT PREPARED or ROLLBACK PREPARED it in its database."
        )
        server.execute("ROLLBACK PREPARED 'order 1'")
        clients.close()


# --- what does not end, and who is interrupted


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process of the server that reacts to nothing, as on a hung disk."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_does_not_end_survived_and_the_others_are_ended(clients_by_major: Clients, run_module: RunModule) -> None:
    clients = clients_by_major
    clients.leak("hung", user="app")
    clients.leak("leaking", user="app")
    with frozen(clients.pids["hung"]):
        done = run_module("postgresql_session", operator(clients, application=["*"], terminate_wait=1))
        assert outcomes(done) == {clients.pids["hung"]: "survived", clients.pids["leaking"]: "terminated"}
        assert (done["failed"], done["changed"]) == (True, True)
        assert "it is still there 1 seconds after it was terminated" in done["msg"]
        assert "never kill -9 it" in done["msg"]
        assert clients.alive() == {"hung"}
    clients.until(f"count(*) = 0 FROM pg_stat_activity WHERE pid = {clients.pids['hung']}")


def test_a_statement_that_does_not_end_survives_a_cancel(clients: Clients, run_module: RunModule) -> None:
    clients.busy("report", user="app")
    with frozen(clients.pids["report"]):
        done = run_module("postgresql_session", operator(clients, application=["*"], state="canceled", cancel_wait=0.5))
        assert outcomes(done) == {clients.pids["report"]: "survived"}
        assert "or use state=terminated" in done["msg"]


def test_an_interrupted_run_says_how_far_it_came(clients: Clients) -> None:
    clients.leak("hung", user="app")
    clients.leak("leaking", user="app")
    payload = {"ANSIBLE_MODULE_ARGS": operator(clients, application=["*"], terminate_wait=300)}
    with frozen(clients.pids["hung"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.postgresql_session"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(payload))
        process.stdin.close()
        clients.until(f"count(*) = 0 FROM pg_stat_activity WHERE pid = {clients.pids['leaking']}")
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        result = json.loads(process.stdout.read())
        process.wait(20)
    assert result["failed"] is True
    assert result["msg"].startswith("Stopped by signal SIGTERM, after ")
    assert result["msg"].endswith("Run the task again to go on.")
    assert result["changed"] is True
    assert len(result["sessions"]) == 2


# --- a full server


def fill(clients: Clients, application: str) -> int:
    """Take every slot an ordinary login can get."""
    taken = 0
    with contextlib.suppress(psycopg2.OperationalError):
        while True:
            clients.idle(f"{application} {taken}", user="app", application=application)
            taken += 1
    return taken


FULL = {"max_connections": 12, "superuser_reserved_connections": 2, "max_wal_senders": 0}


def test_a_full_server_lets_a_superuser_make_room(run_module: RunModule) -> None:
    with PostgresServer(settings=FULL) as server:
        roles(server)
        clients = Clients(server, "postgres")
        assert fill(clients, "hoarder") == 10
        ordinary = operator(clients, application=["hoarder"], session_state=["idle"])
        refused = run_module("postgresql_session", ordinary)
        assert "every connection slot is taken (remaining connection slots are reserved for" in refused["msg"]
        assert refused["msg"].endswith(
            "The slots of superuser_reserved_connections are free: give a superuser as reserved_login_user. From "
            "PostgreSQL 16 reserved_connections keeps slots for members of pg_use_reserved_connections as well."
        )
        through = {**ordinary, "reserved_login_user": "postgres", "reserved_login_password": server.password}
        predicted = run_module("postgresql_session", through, check_mode=True)
        assert (predicted["before"]["used"], predicted["before"]["usable"]) == (11, 10)
        done = run_module("postgresql_session", through)
        assert set(outcomes(done).values()) == {"terminated"}
        assert (done["before"]["free"], done["after"]["free"]) == (0, 9)
        assert clients.alive() == set()
        # With room again the ordinary login is the one that is used.
        assert run_module("postgresql_session", {**through, "reserved_login_password": "wrong"})["changed"] is False
        clients.close()


def test_when_the_reserve_is_taken_too_nobody_gets_through(run_module: RunModule) -> None:
    with PostgresServer(settings=FULL) as server:
        roles(server)
        clients = Clients(server, "postgres")
        fill(clients, "hoarder")
        held = [server.connect() for _ignored in range(2)]
        refused = run_module("postgresql_session", {**operator(clients, user=["app"]), **server.login()})
        assert "so no login gets through" in refused["msg"]
        assert "restarting the server would lose the evidence" in refused["msg"]
        for connection in held:
            connection.close()
        clients.until("count(*) < 12 FROM pg_stat_activity WHERE backend_type = 'client backend'")
        clients.close()


@pytest.mark.parametrize("major", [major for major in installations() if major * 10000 >= RESERVED_FROM])
def test_reserved_connections_let_their_members_through(major: int, run_module: RunModule) -> None:
    with PostgresServer(major, settings={**FULL, "reserved_connections": 2}) as server:
        roles(server)
        clients = Clients(server, "postgres")
        assert fill(clients, "hoarder") == 8
        options = operator(clients, application=["hoarder"], session_state=["idle"])
        refused = run_module("postgresql_session", options)
        assert "GRANT pg_use_reserved_connections to this login" in refused["msg"]
        server.execute("GRANT pg_use_reserved_connections TO operator")
        done = run_module("postgresql_session", options)
        assert set(outcomes(done).values()) == {"terminated"}
        assert (done["before"]["usable"], done["after"]["free"]) == (8, 7)
        clients.close()


def test_a_role_at_its_own_limit_is_told_apart(run_module: RunModule) -> None:
    with PostgresServer() as server:
        roles(server)
        clients = Clients(server, "postgres")
        server.execute("ALTER ROLE operator CONNECTION LIMIT 1")
        clients.idle("other operator", user="operator")
        refused = run_module("postgresql_session", operator(clients, user=["app"]) | {"login_user": "operator"})
        assert "Only this role or database is at its limit" in refused["msg"]
        clients.close()


# --- standby


def test_a_standby_is_served_and_the_walsender_is_safe(run_module: RunModule) -> None:
    with PostgresServer() as primary, PostgresServer(standby_of=primary) as standby:
        roles(primary)
        # Not yet written, perhaps: the lab commits asynchronously.
        lsn = primary.psql("SELECT pg_current_wal_insert_lsn()")
        clients = Clients(standby, "postgres")
        clients.until(f"pg_last_wal_replay_lsn() >= '{lsn}'")
        clients.busy("report", user="app")
        done = run_module("postgresql_session", operator(clients, user=["app"]))
        assert outcomes(done) == {clients.pids["report"]: "terminated"}
        assert clients.alive() == set()
        # On the primary everything of the standby's matches, and nothing is touched.
        walsender = primary.psql("SELECT pid FROM pg_stat_replication")
        login = primary.login()
        done = run_module(
            "postgresql_session",
            {**login, "state": "terminated", "application": ["standby", ""], "allow_superusers": True},
        )
        assert done["changed"] is False
        reasons = {str(each["pid"]): each["reason"] for each in done["protected"]}
        assert reasons[walsender] == "walsender: it sends WAL to a standby, a backup or a subscriber"
        assert "autovacuum launcher, a process of the server and no client" in reasons.values()
        assert primary.psql("SELECT pid FROM pg_stat_replication") == walsender
        clients.close()


def test_control_sessions_is_what_the_module_calls(clients: Clients) -> None:
    """The same without a process of its own, as an action on the controller does it."""
    clients.leak("leaking", user="app")
    done = control_sessions(options_for(clients, user=["app"]), check_mode=False)
    assert outcomes(done) == {clients.pids["leaking"]: "terminated"}


def test_a_name_is_no_pattern_for_users(clients: Clients, run_module: RunModule) -> None:
    name = f"app_{uuid.uuid4().hex[:6]}"
    clients.server.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    clients.leak("leaking", user=name)
    assert run_module("postgresql_session", operator(clients, user=["app*"]), check_mode=True)["sessions"] == []
    clients.close()
    clients.server.execute(f"DROP ROLE {name}")
