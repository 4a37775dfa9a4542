# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue systems whose failed jobs can be put back, in the order in which they are asked."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.bull import BullMQRetry, BullRetry
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.celery import CeleryRetry
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.rq import RqRetry
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.sidekiq import SidekiqRetry
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import RetrySystem

_KNOWN: tuple[type[RetrySystem], ...] = (BullMQRetry, BullRetry, CeleryRetry, RqRetry, SidekiqRetry)

SYSTEMS: dict[str, type[RetrySystem]] = {each.system: each for each in _KNOWN}
