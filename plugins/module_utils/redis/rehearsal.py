# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the server would let us do all that is planned, without doing any of it.

Commands are queued in a transaction that is then thrown away (MULTI … DISCARD): the server checks names and the ACL
when a command is queued, so what it would refuse in the middle of the work is known before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import denied
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal, missing_permissions


def rehearse(client: RedisClient, commands: Sequence[Command]) -> None:
    """Raise Unavailable naming everything that is denied of these commands; they are not executed.

    Where transactions themselves are denied, and on a cluster, nothing is known, and the work must find out.
    """
    # Alone: were it refused, what follows would be executed.
    if not commands or client.is_cluster or isinstance(client.ask("MULTI"), Refusal):
        return
    replies = client.pipeline([*commands, ("DISCARD",)])[:-1]
    refused = [reply for reply in replies if isinstance(reply, Refusal) and denied(reply)]
    if any(refusal.permission for refusal in refused):
        raise Unavailable(missing_permissions(refused, client.where, client.user))
    unknown = sorted({refusal.command for refusal in refused if refusal.code == "UNKNOWN"})
    if unknown:
        raise Unavailable(f"The server at {client.where} does not offer {', '.join(unknown)}, which this needs.")
