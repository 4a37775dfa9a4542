# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which keys of a scan may belong to a queue of Bull or BullMQ. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import plural
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import show
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import (
    DEFAULT_PREFIX,
    QueueKeys,
    split_evidence,
)

# Beginnings that nobody but the libraries uses; the second one is for clusters.
OWN_PREFIXES = (DEFAULT_PREFIX, b"{bull}")
# Applications use names such as user:17:id, too. So many of them are looked at, by prefix and altogether.
MOST_BY_PREFIX = 1000
MOST_FOREIGN = 5000


class Candidates:
    """Queues by the C(meta) and C(id) keys that a scan showed, each once; memory is bounded for foreign keys."""

    def __init__(self, prefix: Optional[bytes]) -> None:
        """C(prefix): only queues with this one; None for any."""
        self._prefix = prefix
        self._own: set[QueueKeys] = set()
        self._foreign: dict[bytes, set[QueueKeys]] = {}
        self._foreign_count = 0
        self._left_out: dict[bytes, int] = {}

    def look(self, names: Sequence[bytes]) -> None:
        """Add what these keys tell; keys of others are passed over."""
        for name in names:
            keys = split_evidence(name, self._prefix)
            if keys is None:
                continue
            if self.is_own(keys):
                self._own.add(keys)
            else:
                self._add_foreign(keys)

    def is_own(self, keys: QueueKeys) -> bool:
        """Whether the prefix alone says that it is a queue: the libraries' own one, or the one that was asked for."""
        return keys.prefix in ((self._prefix,) if self._prefix is not None else OWN_PREFIXES)

    def _add_foreign(self, keys: QueueKeys) -> None:
        known = self._foreign.setdefault(keys.prefix, set()) if self._foreign_count < MOST_FOREIGN else set()
        if keys in self._foreign.get(keys.prefix, ()):
            return
        if self._foreign_count >= MOST_FOREIGN or len(known) >= MOST_BY_PREFIX:
            place = keys.prefix if keys.prefix in self._foreign else b"*"
            self._left_out[place] = self._left_out.get(place, 0) + 1
            return
        known.add(keys)
        self._foreign_count += 1

    def all(self) -> list[QueueKeys]:
        """The candidates in order of their names."""
        every = self._own.union(*self._foreign.values())
        return sorted(every, key=lambda keys: (keys.prefix, keys.queue))

    def notes(self) -> list[str]:
        """What was not looked at any more."""
        return [
            f"{plural(count, 'more key')} like {show(prefix)}:*:id or {show(prefix)}:*:meta not taken for queues "
            "without a look; if they are Bull's, set key_prefix"
            for prefix, count in sorted(self._left_out.items())
        ]
