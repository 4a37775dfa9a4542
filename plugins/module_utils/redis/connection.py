# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting a connection, whatever kind of Redis there is: one server, the master that sentinels name, a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.client import CLUSTER_SLOTS, ClusterClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import flag, parse_info
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.sentinel import open_master


@contextmanager
def connect(settings: Settings) -> Iterator[RedisClient]:
    """A client for all the keys there are, of a whole cluster too; raises Unavailable."""
    with connect_server(settings) as client:
        if not is_cluster(client):
            yield client
            return
        with ClusterClient(client) as cluster:
            yield cluster


@contextmanager
def connect_server(settings: Settings) -> Iterator[RedisClient]:
    """A client for one server, for figures and commands that are a server's own (INFO, BGSAVE); raises Unavailable.

    With sentinels that is the master they name; of a cluster it is the node that was given.
    """
    client = open_master(settings) if settings.sentinels else RedisClient(settings).open()
    try:
        yield client
    finally:
        client.close()


def is_cluster(client: RedisClient) -> bool:
    """Whether the server is a node of a Redis Cluster."""
    reply = client.pipeline([("INFO", "cluster")], tolerant=True)[0]
    if not isinstance(reply, Refusal):
        return bool(flag(parse_info(reply), "cluster_enabled"))
    if reply.concerns_connection:
        raise client.unusable(reply)
    # Without INFO only the attempt tells.
    return not isinstance(client.pipeline([CLUSTER_SLOTS], tolerant=True)[0], Refusal)
