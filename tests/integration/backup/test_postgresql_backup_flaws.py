"""The manuals' ways of backing up PostgreSQL, run for real beside ours."""

from __future__ import annotations

import contextlib
import gzip
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.backup_database import DATABASE, build_backup_database
from lab.backup_runs import backup_options, client_environment, manifest_in, names_in, run_client, whole
from lab.faults.small_disk import fill, small_disk
from lab.postgresql import PostgresServer
from lab.redis_backups import eventually, result_of, start_module

ModuleRunner = Callable[..., dict[str, Any]]
PASSWORD = "of the night"
# gzip of nothing: a header and a checksum.
EMPTY_GZIP_BYTES = 20


@pytest.fixture(scope="module")
def shop() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        build_backup_database(server, features=False)
        server.psql(f"CREATE ROLE nightly LOGIN PASSWORD '{PASSWORD}'")
        yield server


def shell(
    server: PostgresServer, script: str, cwd: Path, *, user: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What a line of a manual does in the shell that its container or cron job has."""
    password = PASSWORD if user else None
    return subprocess.run(
        ["sh", "-c", script],
        cwd=cwd,
        env={**client_environment(server, DATABASE, user, password), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,
    )


def refused(run_module: ModuleRunner, options: dict[str, Any], place: Path) -> str:
    told = run_module("postgresql_backup", options)
    assert told.get("failed") is True, told
    assert names_in(place) == [], "nothing was published"
    return str(told["msg"])


def test_f15_a_wrong_database_is_a_green_backup_of_20_bytes(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    manual = shell(shop, "pg_dump -d storebridge_prod | gzip > storebridge-$(date +%Y%m%d).sql.gz", tmp_path)
    assert manual.returncode == 0
    [written] = tmp_path.iterdir()
    assert written.stat().st_size == EMPTY_GZIP_BYTES
    assert subprocess.run(["gzip", "-t", str(written)], check=False).returncode == 0
    written.unlink()

    options = backup_options(shop, tmp_path, format="plain", name_pattern="storebridge-%Y%m%d.sql.gz")
    message = refused(run_module, {**options, "login_db": "storebridge_prod"}, tmp_path)
    assert message.endswith("there is no such database. Correct login_db.")


def test_f15_cron_has_no_database_url(run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path) -> None:
    """Set -e does not see the left side of a pipe, and an empty variable makes pg_dump connect to somewhere else."""
    script = "set -e\npg_dump $DATABASE_URL | gzip > shop.sql.gz\necho 'Backup completed'"
    manual = shell(shop, script, tmp_path, PGHOST="/nowhere", PGDATABASE="")
    assert (manual.returncode, manual.stdout) == (0, "Backup completed\n")
    assert (tmp_path / "shop.sql.gz").stat().st_size == EMPTY_GZIP_BYTES
    (tmp_path / "shop.sql.gz").unlink()
    options = backup_options(shop, tmp_path, login_host="", login_unix_socket="/nowhere")
    assert "no server listens on that socket" in refused(run_module, options, tmp_path)


def test_f15_a_login_without_rights_is_a_green_backup(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    manual = shell(shop, "pg_dump | gzip > shop.sql.gz", tmp_path, user="nightly")
    assert manual.returncode == 0
    assert "permission denied" in manual.stderr
    # pg_dump has written its preamble at most.
    assert len(gzip.decompress((tmp_path / "shop.sql.gz").read_bytes())) < 1000
    (tmp_path / "shop.sql.gz").unlink()
    options = backup_options(shop, tmp_path, login_user="nightly", login_password=PASSWORD)
    assert refused(run_module, options, tmp_path).endswith("GRANT pg_read_all_data TO nightly;")


def test_f16_a_full_disk_is_a_green_backup(run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 40_000_000) as disk:
        fill(disk, 0)
        # A little dump fits into pg_dump's buffer: the error comes when nobody looks any more.
        manual = shell(shop, "pg_dump -t category_mappings > full.sql; echo status $?", disk)
        assert manual.stdout == "status 0\n"
        assert (disk / "full.sql").stat().st_size == 0
        place = disk / "kept"
        message = refused(run_module, backup_options(shop, place), place)
        assert message.startswith(f"{place} has 0 bytes free. The backup needs about ")

        # A disk that fills up meanwhile.
        (disk / "filler").unlink()
        with held(shop):
            module = start_module("postgresql_backup", backup_options(shop, place))
            eventually(lambda: bool(list(place.glob("*.pending.json"))), "it is at work")
            fill(disk, 100_000)
        told = result_of(module)
        assert told["failed"] is True
        assert "No space left on device" in told["msg"]
        assert names_in(place) == []

        script = "pg_dump | gzip > full.sql.gz; echo 'Backup completed'"
        manual = shell(shop, script, disk)
        assert (manual.returncode, manual.stdout) == (0, "Backup completed\n")
        broken = str(disk / "full.sql.gz")
        assert subprocess.run(["gzip", "-t", broken], check=False, capture_output=True).returncode != 0


@contextlib.contextmanager
def held(server: PostgresServer) -> Iterator[None]:
    """Whoever wants to read products waits."""
    connection = server.connect(DATABASE, autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE public.products IN ACCESS EXCLUSIVE MODE")
        yield
    finally:
        connection.close()


def test_f20_f25_the_name_is_frozen_when_the_manifest_is_applied(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    """An unquoted heredoc expands $(date) when it is applied, so every night has the name of that day."""
    apply = "cat > cronjob.sh <<EOF\npg_dump -t forbidden_words > shop-$(date +%Y%m%d).sql\nEOF"
    assert shell(shop, apply, tmp_path).returncode == 0
    text = (tmp_path / "cronjob.sh").read_text(encoding="utf-8")
    assert "$(date" not in text
    for _night in range(2):
        assert shell(shop, "sh cronjob.sh", tmp_path).returncode == 0
    assert len(list(tmp_path.glob("shop-*.sql"))) == 1, "the second night overwrote the first"
    place = tmp_path / "kept"
    for night in ("2026-01-31T02:00:00Z", "2026-02-01T02:00:00Z"):
        options = backup_options(shop, place, name_pattern="shop-%Y%m%d.dump", reference_time=night)
        assert run_module("postgresql_backup", options)["changed"]
    assert whole(place) == ["shop-20260131.dump", "shop-20260201.dump"]


def test_f22_a_dump_of_the_schema_has_no_rows_and_nobody_notices(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    """What the vendor's command of the manual runs by default."""
    manual = shell(shop, "pg_dump --schema-only -f backup.sql && echo done", tmp_path)
    assert (manual.returncode, manual.stdout) == (0, "done\n")
    assert "COPY public.products" not in (tmp_path / "backup.sql").read_text(encoding="utf-8")
    place = tmp_path / "kept"
    assert run_module("postgresql_backup", backup_options(shop, place))["changed"]
    manifest = manifest_in(place)
    assert manifest["census"]["tables"]["public.products"]["rows"] == 3000
    listing = run_client(shop, "pg_restore", "--list", str(place / manifest["name"]), text=True).stdout
    assert "TABLE DATA public products" in listing


def test_f68_the_date_in_a_name_is_that_of_the_business(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    """The manual's container counts in UTC: the backup of 02:00 in Seoul has yesterday's name there."""
    night = "2026-01-31T17:00:00+00:00"
    manual = shell(shop, f"date -d '{night}' +shop-%Y%m%d.sql.gz", tmp_path, TZ="UTC")
    assert manual.stdout == "shop-20260131.sql.gz\n"
    options = backup_options(shop, tmp_path, name_pattern="shop-%Y%m%d.dump", reference_time=night)
    taken = run_module("postgresql_backup", {**options, "timezone": "Asia/Seoul"})
    assert taken["backup"]["name"] == "shop-20260201.dump"


def test_f78_a_manuals_dump_is_open_to_everybody_and_lacks_the_roles(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path
) -> None:
    assert shell(shop, "pg_dump | gzip > shop.sql.gz", tmp_path).returncode == 0
    manual = tmp_path / "shop.sql.gz"
    assert manual.stat().st_mode & 0o044, "readable for every account of the host"
    assert b"CREATE ROLE" not in gzip.decompress(manual.read_bytes())
    place = tmp_path / "kept"
    before = os.umask(0o022)
    try:
        taken = run_module("postgresql_backup", backup_options(shop, place))
    finally:
        os.umask(before)
    assert taken["changed"], taken
    assert [path for path in (place, *place.rglob("*")) if path.stat().st_mode & 0o077] == []
    assert "CREATE ROLE storebridge_app" in Path(taken["backup"]["globals"]).read_text(encoding="utf-8")
    assert taken["backup"]["client_version"].split(".")[0] == "15"


def test_f60_a_password_in_an_address_is_in_the_list_of_processes(shop: PostgresServer, tmp_path: Path) -> None:
    """That ours is nowhere is proven by test_no_secret_is_to_be_seen_from_outside."""
    url = f"postgresql://postgres:{shop.password}@{shop.host}:{shop.port}/{DATABASE}"
    listed = ["ps", "-e", "-o", "args"]
    with held(shop):
        manual = subprocess.Popen(
            ["sh", "-c", "pg_dump $DATABASE_URL | gzip > shop.sql.gz"],
            cwd=tmp_path,
            env={**client_environment(shop), "DATABASE_URL": url},
        )
        eventually(
            lambda: shop.password in subprocess.run(listed, check=True, capture_output=True, text=True).stdout,
            "everybody can read it",
        )
    assert manual.wait() == 0
