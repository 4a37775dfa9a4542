# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lua scripts: what must happen to several keys at once, or not at all.

A script is atomic towards other clients, but it is not rolled back: what it did before an error stays done. So every
script looks at all its keys first, and writes only when nothing can go wrong any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal


class OutcomeUnknown(RunbookError):
    """The connection broke after a script was sent: whether it ran is not known, so it is not sent again."""


class Script:
    """A Lua script, sent as its hash once the server knows it (EVALSHA), and in full when it does not (EVAL).

    The server forgets scripts when it restarts or fails over; its answer is then NOSCRIPT, and nothing was run.
    """

    def __init__(self, name: str, source: str) -> None:
        """C(name) is for messages: what the script does, such as C(retry)."""
        self.name = name
        self.source = source.strip()
        self.sha1 = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: RedisClient, keys: Sequence[Any], arguments: Sequence[Any] = ()) -> Any:
        """The script's reply; raises CommandRefused, or OutcomeUnknown when the connection breaks meanwhile."""
        try:
            reply = client.ask("EVALSHA", self.sha1, len(keys), *keys, *arguments)
            if isinstance(reply, Refusal) and reply.code == "NOSCRIPT":
                reply = client.ask("EVAL", self.source, len(keys), *keys, *arguments)
        except Unavailable as error:
            raise OutcomeUnknown(
                f"{error.message} Whether the last step ({self.name}) was carried out is not known; it was not sent "
                "again. Run the task again: it looks at what is there."
            ) from None
        if isinstance(reply, Refusal):
            raise CommandRefused(reply)
        return reply
