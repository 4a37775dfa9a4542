# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers of Bull and BullMQ in the reply of CLIENT LIST. Pure.

All of them name a connection C(<prefix>:<base64 of the queue's name>). BullMQ names only the one on which a worker
waits for jobs, and appends C(:w:<name>) for workers with a name of their own; C(:qe) marks listeners. Bull 4 names only
that connection, too; Bull 3 names every one of a queue object, a producer's as well, so that the command it waits with
must tell (package bull, lib/worker.js and lib/queue.js; package bullmq, classes/worker and classes/queue-base).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import BULL

# Waiting for jobs: BRPOPLPUSH up to BullMQ 4, BZPOPMIN for the marker since then.
WAITING_COMMANDS = ("brpoplpush", "bzpopmin", "blmove")
WORKER_NAME = ":w:"


@dataclass
class Workers:
    """Connections of workers by the beginning of their queue's keys, and workers that hide their names."""

    named: dict[bytes, int] = field(default_factory=dict)
    # Those among them that wait, or waited last, for a job.
    fetching: dict[bytes, int] = field(default_factory=dict)
    nameless: int = 0

    def of(self, base: bytes, system: str) -> Optional[int]:
        """How many workers a queue has; None where there may be some without a name."""
        count = (self.fetching if system == BULL else self.named).get(base, 0)
        return None if not count and self.nameless else count


def workers_from(clients: str, db: int) -> Workers:
    """Read the reply of CLIENT LIST; only connections to this database count."""
    found = Workers()
    for line in clients.splitlines():
        connection = _fields(line)
        if connection.get("db") != str(db):
            continue
        fetches = connection.get("cmd", "").lower() in WAITING_COMMANDS
        name = connection.get("name", "")
        base = base_of(name)
        if base is not None:
            found.named[base] = found.named.get(base, 0) + 1
            if fetches:
                found.fetching[base] = found.fetching.get(base, 0) + 1
        elif fetches and not name:
            found.nameless += 1
    return found


def base_of(name: str) -> Optional[bytes]:
    """What the keys of a worker's queue begin with, from its connection's name; None for other names."""
    prefix, separator, encoded = name.split(WORKER_NAME, 1)[0].rpartition(":")
    if not separator or not prefix or not encoded:
        return None
    try:
        queue = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return prefix.encode("utf-8", "surrogateescape") + b":" + queue + b":"


def _fields(line: str) -> Mapping[str, str]:
    return dict(item.split("=", 1) for item in line.split(" ") if "=" in item)
