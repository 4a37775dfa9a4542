"""How a census is taken: what it may see, how it can be stopped, what it costs a server with many tables."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.copies import census, dump, fill, restore
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare import compare
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Scope, Watermark
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import (
    census_of,
    open_snapshot,
    read_sequences,
    take_census,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.watermarks import read_watermarks
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.weaknesses import weaknesses
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

# What a census leaves behind on the server when it is gone: nothing.
RUNNING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runbook.ops census'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    # Room for so few locks that a census could not hold one on every table of "many", and their indexes.
    with PostgresServer(15, settings={"max_locks_per_transaction": 10, "max_connections": 20}) as started:
        fill(started, "shop")
        yield started


def rows_of(server: PostgresServer, db: str) -> dict[str, int]:
    return {name: entry["rows"] for name, entry in census_of(server.login(db), digests=False).tables.items()}


# --- what it may see
def test_a_role_that_sees_everything_takes_the_same_census(server: PostgresServer) -> None:
    server.execute("CREATE ROLE backup LOGIN PASSWORD 'b' BYPASSRLS IN ROLE pg_read_all_data")
    for number in (90001, 90002, 90003):
        server.execute(f"GRANT SELECT ON LARGE OBJECT {number} TO backup", db="shop")
    whole = census(server, "shop")
    found = census_of(server.login("shop", "backup", "b"), digests=True)
    assert compare(whole, found, ignore_roles=True) == []
    assert found.server["system_identifier"] == server.psql("SELECT system_identifier FROM pg_control_system()")


def test_a_role_that_would_see_some_rows_is_refused(server: PostgresServer) -> None:
    server.execute("CREATE ROLE blinkered LOGIN PASSWORD 'b' IN ROLE pg_read_all_data")
    for number in (90001, 90002, 90003):
        server.execute(f"GRANT SELECT ON LARGE OBJECT {number} TO blinkered", db="shop")
    # psql counts without a word what the policy leaves.
    assert server.psql("SELECT count(*) FROM tenants", "shop", "blinkered", "b") == "0"
    with pytest.raises(Refused) as refused:
        census_of(server.login("shop", "blinkered", "b"), digests=False)
    assert refused.value.message == (
        "The role would be shown some rows of public.tenants only, as row security applies to it, and a count of these "
        "would pass for the whole. ALTER ROLE … BYPASSRLS, or use a superuser."
    )


def test_a_role_that_may_not_read_is_refused(server: PostgresServer) -> None:
    server.execute("CREATE ROLE poor LOGIN PASSWORD 'pauper'")
    server.execute("CREATE DATABASE small TEMPLATE template0")
    server.execute("CREATE TABLE secret (id int); SELECT lo_create(5)", db="small")
    with pytest.raises(Refused) as refused:
        census_of(server.login("small", "poor", "pauper"), digests=False)
    assert refused.value.message == (
        "Large objects may not be read: permission denied for large object 5. GRANT SELECT ON LARGE OBJECT … TO the "
        "role, or use a superuser."
    )
    server.execute("SELECT lo_unlink(5)", db="small")
    with pytest.raises(Refused) as refused:
        census_of(server.login("small", "poor", "pauper"), digests=False)
    assert refused.value.message == (
        "public.secret may not be read: permission denied for table secret. GRANT pg_read_all_data TO the role, or "
        "GRANT USAGE ON SCHEMA public and GRANT SELECT ON public.secret."
    )


def test_a_schema_alone(server: PostgresServer) -> None:
    found = census(server, "shop", scope=Scope(schemas=("Mixed Schema",)))
    assert list(found.tables) == ['"Mixed Schema"."Mixed ""Case"" Table"']
    assert list(found.schemas) == ["Mixed Schema"]
    assert not found.extensions
    assert not found.publications
    # Roles of other schemas are none of its business.
    assert found.roles == ["postgres"]
    assert found.large_objects["count"] == 3
    rest = census(server, "shop", scope=Scope(exclude_schemas=("Mixed Schema",)))
    whole = census(server, "shop")
    assert {*found.tables, *rest.tables} == set(whole.tables)
    assert rest.publications == whole.publications


def test_rows_of_an_extensions_configuration_as_far_as_it_says(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE configured TEMPLATE template0")
    server.execute(
        "CREATE EXTENSION pg_trgm; CREATE TABLE defaults (id int); CREATE TABLE inner_table (id int)", db="configured"
    )
    server.execute("INSERT INTO defaults VALUES (1), (2), (3)", db="configured")
    server.execute(
        "ALTER EXTENSION pg_trgm ADD TABLE defaults; ALTER EXTENSION pg_trgm ADD TABLE inner_table", db="configured"
    )
    server.execute(
        "UPDATE pg_extension SET extconfig = ARRAY['public.defaults'::regclass], "
        "extcondition = ARRAY['WHERE id > 1'] WHERE extname = 'pg_trgm'",
        db="configured",
    )
    found = census(server, "configured")
    assert {name: entry["rows"] for name, entry in found.tables.items()} == {"public.defaults": 2}


# --- one moment
def test_a_dump_in_its_snapshot_while_others_write(server: PostgresServer, tmp_path: Path) -> None:
    server.execute("CREATE DATABASE busy TEMPLATE shop")
    stop = threading.Event()

    def write() -> None:
        connection = server.connect("busy")
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO orders (customer_id, amount, created_at) VALUES (1, 2, now())")
                cursor.execute(
                    "UPDATE customers SET tags = NULL WHERE id = (SELECT id FROM customers ORDER BY random() LIMIT 1)"
                )
                cursor.execute("DELETE FROM orders WHERE id = (SELECT max(id) - 500 FROM orders)")
                cursor.execute("SELECT nextval('never_called')")
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with open_snapshot(server.login("busy")) as (session, snapshot):
            sequences = read_sequences(session)
            dump(server, "busy", tmp_path / "dump", server, f"--snapshot={snapshot}")
            taken = take_census(session, digests=True, sequences=sequences)
        later = census(server, "busy")
    finally:
        stop.set()
        writer.join()
    restore(server, tmp_path / "dump", server, "restored")
    assert compare(taken, census(server, "restored")) == []
    assert compare(taken, later) != []


def test_a_standby_takes_the_same_census(server: PostgresServer) -> None:
    with PostgresServer(standby_of=server) as standby:
        position = server.query("SELECT pg_current_wal_lsn()")[0][0]
        while not standby.query("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (position,))[0][0]:
            time.sleep(0.05)
        found = census(standby, "shop")
    assert compare(census(server, "shop"), found) == []
    assert found.server["in_recovery"]
    # Unlogged tables cannot be read there, and are not said to be empty.
    assert found.tables["public.scratch_pad"]["rows"] is None


# --- stopping
class StopsAtRows(Progress):
    """Somebody wants the end at the first sign of life since rows are read."""

    are_rows_read = False

    def phase(self, name: str, *arguments: Any, **more: Any) -> None:
        super().phase(name, *arguments, **more)
        self.are_rows_read = name == "census"

    def at(self, done: float, note: str = "", *, total: float | None = None) -> None:
        super().at(done, note, total=total)
        if self.are_rows_read:
            raise Stopped("Enough.")


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_census_that_is_stopped_leaves_nothing_running(server: PostgresServer, jobs: int) -> None:
    if not server.query("SELECT 1 FROM pg_database WHERE datname = 'large'"):
        server.execute("CREATE DATABASE large TEMPLATE template0")
        for name in "abc":
            server.execute(
                f"CREATE TABLE {name} AS SELECT g, md5(g::text) AS t FROM generate_series(1, 300000) g", db="large"
            )
    with pytest.raises(Stopped):
        census_of(server.login("large"), digests=True, jobs=jobs, progress=StopsAtRows())
    assert server.psql(RUNNING) == "0"


def test_a_census_that_waits_for_a_lock_can_be_stopped(server: PostgresServer, tmp_path: Path) -> None:
    holder = server.connect("shop", autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
    progress = Progress(path=str(tmp_path / "progress"))
    (tmp_path / "progress.watch").touch()
    threading.Timer(0.5, (tmp_path / "progress.stop").write_text, ("Enough.",)).start()
    with pytest.raises(Stopped, match="Enough"):
        census_of(server.login("shop"), digests=True, progress=progress)
    holder.close()
    assert server.psql(RUNNING) == "0"


def test_fewer_connections_than_wanted_are_enough(server: PostgresServer) -> None:
    def refuses() -> Session:
        raise Unavailable("too many clients")

    with open_snapshot(server.login("shop")) as (session, _snapshot):
        alone = take_census(session, digests=True, session_factory=refuses, jobs=4)
    assert compare(census(server, "shop"), alone) == []


def test_a_table_that_cannot_be_read_is_named(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE corrupt TEMPLATE template0")
    server.execute(
        "CREATE TABLE fine (id int); CREATE TABLE broken AS SELECT g FROM generate_series(1, 5000) g", db="corrupt"
    )
    server.execute("CHECKPOINT")
    path = server.data / server.psql("SELECT pg_relation_filepath('broken')", "corrupt")
    server.execute("ALTER DATABASE corrupt ALLOW_CONNECTIONS false")
    server.execute("CREATE DATABASE corrupted TEMPLATE corrupt STRATEGY file_copy")
    path = server.data / server.psql("SELECT pg_relation_filepath('broken')", "corrupted")
    with path.open("r+b") as stream:
        stream.seek(8192 * 3 + 200)
        stream.write(b"\xff" * 50)
    with pytest.raises(QueryError) as failed:
        census(server, "corrupted")
    assert failed.value.sqlstate == "XX001"
    assert failed.value.message.startswith("The rows of public.broken could not be read: invalid page in block 3")


# --- cost
def test_many_tables_take_few_statements_and_few_locks(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = 700
    server.execute("CREATE DATABASE many TEMPLATE template0")
    server.execute(
        "DO $$ BEGIN FOR g IN 1..700 LOOP "
        "EXECUTE format('CREATE TABLE t%s (id serial, a int, b text)', g); "
        "EXECUTE format('INSERT INTO t%s (a) VALUES (1), (%s)', g, g + 1); IF g % 20 = 0 THEN COMMIT; END IF; "
        "END LOOP; END $$",
        db="many",
    )
    # One transaction cannot hold locks on all of them.
    with pytest.raises(Exception, match="out of shared memory"):
        server.execute(
            "DO $$ BEGIN FOR g IN 1..700 LOOP EXECUTE format('LOCK TABLE t%s IN ACCESS SHARE MODE', g); "
            "END LOOP; END $$",
            db="many",
        )
    statements: list[Any] = []
    query = Session.query

    def counting(self: Session, statement: Any, *arguments: Any, **more: Any) -> Any:
        statements.append(statement)
        return query(self, statement, *arguments, **more)

    monkeypatch.setattr(Session, "query", counting)
    found = census_of(server.login("many"), digests=True)
    assert len(found.tables) == tables
    assert found.row_count == 2 * tables
    assert len(statements) < 250


def test_a_huge_row(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE huge TEMPLATE template0")
    server.execute("CREATE TABLE one (id int, t text, b bytea)", db="huge")
    server.execute(
        "INSERT INTO one SELECT 1, repeat('\"\\x', 10000000), decode(repeat('00', 40000000), 'hex')", db="huge"
    )
    before = census(server, "huge").tables["public.one"]
    server.execute("UPDATE one SET b = set_byte(b, 39999999, 1)", db="huge")
    after = census(server, "huge").tables["public.one"]
    assert before["rows"] == after["rows"] == 1
    assert before["digest"] != after["digest"]


# --- watermarks and weaknesses
def test_watermarks(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE marks TEMPLATE template0")
    server.execute(
        "CREATE TABLE events (at timestamptz, local timestamp, day date, number bigint, t text);"
        'CREATE TABLE "No Rows" (at date);'
        "INSERT INTO events VALUES ('2026-01-31 23:00:00.5+09', '2026-01-31 23:00', '2026-01-31', 7), "
        "('infinity', 'infinity', 'infinity', 3), ('-infinity', NULL, NULL, NULL)",
        db="marks",
    )
    names = [("events", "at"), ("events", "local"), ("events", "day"), ("events", "number"), ("No Rows", "at")]
    found = census(server, "marks", watermarks=[Watermark("public", *each) for each in names])
    assert found.watermarks == {
        "public.events.at": "2026-01-31T14:00:00.5Z",
        "public.events.local": "2026-01-31T23:00:00",
        "public.events.day": "2026-01-31",
        "public.events.number": "7",
        'public."No Rows".at': None,
    }
    with pytest.raises(InvalidOption) as invalid:
        census(server, "marks", watermarks=[Watermark("public", "events", "gone")])
    assert invalid.value.message == (
        "watermarks: 'public.events.gone' is not accepted. Accepted: columns with dates, times or numbers; this one is "
        "not there."
    )


def test_a_watermark_without_an_index_is_bounded(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE slow TEMPLATE template0")
    server.execute(
        "CREATE TABLE events AS SELECT now() - g * interval '1 s' AS at FROM generate_series(1, 200000) g", db="slow"
    )
    with open_snapshot(server.login("slow")) as (session, _snapshot):
        with pytest.raises(QueryError) as slow:
            read_watermarks(session, [Watermark("public", "events", "at")], seconds=0.001)
        # The transaction, and with it the snapshot, goes on.
        assert session.query("SELECT 1 AS one") == [{"one": 1}]
    assert slow.value.message == (
        "The newest value of public.events.at was not found within 0.001 seconds. CREATE INDEX CONCURRENTLY ON "
        "public.events (at), or name a column that has an index."
    )


def test_a_copy_by_itself_shows_what_is_weak(server: PostgresServer) -> None:
    server.execute("CREATE DATABASE weak TEMPLATE shop")
    server.execute("SELECT setval('customers_id_seq', 5)", db="weak")
    server.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_created'::regclass", db="weak")
    found = [each.detail for each in weaknesses(census(server, "weak"))]
    assert found == [
        "The sequence public.customers_id_seq is behind: it gives 6 next, and 3000 is taken in public.customers.id.",
        "The constraint public.notes.notes_order is not validated: rows that break it may be there. ALTER TABLE … "
        "VALIDATE CONSTRAINT shows the first.",
        "The index public.orders.orders_created is invalid.",
        "The trigger public.orders.orders_off is disabled.",
        "The materialized view public.never_filled is not populated.",
    ]


def test_sessions_through_which_nothing_can_be_changed(server: PostgresServer) -> None:
    with open_snapshot(server.login("shop")) as (session, _snapshot), pytest.raises(QueryError, match="read-only"):
        session.query("DELETE FROM public.notes")
    with connect(server.login("shop"), statement_timeout_seconds=5) as session:
        assert session.query("SELECT count(*) AS rows FROM public.notes") == [{"rows": 1}]
