"""s3_undelete against a real S3 interface; what it did is looked at with boto3."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from lab.s3 import S3Server
from lab.s3_faults import Fault, S3Faults

# One server for all of them.
pytestmark = pytest.mark.xdist_group("object_store")

RunModule = Callable[..., dict[str, Any]]
MakeBucket = Callable[..., str]
KEY = "videos/content-123/original.mp4"
CORRECT_THAT = "Correct that, and run this again."


def undelete(run_module: RunModule, store: S3Server | S3Faults, **options: Any) -> dict[str, Any]:
    flags = {name: options.pop(name) for name in ("check_mode", "diff") if name in options}
    return run_module("s3_undelete", {**store.login(), **options}, **flags)


def put(store: S3Server, bucket: str, key: str, body: bytes, at: dt.datetime | None = None, **more: Any) -> str:
    version = store.client().put_object(Bucket=bucket, Key=key, Body=body, **more)["VersionId"]
    if at:
        store.backdate(bucket, key, at, version)
    return version


def delete(store: S3Server, bucket: str, key: str, at: dt.datetime | None = None) -> str:
    marker = store.client().delete_object(Bucket=bucket, Key=key)["VersionId"]
    if at:
        store.backdate(bucket, key, at, marker)
    return marker


def body(store: S3Server, bucket: str, key: str) -> bytes | None:
    try:
        return store.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey"
        return None


def version_ids(store: S3Server, bucket: str) -> set[tuple[str, str]]:
    pages = store.client().get_paginator("list_object_versions").paginate(Bucket=bucket)
    return {(each["Key"], each["VersionId"]) for page in pages for each in page.get("Versions", ())}


def hour(number: int) -> dt.datetime:
    return dt.datetime(2026, 1, 31, number, tzinfo=dt.UTC)


def test_the_manuals_command_destroys_a_version_and_ours_refuses(
    run_module: RunModule, store: S3Server, make_bucket: MakeBucket
) -> None:
    """``delete-object --version-id`` with the id of the version above, which one takes for "restore this version"."""
    manual, ours = make_bucket("Enabled"), make_bucket("Enabled")
    for bucket in (manual, ours):
        put(store, bucket, KEY, b"the only copy")
        delete(store, bucket, KEY)
    [(_key, version)] = version_ids(store, manual)
    answer = store.client().delete_object(Bucket=manual, Key=KEY, VersionId=version)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert version_ids(store, manual) == set()

    [(_key, version)] = version_ids(store, ours)
    refused = undelete(run_module, store, bucket=ours, markers=[{"key": KEY, "version_id": version}])
    assert refused["failed"] is True
    assert refused["changed"] is False
    [refusal] = refused["refused"]
    written = store.client().head_object(Bucket=ours, Key=KEY, VersionId=version)["LastModified"]
    assert refusal["reason"] == (
        f"{version} is not a delete marker but a version with 13 bytes, written at {written:%Y-%m-%dT%H:%M:%SZ}; "
        "deleting it would destroy it for ever"
    )
    assert version_ids(store, ours) == {(KEY, version)}
    assert undelete(run_module, store, bucket=ours)["changed"] is True
    assert body(store, ours, KEY) == b"the only copy"


def test_check_then_run_then_nothing(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    bucket = make_bucket("Enabled")
    version = put(store, bucket, KEY, b"video")
    put(store, bucket, "videos/content-123/kept.mp4", b"kept")
    put(store, bucket, "videos/content-124/other.mp4", b"other")
    marker = delete(store, bucket, KEY)
    delete(store, bucket, "videos/content-124/other.mp4")
    options = {"bucket": bucket, "prefix": "videos/content-123/"}

    planned = undelete(run_module, store, **options, check_mode=True, diff=True)
    assert body(store, bucket, KEY) is None
    done = undelete(run_module, store, **options, diff=True)
    assert body(store, bucket, KEY) == b"video"
    assert body(store, bucket, "videos/content-124/other.mp4") is None
    assert planned["actions"] == done["actions"]
    [action] = done["actions"]
    assert {name: action[name] for name in ("action", "object", "version_id", "bytes", "delete_markers")} == {
        "action": "remove_delete_marker",
        "object": KEY,
        "version_id": version,
        "bytes": 5,
        "delete_markers": [marker],
    }
    assert (planned["changed"], done["changed"]) == (True, True)
    assert planned["after"] is None
    assert done["before"] == {"objects": 1, "deleted": 1, "due": 1}
    assert done["after"] == {"objects": 2, "deleted": 0, "due": 0}
    assert planned["diff"] == done["diff"]
    assert done["diff"]["before"].startswith(f"{KEY}: deleted at ")
    assert done["diff"]["after"].startswith(f"{KEY}: version {version} of ")

    again = undelete(run_module, store, **options)
    assert (again["changed"], again["actions"], again["refused"]) == (False, [], [])
    named = undelete(run_module, store, bucket=bucket, markers=[{"key": KEY, "version_id": marker}])
    assert (named["changed"], named["actions"], named["refused"]) == (False, [], [])


def test_more_than_one_page(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """The manual's listing by hand shows a page of a thousand, and its command takes one key at a time."""
    bucket, client = make_bucket("Enabled"), store.client()
    keys = [f"videos/{number:05}" for number in range(1010)]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"v")
    for start in (0, 1000):
        objects = [{"Key": key} for key in keys[start : start + 1000]]
        client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    assert len(client.list_object_versions(Bucket=bucket).get("DeleteMarkers", [])) <= 1000
    versions = version_ids(store, bucket)

    refused = undelete(run_module, store, bucket=bucket, prefix="videos/")
    assert refused["msg"] == (
        f"1010 objects below {bucket}/videos/ would be brought back, such as videos/00000, videos/00001, videos/00002, "
        "and at most 1000 may be (max_objects); nothing was touched. Narrow prefix, pattern or deleted_since, or raise "
        "max_objects."
    )
    narrow = undelete(run_module, store, bucket=bucket, prefix="videos/", max_objects=2000, max_keys=1500)
    assert narrow["msg"].startswith(f"{bucket}/videos/ has more than 1500 versions and delete markers (max_keys)")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0

    done = undelete(run_module, store, bucket=bucket, prefix="videos/", max_objects=2000)
    assert (done["before"], done["after"]) == (
        {"objects": 0, "deleted": 1010, "due": 1010},
        {"objects": 1010, "deleted": 0, "due": 0},
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    assert [each["Key"] for page in pages for each in page["Contents"]] == keys
    assert version_ids(store, bucket) == versions


def test_superseded_and_stacked_markers(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """All within a second, in which a listing does not tell their order."""
    bucket = make_bucket("Enabled")
    put(store, bucket, "again", b"1")
    old = delete(store, bucket, "again")
    put(store, bucket, "again", b"2")
    put(store, bucket, "twice", b"3")
    first, second = delete(store, bucket, "twice"), delete(store, bucket, "twice")
    put(store, bucket, "both", b"4")
    superseded = delete(store, bucket, "both")
    put(store, bucket, "both", b"5")
    latest = delete(store, bucket, "both")

    done = undelete(run_module, store, bucket=bucket)
    markers = {action["object"]: action["delete_markers"] for action in done["actions"]}
    assert markers == {"twice": [second, first], "both": [latest]}
    assert [body(store, bucket, key) for key in ("again", "both", "twice")] == [b"2", b"5", b"3"]
    left = store.client().list_object_versions(Bucket=bucket)["DeleteMarkers"]
    assert {each["VersionId"] for each in left} == {old, superseded}


def test_named_markers(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    bucket = make_bucket("Enabled")
    put(store, bucket, "a", b"1")
    marker = delete(store, bucket, "a")
    put(store, bucket, "b", b"2")
    delete(store, bucket, "b")
    upper = delete(store, bucket, "b")
    markers = [
        {"key": "a", "version_id": marker},
        {"key": "b", "version_id": upper},
        {"key": "none", "version_id": "x"},
    ]
    done = undelete(run_module, store, bucket=bucket, markers=markers, on_refusal="report")
    assert [action["object"] for action in done["actions"]] == ["a"]
    reasons = {each["object"]: each["reason"] for each in done["refused"]}
    assert reasons["none"] == "it has neither versions nor delete markers"
    assert reasons["b"].startswith("it would stay deleted: another delete marker, ")
    assert (body(store, bucket, "a"), body(store, bucket, "b")) == (b"1", None)
    wrong = undelete(run_module, store, bucket=bucket, markers=[{"key": "b", "version_id": marker}])
    assert wrong["refused"][0]["reason"] == f"it has no version {marker}, and it is deleted"


def test_filters(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    bucket = make_bucket("Enabled")
    for key, deleted in (("old.mp4", 3), ("new.mp4", 7), ("new.jpg", 7), ("twice.mp4", 3)):
        put(store, bucket, key, b"x", hour(1))
        delete(store, bucket, key, hour(deleted))
    delete(store, bucket, "twice.mp4", hour(8))
    options = {"bucket": bucket, "pattern": ["*.mp4"], "deleted_since": "2026-01-31T14:00:00+09:00"}
    done = undelete(run_module, store, **options)
    assert [action["object"] for action in done["actions"]] == ["new.mp4"]
    assert done["actions"][0]["deleted_at"] == "2026-01-31T07:00:00Z"
    refused = undelete(run_module, store, **{**options, "deleted_since": "2026-01-31T14:00:00"})
    assert refused["msg"] == (
        "deleted_since: '2026-01-31T14:00:00' is not accepted. Accepted: an ISO 8601 moment with timezone, such as "
        "2026-01-31T09:00:00+09:00."
    )


def test_overwritten(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """The manual's "restore a version" cannot help here: there is no delete marker."""
    bucket = make_bucket("Enabled")
    oldest = put(store, bucket, "thumb.jpg", b"older", hour(1))
    good = put(store, bucket, "thumb.jpg", b"good", hour(2), ContentType="image/jpeg", Metadata={"by": "shop"})
    bad = put(store, bucket, "thumb.jpg", b"broken", hour(4))
    put(store, bucket, "gone.jpg", b"gone", hour(1))
    put(store, bucket, "gone.jpg", b"empty", hour(4))
    delete(store, bucket, "gone.jpg", hour(5))
    put(store, bucket, "same.jpg", b"same", hour(1))
    put(store, bucket, "late.jpg", b"late", hour(5))
    put(store, bucket, "away.jpg", b"away", hour(1))
    delete(store, bucket, "away.jpg", hour(2))
    put(store, bucket, "away.jpg", b"away again", hour(6))
    before = version_ids(store, bucket)
    options = {"bucket": bucket, "mode": "version", "before": "2026-01-31T12:00:00+09:00"}

    planned = undelete(run_module, store, **options, check_mode=True)
    assert version_ids(store, bucket) == before
    done = undelete(run_module, store, **options)
    assert planned["actions"] == done["actions"]
    assert [(each["action"], each["object"], each["replaced_version_id"]) for each in done["actions"]] == [
        ("copy_version", "gone.jpg", None),
        ("copy_version", "thumb.jpg", bad),
    ]
    assert [body(store, bucket, f"{name}.jpg") for name in ("thumb", "gone", "same", "late", "away")] == [
        b"good", b"gone", b"same", b"late", b"away again",
    ]  # fmt: skip
    assert before < version_ids(store, bucket)
    assert {("thumb.jpg", oldest), ("thumb.jpg", good), ("thumb.jpg", bad)} <= version_ids(store, bucket)
    head = store.client().head_object(Bucket=bucket, Key="thumb.jpg")
    assert (head["ContentType"], head["Metadata"]) == ("image/jpeg", {"by": "shop", "runbook-copy-of": good})
    after = version_ids(store, bucket)
    again = undelete(run_module, store, **options)
    assert (again["changed"], again["actions"]) == (False, [])
    assert version_ids(store, bucket) == after


def test_a_copy_of_parts_is_known_again(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """An upload in parts has another ETag than its copy, although they are the same to the byte."""
    bucket, client = make_bucket("Enabled"), store.client()
    upload = client.create_multipart_upload(Bucket=bucket, Key="film")["UploadId"]
    parts = []
    for number, data in enumerate((b"one", b"two"), 1):
        sent = client.upload_part(Bucket=bucket, Key="film", UploadId=upload, PartNumber=number, Body=data)
        parts.append({"ETag": sent["ETag"], "PartNumber": number})
    made = client.complete_multipart_upload(
        Bucket=bucket, Key="film", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    store.backdate(bucket, "film", hour(1), made["VersionId"])
    put(store, bucket, "film", b"other!", hour(3))
    options = {"bucket": bucket, "mode": "version", "before": "2026-01-31T02:00:00Z"}
    assert undelete(run_module, store, **options)["changed"] is True
    assert body(store, bucket, "film") == b"onetwo"
    assert undelete(run_module, store, **options)["changed"] is False


def test_without_versions(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """The manual's list of delete markers is empty there, as if nothing had been deleted."""
    bucket = make_bucket()
    store.client().put_object(Bucket=bucket, Key="a", Body=b"1")
    store.client().delete_object(Bucket=bucket, Key="a")
    assert "DeleteMarkers" not in store.client().list_object_versions(Bucket=bucket)
    refused = undelete(run_module, store, bucket=bucket)
    assert refused["msg"] == (
        f"Bucket {bucket} keeps no versions (versioning was never switched on): what was deleted or overwritten there "
        "is gone. Restore it from a backup, and switch versioning on."
    )


def test_suspended(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    bucket = make_bucket("Enabled")
    put(store, bucket, "a", b"1", hour(1))
    delete(store, bucket, "a", hour(2))
    store.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    refused = undelete(run_module, store, bucket=bucket)
    assert refused["msg"] == (
        f"Versioning of bucket {bucket} is suspended: what is written in the same moment could be lost for ever. "
        "Switch it on, which changes no object, and run this again."
    )
    store.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert undelete(run_module, store, bucket=bucket)["changed"] is True
    assert body(store, bucket, "a") == b"1"


def test_object_lock(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """A lock keeps versions and lets delete markers go."""
    client, bucket = store.client(), f"{make_bucket()}-lock"
    client.create_bucket(
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": store.region},
        ObjectLockEnabledForBucket=True,
    )
    retention = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": retention}
    )
    version = put(store, bucket, "a", b"1")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key="a", VersionId=version)
    delete(store, bucket, "a")
    assert undelete(run_module, store, bucket=bucket)["changed"] is True
    assert body(store, bucket, "a") == b"1"


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        (
            Fault("b", methods=["DELETE"], status=403),
            {
                "object": "b",
                "reason": "{store} refuses to remove a delete marker in bucket {bucket}",
                "remedy": "Grant the access key s3:DeleteObjectVersion.",
            },
        ),
        (
            Fault("b", methods=["HEAD"], status=403),
            {
                "object": "b",
                "reason": "{store} refuses to look at an object in bucket {bucket}",
                "remedy": "Grant the access key s3:GetObject.",
            },
        ),
        (
            Fault("b", methods=["DELETE"], status=404, code="NoSuchVersion"),
            {
                "object": "b",
                "reason": "It is gone from bucket {bucket} since it was listed",
                "remedy": CORRECT_THAT,
            },
        ),
    ],
    ids=["delete", "head", "gone"],
)
def test_one_object_that_is_refused(
    run_module: RunModule, store: S3Server, make_bucket: MakeBucket, fault: Fault, refusal: dict[str, str]
) -> None:
    bucket = make_bucket("Enabled")
    for key in ("a", "b", "c"):
        put(store, bucket, key, key.encode())
        delete(store, bucket, key)
    with S3Faults(store, fault) as faulty:
        result = undelete(run_module, faulty, bucket=bucket)
        words = {"store": faulty.endpoint_url, "bucket": bucket}
    assert result["failed"] is True
    assert result["changed"] is True
    assert result["refused"] == [{name: text.format(**words) for name, text in refusal.items()}]
    assert [action["object"] for action in result["actions"]] == ["a", "c"]
    assert [body(store, bucket, key) for key in ("a", "b", "c")] == [b"a", None, b"c"]
    assert undelete(run_module, store, bucket=bucket)["after"] == {"objects": 3, "deleted": 0, "due": 0}


def test_written_between_listing_and_removal(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """The last look before the removal finds the object alive; its old marker stays where it is."""
    bucket = make_bucket("Enabled")
    put(store, bucket, "a", b"1")
    marker = delete(store, bucket, "a")
    with S3Faults(store, Fault("a", methods=["HEAD"], times=1, delay=2)) as slow, ThreadPoolExecutor(1) as pool:
        running = pool.submit(undelete, run_module, slow, bucket=bucket)
        while not slow.faults[0].hits and not running.done():
            time.sleep(0.01)
        put(store, bucket, "a", b"2")
        result = running.result()
    assert (result["changed"], result["actions"], result["refused"]) == (False, [], [])
    assert result["before"] == {"objects": 0, "deleted": 1, "due": 1}
    assert result["after"] == {"objects": 1, "deleted": 0, "due": 0}
    assert body(store, bucket, "a") == b"2"
    assert store.client().list_object_versions(Bucket=bucket)["DeleteMarkers"][0]["VersionId"] == marker


def test_a_store_that_does_not_tell_of_markers(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    """Its answer to HEAD has no header for them, so that the listing of the key is asked."""
    bucket = make_bucket("Enabled")
    put(store, bucket, "a", b"1")
    delete(store, bucket, "a")
    with S3Faults(store, Fault("a", methods=["HEAD"], times=1, status=404, code="NoSuchKey")) as terse:
        assert undelete(run_module, terse, bucket=bucket)["changed"] is True
    assert body(store, bucket, "a") == b"1"


def test_nothing_left_below(run_module: RunModule, store: S3Server, make_bucket: MakeBucket) -> None:
    bucket = make_bucket("Enabled")
    version = put(store, bucket, "a", b"1")
    delete(store, bucket, "a")
    store.client().delete_object(Bucket=bucket, Key="a", VersionId=version)
    refused = undelete(run_module, store, bucket=bucket)
    assert refused["msg"] == (
        "a: no version is left below its delete marker. Nothing can bring it back here. Restore it from a backup."
    )
