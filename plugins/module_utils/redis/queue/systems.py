# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue systems that are known, in the order in which they are asked."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.reader import BullMQReader, BullReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.celery.reader import CeleryReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.rq.reader import RqReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.sidekiq.reader import SidekiqReader

READERS: dict[str, type[QueueReader]] = {
    reader.system: reader for reader in (BullMQReader, BullReader, CeleryReader, RqReader, SidekiqReader)
}
