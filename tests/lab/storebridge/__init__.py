"""What fills the servers of a StoreBridge: ``populate_*`` once, ``*_routes`` and ``metrics_text`` while it runs.

Everything follows from (scenario, size, seed, now): two fillings with the same four hold the same rows.
"""

from __future__ import annotations

from lab.storebridge.database import populate_postgresql
from lab.storebridge.http_routes import http_routes
from lab.storebridge.loki import loki_routes
from lab.storebridge.metrics import metrics_history, metrics_text, scrape_targets
from lab.storebridge.objects import populate_s3
from lab.storebridge.redis_data import populate_redis
from lab.storebridge.sessions import hold_sessions
from lab.storebridge.settings import lab_variables

__all__ = [
    "hold_sessions",
    "http_routes",
    "lab_variables",
    "loki_routes",
    "metrics_history",
    "metrics_text",
    "populate_postgresql",
    "populate_redis",
    "populate_s3",
    "scrape_targets",
]
