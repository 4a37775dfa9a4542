"""A real PgBouncer before a real server, asked by the module, and by psql at the same console."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
import yaml
from lab.pgbouncer import STATS_PASSWORD, STATS_USER, PgBouncer
from lab.play import ansible_playbook
from lab.playbook_run import eventually
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.collect import COMMANDS, pgbouncer_info
from ansible_collections.runbook.ops.plugins.modules.pgbouncer_info import EXAMPLES
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import judge

RunModule = Callable[..., dict[str, Any]]
RULES = yaml.safe_load(
    (Path(__file__).resolve().parents[3] / "roles" / "check_postgresql" / "defaults" / "main.yml").read_text("utf-8")
)["check_postgresql_pgbouncer_rules"]
DEFAULTS = {"sample_seconds": 0.0, "quiet_after": 60.0, "top": 20, "statement_timeout": 10.0, "connect_timeout": 5}
USERS = {"app": "4pp", "batch": "b4tch"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as started:
        for name, word in USERS.items():
            started.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{word}'")
        for name in ("shop", "archive"):
            started.execute(f"CREATE DATABASE {name}")
        yield started


class Clients:
    """Clients of a pooler that hold a server connection, or wait for one."""

    def __init__(self, pooler: PgBouncer, stack: ExitStack) -> None:
        self.pooler, self.stack = pooler, stack

    def connect(self, user: str = "app", **more: Any) -> Any:
        words = {"host": self.pooler.host, "port": self.pooler.port, "user": user, "password": USERS[user]}
        return self.stack.enter_context(closing(psycopg2.connect(**{**words, "dbname": "shop", **more})))

    def hold(self, count: int, **more: Any) -> None:
        for _ignored in range(count):
            self.connect(**more).cursor().execute("SELECT 1")

    def wait(self, count: int, **more: Any) -> None:
        for _ignored in range(count):
            connection = self.connect(**more, async_=True)
            psycopg2.extras.wait_select(connection)
            connection.cursor().execute("SELECT 2")


def ask(pooler: PgBouncer, **more: Any) -> dict[str, Any]:
    return pgbouncer_info({**DEFAULTS, **pooler.console(), **more})


def bad(result: dict[str, Any], **about: Any) -> list[tuple[str, str, str]]:
    """What the role's rules say of it, the fine left out."""
    # In a pooler's first second the averages are of a login or two, however long these took.
    rules = [rule for rule in RULES if rule["id"] != "pgbouncer.wait_per_query"]
    found = judge({**result, "pooler_name": "p", "server_free": None, **about}, rules)
    return [(each["severity"], each["id"], each["object"]) for each in found if each["severity"] != "ok"]


def rows(pooler: PgBouncer, command: str) -> list[list[str]]:
    return [line.split("|") for line in pooler.ask(command, STATS_USER).splitlines()]


