"""postgresql_backup against real servers: what it writes, what it counts, what it refuses."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.backup_database import DATABASE, build_backup_database
from lab.backup_runs import (
    NAME,
    NOW,
    backup_options,
    bin_directory,
    manifest_in,
    names_in,
    rows_of,
    run_client,
    sha256,
    sha256_of,
    whole,
)
from lab.pgbouncer import PgBouncer
from lab.postgresql import PostgresServer
from lab.process import descendants
from lab.redis_backups import eventually, result_of, start_module
from lab.s3 import S3Server

ModuleRunner = Callable[..., dict[str, Any]]
MEGABYTES = 45
OTHERS = "open for others"
FREE = re.compile(r"has \d+ bytes free")


@pytest.fixture(scope="module")
def shop() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        build_backup_database(server, MEGABYTES)
        server.psql(f"CREATE ROLE reader LOGIN PASSWORD '{OTHERS}'")
        server.psql(f"CREATE ROLE auditor LOGIN BYPASSRLS PASSWORD '{OTHERS}'")
        yield server


def restored(server: PostgresServer, name: str, load: Callable[[str], subprocess.CompletedProcess[Any]]) -> str:
    """A new database with what a backup holds."""
    server.psql(f"DROP DATABASE IF EXISTS {name}")
    server.psql(f"CREATE DATABASE {name} TEMPLATE template0")
    done = load(name)
    assert done.returncode == 0, done.stderr
    return name


def load_archive(server: PostgresServer, path: Path) -> Callable[[str], subprocess.CompletedProcess[Any]]:
    return lambda database: run_client(server, "pg_restore", "--exit-on-error", "-d", database, str(path))


def load_sql(server: PostgresServer, data: bytes) -> Callable[[str], subprocess.CompletedProcess[Any]]:
    return lambda database: run_client(
        server, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", database=database, input=data, stdin=None
    )


def counted(manifest: dict[str, Any]) -> dict[str, int]:
    """The rows of the tables of a manifest that have any to count."""
    tables = manifest["census"]["tables"]
    return {name: each["rows"] for name, each in tables.items() if each["kind"] in ("table", "partition")}


# --- what is written


@pytest.mark.parametrize(
    ("options", "name"),
    [
        pytest.param({}, NAME, id="custom"),
        pytest.param({"format": "directory", "jobs": 2}, NAME, id="directory"),
        pytest.param({"format": "plain", "name_pattern": "shop-%Y%m%d.sql"}, "shop-20260131.sql", id="plain"),
        pytest.param(
            {"format": "plain", "name_pattern": "shop-%Y%m%d.sql.gz"}, "shop-20260131.sql.gz", id="plain and gzip"
        ),
        pytest.param(
            {"format": "plain", "name_pattern": "%Y/shop-%Y%m%d.sql.zst", "compression_level": None},
            "2026/shop-20260131.sql.zst",
            id="plain and zstd, in a directory of its year",
        ),
    ],
)
def test_a_backup_restores_to_what_its_manifest_says(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path, options: dict[str, Any], name: str
) -> None:
    place = tmp_path / "kept"
    options = backup_options(shop, place, watermarks=["public.audit_logs.created_at"], **options)
    check = run_module("postgresql_backup", options, check_mode=True, diff=True)
    assert check["changed"] is True, check
    assert check["after"] is None
    assert not place.exists(), "check mode makes nothing"
    real = run_module("postgresql_backup", options, diff=True)
    assert real["changed"] is True, real
    assert real["actions"] == check["actions"]
    assert [each["action"] for each in real["actions"]] == ["dump", "count", "globals", "publish"]
    assert real["after"]["name"] == real["backup"]["name"] == name
    assert real["diff"]["before"] == "no backup\n"
    assert whole(place) == [name.rsplit("/", 1)[-1]]
    assert [path for path in place.rglob("*") if path.stat().st_mode & 0o077] == [], "for their owner only"
    assert shop.password not in json.dumps(real)
    manifest = manifest_in(place, name)
    assert shop.password not in json.dumps(manifest)
    assert (
        manifest["bytes"]
        == real["backup"]["bytes"]
        == sum(
            (place / each).stat().st_size
            for each in names_in(place)
            if each.startswith(name) and ".json" not in each and not each.endswith(".globals.sql")
        )
    )
    path = place / name
    if name.endswith(".zst"):
        load = load_sql(shop, subprocess.run(["zstd", "-dc", str(path)], check=True, capture_output=True).stdout)
        assert b"checksum" not in path.read_bytes()[:4]
        assert "XXH64" in subprocess.run(["zstd", "-lv", str(path)], check=True, capture_output=True, text=True).stdout
    elif name.endswith(".gz"):
        load = load_sql(shop, gzip.decompress(path.read_bytes()))
    elif name.endswith(".sql"):
        load = load_sql(shop, path.read_bytes())
    else:
        load = load_archive(shop, path)
    database = restored(shop, "proof", load)
    assert rows_of(shop, counted(manifest), database) == counted(manifest) == rows_of(shop, counted(manifest))
    assert counted(manifest)["public.sessions_cache"] == 100
    assert shop.psql("SELECT count(*) FROM pg_largeobject_metadata", db=database) == "5"
    assert manifest["census"]["large_objects"]["count"] == real["backup"]["large_objects"] == 5
    newest = shop.psql("SELECT to_char(max(created_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM audit_logs", db=DATABASE)
    assert real["backup"]["watermarks"]["public.audit_logs.created_at"].startswith(newest)
    roles = (place / f"{name}.globals.sql").read_text(encoding="utf-8")
    assert "CREATE ROLE storebridge_app" in roles
    assert "SCRAM-SHA-256" not in roles


@pytest.mark.parametrize("major", [14, 16, 17, 18])
def test_every_major_is_dumped_by_a_client_that_fits(run_module: ModuleRunner, tmp_path: Path, major: int) -> None:
    with PostgresServer(major) as server:
        build_backup_database(server)
        taken = run_module("postgresql_backup", backup_options(server, tmp_path))
        assert taken["changed"], taken
        assert taken["backup"]["server_version"].startswith(f"{major}.")
        assert int(taken["backup"]["client_version"].split(".")[0]) >= major
        manifest = manifest_in(tmp_path)
        assert rows_of(server, counted(manifest)) == counted(manifest)
        database = restored(server, "proof", load_archive(server, tmp_path / NAME))
        assert rows_of(server, counted(manifest), database) == counted(manifest)


def test_what_is_written_while_the_dump_runs_is_neither_dumped_nor_counted(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    ended = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        with shop.connect(DATABASE) as connection, connection.cursor() as cursor:
            while not ended.is_set():
                cursor.execute("INSERT INTO forbidden_words VALUES (%s, 'x')", (f"busy {written}",))
                cursor.execute("SELECT nextval('ticket')")
                written += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: written > 10, "rows are written")
        taken = run_module("postgresql_backup", backup_options(shop, tmp_path))
    finally:
        ended.set()
        writer.join()
    assert taken["changed"], taken
    manifest = manifest_in(tmp_path)
    database = restored(shop, "proof", load_archive(shop, tmp_path / NAME))
    assert rows_of(shop, counted(manifest), database) == counted(manifest)
    assert counted(manifest)["public.forbidden_words"] < written, "rows came in while it was taken"
    at = manifest["census"]["sequences"]["public.ticket"]["last_value"]
    assert at <= int(shop.psql("SELECT last_value FROM ticket", db=database))
    shop.psql("DELETE FROM forbidden_words WHERE word LIKE 'busy %'", db=DATABASE)


def test_a_part_of_a_database_says_that_it_is_one(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    taken = run_module("postgresql_backup", backup_options(shop, tmp_path, schemas=["Billing Office"], globals=False))
    assert taken["changed"], taken
    assert taken["backup"]["partial"] is True
    manifest = manifest_in(tmp_path)
    assert list(counted(manifest)) == ['"Billing Office"."Invoices"']
    assert manifest["globals"] is None
    listing = run_client(shop, "pg_restore", "--list", str(tmp_path / NAME), text=True).stdout
    assert "TABLE DATA Billing Office Invoices" in listing
    assert "public products" not in listing
    without = run_module(
        "postgresql_backup",
        backup_options(
            shop, tmp_path, exclude_table_data=["public.audit_logs"], name_pattern="part-%Y%m%d.dump", digests=False
        ),
    )
    assert without["changed"], without
    assert counted(manifest_in(tmp_path, "part-20260131.dump"))["public.audit_logs"] == 0
    database = restored(shop, "proof", load_archive(shop, tmp_path / "part-20260131.dump"))
    assert shop.psql("SELECT count(*) FROM audit_logs", db=database) == "0"
    refused = run_module("postgresql_backup", backup_options(shop, tmp_path, exclude_table_data=["public.jobs"]))
    assert refused["msg"] == (
        "public.job_items refers to public.jobs (constraint job_items_job_id_fkey), which would be missing from the "
        "backup: it could not be restored. Nothing was touched. Leave out public.job_items, too, or neither of them."
    )


def test_a_standby_is_dumped_without_what_it_does_not_have(run_module: ModuleRunner, tmp_path: Path) -> None:
    with PostgresServer() as primary:
        build_backup_database(primary)
        with PostgresServer(standby_of=primary) as standby:
            taken = run_module("postgresql_backup", backup_options(standby, tmp_path))
            assert taken["changed"], taken
            assert taken["backup"]["standby"] is True
            assert taken["notes"][0].startswith("The server is a standby: tables that are UNLOGGED have no rows there")
            manifest = manifest_in(tmp_path)
            assert counted(manifest)["public.products"] == 3000
            database = restored(primary, "proof", load_archive(primary, tmp_path / NAME))
            found = rows_of(primary, counted(manifest), database)
            assert found.pop("public.sessions_cache") == 0
            assert found == {name: rows for name, rows in counted(manifest).items() if name in found}


# --- when it is due


def test_a_young_backup_makes_another_one_superfluous(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    options = backup_options(shop, tmp_path, reference_time=None, max_age="1h", schemas=["Billing Office"])
    first = run_module("postgresql_backup", options)
    assert first["changed"], first
    again = run_module("postgresql_backup", options)
    assert again["changed"] is False, again
    assert again["actions"] == []
    assert again["after"] == again["before"] == first["after"]
    # What is not whole does not count.
    (tmp_path / first["backup"]["name"]).write_bytes(b"short")
    assert run_module("postgresql_backup", {**options, "reference_time": "2026-05-05T05:05:05Z"})["changed"] is True


def test_a_name_that_is_taken_is_not_overwritten(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    """The manual's heredoc was expanded when it was applied: every night wrote the same name over the last backup."""
    options = backup_options(shop, tmp_path, name_pattern="shop-%Y%m%d.dump", schemas=["Billing Office"])
    assert run_module("postgresql_backup", options)["changed"]
    before = sha256(tmp_path / "shop-20260131.dump")
    refused = run_module("postgresql_backup", {**options, "reference_time": "2026-01-31T23:00:00Z"})
    assert refused["msg"] == (
        f"{tmp_path}/shop-20260131.dump is there already. Nothing was written. Let name_pattern (shop-%Y%m%d.dump) "
        "name backups more finely, or move it away."
    )
    assert sha256(tmp_path / "shop-20260131.dump") == before
    # In Seoul it is the next day already.
    seoul = {**options, "reference_time": "2026-01-31T23:00:00Z", "timezone": "Asia/Seoul"}
    assert run_module("postgresql_backup", seoul)["backup"]["name"] == "shop-20260201.dump"


