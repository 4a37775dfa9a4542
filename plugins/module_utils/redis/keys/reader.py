# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a server about keys: single ones in two round trips, patterns in one common SCAN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY, Endpoint, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.groups.model import GroupRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.groups.sample import NEEDED, USEFUL, read_groups
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.model import (
    NUMBER_BYTES,
    Answer,
    Request,
    parse_number,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, Scan, compile_glob

# How to learn the size of each type without reading it.
LENGTH = {"string": "STRLEN", "list": "LLEN", "hash": "HLEN", "set": "SCARD", "zset": "ZCARD", "stream": "XLEN"}


@dataclass
class KeyReading:
    """Everything redis_key_info found out."""

    endpoint: Endpoint
    answers: list[Answer]
    complete: bool = True
    keys_seen: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    groups: Optional[dict[str, Any]] = None


def read_keys(
    settings: Settings, requests: Sequence[Request], budget: Budget, groups: Optional[GroupRequest] = None
) -> KeyReading:
    """Answer every request; raises Unavailable."""
    with connect(settings) as client:
        endpoint = survey(client, _needed(requests) + list(NEEDED if groups else ()), USEFUL if groups else ())
        reading = KeyReading(endpoint, [Answer(request) for request in requests], skipped=endpoint.skipped)
        _single_keys(client, reading, [answer for answer in reading.answers if answer.request.key is not None])
        patterns = [answer for answer in reading.answers if answer.request.pattern is not None]
        if patterns:
            _patterns(client, reading, patterns, budget)
        if groups is not None:
            reading.groups = read_groups(client, endpoint, groups)
    return reading


def _needed(requests: Sequence[Request]) -> list[Command]:
    """One harmless sample of every command that is going to be used, so that all denied ones are known at once."""
    patterns = [request for request in requests if request.pattern is not None]
    commands: list[Command] = []
    if len(patterns) < len(requests):
        commands += [("TYPE", PROBE_KEY), ("PTTL", PROBE_KEY), ("STRLEN", PROBE_KEY)]
    if patterns:
        commands.append(("SCAN", 0, "COUNT", 1))
    if any(request.operation in ("get", "sum") for request in requests):
        commands.append(("GETRANGE", PROBE_KEY, 0, 0))
    if any(request.operation != "count" for request in patterns):
        commands += [("TYPE", PROBE_KEY), ("PTTL", PROBE_KEY)]
    return commands


def _single_keys(client: RedisClient, reading: KeyReading, answers: Sequence[Answer]) -> None:
    keys = [answer.request.key for answer in answers]
    types = client.pipeline([("TYPE", key) for key in keys])
    for answer, kind in zip(answers, types):
        if isinstance(kind, Refusal):
            answer.note = kind.reason
            reading.skipped.append(kind.skipped(answer.request.name, client.user))
        else:
            name = kind.decode("ascii", "replace")
            answer.exists = name != "none"
            answer.type = name if answer.exists else None
    _details(client, [answer for answer in answers if answer.exists])
    for answer in answers:
        if answer.exists is False and answer.request.missing == "unknown":
            answer.note = f"the key {show(answer.request.key or b'')} does not exist in {reading.endpoint.place}"
            remedy = "Before its first use there may legitimately be no key yet; otherwise check its name and login_db."
            reading.skipped.append({"section": answer.request.name, "reason": answer.note, "remedy": remedy})


def _details(client: RedisClient, answers: Sequence[Answer]) -> None:
    commands: list[Command] = []
    for answer in answers:
        key = answer.request.key
        commands += [
            ("PTTL", key),
            (LENGTH[answer.type], key) if answer.type in LENGTH else ("PTTL", key),
            ("GETRANGE", key, 0, NUMBER_BYTES - 1) if answer.type == "string" else ("PTTL", key),
        ]
    replies = client.pipeline(commands)
    for index, answer in enumerate(answers):
        ttl, length, value = replies[3 * index : 3 * index + 3]
        if isinstance(ttl, int) and ttl >= 0:
            answer.ttl_seconds = ttl / 1000
        if answer.type in LENGTH and not isinstance(length, Refusal):
            answer.length = length
        _single_value(answer, value)


def _single_value(answer: Answer, value: Any) -> None:
    if answer.request.operation != "get":
        return
    if answer.type != "string":
        answer.note = f"the key is a {answer.type}, not a string; its length is {answer.length}"
    elif isinstance(value, Refusal):
        answer.note = value.reason
    else:
        answer.value = parse_number(value)
        if answer.value is None:
            answer.note = f"the value is no number ({answer.length} bytes)"


def _patterns(client: RedisClient, reading: KeyReading, answers: Sequence[Answer], budget: Budget) -> None:
    endpoint = reading.endpoint
    scan = Scan(
        client,
        [answer.request.pattern for answer in answers if answer.request.pattern is not None],
        budget,
        dbsize=endpoint.dbsize,
        overhead_seconds=endpoint.round_trip_seconds,
    )
    matchers = [(answer, compile_glob(answer.request.pattern or b"")) for answer in answers]
    for names in scan:
        for answer, matcher in matchers:
            matching = [name for name in names if matcher.match(name)]
            answer.matched += len(matching)
            if answer.request.operation == "sum":
                _add_values(client, answer, matching)
            elif answer.request.operation == "sample":
                wanted = answer.request.sample_size - len(answer.sample)
                _add_samples(client, answer, matching[:wanted])
    reading.complete, reading.keys_seen = scan.complete, scan.keys_seen
    for answer in answers:
        answer.complete, answer.keys_seen = scan.complete, scan.keys_seen
        if not scan.complete:
            answer.note = f"{scan.incomplete_reason()}; {answer.matched} matching keys so far"
    if not scan.complete:
        reading.skipped += [
            {
                "section": answer.request.name,
                "reason": scan.incomplete_reason(),
                "remedy": "Raise max_keys or max_seconds, or ask for a key instead of a pattern.",
            }
            for answer in answers
        ]


def _add_values(client: RedisClient, answer: Answer, names: Sequence[bytes]) -> None:
    values = client.pipeline([("GETRANGE", name, 0, NUMBER_BYTES - 1) for name in names])
    empty: list[bytes] = []
    for name, value in zip(names, values):
        if isinstance(value, Refusal):
            # A key of another type holds no number; a key we may not read may hold one.
            if value.code == "WRONGTYPE":
                answer.not_numeric += 1
            else:
                answer.unreadable += 1
            continue
        number = parse_number(value)
        if number is not None:
            answer.add_number(number)
        elif value:
            answer.not_numeric += 1
        else:
            empty.append(name)
    # Nothing is what a key holds that is gone since the scan saw it, or an empty one, which is no number.
    for kind in client.pipeline([("TYPE", name) for name in empty]):
        if kind == b"none":
            answer.matched -= 1
        else:
            answer.not_numeric += 1


def _add_samples(client: RedisClient, answer: Answer, names: Sequence[bytes]) -> None:
    commands: list[Command] = []
    for name in names:
        commands += [("TYPE", name), ("PTTL", name)]
    replies = client.pipeline(commands)
    for index, name in enumerate(names):
        kind, ttl = replies[2 * index : 2 * index + 2]
        if isinstance(ttl, int):
            answer.add_ttl(ttl)
        answer.sample.append(
            {
                "key": show(name),
                "type": None if isinstance(kind, Refusal) else kind.decode("ascii", "replace"),
                "ttl_seconds": ttl / 1000 if isinstance(ttl, int) and ttl >= 0 else None,
            }
        )
