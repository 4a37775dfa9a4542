# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a batch of keys at once, on the server.

Between the plan and now a key may have been written anew: it may have another type, have got a time to live, or be in
use again. The script looks once more and changes only what is still as it was planned. Looking and changing cannot be
told apart by anybody else, so no live key is lost to a race. The commands it writes with cannot fail half-way: neither
needs memory, and neither depends on the key's type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.plan import Key
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import ABSENT, KeyRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.script import Script

DONE, GONE, CHANGED = "done", "gone", "changed"
_WORDS = {1: DONE, 0: GONE, 2: CHANGED}

# ARGV: the action, the least idle time or -1, then for every key its type and its new time to live in milliseconds.
_CHANGE = Script(
    "change keys",
    """
local action, idle = ARGV[1], tonumber(ARGV[2])
local verdicts = {}
for number, key in ipairs(KEYS) do
  local kind, verdict = redis.call('TYPE', key).ok, 1
  if kind == 'none' then
    verdict = 0
  elseif kind ~= ARGV[2 * number + 1] then
    verdict = 2
  elseif action == 'expiring' and redis.call('PTTL', key) ~= -1 then
    verdict = 2
  elseif idle >= 0 and redis.call('OBJECT', 'IDLETIME', key) < idle then
    verdict = 2
  end
  verdicts[number] = verdict
end
for number, key in ipairs(KEYS) do
  if verdicts[number] == 1 then
    if action == 'absent' then
      redis.call('UNLINK', key)
    else
      redis.call('PEXPIRE', key, ARGV[2 * number + 2])
    end
  end
end
return verdicts
""",
)


def change(client: RedisClient, keys: Sequence[Key], request: KeyRequest, *, one_by_one: bool) -> list[str]:
    """What became of each key: C(done), C(gone), or C(changed) in the meantime and left alone.

    C(one_by_one) is for a cluster, where one script may only touch keys of one slot: every key is a script of its own,
    and all are sent together. Raises CommandRefused, or OutcomeUnknown when the connection breaks meanwhile.
    """
    head = [request.state, request.min_idle or -1]
    if one_by_one:
        commands = [("EVAL", _CHANGE.source, 1, key.name, *head, *_arguments(key, request)) for key in keys]
        replies = client.pipeline(commands)
        for reply in replies:
            if isinstance(reply, Refusal):
                raise CommandRefused(reply)
        return [_WORDS[reply[0]] for reply in replies]
    arguments = [word for key in keys for word in _arguments(key, request)]
    return [_WORDS[verdict] for verdict in _CHANGE.run(client, [key.name for key in keys], [*head, *arguments])]


def _arguments(key: Key, request: KeyRequest) -> list[Any]:
    return [key.kind, 0 if request.state == ABSENT else request.ttl_milliseconds(key.name)]
