"""An S3 server of our own: moto's, in a process of its own."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lab.serve import ServedProcess
from lab.server import Server

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REGION = "ap-northeast-2"


class S3Server(ServedProcess):
    """An empty store with one pair of keys; requests without keys, or with another access key, get 403."""

    label: ClassVar[str] = "S3"
    kind: ClassVar[str] = "s3"

    def __init__(
        self,
        base: Path | None = None,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        region: str = REGION,
        detached: bool = False,
        on_spawn: Callable[[Server], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        super().__init__(base, detached=detached, on_spawn=on_spawn, environment=environment)
        self.region = region
        self.access_key = access_key or f"AKIA{secrets.token_hex(8).upper()}"
        self.secret_key = secret_key or secrets.token_urlsafe(30)
        self.specification = {"access_key": self.access_key}

    @property
    def endpoint_url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self, **options: Any) -> S3Client:
        """A boto3 client for the store."""
        client: S3Client = self.service("s3", **options)
        return client

    def service(self, name: str, **options: Any) -> Any:
        """A boto3 client for another of Amazon's services: the process plays them all, such as ``rds``."""
        import boto3
        from botocore.config import Config

        settings: dict[str, Any] = {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "config": Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30),
        }
        # A session of our own: the default one is shared and is not safe between threads.
        session: Any = boto3.session.Session()
        return session.client(name, **{**settings, **options})

    def login(self) -> dict[str, Any]:
        """The connection options of the collection's modules."""
        return {
            "endpoint_url": self.endpoint_url,
            "region": self.region,
            "access_key": self.access_key,
            "secret_key": self.secret_key,
        }

    def backdate(self, bucket: str, key: str, moment: datetime, version_id: str | None = None) -> None:
        """Make an object look as if it had been written at ``moment``: the S3 protocol has no way to do that.

        ``version_id`` names one version; without it every version and delete marker of the key is set.
        """
        self.control("backdate", bucket=bucket, key=key, moment=moment.isoformat(), version_id=version_id)

    def rds(self, kind: str, identifier: str, **attributes: Any) -> None:
        """Make an RDS ``instance`` or ``snapshot`` look older, or otherwise than the protocol lets one make it.

        ``created`` and ``latest_restorable`` are moments, ``status`` the service's word.
        """
        told = {name: each.isoformat() if isinstance(each, datetime) else each for name, each in attributes.items()}
        self.control("rds", kind=kind, identifier=identifier, attributes=told)

    def rds_requests(self, action: str) -> list[dict[str, str]]:
        """The parameters of all requests for one action of RDS so far, as they were sent."""
        found: list[dict[str, str]] = self.control("rds_requests")["requests"]
        return [each for each in found if each["Action"] == action]