# --- encryption


@pytest.fixture(scope="module")
def age_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("age") / "key.txt"
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    told = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True)
    return path, told.stdout.strip()


@pytest.fixture(scope="module")
def gpg_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    command = ["gpg", "--homedir", str(home), "--batch", "--passphrase", "", "--quick-generate-key", "ops@example.com"]
    subprocess.run(command, check=True, capture_output=True)
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True, capture_output=True)


@pytest.mark.parametrize("method", ["age", "gpg"])
def test_an_encrypted_backup_is_open_to_the_recovery_key_only(
    run_module: ModuleRunner,
    shop: PostgresServer,
    tmp_path: Path,
    age_key: tuple[Path, str],
    gpg_home: Path,
    method: str,
) -> None:
    to = {"age": {"recipients": [age_key[1]]}, "gpg": {"recipients": ["ops@example.com"], "gnupg_home": str(gpg_home)}}
    open_it = {
        "age": ["age", "--decrypt", "-i", str(age_key[0])],
        "gpg": ["gpg", "--homedir", str(gpg_home), "--batch", "--quiet", "--decrypt"],
    }
    name = f"shop-20260131.sql.{method}"
    taken = run_module(
        "postgresql_backup",
        backup_options(
            shop,
            tmp_path,
            format="plain",
            name_pattern=f"shop-%Y%m%d.sql.{method}",
            encryption={"method": method, **to[method]},
        ),
    )
    assert taken["changed"], taken
    assert taken["backup"]["encryption"] == method
    assert names_in(tmp_path) == [name, f"{name}.globals.sql.{method}", f"{name}.manifest.json"]
    for each in names_in(tmp_path)[:2]:
        assert b"PostgreSQL database" not in (tmp_path / each).read_bytes()
    assert whole(tmp_path) == [name]
    data = subprocess.run([*open_it[method], str(tmp_path / name)], check=True, capture_output=True).stdout
    manifest = manifest_in(tmp_path, name)
    assert manifest["encryption"]["content_sha256"] == sha256_of(data)
    assert manifest["encryption"]["content_bytes"] == len(data)
    assert b"-- PostgreSQL database dump complete" in data[-200:]
    roles = subprocess.run(
        [*open_it[method], str(tmp_path / f"{name}.globals.sql.{method}")], check=True, capture_output=True
    ).stdout
    assert b"CREATE ROLE storebridge_app" in roles


