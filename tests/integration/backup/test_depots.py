"""Places that backups are written to: whole or not at all, for their owner only, whoever is killed meanwhile."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.bench import environment
from lab.faults.small_disk import small_disk
from lab.paths import BUILD
from lab.s3 import S3Server

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import BLOCK_BYTES, Depot, open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused

BUCKET = "shop-backups"
CONTENT = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with S3Server() as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": server.region})
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield server


def login(server: S3Server) -> dict[str, Any]:
    return {
        "endpoint_url": server.endpoint_url,
        "region": server.region,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
    }


@pytest.fixture(params=["directory", "bucket"])
def depot(request: pytest.FixtureRequest, tmp_path: Path, store: S3Server) -> Depot:
    if request.param == "directory":
        made = open_depot({"repository": str(tmp_path / "kept")})
    else:
        made = open_depot({"repository": f"s3://{BUCKET}/{request.node.name}", **login(store)})
    made.prepare()
    return made


def read(depot: Depot, name: str, **part: Any) -> bytes:
    return b"".join(depot.open(name, **part))


def test_what_is_committed_is_there_with_its_hashes(depot: Depot) -> None:
    with depot.create("2026/shop.dump") as sink:
        for start in range(0, len(CONTENT), 70_000):
            sink.write(CONTENT[start : start + 70_000])
        stored = sink.commit()
    assert (stored.bytes, stored.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert read(depot, "2026/shop.dump") == CONTENT
    assert read(depot, "2026/shop.dump", start=1000, length=50) == CONTENT[1000:1050]
    found = depot.stat("2026/shop.dump")
    assert found is not None
    assert (found.bytes, found.version_id) == (len(CONTENT), stored.version_id)
    assert (stored.version_id is None) == (depot.kind == "directory")
    with pytest.raises(Refused, match=r"is there already\. Nothing was written"):
        depot.create("2026/shop.dump")


def test_what_is_not_committed_is_not_there(depot: Depot) -> None:
    def broken() -> None:
        with depot.create("shop.dump") as sink:
            sink.write(CONTENT * 20)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert depot.stat("shop.dump") is None
    assert depot.sweep(lambda _name: True) == []


def test_small_files_are_replaced_and_deleted(depot: Depot) -> None:
    assert depot.get("shop.dump.manifest.json") is None
    depot.put("shop.dump.manifest.json", b"one")
    depot.put("shop.dump.manifest.json", b"two")
    assert depot.get("shop.dump.manifest.json") == b"two"
    with pytest.raises(Undecided, match="is larger than 2 bytes"):
        depot.get("shop.dump.manifest.json", 2)
    depot.delete("shop.dump.manifest.json")
    depot.delete("shop.dump.manifest.json")
    assert depot.get("shop.dump.manifest.json") is None
    with pytest.raises(Undecided):
        read(depot, "shop.dump.manifest.json")


def test_one_run_at_a_time(depot: Depot) -> None:
    words = r"Another run is writing backups of shop\. Wait for it to end"
    with depot.lock("writing backups of shop"), pytest.raises(Refused, match=words):  # noqa: SIM117 - the second is inside
        with depot.lock("writing backups of shop"):
            pass
    with depot.lock("writing backups of shop"):
        pass


KILLED = """
import os, sys
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import open_depot
depot = open_depot(eval(sys.argv[1]))
sink = depot.create("shop.dump").__enter__()
sink.write(b"x" * (40 * 1024 * 1024))
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_left_is_swept_by_the_next(tmp_path: Path, store: S3Server) -> None:
    for options in (
        {"repository": str(tmp_path)},
        {"repository": f"s3://{BUCKET}/killed", **login(store)},
    ):
        ended = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), repr(options)],
            env={**environment(), "PYTHONPATH": str(BUILD / "collections")},
            check=False,
        )
        assert ended.returncode == -9
        depot = open_depot(options)
        assert depot.stat("shop.dump") is None
        assert depot.sweep(lambda name: name.startswith("other")) == []
        assert depot.sweep(lambda name: name.startswith("shop")) == ["shop.dump"]
        assert depot.sweep(lambda _name: True) == []
    uploads = store.client().list_multipart_uploads(Bucket=BUCKET)
    assert uploads.get("Uploads", []) == []


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        depot = open_depot({"repository": str(tmp_path / "deep" / "kept")})
        depot.prepare()
        with depot.create("2026/shop.dump") as sink:
            sink.write(b"x")
            sink.commit()
        depot.put("2026/shop.dump.manifest.json", b"{}")
    finally:
        os.umask(before)
    kept = tmp_path / "deep" / "kept"
    assert {oct(path.stat().st_mode & 0o777) for path in kept.rglob("*") if path.is_file()} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in (kept, kept / "2026")} == {"0o700"}


@pytest.mark.parametrize(
    "repository", ["relative/place", "s3://", "http://somewhere/x", ""], ids=["relative", "no bucket", "http", "empty"]
)
def test_other_places_are_refused(repository: str) -> None:
    with pytest.raises(InvalidOption, match=r"repository: .* is not accepted"):
        open_depot({"repository": repository})


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 1024 * 1024) as place:
        depot = open_depot({"repository": str(place)})

        def write() -> None:
            with depot.create("shop.dump") as sink:
                for _chunk in range(40):
                    sink.write(b"x" * 100_000)
                sink.commit()

        with pytest.raises(RunbookError, match="No space left on device"):
            write()
        assert list(place.iterdir()) == []


def test_blocks_are_hashed_by_themselves(tmp_path: Path) -> None:
    depot = open_depot({"repository": str(tmp_path)})
    body = os.urandom(1024) * (BLOCK_BYTES // 1024 + 5)
    with depot.create("large") as sink:
        for start in range(0, len(body), 7_000_001):
            sink.write(body[start : start + 7_000_001])
        stored = sink.commit()
    assert stored.blocks == (
        hashlib.sha256(body[:BLOCK_BYTES]).hexdigest(),
        hashlib.sha256(body[BLOCK_BYTES:]).hexdigest(),
    )
