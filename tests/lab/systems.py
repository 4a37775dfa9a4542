"""The systems that the lab can stand in for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from lab.errors import LabError


@dataclass(frozen=True)
class System:
    """Names of one system; what fills its servers is in ``module``.

    ``hosts`` are the inventory's names of the endpoints by what the lab runs for them, ``groups`` their groups.
    ``compressed`` holds, by endpoint and variable, what a lab changes in a dictionary of the system's inventory
    because nobody waits as long as the real threshold asks for.
    """

    name: str
    title: str
    module: str
    database: str
    hosts: Mapping[str, str]
    groups: Mapping[str, str]
    monitor_role: str = "runbook_monitor"
    application_role: str = ""
    guest_role: str = ""
    scenarios: tuple[str, ...] = ("healthy", "degraded")
    sizes: tuple[str, ...] = ("small", "medium")
    compressed: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def load(self) -> ModuleType:
        return importlib.import_module(self.module)


STOREBRIDGE = System(
    name="storebridge",
    title="StoreBridge",
    module="lab.storebridge",
    database="storebridge",
    application_role="storebridge_app",
    guest_role="storebridge_guest",
    hosts={
        "postgresql": "storebridge-postgres",
        "redis": "storebridge-redis",
        "api": "storebridge-api",
        "images": "storebridge-images",
        "backups": "storebridge-backups",
        "prometheus": "storebridge-prometheus",
        "loki": "storebridge-loki",
    },
    groups={
        "postgresql": "postgresql",
        "redis": "redis",
        "api": "http",
        "images": "object_store",
        "backups": "backups",
        "prometheus": "prometheus",
        "loki": "logs",
    },
    compressed={
        "postgresql": {
            "check_postgresql_rule_overrides": {
                # A transaction that the lab leaves open is as old as the lab.
                "postgresql.idle_in_transaction": {"warning": "> 1 s"},
                # So are its statistics: no two weeks of them.
                "postgresql.index_unused": {"where": "health.indexes.is_standby == false"},
            },
        },
    },
)
SYSTEMS = {system.name: system for system in (STOREBRIDGE,)}


def find(name: str) -> System:
    if name not in SYSTEMS:
        raise LabError(f"There is no system {name!r}. There are: {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]
