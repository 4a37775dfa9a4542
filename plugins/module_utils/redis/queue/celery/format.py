# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Celery and kombu write queues, messages and results into Redis. Pure.

Sources: kombu/transport/redis.py (keys, priorities, bindings, unacked), celery/app/amqp.py (envelope),
celery/backends/base.py (results). Nothing here ever unpickles: reading a pickle runs what is in it.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

SEPARATOR = b"\x06\x16"
PRIORITY_STEPS = (0, 3, 6, 9)
# Priorities that anybody can have used; looking at all of them costs nothing.
ALL_PRIORITIES = tuple(range(10))
VISIBILITY_TIMEOUT_SECONDS = 3600

BINDING = b"_kombu.binding."
UNACKED = b"unacked"
UNACKED_INDEX = b"unacked_index"
TASK_RESULT = b"celery-task-meta-"
# The result backend adds an underscore unless the prefix ends in one of these; the broker takes it verbatim.
PREFIX_ENDINGS = b":_-."

# A worker with room for more asks again after a second; this is generous.
POLLING_SECONDS = 10

STATUS_BYTES = 64
STATUS = re.compile(rb'^\{"status": ?"([A-Z]+)"')


@dataclass(frozen=True)
class Naming:
    """The transport options of an application, as bytes."""

    prefix: bytes = b""
    separator: bytes = SEPARATOR
    steps: tuple[int, ...] = PRIORITY_STEPS

    def binding(self, exchange: bytes) -> bytes:
        """The set with the queues that are bound to an exchange."""
        return self.prefix + BINDING + exchange

    def queue(self, name: bytes, priority: int) -> bytes:
        """The list of a queue's messages of one priority; 0, the highest, has no suffix."""
        if priority == 0:
            return self.prefix + name
        return self.prefix + name + self.separator + str(priority).encode()

    @property
    def priorities(self) -> tuple[int, ...]:
        """Every priority that may hold messages, the highest first."""
        return tuple(sorted({*ALL_PRIORITIES, *self.steps}))

    def step_of(self, priority: int) -> int:
        """The step a priority is rounded down to (Channel.priority)."""
        return self.steps[bisect(self.steps, priority) - 1]


@dataclass(frozen=True)
class Binding:
    """A line of a binding table."""

    exchange: bytes
    routing_key: bytes
    queue: bytes


def result_prefix(prefix: bytes) -> bytes:
    """What the result backend makes of a global_keyprefix."""
    if prefix and prefix[-1:] not in [bytes([ending]) for ending in PREFIX_ENDINGS]:
        return prefix + b"_"
    return prefix


def split_binding_key(key: bytes) -> tuple[bytes, bytes] | None:
    """The prefix and the exchange in the name of a binding table; None if it is none."""
    position = key.rfind(BINDING)
    if position < 0:
        return None
    return key[:position], key[position + len(BINDING) :]


def parse_bindings(exchange: bytes, members: Iterable[bytes], separator: bytes) -> tuple[list[Binding], int]:
    """The bindings of job queues in a table, and how many members could not be read."""
    bindings, malformed = [], 0
    for member in members:
        parts = member.split(separator)
        if len(parts) != 3 or not parts[2]:
            malformed += 1
        elif not is_internal(exchange, parts[2]):
            bindings.append(Binding(exchange, parts[0], parts[2]))
    return bindings, malformed


def is_internal(exchange: bytes, queue: bytes) -> bool:
    """Whether a queue serves remote control or events and carries no jobs."""
    return exchange == b"celeryev" or queue.endswith(b".pidbox") or queue.startswith(b"celeryev.")


@dataclass(frozen=True)
class Message:
    """What an envelope tells without executing anything.

    C(eta) is in epoch seconds. C(opaque): the body is not JSON (a pickle, say) and was left alone. C(broken):
    no worker will be able to decode the body.
    """

    task: str | None
    eta: float | None
    exchange: bytes
    routing_key: bytes
    opaque: bool
    broken: bool = False


def parse_message(raw: bytes) -> Message | None:
    """A message as it lies in a queue's list; None if it is none."""
    try:
        envelope = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return message_from(envelope)


def message_from(envelope: Any) -> Message | None:
    """The decoded envelope as a Message; None if it lacks what every message has."""
    if not isinstance(envelope, dict) or "body" not in envelope:
        return None
    properties, headers = envelope.get("properties"), envelope.get("headers")
    if not isinstance(properties, dict):
        return None
    headers = headers if isinstance(headers, dict) else {}
    delivery = properties.get("delivery_info")
    delivery = delivery if isinstance(delivery, dict) else {}
    content_type = envelope.get("content-type")
    opaque = content_type != "application/json"
    task, eta = headers.get("task"), headers.get("eta")
    if task is None and not opaque:
        # Protocol 1 has no headers; everything is in the body.
        body = json_body(envelope["body"], properties.get("body_encoding"))
        task, eta = body.get("task"), body.get("eta")
    return Message(
        task=task if isinstance(task, str) else None,
        eta=parse_time(eta),
        exchange=_name(delivery.get("exchange")),
        routing_key=_name(delivery.get("routing_key")),
        opaque=opaque,
        broken=not decodable(envelope["body"], properties.get("body_encoding")),
    )


