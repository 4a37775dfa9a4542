"""AutoClip's bucket and what RDS says of its instance."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta, timezone

from lab.s3 import S3Server

BUCKET, INSTANCE = "autoclip-content-prod", "autoclip-prod"
CONTENTS = 3
FILES = ("original.mp4", "thumbnail.jpg", "audio.mp3")


def populate_s3(server: S3Server, scenario: str = "healthy", now: datetime | None = None) -> dict[str, int]:
    """Fill the bucket, and make an instance with a snapshot by hand; how many objects there are."""
    moment = now or datetime.now(timezone.utc).replace(microsecond=0)
    client = server.client()
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": server.region})  # type: ignore[typeddict-item]
    keys = [f"videos/content-{number}/{name}" for number in range(CONTENTS) for name in FILES]
    keys += ["images/content-0/scene_1.png", "exports/user-1/all.zip", "temp/upload-1"]
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=bytes(1_000))
    if scenario == "degraded":
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Suspended"})

    rds = server.service("rds")
    rds.create_db_instance(
        DBInstanceIdentifier=INSTANCE, DBInstanceClass="db.r6g.large", Engine="postgres", EngineVersion="15.4",
        MasterUsername="autoclip", MasterUserPassword=secrets.token_hex(16), AllocatedStorage=100,
        BackupRetentionPeriod=7, DeletionProtection=True,
    )  # fmt: skip
    server.rds("instance", INSTANCE, created=moment - timedelta(days=90), latest_restorable=moment)
    taken = moment - timedelta(hours=30 if scenario == "degraded" else 7)
    name = f"{INSTANCE}-manual-{taken:%Y%m%d-%H%M%S}"
    rds.create_db_snapshot(DBInstanceIdentifier=INSTANCE, DBSnapshotIdentifier=name)
    server.rds("snapshot", name, created=taken)
    return {"objects": len(keys)}
