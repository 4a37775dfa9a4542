"""What fills AutoClip's servers: contents in PostgreSQL and in a bucket, Bull's queues in Redis, and its figures."""

from __future__ import annotations

from datetime import datetime

from lab.autoclip.amazon import populate_s3
from lab.autoclip.http_routes import http_routes
from lab.autoclip.metrics import metrics_text
from lab.autoclip.pooler import hold_clients, pooler_options
from lab.autoclip.redis_data import populate_redis
from lab.databases import populate_for_lab
from lab.postgresql import PostgresServer

__all__ = [
    "hold_clients",
    "http_routes",
    "metrics_text",
    "pooler_options",
    "populate_postgresql",
    "populate_redis",
    "populate_s3",
]


def populate_postgresql(server: PostgresServer, now: datetime | None = None) -> str:
    """The tables and the planted rows, which are the same in every scenario."""
    return populate_for_lab(server, "autoclip", now)
