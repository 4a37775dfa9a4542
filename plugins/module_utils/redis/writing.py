# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be so before anything is written: the right server, every permission, room in memory. Nothing is written.

The commands are rehearsed in a transaction that is thrown away. The server looks at each as it is queued, at the
permission for the command and its keys, at its role, its memory and its disk, and executes none of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient, show
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint, denied
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal, classify, missing_permissions

BEGIN: Command = ("MULTI",)
ABANDON: Command = ("DISCARD",)
_ELSEWHERE = frozenset({"MOVED", "ASK", "TRYAGAIN"})

# Why a server takes no writes now, by the first word of its answer.
_NO_WRITES = {
    "OOM": (
        "has reached maxmemory and evicts nothing, so it takes no writes",
        "Free memory or raise maxmemory, then run the task again.",
    ),
    "READONLY": ("is a replica and takes no writes", "Connect to its master."),
    "MISCONF": (
        "takes no writes because it could not save its data to disk",
        "Look at its log and the space on its disk, then run the task again.",
    ),
    "NOREPLICAS": (
        "takes no writes because it has fewer good replicas than min-replicas-to-write",
        "Repair the replication, then run the task again.",
    ),
}


def require_master(endpoint: Endpoint) -> None:
    """Raise Refused for a replica, naming its master; what is written to one is lost, where it is possible at all."""
    if endpoint.role != "replica":
        return
    info = endpoint.info
    master = f"{info.get('master_host', '?')}:{info.get('master_port', '?')}"
    raise Refused(f"{endpoint.where} is a replica; nothing is changed there. Connect to its master, {master}.")


def rehearse(client: RedisClient, commands: Sequence[Command], *, frees: bool = False) -> None:
    """Ask whether the server would carry out these commands, without carrying out any.

    C(frees): they need no memory, so a full server carries them out, although in a transaction it would not.

    Raises:
        Unavailable: permissions are missing, all of them named at once, or the server does not offer a command.
        Refused: the server takes no writes now.

    """
    refusals = _rehearse_everywhere(client, commands)
    if any(refusal.code in ("NOPERM", "UNKNOWN") for refusal in refusals):
        raise _denied(client, refusals)
    for refusal in refusals:
        if frees and refusal.code == "OOM":
            continue
        raise no_writes(client.where, refusal)


def denied_writes(client: RedisClient, commands: Sequence[Command]) -> list[Refusal]:
    """What the ACL denies, or the server does not offer, of these commands; they are not carried out.

    For C(survey), so that what is missing for looking and for changing is named at once.
    """
    return [refusal for refusal in _rehearse_everywhere(client, commands) if denied(refusal)] if commands else []


def _rehearse_everywhere(client: RedisClient, commands: Sequence[Command]) -> list[Refusal]:
    refusals: list[Refusal] = []
    # Each primary of a cluster has an ACL, and memory, of its own.
    for node in client.nodes():
        refusals += [each for each in _rehearse(node, commands) if each not in refusals]
    return refusals


def _rehearse(node: RedisClient, commands: Sequence[Command]) -> list[Refusal]:
    begun = node.ask(*BEGIN)
    if isinstance(begun, Refusal):
        # Whatever followed would be carried out.
        return [begun, Refusal("DISCARD", begun.code, begun.text)]
    replies = [*node.pipeline(commands), node.ask(*ABANDON)]
    refusals = [reply for reply in replies if isinstance(reply, Refusal)]
    # The keys are another primary's; what the ACL says comes first.
    return [refusal for refusal in refusals if refusal.code not in _ELSEWHERE]


def no_writes(where: str, refusal: Refusal) -> Refused:
    """The refusal of a server that takes no writes, in words; nothing was changed by the refused command."""
    reason, remedy = _NO_WRITES.get(
        refusal.code, (f"refuses to write: {refusal.code} {refusal.text}".rstrip(), "Look at the server's log.")
    )
    return Refused(f"Redis at {where} {reason}. {remedy}")


def script_stopped(where: str, message: bytes) -> Refused:
    """The same for what the first writing command of a script was answered (redis.pcall), before it changed anything.

    Redis before 7 puts the script's line before the answer: C(@user_script: 126: -OOM command not allowed…).
    """
    said = re.sub(r"^@\S+: \d+: ", "", show(message)).lstrip("-")
    return no_writes(where, classify("EVAL", "", said))


def _denied(client: RedisClient, refusals: Sequence[Refusal]) -> Unavailable:
    permissions = [refusal for refusal in refusals if refusal.permission]
    if permissions:
        return Unavailable(missing_permissions(permissions, client.where, client.user))
    unknown = sorted({refusal.command for refusal in refusals if refusal.code == "UNKNOWN"})
    return Unavailable(f"The server at {client.where} does not offer {', '.join(unknown)}, which this needs.")
