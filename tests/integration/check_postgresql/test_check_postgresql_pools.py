"""Connection pools against a real server: what the manual advises against exhausted connections exhausts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
import pytest
from lab.pgbouncer import PgBouncer
from lab.playbook_run import eventually
from lab.postgresql import PostgresServer

CheckRole = Callable[..., Any]

# The lab's servers do not wait for the disk; a server that does is what the rules call healthy.
SAFE = {"fsync": True, "full_page_writes": True, "synchronous_commit": True}
PASSWORD = "p00l @:/% pässwört"
BUDGET, UNDECLARED = "postgresql.pool_budget", "postgresql.pool_undeclared"

# StoreBridge's web pods with the pool of its manual, and with what the manual does when connections run out.
DECLARED = {"application": "storebridge-web", "instances": 3, "pool_size": 10, "max_overflow": 20}
ADVISED = {**DECLARED, "pool_size": 20, "max_overflow": 40}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """As it is installed: 100 connections, three of them for superusers."""
    with PostgresServer(settings=SAFE) as started:
        started.execute(f"CREATE ROLE monitor LOGIN PASSWORD '{PASSWORD}'")
        started.execute("GRANT pg_monitor TO monitor")
        started.execute(f"CREATE ROLE stranger LOGIN PASSWORD '{PASSWORD}'")
        started.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
        yield started


def connect(server: PostgresServer, application: str, user: str = "app") -> Any:
    return psycopg2.connect(
        host=server.host,
        port=server.port,
        user=user,
        password=PASSWORD,
        dbname="postgres",
        application_name=application,
    )


def login(server: PostgresServer, user: str = "monitor") -> dict[str, Any]:
    return server.login(user=user, password=PASSWORD)


def test_a_larger_pool_is_more_of_the_same_trouble(server: PostgresServer, check_role: CheckRole) -> None:
    """SB-50: three pods with 20 and 40 may open 180 connections, of 97."""
    before = check_role(login(server), postgresql_pools=[DECLARED]).finding(BUDGET)
    assert (before["severity"], before["value"], before["priority"]) == ("warning", 92.78, "P2")
    run = check_role(login(server), postgresql_pools=[ADVISED])
    after = run.finding(BUDGET)
    assert (after["severity"], after["value"], after["priority"]) == ("critical", 185.57, "P1")
    assert after["summary"] == (
        "All pools together may open 180 connections, 185.57 % of the 97 usable. "
        "These connections a process fit 80 %: storebridge-web 25 instead of 60"
    )
    assert run.of("warning", "critical", "unknown")[0] == ("critical", BUDGET, "")
    facts = run.outcome["facts"]["health"]["connections"]
    assert facts["pools"]["headroom"] == -83
    # Another tool says the same of the server.
    usable = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    assert int(server.psql(usable)) == facts["pools"]["usable"] == facts["usable"] == 97

    # And the pools do it: the pods fill their pools, and everybody else is refused.
    with ExitStack() as stack:
        opened = 0
        with pytest.raises(psycopg2.OperationalError, match="remaining connection slots are reserved"):
            while opened < 180:
                stack.enter_context(closing(connect(server, "storebridge-web")))
                opened += 1
        assert opened == 97
        with pytest.raises(psycopg2.OperationalError, match="remaining connection slots are reserved"):
            connect(server, "the operator who looks for the reason", user="monitor")


def test_pools_that_fit_are_quiet(server: PostgresServer, check_role: CheckRole) -> None:
    worker = {"application": "worker", "instances": 4, "processes": 4, "pool_size": 10, "concurrency": 1}
    with closing(connect(server, "storebridge-web")), closing(connect(server, "worker")):
        run = check_role(
            login(server), postgresql_pools=[{**DECLARED, "max_overflow": 5, "surge_instances": 1}, worker]
        )
    assert run.of("warning", "critical") == []
    found = run.finding(BUDGET)
    assert (found["severity"], found["value"]) == ("ok", 78.35)
    assert found["summary"].endswith("76 connections, 78.35 % of the 97 usable. That fits within 80 %")
    assert run.finding(UNDECLARED)["severity"] == "ok"
    pools = run.outcome["facts"]["health"]["connections"]["pools"]["list"]
    assert [(pool["name"], pool["peak"], pool["measured"]) for pool in pools] == [
        ("storebridge-web", 60, 1),
        ("worker", 16, 1),
    ]


def test_who_is_not_declared_is_named(server: PostgresServer, check_role: CheckRole) -> None:
    small = {"application": "storebridge-web", "instances": 1, "pool_size": 2}
    with ExitStack() as stack:
        # Seven more than it declares, a pool that nobody declared, and somebody at work.
        for application, count in (("storebridge-web", 9), ("reports", 6), ("DBeaver", 2), ("psql", 6)):
            for _ignored in range(count):
                stack.enter_context(closing(connect(server, application)))
        run = check_role(login(server), postgresql_pools=[small], postgresql_cores=4)
    assert [each for each in run.of("warning", "critical") if each[1].startswith("postgresql.pool_")] == [
        ("warning", UNDECLARED, "storebridge-web"),
        ("warning", UNDECLARED, "reports"),
    ]
    texts = [each["summary"] for each in run.findings if each["id"] == UNDECLARED]
    assert texts == [
        "storebridge-web: 9 connections, 2 declared; the sum of all pools leaves out 7, 7.22 % of the usable",
        "reports: 6 connections, 0 declared; the sum of all pools leaves out 6, 6.19 % of the usable",
    ]
    pools = run.outcome["facts"]["health"]["connections"]["pools"]
    names = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reports'"
    assert pools["undeclared_connections"] == 7 + 6 + 2
    assert pools["formula"] == {"cores": 4, "spindles": 0, "working_connections": 8}
    # A server process ends a moment after its client has closed the connection.
    eventually(lambda: int(server.psql(names)) == 0, lambda: server.psql(names))


def test_behind_a_pooler_its_pool_counts(server: PostgresServer, check_role: CheckRole) -> None:
    """Thirty clients of a PgBouncer with a pool of two: the server has two connections, under the clients' names."""
    clients = {"application": "functions", "instances": 30, "pool_size": 1, "via": "pgbouncer"}
    pooler = {"pooler": "pgbouncer", "instances": 1, "pool_size": 2}
    with PgBouncer(server) as bouncer, ExitStack() as stack:
        for _ignored in range(30):
            connection = stack.enter_context(
                closing(
                    psycopg2.connect(
                        host=bouncer.host,
                        port=bouncer.port,
                        user=server.superuser,
                        password=server.password,
                        dbname="postgres",
                        application_name="functions",
                    )
                )
            )
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        run = check_role(login(server), postgresql_pools=[clients, pooler])
        seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'functions'"
        assert 1 <= int(server.psql(seen)) <= 2
    found = run.finding(BUDGET)
    assert (found["severity"], found["value"]) == ("ok", 2.06)
    assert run.finding(UNDECLARED)["severity"] == "ok"
    pools = run.outcome["facts"]["health"]["connections"]["pools"]
    assert [(pool["name"], pool["peak"], pool["clients_peak"]) for pool in pools["list"]] == [
        ("functions", 30, None),
        ("pgbouncer", 2, 30),
    ]


