"""A shop's database, a backup of it, and what happened to the shop since: what a restore has to do with."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.postgresql import PostgresServer

DATABASE = "shop"
PATTERN = "shop-%Y%m%d-%H%M%S.dump"
ROWS = 1000
APP_PASSWORD = "the app's own"
# What belongs to the database and is in no dump.
SURROUNDINGS = """
COMMENT ON DATABASE shop IS 'The shop''s own words';
ALTER DATABASE shop CONNECTION LIMIT 40;
ALTER DATABASE shop SET work_mem = '5MB';
ALTER DATABASE shop SET search_path = public, "Odd Schema";
ALTER ROLE app IN DATABASE shop SET statement_timeout = '77s';
REVOKE ALL ON DATABASE shop FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO readers WITH GRANT OPTION;
"""
CONTENT = """
CREATE SCHEMA "Odd Schema";
CREATE TABLE orders (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), item text NOT NULL);
CREATE TABLE history (order_id bigint, what text);
INSERT INTO orders (at, item) SELECT '2026-01-31 00:00+00'::timestamptz + n * interval '1 second', md5(n::text)
  FROM generate_series(1, {rows}) n;
INSERT INTO history SELECT id, 'ordered' FROM orders;
CREATE INDEX ON history (order_id);
CREATE VIEW "Odd Schema".newest AS SELECT max(at) FROM public.orders;
SELECT lo_from_bytea(0, 'a picture');
ALTER TABLE orders OWNER TO app;
GRANT SELECT ON orders TO readers;
"""
_SURROUNDINGS = r"""
SELECT json_build_object(
    'owner', pg_get_userbyid(d.datdba), 'limit', d.datconnlimit,
    'shape', array[d.encoding::text, d.datcollate, d.datctype],
    'comment', regexp_replace(shobj_description(d.oid, 'pg_database'), '\n?\[runbook.ops\].*', ''),
    'privileges', (SELECT string_agg(a.grantee::regrole || a.privilege_type || a.is_grantable, ' ' ORDER BY a::text)
                   FROM aclexplode(d.datacl) a),
    'settings', (SELECT json_agg(array[s.setrole::regrole::text, s.setconfig::text] ORDER BY 1)
                 FROM pg_db_role_setting s WHERE s.setdatabase = d.oid))
FROM pg_database d WHERE d.datname = '<name>'
"""
LATER = "INSERT INTO orders (at, item) VALUES ('2026-01-31 03:00+00', 'later')"


def make_roles(server: PostgresServer) -> None:
    """The shop's roles, unless they are there."""
    server.execute(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'app') THEN "
        f"CREATE ROLE app LOGIN PASSWORD '{APP_PASSWORD.replace(chr(39), chr(39) * 2)}'; "
        "CREATE ROLE readers; GRANT readers TO app; "
        "ALTER ROLE app SET idle_in_transaction_session_timeout = '99s'; END IF; END $$"
    )


def make_shop(server: PostgresServer, rows: int = ROWS) -> None:
    """The database with everything in and around it."""
    make_roles(server)
    server.execute("CREATE DATABASE shop OWNER app")
    server.execute(SURROUNDINGS)
    run_script(server, CONTENT.format(rows=rows), DATABASE)


def run_script(server: PostgresServer, text: str, database: str) -> None:
    """Several statements in one transaction."""
    with server.connect(database, autocommit=False) as connection, connection.cursor() as cursor:
        cursor.execute(text)
    connection.close()


def databases(server: PostgresServer) -> list[str]:
    """The databases that are not PostgreSQL's own, as psql tells them."""
    text = server.psql("SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template[01])$' ORDER BY 1")
    return text.splitlines()


def surroundings(server: PostgresServer, database: str) -> dict[str, Any]:
    """What is said of a database in the catalogs, as psql tells it; the mark below its comment left out."""
    told: dict[str, Any] = json.loads(server.psql(_SURROUNDINGS.replace("<name>", database)))
    return told


def drop_all(server: PostgresServer) -> None:
    """Back to an empty server; roles stay."""
    for name in databases(server):
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@dataclass
class Writer:
    """An application that writes an order every few milliseconds, and connects again when it has to.

    ``acknowledged`` are the items whose commit was answered; ``errors`` what it was told otherwise.
    """

    server: PostgresServer
    acknowledged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Writer:
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        self.wait(20)
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def wait(self, more: int) -> None:
        """Until so many more orders are acknowledged."""
        wanted, deadline = len(self.acknowledged) + more, time.monotonic() + 240
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, self.errors[-3:]
            time.sleep(0.005)

    def _write(self) -> None:
        import psycopg2

        number = 0
        while not self._stop.is_set():
            try:
                connection = self.server.connect(DATABASE, user="app", password=APP_PASSWORD)
                with connection.cursor() as cursor:
                    cursor.execute("SET application_name = 'the shop'")
                    while not self._stop.is_set():
                        number += 1
                        item = f"written {number}"
                        cursor.execute("INSERT INTO public.orders (item) VALUES (%s)", (item,))
                        self.acknowledged.append(item)
                        time.sleep(0.002)
                connection.close()
            except psycopg2.Error as error:
                self.errors.append(str(error).strip())
                time.sleep(0.005)


def written(server: PostgresServer, database: str) -> set[str]:
    """What writers wrote into a database."""
    text = server.psql("SELECT item FROM public.orders WHERE item LIKE 'written %'", db=database)
    return set(text.splitlines())


@contextmanager
def started(module: str, arguments: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    """A module in a process of its own, killed at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{module}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ.copy(),
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def until(what: Callable[[], bool], process: subprocess.Popen[str] | None = None, seconds: float = 240.0) -> bool:
    """Ask until it is so: whether it came to be before the process ended."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        if process is not None and process.poll() is not None:
            return what()
        time.sleep(0.002)
    return True


def foreign_dump(server: PostgresServer, path: Path, *arguments: str) -> None:
    """A dump as a shell script would make it, compressed if its name says so."""
    done = subprocess.run(
        [str(server.client("pg_dump")), *arguments, DATABASE],
        env=libpq(server),
        capture_output=True,
        check=True,
    )
    path.write_bytes(gzip.compress(done.stdout) if path.suffix == ".gz" else done.stdout)


def libpq(server: PostgresServer, database: str = DATABASE) -> dict[str, str]:
    """The environment of a person who works on the server."""
    return {
        "PATH": os.environ["PATH"],
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.superuser,
        "PGPASSWORD": server.password,
        "PGDATABASE": database,
    }


def psql_script(server: PostgresServer, text: str, database: str = "postgres") -> None:
    """Run statements as a person would paste them."""
    subprocess.run(
        [str(server.client("psql")), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        input=text,
        text=True,
        env=libpq(server, database),
        capture_output=True,
        check=True,
    )
