"""A realistic round of StoreBridge: 60 findings, the facts behind them, 13 runs before, and a maintenance run."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent / "data"


def load(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def sample_findings() -> list[dict[str, Any]]:
    return load("findings")


@pytest.fixture
def sample_facts() -> dict[str, Any]:
    return load("facts")


@pytest.fixture
def sample_history() -> list[dict[str, Any]]:
    return load("history")


@pytest.fixture
def sample_changes() -> list[dict[str, Any]]:
    """A maintenance run: 1 failed, 2 refused, 1 ineffective, 5 done."""
    return load("changes")


@pytest.fixture
def make_change() -> Callable[..., dict[str, Any]]:
    """One change in the shape, with the given keys replaced."""
    plain = {
        "system": "storebridge",
        "host": "storebridge-postgres",
        "source": "runbook.ops.postgresql_vacuum",
        "action": "vacuum",
        "object": "public.jobs",
        "status": "done",
        "summary": "VACUUM (ANALYZE) public.jobs",
        "figures": [{"name": "dead rows", "before": 1204331, "after": 0, "unit": "count"}],
        "duration_seconds": 252.4,
        "reason": "dead rows 1204331 > threshold 250050",
        "remedy": "",
        "at": "2025-10-17T00:03:52Z",
    }

    def make(**changes: Any) -> dict[str, Any]:
        return {**copy.deepcopy(plain), **changes}

    return make


@pytest.fixture
def make_finding() -> Callable[..., dict[str, Any]]:
    """One finding in the shape, with the given keys replaced."""
    plain = {
        "id": "queue.depth",
        "system": "storebridge",
        "host": "storebridge-redis",
        "object": "batch",
        "severity": "warning",
        "value": 1340,
        "unit": "count",
        "threshold": "> 1000",
        "summary": "1,340 tasks wait in queue batch",
        "remedy": "ansible-playbook runbook.ops.inspect_queues -e queue=batch",
        "priority": "P2",
        "source": "runbook.ops.redis_queue_info",
        "measured_at": "2025-10-17T00:00:04Z",
        "ladder": {"warning": "> 1000", "critical": "> 5000"},
    }

    def make(**changes: Any) -> dict[str, Any]:
        return {**copy.deepcopy(plain), **changes}

    return make
