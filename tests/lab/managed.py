"""An instance of Amazon's RDS, played by moto, and the groups that it is in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.s3 import S3Server


@dataclass(frozen=True)
class Managed:
    """An instance of RDS, and the groups it is in."""

    server: S3Server
    name: str
    security_group: str
    fence: str

    @property
    def target(self) -> str:
        return f"{self.name}-recovered"

    def describe(self, name: str = "") -> dict[str, Any]:
        rds = self.server.service("rds")
        found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier=name or self.name)["DBInstances"][0]
        return found

    def names(self) -> set[str]:
        found = self.server.service("rds").describe_db_instances()["DBInstances"]
        return {each["DBInstanceIdentifier"] for each in found if each["DBInstanceIdentifier"].startswith(self.name)}

    def snapshots(self) -> dict[str, str]:
        """Status of the manual snapshots by name."""
        rds = self.server.service("rds")
        found = rds.describe_db_snapshots(DBInstanceIdentifier=self.name, SnapshotType="manual")["DBSnapshots"]
        return {each["DBSnapshotIdentifier"]: each["Status"] for each in found}

    def login(self) -> dict[str, Any]:
        return self.server.login()
