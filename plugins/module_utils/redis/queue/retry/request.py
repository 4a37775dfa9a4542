# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which failed jobs are meant, and how they are put back. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.queues.reasons import normalise
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import as_bytes, priority_steps
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import FailedJob, Target

MOST_IN_BATCH = 100
_VERSION = re.compile(r"\d{1,3}(?:\.\d{1,5}){0,3}(?:[-+][\w.]+)?")


@dataclass(frozen=True)
class RetryRequest:
    """The options, checked. Ages are in seconds."""

    target: Target
    # None: it is found out.
    system: Optional[str] = None
    ids: tuple[bytes, ...] = ()
    reason: tuple[re.Pattern[str], ...] = ()
    job_name: tuple[re.Pattern[str], ...] = ()
    min_age: Optional[int] = None
    max_age: Optional[int] = None
    limit: Optional[int] = None
    max_jobs: int = 1000
    reset_attempts: bool = False
    batch_size: int = MOST_IN_BATCH
    max_per_second: Optional[float] = None

    def matches(self, job: FailedJob, now: float) -> bool:
        """Whether a job is meant; C(now) is the moment ages are counted to, epoch seconds.

        What cannot be known of a job, its name or when it failed, matches no option that asks for it.
        """
        if self.min_age is not None and (job.failed_at is None or now - job.failed_at < self.min_age):
            return False
        if self.max_age is not None and (job.failed_at is None or now - job.failed_at > self.max_age):
            return False
        if self.job_name and not _any(self.job_name, job.name):
            return False
        return not self.reason or _any(self.reason, job.reason) or _any(self.reason, normalise(job.reason))

    @property
    def step(self) -> int:
        """How many jobs are put back at once; with a rate no more than one second's."""
        if self.max_per_second is None:
            return self.batch_size
        return max(1, min(self.batch_size, int(self.max_per_second)))


def request_from(params: Mapping[str, Any]) -> RetryRequest:
    """Check the options; raises InvalidOption before anything is touched."""
    if not params["queue"]:
        raise InvalidOption("queue", params["queue"], "the name of a queue")
    version = params["library_version"]
    if version and not _VERSION.fullmatch(version):
        raise InvalidOption("library_version", version, "a version such as 5 or 4.12.0")
    for name, least in (("limit", 1), ("max_jobs", 1)):
        if params[name] is not None and params[name] < least:
            raise InvalidOption(name, params[name], f"a number from {least} upwards")
    if not 1 <= params["batch_size"] <= MOST_IN_BATCH:
        raise InvalidOption("batch_size", params["batch_size"], f"a number from 1 to {MOST_IN_BATCH}")
    rate = params["max_per_second"]
    if rate is not None and not 0 < rate < float("inf"):
        raise InvalidOption("max_per_second", rate, "a number greater than 0")
    ages = {name: parse_seconds(params[name], name) if params[name] else None for name in ("min_age", "max_age")}
    if ages["min_age"] and ages["max_age"] and ages["min_age"] > ages["max_age"]:
        raise InvalidOption("max_age", params["max_age"], f"a duration not shorter than min_age ({params['min_age']})")
    return RetryRequest(
        target=_target(params),
        system=params["system"] or None,
        ids=tuple(as_bytes(each) for each in dict.fromkeys(params["ids"]) if each),
        reason=_patterns(params["reason"]),
        job_name=_patterns(params["job_name"]),
        min_age=ages["min_age"],
        max_age=ages["max_age"],
        limit=params["limit"],
        max_jobs=params["max_jobs"],
        reset_attempts=params["reset_attempts"],
        batch_size=params["batch_size"],
        max_per_second=rate,
    )


def _target(params: Mapping[str, Any]) -> Target:
    if not params["separator"]:
        raise InvalidOption("separator", "", "at least one character")
    if params["result_db"] is not None and params["result_db"] < 0:
        raise InvalidOption("result_db", params["result_db"], "0 or a positive number")
    return Target(
        as_bytes(params["queue"]),
        as_bytes(params["key_prefix"]) if params["key_prefix"] else None,
        {
            # Whether names of jobs have to be read.
            "names": any(params["job_name"]),
            "library_version": params["library_version"] or None,
            "result_key_prefix": as_bytes(params["result_key_prefix"]) if params["result_key_prefix"] else None,
            "result_db": params["result_db"],
            "separator": as_bytes(params["separator"]),
            "priority_steps": priority_steps(params["priority_steps"]),
        },
    )


def _patterns(globs: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(fnmatch.translate(each), re.IGNORECASE) for each in globs if each)


def _any(patterns: Sequence[re.Pattern[str]], text: Optional[str]) -> bool:
    return text is not None and any(pattern.match(text) for pattern in patterns)
