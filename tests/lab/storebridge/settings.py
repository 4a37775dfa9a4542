"""What the lab's inventory says about the system besides addresses and credentials."""

from __future__ import annotations

from typing import Any

from lab.storebridge.database import INVALID_INDEX, UNUSED_INDEX


def lab_variables() -> dict[str, Any]:
    """Time that a lab has not had: its statistics are minutes old, and so are the transactions that it leaves open."""
    return {
        "storebridge_index_statistics_age": "0 s",
        "storebridge_idle_in_transaction_warning": "> 1 s",
        "storebridge_idle_in_transaction_end": "1s",
        "storebridge_drop_indexes": [f"public.{UNUSED_INDEX}", f"public.{INVALID_INDEX}"],
        "storebridge_index_statistics_days": 0,
    }
