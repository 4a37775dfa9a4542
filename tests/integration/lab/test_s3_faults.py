"""The proxy before S3 does to requests what it was told, and nothing to the others."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from lab.s3 import S3Server
from lab.s3_faults import Fault, S3Faults

CONTENT = bytes(range(256)) * 4096
PART = 5 * 1024 * 1024


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[S3Faults]:
    with S3Faults(s3_server) as proxy:
        yield proxy


def client_of(proxy: S3Faults) -> Any:
    from botocore.config import Config

    patient = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=5)
    return proxy.server.client(endpoint_url=proxy.endpoint_url, config=patient)


def put(client: Any, bucket: str, key: str, body: bytes = CONTENT) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=body)


def read(client: Any, bucket: str, key: str) -> bytes:
    content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def test_without_faults_everything_passes(proxy: S3Faults, s3_server: S3Server, bucket: str) -> None:
    client = client_of(proxy)
    put(client, bucket, "daily/a b/é.dump")
    assert read(s3_server.client(), bucket, "daily/a b/é.dump") == CONTENT
    assert read(client, bucket, "daily/a b/é.dump") == CONTENT
    assert client.head_object(Bucket=bucket, Key="daily/a b/é.dump")["ContentLength"] == len(CONTENT)
    client.upload_fileobj(io.BytesIO(b"x" * (2 * PART)), bucket, "parts")
    assert read(client, bucket, "parts") == b"x" * (2 * PART)
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == [
        "daily/a b/é.dump",
        "parts",
    ]
    client.delete_object(Bucket=bucket, Key="parts")
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    assert ("PUT", "daily/a b/é.dump", "") in proxy.requests


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        pytest.param(403, None, "AccessDenied", id="403"),
        pytest.param(403, "InvalidObjectState", "InvalidObjectState", id="cold"),
        pytest.param(500, None, "InternalError", id="500"),
        pytest.param(503, None, "SlowDown", id="503"),
    ],
)
def test_a_status_for_one_key_and_method(
    proxy: S3Faults, bucket: str, status: int, code: str | None, expected: str
) -> None:
    client = client_of(proxy)
    proxy.faults = [Fault("locked/*", methods=["GET", "PUT"], status=status, code=code)]
    with pytest.raises(ClientError) as refused:
        put(client, bucket, "locked/a")
    assert (refused.value.response["Error"]["Code"], refused.value.response["ResponseMetadata"]["HTTPStatusCode"]) == (
        expected,
        status,
    )
    put(client, bucket, "open/a")
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["open/a"]
    with pytest.raises(ClientError, match="404"):
        client.head_object(Bucket=bucket, Key="locked/a")


def test_skip_and_times_choose_the_requests(proxy: S3Faults, bucket: str) -> None:
    client = client_of(proxy)
    put(client, bucket, "a")
    fault = Fault("a", methods=["GET"], skip=1, times=1, status=500)
    proxy.faults = [fault]
    assert read(client, bucket, "a") == CONTENT
    with pytest.raises(ClientError):
        read(client, bucket, "a")
    assert read(client, bucket, "a") == CONTENT
    assert fault.hits == 1


def test_an_answer_is_cut_in_the_middle(proxy: S3Faults, bucket: str) -> None:
    client = client_of(proxy)
    put(client, bucket, "a")
    proxy.faults = [Fault("a", methods=["GET"], cut="answer", after_bytes=100_000)]
    body = client.get_object(Bucket=bucket, Key="a")["Body"]
    with pytest.raises((BotoCoreError, OSError)):
        body.read()


@pytest.mark.parametrize(
    ("cut", "arrived"),
    [
        pytest.param("before", False, id="before"),
        pytest.param("request", False, id="in-the-request"),
        pytest.param("done", True, id="after-it-was-done"),
    ],
)
def test_a_request_is_cut(proxy: S3Faults, s3_server: S3Server, bucket: str, cut: str, arrived: bool) -> None:
    client = client_of(proxy)
    proxy.faults = [Fault("a", methods=["PUT"], cut=cut, after_bytes=70_000)]
    with pytest.raises((BotoCoreError, OSError)):
        put(client, bucket, "a")
    assert s3_server.client().list_objects_v2(Bucket=bucket)["KeyCount"] == int(arrived)


def test_one_part_of_an_upload_is_refused(proxy: S3Faults, s3_server: S3Server, bucket: str) -> None:
    client = client_of(proxy)
    proxy.faults = [Fault("a", methods=["PUT"], query="partNumber=2", status=500)]
    with pytest.raises(Exception, match="InternalError"):
        client.upload_fileobj(io.BytesIO(b"x" * (5 * PART)), bucket, "a")
    assert s3_server.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_slow_answer_is_slow_and_whole(proxy: S3Faults, bucket: str) -> None:
    client = client_of(proxy)
    put(client, bucket, "a")
    fault = Fault("a", methods=["GET"], bytes_per_second=8 * len(CONTENT), delay=0.05)
    proxy.faults = [fault]
    assert read(client, bucket, "a") == CONTENT
    assert fault.hits == 1


def test_a_delay_longer_than_patience(proxy: S3Faults, bucket: str) -> None:
    from botocore.config import Config

    hasty = Config(retries={"total_max_attempts": 1}, read_timeout=0.2)
    client = proxy.server.client(endpoint_url=proxy.endpoint_url, config=hasty)
    put(client_of(proxy), bucket, "a")
    proxy.faults = [Fault("a", delay=60)]
    with pytest.raises(BotoCoreError, match="timeout"):
        read(client, bucket, "a")
