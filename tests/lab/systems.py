"""The systems that the lab can stand in for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from lab.errors import LabError


@dataclass(frozen=True)
class System:
    """Names of one system; what fills its servers is in ``module``.

    ``hosts`` are the inventory's names of the endpoints by what the lab runs for them, ``groups`` their groups.
    """

    name: str
    title: str
    module: str
    database: str
    hosts: Mapping[str, str]
    groups: Mapping[str, str]
    monitor_role: str = "runbook_monitor"
    # Member of the application's role and of pg_monitor: what changes need, and no superuser.
    maintenance_role: str = "runbook_maintenance"
    application_role: str = ""
    guest_role: str = ""
    # What this system's PostgreSQL is configured with, beyond what every server of the lab is.
    postgresql_settings: Mapping[str, int | str | bool] = field(default_factory=dict)
    # What it is made of: methods of lab.up.Lab, which run side by side.
    servers: tuple[str, ...] = ("postgresql", "redis", "s3", "web")
    # Whether its queues are Bull's or BullMQ's.
    uses_node: bool = False
    # Whether a PgBouncer is before its PostgreSQL.
    uses_pgbouncer: bool = False

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


STOREBRIDGE = System(
    name="storebridge",
    title="StoreBridge",
    module="lab.storebridge",
    database="storebridge",
    application_role="storebridge_app",
    guest_role="storebridge_guest",
    # Its pools may open 147 connections (inventories/storebridge, pools.yml): a server as installed has 97 for them.
    postgresql_settings={"max_connections": 200},
    hosts={
        "postgresql": "storebridge-postgres",
        "redis": "storebridge-redis",
        "api": "storebridge-api",
        "images": "storebridge-images",
        "backups": "storebridge-backups",
        "prometheus": "storebridge-prometheus",
        "loki": "storebridge-loki",
        "kubernetes": "storebridge-prod",
        "objects": "storebridge-objects",
    },
    groups={
        "postgresql": "postgresql",
        "redis": "redis",
        "api": "http",
        "images": "object_store",
        "backups": "backups",
        "prometheus": "prometheus",
        "loki": "logs",
        "kubernetes": "kubernetes",
        "objects": "backups",
    },
    servers=("postgresql", "redis", "s3", "web", "kubernetes"),
)
# More connections than the pools may open (inventories, pools.yml), and what a server has that is run for its data.
SETTINGS: Mapping[str, int | str | bool] = {
    "max_connections": 300,
    "fsync": True,
    "full_page_writes": True,
    "synchronous_commit": True,
}
STOCKBOOM = System(
    name="stockboom",
    title="StockBoom",
    module="lab.stockboom",
    database="stockboom",
    application_role="stockboom_app",
    postgresql_settings=SETTINGS,
    servers=("postgresql", "redis"),
    uses_node=True,
    hosts={"postgresql": "stockboom-postgres", "redis": "stockboom-redis"},
    groups={"postgresql": "postgresql", "redis": "redis"},
)
AUTOCLIP = System(
    name="autoclip",
    title="AutoClip",
    module="lab.autoclip",
    database="autoclip",
    application_role="autoclip_app",
    postgresql_settings=SETTINGS,
    servers=("postgresql", "redis", "s3", "web", "kubernetes"),
    uses_node=True,
    uses_pgbouncer=True,
    hosts={
        "postgresql": "autoclip-postgres",
        "replica": "autoclip-postgres-replica",
        "redis": "autoclip-redis",
        "rds": "autoclip-rds",
        "content": "autoclip-content",
        "api": "autoclip-api",
        "gemini": "autoclip-gemini",
        "elevenlabs": "autoclip-elevenlabs",
        "prometheus": "autoclip-prometheus",
        "kubernetes": "autoclip-cluster",
        "objects": "autoclip-objects",
    },
    groups={
        "postgresql": "postgresql",
        "replica": "postgresql",
        "redis": "redis",
        "rds": "aws",
        "content": "object_store",
        "api": "http",
        "gemini": "http",
        "elevenlabs": "http",
        "prometheus": "prometheus",
        "kubernetes": "kubernetes",
        "objects": "backups",
    },
)
SYSTEMS = {system.name: system for system in (STOREBRIDGE, STOCKBOOM, AUTOCLIP)}


def find(name: str) -> System:
    if name not in SYSTEMS:
        raise LabError(f"There is no system {name!r}. There are: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]
