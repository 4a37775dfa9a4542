# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue systems that can be paused, resumed and emptied, in the order in which they are asked."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.bull import BullControl, BullMqControl
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.celery import CeleryControl
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.rq import RqControl
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.sidekiq import SidekiqControl
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.system import ControlSystem

_KNOWN: tuple[type[ControlSystem], ...] = (BullMqControl, BullControl, CeleryControl, RqControl, SidekiqControl)

SYSTEMS: dict[str, type[ControlSystem]] = {system.system: system for system in _KNOWN}
