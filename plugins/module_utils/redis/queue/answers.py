# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several replies that are all needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal


def answers(client: RedisClient, commands: Sequence[Command]) -> list[Any]:
    """The replies of one pipeline; raises CommandRefused for the first that is refused."""
    replies = client.pipeline(commands)
    for reply in replies:
        if isinstance(reply, Refusal):
            raise CommandRefused(reply)
    return replies
