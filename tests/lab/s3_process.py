"""The inside of the S3 server's process: moto's application behind a check of the access key."""

from __future__ import annotations

import hmac
import json
import os
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from lab import rds_process

Environment = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environment, StartResponse], Iterable[bytes]]


def make_application(access_key: str, control_key: str) -> Application:
    """Moto's S3, answering only to ``access_key`` (moto itself takes any), plus the lab's control path."""
    # Parts of a multipart upload may be small here: tests upload bytes, not gigabytes.
    os.environ.setdefault("S3_UPLOAD_PART_MIN_SIZE", "1")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith("/.lab/"):
            return _control(path.removeprefix("/.lab/"), control_key, environ, start_response)
        given = _access_key(environ)
        if given is None:
            return _refuse(start_response, "AccessDenied", "Access Denied")
        if given != access_key:
            message = "The AWS Access Key Id you provided does not exist in our records."
            return _refuse(start_response, "InvalidAccessKeyId", message)
        rds_process.remember(environ)
        answer: Iterable[bytes] = moto(environ, start_response)
        return answer

    return application


def _access_key(environ: Environment) -> str | None:
    """The access key of a signed request: in its header, or in the query of a presigned address."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    query = environ.get("QUERY_STRING", "")
    found = (
        re.search(r"Credential=([^/,\s]+)", header)
        or re.match(r"AWS ([^:]+):", header)
        or re.search(r"X-Amz-Credential=([^&%/]+)", query)
        or re.search(r"AWSAccessKeyId=([^&]+)", query)
    )
    return found.group(1) if found else None


def _refuse(start_response: StartResponse, code: str, message: str) -> Iterable[bytes]:
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    start_response("403 Forbidden", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body.encode()]


def _control(action: str, key: str, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    arguments = json.loads(environ["wsgi.input"].read(length) or b"{}")
    answer: dict[str, Any]
    if not hmac.compare_digest(environ.get("HTTP_X_LAB_CONTROL", ""), key):
        status, answer = "403 Forbidden", {"error": "not for you"}
    elif action not in CONTROLS:
        status, answer = "404 Not Found", {"error": f"no action {action}"}
    else:
        try:
            status, answer = "200 OK", CONTROLS[action](**arguments)
        except (KeyError, ValueError, TypeError) as error:
            status, answer = "400 Bad Request", {"error": repr(error)}
    body = json.dumps(answer).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def backdate(bucket: str, key: str, moment: str, version_id: str | None = None) -> dict[str, Any]:
    """Set the time of an object's versions and delete markers in moto's memory; how many were set."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    when = datetime.fromisoformat(moment).astimezone(timezone.utc).replace(tzinfo=None)
    keys = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket].keys
    changed = 0
    for version in keys.getlist(key):
        if version_id is None or getattr(version, "version_id", None) == version_id:
            version.last_modified = when
            changed += 1
    if not changed:
        raise KeyError(key)
    return {"changed": changed}


CONTROLS: dict[str, Callable[..., dict[str, Any]]] = {
    "backdate": backdate,
    "rds": rds_process.attribute,
    "rds_requests": rds_process.requests,
}
