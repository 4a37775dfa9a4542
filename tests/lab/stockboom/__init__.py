"""What fills the servers of a StockBoom: prices and orders in PostgreSQL, BullMQ's queues in Redis."""

from __future__ import annotations

from datetime import datetime

from lab.databases import populate_for_lab
from lab.postgresql import PostgresServer
from lab.stockboom.redis_data import populate_redis

__all__ = ["populate_postgresql", "populate_redis"]


def populate_postgresql(server: PostgresServer, now: datetime | None = None) -> str:
    """The tables and the planted rows, which are the same in every scenario."""
    return populate_for_lab(server, "stockboom", now)
