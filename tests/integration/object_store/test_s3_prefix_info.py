"""s3_prefix_info against a real S3 interface; what it counted is counted again with boto3."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from lab.http_stub import HttpStub, Reply
from lab.ports import free_port
from lab.s3 import S3Server

# One server and one large bucket for all of them.
pytestmark = pytest.mark.xdist_group("object_store")

RunModule = Callable[..., dict[str, Any]]
MakeBucket = Callable[..., str]
NOW = "2026-01-31T09:00:00Z"
SECRET = "s3cr3t/K@y:%\u00e4"


def measure(run_module: RunModule, store: S3Server, **options: Any) -> dict[str, Any]:
    return run_module("s3_prefix_info", {**store.login(), **options})


def fill(store: S3Server, bucket: str, count: int, prefix: str = "") -> None:
    client = store.client()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: client.put_object(Bucket=bucket, Key=f"{prefix}{n:05}", Body=b"x" * 3), range(count)))


def counted_with_boto3(store: S3Server, bucket: str, prefix: str = "") -> tuple[int, int]:
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    sizes = [each["Size"] for page in pages for each in page.get("Contents", ())]
    return len(sizes), sum(sizes)


@pytest.fixture(scope="module")
def large(store: S3Server) -> str:
    """A bucket with more keys than a page has: its name."""
    client = store.client()
    name = f"large-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": store.region})
    fill(store, name, 1030)
    return name


def test_more_than_one_page(run_module: RunModule, store: S3Server, large: str) -> None:
    """The old way, one listing, sees the first 1000 keys and says nothing about the rest."""
    assert len(store.client().list_objects_v2(Bucket=large)["Contents"]) == 1000
    result = measure(run_module, store, bucket=large)
    [facts] = result["prefixes"]
    assert (facts["object_count"], facts["total_bytes"]) == counted_with_boto3(store, large) == (1030, 3090)
    assert facts["complete"] is True
    assert facts["versioning"] == "disabled"
    assert (facts["noncurrent_count"], facts["delete_marker_count"]) == (0, 0)
    assert facts["stored_bytes"] == 3090
    assert result["changed"] is False
    assert result["skipped_sections"] == []


@pytest.mark.parametrize(("max_keys", "seen"), [(1, 1), (250, 250), (1000, 1000)])
def test_a_limit_is_never_silent(run_module: RunModule, store: S3Server, large: str, max_keys: int, seen: int) -> None:
    result = measure(run_module, store, bucket=large, max_keys=max_keys)
    [facts] = result["prefixes"]
    assert facts["complete"] is False
    assert (facts["keys_seen"], facts["object_count"], facts["total_bytes"]) == (seen, seen, 3 * seen)
    assert facts["stored_bytes"] is None
    assert facts["incomplete_reason"] == f"the listing stopped at the limit of {max_keys} keys (max_keys)"
    assert result["skipped_sections"] == [
        {
            "section": "stored_bytes",
            "reason": (
                f"{large}: the listing stopped at the limit of {max_keys} keys (max_keys) after {seen} keys"
                f" with {3 * seen} bytes; there is more."
            ),
            "remedy": "Raise max_keys and timeout, or measure narrower prefixes.",
        }
    ]


def test_a_limit_that_is_just_enough(run_module: RunModule, store: S3Server, large: str) -> None:
    result = measure(run_module, store, bucket=large, max_keys=1030)
    [facts] = result["prefixes"]
    assert (facts["complete"], facts["object_count"], result["skipped_sections"]) == (True, 1030, [])


def test_time_is_limited_too(run_module: RunModule, store: S3Server, large: str) -> None:
    [facts] = measure(run_module, store, bucket=large, timeout=0.001)["prefixes"]
    assert facts["complete"] is False
    assert facts["incomplete_reason"] == "the listing stopped at the limit of 0.001 seconds (timeout)"
    assert facts["object_count"] == 1000


def test_versions_markers_and_uploads(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """What is paid for and no plain listing shows."""
    bucket = make_bucket("Enabled")
    client = store.client()
    for size in (100, 200, 300):
        client.put_object(Bucket=bucket, Key="photos/\u00e4 b.jpg", Body=b"x" * size)
    client.put_object(Bucket=bucket, Key="photos/old", Body=b"x" * 7, StorageClass="GLACIER")
    client.put_object(Bucket=bucket, Key="photos/gone", Body=b"x" * 50)
    client.delete_object(Bucket=bucket, Key="photos/gone")
    client.put_object(Bucket=bucket, Key="elsewhere", Body=b"x" * 1000)
    upload = client.create_multipart_upload(Bucket=bucket, Key="photos/film.mp4")["UploadId"]
    for number in (1, 2):
        client.upload_part(Bucket=bucket, Key="photos/film.mp4", UploadId=upload, PartNumber=number, Body=b"p" * 5000)
    store.backdate(bucket, "photos/old", dt.datetime(2025, 1, 31, 9, tzinfo=dt.timezone.utc))
    result = measure(run_module, store, bucket=bucket, prefixes=[{"prefix": "photos/"}], reference_time=NOW)
    [facts] = result["prefixes"]

    assert counted_with_boto3(store, bucket, "photos/") == (2, 307)
    assert (facts["object_count"], facts["total_bytes"]) == (2, 307)
    versions = client.list_object_versions(Bucket=bucket, Prefix="photos/")
    hidden = [each["Size"] for each in versions["Versions"] if not each["IsLatest"]]
    assert (facts["noncurrent_count"], facts["noncurrent_bytes"]) == (len(hidden), sum(hidden)) == (3, 350)
    assert facts["delete_marker_count"] == len(versions["DeleteMarkers"]) == facts["deleted_count"] == 1
    assert facts["delete_marker_percent"] == 16.7
    assert facts["unfinished_uploads"]["count"] == 1
    assert facts["unfinished_uploads"]["bytes"] == 10_000
    assert facts["unfinished_uploads"]["oldest_key"] == "photos/film.mp4"
    assert facts["unfinished_uploads"]["oldest_age_seconds"] > 0
    assert facts["stored_bytes"] == 307 + 350 + 10_000
    assert facts["versioning"] == "enabled"
    assert facts["largest"]["key"] == "photos/\u00e4 b.jpg"
    assert facts["oldest"]["key"] == "photos/old"
    assert facts["oldest"]["modified_at"] == "2025-01-31T09:00:00Z"
    assert facts["oldest"]["age_seconds"] == 365 * 86400
    assert facts["storage_classes"] == [
        {"name": "GLACIER", "count": 1, "bytes": 7},
        {"name": "STANDARD", "count": 4, "bytes": 650},
    ]


@pytest.mark.parametrize(("max_keys", "complete"), [(1000, False), (5000, True)])
def test_versions_over_several_pages(
    run_module: RunModule, store: S3Server, make_bucket: MakeBucket, max_keys: int, complete: bool
) -> None:
    bucket = make_bucket("Enabled")
    client = store.client()
    fill(store, bucket, 10)
    fill(store, bucket, 10)
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "00000"}] * 1000})
    [facts] = measure(run_module, store, bucket=bucket, max_keys=max_keys)["prefixes"]
    assert facts["complete"] is complete
    if complete:
        assert (facts["object_count"], facts["noncurrent_count"], facts["delete_marker_count"]) == (9, 11, 1000)
        assert facts["stored_bytes"] == 60
    else:
        assert facts["keys_seen"] == 1000
        assert facts["stored_bytes"] is None


def test_suspended_versioning_still_has_versions(
    run_module: RunModule, store: S3Server, make_bucket: MakeBucket
) -> None:
    bucket = make_bucket("Enabled")
    client = store.client()
    for size in (1, 2):
        client.put_object(Bucket=bucket, Key="a", Body=b"x" * size)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    [facts] = measure(run_module, store, bucket=bucket)["prefixes"]
    assert (facts["versioning"], facts["noncurrent_bytes"]) == ("suspended", 1)


def test_several_prefixes_and_buckets(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    first, second = make_bucket(), make_bucket()
    fill(store, first, 3, "a/")
    fill(store, second, 2)
    result = measure(
        run_module,
        store,
        bucket=first,
        prefixes=[{"prefix": "a/"}, {"prefix": "b/"}, {"bucket": second, "name": "other"}, {"bucket": "not-there"}],
    )
    assert result["available"] is True
    found = {each["name"]: (each["available"], each.get("object_count")) for each in result["prefixes"]}
    assert found == {f"{first}/a": (True, 3), f"{first}/b": (True, 0), "other": (True, 2), "not-there": (False, None)}
    assert result["prefixes"][3]["reason"] == (
        f"Bucket not-there does not exist on {store.endpoint_url}. Correct its name, or create it."
    )


def test_an_empty_bucket(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    [facts] = measure(run_module, store, bucket=make_bucket())["prefixes"]
    assert (facts["object_count"], facts["stored_bytes"], facts["newest"], facts["complete"]) == (0, 0, None, True)


def test_check_mode_reads_just_the_same(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    bucket = make_bucket()
    fill(store, bucket, 3)
    real = measure(run_module, store, bucket=bucket, reference_time=NOW)
    checked = run_module("s3_prefix_info", {**store.login(), "bucket": bucket, "reference_time": NOW}, check_mode=True)
    assert checked["prefixes"] == real["prefixes"]
    assert checked["changed"] is False


class TestUnavailable:
    def test_no_such_bucket(self, run_module: RunModule, store: S3Server) -> None:
        result = measure(run_module, store, bucket="not-there")
        assert (result["available"], result["prefixes"]) == (False, [])
        assert result["reason"] == (
            f"Bucket not-there does not exist on {store.endpoint_url}. Correct its name, or create it."
        )

    def test_wrong_access_key(self, run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
        login = {**store.login(), "access_key": "AKIAWRONG", "secret_key": SECRET}
        result = run_module("s3_prefix_info", {**login, "bucket": make_bucket()})
        assert (result["available"], result["prefixes"]) == (False, [])
        assert result["reason"] == (
            f"{store.endpoint_url} does not know the access key. Correct access_key, or the profile it comes from."
        )
        assert SECRET not in str(result)

    def test_endpoint_down(self, run_module: RunModule, store: S3Server) -> None:
        address = f"http://127.0.0.1:{free_port()}"
        result = run_module("s3_prefix_info", {**store.login(), "endpoint_url": address, "bucket": "b"})
        assert result["available"] is False
        assert result["reason"] == (
            f"{address} cannot be reached. Start it, or correct endpoint_url, the name server or the firewall between."
        )

    @pytest.mark.parametrize(
        ("code", "status", "reason"),
        [
            ("SignatureDoesNotMatch", 403,
             "{store} knows the access key but not this secret key. Correct secret_key, or the profile it comes from."),
            ("RequestTimeTooSkewed", 403,
             "The clocks of this host and of {store} differ by more than 15 minutes. "
             "Set the clock (timedatectl, chronyc)."),
            ("AccessDenied", 403,
             "{store} refuses to list objects in bucket images. Grant the access key s3:ListBucket."),
            ("ExpiredToken", 400,
             "The temporary credentials for {store} are expired or invalid. Get new ones, or drop session_token."),
        ],
    )  # fmt: skip
    def test_refusals(self, run_module: RunModule, store: S3Server, code: str, status: int, reason: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>it says {SECRET}</Message></Error>"
        with HttpStub({"*": Reply(status, body.encode(), {"Content-Type": "application/xml"})}) as stub:
            address = f"http://{stub.host}:{stub.port}"
            login = {**store.login(), "endpoint_url": address, "secret_key": SECRET}
            result = run_module("s3_prefix_info", {**login, "bucket": "images"})
        assert result["available"] is False
        assert result["reason"] == reason.format(store=address)
        assert SECRET not in str(result)

    def test_something_that_is_no_store(self, run_module: RunModule, store: S3Server) -> None:
        with HttpStub({"*": Reply(200, b"<html>It works!</html")}) as stub:
            address = f"http://{stub.host}:{stub.port}"
            result = run_module("s3_prefix_info", {**store.login(), "endpoint_url": address, "bucket": "images"})
        assert result["available"] is False
        assert result["reason"].startswith(f"{address} does not answer as an object store does (")

    def test_a_store_that_never_answers(self, run_module: RunModule, store: S3Server) -> None:
        with HttpStub({"*": Reply(hang=True)}) as stub:
            address = f"http://{stub.host}:{stub.port}"
            result = run_module(
                "s3_prefix_info",
                {**store.login(), "endpoint_url": address, "bucket": "images", "read_timeout": 0.3},
                timeout=300,
            )
        assert result["reason"] == (
            f"{address} does not answer in time. "
            "Look at it and at the network, or raise connect_timeout and read_timeout."
        )

    def test_a_certificate_nobody_vouches_for(self, run_module: RunModule, store: S3Server) -> None:
        with HttpStub({"*": (404, "")}, tls=True) as stub:
            address = f"https://{stub.host}:{stub.port}"
            result = run_module("s3_prefix_info", {**store.login(), "endpoint_url": address, "bucket": "images"})
        assert result["available"] is False
        assert result["reason"].startswith(f"The certificate of {address} is not accepted (")


def test_missing_permissions_are_named(run_module: RunModule, store: S3Server) -> None:
    """Objects may be listed, versions and uploads not: what is known is told, the rest is not taken for zero."""
    objects = (
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>5</Size>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>"
    )
    denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
    xml = {"Content-Type": "application/xml"}

    def answer(request: Any) -> Reply:
        if "list-type" in request.query:
            return Reply(200, objects.encode(), xml)
        return Reply(403, denied.encode(), xml)

    with HttpStub({"*": answer}) as stub:
        login = {**store.login(), "endpoint_url": f"http://{stub.host}:{stub.port}"}
        result = run_module("s3_prefix_info", {**login, "bucket": "images"})
    [facts] = result["prefixes"]
    assert (facts["object_count"], facts["total_bytes"]) == (1, 5)
    unknown = ("versioning", "noncurrent_bytes", "delete_marker_percent", "unfinished_uploads", "stored_bytes")
    assert [facts[name] for name in unknown] == [None] * 5
    assert facts["complete"] is True
    assert sorted({each["section"] for each in result["skipped_sections"]}) == [
        "delete_marker_percent", "noncurrent_bytes", "stored_bytes", "unfinished_uploads", "versioning",
    ]  # fmt: skip
    remedies = {each["remedy"] for each in result["skipped_sections"]}
    assert remedies == {
        "Grant the access key s3:GetBucketVersioning.",
        "Grant the access key s3:ListBucketVersions.",
        "Grant the access key s3:ListBucketMultipartUploads.",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "bucket: '' is not accepted. Accepted: a bucket for all prefixes, or one in each of them."),
        ({"bucket": "b", "max_keys": 0}, "max_keys: 0 is not accepted. Accepted: 1 to 1e+09."),
        ({"bucket": "b", "workers": 99}, "workers: 99 is not accepted. Accepted: 1 to 32."),
        ({"bucket": "no such bucket"},
         "bucket: 'no such bucket' is not accepted. Accepted: the name of a bucket, such as storebridge-backups."),
        ({"bucket": "b", "reference_time": "yesterday"},
         "reference_time: 'yesterday' is not accepted. "
         "Accepted: an ISO 8601 moment with timezone, such as 2026-01-31T09:00:00+09:00."),
    ],
)  # fmt: skip
def test_options_that_cannot_work(
    run_module: RunModule, store: S3Server, options: dict[str, Any], message: str
) -> None:
    result = measure(run_module, store, **options)
    assert result["failed"] is True
    assert result["msg"] == message
