"""A census finds every difference of a copy once, and none in a copy that is whole, between all majors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.copies import census, dump, fill, restore
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare import compare
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census, census_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import take_census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connect

Servers = Callable[[int], PostgresServer]

# What Debian's PostgreSQL 15 has beside the server: types of extensions, and texts that are equal though not the same.
CONTRIB = """
CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION pg_trgm;
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE contributed (id int PRIMARY KEY, h hstore, c citext, l text COLLATE loose);
INSERT INTO contributed VALUES (1, 'b=>1,a=>NULL', 'CaSe', 'Abc'), (2, '', '', ''), (3, NULL, NULL, NULL);
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    started: dict[int, PostgresServer] = {}

    def server(major: int) -> PostgresServer:
        if major not in started:
            started[major] = PostgresServer(major).__enter__()
            fill(started[major], "original")
        return started[major]

    yield server
    for each in started.values():
        each.__exit__(None, None, None)


@pytest.fixture(scope="module")
def fifteen(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> PostgresServer:
    """The server with a database that has types of extensions, too, and a whole copy of it."""
    server = servers(15)
    fill(server, "shop")
    server.execute(CONTRIB, db="shop")
    path = tmp_path_factory.mktemp("census") / "shop.dump"
    dump(server, "shop", path, server)
    restore(server, path, server, "copy")
    return server


@pytest.fixture(scope="module")
def original(fifteen: PostgresServer) -> Census:
    return census(fifteen, "shop")


def findings(expected: Census, found: Census, **options: bool) -> list[tuple[str, str]]:
    """Codes and objects; in brackets what is noted only."""
    told = compare(expected, found, **options)
    return [(each.code, f"({each.object})" if each.noted else each.object) for each in told]


@pytest.mark.parametrize(("source", "target"), [(14, 15), (14, 18), (15, 17), (17, 18), (18, 18)])
def test_a_copy_on_another_major_is_whole(servers: Servers, tmp_path: Path, source: int, target: int) -> None:
    before, after = servers(source), servers(target)
    dump(before, "original", tmp_path / "dump", after)
    restore(before, tmp_path / "dump", after, f"from_{source}")
    one, other = census(before, "original"), census(after, f"from_{source}")
    assert [each.as_dict() for each in compare(one, other)] == []
    assert one.major == source
    assert other.major == target
    assert one.row_count == other.row_count
    # The same by another way: every table's rows, counted by psql.
    for name, entry in other.tables.items():
        if entry["rows"] is not None:
            only = "" if entry["kind"] == "partitioned table" else "ONLY "
            assert after.psql(f"SELECT count(*) FROM {only}{name}", f"from_{source}") == str(entry["rows"]), name


def test_a_copy_on_the_same_server_is_whole(fifteen: PostgresServer, original: Census) -> None:
    assert compare(original, census(fifteen, "copy")) == []
    assert compare(original, census(fifteen, "copy", jobs=1)) == []
    assert {"public.every_type", "public.no_columns", '"Mixed Schema"."Mixed ""Case"" Table"'} <= set(original.tables)
    assert original.large_objects["count"] == 3
    assert original.large_objects["bytes"] == 2100000 + 5012


def test_the_sessions_settings_have_no_part_in_it(fifteen: PostgresServer, original: Census) -> None:
    fifteen.execute("CREATE DATABASE configured TEMPLATE copy")
    for setting in (
        "datestyle = 'German'",
        "timezone = 'Asia/Seoul'",
        "intervalstyle = 'iso_8601'",
        "extra_float_digits = -3",
        "bytea_output = 'escape'",
        "search_path = 'billing'",
        "quote_all_identifiers = on",
        "xmlbinary = 'hex'",
    ):
        fifteen.execute(f"ALTER DATABASE configured SET {setting}")
    assert compare(original, census(fifteen, "configured")) == []


# Each leaves a copy in which exactly one thing is wrong, with the code and the object that are found.
MUTATIONS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "policy dropped": ("DROP POLICY tenants_own ON tenants", [("structure_differs", "public.tenants.tenants_own")]),
    "policy widened": (
        "ALTER POLICY tenants_own ON tenants USING (true)",
        [("structure_differs", "public.tenants.tenants_own")],
    ),
    "row security off": ("ALTER TABLE tenants DISABLE ROW LEVEL SECURITY", [("structure_differs", "public.tenants")]),
    "trigger disabled": (
        "ALTER TABLE orders DISABLE TRIGGER orders_touch",
        [("structure_differs", "public.orders.orders_touch")],
    ),
    "trigger enabled": (
        "ALTER TABLE orders ENABLE TRIGGER orders_off",
        [("structure_differs", "public.orders.orders_off")],
    ),
    "trigger of a partition disabled": (
        "ALTER TABLE measured_rest DISABLE TRIGGER measured_mark",
        [("structure_differs", "public.measured_rest")],
    ),
    "trigger dropped": ("DROP TRIGGER orders_touch ON orders", [("structure_differs", "public.orders.orders_touch")]),
    "foreign key not enforced": (
        "UPDATE pg_trigger SET tgenabled = 'D' WHERE tgrelid = 'orders'::regclass AND tgisinternal",
        [("structure_differs", "public.orders")],
    ),
    "index invalid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_created'::regclass",
        [("structure_differs", "public.orders.orders_created")],
    ),
    "index dropped": ("DROP INDEX orders_expression", [("structure_differs", "public.orders.orders_expression")]),
    "constraint dropped": (
        "ALTER TABLE customers DROP CONSTRAINT status_known",
        [("structure_differs", "public.customers.status_known")],
    ),
    "constraint of a domain dropped": (
        "ALTER DOMAIN positive DROP CONSTRAINT positive_check",
        [("structure_differs", "public.positive.positive_check")],
    ),
    "foreign key not valid": (
        "ALTER TABLE orders DROP CONSTRAINT orders_customer_fk; ALTER TABLE orders ADD CONSTRAINT orders_customer_fk "
        "FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE DEFERRABLE NOT VALID",
        [("constraint_not_validated", "public.orders.orders_customer_fk")],
    ),
    "foreign key not valid and an orphan": (
        "ALTER TABLE orders DROP CONSTRAINT orders_customer_fk; UPDATE orders SET customer_id = 999999 WHERE id = 6;"
        "ALTER TABLE orders ADD CONSTRAINT orders_customer_fk FOREIGN KEY (customer_id) REFERENCES customers (id) "
        "ON DELETE CASCADE DEFERRABLE NOT VALID",
        [("constraint_not_validated", "public.orders.orders_customer_fk"), ("content_mismatch", "public.orders")],
    ),
    "sequence set back": ("SELECT setval('customers_id_seq', 5)", [("sequence_behind", "public.customers_id_seq")]),
    "sequence back by one": (
        "SELECT setval('customers_id_seq', 3000, false)",
        [("sequence_behind", "public.customers_id_seq")],
    ),
    "descending sequence set back": (
        "SELECT setval('countdown', 90)",
        [("sequence_behind", "public.countdown")],
    ),
    "sequence dropped": ("DROP SEQUENCE never_called", [("structure_missing", "public.never_called")]),
    "sequence of other steps": (
        "ALTER SEQUENCE customers_id_seq INCREMENT 2",
        [("structure_differs", "public.customers_id_seq")],
    ),
    "materialized view not refreshed": (
        "REFRESH MATERIALIZED VIEW totals WITH NO DATA",
        [("matview_unpopulated", "public.totals")],
    ),
    "empty text for null": (
        "UPDATE every_type SET t = '' WHERE id = 3",
        [("content_mismatch", "public.every_type")],
    ),
    "last bit of a float": (
        "UPDATE every_type SET f8 = 0.1::float8 + 1.4e-17 WHERE id = 1",
        [("content_mismatch", "public.every_type")],
    ),
    "minus zero": ("UPDATE every_type SET f4 = 0 WHERE id = 3", [("content_mismatch", "public.every_type")]),
    "scale of a number": ("UPDATE every_type SET n = 0.0 WHERE id = 4", [("content_mismatch", "public.every_type")]),
    "one byte": (
        "UPDATE every_type SET b = set_byte(b, 9999, 0) WHERE id = 4",
        [("content_mismatch", "public.every_type")],
    ),
    "a value that is equal but not the same": (
        "UPDATE contributed SET l = 'aBC' WHERE id = 1",
        [("content_mismatch", "public.contributed")],
    ),
    "another case": ("UPDATE contributed SET c = 'case' WHERE id = 1", [("content_mismatch", "public.contributed")]),
    "two values swapped": (
        "UPDATE customers c SET created_at = o.created_at FROM customers o WHERE c.id + o.id = 41 AND c.id IN (20, 21)",
        [("content_mismatch", "public.customers")],
    ),
    "columns swapped": (
        "UPDATE dropped_column SET a = c, c = a WHERE a = 7",
        [("content_mismatch", "public.dropped_column")],
    ),
    "a row twice instead of another": (
        "DELETE FROM no_columns; INSERT INTO no_columns DEFAULT VALUES;"
        "UPDATE dropped_column SET a = 2, b = 'b2' WHERE a = 1",
        [("content_mismatch", "public.dropped_column"), ("row_count_mismatch", "public.no_columns")],
    ),
    "rows deleted": ("DELETE FROM notes", [("row_count_mismatch", "public.notes")]),
    "rows of a child deleted": ("DELETE FROM child", [("row_count_mismatch", "public.child")]),
    "row of a partition deleted": (
        "DELETE FROM measured WHERE device = 5",
        [("row_count_mismatch", "public.measured_2026_01")],
    ),
    "rows of several partitions deleted": (
        "DELETE FROM measured WHERE device % 10 = 5",
        [("row_count_mismatch", "public.measured")],
    ),
    "large object dropped": ("SELECT lo_unlink(90002)", [("large_objects_missing", "large objects")]),
    "large object changed": ("SELECT lo_put(90001, 1500000, '!')", [("content_mismatch", "large objects")]),
    "large object added": ("SELECT lo_create(0)", [("structure_differs", "large objects")]),
    "table dropped": ("DROP TABLE notes", [("structure_missing", "public.notes")]),
    "partition dropped": ("DROP TABLE regions_kr", [("structure_missing", "public.regions_kr")]),
    "many tables dropped": (
        "DROP TABLE notes, descending, dropped_column, no_columns, empty_table, booked, scratch_pad",
        [("structure_missing", "public.*")],
    ),
    "schema dropped": ("DROP SCHEMA billing CASCADE", [("structure_missing", "billing")]),
    "table added": ("CREATE TABLE surplus (id int)", [("structure_differs", "public.surplus")]),
    "function dropped": (
        "DROP FUNCTION atomic(int, int)",
        [("structure_missing", "public.atomic(a integer, b integer)")],
    ),
    "function changed": (
        "CREATE OR REPLACE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        [("structure_differs", "public.mark()")],
    ),
    "body of a function changed": (
        "CREATE OR REPLACE FUNCTION atomic(a int, b int DEFAULT 2 + 3) RETURNS int LANGUAGE sql IMMUTABLE "
        "BEGIN ATOMIC SELECT a - b; END",
        [("structure_differs", "(public.atomic(a integer, b integer))")],
    ),
    "function of another owner": (
        "ALTER FUNCTION touch() OWNER TO census_app",
        [("structure_differs", "public.touch()")],
    ),
    "view dropped": ("DROP VIEW guarded", [("structure_missing", "public.guarded")]),
    "view over another table": (
        "CREATE OR REPLACE VIEW guarded WITH (security_barrier) AS SELECT id::bigint FROM tenants",
        [("structure_differs", "public.guarded")],
    ),
    "query of a view changed": (
        "CREATE OR REPLACE VIEW guarded WITH (security_barrier) AS SELECT id FROM single WHERE id > 7",
        [("structure_differs", "(public.guarded)")],
    ),
    "view unguarded": ("ALTER VIEW guarded RESET (security_barrier)", [("structure_differs", "public.guarded")]),
    "privilege revoked": (
        'REVOKE SELECT ON customers FROM "Census Reader"',
        [("structure_differs", "public.customers")],
    ),
    "privilege on a column revoked": (
        'REVOKE UPDATE (status) ON customers FROM "Census Reader"',
        [("structure_differs", "public.customers")],
    ),
    "default privileges revoked": (
        'ALTER DEFAULT PRIVILEGES FOR ROLE census_app IN SCHEMA billing REVOKE SELECT ON TABLES FROM "Census Reader"',
        [("structure_missing", "tables of census_app in schema billing")],
    ),
    "type of a column": (
        "ALTER TABLE descending ALTER COLUMN other TYPE bigint",
        [("structure_differs", "public.descending")],
    ),
    "default of a column": (
        "ALTER TABLE dropped_column ALTER COLUMN c SET DEFAULT 6",
        [("structure_differs", "public.dropped_column")],
    ),
    "null allowed": (
        "ALTER TABLE orders ALTER COLUMN amount DROP NOT NULL",
        [("structure_differs", "public.orders")],
    ),
    "column dropped": ("ALTER TABLE dropped_column DROP COLUMN b", [("structure_differs", "public.dropped_column")]),
    "columns in another order": (
        "DROP TABLE descending; CREATE TABLE descending (other int, id int DEFAULT nextval('countdown') PRIMARY KEY);"
        "INSERT INTO descending (other, id) SELECT g, 101 - g FROM generate_series(1, 20) g;"
        "CREATE RULE protect AS ON DELETE TO descending WHERE OLD.id > 99 DO INSTEAD NOTHING",
        [("structure_differs", "public.descending")],
    ),
    "label of an enum": ("ALTER TYPE mood ADD VALUE 'angry'", [("structure_differs", "public.mood")]),
    "rule dropped": ("DROP RULE protect ON descending", [("structure_differs", "public.descending.protect")]),
    "logged": ("ALTER TABLE scratch_pad SET LOGGED", [("structure_differs", "public.scratch_pad")]),
    "inherits no more": ("ALTER TABLE child NO INHERIT parent", [("structure_differs", "public.child")]),
    "publication dropped": (
        "DROP PUBLICATION everything_published",
        [("structure_missing", "everything_published")],
    ),
    "publication of fewer tables": (
        "ALTER PUBLICATION everything_published DROP TABLE orders",
        [("structure_differs", "everything_published")],
    ),
    "event trigger dropped": ("DROP EVENT TRIGGER notice_drops", [("structure_missing", "notice_drops")]),
    "event trigger disabled": (
        "ALTER EVENT TRIGGER notice_drops DISABLE",
        [("structure_differs", "notice_drops")],
    ),
    "statistics dropped": (
        "DROP STATISTICS orders_statistics",
        [("structure_missing", "statistics object public.orders_statistics")],
    ),
    "extension dropped": ("DROP EXTENSION pg_trgm", [("extension_missing", "pg_trgm")]),
    # What is no difference.
    "sequence further on": ("SELECT nextval('customers_id_seq'); SELECT setval('reset_back', 77)", []),
    "storage": ("ALTER INDEX orders_created SET (fillfactor = 50); ALTER TABLE orders SET (fillfactor = 50)", []),
    "comment": ("COMMENT ON TABLE customers IS 'nobody'", []),
    "statistics": ("ANALYZE", []),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_difference_is_found_once(fifteen: PostgresServer, original: Census, mutation: str) -> None:
    statements, expected = MUTATIONS[mutation]
    # Everything but the value of a sequence is undone by the rollback.
    db = "mutated" if "setval" in statements else "copy"
    if db == "mutated":
        fifteen.execute("DROP DATABASE IF EXISTS mutated WITH (FORCE)")
        fifteen.execute("CREATE DATABASE mutated TEMPLATE copy STRATEGY file_copy")
    with connect(fifteen.login(db), statement_timeout_seconds=0, read_only=False) as session:
        session.query("BEGIN ISOLATION LEVEL REPEATABLE READ")
        session.configure({"search_path": "public", "allow_system_table_mods": "on"}, for_transaction=True)
        session.query(statements)
        found = census_from(take_census(session, digests=True).as_dict())
        session.query("ROLLBACK")
    assert findings(original, found) == expected


