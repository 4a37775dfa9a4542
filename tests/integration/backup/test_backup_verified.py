"""backup_info tells what is proven: Redis' own proof, records beside backups and elsewhere, real manifests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.redis import RedisServer
from lab.s3 import S3Server

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, members_identity, record_name

pytestmark = pytest.mark.xdist_group("backup")

RunModule = Callable[..., dict[str, Any]]
MakeBucket = Callable[..., str]
REDIS_PATTERN = "shop-%Y%m%dT%H%M%SZ.rdb"


@pytest.fixture(scope="module")
def redis_backups(run_module: RunModule, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A proven backup of a real server, and one taken without proof."""
    place = tmp_path_factory.mktemp("redis")
    with RedisServer() as server:
        with server.client() as client:
            client.mset({f"key:{number}": "x" * 100 for number in range(500)})
        options = {**server.login(), "name": "shop", "dest": str(place), "server_binary": str(server.binary)}
        for verify in (True, False):
            taken = run_module("redis_backup", {**options, "verify": verify})
            assert "failed" not in taken, taken
    yield place


def survey(run_module: RunModule, repository: object, pattern: str, **options: Any) -> dict[str, Any]:
    result = run_module("backup_info", {"repository": str(repository), "name_pattern": pattern, **options})
    assert result.get("available") is True, result
    return result


def test_redis(run_module: RunModule, redis_backups: Path) -> None:
    result = survey(run_module, redis_backups, REDIS_PATTERN, inspect="all")
    unproven, proven = result["artefacts"]
    assert [each["kind"] for each in (unproven, proven)] == ["redis", "redis"]
    assert (unproven["verified"]["verdict"], unproven["verified"]["is_proven"]) == ("error", False)
    assert (proven["verified"]["verdict"], proven["verified"]["is_proven"]) == ("verified", True)
    assert (proven["verified"]["level"], proven["verified"]["source"]) == ("queues", "manifest")
    assert proven["manifest"]["keys"] == 500
    assert proven["manifest"]["kind"] == "redis"
    assert (proven["taken_at_source"], proven["taken_at"]) == ("manifest", proven["manifest"]["taken_at"])
    assert proven["inspected"]["verdict"] == "whole: SHA-256 is that of its manifest"
    assert result["inventory"]["newest_verified"]["name"] == proven["name"]
    assert (result["inventory"]["verified_count"], result["inventory"]["unverified_count"]) == (1, 1)


@pytest.mark.parametrize(
    ("damage", "complete", "reason"),
    [
        (lambda data: data, True, None),
        (lambda data: data[:-20], False, "it ends without the end mark of an RDB file: it was cut off"),
        (lambda data: data.replace(b"key:7", b"key:8", 1), False, "the checksum (CRC-64) does not match"),
    ],
    ids=["whole", "cut", "changed"],
)
def test_redis_without_manifest(
    run_module: RunModule,
    redis_backups: Path,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    complete: bool,
    reason: str | None,
) -> None:
    [source, _other] = sorted(redis_backups.glob("*.rdb"))
    (tmp_path / source.name).write_bytes(damage(source.read_bytes()))
    [found] = survey(run_module, tmp_path, REDIS_PATTERN)["artefacts"]
    assert (found["kind"], found["inspected"]["complete"], found["inspected"]["reason"]) == ("redis", complete, reason)
    assert found["header"]["dumped_by"] in ("redis", "valkey")
    # Its own header says when it was saved, as its name does.
    assert found["taken_at_source"] == "content"
    assert found["verified"] is None


def test_swapped_under_its_manifest(run_module: RunModule, redis_backups: Path, tmp_path: Path) -> None:
    [source, _other] = sorted(redis_backups.glob("*.rdb"))
    changed = source.read_bytes().replace(b"key:7", b"key:8", 1)
    (tmp_path / source.name).write_bytes(changed)
    manifest = Path(f"{source}.manifest.json").read_bytes()
    (tmp_path / f"{source.name}.manifest.json").write_bytes(manifest)
    assert json.loads(manifest)["sha256"] != hashlib.sha256(changed).hexdigest()
    newest = survey(run_module, tmp_path, REDIS_PATTERN)["inventory"]["newest"]
    assert newest["inspected"]["reason"] == "its SHA-256 is not that of its manifest"


