"""The part ``objects`` of the role restore, as a user runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lab.play import run_role
from lab.s3 import S3Server

pytestmark = pytest.mark.xdist_group("object_store")


def test_deleted_objects_come_back(store: S3Server, make_bucket: Callable[..., str], tmp_path: Path) -> None:
    bucket, client = make_bucket("Enabled"), store.client()
    for key in ("videos/1/a.mp4", "videos/1/b.mp4", "videos/2/c.mp4", "videos/2/d.mp4"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
        client.delete_object(Bucket=bucket, Key=key)
    variables = {
        "runbook_system": "autoclip",
        "restore_parts": ["objects"],
        "objects_bucket": bucket,
        "restore_objects_prefix": "videos/1/",
        "restore_object_store": store.login(),
    }
    planned = run_role(tmp_path, "restore", variables, "--check")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    done = run_role(tmp_path, "restore", variables, "-e", "confirm=autoclip")
    assert planned.facts["objects"]["actions"] == done.facts["objects"]["actions"]
    found = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in found] == ["videos/1/a.mp4", "videos/1/b.mp4"]
    assert done.of("critical", "warning", "unknown") == []

    # Too many at once are a finding, and nothing is touched.
    refused = run_role(
        tmp_path,
        "restore",
        {**variables, "restore_objects_prefix": "", "restore_objects_max": 1},
        "-e",
        "confirm=autoclip",
    )
    [failure] = refused.facts["failures"]
    assert failure["message"].startswith(f"2 objects below {bucket}/ would be brought back, such as ")
    assert len(client.list_objects_v2(Bucket=bucket)["Contents"]) == 2
