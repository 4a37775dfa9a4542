"""backup_prune on real directories and buckets: what goes, what must not, and what a killed run leaves."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.redis_backups import start_module
from lab.s3 import S3Server
from lab.s3_faults import Fault, S3Faults

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import open_depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, record_name

pytestmark = pytest.mark.xdist_group("backup")

RunModule = Callable[..., dict[str, Any]]
MakeBucket = Callable[..., str]
UTC = dt.timezone.utc
TODAY = dt.date(2026, 1, 31)
PATTERN = "shop-%Y%m%d.dump"
OPTIONS = {"name_pattern": PATTERN, "daily": 3, "min_keep": 1, "rpo": "26h", "reference_time": "2026-01-31T09:00:00Z"}


def name_of(back: int) -> str:
    return f"shop-{TODAY - dt.timedelta(days=back):%Y%m%d}.dump"


def manifest_of(name: str, data: bytes, back: int, **more: Any) -> bytes:
    taken = dt.datetime.combine(TODAY - dt.timedelta(days=back), dt.time(2), tzinfo=UTC)
    manifest = {
        "format": 1, "kind": "postgresql", "method": "dump", "name": name, "taken_at": taken.isoformat(),
        "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **more,
    }  # fmt: skip
    return json.dumps(manifest).encode()


def plant(options: dict[str, Any], verdicts: dict[int, str | None], records: dict[str, Any] | None = None) -> None:
    """Backups of so many days ago, with everything that belongs to them, and what their verification said."""
    depot = open_depot(options)
    depot.prepare()
    for back, verdict in verdicts.items():
        name = name_of(back)
        data = f"the data of {name}".encode()
        with depot.create(name) as sink:
            sink.write(data)
            sink.commit()
        depot.put(f"{name}.globals.sql", b"CREATE ROLE shop;")
        depot.put(f"{name}.sha256", b"...")
        depot.put(f"{name}.manifest.json", manifest_of(name, data, back))
        seen = depot.stat(name)
        if verdict is not None and seen is not None:
            record = Record(
                name, seen.bytes, "ab" * 32, seen.identity, verdict, "semantics", "semantics",
                None if verdict == "verified" else "semantics: public.orders has 0 rows", "2026-01-31T05:00:00Z",
            )  # fmt: skip
            open_depot(records or options).put(record_name(name), record.as_bytes())


def files(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir() if path.name != ".runbook.lock")


def everything_of(*back: int) -> list[str]:
    endings = ("", ".globals.sql", ".manifest.json", ".sha256", ".verified.json")
    return sorted(name_of(each) + ending for each in back for ending in endings)


def directory(place: Path, **more: Any) -> dict[str, Any]:
    return {"repository": str(place), **OPTIONS, **more}


def good(*back: int) -> dict[int, str | None]:
    return dict.fromkeys(back, "verified")


class TestDirectory:
    def test_check_real_check_real(self, run_module: RunModule, tmp_path: Path) -> None:
        options = directory(tmp_path, rpo="48h")
        plant(options, {0: None, **good(1, 2, 3), 4: "failed", 5: None, **good(6)})
        (tmp_path / "notes.txt").write_text("none of its business")
        before = files(tmp_path)

        planned = run_module("backup_prune", options, check_mode=True, diff=True)
        assert files(tmp_path) == before
        assert not (tmp_path / ".runbook.lock").exists()
        assert (planned["changed"], planned["after"]) == (True, None)
        assert [(each["object"], each["state"]) for each in planned["actions"]] == [
            (name_of(4), "bad"), (name_of(5), "open"), (name_of(6), "good"),
        ]  # fmt: skip
        assert planned["actions"][0]["reason"] == (
            "it is bad (semantics: public.orders has 0 rows), and there is a newer good one"
        )
        assert planned["actions"][2]["files"] == [
            str(tmp_path / (name_of(6) + ending))
            for ending in (".manifest.json", ".verified.json", ".globals.sql", ".sha256", "")
        ]
        assert planned["kept"][0] == {
            "name": name_of(0), "taken_at": "2026-01-31T02:00:00Z", "state": "open",
            "reasons": ["newer than the newest good one"],
        }  # fmt: skip
        assert planned["diff"]["before"].splitlines() == sorted(map(name_of, range(7)))
        assert planned["diff"]["after"].splitlines() == sorted(map(name_of, range(4)))

        done = run_module("backup_prune", options)
        assert done["actions"] == planned["actions"]
        assert (done["changed"], done["refused"]) == (True, [])
        left = [each for each in everything_of(0, 1, 2, 3) if each != f"{name_of(0)}.verified.json"]
        assert files(tmp_path) == sorted([*left, "notes.txt"])
        assert (done["before"]["count"], done["before"]["good_count"], done["before"]["newest_good"]) == (
            7, 4, name_of(1),
        )  # fmt: skip
        assert (done["after"]["count"], done["after"]["good_count"]) == (4, 3)

        for check_mode in (True, False):
            again = run_module("backup_prune", options, check_mode=check_mode)
            assert (again["changed"], again["actions"]) == (False, [])

    @pytest.mark.parametrize(
        ("verdicts", "more", "message"),
        [
            ({0: "failed", 1: "failed", **good(2, 3, 4, 5, 6)}, {},
             f"the backups after the newest good one, {name_of(2)}, are bad: {name_of(0)}, {name_of(1)} "
             "(semantics: public.orders has 0 rows). Have the backup job write good ones again, and verify one."),
            (dict.fromkeys(range(9)), {}, "of 9 backups none is proven to be good."),
            ({**dict.fromkeys(range(3)), **good(*range(3, 9))}, {},
             f"the newest backup that is proven to be good, {name_of(3)}, is older (3.3 days) than the RPO allows"),
            (good(*range(9)), {"max_deletes": 5}, "6 backups would be deleted, more than max_deletes=5."),
            (good(*range(9)), {"window": ["10:00-11:00"]}, "it is Sat 09:00 in UTC, outside the window (10:00-11:00)."),
        ],
        ids=["failures", "no-proof", "old-proof", "too-many", "window"],
    )  # fmt: skip
    def test_refusals_touch_nothing(
        self, run_module: RunModule, tmp_path: Path, verdicts: dict[int, str | None], more: dict[str, Any], message: str
    ) -> None:
        options = directory(tmp_path, **more)
        plant(options, verdicts)
        before = files(tmp_path)
        for check_mode in (True, False):
            found = run_module("backup_prune", options, check_mode=check_mode)
            assert found["failed"] is True
            assert found["msg"].startswith(f"Nothing in {tmp_path} was deleted: {message}")
            assert files(tmp_path) == before

    def test_overwritten_since_it_was_proven(self, run_module: RunModule, tmp_path: Path) -> None:
        """The record of the newest is about something else now, so that the newest good one is too old."""
        options = directory(tmp_path, rpo="12h")
        plant(options, good(*range(9)))
        (tmp_path / name_of(0)).write_bytes(b"the wrong file")
        found = run_module("backup_prune", options)
        assert f"the newest backup that is proven to be good, {name_of(1)}, is older (31.0 hours)" in found["msg"]

    def test_directories(self, run_module: RunModule, tmp_path: Path, copy_dump: Callable[[Path], None]) -> None:
        options = {**directory(tmp_path, daily=1), "name_pattern": "shop-%Y%m%d"}
        for day in (30, 31):
            copy_dump(tmp_path / f"shop-202601{day}")
            moment = dt.datetime(2026, 1, day, 2, tzinfo=UTC).timestamp()
            os.utime(tmp_path / f"shop-202601{day}", (moment, moment))
        done = run_module("backup_prune", {**options, "require_verified": False})
        assert [each["object"] for each in done["actions"]] == ["shop-20260130"]
        assert files(tmp_path) == ["shop-20260131"]

    def test_records_elsewhere(self, run_module: RunModule, tmp_path: Path) -> None:
        options = directory(tmp_path / "backups")
        records = tmp_path / "records"
        plant(options, good(*range(5)), {"repository": str(records)})
        assert "none is proven" in run_module("backup_prune", options)["msg"]
        done = run_module("backup_prune", {**options, "record_repository": str(records)})
        assert [each["object"] for each in done["actions"]] == [name_of(3), name_of(4)]
        assert files(records) == [f"{name_of(back)}.verified.json" for back in (2, 1, 0)]

    def test_a_record_that_cannot_be_read(self, run_module: RunModule, tmp_path: Path) -> None:
        """Unheard, its backup would count as unproven and go."""
        options = directory(tmp_path)
        plant(options, good(*range(5)))
        record = tmp_path / record_name(name_of(2))
        record.unlink()
        record.symlink_to(tmp_path / "nothing")
        found = run_module("backup_prune", options)
        assert f"was deleted: {record.name}: it leads to nothing: No such file or directory." in found["msg"]

    def test_another_run(self, run_module: RunModule, tmp_path: Path) -> None:
        options = directory(tmp_path)
        plant(options, good(*range(5)))
        with open_depot(options).lock("testing"):
            assert "Another run is" in run_module("backup_prune", options)["msg"]

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ({"daily": 0}, "daily: 0 is not accepted. Accepted: at least one of daily, weekly, monthly and yearly"),
            ({"rpo": "soon"}, "rpo: 'soon' is not accepted."),
            ({"min_keep": 0}, "min_keep: 0 is not accepted."),
            ({"name_pattern": "shop.dump"}, "name_pattern: 'shop.dump' is not accepted."),
            ({"repository": "backups"}, "repository: 'backups' is not accepted."),
            ({"repository": "/nowhere/at/all"}, "The directory /nowhere/at/all does not exist on this host."),
        ],
        ids=["no-rule", "rpo", "min_keep", "name_pattern", "repository", "missing"],
    )  # fmt: skip
    def test_options(self, run_module: RunModule, tmp_path: Path, more: dict[str, Any], message: str) -> None:
        assert run_module("backup_prune", directory(tmp_path, **more))["msg"].startswith(message)


class TestAgainstFind:
    """The manual's retention (``find … -mtime +30 -delete``) beside ours, after a month in which every night failed."""

    FAILED = gzip.compress(b"", mtime=0)

    def month_of_failures(self, place: Path, dump: bytes) -> list[str]:
        place.mkdir()
        now = dt.datetime.now(UTC)
        names = []
        for back in range(45):
            moment = now - dt.timedelta(days=back, minutes=5)
            name = f"stockboom_{moment:%Y%m%d_%H%M%S}.sql.gz"
            # What `pg_dump | gzip > file` leaves of a dump that could not begin.
            (place / name).write_bytes(self.FAILED if back <= 31 else gzip.compress(dump))
            os.utime(place / name, (moment.timestamp(), moment.timestamp()))
            names.append(name)
        return names

    def test_a_month_of_failures(self, run_module: RunModule, tmp_path: Path, artefacts: dict[str, bytes]) -> None:
        theirs, ours = tmp_path / "theirs", tmp_path / "ours"
        self.month_of_failures(theirs, artefacts["plain"])
        shutil.copytree(theirs, ours)

        subprocess.run(["find", theirs, "-name", "*.sql.gz", "-mtime", "+30", "-delete"], check=True)
        assert {path.read_bytes() for path in theirs.iterdir()} == {self.FAILED}, "find has left nothing but failures"

        before = files(ours)
        found = run_module(
            "backup_prune",
            {"repository": str(ours), "name_pattern": "stockboom_%Y%m%d_%H%M%S.sql.gz", "require_verified": False,
             "daily": 30, "rpo": "26h"},
        )  # fmt: skip
        assert found["failed"] is True
        assert "the backups after the newest good one, stockboom_" in found["msg"]
        assert "28 more" not in found["msg"]
        assert "and 29 more (it holds no data" in found["msg"]
        assert files(ours) == before

    def test_failures_that_ended(self, run_module: RunModule, tmp_path: Path, artefacts: dict[str, bytes]) -> None:
        """Once there is a good one again, the bad ones go and the old good ones stay where find would delete them."""
        place = tmp_path / "backups"
        names = self.month_of_failures(place, artefacts["plain"])
        (place / names[0]).write_bytes(gzip.compress(artefacts["plain"]))
        moment = time.time() - 300
        os.utime(place / names[0], (moment, moment))
        done = run_module(
            "backup_prune",
            {"repository": str(place), "name_pattern": "stockboom_%Y%m%d_%H%M%S.sql.gz", "require_verified": False,
             "daily": 7, "rpo": "26h"},
        )  # fmt: skip
        assert done["changed"] is True
        assert files(place) == sorted([names[0], *names[32:38]])


