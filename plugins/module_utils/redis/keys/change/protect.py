# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that belong to job queues by themselves, whatever the server holds. Pure.

A pattern that was meant for a cache must never take a queue: not its jobs, not its locks, not its counters. Names that
say so themselves are here; those that do so only beside other keys are looked for in C(evidence.py).
"""

from __future__ import annotations

import re
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import Pattern, literal

# Kombu's and Celery's keys carry the application's global_keyprefix, which is any text.
_OWN_NAMES: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("Bull and BullMQ keep their queues under it", re.compile(rb"(?:bull|\{bull[^}]*\}):.*", re.DOTALL)),
    ("Celery's binding tables say which queues there are", re.compile(rb".*_kombu\.binding.*", re.DOTALL)),
    (
        "Celery keeps the messages in it that workers have taken and not finished",
        re.compile(rb"(?:.*[^A-Za-z0-9])?unacked(?:_index|_mutex)?", re.DOTALL),
    ),
    ("Celery's remote control answers in it", re.compile(rb".*\.pidbox", re.DOTALL)),
    ("RQ keeps its queues and jobs under it", re.compile(rb"rq:.*", re.DOTALL)),
    ("Resque keeps its queues under it", re.compile(rb"resque:.*", re.DOTALL)),
    ("Dramatiq keeps its queues under it", re.compile(rb"dramatiq:.*", re.DOTALL)),
    ("arq keeps its queues and jobs under it", re.compile(rb"arq:.*", re.DOTALL)),
    ("Laravel keeps its queues under it", re.compile(rb"(?:.*_)?queues:.+", re.DOTALL)),
)

# Nearly every key has none of these in its name; one look tells.
_ANY_OWN_NAME = re.compile(b"|".join(b"(?:%s)" % names.pattern for _reason, names in _OWN_NAMES), re.DOTALL)

# Results are no jobs, but somebody may still be waiting for them: whoever wants to delete them spells it out.
_RESULT = re.compile(rb".*celery-task(?:set)?-meta-.*", re.DOTALL)
_RESULT_WORDS = (b"celery-task-meta-", b"celery-taskset-meta-")

# Sidekiq's names are everybody's words. They are its own when the set of its queues stands beside them.
_SIDEKIQ = re.compile(
    rb"(?P<space>(?:.+:)?)(?:queue:.+|queues|retry|schedule|dead|stat:.+|processes|paused|workers|[^:]+:\d+:[0-9a-f]+(?::work)?)",
    re.DOTALL,
)

MOST_ANCESTORS = 8


def own_reason(name: bytes, pattern: Pattern) -> Optional[str]:
    """Why a key is protected by its name alone; None if it is not. C(pattern) is the one that it matches."""
    if _ANY_OWN_NAME.fullmatch(name):
        return next(reason for reason, names in _OWN_NAMES if names.fullmatch(name))
    if _RESULT.fullmatch(name) and not any(word in literal(pattern.text) for word in _RESULT_WORDS):
        return "Celery keeps a task's result in it; to delete results, spell celery-task-meta- out in the pattern"
    return None


def wished_reason(name: bytes, protect: tuple[Pattern, ...]) -> Optional[str]:
    """Why a key is protected by the task itself."""
    return next((f"protect names it: {pattern.label}" for pattern in protect if pattern.matches(name)), None)


def sidekiq_table(name: bytes) -> Optional[bytes]:
    """The key that holds the set of Sidekiq's queues, if this name could be one of Sidekiq's."""
    found = _SIDEKIQ.fullmatch(name)
    return found["space"] + b"queues" if found else None


def ancestors(name: bytes) -> list[tuple[bytes, bytes]]:
    """The queues of Bull or BullMQ that this key could belong to, as prefix and queue.

    Names are C(prefix:queue:suffix), and both the queue's name and what follows it may hold colons (Bull allows them).
    """
    parts = name.split(b":")
    most = min(len(parts) - 1, MOST_ANCESTORS + 1)
    return [(parts[0], b":".join(parts[1:end])) for end in range(2, most + 1)]
