"""postgresql_reindex against real servers: what is rebuilt, what is cleaned up, what is refused, and what breaks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.postgresql import PostgresServer

Result = dict[str, Any]
RunModule = Callable[..., Result]
MODULE = "postgresql_reindex"
ROWS = 60_000

SCHEMA = f"""
    CREATE TABLE products (id int PRIMARY KEY, sku text NOT NULL, kind int, created_at timestamptz DEFAULT now());
    INSERT INTO products SELECT g, 'sku ' || g, g % 100 FROM generate_series(1, {ROWS}) g;
    CREATE INDEX idx_products_sku ON products (sku);
    CREATE INDEX idx_products_kind ON products (kind);
    CREATE TABLE "MixedCase" (id int, note text);
    INSERT INTO "MixedCase" SELECT g, 'note ' || g FROM generate_series(1, {ROWS}) g;
    CREATE UNIQUE INDEX "Mixed Idx" ON "MixedCase" (id);
    CREATE TABLE healthy (id int PRIMARY KEY);
    INSERT INTO healthy SELECT generate_series(1, {ROWS});
"""
BLOAT = """
    SELECT setseed(0.5);
    DELETE FROM products WHERE random() < 0.9;
    DELETE FROM "MixedCase" WHERE random() < 0.9;
"""
# Two transactions that a rebuild waits for: one before its new index is built, one after the swap.
WRITER = "UPDATE products SET kind = kind WHERE id = (SELECT min(id) FROM products)"
READER = "SELECT count(*) FROM products"
BLOATED = ["public.Mixed Idx", "public.idx_products_kind", "public.idx_products_sku", "public.products_pkey"]


@dataclass
class Database:
    """One database and how the module is run in it."""

    server: PostgresServer
    name: str
    run_module: RunModule
    options: Result = field(default_factory=dict)

    @property
    def has_contrib(self) -> bool:
        return self.psql("SELECT count(*) FROM pg_available_extensions WHERE name = 'pgstattuple'") == "1"

    def arguments(self, **options: Any) -> Result:
        return {**self.server.login(self.name), "min_index_bytes": 100_000, **self.options, **options}

    def run(self, *, check: bool = False, diff: bool = False, **options: Any) -> Result:
        return self.run_module(MODULE, self.arguments(**options), check_mode=check, diff=diff)

    def start(self, **options: Any) -> subprocess.Popen[str]:
        """The module in the background."""
        payload = {"ANSIBLE_MODULE_ARGS": self.arguments(**options)}
        process = subprocess.Popen(
            [sys.executable, "-m", f"ansible_collections.runbook.ops.plugins.modules.{MODULE}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY / "build" / "collections")},
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(payload))
        process.stdin.close()
        process.stdin = None
        return process

    def psql(self, statement: str, **login: str) -> str:
        return self.server.psql(statement, db=self.name, **login)

    def lines(self, statement: str) -> list[str]:
        return self.psql(statement).splitlines()

    def wait_until(self, condition: str, seconds: float = 240.0) -> None:
        deadline = time.monotonic() + seconds
        while self.psql(f"SELECT {condition}") != "t":
            assert time.monotonic() < deadline, f"never became true: {condition}"
            time.sleep(0.05)

    @contextlib.contextmanager
    def transaction(self, statement: str) -> Iterator[int]:
        """A session that is left in its transaction: its process id."""
        with closing(self.server.connect(self.name, autocommit=False)) as connection:
            connection.cursor().execute(f"SET application_name = 'forgotten'; {statement}")
            yield connection.info.backend_pid

    def impatiently(self, statement: str) -> None:
        """Run a statement as by hand, which waits half a second for each lock."""
        with closing(self.server.connect(self.name)) as connection:
            connection.cursor().execute("SET lock_timeout = '500ms'")
            connection.cursor().execute(statement)

    def bloat(self) -> None:
        self.psql(BLOAT)
        self.psql("VACUUM ANALYZE")

    def sizes(self) -> dict[str, int]:
        rows = self.lines("SELECT i.indexrelid::regclass, pg_relation_size(i.indexrelid) FROM pg_index i")
        return {name: int(size) for name, size in (row.split("|") for row in rows)}

    def invalid(self) -> list[str]:
        return self.lines(
            'SELECT c.oid::regclass::text COLLATE "C" FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid'
            " WHERE NOT i.indisvalid AND c.relkind = 'i' ORDER BY 1"
        )


def prepared(server: PostgresServer, name: str, run_module: RunModule) -> Database:
    server.execute(SCHEMA, db=name)
    made = Database(server, name, run_module)
    if made.has_contrib:
        made.psql("CREATE EXTENSION pgstattuple")
        made.psql("CREATE EXTENSION amcheck")
    return made


@pytest.fixture
def database(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> Database:
    return prepared(postgresql_by_major, database_by_major, run_module)


@pytest.fixture
def one(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Database:
    """The preferred server only, for what does not depend on the version."""
    return prepared(postgresql_server, postgresql_database, run_module)


@contextlib.contextmanager
def role(database: Database, *grants: str, attributes: str = "") -> Iterator[Result]:
    """A login with these grants; C({}) in them is its name."""
    name = f"maintainer_{uuid.uuid4().hex[:8]}"
    database.psql(f"CREATE ROLE {name} LOGIN {attributes} PASSWORD 'only me'")
    try:
        for grant in grants:
            database.psql(grant.format(name))
        yield database.server.login(database.name, user=name, password="only me")
    finally:
        database.psql(f"REASSIGN OWNED BY {name} TO postgres")
        database.psql(f"DROP OWNED BY {name}")
        database.psql(f"DROP ROLE {name}")


def in_background(connection: Any, statement: str) -> threading.Thread:
    """A statement that somebody else has to end."""

    def run() -> None:
        with contextlib.suppress(psycopg2.Error):
            connection.cursor().execute(statement)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def objects(entries: list[Result]) -> list[str]:
    return sorted(entry["object"] for entry in entries)


# --- what is rebuilt


def test_rebuilds_what_is_bloated_and_nothing_else(database: Database) -> None:
    database.bloat()
    if not database.has_contrib:
        database.options = {"baseline": dict.fromkeys(BLOATED, 25.0)}
    before, filenodes = database.sizes(), database.lines("SELECT relname, relfilenode FROM pg_class ORDER BY 1")

    check = database.run(check=True, diff=True)
    assert (check["changed"], check["after"], check["rebuilt"], check["refused"]) == (True, None, [], [])
    assert objects(check["actions"]) == BLOATED
    assert database.lines("SELECT relname, relfilenode FROM pg_class ORDER BY 1") == filenodes

    run = database.run(diff=True)
    assert run["actions"] == check["actions"]
    assert (run["changed"], run["refused"], run["remaining"]) == (True, [], [])
    after = database.sizes()
    for entry in run["rebuilt"]:
        name = {"public.Mixed Idx": '"Mixed Idx"'}.get(entry["index"], entry["index"].removeprefix("public."))
        assert (entry["size_before_bytes"], entry["size_after_bytes"]) == (before[name], after[name])
        assert after[name] < before[name] / 4
        assert run["after"][entry["index"]]["filenode"] == int(
            database.psql(f"SELECT pg_relation_filenode('{name}'::regclass)")
        )
        assert run["after"][entry["index"]]["filenode"] != run["before"][entry["index"]]["filenode"]
        if database.has_contrib:
            assert float(database.psql(f"SELECT avg_leaf_density FROM pgstatindex('{name}')")) > 70
            assert database.psql(f"SELECT bt_index_check('{name}'::regclass, true)") == ""
    assert run["saved_bytes"] == sum(before.values()) - sum(after.values())
    assert database.invalid() == []
    assert after["healthy_pkey"] == before["healthy_pkey"]
    assert run["diff"]["before"] != run["diff"]["after"]

    for again in (database.run(check=True), database.run()):
        assert (again["changed"], again["actions"], again["refused"]) == (False, [], [])


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ("id", ""),
        ("id", "WITH (fillfactor = 100)"),
        ("id", "WITH (fillfactor = 50)"),
        ("kind", ""),
        ("kind", "WITH (deduplicate_items = off)"),
        ("kind, sku", ""),
        ("(sku || repeat('x', 100))", ""),
        # Wide keys: even a new index has room on every page.
        ("(repeat(md5(sku), 40))", ""),
        ("sku) INCLUDE (kind", ""),
        ("id) WHERE (kind < 50", ""),
    ],
)
def test_a_rebuilt_index_is_never_due_again(one: Database, keys: str, options: str) -> None:
    one.psql(f"CREATE INDEX shape ON products ({keys}) {options}".replace(") WITH", ") WITH", 1))
    if "WHERE" in keys:
        assert one.psql("SELECT indpred IS NOT NULL FROM pg_index WHERE indexrelid = 'shape'::regclass") == "t"
    one.psql("ALTER INDEX shape SET (fillfactor = 90)" if not options else "SELECT 1")
    fresh = one.run(indexes=["shape"], min_bloat_percent=10, check=True)
    assert fresh["actions"] == [], fresh["candidates"]
    one.bloat()
    first = one.run(indexes=["shape"], min_bloat_percent=10)
    assert objects(first["actions"]) == ["public.shape"], first["candidates"]
    # The promise was kept: at least as small as predicted.
    (rebuilt,), (action,) = first["rebuilt"], first["actions"]
    assert (
        rebuilt["size_after_bytes"] <= rebuilt["size_before_bytes"] * (1 - action["bloat_percent"] / 100) * 1.1 + 16384
    )
    second = one.run(indexes=["shape"], min_bloat_percent=10)
    assert (second["changed"], second["candidates"][0]["decision"]) == (False, "healthy"), second["candidates"]


def test_deleted_pages_count_although_the_density_looks_well(one: Database) -> None:
    """Old rows go in one piece: whole pages are emptied, and those that stay are as full as ever."""
    one.psql(f"DELETE FROM products WHERE id < {ROWS * 9 // 10}")
    one.psql("VACUUM products")
    assert float(one.psql("SELECT avg_leaf_density FROM pgstatindex('products_pkey')")) > 85
    result = one.run(indexes=["products_pkey"])
    assert objects(result["actions"]) == ["public.products_pkey"]
    assert (
        result["after"]["public.products_pkey"]["size_bytes"]
        < result["before"]["public.products_pkey"]["size_bytes"] / 5
    )


@pytest.mark.parametrize(
    "name", ["public.Mixed Idx", 'public."Mixed Idx"', '"Mixed Idx"', "Mixed Idx"], ids=lambda name: name
)
def test_names_of_any_spelling(one: Database, name: str) -> None:
    one.bloat()
    assert objects(one.run(indexes=[name], check=True)["actions"]) == ["public.Mixed Idx"]
    assert "public.Mixed Idx" not in objects(one.run(exclude=[name], check=True)["actions"])


def test_names_that_mean_nothing_or_too_much(one: Database) -> None:
    one.psql("CREATE SCHEMA other; CREATE TABLE other.t (id int); CREATE INDEX idx_products_sku ON other.t (id)")
    assert one.run(indexes=["no_such_index"])["msg"] == (
        f"indexes: 'no_such_index' is not accepted. Accepted: an index that exists in database {one.name}."
    )
    assert one.run(indexes=["idx_products_sku"])["msg"] == (
        "indexes: 'idx_products_sku' is not accepted. Accepted: one index; with the schema it is one of "
        "other.idx_products_sku, public.idx_products_sku."
    )
    one.bloat()
    assert one.run(schemas=["other"])["actions"] == []


def test_what_can_only_be_estimated_is_listed_and_left_alone(one: Database) -> None:
    one.psql("DROP EXTENSION pgstattuple")
    one.bloat()
    before = one.sizes()
    result = one.run()
    assert (result["changed"], one.sizes()) == (False, before)
    found = {each["index"]: each for each in result["candidates"]}
    assert sorted(found) == BLOATED
    for each in found.values():
        assert (each["decision"], each["method"], each["confidence"]) == ("unknown", "estimate", "low")
        assert each["bloat_percent"] > 80
        assert each["remedy"] == "CREATE EXTENSION pgstattuple; GRANT pg_stat_scan_tables TO postgres;"


def test_the_privilege_to_measure(one: Database) -> None:
    one.bloat()
    with role(one, "ALTER TABLE products OWNER TO {}", "GRANT USAGE ON SCHEMA public TO {}") as login:
        options = {**login, "disk_free_bytes": 10**12, "indexes": ["idx_products_sku"]}
        result = one.run(**options)
        (candidate,) = result["candidates"]
        assert (result["actions"], candidate["method"]) == ([], "estimate")
        assert candidate["remedy"].startswith(f"GRANT pg_stat_scan_tables TO {login['login_user']};")
        one.psql(candidate["remedy"])
        assert objects(one.run(**options)["actions"]) == ["public.idx_products_sku"]


def test_the_size_after_a_rebuild_is_the_baseline(one: Database, tmp_path: Path) -> None:
    """GIN has no density; its size per row is compared with what it was right after a rebuild."""
    one.psql("DROP EXTENSION pgstattuple")
    one.psql("CREATE TABLE documents (id int, words int[]) WITH (autovacuum_enabled = off)")
    one.psql("INSERT INTO documents SELECT g, ARRAY[g, g + 1, g % 7] FROM generate_series(1, 20000) g")
    one.psql("CREATE INDEX documents_words ON documents USING gin (words)")
    one.psql("ANALYZE documents")
    file = tmp_path / "kept" / "baseline.json"
    options = {"indexes": ["documents_words"], "baseline_path": str(file)}
    first = one.run(**options, check=True)
    assert (first["candidates"][0]["decision"], file.exists()) == ("unknown", False)
    assert one.run(**options)["changed"] is False
    (entries,) = json.loads(file.read_text())["databases"].values()
    assert entries["public.documents_words"]["source"] == "seen"

    one.psql("DELETE FROM documents WHERE id % 10 <> 0")
    one.psql("VACUUM ANALYZE documents")
    check = one.run(**options, check=True)
    run = one.run(**options)
    assert run["actions"] == check["actions"]
    (action,), (rebuilt,) = run["actions"], run["rebuilt"]
    assert (action["method"], rebuilt["confidence"]) == ("baseline", "medium")
    assert rebuilt["size_after_bytes"] == one.sizes()["documents_words"] < rebuilt["size_before_bytes"]
    (entries,) = json.loads(file.read_text())["databases"].values()
    entry = entries["public.documents_words"]
    assert (entry["source"], entry["bytes_per_row"]) == ("rebuild", round(rebuilt["size_after_bytes"] / 2000, 3))
    again = one.run(**options)
    assert (again["changed"], again["candidates"][0]["decision"], again["candidates"][0]["confidence"]) == (
        False,
        "healthy",
        "high",
    )
    # Another index under the same name has no baseline.
    one.psql("DROP INDEX documents_words; CREATE INDEX documents_words ON documents USING hash (id)")
    assert one.run(**options, check=True)["candidates"][0]["baseline_bytes_per_row"] is None


# --- leftovers


def leave_ccnew(database: Database, statement: str) -> None:
    """Break a rebuild by hand in the middle: a writer holds the table until the rebuild has lost its patience."""
    with database.transaction(WRITER), pytest.raises(psycopg2.errors.LockNotAvailable):
        database.impatiently(statement)


def leave_ccold(database: Database, statement: str) -> None:
    """Break a rebuild by hand after the swap: a reader holds the table."""
    with database.transaction(READER), pytest.raises(psycopg2.errors.LockNotAvailable):
        database.impatiently(statement)


def test_leftovers_are_cleaned_and_what_looks_alike_survives(database: Database) -> None:
    long = "idx_" + "x" * 59
    database.psql(f'CREATE INDEX "{long}" ON products (created_at)')
    # REINDEX TABLE also rebuilds the TOAST table's index.
    leave_ccnew(database, "REINDEX TABLE CONCURRENTLY products")
    leave_ccold(database, "REINDEX INDEX CONCURRENTLY idx_products_sku")
    left = database.invalid()
    assert f"{long[:57]}_ccnew" in left
    assert "idx_products_sku_ccold" in left
    assert any(name.startswith("pg_toast.") and name.endswith("_index_ccnew") for name in left)
    # A user's valid index of such a name, a user's failed build with and without such a name, and a partitioned index
    # that waits for its partitions.
    database.psql("CREATE INDEX orders_ccnew ON healthy (id) WHERE id > 5")
    for name in ("half_built", "half_ccnew"):
        with pytest.raises(LabError, match="could not create unique index"):
            database.psql(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON products (kind)")
    database.psql("CREATE TABLE parts (id int) PARTITION BY RANGE (id)")
    database.psql("CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (9)")
    database.psql("CREATE INDEX parts_ccnew ON ONLY parts (id)")
    users = ["half_built", "half_ccnew"]

    check = database.run(check=True)
    kept = database.run(check=True, clean_leftovers=False)
    assert kept["actions"] == []
    assert database.invalid() == sorted([*left, *users])
    run = database.run()
    assert run["actions"] == check["actions"]
    assert {action["action"] for action in run["actions"]} == {"drop_leftover"}
    assert len(run["actions"]) == len(left)
    assert [run["after"][name] for name in objects(run["actions"])] == [None] * len(left)
    assert database.invalid() == users
    assert [each["index"] for each in run["foreign_invalid"]] == [f"public.{name}" for name in users]
    assert (
        run["foreign_invalid"][0]["definition"]
        == "CREATE UNIQUE INDEX half_built ON public.products USING btree (kind)"
    )
    names = "'orders_ccnew', 'parts_ccnew', 'idx_products_sku', 'products_pkey'"
    survivors = database.psql(f"SELECT count(*) FROM pg_class WHERE relname IN ({names})")
    assert survivors == "4"
    assert database.psql("SELECT count(*) FROM pg_index WHERE indrelid = 'products'::regclass AND indisvalid") == "4"
    again = database.run()
    assert (again["changed"], again["actions"], len(again["foreign_invalid"])) == (False, [], 2)


def test_a_rebuild_of_somebody_else_is_no_leftover(one: Database) -> None:
    one.bloat()
    with one.transaction(WRITER), closing(one.server.connect(one.name)) as other:
        worker = in_background(other, "REINDEX INDEX CONCURRENTLY idx_products_sku")
        one.wait_until(
            "EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase = 'waiting for writers before build')"
        )
        result = one.run(on_refusal="report")
        pid = other.info.backend_pid
        reasons = {each["object"]: each["reason"] for each in result["refused"]}
        assert reasons["public.idx_products_sku_ccnew"] == f"process {pid} may be building it at this moment"
        assert reasons["public.products_pkey"] == (
            f"process {pid} is building an index of table public.products at this moment"
        )
        assert "public.idx_products_sku_ccnew" in [f"public.{name}" for name in one.invalid()]
        assert objects(result["actions"]) == ["public.Mixed Idx"]
        one.psql(f"SELECT pg_cancel_backend({pid})")
        worker.join(30)
        assert not worker.is_alive()


# --- the manuals' commands beside ours


def test_f13_reindex_table_keeps_writers_waiting_and_ours_does_not(one: Database) -> None:
    """ST-37: REINDEX TABLE. A reader, of all things, is enough to see what it does to writers."""
    one.bloat()
    insert = "INSERT INTO products SELECT max(id) + 1, 'new', 1 FROM products"
    with one.transaction(READER), closing(one.server.connect(one.name)) as manual:
        thread = in_background(manual, "REINDEX TABLE products")
        one.wait_until(
            f"EXISTS (SELECT FROM pg_locks WHERE pid = {manual.info.backend_pid} AND relation = 'products'::regclass)"
        )
        with pytest.raises(psycopg2.errors.LockNotAvailable):
            one.impatiently(insert)
        one.psql(f"SELECT pg_terminate_backend({manual.info.backend_pid})")
        thread.join(30)
        assert not thread.is_alive()

    with one.transaction(WRITER):
        ours = one.start(indexes=["idx_products_sku"])
        one.wait_until("EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for writers%')")
        one.impatiently(insert)
    output, _errors = ours.communicate(timeout=300)
    assert objects(json.loads(output)["actions"]) == ["public.idx_products_sku"]
    assert one.psql("SELECT count(*) FROM products WHERE sku = 'new'") == "1"
    assert one.psql("SELECT bt_index_check('idx_products_sku'::regclass, true)") == ""


def test_sb17_the_manuals_reindex_leaves_an_invalid_index_and_nobody_notices(one: Database) -> None:
    statement = "REINDEX INDEX CONCURRENTLY idx_products_sku"
    with pytest.raises(LabError, match="cannot run inside a transaction block"):
        one.psql(f"BEGIN; {statement}; COMMIT")
    leave_ccnew(one, statement)
    assert one.invalid() == ["idx_products_sku_ccnew"]
    # The next attempt succeeds, and the leftover stays for every write to maintain.
    one.psql(statement)
    assert one.invalid() == ["idx_products_sku_ccnew"]
    one.psql("INSERT INTO products SELECT g, 'x', 0 FROM generate_series(1000000, 1020000) g")
    one.psql("VACUUM products")
    assert one.run()["changed"] is True
    assert one.invalid() == []


def test_sb17_if_not_exists_accepts_an_invalid_index(one: Database) -> None:
    with pytest.raises(LabError, match="could not create unique index"):
        one.psql("CREATE UNIQUE INDEX CONCURRENTLY u ON products (kind)")
    one.psql("DELETE FROM products WHERE id > 50")
    one.psql("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS u ON products (kind)")
    assert one.invalid() == ["u"], "the manual believes it has its index"
    result = one.run()
    (foreign,) = result["foreign_invalid"]
    assert (foreign["index"], foreign["table"]) == ("public.u", "public.products")
    assert one.invalid() == ["u"]
    finish = foreign["remedy"].split("with ")[1].split(";")[0]
    one.psql(finish)
    assert (one.invalid(), one.run()["foreign_invalid"]) == ([], [])


def test_f08_unquoted_names_fail_and_ours_are_quoted(one: Database) -> None:
    one.bloat()
    names = one.lines("SELECT indexrelname FROM pg_stat_user_indexes WHERE relname = 'MixedCase'")
    with pytest.raises(LabError, match="syntax error"):
        one.psql(f"REINDEX INDEX CONCURRENTLY {names[0]}")
    assert objects(one.run(indexes=["public.Mixed Idx"])["actions"]) == ["public.Mixed Idx"]


# --- refusals


def refusals(result: Result) -> dict[str, tuple[str, str]]:
    return {each["object"]: (each["reason"], each["remedy"]) for each in result["refused"]}


def test_what_cannot_be_rebuilt_concurrently(one: Database) -> None:
    one.psql("CREATE TABLE rooms (id int, during int4range, EXCLUDE USING gist (during WITH &&))")
    one.psql("CREATE TABLE seats (id int, EXCLUDE USING btree (id WITH =))")
    one.psql(f"INSERT INTO seats SELECT generate_series(1, {ROWS})")
    one.psql("DELETE FROM seats WHERE id % 10 <> 0")
    one.psql("VACUUM ANALYZE seats")
    one.psql("CREATE TABLE parts (id int) PARTITION BY RANGE (id); CREATE INDEX parts_id ON parts (id)")
    one.psql("CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (9)")
    with pytest.raises(LabError):
        one.psql("CREATE UNIQUE INDEX CONCURRENTLY u ON products (kind)")
    names = ["seats_id_excl", "pg_class_oid_index", "parts_id", "u"]
    with closing(one.server.connect(one.name)) as other:
        other.cursor().execute("CREATE TEMP TABLE mine (id int); CREATE INDEX mine_id ON mine (id)")
        result = one.run(indexes=[*names, "mine_id"], on_refusal="report")
        failed = one.run(indexes=names)
    found = {name.split(".", 1)[1]: texts for name, texts in refusals(result).items()}
    assert found["seats_id_excl"] == (
        "REINDEX CONCURRENTLY does not support the index of an exclusion constraint",
        "In a window in which nobody writes to the table: REINDEX INDEX public.seats_id_excl; it locks writers out, "
        "and most readers.",
    )
    assert found["pg_class_oid_index"][0].startswith("REINDEX CONCURRENTLY does not work on system catalogs")
    assert found["parts_id"] == (
        "it is the index of a partitioned table and holds nothing itself",
        "Name the indexes of the partitions: public.parts_1_id_idx.",
    )
    assert found["mine_id"][0] == "it is an index of a session's temporary table"
    assert found["u"][1] == "REINDEX INDEX CONCURRENTLY public.u; or DROP INDEX CONCURRENTLY public.u;"
    assert (result["changed"], len(found)) == (False, 5)
    assert failed["failed"] is True
    assert "(3 more in refused)" in failed["msg"]
    assert one.invalid() == ["u"]


def test_a_missing_privilege_is_named_and_its_grant_is_enough(database: Database) -> None:
    database.bloat()
    name = "public.idx_products_sku"
    options: Result = {"indexes": [name], "disk_free_bytes": 10**12, "baseline": {name: 25.0}, "on_refusal": "report"}
    database.psql("CREATE ROLE shop_owner_of_tables" if not _has_role(database) else "SELECT 1")
    database.psql("ALTER TABLE products OWNER TO shop_owner_of_tables")
    try:
        with role(database, "GRANT pg_read_all_stats TO {}") as login:
            options.update(login)
            user = login["login_user"]
            reason, remedy = refusals(database.run(**options))[name]
            assert reason == "the role may not rebuild it; its table belongs to shop_owner_of_tables"
            maintain = f"GRANT MAINTAIN ON TABLE public.products TO {user}; or "
            owner = f"GRANT shop_owner_of_tables TO {user};"
            assert remedy == (maintain if database.server.server_version_num >= 170000 else "") + owner
            database.psql(remedy.split("; or ")[0])
            assert objects(database.run(**options)["actions"]) == [name]
    finally:
        database.psql("ALTER TABLE products OWNER TO postgres")
        database.psql("DROP ROLE shop_owner_of_tables")


def _has_role(database: Database) -> bool:
    return database.psql("SELECT count(*) FROM pg_roles WHERE rolname = 'shop_owner_of_tables'") == "1"


def test_who_may_maintain_but_not_drop_is_told_what_was_left(database: Database) -> None:
    if database.server.server_version_num < 170000:
        # Before 17, who may rebuild owns the table and may drop as well.
        assert "MAINTAIN" not in database.psql(
            "SELECT string_agg(privilege_type, ' ') FROM aclexplode(acldefault('r', 10))"
        )
        return
    database.bloat()
    grants = "GRANT MAINTAIN ON TABLE products TO {}", "GRANT pg_read_all_stats TO {}"
    with role(database, *grants) as login, database.transaction(WRITER):
        result = database.run(
            **login,
            indexes=["idx_products_sku"],
            disk_free_bytes=10**12,
            baseline={"public.idx_products_sku": 25.0},
            max_wait_seconds=8,
            lock_timeout=0.5,
        )
    reason, _remedy = refusals(result)["public.idx_products_sku"]
    assert reason.endswith("DROP INDEX CONCURRENTLY public.idx_products_sku_ccnew;"), reason
    assert database.invalid() == ["idx_products_sku_ccnew"]


def test_an_old_transaction_is_named_instead_of_waited_for(one: Database) -> None:
    one.bloat()
    with one.transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1") as pid:
        one.wait_until(older_than(pid, 1.2))
        result = one.run(indexes=["idx_products_sku"], max_wait_seconds=1, on_refusal="report")
        reason, remedy = refusals(result)["public.idx_products_sku"]
        assert reason.startswith(
            f"the transaction of process {pid} (postgres, forgotten, idle in transaction) has been open"
        )
        assert remedy == "End it in the application, wait for it, or raise max_wait_seconds."
        assert (result["changed"], one.invalid()) == (False, [])
    # Without a snapshot and without a lock on the table, nobody waits for it.
    with one.transaction("SELECT count(*) FROM healthy") as pid:
        one.wait_until(older_than(pid, 1.2))
        assert one.run(indexes=["idx_products_sku"], max_wait_seconds=1)["changed"] is True


def older_than(pid: int, seconds: float) -> str:
    age = f"xact_start < clock_timestamp() - interval '{seconds} s'"
    return f"EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid} AND {age})"


def test_room_on_the_disk(one: Database) -> None:
    one.bloat()
    size = one.sizes()["idx_products_sku"]
    name = "public.idx_products_sku"
    options: Result = {"indexes": [name], "on_refusal": "report"}
    result = one.run(**options, disk_free_bytes=size * 2)
    assert refusals(result)[name][0] == (
        f"the rebuild needs {round(size * 1.2) + size} bytes for a while (a new copy and its WAL) and only {size * 2} "
        "are free, declared (disk_free_bytes)"
    )
    with role(one, "ALTER TABLE products OWNER TO {}", "GRANT pg_stat_scan_tables TO {}") as login:
        result = one.run(**options, **login)
        reason, remedy = refusals(result)[name]
        assert reason.startswith("the room on the server's disk is unknown: the role may not see data_directory")
        assert "allow_unknown_disk" in remedy
        assert result["unseen"] != []
        assert objects(one.run(**options, **login, allow_unknown_disk=True)["actions"]) == [name]


def test_a_transaction_that_was_prepared_and_forgotten(run_module: RunModule) -> None:
    with PostgresServer(settings={"max_prepared_transactions": 5}) as server:
        server.execute("CREATE DATABASE shop")
        shop = prepared(server, "shop", run_module)
        shop.bloat()
        shop.psql("BEGIN; INSERT INTO products VALUES (-1, 'x', 1); PREPARE TRANSACTION 'order 66'")
        result = shop.run(on_refusal="report")
        reason, remedy = refusals(result)["public.idx_products_sku"]
        assert reason.startswith("the prepared transaction 'order 66' of postgres has been open for")
        assert objects(result["actions"]) == ["public.Mixed Idx"], "its lock is on the other table"
        shop.psql(remedy.split("; or ")[1].split(";")[0])
        assert shop.run()["changed"] is True


def test_limits_refuse_the_whole_run(one: Database) -> None:
    one.bloat()
    before = one.sizes()
    for options, words in (
        ({"max_indexes": 3}, "4 indexes are due and max_indexes allows 3, so none was touched."),
        ({"max_bytes": 1000}, "bytes and max_bytes allows 1000, so none was touched."),
        (
            {"window": ["Mon 01:00-02:00"], "reference_time": "2026-01-31T09:00:00Z"},
            "Nothing is rebuilt because it is Sat 09:00 in UTC, outside the window (Mon 01:00-02:00).",
        ),
    ):
        for check in (True, False):
            result = one.run(check=check, **options)
            assert (result["failed"], objects(result["actions"])) == (True, BLOATED)
            assert words in result["msg"]
    assert one.sizes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_bloat_percent": 5}, "min_bloat_percent: 5.0 is not accepted. Accepted: 10 to 95 percent."),
        ({"baseline_growth_percent": 1}, "baseline_growth_percent: 1.0 is not accepted. Accepted: 10 percent or more."),
        ({"max_indexes": 0}, "max_indexes: 0 is not accepted. Accepted: 1 or more indexes."),
        ({"max_wait_seconds": 0}, "max_wait_seconds: 0.0 is not accepted. Accepted: 1 or more seconds."),
        ({"baseline": {"public.a": "much"}}, "baseline.public.a: 'much' is not accepted."),
        ({"baseline_path": "/proc/version"}, "baseline_path: '/proc/version' is not accepted."),
        ({"window": ["someday"]}, "window: 'someday' is not accepted."),
    ],
)
def test_options_that_cannot_work(one: Database, options: Result, message: str) -> None:
    result = one.run(login_port=1, **options)
    assert result["failed"] is True
    assert message in result["msg"]


def test_time_is_up_between_two_rebuilds(one: Database) -> None:
    one.bloat()
    result = one.run(max_seconds=1, lock_timeout=1, max_wait_seconds=4, baseline_growth_percent=10)
    assert result["remaining"] == []
    one.psql("INSERT INTO products SELECT g, 'sku ' || g, 1 FROM generate_series(200000, 300000) g")
    one.psql("DELETE FROM products WHERE random() < 0.9")
    one.psql("VACUUM ANALYZE products")
    with one.transaction(WRITER) as pid:
        slow = one.start(max_seconds=1, max_wait_seconds=60)
        one.wait_until("EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting for writers%')")
        one.wait_until(
            "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'runbook.ops postgresql_reindex'"
            " AND query_start < clock_timestamp() - interval '1.5 s')"
        )
        one.psql(f"SELECT pg_terminate_backend({pid})")
    output, _errors = slow.communicate(timeout=300)
    result = json.loads(output)
    assert (len(result["actions"]), len(result["remaining"])) == (1, 2)
    assert result["remaining_because"] == "max_seconds (1) are over"
    assert objects(one.run()["actions"]) == sorted(result["remaining"])


# --- what breaks


def test_a_rebuild_that_fails_cleans_up_after_itself(one: Database) -> None:
    """A unique index whose table has duplicates: it is corrupt, and no rebuild can succeed."""
    one.psql("CREATE TABLE codes (code int); INSERT INTO codes SELECT g % 30000 FROM generate_series(1, 60000) g")
    one.psql("CREATE INDEX codes_code ON codes (code)")
    one.psql(
        "SET allow_system_table_mods = on;"
        "UPDATE pg_index SET indisunique = true WHERE indexrelid = 'codes_code'::regclass"
    )
    one.psql("DROP EXTENSION pgstattuple")
    result = one.run(baseline={"public.codes_code": 1.0}, indexes=["codes_code"], on_refusal="report")
    reason, remedy = refusals(result)["public.codes_code"]
    assert reason == (
        'its rebuild failed: could not create unique index "codes_code_ccnew". What it left behind has been dropped'
    )
    assert remedy.startswith("The table holds rows that the unique index forbids")
    assert (result["changed"], one.invalid()) == (False, [])
    failed = one.run(baseline={"public.codes_code": 1.0}, indexes=["codes_code"])
    assert failed["failed"] is True


def test_a_rebuild_that_has_to_wait_too_long_gives_up_and_cleans_up(database: Database) -> None:
    database.bloat()
    database.options = {"baseline": dict.fromkeys(BLOATED, 25.0)}
    with database.transaction(WRITER) as pid:
        result = database.run(
            indexes=["public.idx_products_sku"], max_wait_seconds=8, lock_timeout=0.5, on_refusal="report"
        )
        reason, _remedy = refusals(result)["public.idx_products_sku"]
        assert reason == (
            f"its rebuild waited 8 seconds for process {pid} and gave up. It left public.idx_products_sku_ccnew "
            "behind, which cannot be dropped yet; the next run does that"
        )
    # Nobody can drop it while the writer is there; at the end of its transaction the next run does.
    database.run(indexes=["public.idx_products_sku"])
    assert database.invalid() == []


def mid_rebuild(database: Database, phase: str) -> None:
    database.wait_until(f"EXISTS (SELECT FROM pg_stat_progress_create_index WHERE phase = '{phase}')")


BACKEND = "SELECT pid FROM pg_stat_activity WHERE application_name = 'runbook.ops postgresql_reindex'"


@pytest.mark.parametrize(
    ("holder", "phase", "left"),
    [
        (WRITER, "waiting for writers before build", "idx_products_sku_ccnew"),
        (READER, "waiting for readers before marking dead", "idx_products_sku_ccold"),
    ],
    ids=["before the swap", "after the swap"],
)
@pytest.mark.parametrize("victim", ["module", "backend"])
def test_killed_in_the_middle(database: Database, victim: str, holder: str, phase: str, left: str) -> None:
    database.bloat()
    database.options = {"baseline": dict.fromkeys(BLOATED, 25.0), "indexes": ["public.idx_products_sku"]}
    with database.transaction(holder):
        process = database.start()
        mid_rebuild(database, phase)
        if victim == "module":
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=300)
        else:
            database.psql(f"SELECT pg_terminate_backend(({BACKEND}))")
            output, _errors = process.communicate(timeout=300)
            result = json.loads(output)
            assert result["failed"] is True
            assert "was lost" in result["msg"]
            assert (
                "0 of 1 actions were carried out and every index in use is whole. Run the task again" in result["msg"]
            )
        # The server notices within client_connection_check_interval that nobody is there any more.
        database.wait_until(f"NOT EXISTS ({BACKEND})")
        assert database.invalid() == [left]
    check = database.run(check=True)
    run = database.run()
    assert run["actions"] == check["actions"]
    expected = ["drop_leftover", "rebuild"] if left.endswith("ccnew") else ["drop_leftover"]
    assert [each["action"] for each in run["actions"]] == expected
    assert database.invalid() == []
    assert database.sizes()["idx_products_sku"] < 1_000_000
    assert database.run()["changed"] is False


def test_stopped_in_the_middle_it_says_so_and_leaves_nothing(one: Database) -> None:
    one.bloat()
    with one.transaction(READER):
        process = one.start(indexes=["idx_products_kind"])
        mid_rebuild(one, "waiting for readers before marking dead")
        process.send_signal(signal.SIGTERM)
        output, _errors = process.communicate(timeout=300)
    result = json.loads(output)
    assert result["failed"] is True
    assert result["msg"].startswith("Stopped by signal SIGTERM. 0 of 1 actions were carried out")
    with one.transaction("SELECT 1"):
        process = one.start(indexes=["idx_products_sku"], progress_path=None)
        process.communicate(timeout=300)
    one.run()
    assert one.invalid() == []


def test_progress_names_the_index_the_phase_and_who_is_waited_for(one: Database, tmp_path: Path) -> None:
    one.bloat()
    path = tmp_path / "progress"
    with one.transaction(WRITER) as pid:
        process = one.start(indexes=["public.idx_products_sku"], progress_path=str(path))
        deadline = time.monotonic() + 240
        state: Result = {}
        while state.get("note") != f"waits for process {pid}":
            assert time.monotonic() < deadline, state
            time.sleep(0.1)
            with contextlib.suppress(FileNotFoundError):
                state = json.loads(path.read_text())
        assert (state["phase"], state["what"], state["total"], state["unit"]) == (
            "reindex",
            "public.idx_products_sku (1 of 1), waiting for writers before build",
            1,
            "transactions",
        )
    output, _errors = process.communicate(timeout=300)
    assert json.loads(output)["changed"] is True


def test_two_runs_at_once(one: Database) -> None:
    one.bloat()
    with one.transaction(WRITER):
        first = one.start(indexes=["public.idx_products_sku"])
        mid_rebuild(one, "waiting for writers before build")
        second = one.run()
        assert second["failed"] is True
        assert second["msg"].startswith(f"Another run of postgresql_reindex is at work in database {one.name}")
    output, _errors = first.communicate(timeout=300)
    assert json.loads(output)["changed"] is True


# --- collations


def test_indexes_that_sort_by_an_old_collation(database: Database, tmp_path: Path) -> None:
    """The recorded version is set back, as after an upgrade of the library."""
    try:
        database.psql("CREATE COLLATION words (provider = icu, locale = 'en')")
    except LabError:
        # A build without ICU: the C library's collation of this name has no version.
        database.psql("CREATE COLLATION words (provider = libc, locale = 'C.utf8')")
    database.psql('CREATE TABLE texts (word text COLLATE words, other text COLLATE "C")')
    database.psql("CREATE INDEX texts_word ON texts (word); CREATE INDEX texts_other ON texts (other)")
    database.psql("CREATE INDEX texts_both ON texts (other, word)")
    assert database.run()["collation_drift"] == []
    if database.psql("SELECT collversion IS NULL FROM pg_collation WHERE collname = 'words'") == "t":
        # Without a version there is nothing that could change.
        assert database.run(collation=True)["changed"] is False
        return
    database.psql("UPDATE pg_collation SET collversion = '1.0' WHERE collname = 'words'")
    reported = database.run()
    (drift,) = reported["collation_drift"]
    assert (reported["changed"], drift["collation"], drift["recorded_version"]) == (False, "public.words", "1.0")
    assert sorted(drift["indexes"]) == ["public.texts_both", "public.texts_word"]

    narrowed = database.run(collation=True, exclude=["texts_both"], on_refusal="report")
    assert narrowed["changed"] is False
    assert "exclude leaves out indexes" in refusals(narrowed)["public.words"][0]

    check = database.run(collation=True, check=True)
    run = database.run(collation=True)
    assert run["actions"] == check["actions"]
    assert [(each["action"], each["object"]) for each in run["actions"]] == [
        ("rebuild", "public.texts_both"),
        ("rebuild", "public.texts_word"),
        ("refresh_collation", "public.words"),
    ]
    recorded = "SELECT collversion = pg_collation_actual_version(oid) FROM pg_collation WHERE collname = 'words'"
    assert database.psql(recorded) == "t"
    assert database.run(collation=True)["changed"] is False

    # A range-partitioned table may hold rows in the wrong place, which no rebuild cures; the file remembers.
    database.psql("CREATE TABLE ranges (word text COLLATE words) PARTITION BY RANGE (word)")
    database.psql("UPDATE pg_collation SET collversion = '1.0' WHERE collname = 'words'")
    options: Result = {"collation": True, "on_refusal": "report"}
    refused = database.run(**options)
    assert (refused["changed"], list(refusals(refused))) == (False, ["public.words"])
    options["baseline_path"] = str(tmp_path / "baseline.json")
    assert len(database.run(**options)["actions"]) == 2
    again = database.run(**options)
    assert (again["actions"], again["collation_drift"][0]["indexes"]) == ([], [])


# --- standbys


def test_a_standby_that_falls_behind_is_waited_for(run_module: RunModule) -> None:
    with PostgresServer() as primary, PostgresServer(standby_of=primary) as standby:
        primary.execute("CREATE DATABASE shop")
        shop = prepared(primary, "shop", run_module)
        shop.bloat()
        shop.wait_until("EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')")
        refused = run_module(MODULE, {**standby.login("postgres")})
        assert "is a standby" in refused["msg"]
        shop.wait_until("bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")
        standby.execute("SELECT pg_wal_replay_pause()")
        shop.psql("CREATE TABLE more AS SELECT generate_series(1, 100000) AS id")
        result = shop.run(max_replica_lag_bytes=100_000, max_wait_seconds=3)
        assert (result["actions"], sorted(result["remaining"])) == ([], BLOATED)
        assert result["remaining_because"].endswith("bytes behind (max_replica_lag_bytes: 100000)")
        standby.execute("SELECT pg_wal_replay_resume()")
        shop.wait_until("bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication")
        assert objects(shop.run(max_replica_lag_bytes=10**9)["actions"]) == BLOATED
        with role(shop) as login:
            blind = shop.run(max_replica_lag_bytes=1, **login)
            assert blind["msg"] == (
                "The lag of standbys cannot be seen, so max_replica_lag_bytes and max_replica_lag_seconds cannot be "
                f"kept. GRANT pg_read_all_stats TO {login['login_user']};"
            )
