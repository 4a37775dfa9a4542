# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose queue it is whose failed jobs are to be put back."""

from __future__ import annotations

from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.find import find_system
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.request import RetryRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.system import RetrySystem
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.retry.systems import SYSTEMS
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import rehearse


def find_queue(client: RedisClient, endpoint: Endpoint, request: RetryRequest) -> tuple[RetrySystem, dict[str, Any]]:
    """The queue, and what its system's C(check) says; raises as C(find_system) does."""
    names = [request.system] if request.system else list(SYSTEMS)
    return find_system(
        [SYSTEMS[name](client, endpoint, request.target) for name in names],
        check=lambda system: system.check(),
        rehearse=lambda system: rehearse(client, system.needed(request.target)),
        is_given=bool(request.system),
        queue=request.target.queue,
        endpoint=endpoint,
    )
