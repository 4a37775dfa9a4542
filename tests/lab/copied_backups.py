"""What the tests of backup_copy share: a repository of either kind, and what another tool finds there."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.backup_runs import names_in, sha256
from lab.s3 import S3Server

UTC = dt.timezone.utc
PATTERN = "shop-%Y%m%d"
NOW = "2026-01-31T09:00:00Z"


def name_of(back: int) -> str:
    return f"shop-{dt.date(2026, 1, 31) - dt.timedelta(days=back):%Y%m%d}"


def moment_of(back: int) -> dt.datetime:
    return dt.datetime(2026, 1, 31, 2, tzinfo=UTC) - dt.timedelta(days=back)


@dataclass(frozen=True)
class Place:
    """A repository, and what another tool than the collection finds there."""

    options: dict[str, Any]
    directory: Path | None = None
    store: S3Server | None = None

    def digests(self) -> dict[str, str]:
        """The SHA-256 of every file but the lock, by sha256sum or out of the bucket."""
        if self.directory is not None:
            return {name: sha256(self.directory / name) for name in names_in(self.directory)}
        assert self.store is not None
        bucket, _slash, prefix = self.options["repository"].removeprefix("s3://").partition("/")
        client = self.store.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
        return {
            each["Key"].removeprefix(f"{prefix}/"): hashlib.sha256(
                client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
            ).hexdigest()
            for page in pages
            for each in page.get("Contents", [])
        }

    def manifest(self, name: str) -> dict[str, Any]:
        found: dict[str, Any]
        if self.directory is not None:
            found = json.loads((self.directory / f"{name}.manifest.json").read_bytes())
            return found
        assert self.store is not None
        bucket, _slash, prefix = self.options["repository"].removeprefix("s3://").partition("/")
        body = self.store.client().get_object(Bucket=bucket, Key=f"{prefix}/{name}.manifest.json")["Body"]
        found = json.loads(body.read())
        return found


def place_in(directory: Path) -> Place:
    return Place({"repository": str(directory)}, directory=directory)


def place_at(store: S3Server, bucket: str, prefix: str) -> Place:
    return Place({**store.login(), "repository": f"s3://{bucket}/{prefix}"}, store=store)


def copying(source: Place, target: Place, **more: Any) -> dict[str, Any]:
    """Options of backup_copy."""
    base = {"name_pattern": PATTERN, "newest": 2, "reference_time": NOW, "destination": target.options}
    return {**source.options, **base, **more}


def data_of(digests: dict[str, str]) -> dict[str, str]:
    """Without what says where it lies: manifests name versions, records name files."""
    return {name: value for name, value in digests.items() if not name.endswith(".json")}
