"""What the S3 server's process adds to moto's RDS: Amazon's defaults, what was asked, and what nobody can set."""

from __future__ import annotations

import io
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

_REQUESTS: list[dict[str, str]] = []


def remember(environ: dict[str, Any]) -> None:
    """Keep what is asked of RDS, which moto obeys only in part; its requests are forms."""
    if "/rds/aws4_request" not in environ.get("HTTP_AUTHORIZATION", ""):
        return
    text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(text)
    if not _REQUESTS:
        _restore_as_amazon_does()
    _REQUESTS.append(dict(parse_qsl(text.decode())))


def requests() -> dict[str, Any]:
    """What was asked of RDS so far."""
    return {"requests": _REQUESTS}


def _restore_as_amazon_does() -> None:
    """Have what a restore to a point in time does not ask for set to the defaults; moto takes it from the source.

    https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceToPointInTime.html: "The target
    database is created with most of the original configuration, but in a system-selected Availability Zone, with the
    default security group, the default subnet group, and the default DB parameter group", as a single-AZ deployment.
    """
    from moto.ec2.models import ec2_backends
    from moto.rds.models import RDSBackend

    original = RDSBackend.restore_db_instance_to_point_in_time

    def restore(self: Any, source: str, target: str, overrides: dict[str, Any]) -> Any:
        made: Any = original(self, source, target, overrides)
        made.source_db_instance_identifier = None
        for name, default in (("db_parameter_group_name", None), ("multi_az", False), ("deletion_protection", False)):
            setattr(made, name, overrides.get(name) or default)
        if not overrides.get("tags"):
            made.tags = []
        if not overrides.get("db_subnet_group_name") and hasattr(made, "db_subnet_group"):
            del made.db_subnet_group
        if not overrides.get("vpc_security_group_ids"):
            ec2: Any = ec2_backends[self.account_id][self.region_name]
            made.vpc_security_group_ids = [ec2.get_default_security_group(ec2.default_vpc.id).id]
        return made

    setattr(RDSBackend, original.__name__, restore)


def attribute(kind: str, identifier: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """Set what RDS itself decides: when something was made, how far back it goes, its status."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.rds.models import DBInstance, rds_backends

    held: list[Any] = [
        backend.databases if kind == "instance" else backend.database_snapshots
        for backend in rds_backends[DEFAULT_ACCOUNT_ID].values()
    ]
    [found] = [each[identifier] for each in held if identifier in each]
    for name, value in attributes.items():
        if name == "status":
            found.status = value
            continue
        moment = datetime.fromisoformat(value).astimezone(timezone.utc).replace(tzinfo=None)
        if name == "latest_restorable":
            found.lab_latest_restorable = moment
            setattr(DBInstance, "latest_restorable_time", property(_latest_restorable))  # noqa: B010
        elif kind == "instance":
            found.created = found.instance_create_time = moment
        else:
            found.created = found.original_snapshot_create_time = moment
    return {"changed": sorted(attributes)}


def _latest_restorable(instance: Any) -> datetime:
    told: datetime | None = getattr(instance, "lab_latest_restorable", None)
    return told or datetime.now(timezone.utc)
