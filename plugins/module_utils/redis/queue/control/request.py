# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_queue is asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import STATES
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import as_bytes, priority_steps
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import Target

PAUSED, RESUMED, EMPTY = "paused", "resumed", "empty"
MOST_AT_ONCE = 100
# What is only for some of the states, by option.
_ONLY_FOR = {"wait_active": PAUSED, "min_age": EMPTY, "limit": EMPTY}


@dataclass(frozen=True)
class ControlRequest:
    """One queue, and what is to become of it. Times are in seconds."""

    state: str
    target: Target
    # None: it is found out.
    system: Optional[str]
    states: tuple[str, ...]
    max_jobs: int
    limit: Optional[int]
    wait_active: Optional[int]


def request_from(params: Mapping[str, Any]) -> ControlRequest:
    """Check the options of redis_queue; raises InvalidOption, or Refused for what is never done, before connecting."""
    if not params["queue"]:
        raise InvalidOption("queue", "", "the name of a queue")
    state = params["state"]
    for name, only in _ONLY_FOR.items():
        if params[name] not in (None, "") and state != only:
            raise InvalidOption(name, params[name], f"only with state {only}")
    for name, most in (("max_jobs", None), ("batch_size", MOST_AT_ONCE), ("limit", None)):
        value = params[name]
        if value is not None and (value < 1 or (most is not None and value > most)):
            raise InvalidOption(name, value, f"a number from 1 to {most}" if most else "a number of at least 1")
    states = _states(params["states"]) if state == EMPTY else ()
    if not params["separator"]:
        raise InvalidOption("separator", "", "at least one character")
    reference = params["reference_time"]
    options = {
        "system": params["system"] or None,
        "library_version": params["library_version"] or None,
        "states": states,
        "limit": params["limit"],
        "batch_size": params["batch_size"],
        "min_age": parse_seconds(params["min_age"], "min_age") if params["min_age"] else None,
        "reference": parse_moment(reference) if reference else None,
        "separator": as_bytes(params["separator"]),
        "priority_steps": priority_steps(params["priority_steps"]),
        "all_queues": params["all_queues"],
    }
    return ControlRequest(
        state=state,
        target=Target(
            as_bytes(params["queue"]), as_bytes(params["key_prefix"]) if params["key_prefix"] else None, options
        ),
        system=params["system"] or None,
        states=states,
        max_jobs=params["max_jobs"],
        limit=params["limit"],
        wait_active=parse_seconds(params["wait_active"], "wait_active") if params["wait_active"] else None,
    )


def _states(wanted: list[str]) -> tuple[str, ...]:
    if not wanted:
        raise InvalidOption("states", wanted, "at least one state")
    if "active" in wanted:
        raise Refused(
            "Active jobs are with workers, which would go on executing them without their data, or twice. Pause the "
            "queue and wait for them (state paused with wait_active), or stop the workers: their library puts jobs "
            "back whose worker is gone."
        )
    return tuple(state for state in STATES if state in wanted)
