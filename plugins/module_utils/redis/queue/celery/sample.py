# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the messages of a queue that run next: what they are, and whether a worker can read them."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire

# So much is read of a list at most; a single message may be of any size, and cannot be read in parts.
SAMPLE_BYTES = 2 * 1024 * 1024
# What a message is taken to need where the server does not tell (MEMORY USAGE denied).
ASSUMED_BYTES = 64 * 1024


def sample_messages(client: RedisClient, lists: Sequence[tuple[bytes, int]], wanted: int, facts: QueueFacts) -> None:
    """Add to C(facts) what up to C(wanted) messages tell; C(lists) are keys with their lengths, the next first."""
    sizes = client.pipeline([("MEMORY", "USAGE", key, "SAMPLES", 5) for key, length in lists])
    left = wanted
    for (key, length), size in zip(lists, sizes):
        average = size / length if isinstance(size, int) else ASSUMED_BYTES
        count = int(min(left, length, SAMPLE_BYTES // max(1, average)))
        if left and not count:
            facts.notes.append(f"messages of about {average:.0f} bytes are too large to look into")
        if count:
            # Producers push on the left, workers take from the right.
            messages = client.ask("LRANGE", key, -count, -1)
            for raw in messages if isinstance(messages, list) else []:
                count_message(raw, facts)
            left -= count


def count_message(raw: bytes, facts: QueueFacts) -> None:
    """Add one message to the figures."""
    facts.sampled += 1
    message = wire.parse_message(raw)
    if message is None or message.broken:
        facts.malformed = (facts.malformed or 0) + 1
        return
    facts.opaque = (facts.opaque or 0) + message.opaque
    task = message.task or "(unknown)"
    facts.tasks[task] = facts.tasks.get(task, 0) + 1
