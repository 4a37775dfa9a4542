"""The role backup sends its backups on: what arrives, what is a finding, what a check of the copy says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.backup_runs import names_in, sha256, whole
from lab.play import RoleRun, run_role
from lab.postgresql import PostgresServer
from lab.redis import RedisServer
from lab.s3 import S3Server

pytestmark = pytest.mark.xdist_group("backup")

MakeBucket = Callable[..., str]
RunModule = Callable[..., dict[str, Any]]
CONFIRMED = ("-e", "confirm=shop")


@pytest.fixture(scope="module")
def shop() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        server.execute("CREATE DATABASE shop")
        server.psql(
            "CREATE TABLE orders AS SELECT g AS id, md5(g::text) AS item FROM generate_series(1, 500) g", db="shop"
        )
        yield server


def back_up(directory: Path, *arguments: str, expect: int = 0, **variables: Any) -> RoleRun:
    return run_role(directory, "backup", {"runbook_system": "shop", **variables}, *arguments, expect=expect)


def login_of(store: S3Server) -> dict[str, Any]:
    return {**store.login(), "session_token": "", "profile": "", "ca_bundle": ""}


def keys_in(store: S3Server, bucket: str) -> list[str]:
    found = store.client().list_objects_v2(Bucket=bucket)
    return [each["Key"] for each in found.get("Contents", [])]


def test_a_dump_goes_to_a_disk_and_a_bucket(
    shop: PostgresServer, store: S3Server, make_bucket: MakeBucket, tmp_path: Path, run_module: RunModule
) -> None:
    bucket, first, second = make_bucket("Enabled"), tmp_path / "first", tmp_path / "second"
    login = {f"postgresql_{name}": value for name, value in shop.login("shop").items()}
    variables = {
        **login,
        "backup_parts": ["postgresql"],
        "postgresql_backup_repository": str(first),
        "backup_postgresql_format": "directory",
        "backup_copies": [
            {"repository": str(second), "parts": ["postgresql"]},
            {"repository": f"s3://{bucket}/postgresql", "object_store": login_of(store), "options": {"newest": 1}},
            {"repository": str(tmp_path / "of redis"), "parts": ["redis"]},
        ],
    }
    check = back_up(tmp_path, "--check", **variables)
    assert check.of("warning", "critical", "unknown") == []
    assert (names_in(first), names_in(second), keys_in(store, bucket)) == ([], [], [])

    real = back_up(tmp_path, *CONFIRMED, "-vvv", **variables)
    assert real.of("warning", "critical", "unknown") == [], real.output
    assert store.secret_key not in real.output
    [name] = whole(first)
    assert whole(second) == [name]
    assert names_in(second) == names_in(first)
    assert [key for key in keys_in(store, bucket) if not key.endswith(".json")] == [
        f"postgresql/{each}" for each in names_in(first) if not each.endswith(".json")
    ]
    assert [(each["part"], each["repository"], each["changed"]) for each in real.facts["copies"]] == [
        ("postgresql", str(second), True), ("postgresql", f"s3://{bucket}/postgresql", True),
    ]  # fmt: skip
    assert not (tmp_path / "of redis").exists()

    # A restore takes the copy as it takes the first: here it is proven by loading it.
    options = {"name_pattern": "shop-%Y%m%d-%H%M%S.dump", "name": name, "level": "semantics", "on_failure": "report"}
    proven = run_module(
        "postgresql_backup_verify", {**store.login(), "repository": f"s3://{bucket}/postgresql", **options}
    )
    assert [each["verdict"] for each in proven["artefacts"]] == ["verified"], proven

    again = back_up(tmp_path, *CONFIRMED, backup_postgresql_max_age="1h", **variables)
    assert [each["changed"] for each in again.facts["copies"]] == [False, False]
    judged = run_role(
        tmp_path, "check_backups",
        {"check_backups_repository": str(first), "check_backups_name_pattern": "shop-%Y%m%d-%H%M%S.dump",
         "check_backups_require_verification": True, "check_backups_copies": variables["backup_copies"][:2]},
    )  # fmt: skip
    unverified = {each["host"]: each["severity"] for each in judged.findings if each["id"] == "backup.unverified"}
    assert unverified == {
        "endpoint": "critical", f"endpoint: {second}": "critical", f"endpoint: s3://{bucket}/postgresql": "ok",
    }  # fmt: skip
    assert [each["repository"]["location"] for each in judged.facts["copies"]] == [
        str(second), f"s3://{bucket}/postgresql/",
    ]  # fmt: skip


def test_a_copy_that_fails_is_a_critical_finding_and_the_others_go_on(
    store: S3Server, make_bucket: MakeBucket, tmp_path: Path
) -> None:
    bucket = make_bucket()
    with RedisServer() as server:
        server.client().set("a", 1)
        variables = {
            **{f"redis_{name}": value for name, value in server.login().items()},
            "backup_redis_directory": str(tmp_path / "kept"),
            "backup_redis_options": {"server_binary": str(server.binary)},
            "backup_copies": [
                {"repository": "s3://there-is-none/redis", "object_store": login_of(store)},
                {"repository": f"s3://{bucket}/redis", "object_store": login_of(store)},
            ],
        }
        run = back_up(tmp_path, *CONFIRMED, **variables)
    assert run.of("warning", "critical", "unknown") == [("backup.copy_failed", "redis to s3://there-is-none/redis")], [
        each["summary"] for each in run.findings
    ]
    assert "there-is-none" in run.finding("backup.copy_failed", "redis to s3://there-is-none/redis")["summary"]
    [path] = (tmp_path / "kept").glob("*.rdb")
    assert keys_in(store, bucket) == [f"redis/{path.name}", f"redis/{path.name}.manifest.json"]
    body = store.client().get_object(Bucket=bucket, Key=f"redis/{path.name}")["Body"].read()
    assert body == path.read_bytes()


def test_files_go_to_a_second_place(store: S3Server, make_bucket: MakeBucket, tmp_path: Path) -> None:
    bucket, tree = make_bucket(), tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "b").write_bytes(b"picture")
    variables = {
        "backup_parts": ["files"], "backup_files_source": str(tree), "backup_files_repository": str(tmp_path / "first"),
        "backup_copies": [
            {"repository": "s3://there-is-none/files", "object_store": login_of(store)},
            {"repository": f"s3://{bucket}/files", "object_store": login_of(store)},
            {"repository": str(tmp_path / "second")},
        ],
    }  # fmt: skip
    check = back_up(tmp_path, "--check", **{**variables, "backup_copies": variables["backup_copies"][1:]})
    assert check.of("warning", "critical", "unknown") == []
    assert keys_in(store, bucket) == []
    run = back_up(tmp_path, *CONFIRMED, **variables)
    assert run.of("critical") == [("backup.copy_failed", "files to s3://there-is-none/files")]
    [sums] = (tmp_path / "first").glob("*.sums")
    for place in (tmp_path / "first", tmp_path / "second"):
        done = subprocess.run(["sha256sum", "-c", f"../{sums.name}"], cwd=place / "files", check=False)
        assert done.returncode == 0
        assert sha256(place / sums.name) == json.loads((place / f"{sums.name}.manifest.json").read_bytes())["sha256"]
    assert f"files/{sums.name}.manifest.json" in keys_in(store, bucket)
    assert run.facts["files"]["after"]["path"] == str(tmp_path / "first" / sums.name)


@pytest.mark.parametrize(
    "entry",
    [{"parts": ["redis"]}, {"repository": "second"}, {"repository": "/second", "parts": ["rds"]},
     {"repository": "/second", "bucket": "x"}],
    ids=["nowhere", "relative", "part", "misspelt"],
)  # fmt: skip
def test_copies_that_cannot_be_meant(tmp_path: Path, entry: dict[str, Any]) -> None:
    run = back_up(tmp_path, *CONFIRMED, expect=2, backup_parts=[], backup_copies=[entry])
    assert "Each of backup_copies needs repository, an absolute directory" in " ".join(run.output.split())
