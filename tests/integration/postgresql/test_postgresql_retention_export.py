"""postgresql_retention: exports that are proven before anything is deleted, and partitions."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lab.paths import BUILD
from lab.postgresql import PostgresServer
from lab.s3 import S3Server

Result = dict[str, Any]
RunModule = Callable[..., Result]

NOW = "2026-06-01T00:00:00Z"
SCHEMA = """
    CREATE TABLE public.audit (id bigint PRIMARY KEY, at timestamptz NOT NULL, actor text, amount numeric(12, 4),
                               document json, raw bytea);
    CREATE INDEX ON public.audit (at);
    CREATE TABLE public.audit_detail (id bigint PRIMARY KEY, audit_id bigint NOT NULL REFERENCES public.audit,
                                      text text);
    CREATE INDEX ON public.audit_detail (audit_id);
    INSERT INTO public.audit
    SELECT g, timestamptz '2026-01-01 00:00+00' + g * interval '1 hour', 'Zoë "q" \\ ' || g, g / 7.0,
           E'{"a":\n [1,\r\n 2]}', decode('00ff', 'hex')
    FROM generate_series(1, 3000) g;
    INSERT INTO public.audit_detail SELECT g, 1 + g % 3000, E'two\nlines ' || g FROM generate_series(1, 5000) g;
    ANALYZE;
