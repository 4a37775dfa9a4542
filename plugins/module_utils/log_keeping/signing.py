# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AWS Signature Version 4 for requests to an object store, with the standard library alone. Pure.

Hosts whose logs are exported have no boto3. The algorithm is in "Signature Version 4 signing process" of the AWS
General Reference; for S3 paths are encoded once and the SHA-256 of the body is a header of its own.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class Credentials:
    """An access key."""

    access_key: str
    secret_key: str
    session_token: Optional[str] = None


def encoded_path(*parts: str) -> str:
    """A path of a URL: everything but unreserved characters and slashes encoded."""
    return "/" + "/".join(quote(part.strip("/"), safe="/~") for part in parts if part.strip("/"))


def signed_headers(
    method: str,
    host: str,
    path: str,
    *,
    body_sha256: str,
    headers: Mapping[str, str],
    credentials: Credentials,
    region: str,
    moment: dt.datetime,
) -> dict[str, str]:
    """The headers of a request without a query, with its signature.

    Args:
        method: Such as C(PUT).
        host: Name, with the port where it is not the protocol's own.
        path: The path, encoded.
        body_sha256: The SHA-256 of the body, in hexadecimal; the store refuses a body that has another.
        headers: Further headers to sign.
        credentials: The access key.
        region: The store's region.
        moment: Now, in UTC; the store's clock may differ by some minutes.

    """
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    chosen = {
        **{name.lower(): " ".join(value.split()) for name, value in headers.items()},
        "host": host,
        "x-amz-content-sha256": body_sha256,
        "x-amz-date": stamp,
    }
    if credentials.session_token:
        chosen["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(chosen))
    canonical = "\n".join(
        [method, path, "", *(f"{name}:{chosen[name]}" for name in sorted(chosen)), "", names, body_sha256]
    )
    text = "\n".join([_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (stamp[:8], region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return {**chosen, "authorization": authorization}
