# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_queue_info is asked. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.queues.options import (
    check_positive_seconds,
    check_range,
    check_samples,
    queue_names,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.format import (
    PRIORITY_STEPS,
    SEPARATOR,
    VISIBILITY_TIMEOUT_SECONDS,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, budget_from


@dataclass(frozen=True)
class QueueRequest:
    """Which queues to read, and how their application names things. Times are in seconds."""

    # None of them asks for every system that is known.
    systems: tuple[str, ...] = ()
    queues: tuple[bytes, ...] = ()
    prefix: bytes | None = None
    result_prefix: bytes | None = None
    result_db: int | None = None
    separator: bytes = SEPARATOR
    steps: tuple[int, ...] = PRIORITY_STEPS
    visibility_timeout: int = VISIBILITY_TIMEOUT_SECONDS
    sample: int = 100
    max_unacked: int = 10000
    failures: bool = True
    # Whether to look for job data in no state, which takes a scan over all keys.
    orphans: bool = False
    # Time between two looks, for rates; 0 for one look only.
    sample_seconds: float = 0.0
    failed_within: float | None = None
    # So many of a queue's failed jobs are read, the newest ones, where their reasons are in the jobs.
    max_failed: int = 1000
    missing: str = "error"
    reference: dt.datetime | None = None
    budget: Budget = field(default_factory=Budget)


def request_from(params: Mapping[str, Any]) -> QueueRequest:
    """Check the options of redis_queue_info; raises InvalidOption before anything is touched."""
    queues = queue_names(params)
    check_samples(params)
    if not params["separator"]:
        raise InvalidOption("separator", "", "at least one character")
    if params["result_db"] is not None and params["result_db"] < 0:
        raise InvalidOption("result_db", params["result_db"], "0 or a positive number")
    check_range(params, "max_unacked", 1, 1_000_000)
    check_positive_seconds(params, "visibility_timeout")
    reference = params["reference_time"]
    return QueueRequest(
        systems=tuple(dict.fromkeys(params["system"])),
        queues=tuple(as_bytes(name) for name in queues),
        prefix=as_bytes(params["key_prefix"]) if params["key_prefix"] else None,
        result_prefix=as_bytes(params["result_key_prefix"]) if params["result_key_prefix"] else None,
        result_db=params["result_db"],
        separator=as_bytes(params["separator"]),
        steps=priority_steps(params["priority_steps"]),
        visibility_timeout=params["visibility_timeout"],
        sample=params["sample"],
        max_unacked=params["max_unacked"],
        failures=params["failures"],
        orphans=params["orphans"],
        sample_seconds=params["sample_seconds"],
        failed_within=params["failed_within"],
        max_failed=params["max_failed"],
        missing=params["missing_queues"],
        reference=parse_moment(reference) if reference else None,
        budget=budget_from(params),
    )


def priority_steps(steps: Sequence[int]) -> tuple[int, ...]:
    """The priorities that have a list of their own, checked; raises InvalidOption."""
    if not steps or any(step < 0 for step in steps) or list(steps) != sorted(set(steps)):
        raise InvalidOption("priority_steps", list(steps), "numbers from 0 upwards, each larger than the one before")
    return tuple(steps)


def as_bytes(text: str) -> bytes:
    """A name from the playbook as the server knows it; it may carry bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape")
