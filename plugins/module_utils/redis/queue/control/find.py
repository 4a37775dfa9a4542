# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose queue it is: every known system is asked, unless the task says it."""

from __future__ import annotations

from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.request import ControlRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.system import ControlSystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.systems import SYSTEMS


def find_queue(
    client: RedisClient, endpoint: Endpoint, request: ControlRequest
) -> tuple[ControlSystem, dict[str, Any]]:
    """The queue, and what its system's C(check) says.

    Raises RunbookError for a queue that no system has, saying where it was looked for, and Refused when several have
    one of that name.
    """
    if request.system:
        system = SYSTEMS[request.system](client, endpoint, request.target)
        return system, system.check(request.state)
    found: list[tuple[ControlSystem, dict[str, Any]]] = []
    refusals: list[tuple[ControlSystem, Refused]] = []
    missing: list[str] = []
    for each in SYSTEMS.values():
        system = each(client, endpoint, request.target)
        try:
            found.append((system, system.check(request.state)))
        except Refused as refusal:
            refusals.append((system, refusal))
        except CommandRefused as error:
            # Keys of other systems may well be closed to us.
            if error.refusal.code not in ("NOPERM", "WRONGTYPE"):
                raise
        except RunbookError as error:
            missing.append(error.message)
    several = [system.title for system, each in found] + [system.title for system, refusal in refusals]
    if len(several) > 1:
        raise Refused(
            f"{show(request.target.queue)!r} in {endpoint.place} may be a queue of {' or '.join(several)}. "
            "Say whose it is with system."
        )
    if refusals:
        raise refusals[0][1]
    if not found:
        raise RunbookError(" ".join(dict.fromkeys(missing)), endpoint=endpoint.facts())
    return found[0]
