# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose queue it is that something is to be done to: every known system is asked, unless the task says it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused


class _System(Protocol):
    @property
    def title(self) -> str: ...


System = TypeVar("System", bound=_System)


def find_system(
    systems: Iterable[System],
    *,
    check: Callable[[System], dict[str, Any]],
    rehearse: Callable[[System], None],
    is_given: bool,
    queue: bytes,
    endpoint: Endpoint,
) -> tuple[System, dict[str, Any]]:
    """The one of these systems that has the queue, and what C(check) says of it.

    C(is_given): there is one only, because the task says it; then its permissions are rehearsed first, so that all that
    are missing are named at once.

    Raises RunbookError for a queue that no system has, saying where it was looked for, Refused when several have one of
    that name or when the one that has it cannot treat it right, and Unavailable with all permissions that are missing.
    """
    found: list[tuple[System, dict[str, Any]]] = []
    refused: list[tuple[System, Refused]] = []
    missing: list[str] = []
    for system in systems:
        if is_given:
            rehearse(system)
            return system, check(system)
        try:
            found.append((system, check(system)))
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
    titles = [each.title for each, other in [*found, *refused]]
    if len(titles) > 1:
        raise Refused(
            f"{show(queue)!r} in {endpoint.place} may be a queue of {' or '.join(titles)}. Say whose it is with system."
        )
    if refused:
        raise refused[0][1]
    if not found:
        raise RunbookError(" ".join(dict.fromkeys(missing)), endpoint=endpoint.facts())
    rehearse(found[0][0])
    return found[0]
