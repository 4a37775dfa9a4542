"""What fills the servers of an AutoClip: contents in PostgreSQL and on its replica, Bull's queues in Redis."""

from __future__ import annotations

from datetime import datetime

from lab.autoclip.pooler import hold_clients, pooler_options
from lab.autoclip.redis_data import populate_redis
from lab.databases import populate_for_lab
from lab.postgresql import PostgresServer

__all__ = ["hold_clients", "pooler_options", "populate_postgresql", "populate_redis"]


def populate_postgresql(server: PostgresServer, now: datetime | None = None) -> str:
    """The tables and the planted rows, which are the same in every scenario."""
    return populate_for_lab(server, "autoclip", now)
