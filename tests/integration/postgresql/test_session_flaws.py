"""The manuals' commands against sessions, run for real, beside what postgresql_session does with the same crowd.

The commands are the manuals', word for word, but for the names of databases and for a second where they wait for
minutes. The ids are those of the flaw register.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from lab.clients import PASSWORD, Clients, roles
from lab.postgresql import PostgresServer

RunModule = Callable[..., dict[str, Any]]

ST_34 = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid()"
DU_36 = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
SB_49 = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE state = 'idle' AND state_change < NOW() - INTERVAL '1 second'"
)
AC_60 = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE state = 'idle' AND query_start < now() - interval '1 second'"
)
HEALTHY = {"pooled", "never used", "report", "elsewhere", "administrator"}


class Crowd(Clients):
    """A server in the middle of its day: pools, a report, a dump, a WAL archive, and one leak."""

    def __init__(self, server: PostgresServer, directory: Path) -> None:
        super().__init__(server, "shop")
        self.directory = directory
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        roles(server)
        server.execute("CREATE DATABASE shop")
        server.execute("CREATE DATABASE other")
        server.execute("GRANT pg_read_all_data TO app")
        # More than a pipe and the sockets hold, so that the dump is under way for as long as nobody reads it.
        server.execute(
            "CREATE TABLE public.filler AS SELECT g AS id, repeat(md5(g::text), 30) AS text "
            "FROM generate_series(1, 30000) g",
            db="shop",
        )
        self.idle("pooled", user="app")
        self.connect("never used", user="app")
        self.leak("leaking", user="app")
        self.busy("report", user="app")
        self.idle("administrator")
        self.database = "other"
        self.idle("elsewhere", user="other")
        self.database = "shop"
        self.start("pg_dump", "--dbname=shop", "--username=app", password=PASSWORD)
        self.until(
            "count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event = 'ClientWrite'"
        )
        self.pids["pg_dump"] = self.pid_of("application_name = 'pg_dump'")
        self.start("pg_receivewal", f"--directory={directory}", "--no-loop", "--username=postgres",
                   password=server.password)  # fmt: skip
        self.until("count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'")
        self.pids["pg_receivewal"] = self.pid_of("backend_type = 'walsender'")
        self.aged()

    def start(self, name: str, *arguments: str, password: str) -> None:
        self.programs[name] = subprocess.Popen(
            [str(self.server.client(name)), "--host", self.server.host, "--port", str(self.server.port), *arguments],
            env={**os.environ, "PGPASSWORD": password},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def pid_of(self, condition: str) -> int:
        return int(self.server.psql(f"SELECT pid FROM pg_stat_activity WHERE {condition}"))

    def dump(self) -> tuple[int, str]:
        """The dump's exit status and complaints, read to its end."""
        _output, errors = self.programs["pg_dump"].communicate(timeout=300)
        return self.programs["pg_dump"].returncode, errors.decode()

    def settled(self, *expected: str) -> None:
        """Whoever got a signal is gone."""
        listed = list(self.pids.values())
        self.until(f"count(*) = {len(expected)} FROM pg_stat_activity WHERE pid = ANY (ARRAY{listed}::int[])")
        assert self.alive() == set(expected)

    def close(self) -> None:
        for program in self.programs.values():
            program.kill()
            program.communicate()
        super().close()

    def manual(self, statement: str, user: str | None = None) -> None:
        """Run a manual's command, as the administrator unless somebody else is named."""
        self.server.psql(statement, db="shop", user=user, password=PASSWORD if user else None)

    def ours(self, run_module: RunModule, **criteria: Any) -> dict[str, Any]:
        login = self.server.login("shop", user="operator", password=PASSWORD)
        options = {"state": "terminated", "session_state": ["idle_in_transaction"], "min_state_age": "1s", **criteria}
        return run_module("postgresql_session", {**login, **options})


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Crowd]:
    with PostgresServer() as server:
        made = Crowd(server, tmp_path)
        yield made
        made.close()


def test_ours_ends_exactly_the_leak(crowded: Crowd, run_module: RunModule) -> None:
    """What the commands below are meant for, in one task of an operator who is no superuser."""
    done = crowded.ours(run_module)
    assert [(each["pid"], each["outcome"]) for each in done["outcomes"]] == [(crowded.pids["leaking"], "terminated")]
    assert (done["before"]["idle_in_transaction"], done["after"]["idle_in_transaction"]) == (1, 0)
    crowded.settled(*HEALTHY, "pg_dump", "pg_receivewal")
    assert crowded.dump()[0] == 0
    assert crowded.programs["pg_receivewal"].poll() is None


