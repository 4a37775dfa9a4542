# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A failed task as a message again, made of its result. Pure.

A result names the task, its arguments and its queue only with the setting C(result_extended). The message is of
Celery's protocol 2 (celery/app/amqp.py, as_task_v2) in kombu's envelope (kombu/transport/virtual/base.py), in JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import failure_text, parse_time

# What a message says about its arguments, for logs and monitors.
REPR_CHARACTERS = 1024


@dataclass(frozen=True)
class FailedTask:
    """A kept result of a failed task. C(lacks) names what would be needed to send it again."""

    task_id: str
    reason: str
    done_at: Optional[float]
    name: Optional[str]
    routing_key: Optional[bytes]
    arguments: Any = None
    keywords: Any = None
    retries: int = 0
    parent_id: Optional[str] = None
    group_id: Optional[str] = None

    @property
    def lacks(self) -> tuple[str, ...]:
        """Which of the things that a message needs the result does not tell."""
        told = {
            "name": self.name is not None,
            "args": isinstance(self.arguments, list),
            "kwargs": isinstance(self.keywords, dict),
            "queue": self.routing_key is not None,
        }
        return tuple(field for field, known in told.items() if not known)


def parse_failed(raw: bytes, task_id: str) -> Optional[FailedTask]:
    """The result of a failed task; None for other results, and for what is not JSON, which is not opened."""
    try:
        meta = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(meta, dict) or meta.get("status") != "FAILURE":
        return None
    queue, retries = _text(meta.get("queue")), meta.get("retries")
    return FailedTask(
        task_id,
        failure_text(meta.get("result")),
        parse_time(meta.get("date_done")),
        _text(meta.get("name")),
        None if queue is None else queue.encode("utf-8", "surrogatepass"),
        meta.get("args"),
        meta.get("kwargs"),
        retries if isinstance(retries, int) else 0,
        _text(meta.get("parent_id")),
        _text(meta.get("group_id")),
    )


def message_again(task: FailedTask, queue: bytes, delivery_tag: str, *, reset_attempts: bool) -> bytes:
    """The message that runs the task again under its own id, sent to a queue by the default exchange.

    Retries of the task go on to count, so that a task with all of them used up has this one attempt; with
    C(reset_attempts) they begin anew. What a result does not keep is not in the message: callbacks, the rest of a
    chain, a time to start or expire, time limits, headers of the application's own.
    """
    options = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([task.arguments, task.keywords, options]).encode()
    headers: Mapping[str, Any] = {
        "lang": "py",
        "task": task.name,
        "id": task.task_id,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0 if reset_attempts else task.retries,
        "timelimit": [None, None],
        "root_id": task.task_id,
        "parent_id": task.parent_id,
        "argsrepr": repr(tuple(task.arguments))[:REPR_CHARACTERS],
        "kwargsrepr": repr(task.keywords)[:REPR_CHARACTERS],
        "origin": "runbook.ops",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    envelope = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "correlation_id": task.task_id,
            "reply_to": "",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue.decode("utf-8", "surrogateescape")},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": delivery_tag,
        },
    }
    return json.dumps(envelope).encode()


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None
