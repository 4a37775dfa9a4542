"""The inside of the S3 server's process: moto's application behind a check of the access key."""

from __future__ import annotations

import hmac
import io
import json
import os
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

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
        _remember(environ)
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


_REQUESTS: list[dict[str, str]] = []


def _remember(environ: Environment) -> None:
    """Keep what is asked of RDS, which moto obeys only in part; its requests are forms."""
    if "/rds/aws4_request" not in environ.get("HTTP_AUTHORIZATION", ""):
        return
    text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(text)
    if not _REQUESTS:
        _restore_as_amazon_does()
    _REQUESTS.append(dict(parse_qsl(text.decode())))


def _restore_as_amazon_does() -> None:
    """Have what a restore to a point in time does not ask for set to the defaults; moto takes it from the source.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIT.html: "the restored DB instance is associated with
    the default DB security group", "the default parameter group", and is a single instance without protection.
    """
    from moto.ec2.models import ec2_backends
    from moto.rds.models import DBInstance, RDSBackend

    original = RDSBackend.restore_db_instance_to_point_in_time

    def restore(self: RDSBackend, source: str, target: str, overrides: dict[str, Any]) -> DBInstance:
        made = original(self, source, target, overrides)
        made.source_db_instance_identifier = None
        for name, default in (("db_parameter_group_name", None), ("multi_az", False), ("deletion_protection", False)):
            setattr(made, name, overrides.get(name) or default)
        if not overrides.get("tags"):
            made.tags = []
        if not overrides.get("db_subnet_group_name") and hasattr(made, "db_subnet_group"):
            del made.db_subnet_group
        if not overrides.get("vpc_security_group_ids"):
            ec2 = ec2_backends[self.account_id][self.region_name]
            made.vpc_security_group_ids = [ec2.get_default_security_group(ec2.default_vpc.id).id]
        return made

    RDSBackend.restore_db_instance_to_point_in_time = restore  # type: ignore[method-assign]


def rds_requests() -> dict[str, Any]:
    """What was asked of RDS so far."""
    return {"requests": _REQUESTS}


def rds(kind: str, identifier: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """Set what RDS itself decides: when something was made, how far back it goes, its status."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.rds.models import DBInstance, rds_backends

    [found] = [
        held[identifier]
        for backend in rds_backends[DEFAULT_ACCOUNT_ID].values()
        for held in [backend.databases if kind == "instance" else backend.database_snapshots]
        if identifier in held
    ]
    for name, value in attributes.items():
        if name == "status":
            found.status = value
            continue
        moment = datetime.fromisoformat(value).astimezone(timezone.utc).replace(tzinfo=None)
        if name == "latest_restorable":
            found.lab_latest_restorable = moment
            DBInstance.latest_restorable_time = property(  # type: ignore[method-assign, assignment]
                lambda self: getattr(self, "lab_latest_restorable", None) or datetime.now(timezone.utc)
            )
        elif kind == "instance":
            found.created = found.instance_create_time = moment
        else:
            found.created = found.original_snapshot_create_time = moment
    return {"changed": sorted(attributes)}


CONTROLS: dict[str, Callable[..., dict[str, Any]]] = {
    "backdate": backdate,
    "rds": rds,
    "rds_requests": rds_requests,
}
