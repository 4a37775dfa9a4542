# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Celery queue is there, as cheaply as that can be known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.answers import answers
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.tables import Tables
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, Scan

# The exchange every application declares unless it is told otherwise.
DEFAULT_EXCHANGE = b"celery"


def commands_to_find(naming: wire.Naming, queue: bytes) -> list[Command]:
    """One harmless sample of every command that finding it takes."""
    return [
        ("SCAN", 0, "COUNT", 1),
        ("SMEMBERS", naming.binding(queue)),
        *(("LLEN", naming.queue(queue, priority)) for priority in naming.priorities),
    ]


def find_queue(
    client: RedisClient, endpoint: Endpoint, naming: wire.Naming, queue: bytes
) -> tuple[Tables, Optional[str]]:
    """The binding tables that were read, and why the queue is missing; None if it is there.

    An empty queue has no list, and its binding may be in the table of any exchange: then all tables are looked for.
    """
    tables = Tables(naming.separator)
    tables.read(client, [naming.binding(exchange) for exchange in dict.fromkeys((queue, DEFAULT_EXCHANGE))])
    if queue in tables.queues(naming.prefix) or any(lengths(client, naming, queue)):
        return tables, None
    scan = Scan(client, [b"*" + wire.BINDING + b"*"], Budget(), dbsize=endpoint.dbsize)
    for names in scan:
        tables.read(client, names)
    if queue in tables.queues(naming.prefix):
        return tables, None
    return tables, tables.why_missing(queue, naming.prefix, endpoint, scan)


def lengths(client: RedisClient, naming: wire.Naming, queue: bytes) -> Sequence[int]:
    """The messages that wait, by priority; raises CommandRefused."""
    return answers(client, [("LLEN", naming.queue(queue, priority)) for priority in naming.priorities])
