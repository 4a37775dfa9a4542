"""check_object_store as a user runs it: healthy, degraded, down, wrong keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.ports import free_port
from lab.s3 import S3Server

pytestmark = pytest.mark.xdist_group("object_store")

CheckRole = Callable[..., Any]
MakeBucket = Callable[..., str]
SECRET = "planted-s3cret/K@y"
STOREBRIDGE = Path(__file__).resolve().parents[3] / "inventories" / "storebridge" / "group_vars" / "object_store"


@pytest.fixture
def overrides() -> dict[str, Any]:
    """StoreBridge's own ladder."""
    text = (STOREBRIDGE / "check_object_store.yml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_healthy(check_role: CheckRole, store: S3Server, make_bucket: MakeBucket, overrides: dict[str, Any]) -> None:
    bucket = make_bucket("Enabled")
    store.client().put_object(Bucket=bucket, Key="a.jpg", Body=b"x" * 100)
    run = check_role(store.login(), check_object_store_bucket=bucket, **overrides)
    assert run.not_ok() == []
    assert [each["id"] for each in run.outcome["findings"]] == [
        "object_store.available",
        "object_store.prefix_available",
        "object_store.stored_bytes",
        "object_store.unfinished_uploads",
        "object_store.delete_markers",
    ]


def test_degraded(check_role: CheckRole, store: S3Server, make_bucket: MakeBucket) -> None:
    """Too much, counted with what a plain listing does not show; old uploads; many delete markers; a missing bucket."""
    bucket = make_bucket("Enabled")
    client = store.client()
    for _ in range(3):
        client.put_object(Bucket=bucket, Key="a", Body=b"x" * 400_000)
    upload = client.create_multipart_upload(Bucket=bucket, Key="film")["UploadId"]
    client.upload_part(Bucket=bucket, Key="film", UploadId=upload, PartNumber=1, Body=b"p" * 500_000)
    client.put_object(Bucket=bucket, Key="gone", Body=b"")
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "gone"}] * 1000})
    run = check_role(
        store.login(),
        check_object_store_prefixes=[{"name": "photos", "bucket": bucket}, {"bucket": "not-there"}],
        # The current objects alone, 400 kB, would be fine.
        check_object_store_rule_overrides={"object_store.stored_bytes": {"warning": "> 1 MB", "critical": "> 2 MB"}},
    )
    assert sorted(run.not_ok()) == [
        ("critical", "object_store.prefix_available", "not-there"),
        ("warning", "object_store.delete_markers", "photos"),
        ("warning", "object_store.stored_bytes", "photos"),
        ("warning", "object_store.unfinished_uploads", "photos"),
    ]
    assert run.summary("object_store.stored_bytes") == (
        "photos holds 1.7 MB: 400 kB in 1 objects, 800 kB in noncurrent versions, 500 kB in unfinished uploads"
    )
    assert run.summary("object_store.delete_markers") == "99.6 % of the 1,004 keys in photos are delete markers (1,000)"


def test_incomplete_is_unknown_not_ok(check_role: CheckRole, store: S3Server, make_bucket: MakeBucket) -> None:
    bucket = make_bucket()
    client = store.client()
    for number in range(5):
        client.put_object(Bucket=bucket, Key=str(number), Body=b"x")
    run = check_role(store.login(), check_object_store_bucket=bucket, check_object_store_max_keys=2)
    assert run.not_ok() == [("unknown", "object_store.stored_bytes", bucket)]
    assert "the limit of 2 keys (max_keys)" in run.summary("object_store.stored_bytes")


def test_down(check_role: CheckRole, store: S3Server) -> None:
    login = {**store.login(), "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    run = check_role(login, check_object_store_bucket="b")
    assert run.not_ok() == [
        ("critical", "object_store.available", ""),
        ("unknown", "object_store.not_judged", ""),
    ]
    assert "cannot be reached" in run.summary("object_store.available")


def test_wrong_keys_and_no_secret_in_the_output(
    check_role: CheckRole, store: S3Server, make_bucket: MakeBucket
) -> None:
    login = {**store.login(), "access_key": "AKIAWRONG", "secret_key": SECRET, "session_token": f"{SECRET}-token"}
    run = check_role(login, "-vvvv", check_object_store_bucket=make_bucket())
    assert run.not_ok()[0] == ("critical", "object_store.available", "")
    assert "does not know the access key" in run.summary("object_store.available")
    assert SECRET not in run.output
    assert SECRET not in str(run.outcome)


def test_check_mode(check_role: CheckRole, store: S3Server, make_bucket: MakeBucket) -> None:
    run = check_role(store.login(), "--check", check_object_store_bucket=make_bucket())
    assert run.not_ok() == []


def test_nothing_to_count(check_role: CheckRole, store: S3Server) -> None:
    run = check_role(store.login(), expect=2)
    assert "There is nothing to count. Set check_object_store_bucket" in run.output
