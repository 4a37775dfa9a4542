"""Records in an object store and old logs deleted: what boto3, gzip and the file system say afterwards."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import hashlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import botocore.auth
import pytest
import yaml
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from lab.paths import REPOSITORY
from lab.postgresql import PostgresServer
from lab.s3 import S3Server

from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.signing import (
    Credentials,
    encoded_path,
    signed_headers,
)

pytestmark = pytest.mark.xdist_group("log_keeping")

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.timezone.utc)
DAY = 86400.0
BUCKET = "records"
Module = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with S3Server() as server:
        server.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
        yield server


def put(path: Path, text: str, days: float) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    moment = NOW.timestamp() - days * DAY
    os.utime(path, (moment, moment))
    return path


def objects(store: S3Server) -> dict[str, bytes]:
    client = store.client()
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


@contextlib.contextmanager
def held_open(path: Path) -> Iterator[None]:
    """Another process has it open for writing, as one that was not told to reopen its log."""
    with subprocess.Popen(["sh", "-c", f"exec 3>>'{path}'; echo ready; cat"], stdin=-1, stdout=-1) as process:
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(300)


def test_records_are_sent_proven_and_only_then_deleted(tmp_path: Path, run_module: Module, store: S3Server) -> None:
    logs = tmp_path / "log"
    logs.mkdir()
    audit = put(logs / "audit.log.2.gz", "who did what, long ago\n", 400)
    older = put(logs / "audit.log.1", "who did what\n", 40)
    live = put(logs / "audit.log", "being written\n", 400)
    secret = put(logs / "production.log.1", "login token=abcdefghijklmnop by kim@example.com\nplain line\n", 31)
    debug = put(logs / "debug.log-20260101", "x\n" * 10, 10)
    young = put(logs / "debug.log-20260130", "x\n", 1)
    (logs / "audit.log.9").symlink_to(debug)
    classes: list[dict[str, Any]] = [
        {"name": "audit", "paths": [f"{logs}/audit.log*"], "keep_local": "30d"},
        {"name": "error", "paths": [f"{logs}/production.log*"], "export": True, "redact": True},
        {"name": "real_time", "paths": [f"{logs}/debug.log*"]},
    ]
    common = {
        **store.login(), "classes": classes, "state_directory": str(tmp_path / "state"),
        "reference_time": NOW.isoformat(),
    }  # fmt: skip
    export = {**common, "bucket": BUCKET, "host": "shop1"}

    # Without proof no record goes, however old it is; what needs none does.
    kept = run_module("log_retention", {**common, "on_refusal": "report"}, check_mode=True)
    assert [each["object"] for each in kept["actions"]] == [str(debug)]
    assert {each["object"]: each["reason"] for each in kept["refused"]} == {
        str(each): "it was never exported" for each in (audit, older, secret)
    }
    assert run_module("log_retention", common)["msg"].startswith(f"{audit}: it was never exported")
    assert not debug.exists(), "and the others were done all the same"
    off = [{**classes[0], "export": False}]
    assert "audit records are never deleted" in run_module("log_retention", {**common, "classes": off})["msg"]
    wal = [{"name": "error", "paths": ["/var/lib/postgresql/15/main/pg_wal/*"]}]
    assert "the database's own" in run_module("log_retention", {**common, "classes": wal})["msg"]

    # Check, real, again; a file that is still written is left alone.
    with held_open(older):
        planned = run_module("log_export", {**export, "on_refusal": "report"}, check_mode=True)
        assert objects(store) == {}
        sent = run_module("log_export", {**export, "on_refusal": "report"})
    assert [each["object"] for each in sent["actions"]] == [each["object"] for each in planned["actions"]]
    assert {each["object"] for each in sent["actions"]} == {str(audit), str(secret)}
    assert "still writes to it" in sent["refused"][0]["reason"]
    assert "more than max_bytes" in run_module("log_export", {**export, "max_bytes": 1})["msg"]
    assert [each["object"] for each in run_module("log_export", export)["actions"]] == [str(older)]
    assert not run_module("log_export", export)["changed"]
    found = objects(store)
    assert len(found) == 3
    for action in sent["actions"]:
        body = found[action["address"].removeprefix(f"s3://{BUCKET}/")]
        assert hashlib.sha256(body).hexdigest() == action["sha256"]
    texts = {key.split("/")[1]: gzip.decompress(body).decode() for key, body in found.items() if "production" in key}
    assert texts["error"] == "login token=<hidden> by <hidden>\nplain line\n"
    assert live.read_text(encoding="utf-8") == "being written\n"

    # The next rotation renames and compresses: the same record is not sent again.
    older.unlink()
    again = put(logs / "audit.log.3.gz", "who did what\n", 40)
    assert not run_module("log_export", export)["changed"]

    # Proven now: a record whose object somebody deleted stays, and is sent again.
    gone = next(key for key in found if "/audit/" in key and "2024" in key)
    store.client().delete_object(Bucket=BUCKET, Key=gone)
    assert "more than max_files" in run_module("log_retention", {**common, "max_files": 1})["msg"]
    done = run_module("log_retention", {**common, "on_refusal": "report"})
    assert {each["object"] for each in done["actions"]} == {str(again), str(secret)}
    assert all(each["address"].startswith("s3://records/logs/") for each in done["actions"])
    assert [each["object"] for each in done["refused"]] == [str(audit)]
    assert [each["object"] for each in run_module("log_export", export)["actions"]] == [str(audit)]
    assert [each["object"] for each in run_module("log_retention", common)["actions"]] == [str(audit)]
    assert sorted(each.name for each in logs.iterdir() if not each.is_symlink()) == ["audit.log", young.name]
    assert not run_module("log_retention", common)["changed"]

    # A file that is damaged, in whatever way, does not keep the others here.
    new = put(logs / "audit.log.1", "new\n", 3)
    for number, damaged in enumerate((gzip.compress(b"x" * 1000)[:-9], gzip.compress(b"x")[:10] + b"\xff" * 20)):
        put(logs / f"audit.log.{4 + number}.gz", "", 5).write_bytes(damaged)
    told = run_module("log_export", {**export, "quiet_seconds": 0})
    assert [each["object"] for each in told["actions"]] == [str(new)], told
    assert [each["reason"].split(":")[0] for each in told["refused"]] == [
        f"{logs}/audit.log.{number}.gz is damaged" for number in (4, 5)
    ]
    assert "is damaged" in told["msg"]

    # A store that is not there, and a key that may not: a sentence, and nothing is recorded.
    put(logs / "audit.log.2", "newer\n", 3)
    stranger = run_module("log_export", {**export, "access_key": "AKIAZZZZZZZZZZZZZZZZ"})
    assert "it does not let us in" in stranger["msg"]
    nowhere = run_module("log_export", {**export, "endpoint_url": "http://127.0.0.1:9"})
    assert "did not answer" in nowhere["msg"]


def test_a_killed_export_goes_on_where_it_was(tmp_path: Path, run_module: Module, store: S3Server) -> None:
    """The object is there and the record is not: it is compared, recorded, and not sent again."""
    log = put(tmp_path / "security.log.1", "who came in\n", 3)
    options = {
        **store.login(), "classes": [{"name": "security", "paths": [f"{tmp_path}/security.log*"]}],
        "state_directory": str(tmp_path / "state"), "bucket": BUCKET, "prefix": "killed", "host": "h",
        "reference_time": NOW.isoformat(),
    }  # fmt: skip
    first = run_module("log_export", options)
    (tmp_path / "state" / "exported.json").unlink()
    key = first["actions"][0]["address"].removeprefix(f"s3://{BUCKET}/")
    # Had it been written again, this moment would be gone.
    store.backdate(BUCKET, key, NOW)
    second = run_module("log_export", options)
    assert [each["object"] for each in second["actions"]] == [str(log)]
    assert store.client().head_object(Bucket=BUCKET, Key=key)["LastModified"] == NOW
    # A damaged ledger is said, not guessed at.
    (tmp_path / "state" / "exported.json").write_text("{", encoding="utf-8")
    assert "It says what was exported" in run_module("log_export", options)["msg"]


@pytest.mark.parametrize("token", [None, "session"])
def test_requests_are_signed_as_botocore_signs_them(token: str | None) -> None:
    moment = dt.datetime(2026, 1, 31, 12, 0, 5, tzinfo=dt.timezone.utc)
    key, digest = "logs/audit/web 1/2026/a+b(1)~한.gz", "0" * 64
    path = encoded_path("", "records", key)
    metadata = {"x-amz-meta-sha256": "abc", "content-length": "3"}
    request = AWSRequest("PUT", f"https://s3.example.com:9000{path}", headers=dict(metadata), data=b"abc")
    request.headers["X-Amz-Content-SHA256"] = digest
    signer = botocore.auth.S3SigV4Auth(BotoCredentials("AKIA", "secret", token), "s3", "ap-northeast-2")
    with (
        mock.patch.object(signer, "payload", return_value=digest),
        mock.patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None), create=True),
        mock.patch("botocore.auth.datetime", mock.Mock(datetime=mock.Mock(utcnow=lambda: moment)), create=True),
    ):
        signer.add_auth(request)
    ours = signed_headers(
        "PUT", "s3.example.com:9000", path, body_sha256=digest, headers=metadata,
        credentials=Credentials("AKIA", "secret", token), region="ap-northeast-2", moment=moment,
    )  # fmt: skip
    assert ours["authorization"] == request.headers["Authorization"]


def test_what_postgresql_does_to_its_own_log(run_module: Module) -> None:
    """The role's advice, with settings with which the log of a real server grows without end, and without."""
    tasks = REPOSITORY / "roles" / "log_rotation" / "tasks" / "postgresql.yml"
    queries = yaml.safe_load(tasks.read_text(encoding="utf-8"))[0]["block"][0]["runbook.ops.postgresql_query_info"]

    def advice(server: PostgresServer, **settings: str) -> list[str]:
        for name, value in settings.items():
            server.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        server.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + 240
        while any(server.psql(f"SHOW {name}") != value for name, value in settings.items()):
            assert time.monotonic() < deadline
        found = run_module("postgresql_query_info", {**server.login("postgres"), **queries})
        return sorted(each["setting"] for each in found["queries"]["advice"]["rows"])

    with PostgresServer(settings={"logging_collector": "on"}) as server:
        assert advice(server, log_filename="a-%Y-%m-%d.log", log_rotation_age="1d", log_rotation_size="0") == []
        assert advice(server, log_rotation_age="0") == ["log_rotation_age"]
        assert advice(server, log_filename="a-%a.log", log_rotation_age="1d") == ["log_truncate_on_rotation"]
        assert advice(server, log_truncate_on_rotation="on") == []
        assert advice(server, log_rotation_size="10MB") == ["log_rotation_size"]
