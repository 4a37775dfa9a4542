"""A database held back and let go at a real PgBouncer; what clients feel is what counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml
from lab.pgbouncer import STATS_USER, PgBouncer
from lab.play import ansible_playbook
from lab.playbook_run import eventually
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer import database
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.database import run
from ansible_collections.runbook.ops.plugins.modules.pgbouncer_database import EXAMPLES

RunModule = Callable[..., dict[str, Any]]
USERS = {"app": "4pp"}


@pytest.fixture(scope="module")
def pooler() -> Iterator[PgBouncer]:
    with PostgresServer() as server:
        server.execute("CREATE ROLE app LOGIN PASSWORD '4pp'")
        server.execute("CREATE DATABASE shop")
        server.execute('CREATE DATABASE "Odd ""name"')
        with PgBouncer(server, users=USERS, databases={"shop": "", "*": ""}) as started:
            yield started


@pytest.fixture
def client(pooler: PgBouncer) -> Iterator[Any]:
    with closing(connect(pooler)) as made:
        made.autocommit = True
        yield made
    flags = {line.split("|")[0]: line.split("|")[11:13] for line in pooler.ask("SHOW DATABASES").splitlines()}
    for name, (paused, disabled) in flags.items():
        if paused == "1":
            pooler.ask(f'RESUME "{name}"')
        if disabled == "1":
            pooler.ask(f'ENABLE "{name}"')


def connect(pooler: PgBouncer, dbname: str = "shop") -> Any:
    return psycopg2.connect(
        host=pooler.host, port=pooler.port, user="app", password=USERS["app"], dbname=dbname, connect_timeout=5
    )


def options(pooler: PgBouncer, state: str, **more: Any) -> dict[str, Any]:
    return {**pooler.console(pooler.server.superuser), "name": "shop", "state": state, **more}


def change(pooler: PgBouncer, state: str, *, check: bool = False, **more: Any) -> dict[str, Any]:
    return run(
        {"timeout": 30.0, "connect_timeout": 5, "login_unix_socket": "", **options(pooler, state, **more)},
        check_mode=check,
    )


def flags(pooler: PgBouncer, name: str = "shop") -> tuple[str, str]:
    """Paused and disabled, as psql sees it."""
    [row] = [line.split("|") for line in pooler.ask("SHOW DATABASES").splitlines() if line.split("|")[0] == name]
    return row[11], row[12]


def test_check_real_check_real(pooler: PgBouncer, client: Any, run_module: RunModule) -> None:
    client.cursor().execute("SELECT 1")
    for state, expected in (("paused", ("1", "0")), ("resumed", ("0", "0"))):
        was = flags(pooler)
        planned = run_module("pgbouncer_database", options(pooler, state), check_mode=True)
        assert (planned["changed"], planned["after"], flags(pooler)) == (True, None, was)
        done = run_module("pgbouncer_database", options(pooler, state))
        assert (done["actions"], done["diff"]) == (planned["actions"], planned["diff"])
        assert (done["changed"], flags(pooler)) == (True, expected)
        assert done["diff"]["before"] != done["diff"]["after"]
        for check in (True, False):
            again = run_module("pgbouncer_database", options(pooler, state), check_mode=check)
            assert (again["changed"], again["actions"], again["after"]["is_paused"]) == (False, [], expected[0] == "1")
    for state, expected in (("disabled", ("0", "1")), ("enabled", ("0", "0"))):
        assert change(pooler, state, check=True)["changed"] is True
        assert change(pooler, state)["changed"] is True
        assert flags(pooler) == expected
        if state == "disabled":
            with pytest.raises(psycopg2.OperationalError, match=r"is disabled|does not allow connections"):
                connect(pooler)
        assert change(pooler, state)["changed"] is False


def test_clients_wait_and_lose_nothing(pooler: PgBouncer, client: Any) -> None:
    client.cursor().execute("SELECT 1")
    change(pooler, "paused")
    program = "import psycopg2, sys; c = psycopg2.connect(sys.argv[1]); k = c.cursor(); k.execute('SELECT 42'); "
    dsn = f"host={pooler.host} port={pooler.port} user=app password=4pp dbname=shop"
    with subprocess.Popen(
        [sys.executable, "-c", program + "print(k.fetchone()[0])", dsn], stdout=subprocess.PIPE, text=True
    ) as waiting:
        eventually(lambda: pooler.ask("SHOW POOLS").find("shop|app|1|1|") >= 0, lambda: pooler.ask("SHOW POOLS"))
        assert change(pooler, "paused")["before"]["clients_waiting"] == 1
        change(pooler, "resumed")
        assert waiting.communicate(timeout=300)[0] == "42\n"


def test_a_pause_that_takes_too_long_is_taken_back(pooler: PgBouncer, client: Any) -> None:
    """Beside PAUSE at the console, which waits for ever, and holds everybody back while it does."""
    client.autocommit = False
    client.cursor().execute("SELECT 1")
    psql = [pooler.server.client("psql"), "-X", "-c", "PAUSE shop"]
    words = f"host={pooler.host} port={pooler.port} dbname=pgbouncer user={pooler.server.superuser}"
    with subprocess.Popen([*psql, f"{words} password={pooler.server.password}"]) as manual:
        eventually(lambda: flags(pooler)[0] == "1", lambda: pooler.ask("SHOW DATABASES"))
        # Whoever ends it, as a terminal that is closed does, leaves the database paused.
        assert manual.poll() is None
        manual.kill()
    assert flags(pooler)[0] == "1"
    with pytest.raises(RunbookError, match=r"still work after 1 seconds\. It was paused before and stays paused"):
        change(pooler, "paused", timeout=1.0)
    assert flags(pooler)[0] == "1"
    assert change(pooler, "resumed")["changed"] is True
    with pytest.raises(RunbookError, match=r"still at work after 1 seconds, so it was resumed, and nobody waits"):
        change(pooler, "paused", timeout=1.0)
    assert flags(pooler)[0] == "0"
    client.rollback()
    done = change(pooler, "paused")
    assert (done["changed"], done["after"]["servers_active"]) == (True, 0)


def test_refusals_touch_nothing(pooler: PgBouncer, client: Any, run_module: RunModule) -> None:
    client.cursor().execute("SELECT 1")
    for given, told in (
        ({"name": "pgbouncer"}, "name: 'pgbouncer' is not accepted"),
        ({"name": "shpo"}, "a database that SHOW DATABASES lists (shop"),
        ({"timeout": 0}, "timeout: 0.0 is not accepted. Accepted: seconds from 1 to 600."),
        ({**pooler.console(STATS_USER)}, "PAUSE shop was refused: admin access needed. It takes one of admin_users"),
        ({"login_port": 1}, "connection refused"),
    ):
        refused = run_module("pgbouncer_database", options(pooler, "paused", **given))
        assert told in refused["msg"]
        assert flags(pooler) == ("0", "0")


def test_one_of_several_processes_is_not_paused(pooler: PgBouncer) -> None:
    """Which of them a command reaches is the kernel's choice: PAUSE goes to one, RESUME to the other."""
    settings = {"so_reuseport": 1}
    with PgBouncer(pooler.server, users=USERS, settings=settings, databases={"shop": ""}) as several:
        with pytest.raises(RunbookError, match=r"Several PgBouncer processes share this port .* Nothing was changed"):
            change(several, "paused")
        assert flags(several) == ("0", "0")


