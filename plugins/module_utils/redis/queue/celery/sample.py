# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the messages of a Celery queue that run next are, and whether a worker can read them."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery import format as wire


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
