"""Cases 36 to 38: backups in a bucket that are hidden, locked, cold or overwritten."""

from __future__ import annotations

import uuid
from typing import Any

from lab.faults.bench import Bench, Found
from lab.s3 import S3Server
from lab.s3_faults import Fault, S3Faults


def bucket_with_backup(bench: Bench) -> tuple[S3Server, str, str]:
    """A store, a bucket with versions, and the key of today's backup in it."""
    server: S3Server = bench.shared("s3", S3Server)
    bucket = f"backups-{uuid.uuid4().hex[:8]}"
    client: Any = server.client()
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": server.region})
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    name = bench.back_up(f"s3://{bucket}/db", **server.login())
    return server, bucket, f"db/{name}"


def deleted(bench: Bench) -> Found:
    server, bucket, key = bucket_with_backup(bench)
    server.client().delete_object(Bucket=bucket, Key=key)
    found = bench.verify(f"s3://{bucket}/db", **server.login())
    # The version that can be brought back is named.
    versions = server.client().list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    [version] = [each["VersionId"] for each in versions if each["Key"] == key]
    assert version in found.told[0], found.told
    return found


def forbidden(bench: Bench) -> Found:
    """The bucket may be listed, and its objects may not be read."""
    server, bucket, key = bucket_with_backup(bench)
    with S3Faults(server, Fault(key, methods=["GET"], status=403)) as proxy:
        return bench.verify(f"s3://{bucket}/db", **proxy.login())


def cold(bench: Bench) -> Found:
    """A lifecycle rule has moved the object to where it must be asked for hours before."""
    server, bucket, key = bucket_with_backup(bench)
    source: Any = {"Bucket": bucket, "Key": key}
    server.client().copy_object(**source, CopySource=source, StorageClass="GLACIER")
    return bench.verify(f"s3://{bucket}/db", **server.login())


def overwritten(bench: Bench) -> Found:
    server, bucket, key = bucket_with_backup(bench)
    size = server.client().head_object(Bucket=bucket, Key=key)["ContentLength"]
    server.client().put_object(Bucket=bucket, Key=key, Body=b"something else".ljust(size, b"."))
    return bench.verify(f"s3://{bucket}/db", **server.login())


PROBES = {36: deleted, 37: forbidden, 38: overwritten}
