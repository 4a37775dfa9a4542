# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which queue systems a login may read, where nobody said which there are."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import denied
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.reading import QueueReader
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.request import QueueRequest

Readers = Sequence[type[QueueReader]]


def permitted(client: RedisClient, readers: Readers, request: QueueRequest) -> tuple[Readers, list[dict[str, str]]]:
    """The systems that this login may read, and an entry for C(skipped_sections) for each of the others.

    A login that was made for one system should not need the commands of all. Where it may read none of them, all are
    given back: the preflight then names everything that is missing.
    """
    commands = list(dict.fromkeys(command for reader in readers for command in reader.needed(request)))
    replies = client.pipeline(commands, tolerant=True)
    refusals = {
        command: reply for command, reply in zip(commands, replies) if isinstance(reply, Refusal) and denied(reply)
    }
    chosen = [reader for reader in readers if not refusals.keys() & set(reader.needed(request))]
    if not chosen:
        return readers, []
    return chosen, [
        _entry(reader, [refusals[command] for command in reader.needed(request) if command in refusals], client.user)
        for reader in readers
        if reader not in chosen
    ]


def _entry(reader: type[QueueReader], refusals: Sequence[Refusal], user: str) -> dict[str, str]:
    permissions = sorted({refusal.permission for refusal in refusals if refusal.permission})
    lacking = " ".join(permissions) or ", ".join(sorted({refusal.command for refusal in refusals}))
    grant = f"Grant it: ACL SETUSER {user} {lacking}; or" if permissions else "If there are none,"
    return {
        "section": "systems",
        "reason": f"{reader.title} was not looked for: {lacking} is missing",
        "remedy": f"{grant} name the systems that there are (option system).",
    }
