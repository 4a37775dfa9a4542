# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to say of a named queue that is not there: where it was looked for, and what is there instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts, listed
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.family import Family
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import TITLES, Library
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import EVIDENCE, QueueKeys
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.search import Candidates
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import Reading, cover
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Scan

# Every key that tells of a queue contains one of these.
MARKS = (b":id", b":me")


class Surroundings:
    """The queues of both libraries under any prefix, searched for once when a named one is missing."""

    def __init__(self, reading: Reading, family: Family) -> None:
        self._endpoint = reading.endpoint
        self.scan: Optional[Scan] = None
        candidates = Candidates(None)
        if not isinstance(reading.client.ask("SCAN", 0, "COUNT", 1), Refusal):
            self.scan = reading.scan([b"*:" + suffix for suffix in EVIDENCE], match=cover(MARKS))
            for names in self.scan:
                candidates.look(names)
        found = family.existing(candidates.all(), candidates)
        self._queues = {look.keys: library for look, library in found}

    def why_missing(self, queue: QueueFacts) -> str:
        """The sentence on one queue."""
        return explain_absence(queue, self._queues, self._endpoint, self.scan)


def explain_absence(
    queue: QueueFacts, there: dict[QueueKeys, Library], endpoint: Endpoint, scan: Optional[Scan]
) -> str:
    """Why a queue is taken for missing; C(there): the queues that were found, C(scan): the search, if there was one."""
    keys = " nor ".join(show(QueueKeys(queue.raw_prefix, queue.raw).key(suffix)) for suffix in EVIDENCE)
    title = TITLES[queue.system]
    parts = [f"Queue {queue.name!r} of {title} does not exist in {endpoint.place}: there is neither {keys}."]
    for each, library in there.items():
        if each.queue == queue.raw:
            parts.append(f"Queue {queue.name!r} of {library.label} is there with key prefix {show(each.prefix)!r}.")
    names = [show(each.queue) for each in there if each.prefix == queue.raw_prefix]
    others = {show(each.prefix) for each in there if each.prefix != queue.raw_prefix}
    if names:
        parts.append(f"Queues with key prefix {show(queue.raw_prefix)!r}: {listed(names)}.")
    if others:
        parts.append(f"There are queues with key prefix {listed(map(repr, others))}; set key_prefix.")
    if not there:
        seen = "" if scan is None else f" among {scan.keys_seen} keys"
        parts.append(f"No queue of Bull or BullMQ was found{seen}.")
    if scan is not None and not scan.complete:
        parts.append(f"The search is not complete: {scan.incomplete_reason()}.")
    return " ".join([*parts, endpoint.elsewhere()]).strip()


def absent(family: Family, queues: Sequence[bytes], system: str, prefix: bytes) -> list[QueueFacts]:
    """The named queues that neither library has, as one system's list keeps them."""
    known = {subject.look.keys.queue for subject in family.of(system)}
    return [
        QueueFacts(show(queue), system, show(prefix), raw=queue, raw_prefix=prefix, exists=False)
        for queue in queues
        if queue not in known
    ]
