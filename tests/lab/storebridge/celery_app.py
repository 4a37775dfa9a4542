"""StoreBridge's Celery application: real tasks for real workers.

The broker's address comes from the environment, so no password stands in a process list. Started as
``python -m celery -A lab.storebridge.celery_app worker …``.
"""

from __future__ import annotations

import os
import time
from typing import Any

import kombu
from celery import Celery

BROKER_VARIABLE = "STOREBRIDGE_BROKER_URL"
KEY_PREFIX = "celery:"
NORMAL, BATCH = "normal", "batch"
# Kombu's own default: 0 is the highest priority, and lists of the others carry the step in their names.
PRIORITY_STEPS = (0, 3, 6, 9)
VISIBILITY_TIMEOUT = 3600


def make_application(broker: str) -> Celery:
    application = Celery("storebridge", broker=broker, backend=broker)
    library: Any = kombu  # its own hints leave these two out
    exchange = library.Exchange("storebridge", type="direct")
    application.conf.update(
        task_queues=[library.Queue(name, exchange, routing_key=name) for name in (NORMAL, BATCH)],
        task_default_queue=NORMAL,
        task_default_exchange="storebridge",
        task_default_routing_key=NORMAL,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        result_extended=True,
        # A task counts as done when it is done: what a killed worker held is not lost.
        task_acks_late=True,
        worker_prefetch_multiplier=4,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        # Without its broker a worker of the lab ends, instead of waiting for it for ever.
        broker_connection_retry=False,
        broker_connection_max_retries=3,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            "priority_steps": list(PRIORITY_STEPS),
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "queue_order_strategy": "priority",
        },
        timezone="Asia/Seoul",
        enable_utc=True,
    )
    register_tasks(application)
    return application


class NaverApiError(Exception):
    """What Naver's API says no with."""


class CategoryMismatch(Exception):
    """A category without a mapping."""


def register_tasks(application: Celery) -> None:
    def register_product(item: str, fault: str | None = None, seconds: float = 0.0) -> dict[str, Any]:
        time.sleep(seconds)
        if fault == "rate_limit":
            raise NaverApiError(f"429 Too Many Requests for item {item}")
        if fault == "unavailable":
            raise NaverApiError(f"503 Service Unavailable for item {item}")
        if fault == "category":
            raise CategoryMismatch(f"category of item {item} is not mapped")
        return {"item": item, "state": "COMPLETED"}

    def sync_stock(item: str, seconds: float = 0.0) -> dict[str, Any]:
        time.sleep(seconds)
        return {"item": item, "stock": len(item)}

    for function in (register_product, sync_stock):
        application.task(name=f"storebridge.{function.__name__}")(function)


app = make_application(os.environ[BROKER_VARIABLE]) if os.environ.get(BROKER_VARIABLE) else None
