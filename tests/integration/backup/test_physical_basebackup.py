"""postgresql_backup and postgresql_backup_verify with method=basebackup: real copies, looked at with other programs."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.installations import Installation, all_installations
from lab.physical import Shop, codes, leftovers, manifest_of, shop
from lab.s3 import S3Server

ModuleRunner = Callable[..., dict[str, Any]]


def complete_installations() -> dict[str, Installation]:
    """By major version, those with every program that physical backups need."""
    found: dict[str, Installation] = {}
    for each in all_installations():
        if all(each.program(name) for name in ("pg_basebackup", "pg_waldump", "pg_verifybackup", "psql")):
            found.setdefault(f"postgresql-{each.major}", each)
    return found


@pytest.fixture(scope="module", params=sorted(complete_installations()))
def any_shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    with shop(complete_installations()[request.param]) as made:
        yield made


@pytest.fixture(scope="module")
def one() -> Iterator[Shop]:
    with shop() as made:
        yield made


def slots(made: Shop) -> int:
    return int(made.server.psql("SELECT count(*) FROM pg_replication_slots"))


# --- the main path, on every version


def test_a_base_backup_is_what_postgresql_says_it_is_and_is_proven_by_recovering_it(
    run_module: ModuleRunner, any_shop: Shop, tmp_path: Path
) -> None:
    options = any_shop.backup_options()
    check = run_module("postgresql_backup", options, check_mode=True)
    assert check["changed"], check
    assert check["after"] is None
    assert not any_shop.repository.exists()

    taken = run_module("postgresql_backup", options, diff=True)
    assert taken["changed"], taken
    assert (
        [each["action"] for each in taken["actions"]]
        == ["copy", "publish"]
        == [each["action"] for each in check["actions"]]
    )
    name = taken["backup"]["name"]
    place = any_shop.repository / name
    assert sorted(path.name for path in place.iterdir()) == ["backup_manifest", "base.tar.gz", "pg_wal.tar.gz"]
    assert {oct(path.stat().st_mode & 0o777) for path in place.iterdir()} == {"0o600"}
    manifest = manifest_of(any_shop, name)
    for path in place.iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest["members"][path.name]["sha256"]
    identifier = any_shop.server.psql("SELECT system_identifier FROM pg_control_system()")
    assert manifest["physical"]["system_identifier"] == identifier
    assert manifest["census"] is None
    assert any("cannot be compared with counts" in note for note in taken["notes"])
    assert slots(any_shop) == 0
    assert leftovers(any_shop.place) == []
    assert any_shop.server.password not in json.dumps([taken, manifest])

    # Unpacked by tar, sha256sum and PostgreSQL's own program find it whole.
    for file, target in (("base.tar.gz", tmp_path), ("pg_wal.tar.gz", tmp_path / "pg_wal")):
        target.mkdir(exist_ok=True)
        subprocess.run(["tar", "-xpf", str(place / file), "-C", str(target)], check=True)
    listed = json.loads((place / "backup_manifest").read_text(encoding="utf-8"))["Files"]
    sums = "".join(f"{each['Checksum']}  {each['Path']}\n" for each in listed)
    told = subprocess.run(["sha256sum", "-c", "--quiet"], input=sums, cwd=tmp_path, text=True, check=False)
    assert told.returncode == 0
    if any_shop.server.installation.major != 18:
        # That of the wheel with version 18 ends with a segmentation fault whatever it is given.
        argv = [any_shop.bin / "pg_verifybackup", "-m", place / "backup_manifest", tmp_path]
        told = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr

    last = any_shop.insert(3)
    any_shop.switch()
    proven = run_module(
        "postgresql_backup_verify",
        any_shop.verify_options(
            level="consistency",
            must_see=[{"query": f"SELECT 1 FROM orders WHERE id = {last}"}],
            # The packages of some versions have no contributed modules: there pg_checksums has to do.
            amcheck=any_shop.server.installation.has_library("amcheck"),
        ),
    )
    assert proven["verdict"] == "verified", proven["findings"]
    assert proven["level"] == "consistency"
    [artefact] = proven["artefacts"]
    assert codes(artefact) == []
    assert artefact["wal"]["gaps"] == []
    assert artefact["recovered"]["settings"]["archive_mode"] == "off"
    assert artefact["recovered"]["settings"]["listen_addresses"] == ""
    assert artefact["recovered"]["timeline"] == 2
    assert artefact["window"]["until"] >= artefact["window"]["from"]
    assert leftovers(any_shop.place) == []
    again = run_module("postgresql_backup_verify", any_shop.verify_options())
    # Other questions: proven anew. The same once more: its record suffices.
    assert again["artefacts"][0]["is_unchanged"] is False
    third = run_module("postgresql_backup_verify", any_shop.verify_options())
    assert third["artefacts"][0]["is_unchanged"] is True, third["actions"]
    assert not third["changed"]


# --- what it refuses


def test_a_login_that_may_not_replicate_is_told_the_statement(run_module: ModuleRunner, one: Shop) -> None:
    one.server.execute("CREATE ROLE clerk LOGIN PASSWORD 'open sesame'")
    refused = run_module("postgresql_backup", one.backup_options(login_user="clerk", login_password="open sesame"))
    assert refused["failed"]
    assert 'ALTER ROLE "clerk" REPLICATION;' in refused["msg"]
    assert 'host replication "clerk"' in refused["msg"]
    assert not one.repository.exists()


def test_a_replication_role_takes_it_and_is_told_what_it_cannot_see(
    run_module: ModuleRunner, one: Shop, tmp_path: Path
) -> None:
    one.server.execute("CREATE ROLE copier LOGIN REPLICATION PASSWORD 'open sesame'")
    login = {"login_user": "copier", "login_password": "open sesame", "repository": str(tmp_path)}
    taken = run_module("postgresql_backup", one.backup_options(**login))
    assert taken["changed"], taken
    assert any("GRANT pg_read_all_stats" in note for note in taken["notes"])


def test_a_missing_line_of_pg_hba_is_named(run_module: ModuleRunner, one: Shop) -> None:
    path = one.server.data / "pg_hba.conf"
    before = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line for line in before.splitlines() if "replication" not in line), encoding="utf-8")
    one.server.execute("SELECT pg_reload_conf()")
    try:
        refused = run_module("postgresql_backup", one.backup_options())
    finally:
        path.write_text(before, encoding="utf-8")
        one.server.execute("SELECT pg_reload_conf()")
    assert refused["failed"]
    assert 'host replication "postgres" 127.0.0.1/32 scram-sha-256' in refused["msg"]


def test_senders_that_are_all_taken_are_counted_before_anything_begins(run_module: ModuleRunner) -> None:
    with shop(settings={"max_wal_senders": 1}) as made:
        refused = run_module("postgresql_backup", made.backup_options())
        assert "needs 2 WAL senders and 1 of the server's 1" in refused["msg"]
        fetched = run_module("postgresql_backup", made.backup_options(basebackup={"wal_method": "fetch"}))
        assert fetched["changed"], fetched
        assert sorted(path.name for path in (made.repository / fetched["backup"]["name"]).iterdir()) == [
            "backup_manifest",
            "base.tar.gz",
        ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"basebackup": {"max_rate": "5"}}, "basebackup.max_rate: '5' is not accepted"),
        ({"basebackup": {"compression": "none", "compression_level": 3}}, "basebackup.compression_level: 3"),
        ({"basebackup": {"wal_method": "none"}, "wal_archive": ""}, "basebackup.wal_method: 'none' is not accepted"),
        ({"wal_archive": "somewhere"}, "wal_archive: 'somewhere' is not accepted"),
        ({"name_pattern": "base"}, "name_pattern: 'base' is not accepted"),
    ],
    ids=["rate", "level", "no-wal", "archive", "pattern"],
)
def test_options_that_cannot_work(run_module: ModuleRunner, one: Shop, given: dict[str, Any], message: str) -> None:
    refused = run_module("postgresql_backup", one.backup_options(**given))
    assert message in refused["msg"]


# --- elsewhere, encrypted, with tablespaces


def test_a_backup_in_a_bucket_is_encrypted_before_it_leaves_and_opened_by_the_recovery_side(
    run_module: ModuleRunner, one: Shop, s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    key = tmp_path / "recovery.age"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    place = {"repository": f"s3://{bucket}/base", "work_directory": str(tmp_path), **s3_server.login()}
    sealed = {"encryption": {"method": "age", "recipients": [public]}}
    taken = run_module("postgresql_backup", one.backup_options(**place, **sealed))
    assert taken["changed"], taken
    assert [each["action"] for each in taken["actions"]] == ["copy", "encrypt", "upload", "publish"]
    client = s3_server.client()
    objects = {each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]}
    name = taken["backup"]["name"]
    assert objects == {
        f"base/{name}.manifest.json",
        *(f"base/{name}/{each}.age" for each in ("backup_manifest", "base.tar.gz", "pg_wal.tar.gz")),
    }
    head = client.get_object(Bucket=bucket, Key=f"base/{name}/base.tar.gz.age")["Body"].read(20)
    assert head.startswith(b"age-encryption.org/")
    assert leftovers(tmp_path) == []
    del place["work_directory"]
    options = one.verify_options(**place, level="semantics", must_see=[{"query": "SELECT 1 FROM orders"}])
    proven = run_module("postgresql_backup_verify", {**options, "decryption": {"identity_file": str(key)}})
    assert proven["verdict"] == "verified", proven
    lost = run_module("postgresql_backup_verify", {**options, "force": True})
    assert (lost["verdict"], codes(lost)) == ("error", ["no_key"])


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_bytes_that_change_are_told_from_files_that_are_gone(
    run_module: ModuleRunner, one: Shop, tmp_path: Path, compression: str
) -> None:
    options = one.backup_options(repository=str(tmp_path), basebackup={"compression": compression})
    name = run_module("postgresql_backup", options)["backup"]["name"]
    place = tmp_path / name
    base = place / ("base.tar" if compression == "none" else "base.tar.gz")
    good = base.read_bytes()
    flipped = bytearray(good)
    flipped[len(flipped) // 2] ^= 0x10
    verify = one.verify_options(repository=str(tmp_path), level="bytes")
    base.write_bytes(flipped)
    assert codes(run_module("postgresql_backup_verify", verify)) == ["digest_mismatch"]
    base.write_bytes(good[: len(good) // 2])
    assert codes(run_module("postgresql_backup_verify", verify)) == ["size_mismatch"]
    base.unlink()
    assert codes(run_module("postgresql_backup_verify", verify)) == ["size_mismatch"]
    # Somebody who recomputed the hashes of the manifest has not changed PostgreSQL's own list.
    base.write_bytes(flipped)
    manifest = json.loads((tmp_path / f"{name}.manifest.json").read_text(encoding="utf-8"))
    manifest["members"][base.name] |= {"sha256": hashlib.sha256(flipped).hexdigest()}
    (tmp_path / f"{name}.manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert codes(run_module("postgresql_backup_verify", {**verify, "level": "decode"})) == ["decode_failed"]


def test_a_second_backup_is_not_taken_while_the_first_is_young(
    run_module: ModuleRunner, one: Shop, tmp_path: Path
) -> None:
    options = one.backup_options(repository=str(tmp_path), max_age="1h")
    first = run_module("postgresql_backup", options)
    assert first.get("changed"), first
    second = run_module("postgresql_backup", options)
    assert not second["changed"]
    assert second["after"] == first["after"]
    old = run_module(
        "postgresql_backup_verify",
        one.verify_options(
            repository=str(tmp_path), level="bytes", max_age="1h", reference_time="2036-01-01T00:00:00Z"
        ),
    )
    assert (old["verdict"], codes(old)) == ("failed", ["stale"])


def test_too_little_room_is_seen_beforehand(run_module: ModuleRunner, one: Shop, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        refused = run_module("postgresql_backup", one.backup_options(repository=str(small)))
        assert refused["failed"]
        assert refused["code"] == "no_space"
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_pages_that_are_damaged_in_the_source_are_no_backup(run_module: ModuleRunner) -> None:
    with shop() as made:
        made.server.execute("CREATE TABLE torn AS SELECT generate_series(1, 5000) AS id")
        made.server.execute("CHECKPOINT")
        path = made.server.data / made.server.psql("SELECT pg_relation_filepath('torn')")
        with path.open("r+b") as stream:
            stream.seek(8192 + 4000)
            stream.write(b"\xff" * 64)
        taken = run_module("postgresql_backup", made.backup_options())
        assert taken["failed"]
        assert "checksum" in taken["msg"]
        assert [path.name for path in made.repository.iterdir()] == [".runbook.lock"]
        assert slots(made) == 0


def test_damage_that_has_no_checksum_is_found_by_looking_inside(run_module: ModuleRunner) -> None:
    with shop() as made:
        made.server.execute("CREATE TABLE torn AS SELECT generate_series(1, 5000) AS id")
        made.server.execute("CREATE INDEX torn_id ON torn (id)")
        made.server.execute("CHECKPOINT")
        # The index says 5000 rows and the heap loses one behind its back, with a right checksum.
        made.server.execute("CREATE EXTENSION IF NOT EXISTS pageinspect")
        heap = made.server.data / made.server.psql("SELECT pg_relation_filepath('torn')")
        index = made.server.psql("SELECT pg_relation_filepath('torn_id')")
        made.server.psql("CHECKPOINT")
        _swap_items(made, index)
        assert heap.exists()
        taken = run_module("postgresql_backup", made.backup_options())
        assert taken["changed"], taken
        proven = run_module("postgresql_backup_verify", made.verify_options(level="consistency"))
        assert proven["verdict"] == "failed", proven
        assert codes(proven) == ["page_corruption"]
        assert any("torn_id" in (each["object"] or "") for each in proven["findings"])


def _swap_items(made: Shop, index: str) -> None:
    """Exchange two line pointers of an index's leaf, and give the page a right checksum by pg_checksums."""
    server = made.server
    server.stop()
    path = server.data / index
    page = bytearray(path.read_bytes()[8192:16384])
    page[24 + 40 : 24 + 44], page[24 + 80 : 24 + 84] = page[24 + 80 : 24 + 84], page[24 + 40 : 24 + 44]
    with path.open("r+b") as stream:
        stream.seek(8192)
        stream.write(page)
    program = server.installation.bin / "pg_checksums"
    for switch in ("--disable", "--enable"):
        subprocess.run([program, switch, "-D", server.data], check=True, capture_output=True)
    server.start()
