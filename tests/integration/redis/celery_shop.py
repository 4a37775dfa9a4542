"""A small, real Celery application; its settings come from the environment (SHOP, JSON)."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

settings: dict[str, Any] = json.loads(os.environ.get("SHOP", "{}"))
app = Celery("shop", broker=settings.get("broker"), backend=settings.get("backend", settings.get("broker")))
app.conf.update(
    task_queues=[
        Queue("normal"),
        Queue("batch"),
        Queue("reports", Exchange("office", type="direct"), routing_key="paper"),
        Queue("alarms", Exchange("events", type="topic"), routing_key="alarm.#"),
    ],
    task_default_queue="normal",
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_transport_options=settings.get("transport", {}),
    result_backend_transport_options=settings.get("result_transport", {}),
    result_extended=settings.get("extended", False),
    result_serializer=settings.get("result_serializer", "json"),
    task_serializer=settings.get("task_serializer", "json"),
    accept_content=["json", "pickle"],
    broker_connection_retry_on_startup=True,
)


@app.task(name="shop.register")
def register(product: int) -> int:
    return product


@app.task(name="shop.refuse")
def refuse(product: int) -> None:
    raise ValueError(f"product {product} has no category, see redis://app:geheim@redis/0")


@app.task(name="shop.crawl")
def crawl(seconds: float) -> None:
    time.sleep(seconds)


@app.task(name="shop.mend")
def mend(product: int) -> int:
    """Fails until somebody repairs the shop; leaves a trace in the list "done"."""
    client = app.backend.client
    if client.get("repaired") is None:
        raise ValueError(f"product {product} is broken, token=geheim")
    client.rpush("done", product)
    return product