# --- buckets


@pytest.mark.parametrize("versioning", [None, "Enabled"], ids=["no versions", "versions"])
def test_a_backup_goes_to_a_bucket_in_parts(
    run_module: ModuleRunner,
    shop: PostgresServer,
    store: S3Server,
    make_bucket: Callable[..., str],
    versioning: str | None,
) -> None:
    bucket = make_bucket(versioning)
    options = backup_options(shop, f"s3://{bucket}/db", format="plain", name_pattern="shop-%Y%m%d.sql", **store.login())
    check = run_module("postgresql_backup", options, check_mode=True)
    client = store.client()
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    taken = run_module("postgresql_backup", options)
    assert taken["changed"], taken
    assert taken["actions"] == check["actions"]
    listed = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
    name = "db/shop-20260131.sql"
    assert listed == [name, f"{name}.globals.sql", f"{name}.manifest.json"]
    got = client.get_object(Bucket=bucket, Key=name)
    data = got["Body"].read()
    assert len(data) > 2 * 16 * 1024 * 1024, "more than two parts"
    assert sha256_of(data) == taken["backup"]["sha256"]
    assert taken["backup"]["version_id"] == got.get("VersionId")
    assert (taken["backup"]["version_id"] is None) == (versioning is None)
    manifest = json.loads(client.get_object(Bucket=bucket, Key=f"{name}.manifest.json")["Body"].read())
    assert manifest["version_id"] == taken["backup"]["version_id"]
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    young = run_module("postgresql_backup", {**options, "reference_time": None, "max_age": "1h"})
    assert young["changed"] is False, young
    assert store.secret_key not in json.dumps([taken, manifest])


