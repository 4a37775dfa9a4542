# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What solid_queue_info is asked. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.queues.options import (
    check_positive_seconds,
    check_samples,
    queue_names,
)


@dataclass(frozen=True)
class SolidQueueRequest:
    """Which queues to read, and where. Times are in seconds."""

    queues: tuple[str, ...] = ()
    missing: str = "error"
    schema: str = "public"
    sample: int = 100
    failures: bool = True
    max_failed: int = 1000
    failed_within: Optional[float] = None
    process_alive_threshold: float = 300.0
    # Time between two looks, for rates; 0 for one look only.
    sample_seconds: float = 0.0
    statement_timeout: float = 10.0
    reference: Optional[dt.datetime] = None


def request_from(params: Mapping[str, Any]) -> SolidQueueRequest:
    """Check the options of solid_queue_info; raises InvalidOption before anything is touched."""
    names = queue_names(params)
    check_samples(params)
    for name in ("process_alive_threshold", "statement_timeout"):
        check_positive_seconds(params, name)
    if not params["schema"]:
        raise InvalidOption("schema", "", "the name of the schema with the tables solid_queue_*")
    reference = params["reference_time"]
    return SolidQueueRequest(
        queues=tuple(names),
        missing=params["missing_queues"],
        schema=params["schema"],
        sample=params["sample"],
        failures=params["failures"],
        max_failed=params["max_failed"],
        failed_within=params["failed_within"],
        process_alive_threshold=params["process_alive_threshold"],
        sample_seconds=params["sample_seconds"],
        statement_timeout=params["statement_timeout"],
        reference=parse_moment(reference) if reference else None,
    )