def test_a_resume_that_fails_is_no_good_news(pooler: PgBouncer, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.autocommit = False
    client.cursor().execute("SELECT 1")
    give = database._give

    def lost(about: Any, command: str, *, undo: bool = False) -> bool:
        if command == "RESUME":
            raise Unavailable("The connection was lost.")
        return give(about, command, undo=undo)

    monkeypatch.setattr(database, "_give", lost)
    told = r"could not be resumed .*: The connection was lost\. Its clients may still wait\. .* RESUME shop"
    with pytest.raises(RunbookError, match=told):
        change(pooler, "paused", timeout=1.0)
    assert flags(pooler)[0] == "1"


def test_a_forgotten_pause_that_the_console_does_not_show_is_ended(pooler: PgBouncer) -> None:
    """A database of the entry * leaves SHOW DATABASES with its last client; the next one waits all the same."""
    pooler.server.execute("CREATE DATABASE reports")
    with closing(connect(pooler, "reports")) as first:
        first.cursor().execute("SELECT 1")
        first.rollback()
        assert change(pooler, "paused", name="reports")["changed"] is True
    eventually(lambda: "reports" not in pooler.ask("SHOW DATABASES"), lambda: pooler.ask("SHOW DATABASES"))
    planned = change(pooler, "resumed", name="reports", check=True)
    done = change(pooler, "resumed", name="reports")
    assert (planned["changed"], done["changed"], done["actions"]) == (True, True, planned["actions"])
    assert done["before"]["is_paused"] is None
    with closing(connect(pooler, "reports")) as second:
        second.cursor().execute("SELECT 1")
    again = change(pooler, "resumed", name="reports")
    assert (again["changed"], again["actions"]) == (False, [])
    with pytest.raises(RunbookError, match=r"RESUME nobody was refused"):
        change(pooler, "resumed", name="nobody")


def test_the_example_runs_with_a_name_that_needs_quotes(pooler: PgBouncer, client: Any, tmp_path: Path) -> None:
    name = 'Odd "name'
    with closing(connect(pooler, name)) as odd:
        odd.autocommit = True
        odd.cursor().execute("SELECT 1")
        text = EXAMPLES.replace("pgbouncer.internal", pooler.host).replace("operator", pooler.server.superuser)
        text = text.replace("/usr/local/sbin/switch-over shop", "/bin/false").replace("name: shop", f"name: '{name}'")
        [task] = yaml.safe_load(text)
        task["module_defaults"]["group/runbook.ops.pgbouncer"].update(login_port=pooler.port, ssl_mode="disable")
        variables = {"pgbouncer_admin_password": pooler.server.password, "ansible_python_interpreter": sys.executable}
        play = {"name": "Example", "hosts": "localhost", "gather_facts": False, "vars": variables, "tasks": [task]}
        (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
        completed = ansible_playbook(tmp_path, "-i", "localhost,", "-c", "local", "play.yml", "-vvv", timeout=300)
        # The switch-over failed, and nobody waits.
        assert completed.returncode == 2, completed.stdout
        assert "changed=2" in completed.stdout
        assert pooler.server.password not in completed.stdout
        assert flags(pooler, name) == ("0", "0")
