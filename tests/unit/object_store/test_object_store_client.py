"""What is refused before a request is sent, and which credentials are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, MissingLibrary
from ansible_collections.runbook.ops.plugins.module_utils.object_store import client
from ansible_collections.runbook.ops.plugins.module_utils.object_store.client import Store, connect

VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
)
KEYS = {"access_key": "AKIAEXAMPLE", "secret_key": "s3cr3t"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.mark.parametrize(
    ("options", "refused", "accepted"),
    [
        ({"access_key": "a"}, "secret_key: ''", "access_key and secret_key together, or neither of them"),
        ({"secret_key": "a"}, "access_key: ''", "access_key and secret_key together, or neither of them"),
        ({"endpoint_url": "minio:9000"}, "endpoint_url: '(given)'", client._ADDRESS),
        ({"endpoint_url": "http://[::1"}, "endpoint_url: '(given)'", client._ADDRESS),
        ({"endpoint_url": "http://minio:99999"}, "endpoint_url: '(given)'", client._ADDRESS),
        ({"connect_timeout": 0}, "connect_timeout: 0", "seconds above 0, at most 3600"),
        ({"read_timeout": -1.5}, "read_timeout: -1.5", "seconds above 0, at most 3600"),
        ({"ca_bundle": "/nowhere/ca"}, "ca_bundle: '/nowhere/ca'", "a file with certificates that exists on the host"),
        ({"profile": "nobody"}, "profile: 'nobody'", "a profile of the AWS configuration files on the host"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], refused: str, accepted: str) -> None:
    with pytest.raises(InvalidOption) as error:
        connect(options)
    assert error.value.message == f"{refused} is not accepted. Accepted: {accepted}."


def credentials(store: Store) -> tuple[str, str, str | None]:
    found = store._client._request_signer._credentials
    return found.access_key, found.secret_key, found.token


def test_keys_win_over_a_profile() -> None:
    assert credentials(connect({**KEYS, "profile": "nobody"})) == ("AKIAEXAMPLE", "s3cr3t", None)


def test_empty_options_are_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env")
    options = dict.fromkeys(("region", "access_key", "secret_key", "session_token", "profile", "endpoint_url"), "")
    store = connect({**options, "region": "eu-central-1"})
    assert credentials(store) == ("AKIAENV", "env", None)
    assert store.name == "Amazon S3"


@pytest.mark.parametrize(("key", "token"), [("AKIAEXAMPLE", None), ("AKIAENV", "t0ken")])
def test_a_token_of_the_environment_belongs_to_its_key(
    monkeypatch: pytest.MonkeyPatch, key: str, token: str | None
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t0ken")
    assert credentials(connect({**KEYS, "access_key": key, "session_token": "t0ken"}))[2] == token


@pytest.mark.parametrize(
    ("options", "name", "style", "region"),
    [
        ({"endpoint_url": "http://minio:9000/"}, "http://minio:9000", "path", "us-east-1"),
        ({"endpoint_url": "https://u:pw@minio:9000"}, "https://minio:9000", "path", "us-east-1"),
        ({"endpoint_url": "https://s3.eu-central-1.amazonaws.com", "region": "eu-central-1"}, "Amazon S3", None,
         "eu-central-1"),
        ({"region": "ap-northeast-2"}, "Amazon S3", None, "ap-northeast-2"),
    ],
)  # fmt: skip
def test_address(options: dict[str, Any], name: str, style: str | None, region: str) -> None:
    store = connect({**KEYS, **options})
    assert store.name == name
    assert (store._client.meta.config.s3 or {}).get("addressing_style") == style
    assert store._client.meta.region_name == region


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IMPORT_ERROR", "Traceback …")
    with pytest.raises(MissingLibrary) as error:
        connect(KEYS)
    assert "boto3" in error.value.message
    assert error.value.details == {"exception": "Traceback …"}