def test_a_directory_goes_to_a_bucket_by_way_of_a_work_directory(
    run_module: ModuleRunner, shop: PostgresServer, store: S3Server, make_bucket: Callable[..., str], tmp_path: Path
) -> None:
    bucket = make_bucket()
    options = backup_options(
        shop, f"s3://{bucket}", format="directory", jobs=2, work_directory=str(tmp_path), **store.login()
    )
    taken = run_module("postgresql_backup", options)
    assert taken["changed"], taken
    client = store.client()
    manifest = json.loads(client.get_object(Bucket=bucket, Key=f"{NAME}.manifest.json")["Body"].read())
    for name, part in manifest["members"].items():
        data = client.get_object(Bucket=bucket, Key=f"{NAME}/{name}")["Body"].read()
        (tmp_path / name).write_bytes(data)
        assert sha256_of(data) == part["sha256"]
    database = restored(shop, "proof", load_archive(shop, tmp_path))
    assert rows_of(shop, counted(manifest), database) == counted(manifest)


# --- what is refused before anything is written


def refused(run_module: ModuleRunner, options: dict[str, Any], place: Path) -> str:
    told = run_module("postgresql_backup", options)
    assert told.get("failed") is True, told
    predicted = run_module("postgresql_backup", options, check_mode=True)
    assert names_in(place) == []
    # Others write to this disk, too.
    assert FREE.sub("has", predicted["msg"]) == FREE.sub("has", told["msg"])
    return str(told["msg"])


