# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Getting a connection, whatever kind of Redis there is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings


@contextmanager
def connect(settings: Settings) -> Iterator[RedisClient]:
    """A client for all the keys there are; raises Unavailable."""
    with RedisClient(settings) as client:
        yield client


@contextmanager
def connect_server(settings: Settings) -> Iterator[RedisClient]:
    """A client for one server, for figures and commands that are a server's own (INFO, BGSAVE); raises Unavailable."""
    with RedisClient(settings) as client:
        yield client
