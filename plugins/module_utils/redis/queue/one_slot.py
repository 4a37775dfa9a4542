# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a cluster, what is done to several keys at once needs all of them in one slot."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import hash_slot


def require_one_slot(client: RedisClient, keys: Iterable[bytes], title: str) -> None:
    """Raise Refused on a cluster whose slots part these keys."""
    if client.is_cluster and len({hash_slot(key) for key in keys}) > 1:
        raise Refused(
            f"{client.where} is a Redis Cluster, and {title}'s keys are in different slots there, so no job can be "
            f"moved at once. {title} needs a server of its own, or a key prefix in braces."
        )
