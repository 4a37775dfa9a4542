"""What the systems' Redis servers have in common: how they are configured, and keys with and without an end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab import process
from lab.errors import LabError


def configure(client: Any, maxmemory: int, policy: str = "noeviction") -> None:
    """A limit, a policy, and an append-only file that is complete."""
    client.config_set("maxmemory", maxmemory)
    client.config_set("maxmemory-policy", policy)
    client.config_set("appendonly", "yes")

    def written() -> bool:
        facts = client.info("persistence")
        return bool(
            facts["aof_enabled"] and not facts["aof_rewrite_in_progress"] and not facts["aof_rewrite_scheduled"]
        )

    if not process.wait_until(written, 15, 0.05):
        raise LabError("Redis did not finish writing its append-only file.")


def set_keys(client: Any, values: Mapping[str, tuple[str, int | None]]) -> None:
    """Values with their time to live in seconds; None for ever."""
    with client.pipeline(transaction=False) as pipe:
        for key, (value, seconds) in values.items():
            pipe.set(key, value, ex=seconds)
        pipe.execute()