"""
DUE = "at < timestamptz '2026-03-03 00:00+00'"


@dataclass
class Database:
    server: PostgresServer
    name: str
    run_module: RunModule

    def run(self, *policies: Result, check_mode: bool = False, **options: Any) -> Result:
        arguments = {**self.server.login(self.name), "policies": list(policies), "reference_time": NOW, **options}
        return self.run_module("postgresql_retention", arguments, check_mode=check_mode)

    def psql(self, statement: str) -> str:
        return self.server.psql(statement, db=self.name)

    def execute(self, statement: str) -> None:
        self.server.execute(statement, db=self.name)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self.server.query(statement, db=self.name)


@pytest.fixture
def by_major(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> Database:
    postgresql_by_major.execute(SCHEMA, db=database_by_major)
    return Database(postgresql_by_major, database_by_major, run_module)


@pytest.fixture
def database(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Database:
    postgresql_server.execute(SCHEMA, db=postgresql_database)
    return Database(postgresql_server, postgresql_database, run_module)


def audit(**more: Any) -> Result:
    return {
        "name": "audit",
        "table": "public.audit",
        "column": "at",
        "keep": "90 days",
        "action": "export",
        "require_archive": True,
        "children": [{"table": "public.audit_detail"}],
        **more,
    }


def content(directory: Path, table: str) -> list[dict[str, Any]]:
    """The rows in the files of a table, as gzip and json read them."""
    found = []
    for path in sorted(directory.glob(f"*.{table}.jsonl.gz")):
        found += [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    return found


def test_export_to_a_directory(by_major: Database, tmp_path: Path) -> None:
    due = by_major.rows(f"SELECT id, actor, amount::text, document::text FROM public.audit WHERE {DUE} ORDER BY id")
    details = by_major.rows(
        f"SELECT d.id, d.text FROM public.audit_detail d JOIN public.audit a ON a.id = audit_id WHERE {DUE} ORDER BY 1"
    )
    directory = tmp_path / "new" / "export"
    policy = audit(export={"directory": str(directory)})
    predicted = by_major.run(policy, check_mode=True, batch_rows=200)
    assert predicted["changed"]
    assert not directory.exists()
    done = by_major.run(policy, batch_rows=200)
    assert done["actions"] == predicted["actions"], done
    assert (done["policies"][0]["rows"], done["policies"][0]["remaining"]) == (len(due), 0)
    assert done["policies"][0]["proof"][0]["proven"]
    assert by_major.psql(f"SELECT count(*) FROM public.audit WHERE {DUE}") == "0"
    assert by_major.psql("SELECT count(*) FROM public.audit_detail") == str(5000 - len(details))

    rows = sorted(content(directory, "public.audit"), key=lambda row: row["id"])
    assert [(row["id"], row["actor"]) for row in rows] == [(each[0], each[1]) for each in due]
    assert all(row["document"] == {"a": [1, 2]} and row["raw"] == "\\x00ff" for row in rows)
    told = sorted(content(directory, "public.audit_detail"), key=lambda row: row["id"])
    assert [(row["id"], row["text"]) for row in told] == details

    files = done["policies"][0]["files"]
    manifests = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.manifest.json"))]
    assert sum(len(each["files"]) for each in manifests) == len(files)
    for entry in files:
        assert hashlib.sha256(Path(entry["place"]).read_bytes()).hexdigest() == entry["sha256"]
        assert Path(entry["place"]).stat().st_mode & 0o777 == 0o600
    assert by_major.run(policy)["changed"] is False


def test_row_changed_between_export_and_delete_is_not_lost(database: Database, tmp_path: Path) -> None:
    """A row is changed again and again while it is exported: whatever was its last value lies in the file."""
    database.execute("CREATE TABLE public.written (id bigint, actor text)")
    directory = tmp_path / "export"
    stop = threading.Event()
    changes: list[int] = []

    def change() -> None:
        connection = database.server.connect(database.name)
        with connection.cursor() as cursor:
            number = 0
            while not stop.is_set():
                number += 1
                # What is written down is what has happened: no row, no change.
                cursor.execute(
                    "WITH u AS (UPDATE public.audit SET actor = %s WHERE id % 100 = 7 AND at < '2026-02-01' "
                    "RETURNING id, actor) INSERT INTO public.written SELECT * FROM u".replace("% 100", "%% 100"),
                    (f"change {number}",),
                )
                changes.append(cursor.rowcount)
        connection.close()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        done = database.run(audit(export={"directory": str(directory)}), batch_rows=100, max_batch_rows=100)
    finally:
        stop.set()
        thread.join()
    assert sum(changes) > 20
    rows = content(directory, "public.audit")
    by_key = {row["id"]: row["actor"] for row in rows}
    assert len(by_key) == len(rows), "a row is in two files"
    last = dict(database.rows("SELECT id, (array_agg(actor ORDER BY length(actor) DESC, actor DESC))[1] "
                              "FROM public.written GROUP BY id"))  # fmt: skip
    left = dict(database.rows("SELECT id, actor FROM public.audit"))
    for key, actor in last.items():
        assert actor in {by_key.get(key), left.get(key)}, "the last change is lost"
    assert set(by_key) | set(left) == set(range(1, 3001))
    assert not set(by_key) & set(left)
    assert done["policies"][0]["rows"] == len(rows)


def test_rows_that_others_hold_stay_and_are_told(database: Database, tmp_path: Path) -> None:
    connection = database.server.connect(database.name, autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT FROM public.audit WHERE id IN (3, 500) FOR UPDATE")
            cursor.execute("SELECT FROM public.audit_detail WHERE audit_id = 700 FOR UPDATE")
            done = database.run(audit(export={"directory": str(tmp_path)}), batch_rows=200)
            assert not done.get("failed"), done["msg"]
            assert done["policies"][0]["remaining"] == 3
            assert done["policies"][0]["proof"][0]["proven"]
            assert done["after"]["audit"]["rows_due"] == 3
            connection.rollback()
    finally:
        connection.close()
    assert database.psql(f"SELECT string_agg(id::text, ',' ORDER BY id) FROM public.audit WHERE {DUE}") == "3,500,700"
    # They are due again, under a cutoff of their own.
    again = database.run(audit(export={"directory": str(tmp_path)}))
    assert again["policies"][0]["rows"] == 3
    keys = [row["id"] for row in content(tmp_path, "public.audit")]
    assert len(keys) == len(set(keys)) == int(database.psql("SELECT 3000 - count(*) FROM public.audit"))


def test_directory_that_cannot_be_written(database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    failed = database.run(audit(export={"directory": str(tmp_path / "file" / "export")}))
    assert failed["failed"]
    assert failed["msg"].startswith(f"Cannot create {tmp_path}/file/export: Not a directory. No row of this batch was")
    assert database.psql("SELECT count(*) FROM public.audit") == "3000"


def test_export_to_a_bucket(database: Database, s3_server: S3Server, bucket: str) -> None:
    client = s3_server.client()
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    policy = audit(export={"bucket": bucket, "prefix": "shop/audit"})
    due = int(database.psql(f"SELECT count(*) FROM public.audit WHERE {DUE}"))
    done = database.run(policy, s3=s3_server.login(), batch_rows=500)
    assert not done.get("failed"), done
    assert done["policies"][0]["rows"] == due
    rows = 0
    for entry in done["policies"][0]["files"]:
        assert entry["place"].startswith(f"s3://{bucket}/shop/audit/audit.2026-03-03T000000Z.")
        key = entry["place"].removeprefix(f"s3://{bucket}/")
        answer = client.get_object(Bucket=bucket, Key=key, VersionId=entry["version_id"])
        data = answer["Body"].read()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        rows += len(gzip.decompress(data).splitlines()) if ".public.audit.jsonl" in key else 0
    assert rows == due
    assert database.psql(f"SELECT count(*) FROM public.audit WHERE {DUE}") == "0"


def test_bucket_that_refuses(database: Database, s3_server: S3Server, bucket: str) -> None:
    policy = audit(export={"bucket": bucket})
    failed = database.run(policy, s3={**s3_server.login(), "access_key": "AKIAWRONG"})
    assert failed["failed"]
    assert "does not know the access key" in failed["msg"]
    assert database.psql("SELECT count(*) FROM public.audit") == "3000"


def test_database_without_encoding(database: Database, tmp_path: Path) -> None:
    name = f"{database.name}_ascii"
    database.server.execute(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
    try:
        database.server.execute("CREATE TABLE public.audit (id int PRIMARY KEY, at timestamptz)", db=name)
        other = Database(database.server, name, database.run_module)
        told = other.run(audit(export={"directory": str(tmp_path)}, children=[]), on_refusal="report")
        assert told["refused"][0]["reason"].startswith("the database has no encoding (SQL_ASCII)")
    finally:
        database.server.execute(f"DROP DATABASE {name}")


# --- partitions
PARTITIONED = """
    CREATE TABLE public.samples (at timestamptz NOT NULL, id bigint NOT NULL, value float8, PRIMARY KEY (at, id))
    PARTITION BY RANGE (at);
    CREATE TABLE public.samples_1 PARTITION OF public.samples FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE public."Samples 2" PARTITION OF public.samples FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    CREATE TABLE public.samples_3 PARTITION OF public.samples FOR VALUES FROM ('2026-03-01') TO ('2026-04-01');
    CREATE TABLE public.samples_9 PARTITION OF public.samples FOR VALUES FROM ('2026-04-01') TO (MAXVALUE);
    INSERT INTO public.samples SELECT timestamptz '2026-01-01 00:00+00' + g * interval '1 hour', g, g
    FROM generate_series(0, 3000) g;
    ANALYZE;
