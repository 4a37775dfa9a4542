"""The jobs of a small shop. Each leaves a trace in the list "done", so that a test sees how often it ran."""

from __future__ import annotations

import time
from typing import Any

from rq import get_current_job


def _connection() -> Any:
    job = get_current_job()
    assert job is not None
    return job.connection


def register(product: int) -> int:
    _connection().rpush("done", f"register:{product}")
    return product


def refuse(product: int) -> int:
    """Fails until somebody repairs the shop."""
    connection = _connection()
    if connection.get("repaired") is None:
        raise ValueError(f"product {product} has no category, see redis://app:geheim@redis/0")
    connection.rpush("done", f"refuse:{product}")
    return product


def linger(product: int) -> None:
    """Works until it is told to end."""
    connection = _connection()
    connection.rpush("done", f"lingering:{product}")
    while connection.get("leave") is None:
        time.sleep(0.05)
    connection.rpush("done", f"linger:{product}")