def test_the_same_as_psql_at_the_console(server: PostgresServer) -> None:
    databases = {"shop": "dbname=shop", "archive": "dbname=archive pool_size=7 reserve_pool=3"}
    with PgBouncer(server, users=USERS, databases=databases) as pooler, ExitStack() as stack:
        clients = Clients(pooler, stack)
        assert bad(ask(pooler)) == []
        clients.hold(2, application_name="leaking")
        clients.wait(3, application_name="api")
        clients.hold(1, user="batch")
        clients.hold(1, dbname="archive")
        eventually(lambda: ask(pooler)["pooler"]["totals"]["clients"]["longest_wait_seconds"] > 1, pooler.log_tail)
        # Sessions of a pooler before this one end a moment after it.
        counted = "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('app', 'batch')"
        eventually(lambda: server.psql(counted) == "4", lambda: server.psql(counted))
        result = ask(pooler, sample_seconds=0.2)
        pools = rows(pooler, "SHOW POOLS")
        facts = result["pooler"]
        shown = {(row[0], row[1]): row for row in pools if row[0] != "pgbouncer"}
        assert {
            (each["database"], each["user"]): (each["clients_active"], each["clients_waiting"], each["server_count"])
            for each in facts["pools"]
        } == {key: (int(row[2]), int(row[3]), sum(map(int, row[6:13]))) for key, row in shown.items()}
        assert shown["shop", "app"][3] == "3"
        assert [row[1] for row in rows(pooler, "SHOW CONFIG") if row[0] == "max_client_conn"] == ["50"]
        assert (facts["config"]["max_client_conn"], facts["config"]["pool_mode"]) == (50, "transaction")
        assert facts["version"] == pooler.ask("SHOW VERSION", STATS_USER)
        # Each pair of database and user has a pool of its own: three of two, one of them with seven and three.
        assert facts["totals"]["servers"]["most"] == 2 + 2 + 7 + 3
        assert facts["totals"]["servers"]["open"] == int(server.psql(counted)) == 4
        who = {each["name"]: (each["clients"], each["waiting"]) for each in facts["clients"]}
        assert who["leaking"] == (2, 0)
        assert who["api"] == (3, 3)
        assert facts["totals"]["clients"]["connected"] == 2 + 3 + 1 + 1 + 1
        assert facts["stats_seconds"] >= 0.2
        waits = {"stats": [{"database": "shop", "queries_per_second": 20, "wait_ms_per_query": 60, "query_ms": 2}]}
        [slow] = [each for each in RULES if each["id"] == "pgbouncer.wait_per_query"]
        [found] = judge({"pooler": waits, "pooler_name": "p"}, [slow])
        assert found["summary"] == "p shop: a query waits 60 ms for a connection, and runs for 2 ms"
        # The pool is full; whether it is too small depends on what the server has left.
        assert ("warning", "pgbouncer.pool_full", "p shop/app") in bad(result, server_free=50)
        assert ("warning", "pgbouncer.pool_full", "p shop/app") not in bad(result, server_free=0)
        assert bad(result, server_free=0)[0][1:] == ("pgbouncer.waiting", "p shop/app")


def test_what_stops_clients_and_shows_nowhere_else(server: PostgresServer) -> None:
    """A forgotten PAUSE: the server idles, the pooler's log is silent, and every client waits."""
    settings = {"max_client_conn": 8, "query_wait_timeout": 0, "auth_type": "trust", "max_db_connections": 2}
    with PgBouncer(server, users=USERS, settings=settings, databases={"shop": ""}) as pooler, ExitStack() as stack:
        clients = Clients(pooler, stack)
        clients.hold(2)
        # The first of a pool wait with their login already, for what the server says of itself.
        logging_in = [clients.connect("batch", async_=True) for _ignored in range(5)]

        def all_wait() -> bool:
            for each in logging_in:
                each.poll()
            return ask(pooler)["pooler"]["totals"]["clients"]["waiting"] == 5

        eventually(all_wait, lambda: str(ask(pooler)))
        pooler.ask("DISABLE shop")
        expected = {
            ("warning", "pgbouncer.disabled", "p shop"),
            # The other user's pool takes what the database may have.
            ("critical", "pgbouncer.no_server", "p shop/batch"),
            ("critical", "pgbouncer.clients", "p"),
            ("warning", "pgbouncer.database_connections", "p shop"),
            ("warning", "pgbouncer.query_wait_timeout", "p"),
            ("critical", "pgbouncer.authentication", "p"),
        }
        found = {each for each in bad(ask(pooler), server_free=50) if each[1] != "pgbouncer.waiting"}
        assert found == expected
    with PgBouncer(server, users=USERS) as pooler, ExitStack() as stack:
        Clients(pooler, stack).connect()
        pooler.ask("PAUSE shop")
        assert bad(ask(pooler)) == [("critical", "pgbouncer.paused", "p shop")]
        assert rows(pooler, "SHOW DATABASES")[1][11] == "1"