"""


def samples(**more: Any) -> Result:
    return {
        "name": "samples", "table": "public.samples", "column": "at", "keep": "90 days", "action": "detach", **more,
    }  # fmt: skip


LISTED = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relname ~* 'samples' AND relkind = 'r'"
ATTACHED = f"{LISTED} AND relispartition"


@pytest.mark.parametrize("after_detach", ["drop", "keep"])
def test_partitions_are_detached(by_major: Database, after_detach: str) -> None:
    by_major.execute(PARTITIONED)
    policy = samples(after_detach=after_detach)
    predicted = by_major.run(policy, check_mode=True)
    done = by_major.run(policy)
    assert predicted["actions"] == done["actions"], done
    assert [(each["object"], each["method"]) for each in done["actions"][1:]] == [
        (name, "DETACH PARTITION CONCURRENTLY" + (", DROP TABLE" if after_detach == "drop" else ""))
        for name in ("public.Samples 2", "public.samples_1")
    ]
    assert by_major.psql(ATTACHED) == "samples_3,samples_9"
    left = "samples_3,samples_9" if after_detach == "drop" else "Samples 2,samples_1,samples_3,samples_9"
    assert set(by_major.psql(LISTED).split(",")) == set(left.split(","))
    assert by_major.run(policy)["changed"] is False


def test_partitions_with_a_default(by_major: Database, tmp_path: Path) -> None:
    """CONCURRENTLY is impossible with a DEFAULT partition; the rows are exported before the table goes."""
    by_major.execute(PARTITIONED + "CREATE TABLE public.samples_rest PARTITION OF public.samples DEFAULT;")
    policy = samples(after_detach="export", export={"directory": str(tmp_path)}, require_archive=True)
    due = {row[0] for row in by_major.rows("SELECT id FROM public.samples WHERE at < '2026-03-01'")}
    done = by_major.run(policy)
    assert not done.get("failed"), done
    assert {each["method"] for each in done["actions"][1:]} == {"DETACH PARTITION, export, DROP TABLE"}
    assert by_major.psql(LISTED) == "samples_3,samples_9,samples_rest"
    exported = content(tmp_path, "public.samples_1") + content(tmp_path, "public.Samples_2-????????")
    assert sorted(row["id"] for row in exported) == sorted(due)
    assert by_major.run(policy)["changed"] is False


def test_partition_whose_detaching_was_broken_off(database: Database) -> None:
    """A reader keeps DETACH CONCURRENTLY waiting; it is killed, and the next run finishes it."""
    database.execute(PARTITIONED)
    reader = database.server.connect(database.name, autocommit=False)
    with reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM public.samples")
        process = subprocess.Popen(
            [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.postgresql_retention"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(BUILD / "collections")},
        )  # fmt: skip
        assert process.stdin is not None
        arguments = {**database.server.login(database.name), "policies": [samples()], "reference_time": NOW}
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "lock_timeout": 30}}))
        process.stdin.close()
        process.stdin = None
        deadline = time.monotonic() + 240
        while not database.rows("SELECT 1 FROM pg_inherits WHERE inhdetachpending"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'runbook.ops postgresql_retention' AND datname = current_database()"
        )
        process.communicate(timeout=300)
        reader.rollback()
    reader.close()
    assert database.rows("SELECT count(*) FROM pg_inherits WHERE inhdetachpending") == [(1,)]
    predicted = database.run(samples(), check_mode=True)
    assert predicted["actions"][0]["method"] == "DETACH PARTITION FINALIZE, DROP TABLE"
    assert predicted["actions"][0]["resumes"]
    done = database.run(samples())
    assert done["actions"] == predicted["actions"], done
    assert database.psql(LISTED) == "samples_3,samples_9"


def test_rows_of_partitioned_tables_go_partition_by_partition(by_major: Database) -> None:
    by_major.execute(PARTITIONED + "CREATE TABLE public.samples_archive (LIKE public.samples INCLUDING INDEXES);")
    policy = samples(action="archive", archive_table="public.samples_archive")
    due = int(by_major.psql("SELECT count(*) FROM public.samples WHERE at < '2026-03-03 00:00+00'"))
    done = by_major.run(policy, batch_rows=100)
    assert not done.get("failed"), done
    assert [each["object"] for each in done["actions"][1:]] == [
        *("public.Samples 2", "public.samples_1", "public.samples_3"),
    ]
    assert done["policies"][0]["rows"] == due
    assert all(each["proven"] for each in done["policies"][0]["proof"])
    assert by_major.psql("SELECT count(*) FROM public.samples_archive") == str(due)
    assert by_major.run(policy)["changed"] is False
