# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the messages of a queue that run next."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bounded import ASSUMED_BYTES, STEP_BYTES


def sample_messages(
    client: RedisClient,
    lists: Sequence[tuple[bytes, int]],
    wanted: int,
    facts: QueueFacts,
    look: Callable[[bytes, QueueFacts], None],
) -> None:
    """Show C(look) up to C(wanted) messages; C(lists) are keys with their lengths, the next first.

    Within a list the one that runs next comes last: producers push on the left, workers take from the right.
    """
    sizes = client.pipeline([("MEMORY", "USAGE", key, "SAMPLES", 5) for key, length in lists])
    left = wanted
    for (key, length), size in zip(lists, sizes):
        average = size / length if isinstance(size, int) else ASSUMED_BYTES
        count = int(min(left, length, STEP_BYTES // max(1, average)))
        if left and not count:
            facts.notes.append(f"messages of about {average:.0f} bytes are too large to look into")
        if count:
            messages = client.ask("LRANGE", key, -count, -1)
            for raw in messages if isinstance(messages, list) else []:
                look(raw, facts)
            left -= count