def test_many_of_a_kind_are_told_as_one(fifteen: PostgresServer, original: Census) -> None:
    fifteen.execute("CREATE DATABASE emptied TEMPLATE copy")
    fifteen.execute("DROP TABLE notes, descending, dropped_column, no_columns, booked", db="emptied")
    (one,) = compare(original, census(fifteen, "emptied"))
    assert one.count == 5
    assert one.detail == (
        "5 tables in schema public are missing: public.booked, public.descending, public.dropped_column and 2 more."
    )


def test_another_encoding_is_found_once(servers: Servers, tmp_path: Path) -> None:
    server = servers(18)
    dump(server, "original", tmp_path / "dump", server)
    restore(server, tmp_path / "dump", server, "bytes", "ENCODING 'SQL_ASCII' LOCALE 'C'")
    (one,) = compare(census(server, "original"), census(server, "bytes"))
    assert one.code == "encoding_mismatch"
    assert one.detail == (
        "The database bytes has another encoding or locale: encoding UTF8 expected and SQL_ASCII found."
    )


def test_another_database_is_told_as_such(fifteen: PostgresServer, original: Census) -> None:
    fifteen.execute("CREATE DATABASE stranger TEMPLATE template0")
    for name in "abcd":
        fifteen.execute(f"CREATE TABLE {name} (id int)", db="stranger")
    assert findings(original, census(fifteen, "stranger")) == [("identity_mismatch", "shop")]


