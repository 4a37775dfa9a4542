# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A bucket that files are put into, with the standard library alone: put, look, read back."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.client
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Optional
from urllib.parse import urlsplit

from ansible.module_utils.basic import env_fallback

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.log_keeping.signing import (
    EMPTY_SHA256,
    Credentials,
    encoded_path,
    signed_headers,
)

# What S3 takes in one request.
MOST_BYTES = 5 * 1024**3
_ATTEMPTS = 2
_CHUNK_BYTES = 1024 * 1024
_META = "x-amz-meta-"
_REASONS = {403: "it does not let us in", 404: "there is no such bucket", 507: "it is full"}


def store_argument_spec() -> dict[str, dict[str, Any]]:
    """How the object store is reached. The doc fragment C(log_store) says the same."""
    return {
        "endpoint_url": {"type": "str", "fallback": (env_fallback, ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])},
        "region": {"type": "str", "fallback": (env_fallback, ["AWS_REGION", "AWS_DEFAULT_REGION"])},
        # An access key's id is a name, not a secret.
        "access_key": {"type": "str", "no_log": False, "fallback": (env_fallback, ["AWS_ACCESS_KEY_ID"])},
        "secret_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SECRET_ACCESS_KEY"])},
        "session_token": {"type": "str", "no_log": True, "fallback": (env_fallback, ["AWS_SESSION_TOKEN"])},
        "validate_certs": {"type": "bool", "default": True},
        "ca_bundle": {"type": "path", "fallback": (env_fallback, ["AWS_CA_BUNDLE"])},
        "read_timeout": {"type": "float", "default": 60},
    }


@dataclass(frozen=True)
class Looked:
    """An object as the store describes it."""

    size_bytes: int
    metadata: Mapping[str, str]


class LogStore:
    """One store. Every request has a deadline for each of its waits, and is tried twice."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._region = options["region"] or "us-east-1"
        endpoint = options["endpoint_url"] or f"https://s3.{self._region}.amazonaws.com"
        parts = urlsplit(endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidOption("endpoint_url", endpoint, "an address such as https://minio.example.com:9000")
        if not options["access_key"] or not options["secret_key"]:
            raise InvalidOption("access_key", options["access_key"], "an access key together with secret_key")
        self._parts = parts
        self._timeout = float(options["read_timeout"])
        self._context = _context(options) if parts.scheme == "https" else None
        self._credentials = Credentials(options["access_key"], options["secret_key"], options["session_token"] or None)

    def look(self, bucket: str, key: str) -> Optional[Looked]:
        """An object; None when there is none."""
        with self._request("HEAD", bucket, key, accepted=(200, 404)) as answer:
            if answer.status == 404:
                return None
            metadata = {
                name.lower()[len(_META) :]: value
                for name, value in answer.getheaders()
                if name.lower().startswith(_META)
            }
            return Looked(int(answer.getheader("Content-Length") or 0), metadata)

    def put(self, bucket: str, key: str, path: Path, sha256: str, metadata: Mapping[str, str]) -> None:
        """Write a file as an object; the store compares its SHA-256."""
        headers = {
            **{f"{_META}{name}": value for name, value in metadata.items()},
            "content-length": str(path.stat().st_size),
        }
        with path.open("rb") as body, self._request("PUT", bucket, key, body=body, sha256=sha256, headers=headers):
            pass

    def digest(self, bucket: str, key: str) -> str:
        """The SHA-256 of an object's bytes, read from the store."""
        found = hashlib.sha256()
        with self._request("GET", bucket, key) as answer:
            while chunk := answer.read(_CHUNK_BYTES):
                found.update(chunk)
        return found.hexdigest()

    @contextlib.contextmanager
    def _request(
        self,
        method: str,
        bucket: str,
        key: str,
        *,
        body: Optional[BinaryIO] = None,
        sha256: str = EMPTY_SHA256,
        headers: Mapping[str, str] | None = None,
        accepted: tuple[int, ...] = (200,),
    ) -> Iterator[http.client.HTTPResponse]:
        path = encoded_path(self._parts.path, bucket, key)
        where = f"s3://{bucket}/{key}"
        is_given = False
        for attempt in range(1, _ATTEMPTS + 1):
            connection = self._connection()
            try:
                if body is not None:
                    body.seek(0)
                signed = signed_headers(
                    method,
                    self._parts.netloc.rpartition("@")[2],
                    path,
                    body_sha256=sha256,
                    headers=headers or {},
                    credentials=self._credentials,
                    region=self._region,
                    moment=dt.datetime.now(dt.timezone.utc),
                )
                connection.request(method, path, body=body, headers=signed)
                answer = connection.getresponse()
                if answer.status in accepted:
                    is_given = True
                    yield answer
                    return
                if answer.status < 500 or attempt == _ATTEMPTS:
                    raise RunbookError(_refusal(method, where, answer))
            except (OSError, http.client.HTTPException) as error:
                # What was given cannot be given again: its reader has a part of it.
                if is_given or attempt == _ATTEMPTS:
                    raise RunbookError(
                        f"The object store at {self._parts.netloc} did not answer ({method} {where}): {error}. "
                        "Nothing is recorded for this file; run it again."
                    ) from None
            finally:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        if self._context:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)


def _context(options: Mapping[str, Any]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options["ca_bundle"] or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOption("ca_bundle", options["ca_bundle"], f"a file with certificates ({error})") from None
    if not options["validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refusal(method: str, where: str, answer: http.client.HTTPResponse) -> str:
    body = answer.read(2000).decode("utf-8", "replace")
    code = re.search(r"<Code>([^<]{1,80})</Code>", body)
    reason = _REASONS.get(answer.status, "it refuses")
    said = f"{answer.status} {code.group(1)}" if code else str(answer.status)
    return (
        f"The object store answered {method} {where} with {said}: {reason}. Correct the bucket, or what the key may do."
    )