class TestBucket:
    @staticmethod
    def options(store: dict[str, Any], bucket: str, **more: Any) -> dict[str, Any]:
        return {**store, "repository": f"s3://{bucket}/db", **OPTIONS, **more}

    @pytest.mark.parametrize("versioning", [None, "Enabled"])
    def test_deleting(
        self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket, versioning: str | None
    ) -> None:
        bucket, client = make_bucket(versioning), store.client()
        options = self.options(store.login(), bucket)
        plant(options, good(*range(6)))
        client.put_object(Bucket=bucket, Key="other/shop-20250101.dump", Body=b"another system's")
        planned = run_module("backup_prune", options, check_mode=True)
        done = run_module("backup_prune", options)
        assert done["actions"] == planned["actions"]
        assert (done["after"]["count"], done["refused"]) == (3, [])
        listed = client.list_objects_v2(Bucket=bucket)["Contents"]
        assert [each["Key"] for each in listed] == [
            *(f"db/{each}" for each in everything_of(0, 1, 2)), "other/shop-20250101.dump",
        ]  # fmt: skip
        versions = client.list_object_versions(Bucket=bucket)
        # Hidden, not gone: 3 backups of 5 objects each.
        assert len(versions.get("DeleteMarkers", ())) == (15 if versioning else 0)
        assert len(versions["Versions"]) == (31 if versioning else 16)
        assert run_module("backup_prune", options)["changed"] is False

    def test_what_the_store_does_not_let_go(
        self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket
    ) -> None:
        bucket, client = make_bucket(), store.client()
        plant(self.options(store.login(), bucket), good(*range(6)))
        with S3Faults(store, Fault(f"db/{name_of(4)}*", methods=["DELETE"], status=403)) as proxy:
            options = self.options(proxy.login(), bucket)
            found = run_module("backup_prune", {**options, "on_refusal": "report"})
            again = run_module("backup_prune", options)
        assert [each["object"] for each in found["actions"]] == [name_of(3), name_of(5)]
        [refused] = found["refused"]
        assert refused["object"] == name_of(4)
        assert "refuses to delete an object in bucket" in refused["reason"]
        assert "s3:DeleteObject" in refused["reason"]
        assert (again["failed"], again["changed"], again["actions"]) == (True, False, [])
        keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket)["Contents"]]
        assert keys == [f"db/{each}" for each in everything_of(0, 1, 2, 4)]

    def test_a_lock_on_the_object(self, run_module: RunModule, store: S3Server) -> None:
        """Object Lock keeps versions; hiding the object is allowed, and its version is still there."""
        client, bucket = store.client(), f"locked-{random.randrange(10**9)}"
        client.create_bucket(
            Bucket=bucket, ObjectLockEnabledForBucket=True,
            CreateBucketConfiguration={"LocationConstraint": store.region},
        )  # fmt: skip
        options = self.options(store.login(), bucket)
        plant(options, good(*range(5)))
        key = f"db/{name_of(4)}"
        version = client.head_object(Bucket=bucket, Key=key)["VersionId"]
        until = dt.datetime.now(UTC) + dt.timedelta(days=9)
        client.put_object_retention(
            Bucket=bucket, Key=key, VersionId=version, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
        )
        assert run_module("backup_prune", options)["refused"] == []
        assert client.get_object(Bucket=bucket, Key=key, VersionId=version)["ContentLength"] > 0

    def test_the_store_goes_away(self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
        bucket = make_bucket()
        plant(self.options(store.login(), bucket), good(*range(9)))
        gone = Fault("*", methods=["DELETE"], skip=3, code="InvalidAccessKeyId", status=403)
        with S3Faults(store, gone) as proxy:
            found = run_module("backup_prune", {**self.options(proxy.login(), bucket), "on_refusal": "report"})
            assert len([each for each in proxy.requests if each[0] == "DELETE"]) == 4
        assert len(found["refused"]) == 6
        assert found["changed"] is True

    def test_the_newest_good_one_vanishes_meanwhile(
        self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket
    ) -> None:
        bucket, client = make_bucket(), store.client()
        plant(self.options(store.login(), bucket), good(*range(9)))
        with S3Faults(store, Fault(f"db/{name_of(0)}", methods=["HEAD"], skip=2, status=404)) as proxy:
            found = run_module("backup_prune", {**self.options(proxy.login(), bucket), "on_refusal": "report"})
        assert len(found["actions"]) == 2
        assert {each["reason"] for each in found["refused"]} == {
            f"it was not deleted: the newest good backup, {name_of(0)}, was deleted or written to meanwhile; nothing "
            "more is deleted"
        }
        assert len(client.list_objects_v2(Bucket=bucket)["Contents"]) == 7 * 5

    def test_no_secret(self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
        options = self.options(store.login(), make_bucket())
        plant(options, good(*range(5)))
        assert store.secret_key not in json.dumps(run_module("backup_prune", options)["actions"])


def test_killed_at_any_moment(run_module: RunModule, tmp_path: Path) -> None:
    """Twenty runs are killed; none leaves a backup with a manifest or a record that lacks anything."""
    place = tmp_path / "backups"
    options = directory(place, max_deletes=10_000, daily=5)
    endings = ("", ".globals.sql", ".manifest.json", ".sha256", ".verified.json")
    chance = random.Random(7)
    for _attempt in range(20):
        plant(options, good(*range(25)))
        most = 25 * len(endings)
        # So many files are left when it is killed.
        target = chance.randrange(5 * len(endings) + 1, most)
        process = start_module("backup_prune", options)
        while len(files(place)) > target and process.poll() is None:
            pass
        process.kill()
        process.communicate()
        left = set(files(place))
        assert len(left) < most
        for back in range(25):
            present = {ending for ending in endings if name_of(back) + ending in left}
            if ".manifest.json" in present or ".verified.json" in present:
                assert {"", ".globals.sql", ".sha256"} <= present, present
            if present:
                assert "" in present, "what is left is found by its backup's name"
        assert set(everything_of(*range(5))) <= left
        shutil.rmtree(place)
    # What the last one left is cleared away by the next run.
    plant(options, good(*range(25)))
    for ending in (".manifest.json", ".verified.json", ".globals.sql"):
        (place / f"{name_of(20)}{ending}").unlink()
    assert run_module("backup_prune", options)["after"]["count"] == 5
    assert files(place) == everything_of(*range(5))
