# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions that are asked together, each with what is to be done with its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient

# For commands that answer with a few bytes each: hundreds of queues take one round trip.
SMALL_REPLIES = 8000


class Round:
    """One pipelined round trip (or few, for very many questions)."""

    def __init__(self) -> None:
        self._commands: list[Command] = []
        self._handlers: list[Callable[[Any], None]] = []

    def ask(self, command: Command, handler: Callable[[Any], None]) -> None:
        """Put a question; C(handler) gets the reply or the Refusal."""
        self._commands.append(command)
        self._handlers.append(handler)

    def go(self, client: RedisClient, batch: int = SMALL_REPLIES) -> None:
        """Send everything and hand the replies out, in the same order."""
        for reply, handler in zip(client.pipeline(self._commands, batch=batch), self._handlers):
            handler(reply)