def json_body(body: Any, encoding: Any) -> dict[str, Any]:
    """A JSON body of protocol 1; empty if it is something else."""
    if not isinstance(body, str):
        return {}
    try:
        text = base64.b64decode(body, validate=True) if encoding == "base64" else body.encode()
        decoded = json.loads(text)
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def decodable(body: Any, encoding: Any) -> bool:
    """Whether the body's base64 is sound; what is inside is not looked at."""
    if encoding != "base64":
        return True
    try:
        base64.b64decode(body, validate=True)
    except (ValueError, TypeError):
        return False
    return True


def parse_unacked(raw: bytes) -> Message | None:
    """An entry of the unacked hash: C([message, exchange, routing_key]); None if it is none."""
    try:
        entry = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, list) or len(entry) != 3:
        return None
    message = message_from(entry[0])
    if message is None:
        return None
    exchange, routing_key = _name(entry[1]), _name(entry[2])
    return Message(
        message.task,
        message.eta,
        exchange or message.exchange,
        routing_key or message.routing_key,
        message.opaque,
        message.broken,
    )


def _name(value: Any) -> bytes:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else b""


def parse_time(text: Any) -> float | None:
    """An ISO 8601 time as epoch seconds; without a timezone it is UTC, as Celery writes it."""
    if not isinstance(text, str):
        return None
    try:
        moment = dt.datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return moment.timestamp()


def queue_of(message: Message, bindings: Sequence[Binding], queues: Iterable[bytes]) -> bytes | None:
    """The queue a message was taken from.

    The default exchange routes by the queue's name. Others go by their binding table; where that leads to
    several queues, or to none, a queue named like the routing key is meant, and otherwise nobody knows.
    """
    known = set(queues)
    if not message.exchange:
        return message.routing_key or None
    table = [binding for binding in bindings if binding.exchange == message.exchange]
    found = {binding.queue for binding in table if binding.routing_key == message.routing_key}
    found = found or {binding.queue for binding in table if topic_matches(binding.routing_key, message.routing_key)}
    if len(found) == 1:
        return next(iter(found))
    return message.routing_key if message.routing_key in (found or known) else None


def topic_matches(pattern: bytes, routing_key: bytes) -> bool:
    """A topic exchange's pattern: C(*) is one word, C(#) any number of them."""
    if b"*" not in pattern and b"#" not in pattern:
        return False
    words = {b"*": rb"[^.]+", b"#": rb".*"}
    expression = rb"\.".join(words.get(word, re.escape(word)) for word in pattern.split(b"."))
    # A leading or trailing # also stands for no word at all.
    expression = expression.replace(rb".*\.", rb"(?:.*\.)?").replace(rb"\..*", rb"(?:\..*)?")
    return re.fullmatch(expression, routing_key, re.DOTALL) is not None


def count_consumers(clients: str, db: int, jobs_are_held: bool) -> int:
    """Workers that fetch from a database, from the lines of CLIENT LIST.

    A worker fetches over a connection of its own with BRPOP, again and again. While it has no room for more,
    that connection rests, but then it holds jobs. A resting one while nobody holds any is a monitor's, which
    has asked the workers something and read the answer from a queue of its own.
    """
    count = 0
    for line in clients.splitlines():
        fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
        if fields.get("cmd") == "brpop" and fields.get("db") == str(db):
            idle = fields.get("idle", "")
            polling = "b" in fields.get("flags", "") or (idle.isdigit() and int(idle) <= POLLING_SECONDS)
            count += polling or jobs_are_held
    return count


@dataclass(frozen=True)
class TaskResult:
    """What a kept result tells. C(done_at) is in epoch seconds."""

    status: str
    reason: str = ""
    queue: bytes | None = None
    done_at: float | None = None


def parse_status(beginning: bytes) -> str | None:
    """The status of a JSON result from its first bytes; None if it has to be read whole."""
    found = STATUS.match(beginning)
    return found.group(1).decode() if found else None


def parse_result(raw: bytes) -> TaskResult | None:
    """A JSON result; None if it is none (pickle, YAML, cut off)."""
    try:
        meta = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(meta, dict) or not isinstance(meta.get("status"), str):
        return None
    queue = meta.get("queue")
    return TaskResult(
        status=meta["status"],
        reason=failure_text(meta.get("result")) if meta["status"] == "FAILURE" else "",
        queue=_name(queue) if isinstance(queue, str) and queue else None,
        done_at=parse_time(meta.get("date_done")),
    )


def failure_text(result: Any) -> str:
    """C(ValueError: no such product) from the result of a failed task."""
    if not isinstance(result, dict):
        return str(result) if result else "(no exception was kept)"
    kind = str(result.get("exc_type") or "(unknown exception)")
    message = result.get("exc_message")
    if isinstance(message, (list, tuple)):
        message = ", ".join(str(part) for part in message)
    return f"{kind}: {message}" if message else kind
