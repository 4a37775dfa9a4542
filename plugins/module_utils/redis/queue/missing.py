# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named queues that are not there: an error that says where it was looked, never a queue of length 0."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader, Reading


def settle_missing(reading: Reading, readers: Sequence[QueueReader]) -> None:
    """Decide which of the named queues are missing; raises RunbookError if that is an error.

    A queue that one system has is not missing because another has none of that name. One that none has is kept with its
    reason and no figures, in the first system's list.
    """
    if not reading.request.queues:
        return
    _drop_found_elsewhere(readers)
    reasons: dict[bytes, list[str]] = {}
    for reader in readers:
        missing = [queue for queue in reader.facts.queues if not queue.exists]
        if not missing:
            continue
        explained = reader.why_missing(missing)
        for queue in missing:
            queue.exists = queue.raw not in explained
            if not queue.exists:
                reasons.setdefault(queue.raw, []).append(explained[queue.raw])
    # Looking closer may have found one after all.
    _drop_found_elsewhere(readers)
    kept = {queue.raw for reader in readers for queue in reader.facts.queues if not queue.exists}
    sentences = {raw: _sentence(reasons[raw]) for raw in reasons if raw in kept}
    if sentences and reading.request.missing == "error":
        raise RunbookError(" ".join(sentences.values()), endpoint=reading.endpoint.facts())
    told: set[bytes] = set()
    for reader in readers:
        queues = []
        for queue in reader.facts.queues:
            if queue.exists:
                queues.append(queue)
            elif queue.raw not in told:
                told.add(queue.raw)
                # Every figure unknown, none of them 0.
                queues.append(
                    QueueFacts(
                        queue.name,
                        queue.system,
                        queue.prefix,
                        queue.raw,
                        queue.raw_prefix,
                        exists=False,
                        reason=sentences[queue.raw],
                    )
                )
        reader.facts.queues = queues


def _drop_found_elsewhere(readers: Sequence[QueueReader]) -> None:
    found = {queue.raw for reader in readers for queue in reader.facts.queues if queue.exists}
    for reader in readers:
        reader.facts.queues = [queue for queue in reader.facts.queues if queue.exists or queue.raw not in found]


def _sentence(reasons: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(reasons))
