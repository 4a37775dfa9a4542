"""check_object_store as a user runs it: healthy, degraded, incomplete, down, wrong keys."""

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


def variables(login: dict[str, Any], **further: Any) -> dict[str, Any]:
    return {**{f"aws_{name}": value for name, value in login.items()}, **further}


def healthy(store: S3Server, make_bucket: MakeBucket) -> dict[str, Any]:
    """With StoreBridge's own ladder."""
    bucket = make_bucket("Enabled")
    store.client().put_object(Bucket=bucket, Key="a.jpg", Body=b"x" * 100)
    ladder = yaml.safe_load((STOREBRIDGE / "check_object_store.yml").read_text(encoding="utf-8"))
    return variables(store.login(), check_object_store_bucket=bucket, **ladder)


def degraded(store: S3Server, make_bucket: MakeBucket) -> dict[str, Any]:
    """Too much, counted with what no listing shows; an old upload; many delete markers; a bucket that is not there."""
    bucket = make_bucket("Enabled")
    client = store.client()
    for _number in range(3):
        client.put_object(Bucket=bucket, Key="a", Body=b"x" * 400_000)
    upload = client.create_multipart_upload(Bucket=bucket, Key="film")["UploadId"]
    client.upload_part(Bucket=bucket, Key="film", UploadId=upload, PartNumber=1, Body=b"p" * 500_000)
    client.put_object(Bucket=bucket, Key="gone", Body=b"")
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "gone"}] * 1000})
    return variables(
        store.login(),
        check_object_store_prefixes=[{"name": "photos", "bucket": bucket}, {"bucket": "not-there"}],
        # The current objects alone, 400 kB, would be fine.
        check_object_store_rule_overrides={"object_store.stored_bytes": {"warning": "> 1 MB", "critical": "> 2 MB"}},
    )


def incomplete(store: S3Server, make_bucket: MakeBucket) -> dict[str, Any]:
    bucket = make_bucket()
    for number in range(5):
        store.client().put_object(Bucket=bucket, Key=str(number), Body=b"x")
    prefixes = [{"name": "photos", "bucket": bucket}]
    return variables(store.login(), check_object_store_prefixes=prefixes, check_object_store_max_keys=2)


def down(store: S3Server) -> dict[str, Any]:
    login = {**store.login(), "endpoint_url": f"http://127.0.0.1:{free_port()}"}
    return variables(login, check_object_store_bucket="b")


def wrong_keys(store: S3Server, make_bucket: MakeBucket) -> dict[str, Any]:
    login = {**store.login(), "access_key": "AKIAWRONG", "secret_key": SECRET, "session_token": f"{SECRET}-token"}
    return variables(login, check_object_store_bucket=make_bucket())


@pytest.fixture(scope="module")
def run(check_role: CheckRole, store: S3Server, make_bucket: MakeBucket) -> Any:
    """One run, as talkative as can be, over a host for every case."""
    hosts = {
        "healthy": healthy(store, make_bucket),
        "degraded": degraded(store, make_bucket),
        "incomplete": incomplete(store, make_bucket),
        "down": down(store),
        "wrong_keys": wrong_keys(store, make_bucket),
    }
    return check_role(hosts, "-vvvv")


def test_healthy(run: Any) -> None:
    outcome = run.outcomes["healthy"]
    assert outcome.not_ok() == []
    assert [each["id"] for each in outcome.findings] == [
        "object_store.available",
        "object_store.prefix_available",
        "object_store.stored_bytes",
        "object_store.unfinished_uploads",
        "object_store.delete_markers",
    ]


def test_degraded(run: Any) -> None:
    outcome = run.outcomes["degraded"]
    assert sorted(outcome.not_ok()) == [
        ("critical", "object_store.prefix_available", "not-there"),
        ("warning", "object_store.delete_markers", "photos"),
        ("warning", "object_store.stored_bytes", "photos"),
        ("warning", "object_store.unfinished_uploads", "photos"),
    ]
    assert outcome.summary("object_store.stored_bytes") == (
        "photos holds 1.7 MB: 400 kB in 1 objects, 800 kB in noncurrent versions, 500 kB in unfinished uploads"
    )
    assert (
        outcome.summary("object_store.delete_markers")
        == "99.6 % of the 1,004 keys in photos are delete markers (1,000)"
    )


def test_incomplete_is_unknown_not_ok(run: Any) -> None:
    outcome = run.outcomes["incomplete"]
    assert outcome.not_ok() == [("unknown", "object_store.stored_bytes", "photos")]
    assert "the limit of 2 keys (max_keys)" in outcome.summary("object_store.stored_bytes")


def test_down(run: Any) -> None:
    outcome = run.outcomes["down"]
    assert outcome.not_ok() == [
        ("critical", "object_store.available", ""),
        ("unknown", "object_store.not_judged", ""),
    ]
    assert "cannot be reached" in outcome.summary("object_store.available")


def test_wrong_keys(run: Any) -> None:
    outcome = run.outcomes["wrong_keys"]
    assert outcome.not_ok()[0] == ("critical", "object_store.available", "")
    assert "does not know the access key" in outcome.summary("object_store.available")


def test_no_secret_in_the_output(run: Any, store: S3Server) -> None:
    assert "does not know the access key" in run.output
    for secret in (SECRET, store.secret_key):
        assert secret not in run.output
        assert secret not in str(run.outcomes)


def test_check_mode_and_bad_variables(check_role: CheckRole, store: S3Server, make_bucket: MakeBucket) -> None:
    hosts = {
        "good": variables(store.login(), check_object_store_bucket=make_bucket()),
        "nothing": variables(store.login()),
    }
    run = check_role(hosts, "--check", expect=2)
    assert run.outcomes["good"].not_ok() == []
    assert "There is nothing to count. Set check_object_store_bucket" in run.output
    assert "nothing" not in run.outcomes
