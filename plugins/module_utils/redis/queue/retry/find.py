# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose queue it is: every known system is asked, unless the task says it."""

from __future__ import annotations

from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.request import RetryRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import RetrySystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.systems import SYSTEMS
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import rehearse


def find_queue(client: RedisClient, endpoint: Endpoint, request: RetryRequest) -> tuple[RetrySystem, dict[str, Any]]:
    """The queue, and what its system's C(check) says.

    Raises RunbookError for a queue that no system has, saying where it was looked for, Refused when several have one of
    that name or when the one that has it cannot treat it right, and Unavailable with all permissions that are missing.
    """
    if request.system:
        chosen = SYSTEMS[request.system]
        rehearse(client, chosen.needed(request.target))
        system = chosen(client, endpoint, request.target)
        return system, system.check()
    found: list[tuple[RetrySystem, dict[str, Any]]] = []
    refused: list[tuple[RetrySystem, Refused]] = []
    missing: list[str] = []
    for each in SYSTEMS.values():
        system = each(client, endpoint, request.target)
        try:
            found.append((system, system.check()))
        except Refused as refusal:
            refused.append((system, refusal))
        except Unavailable:
            raise
        except CommandRefused as error:
            # Keys of other systems may well be closed to us, and somebody else's may lie where they would.
            if error.refusal.code not in ("NOPERM", "WRONGTYPE"):
                raise
            missing.append(error.message)
        except RunbookError as error:
            missing.append(error.message)
    titles = [system.title for system, other in [*found, *refused]]
    if len(titles) > 1:
        raise Refused(
            f"{show(request.target.queue)!r} in {endpoint.place} may be a queue of {' or '.join(titles)}. "
            "Say whose it is with system."
        )
    if refused:
        raise refused[0][1]
    if not found:
        raise RunbookError(" ".join(dict.fromkeys(missing)), endpoint=endpoint.facts())
    system, facts = found[0]
    rehearse(client, system.needed(request.target))
    return system, facts
