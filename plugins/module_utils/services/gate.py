# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service is well after it was touched: by its state for a while, its port, its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.services.client import Machine
from ansible_collections.runbook.ops.plugins.module_utils.services.dependencies import probe_port, probe_url
from ansible_collections.runbook.ops.plugins.module_utils.services.request import Request

_INTERVAL_SECONDS = 0.5
_PROBE_SECONDS = 5.0


def watch(request: Request, machine: Machine) -> tuple[dict[str, Any], str]:
    """Look until it has been well for C(settle_seconds), or C(wait_seconds) are over.

    Returns:
        Its last facts, and what was wrong with it at the end; empty when it is well.

    """
    deadline = time.monotonic() + request.wait_seconds
    well_since: float | None = None
    identity: tuple[Any, ...] = ()
    while True:
        (facts,) = machine.look([request.service], utc_now())
        problem = problem_now(request, facts)
        # Another process than a moment ago: it died in between, and was started again.
        seen = (facts["main_pid"], facts["restarts_count"])
        now = time.monotonic()
        if problem:
            well_since = None
        elif well_since is None or seen != identity:
            well_since = now
        identity = seen
        if well_since is not None and now - well_since >= request.settle_seconds:
            return facts, ""
        if now >= deadline:
            return facts, problem or f"it does not stay up: {facts['restarts_count']} restarts by itself"
        time.sleep(_INTERVAL_SECONDS)


def problem_now(request: Request, facts: Mapping[str, Any]) -> str:
    """What is wrong with it at this moment; empty when it is well."""
    if not facts["healthy"]:
        return str(facts["reason"] or "it is not known how it is")
    if request.port is not None:
        reason = probe_port(request.host, request.port, _PROBE_SECONDS)
        if reason:
            return reason
    return probe_url(request.url, request.expected_status, _PROBE_SECONDS) if request.url else ""