def test_a_login_that_may_not_read_everything_is_refused_with_the_grant(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    reader = {"login_user": "reader", "login_password": OTHERS}
    place = tmp_path / "kept"
    message = refused(run_module, backup_options(shop, place, **reader), place)
    assert message.startswith('User \'reader\' may not read "Billing Office"."Invoices", ')
    assert message.endswith("Nothing was touched. GRANT pg_read_all_data TO reader;")
    shop.psql("GRANT pg_read_all_data TO reader")
    message = refused(run_module, backup_options(shop, place, **reader), place)
    assert message == (
        "User 'reader' may not read 5 large objects. Nothing was touched. Use a superuser, or GRANT SELECT ON LARGE "
        "OBJECT … to it."
    )
    grants = shop.psql(
        "SELECT format('GRANT SELECT ON LARGE OBJECT %s TO reader, auditor;', oid) FROM pg_largeobject_metadata",
        db=DATABASE,
    )
    shop.psql(grants, db=DATABASE)
    message = refused(run_module, backup_options(shop, place, **reader), place)
    assert message == (
        "Row security hides rows of public.tenants from user 'reader', so a backup by it would not be whole. Nothing "
        "was touched. ALTER ROLE reader BYPASSRLS; or use a superuser."
    )
    shop.psql("GRANT pg_read_all_data TO auditor")
    taken = run_module("postgresql_backup", backup_options(shop, place, login_user="auditor", login_password=OTHERS))
    assert taken["changed"], taken
    manifest = manifest_in(place)
    assert rows_of(shop, counted(manifest)) == counted(manifest)


def test_a_client_older_than_the_server_is_refused(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    with PostgresServer(17) as newer:
        options = {**backup_options(newer, tmp_path), "login_db": "postgres", "bin_directory": bin_directory(shop)}
        minor = shop.server_version_num % 10000
        message = refused(run_module, options, tmp_path)
        assert message == (
            f"The host has no pg_dump for PostgreSQL 17 or newer (found: 15.{minor}). Install postgresql-client-17, "
            "or name its directory in bin_directory."
        )


def test_a_pooler_in_between_is_refused(run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path) -> None:
    with PgBouncer(shop) as pooler:
        options = {**backup_options(shop, tmp_path), "login_port": pooler.port, "ssl_mode": "disable"}
        message = refused(run_module, options, tmp_path)
        assert message.startswith(f"Between here and PostgreSQL at {pooler.host}:{pooler.port} is a connection pooler")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"min_free_bytes": 2**60}, f"and {2**60} are to stay free (min_free_bytes). Nothing was touched.", id="room"
        ),
        pytest.param(
            {"blocked_window": ["Sat 00:00-12:00"]},
            "No backup was taken: it is Sat 00:00 in UTC, within the hours kept free of changes (Sat 00:00-12:00). "
            "Run it at another time.",
            id="window",
        ),
        pytest.param(
            {"schemas": ["nobody"]},
            "schemas: 'nobody' is not accepted. Accepted: schemas of this database.",
            id="no such schema",
        ),
        pytest.param(
            {"exclude_table_data": ["public.measurements"]},
            "Accepted: tables with rows of their own (of a partitioned table, its partitions).",
            id="a partitioned table has no rows",
        ),
        pytest.param(
            {"compression": "zstd"}, "cannot compress with zstd. Nothing was touched.", id="a pg_dump without zstd"
        ),
        pytest.param(
            {"bin_directory": "/usr/bin/nowhere"}, "bin_directory: '/usr/bin/nowhere' is not accepted.", id="no pg_dump"
        ),
        pytest.param({"login_db": "nowhere"}, "there is no such database. Correct login_db.", id="no such database"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    place = tmp_path / "kept"
    assert message in refused(run_module, backup_options(shop, place, **options), place)


def test_a_table_that_is_locked_ends_the_backup_and_nothing_is_published(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    connection = shop.connect(DATABASE, autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE public.products IN ACCESS EXCLUSIVE MODE")
        told = run_module("postgresql_backup", backup_options(shop, tmp_path, lock_timeout=0.5))
    finally:
        connection.close()
    assert told["failed"] is True
    assert "lock" in told["msg"]
    assert names_in(tmp_path) == []


def test_two_runs_at_a_time_are_one_too_many(run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path) -> None:
    connection = shop.connect(DATABASE, autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE public.products IN ACCESS EXCLUSIVE MODE")
        first = start_module("postgresql_backup", backup_options(shop, tmp_path))
        eventually(lambda: bool(list(tmp_path.glob("*.pending.json"))), "the first run writes")
        second = run_module("postgresql_backup", backup_options(shop, tmp_path, reference_time="2026-02-02T00:00:00Z"))
    finally:
        connection.close()
    assert second["msg"] == (f"Another run is writing a backup to {tmp_path}. Wait for it to end, then run this again.")
    assert result_of(first)["changed"] is True
    assert whole(tmp_path) == [NAME]


def test_no_secret_is_to_be_seen_from_outside(shop: PostgresServer, tmp_path: Path, age_key: tuple[Path, str]) -> None:
    options = backup_options(
        shop, tmp_path, format="plain", encryption={"method": "age", "recipients": [age_key[1]]}, role_passwords=True
    )
    connection = shop.connect(DATABASE, autocommit=False)
    seen: dict[str, bytes] = {}
    try:
        with connection.cursor() as cursor:
            # While the dump waits for a lock, everything can be looked at.
            cursor.execute("LOCK TABLE public.products IN ACCESS EXCLUSIVE MODE")
        module = start_module("postgresql_backup", options)

        def looked() -> bool:
            for each in descendants(module.pid):
                try:
                    place = Path(f"/proc/{each.pid}")
                    name = (place / "comm").read_text().strip()
                    seen[name] = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
                except OSError:
                    continue
            return {"pg_dump", "age"} <= seen.keys() and b"PGPASSFILE" in seen["pg_dump"]

        eventually(looked, "pg_dump and age run")
    finally:
        connection.close()
    taken = result_of(module)
    assert taken["changed"], taken
    for name, text in seen.items():
        assert shop.password.encode() not in text, name
    assert shop.password not in json.dumps({**taken, "invocation": None})
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_mode & 0o077] == []
    assert NOW.startswith("2026")