def test_without_pools_nothing_is_judged_of_them(server: PostgresServer, check_role: CheckRole) -> None:
    with ExitStack() as stack:
        for _ignored in range(9):
            stack.enter_context(closing(connect(server, "anybody")))
        run = check_role(login(server))
    assert run.finding(BUDGET)["severity"] == run.finding(UNDECLARED)["severity"] == "ok"
    assert run.finding(BUDGET)["summary"].startswith("does not apply: ")
    assert run.finding(BUDGET)["value"] is None


def test_a_number_that_is_not_known_is_not_zero(server: PostgresServer, check_role: CheckRole) -> None:
    unsaid = {"application": "batch", "instances": 2, "pool_size": None}
    run = check_role(login(server), postgresql_pools=[DECLARED, unsaid])
    found = run.finding(BUDGET)
    assert found["severity"] == "unknown"
    assert found["summary"] == (
        "not measured: Numbers of these pools are not declared: batch (pool_size); Declare them in postgresql_pools."
    )
    incomplete = run.outcome["facts"]["health"]["connections"]["pools"]["incomplete"]
    assert incomplete == [{"name": "batch", "missing": ["pool_size"]}]


def test_a_login_that_does_not_see_others_says_which_right_is_missing(
    server: PostgresServer, check_role: CheckRole
) -> None:
    run = check_role(login(server, "stranger"), postgresql_pools=[{**DECLARED, "max_overflow": 5}])
    # The sum needs nobody's sessions; who is undeclared does.
    assert run.finding(BUDGET)["severity"] == "ok"
    found = run.finding(UNDECLARED)
    assert (found["severity"], found["remedy"]) == ("unknown", "GRANT pg_monitor TO stranger;")


def test_a_server_that_is_down_has_no_budget(server: PostgresServer, check_role: CheckRole) -> None:
    run = check_role({**login(server), "login_port": 1}, postgresql_pools=[ADVISED])
    assert run.of("ok", "warning", "critical", "unknown") == [
        ("critical", "postgresql.available", ""),
        ("unknown", "postgresql.not_judged", ""),
    ]


@pytest.mark.parametrize(
    ("pools", "message"),
    [
        ([{**DECLARED, "pool": 5}], "pools[0]: 'pool' is not accepted"),
        ([{**DECLARED, "via": "pgbouncer"}], "the name of a declared pooler (none is declared)"),
        ("web", "pools: 'web' is not accepted"),
    ],
)
def test_a_mistake_in_a_declaration_is_one_message(
    server: PostgresServer, check_role: CheckRole, pools: Any, message: str
) -> None:
    run = check_role(login(server), expect=2, postgresql_pools=pools)
    assert message in run.output
    assert "Traceback" not in run.output