def verify(options: dict[str, Any], name: str, verdict: str, records: dict[str, Any] | None = None) -> None:
    """Keep the record that a verification keeps."""
    depot = open_depot(options)
    seen = depot.stat(name)
    assert seen is not None
    identity = dict(seen.identity)
    if seen.is_directory:
        found = {member: depot.stat(f"{name}/{member}") for member in depot.members(name)}
        identity["members"] = members_identity({each: stat and stat.identity for each, stat in found.items()})
    record = Record(
        name, seen.bytes, "ab" * 32, identity, verdict, "restore", "semantics", None, "2026-01-31T05:00:00Z"
    )
    open_depot(records or options).put(record_name(name), record.as_bytes())


@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
def test_records_in_a_bucket(
    run_module: RunModule, store: S3Server, make_bucket: MakeBucket, artefacts: dict[str, bytes], versioning: str | None
) -> None:
    bucket = make_bucket(versioning)
    client = store.client()
    for day in (30, 31):
        client.put_object(Bucket=bucket, Key=f"db/s-202601{day}.sql.gz", Body=artefacts["gzip"] + bytes(day))
    options = {**store.login(), "repository": f"s3://{bucket}/db"}
    verify(options, "s-20260131.sql.gz", "failed")
    verify(options, "s-20260130.sql.gz", "verified")
    facts = survey(run_module, f"s3://{bucket}/db", "s-%Y%m%d.sql.gz", **store.login())["inventory"]
    assert facts["newest_failed"]["name"] == "s-20260131.sql.gz"
    assert facts["newest_verified"]["name"] == "s-20260130.sql.gz"
    assert (facts["failed_since_verified_count"], facts["failed_since_verified_names"]) == (1, "s-20260131.sql.gz")
    # Somebody overwrites the proven one: what was said of it is true no more.
    client.put_object(Bucket=bucket, Key="db/s-20260130.sql.gz", Body=artefacts["gzip"] + bytes(40 - 10))
    client.put_object(Bucket=bucket, Key="db/s-20260130.sql.gz", Body=artefacts["gzip"][:-1] + b"\1" + bytes(30))
    found = survey(run_module, f"s3://{bucket}/db", "s-%Y%m%d.sql.gz", **store.login())
    [old] = [each for each in found["artefacts"] if each["name"] == "s-20260130.sql.gz"]
    assert (old["verified"]["verdict"], old["verified"]["is_current"], old["verified"]["is_proven"]) == (
        "verified", False, False,
    )  # fmt: skip
    assert found["inventory"]["newest_verified"] is None


def test_records_elsewhere(
    run_module: RunModule, artefacts: dict[str, bytes], tmp_path: Path, copy_dump: Callable[[Path], None]
) -> None:
    backups, records = tmp_path / "backups", tmp_path / "records"
    backups.mkdir()
    (backups / "s-20260130").write_bytes(artefacts["custom"])
    copy_dump(backups / "s-20260131")
    for name in ("s-20260130", "s-20260131"):
        verify({"repository": str(backups)}, name, "verified", {"repository": str(records)})
    found = survey(run_module, backups, "s-%Y%m%d", record_repository=str(records))
    assert [each["verified"]["is_proven"] for each in found["artefacts"]] == [True, True]
    assert [each["verified"] for each in survey(run_module, backups, "s-%Y%m%d")["artefacts"]] == [None, None]
    # A file of the directory is replaced.
    data = next((backups / "s-20260131").glob("*.dat.gz"))
    data.unlink()
    data.write_bytes(b"something else")
    found = survey(run_module, backups, "s-%Y%m%d", record_repository=str(records))
    assert [each["verified"]["is_proven"] for each in found["artefacts"]] == [False, True]


def test_records_that_are_not_there(run_module: RunModule, artefacts: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "s-20260131").write_bytes(artefacts["custom"])
    result = survey(run_module, tmp_path, "s-%Y%m%d", record_repository=str(tmp_path / "nowhere"))
    assert result["inventory"]["verified_count"] == 0
    [skipped] = result["skipped_sections"]
    assert skipped["section"] == "verified"
    assert skipped["reason"].startswith(f"The directory {tmp_path / 'nowhere'} does not exist on this host.")


def test_a_touched_backup_is_not_the_proven_one(
    run_module: RunModule, artefacts: dict[str, bytes], tmp_path: Path
) -> None:
    backup = tmp_path / "s-20260131"
    backup.write_bytes(artefacts["custom"])
    verify({"repository": str(tmp_path)}, backup.name, "verified")
    os.utime(backup, (1, 1))
    [found] = survey(run_module, tmp_path, "s-%Y%m%d")["artefacts"]
    assert found["verified"]["is_current"] is False