def test_ours_does_not_even_end_what_is_asked_for_too_broadly(crowded: Crowd, run_module: RunModule) -> None:
    """Everything of a second or more, as the broadest of the commands has it: the dump, replication and the server's
    own processes are not ended, and neither is a superuser."""
    done = crowded.ours(run_module, session_state=[], application=["*"], min_state_age="", user=[], max_sessions=100)
    reasons = {each["pid"]: each["reason"] for each in done["protected"]}
    assert reasons[crowded.pids["pg_dump"]] == "application pg_dump is protected (protect_applications)"
    assert reasons[crowded.pids["pg_receivewal"]] == "walsender: it sends WAL to a standby, a backup or a subscriber"
    assert reasons[crowded.pids["administrator"]] == "postgres is a superuser (allow_superusers)"
    assert "autovacuum launcher, a process of the server and no client" in reasons.values()
    crowded.settled("administrator", "pg_dump", "pg_receivewal")
    assert crowded.dump()[0] == 0


def test_st_34_ends_the_pool_the_report_and_the_backup(crowded: Crowd) -> None:
    crowded.manual(ST_34)
    crowded.settled("elsewhere", "pg_receivewal")
    code, complaint = crowded.dump()
    assert code != 0
    assert 'Dumping the contents of table "filler" failed' in complaint


def test_du_36_ends_every_database_replication_and_the_servers_own(crowded: Crowd) -> None:
    launcher = crowded.pid_of("backend_type = 'autovacuum launcher'")
    crowded.manual(DU_36)
    crowded.settled()
    assert crowded.programs["pg_receivewal"].wait(20) != 0
    # It was ended as well, and the server had to start another one.
    crowded.until("count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum launcher'")
    assert crowded.pid_of("backend_type = 'autovacuum launcher'") != launcher


def test_du_36_takes_idle_sessions_for_long_queries(crowded: Crowd) -> None:
    listed = crowded.server.query(
        "SELECT pid FROM pg_stat_activity WHERE (now() - pg_stat_activity.query_start) > interval '1 second'"
    )
    assert {crowded.pids["pooled"], crowded.pids["elsewhere"]} <= {pid for (pid,) in listed}


@pytest.mark.parametrize("statement", [ST_34, DU_36, SB_49, AC_60], ids=["ST-34", "DU-36", "SB-49", "AC-60"])
def test_one_superuser_aborts_the_whole_command(crowded: Crowd, statement: str) -> None:
    """For a login that is none, as on every managed service: the command fails, and nobody knows whom it has ended."""
    with pytest.raises(Exception, match=r"superuser|permission denied to terminate process"):
        crowded.manual(statement, user="operator")
    assert {"administrator"} <= crowded.alive()


def test_sb_49_ends_the_healthy_pool_and_leaves_the_leak(crowded: Crowd) -> None:
    crowded.manual(SB_49)
    crowded.settled("leaking", "report", "pg_dump", "pg_receivewal")


def test_ac_60_counts_from_the_wrong_moment(crowded: Crowd) -> None:
    """A session that worked until just now is ended, one that never worked is not, and the leak stays."""
    connection = crowded.connect("worked until now", user="app")
    connection.cursor().execute("SELECT pg_sleep(1.5)")
    crowded.manual(AC_60)
    crowded.settled("never used", "leaking", "report", "pg_dump", "pg_receivewal")


def test_idle_sessions_by_their_real_idleness(crowded: Crowd, run_module: RunModule) -> None:
    """What AC-60 wants, of one application's forgotten sessions: idle since the last change of state."""
    connection = crowded.connect("worked until now", user="app", application="pooled")
    connection.cursor().execute("SELECT pg_sleep(1.5)")
    done = crowded.ours(run_module, session_state=["idle"], application=["pooled", "never used"], min_state_age="2s")
    ended = {each["pid"] for each in done["outcomes"]}
    assert {crowded.pids["pooled"], crowded.pids["never used"]} == ended
    crowded.settled("worked until now", "leaking", "report", "administrator", "elsewhere", "pg_dump", "pg_receivewal")


def test_sb_48_does_not_count_connections(crowded: Crowd, run_module: RunModule) -> None:
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        crowded.server.query("SELECT max_connections FROM pg_settings WHERE name = 'max_connections'")
    ((everything,),) = crowded.server.query("SELECT COUNT(*) FROM pg_stat_activity")
    login = crowded.server.login("shop", user="operator", password=PASSWORD)
    options = {"state": "terminated", "application": ["nobody"]}
    before = run_module("postgresql_session", {**login, **options}, check_mode=True)["before"]
    # Six of the crowd's, the dump, and the one that asks; the rest are the server's own processes.
    assert (before["used"], before["max"], before["usable"]) == (8, 100, 97)
    assert everything > 8
