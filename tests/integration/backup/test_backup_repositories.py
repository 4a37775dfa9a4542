"""Directories and buckets as they are found in the wild."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.http_stub import HttpStub, Reply
from lab.ports import free_port
from lab.s3 import S3Server

from ansible_collections.runbook.ops.plugins.module_utils.backup.directory import DirectoryRepository
from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable

pytestmark = pytest.mark.xdist_group("backup")

RunModule = Callable[..., dict[str, Any]]
MakeBucket = Callable[..., str]
NOW = "2026-01-31T09:00:00Z"
SECRET = "planted-s3cret/K@y"


def night(day: int) -> dt.datetime:
    return dt.datetime(2026, 1, day, 2, tzinfo=dt.timezone.utc)


def put(directory: Path, day: int, data: bytes, name: str = "", written: dt.datetime | None = None) -> Path:
    path = directory / (name or f"s-202601{day:02}.sql.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    moment = (written or night(day)).timestamp()
    os.utime(path, (moment, moment))
    return path


def survey(run_module: RunModule, where: object, **options: Any) -> dict[str, Any]:
    defaults = {"name_pattern": "s-%Y%m%d.sql.gz", "reference_time": NOW}
    return run_module("backup_info", {"repository": str(where), **defaults, **options})


@pytest.fixture(scope="session")
def good(artefacts: dict[str, bytes]) -> Callable[[int], bytes]:
    """A whole dump, different every night."""

    def make(day: int) -> bytes:
        return gzip.compress(artefacts["plain"].replace(b"customer 1\n", b"customer of day %d\n" % day), mtime=0)

    return make


Good = Callable[[int], bytes]


class TestDirectory:
    def test_a_healthy_week(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        for day in range(25, 32):
            put(tmp_path, day, good(day))
            put(tmp_path, day, b"{}", f"s-202601{day:02}.sql.gz.manifest.json")
        result = survey(run_module, tmp_path)
        facts = result["inventory"]
        assert (result["available"], result["changed"], result["skipped_sections"]) == (True, False, [])
        assert (facts["count"], facts["listing_complete"]) == (7, True)
        assert facts["newest"]["name"] == "s-20260131.sql.gz"
        assert facts["newest"]["age_seconds"] == 7 * 3600
        assert facts["newest"]["has_manifest"] is True
        assert facts["newest"]["inspected"]["complete"] is True
        assert facts["newest"]["verified"] is None
        assert facts["total_bytes"] == sum(path.stat().st_size for path in tmp_path.glob("*.gz"))
        assert abs(facts["size_change_percent"]) < 1
        for count in ("gap_count", "duplicate_count", "diverging_count", "unrecognised_count", "incomplete_count"):
            assert facts[count] == 0, count
        # Only the newest was read.
        assert facts["inspected_count"] == 1
        assert result["repository"]["bytes_read"] == (tmp_path / "s-20260131.sql.gz").stat().st_size

    def test_check_mode_reads_just_the_same(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        put(tmp_path, 31, good(31))
        options = {"repository": str(tmp_path), "name_pattern": "s-%Y%m%d.sql.gz", "reference_time": NOW}
        real, checked = (run_module("backup_info", options, check_mode=mode) for mode in (False, True))
        assert checked["inventory"] == real["inventory"]

    def test_a_degraded_one(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        """A gap, a size that fell, yesterday's file under today's name, a frozen name, an upload nobody will find."""
        for day in (23, 24, 25, 26, 29):
            put(tmp_path, day, good(day))
        put(tmp_path, 30, good(29))
        small = gzip.decompress(good(31))[:5000] + b"\n--\n-- PostgreSQL database dump complete\n"
        put(tmp_path, 31, gzip.compress(small))
        put(tmp_path, 15, good(15), "s-20260115.sql.gz", written=night(30))
        put(tmp_path, 31, good(31), "storebridge-backup.sql.gz", written=night(31) + dt.timedelta(hours=1))
        put(tmp_path, 20, good(20), "latest.sql.gz", written=night(20))
        facts = survey(run_module, tmp_path, inspect="all", gap_window="10d")["inventory"]
        assert facts["gap_dates"] == "2026-01-21, 2026-01-22, 2026-01-27 and 1 more"
        assert [gap["name"][6:10] for gap in facts["gaps"]] == ["0121", "0122", "0127", "0128"]
        assert facts["size_change_percent"] < -90
        assert [each["names"] for each in facts["duplicates"]] == [["s-20260129.sql.gz", "s-20260130.sql.gz"]]
        assert facts["duplicates"][0]["evidence"] == "content sample"
        assert facts["diverging"] == [
            {
                "name": "s-20260115.sql.gz",
                "diverges": True,
                "reason": "named 2026-01-15, but written 2026-01-30T02:00:00Z: "
                "a frozen name that is overwritten, or a later copy",
            }
        ]
        assert facts["unrecognised_newer_names"] == "storebridge-backup.sql.gz"
        assert [(each["name"], each["is_stale"]) for each in facts["pointers"]] == [("latest.sql.gz", True)]

    def test_a_name_frozen_when_the_job_was_set_up(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        """Written last night, so by its time it is new; nobody can restore any other night."""
        put(tmp_path, 2, good(2), written=night(31))
        facts = survey(run_module, tmp_path)["inventory"]
        newest_by_time = dt.datetime.fromtimestamp(max(p.stat().st_mtime for p in tmp_path.iterdir()), dt.timezone.utc)
        assert newest_by_time == night(31)
        assert facts["diverging_count"] == 1
        assert facts["newest"]["taken_at_source"] == "name"
        assert facts["newest"]["age_seconds"] == (28 * 24 + 9) * 3600

    def test_a_dump_that_was_only_touched(self, run_module: RunModule, dumps: Any, tmp_path: Path) -> None:
        """Found by `find -mtime -1`, and its content is older than its name."""
        today = dt.datetime.now(dt.timezone.utc)
        later = today + dt.timedelta(days=10)
        path = tmp_path / f"s-{later:%Y%m%d}.dump"
        path.write_bytes(dumps.read("custom"))
        os.utime(path, (later.timestamp(), later.timestamp()))
        result = survey(
            run_module, tmp_path, name_pattern="s-%Y%m%d.dump", writer_timezone="UTC", reference_time=later.isoformat()
        )
        newest = result["inventory"]["newest"]
        assert newest["taken_at_source"] == "content"
        assert newest["age_seconds"] >= 9 * 86400
        assert "but its content was dumped" in newest["divergence_reason"]

    def test_nothing_there(self, run_module: RunModule, tmp_path: Path) -> None:
        result = survey(run_module, tmp_path)
        assert result["available"] is True
        assert (result["inventory"]["count"], result["inventory"]["newest"]) == (0, None)
        assert result["artefacts"] == []

    def test_names_of_every_kind(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        directory = tmp_path / "back ups \u20ac/\ubc31\uc5c5 'x'"
        put(directory, 31, good(31), "\uc7ac\uace0 dump 20260131 (\ubc24).sql.gz")
        (directory / os.fsdecode(b"latin-\xe4.txt")).write_bytes(b"x")
        (directory / "line\nbreak").write_bytes(b"x")
        result = survey(run_module, directory, name_pattern="\uc7ac\uace0 dump %Y%m%d (\ubc24).sql.gz")
        assert result["inventory"]["newest"]["inspected"]["complete"] is True
        assert {each["name"] for each in result["inventory"]["unrecognised"]} == {"latin-\\xe4.txt", "line\nbreak"}

    def test_links(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        elsewhere, repository = tmp_path / "elsewhere", tmp_path / "repository"
        target = put(elsewhere, 30, good(30))
        put(repository, 29, good(29))
        (repository / "s-20260130.sql.gz").symlink_to(target)
        (repository / "s-20260128.sql.gz").symlink_to("nowhere")
        (repository / "s-20260127.sql.gz").symlink_to("s-20260127.sql.gz")
        (repository / "latest.sql.gz").symlink_to("s-20260129.sql.gz")
        (repository / "current").symlink_to("s-20260130.sql.gz")
        (repository / "newest").symlink_to("gone")
        result = survey(run_module, repository)
        found = {each["name"][2:10]: each for each in result["artefacts"]}
        assert found["20260130"]["is_symlink"] is True
        assert found["20260130"]["inspected"]["complete"] is True
        assert found["20260128"]["inspected"]["reason"] == "it leads to nothing: No such file or directory"
        assert found["20260127"]["inspected"]["reason"] == "it leads to nothing: Too many levels of symbolic links"
        assert [found[day]["inspected"]["complete"] for day in ("20260128", "20260127")] == [False, False]
        pointers = {each["name"]: each for each in result["inventory"]["pointers"]}
        assert (
            pointers["latest.sql.gz"]["reason"] == "it is s-20260129.sql.gz, and the newest backup is s-20260130.sql.gz"
        )
        # A link to a link counts for where it ends: outside, as the newest one does.
        assert pointers["newest"]["is_stale"] is True
        assert result["inventory"]["stale_pointer_count"] == 2

    def test_a_pipe_does_not_hang(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        put(tmp_path, 30, good(30))
        os.mkfifo(tmp_path / "s-20260131.sql.gz")
        result = survey(run_module, tmp_path, inspect="all")
        verdicts = {each["name"]: each["inspected"] for each in result["artefacts"]}
        assert verdicts["s-20260131.sql.gz"]["reason"] == "it is neither a file nor a directory"
        assert verdicts["s-20260130.sql.gz"]["complete"] is True

    def test_dates_in_directories(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        for day in (29, 30, 31):
            put(tmp_path, day, good(day), f"2026/01/s-202601{day}.sql.gz")
        put(tmp_path, 31, b"x", "2026/02/s-20260131.sql.gz")
        put(tmp_path, 31, b"x", "readme")
        result = survey(run_module, tmp_path, name_pattern="%Y/%m/s-%Y%m%d.sql.gz")
        assert [each["name"] for each in result["artefacts"]] == [
            f"2026/01/s-202601{day}.sql.gz" for day in (31, 30, 29)
        ]
        strangers = {each["name"] for each in result["inventory"]["unrecognised"]}
        assert strangers == {"2026/02/s-20260131.sql.gz", "readme"}

    def test_names_in_another_timezone(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        """02:00 in Seoul is 17:00 UTC of the day before."""
        put(tmp_path, 31, good(31), written=dt.datetime(2026, 1, 30, 17, tzinfo=dt.timezone.utc))
        newest = survey(run_module, tmp_path, timezone="Asia/Seoul")["inventory"]["newest"]
        assert (newest["named_at"], newest["diverges"]) == ("2026-01-30T15:00:00Z", False)
        assert newest["age_seconds"] == 16 * 3600
        utc = survey(run_module, tmp_path, timezone="UTC")["inventory"]["newest"]
        assert utc["diverges"] is True

    def test_a_directory_dump(self, run_module: RunModule, copy_dump: Callable[[Path], None], tmp_path: Path) -> None:
        copy_dump(tmp_path / "shop-20260131")
        result = survey(run_module, tmp_path, name_pattern="shop-%Y%m%d")
        newest = result["inventory"]["newest"]
        assert (newest["kind"], newest["inspected"]["complete"]) == ("directory", True)
        assert newest["size_bytes"] == sum(path.stat().st_size for path in (tmp_path / "shop-20260131").iterdir())

    def test_limits(self, run_module: RunModule, good: Good, tmp_path: Path) -> None:
        for day in range(20, 32):
            put(tmp_path, day, good(day))
        result = survey(run_module, tmp_path, max_entries=5)
        assert result["inventory"]["listing_complete"] is False
        assert result["skipped_sections"][0]["section"] == "newest"
        assert "the limit of 5 entries (max_entries)" in result["skipped_sections"][0]["reason"]
        result = survey(run_module, tmp_path, top=3)
        assert (len(result["artefacts"]), result["inventory"]["count"], result["truncated"]) == (3, 12, True)
        result = survey(run_module, tmp_path, inspect_max_bytes=100_000)
        assert result["inventory"]["newest"]["inspected"]["complete"] is None
        assert "inspect_max_bytes" in result["inventory"]["newest"]["inspected"]["reason"]
        assert "newest.inspected" in {each["section"] for each in result["skipped_sections"]}

    @pytest.mark.parametrize("inspect", ["none", "2", "all"])
    def test_how_many_are_read(self, run_module: RunModule, good: Good, tmp_path: Path, inspect: str) -> None:
        for day in (28, 29, 30, 31):
            put(tmp_path, day, good(day))
        facts = survey(run_module, tmp_path, inspect=inspect)["inventory"]
        assert facts["complete_count"] == {"none": 0, "2": 2, "all": 4}[inspect]
        assert facts["newest"]["kind"] == (None if inspect == "none" else "plain+gzip")


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything; for a while we are somebody who may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


RULE = NamingRule("s-%Y%m%d.sql.gz", zone("UTC"))


class TestPermissions:
    def test_directory(self, good: Good, tmp_path: Path) -> None:
        put(tmp_path / "closed", 31, good(31))
        (tmp_path / "closed").chmod(0)
        with as_nobody(), pytest.raises(Unavailable) as error:
            DirectoryRepository(tmp_path / "closed").listing(RULE, 100, Meter(0, 60))
        (tmp_path / "closed").chmod(0o700)
        assert error.value.message.startswith("The user ")
        assert error.value.message.endswith(
            f"may not list the directory {tmp_path / 'closed'}. Grant it read and execute, or use become."
        )

    def test_file(self, good: Good, tmp_path: Path) -> None:
        directory = tmp_path
        # pytest's own directories are closed to others; what lies above them is not ours to open.
        for step in (directory, *directory.parents):
            if step == directory or step.name.startswith(("pytest-", "popen-")):
                step.chmod(0o755)
        path = put(directory, 31, good(31))
        path.chmod(0)
        repository = DirectoryRepository(directory)
        [entry] = repository.listing(RULE, 100, Meter(0, 60)).entries
        with as_nobody(), pytest.raises(Undecided) as error:
            next(repository.open(entry))
        assert error.value.message.endswith("may not read it: grant it read, or use become")


def test_a_file_that_is_being_written(tmp_path: Path) -> None:
    """Half a file is no damaged backup while somebody writes the other half."""
    path = put(tmp_path, 31, b"x" * (3 << 20))
    repository = DirectoryRepository(tmp_path)
    [entry] = repository.listing(RULE, 100, Meter(0, 60)).entries
    chunks = repository.open(entry)
    next(chunks)
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(Undecided) as error:
        list(chunks)
    assert error.value.message == "it is being written at this moment: look again when the job has ended"


@pytest.mark.parametrize(
    ("repository", "reason"),
    [
        ("{tmp}/nowhere", "The directory {tmp}/nowhere does not exist on this host. Mount it, or correct repository."),
        ("{tmp}/file", "{tmp}/file is a file, not a directory. Correct repository."),
    ],
)
def test_directories_that_are_none(run_module: RunModule, tmp_path: Path, repository: str, reason: str) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    result = survey(run_module, repository.format(tmp=tmp_path))
    assert (result["available"], result["reason"]) == (False, reason.format(tmp=tmp_path))
    assert (result["repository"], result["inventory"], result["artefacts"]) == ({}, {}, [])


ACCEPTED = "Accepted: an absolute directory such as /var/backups/shop, or s3://bucket/prefix."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repository": "backups"}, f"repository: 'backups' is not accepted. {ACCEPTED}"),
        ({"repository": "s3://"}, f"repository: 's3://' is not accepted. {ACCEPTED}"),
        ({"repository": "gs://bucket"}, f"repository: 'gs://bucket' is not accepted. {ACCEPTED}"),
        ({"timezone": "KST"}, "timezone: 'KST' is not accepted. "
         "Accepted: an IANA timezone such as Asia/Seoul or UTC, known to the host."),
        ({"interval": "daily"}, "interval: 'daily' is not accepted. "
         "Accepted: a duration above 0, such as 26h, 7d or 30m."),
        ({"inspect": "some"}, "inspect: 'some' is not accepted. "
         "Accepted: none, newest, all, or a number of backups from the newest on, such as 3."),
        ({"top": 0}, "top: 0 is not accepted. Accepted: 1 to 10000."),
        ({"reference_time": "2026-01-31T09:00:00"}, "reference_time: '2026-01-31T09:00:00' is not accepted. "
         "Accepted: an ISO 8601 moment with timezone, such as 2026-01-31T09:00:00+09:00."),
    ],
)  # fmt: skip
def test_options_that_cannot_work(run_module: RunModule, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    result = survey(run_module, **{"where": options.get("repository", tmp_path), **options})
    assert result["failed"] is True
    assert result["msg"] == message


class TestBucket:
    @staticmethod
    def put(store: S3Server, bucket: str, day: int, data: bytes, key: str = "", **extra: Any) -> None:
        key = key or f"s-202601{day:02}.sql.gz"
        store.client().put_object(Bucket=bucket, Key=key, Body=data, **extra)
        store.backdate(bucket, key, night(day))

    def test_versions(self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket, good: Good) -> None:
        """What was overwritten is counted, what was deleted is named with what is left of it (fault 36)."""
        bucket = make_bucket("Enabled")
        client = store.client()
        for day in (29, 30, 31):
            self.put(store, bucket, day, good(day))
        second = client.put_object(Bucket=bucket, Key="s-20260131.sql.gz", Body=good(31))["VersionId"]
        store.backdate(bucket, "s-20260131.sql.gz", night(31) + dt.timedelta(hours=1), second)
        client.delete_object(Bucket=bucket, Key="s-20260129.sql.gz")
        result = survey(run_module, f"s3://{bucket}", **store.login())
        newest = result["inventory"]["newest"]
        assert newest["version_id"] == second == client.head_object(Bucket=bucket, Key="s-20260131.sql.gz")["VersionId"]
        assert newest["etag"] == client.head_object(Bucket=bucket, Key="s-20260131.sql.gz")["ETag"].strip('"')
        assert (newest["version_count"], newest["is_multipart"]) == (2, False)
        assert (result["inventory"]["count"], result["inventory"]["overwritten_count"]) == (2, 1)
        [deleted] = result["inventory"]["deleted"]
        assert (deleted["name"], deleted["recoverable_count"]) == ("s-20260129.sql.gz", 1)
        assert result["repository"]["versioning"] == "enabled"
        assert newest["inspected"]["complete"] is True

    def test_more_than_one_page(
        self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket, good: Good
    ) -> None:
        """The newest backup lies behind the first 1000 keys."""
        bucket = make_bucket("Enabled")
        client = store.client()
        client.put_object(Bucket=bucket, Key="a", Body=b"")
        client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}] * 1000})
        self.put(store, bucket, 31, good(31))
        first_page = client.list_object_versions(Bucket=bucket)
        assert [each["Key"] for each in first_page.get("Versions", ()) if each["Key"] != "a"] == []
        assert survey(run_module, f"s3://{bucket}", **store.login())["inventory"]["count"] == 1
        limited = survey(run_module, f"s3://{bucket}", max_entries=1000, **store.login())
        assert (limited["inventory"]["count"], limited["inventory"]["listing_complete"]) == (0, False)

    def test_uploaded_in_parts(
        self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket, good: Good
    ) -> None:
        """Its ETag is no MD5; it is read like any other."""
        bucket = make_bucket()
        client = store.client()
        data, key = good(31), "s-20260131.sql.gz"
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        parts: list[Any] = []
        for number, start in enumerate(range(0, len(data), 200_000), start=1):
            body = data[start : start + 200_000]
            answer = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
            parts.append({"ETag": answer["ETag"], "PartNumber": number})
        client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})
        store.backdate(bucket, key, night(31))
        newest = survey(run_module, f"s3://{bucket}", **store.login())["inventory"]["newest"]
        assert newest["is_multipart"] is True
        assert newest["inspected"]["complete"] is True

    def test_duplicates_by_etag_and_pointers(
        self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket, good: Good
    ) -> None:
        bucket = make_bucket()
        self.put(store, bucket, 29, good(29), "db/s-20260129.sql.gz")
        self.put(store, bucket, 30, good(29), "db/s-20260130.sql.gz")
        self.put(store, bucket, 31, good(31), "db/s-20260131.sql.gz")
        self.put(store, bucket, 29, good(29), "db/latest.sql.gz")
        self.put(store, bucket, 31, good(31), "other/s-20260131.sql.gz")
        store.client().put_object(Bucket=bucket, Key="db/", Body=b"")
        facts = survey(run_module, f"s3://{bucket}/db/", **store.login())["inventory"]
        assert (facts["count"], facts["unrecognised_count"]) == (3, 0)
        assert facts["duplicates"][0]["evidence"] == "etag"
        [pointer] = facts["pointers"]
        assert (pointer["is_stale"], pointer["points_to"]) == (True, "s-20260130.sql.gz")

    def test_there_is_no_latest(
        self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket, good: Good
    ) -> None:
        """What the restore asks for was never written; what was written does not follow the rule."""
        bucket = make_bucket()
        self.put(store, bucket, 31, good(31), "backup_2026-01-31.sql.gz")
        result = survey(run_module, f"s3://{bucket}", **store.login())
        assert (result["inventory"]["count"], result["inventory"]["pointers"]) == (0, [])
        assert result["inventory"]["unrecognised_newer_names"] == "backup_2026-01-31.sql.gz"

    def test_archived(self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket, good: Good) -> None:
        """Cannot be read: no verdict, with the reason (fault 37)."""
        bucket = make_bucket()
        self.put(store, bucket, 31, good(31), StorageClass="GLACIER")
        newest = survey(run_module, f"s3://{bucket}", **store.login())["inventory"]["newest"]
        assert newest["storage_class"] == "GLACIER"
        assert newest["inspected"]["complete"] is None
        assert newest["inspected"]["reason"] == (
            "it cannot be read: It lies in an archive storage class and has to be restored before it can be read."
        )

    def test_no_such_bucket(self, run_module: RunModule, store: S3Server) -> None:
        result = survey(run_module, "s3://not-there/db", **store.login())
        assert (result["available"], result["inventory"], result["artefacts"]) == (False, {}, [])
        assert result["reason"] == (
            f"Bucket not-there does not exist on {store.endpoint_url}. Correct its name, or create it."
        )

    def test_wrong_keys(self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
        login = {**store.login(), "access_key": "AKIAWRONG", "secret_key": SECRET}
        result = survey(run_module, f"s3://{make_bucket()}", **login)
        assert result["available"] is False
        assert "does not know the access key" in result["reason"]
        assert SECRET not in str(result)

    def test_down(self, run_module: RunModule, store: S3Server) -> None:
        login = {**store.login(), "endpoint_url": f"http://127.0.0.1:{free_port()}"}
        assert "cannot be reached" in survey(run_module, "s3://b", **login)["reason"]

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ({"close_early": True}, "it cannot be read: The transfer from"),
            ({"status": 403, "body": b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"},
             "refuses to read an object in bucket b. Grant the access key s3:GetObject."),
            ({"status": 412, "body": b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"},
             "it cannot be read: It was replaced by another object since it was listed. Look again."),
        ],
    )  # fmt: skip
    def test_a_transfer_that_fails_is_no_damaged_backup(
        self, run_module: RunModule, store: S3Server, good: Good, answer: dict[str, Any], reason: str
    ) -> None:
        data = good(31)
        listing = (
            "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>s-20260131.sql.gz</Key>"
            f"<Size>{len(data)}</Size><LastModified>2026-01-31T02:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
            "</Contents></ListBucketResult>"
        )
        xml = {"Content-Type": "application/xml"}

        def reply(request: Any) -> Reply:
            if "versioning" in request.query:
                return Reply(200, b"<VersioningConfiguration/>", xml)
            if "list-type" in request.query:
                return Reply(200, listing.encode(), xml)
            return Reply(**{"status": 200, "body": data, **answer})

        with HttpStub({"*": reply}) as stub:
            login = {**store.login(), "endpoint_url": f"http://{stub.host}:{stub.port}"}
            newest = survey(run_module, "s3://b", **login)["inventory"]["newest"]
        assert newest["inspected"]["complete"] is None
        assert reason in newest["inspected"]["reason"]
