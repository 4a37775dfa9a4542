# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Bull and BullMQ name their keys: C(prefix:queue:suffix), and C(prefix:queue:<job id>). Pure."""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_PREFIX = b"bull"

# Keys of a queue itself. A job with one of these as its id overwrites them; Bull allows such ids.
STATE_LISTS = (b"wait", b"paused", b"active")
STATE_ZSETS = (b"completed", b"failed", b"delayed", b"prioritized", b"waiting-children")
SUFFIXES = frozenset(
    {*STATE_LISTS, *STATE_ZSETS, b"priority", b"pc", b"marker", b"stalled", b"stalled-check", b"meta", b"meta-paused"}
    | {b"id", b"limiter", b"repeat", b"events", b"metrics:completed", b"metrics:failed"}
    | {b"metrics:completed:data", b"metrics:failed:data", b"added", b"drained", b"resumed"}
)

# Every queue that was ever used has one of these: BullMQ writes meta, Bull counts ids.
EVIDENCE = (b"meta", b"id")


@dataclass(frozen=True)
class QueueKeys:
    """The keys of one queue."""

    prefix: bytes
    queue: bytes

    @property
    def base(self) -> bytes:
        """What every key begins with, the last colon included."""
        return self.prefix + b":" + self.queue + b":"

    def key(self, suffix: bytes | str) -> bytes:
        """A key of the queue, such as C(wait), or of a job by its id."""
        return self.base + (suffix.encode() if isinstance(suffix, str) else suffix)


def split_evidence(name: bytes, prefix: bytes | None = None) -> QueueKeys | None:
    """The queue whose C(meta) or C(id) key this may be; None for other keys.

    The suffix is what follows the last colon. A prefix ends at the first one, unless it is given, because Bull allows
    colons in queue names: C(bull:a:b:meta) is the queue C(a:b).
    """
    rest, separator, suffix = name.rpartition(b":")
    if not separator or suffix not in EVIDENCE:
        return None
    if prefix is None:
        prefix, separator, queue = rest.partition(b":")
    else:
        separator, queue = b":", rest[len(prefix) + 1 :]
        if not rest.startswith(prefix + b":"):
            return None
    return QueueKeys(prefix, queue) if separator and prefix and queue else None