def test_roles_that_were_not_restored(fifteen: PostgresServer, original: Census, tmp_path: Path) -> None:
    dump(fifteen, "shop", tmp_path / "dump", fifteen)
    with PostgresServer(15) as bare:
        bare.execute("CREATE ROLE census_app")
        bare.execute("CREATE DATABASE copy TEMPLATE template0")
        with pytest.raises(AssertionError, match='role "Census Reader" does not exist'):
            restore(fifteen, tmp_path / "dump", bare, "stopped")
        bare.execute('CREATE ROLE "Census Reader"')
        restore(fifteen, tmp_path / "dump", bare, "whole")
        bare.execute('DROP OWNED BY "Census Reader"', db="whole")
        found = census(bare, "whole")
    assert findings(original, found) == [
        ("role_missing", "Census Reader"),
    ]
    assert findings(original, found, ignore_roles=True) == []


def test_data_that_was_left_out(fifteen: PostgresServer, original: Census, tmp_path: Path) -> None:
    dump(fifteen, "shop", tmp_path / "dump", fifteen, "--exclude-table-data=notes")
    restore(fifteen, tmp_path / "dump", fifteen, "partial")
    assert findings(original, census(fifteen, "partial")) == [("row_count_mismatch", "public.notes")]
    # Of the wrong schema. pg_dump and pg_restore call this a success; what is missing is told in a few lines.
    dump(fifteen, "shop", tmp_path / "wrong", fifteen, "-n", '"Mixed Schema"')
    restore(fifteen, tmp_path / "wrong", fifteen, "wrong_schema")
    found = compare(original, census(fifteen, "wrong_schema"), ignore_roles=True)
    assert {each.code for each in found} == {"structure_missing", "large_objects_missing", "extension_missing"}
    assert len(found) < 30
    assert found[-1].detail == "The large objects are missing: 3 expected, 0 found."