def test_session_pooling_keeps_connections_for_clients_that_idle(server: PostgresServer) -> None:
    settings = {"default_pool_size": 6}
    with PgBouncer(server, pool_mode="session", settings=settings, users=USERS) as pooler, ExitStack() as stack:
        Clients(pooler, stack).hold(6)
        eventually(lambda: bad(ask(pooler, quiet_after=1.0)) != [], lambda: str(ask(pooler)))
        assert bad(ask(pooler, quiet_after=1.0)) == [("critical", "pgbouncer.idle_holders", "p shop/app")]
        [pool] = ask(pooler, quiet_after=1.0)["pooler"]["pools"]
        assert (pool["clients_quiet"], pool["quiet_percent"]) == (6, 100.0)


def test_who_cannot_be_asked_is_data(server: PostgresServer, run_module: RunModule) -> None:
    with PgBouncer(server, users=USERS) as pooler:
        before = pooler.ask("SHOW CONFIG")
        told = [
            ({"login_user": "app", "login_password": USERS["app"]}, "may not use the console. Add it to stats_users"),
            ({"login_user": "nobody"}, "the user or its password was not accepted"),
            ({"login_password": "wr0ng"}, "the user or its password was not accepted"),
            ({**server.login(), "login_db": None}, "what answers there has no console"),
            ({"login_port": 1}, "connection refused"),
        ]
        for options, words in told:
            result = ask(pooler, **options)
            assert (result["available"], result["pooler"]) == (False, {})
            assert words in result["reason"]
            assert STATS_PASSWORD not in str(result)
            assert [each["id"] for each in judge(result, RULES)] == ["pgbouncer.available", "pgbouncer.not_judged"]
        server.execute("CREATE DATABASE pgbouncer")
        reason = ask(pooler, login_port=server.port, **{**_superuser(server)})["reason"]
        assert reason.endswith("no PgBouncer. Correct login_host and login_port.")
        # A command that another version has costs its own facts only.
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(COMMANDS, "figures_of_1_99", "figures")
            result = ask(pooler)
        assert (result["available"], result["pooler"]["config"]["max_client_conn"]) == (True, 50)
        [skipped] = result["skipped_sections"]
        assert skipped["reason"].startswith("SHOW FIGURES_OF_1_99 failed: invalid command")
        # As a module, in check mode, it reads the same and changes nothing.
        result = run_module("pgbouncer_info", pooler.console(), check_mode=True)
        assert (result["available"], result["changed"], result["skipped_sections"]) == (True, False, [])
        assert pooler.ask("SHOW CONFIG") == before
        refused = run_module("pgbouncer_info", {**pooler.console(), "sample_seconds": 90})
        assert refused["msg"] == "sample_seconds: 90.0 is not accepted. Accepted: seconds from 0 to 60."


def _superuser(server: PostgresServer) -> dict[str, Any]:
    return {"login_user": server.superuser, "login_password": server.password}


def test_the_examples_run(server: PostgresServer, tmp_path: Path) -> None:
    with PgBouncer(server, users=USERS) as pooler, ExitStack() as stack:
        clients = Clients(pooler, stack)
        clients.hold(2)
        clients.wait(1)
        text = EXAMPLES.replace("pgbouncer.internal", pooler.host).replace("monitoring", STATS_USER)
        tasks = yaml.safe_load(text.replace("sample_seconds: 2", "sample_seconds: 0.1"))
        tell = {"name": "Tell", "ansible.builtin.debug": {"msg": "{{ pooler_findings | map(attribute='id') }}"}}
        play = {
            "name": "Examples",
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {"pgbouncer_password": STATS_PASSWORD, "ansible_python_interpreter": sys.executable},
            "module_defaults": {"group/runbook.ops.pgbouncer": {"login_port": pooler.port, "ssl_mode": "disable"}},
            "tasks": [*tasks, tell],
        }
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        completed = ansible_playbook(tmp_path, "-i", "localhost,", "-c", "local", "play.yml", "-vvv", timeout=300)
    assert completed.returncode == 0, completed.stdout
    assert "pgbouncer.waiting" in completed.stdout
    assert STATS_PASSWORD not in completed.stdout
