"""The part ``files`` of the role backup: a tree into a bucket and into a directory, beside the manual's rsync."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.play import RoleRun, run_role
from lab.s3 import S3Server
from lab.s3_faults import Fault, S3Faults

pytestmark = pytest.mark.xdist_group("backup")

MakeBucket = Callable[..., str]
RunModule = Callable[..., dict[str, Any]]
CONFIRMED = ("-e", "confirm=excelapp")
PATTERN = "excelapp-files-%Y%m%dT%H%M%SZ.sums"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What Active Storage keeps: folders, a hidden file, a name that is no ASCII."""
    root = tmp_path / "storage"
    for name in ("ab/cd/abcd1", "ef/gh/efgh2", ".keep", "매출.xlsx", "empty"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "empty" else name.encode() * 1000)
    return root


def back_up(directory: Path, *arguments: str, expect: int = 0, **more: Any) -> RoleRun:
    variables = {
        "runbook_system": "excelapp", "backup_parts": ["files"],
        **{f"backup_files_{name}" if not name.startswith("aws_") else name: value for name, value in more.items()},
    }  # fmt: skip
    return run_role(directory, "backup", variables, *arguments, expect=expect)


def sums_of(tree: Path) -> str:
    """sha256sum's own list, sorted by name."""
    names = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file())
    return subprocess.run(["sha256sum", *names], cwd=tree, capture_output=True, text=True, check=True).stdout


def aws(store: S3Server) -> dict[str, Any]:
    return {f"aws_{name}": value for name, value in store.login().items()}


def test_into_a_bucket(
    run_module: RunModule, store: S3Server, make_bucket: MakeBucket, tree: Path, tmp_path: Path
) -> None:
    bucket, client = make_bucket(), store.client()
    # The manual: rsync takes "s3" for the name of a host.
    theirs = subprocess.run(["rsync", "-av", f"{tree}/", f"s3://{bucket}/files/"], capture_output=True, check=False)
    # 255 from ssh, or 12 when rsync notices first that nobody answers.
    assert theirs.returncode in (12, 255)
    assert b"rsync error" in theirs.stderr
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    options = {"source": f"{tree}/", "repository": f"s3://{bucket}/excel", **aws(store)}
    check = back_up(tmp_path, "--check", **options)
    assert check.of("warning", "critical", "unknown") == []
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    real = back_up(tmp_path, *CONFIRMED, **options)
    assert real.of("warning", "critical", "unknown") == []
    assert real.facts["files"]["actions"] == check.facts["files"]["actions"]
    assert store.secret_key not in real.output
    after = real.facts["files"]["after"]
    assert (after["files"], after["verdict"]) == (5, "verified")
    keys = {each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert {key for key in keys if "/files/" in key} == {
        f"excel/files/{name}" for name in ("ab/cd/abcd1", "ef/gh/efgh2", ".keep", "매출.xlsx", "empty")
    }
    assert keys >= {f"excel/{after['name']}", f"excel/{after['name']}.manifest.json"}
    sums = client.get_object(Bucket=bucket, Key=f"excel/{after['name']}")["Body"].read()
    assert sums.decode() == sums_of(tree)
    manifest = json.loads(client.get_object(Bucket=bucket, Key=f"excel/{after['name']}.manifest.json")["Body"].read())
    assert (manifest["sha256"], manifest["bytes"]) == (hashlib.sha256(sums).hexdigest(), len(sums))
    assert manifest["tree_bytes"] == sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())

    seen = run_module("backup_info", {**store.login(), "repository": f"s3://{bucket}/excel", "name_pattern": PATTERN})[
        "inventory"
    ]["newest"]
    assert (seen["manifest"]["kind"], seen["manifest"]["files"], seen["verified"]["is_proven"]) == ("files", 5, True)
    assert seen["inspected"]["verdict"] == "whole: SHA-256 is that of its manifest"

    # Restored, the list proves the tree.
    restored = tmp_path / "restored"
    for key in keys:
        if key.startswith("excel/files/"):
            path = restored / key.removeprefix("excel/files/")
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, key, str(path))
    (tmp_path / "sums").write_bytes(sums)
    proven = subprocess.run(["sha256sum", "--check", "--quiet", tmp_path / "sums"], cwd=restored, check=False)
    assert proven.returncode == 0


@pytest.mark.parametrize("is_there", [True, False], ids=["empty", "missing"])
def test_a_tree_that_is_not_there(store: S3Server, make_bucket: MakeBucket, tmp_path: Path, is_there: bool) -> None:
    """Nothing is mounted: mirroring that would empty the copy."""
    bucket, client = make_bucket(), store.client()
    client.put_object(Bucket=bucket, Key="excel/files/precious", Body=b"data")
    source = tmp_path / "storage"
    if is_there:
        source.mkdir()
    run = back_up(
        tmp_path, *CONFIRMED, source=str(source), repository=f"s3://{bucket}/excel", delete=True, **aws(store)
    )
    assert run.of("critical") == [("backup.failed", "files")]
    assert (
        f"Nothing was copied: {source} has 0 files, and at least 1 are expected"
        in (run.finding("backup.failed", "files")["summary"])
    )
    assert [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["excel/files/precious"]


def test_into_a_directory(run_module: RunModule, tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "kept"
    options = {"source": str(tree), "repository": str(place), "exclude": [".keep"]}
    check = back_up(tmp_path, "--check", **options)
    assert check.of("warning", "critical", "unknown") == []
    assert not place.exists()
    real = back_up(tmp_path, *CONFIRMED, **options)
    assert real.of("warning", "critical", "unknown") == []
    (tree / ".keep").unlink()
    assert subprocess.run(["diff", "-r", tree, place / "files"], check=False).returncode == 0
    after = real.facts["files"]["after"]
    assert (place / after["name"]).read_text(encoding="utf-8") == sums_of(tree)
    for path in place.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    [seen] = run_module("backup_info", {"repository": str(place), "name_pattern": PATTERN})["artefacts"]
    assert (seen["manifest"]["files"], seen["verified"]["is_proven"]) == (4, True)


def test_a_copy_that_fails_is_no_backup(tree: Path, tmp_path: Path) -> None:
    """The disk of the copy is full: nothing is published."""
    place = tmp_path / "kept"
    place.mkdir()
    (place / "files").write_text("in the way")
    run = back_up(tmp_path, *CONFIRMED, source=str(tree), repository=str(place))
    assert run.of("critical") == [("backup.failed", "files")]
    assert [path.name for path in place.iterdir()] == ["files"]


def test_what_is_not_there_on_a_second_look(
    store: S3Server, make_bucket: MakeBucket, tree: Path, tmp_path: Path
) -> None:
    """Somebody deletes in the bucket while it is written to: there is no list, and no backup."""
    bucket, client = make_bucket(), store.client()
    with S3Faults(store, Fault("excel/files/ab/cd/abcd1", methods=["HEAD"], status=404)) as proxy:
        login = {f"aws_{name}": value for name, value in proxy.login().items()}
        run = back_up(tmp_path, *CONFIRMED, source=str(tree), repository=f"s3://{bucket}/excel", **login)
    assert run.of("critical") == [("backup.failed", "files")]
    assert (
        f"1 of 5 files were copied to s3://{bucket}/excel and were not there, or not the same, on a second look"
        in (run.finding("backup.failed", "files")["summary"])
    )
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert [key for key in keys if not key.startswith("excel/files/")] == []
