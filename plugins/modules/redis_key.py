#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_key."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_key
short_description: Delete keys of Redis, or let them expire, and never a job queue's
version_added: 0.3.0
description:
  - Deletes the keys that match, or gives a time to live to those of them that have none. Keys of job queues are never
    touched, whatever the patterns say.
  - Nothing is done unless it is known what will be done. If more keys match than O(max_affected), if not all keys could
    be looked at, or if everything a pattern means is protected, the task fails and nothing was touched.
  - Looks at every key once more in the same step that changes it. One that has another type by then, has got a time to
    live, or is in use again, is left alone.
  - Takes small steps. Keys are found with C(SCAN), deleted with C(UNLINK), which frees memory in the background, and at
    most 500 at a time; a step that keeps the server busy for more than 5 ms is followed by one of half the size.
  - Works on a Redis Cluster too, where every key is a step of its own.
extends_documentation_fragment:
  - runbook.ops.redis
  - runbook.ops.redis.scan
  - runbook.ops.guards
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_redis
attributes:
  check_mode:
    support: full
    details:
      - Gives the same RV(actions), and sends no command that writes.
  diff_mode:
    support: full
options:
  state:
    description:
      - With V(absent) the keys are deleted.
      - With V(expiring) those without a time to live are given O(ttl). Those that have one keep it.
    type: str
    choices: [absent, expiring]
    required: true
  keys:
    description:
      - Names of keys, taken as they are. Names that hold C(*), C(?), C([) or C(\\) belong here.
    type: list
    elements: str
    default: []
  pattern:
    description:
      - Patterns of names with C(*), C(?) and C([…]), as the server understands them. A backslash before one of these
        takes it as it is. V(cache*) also means C(cachet:1); write V(cache:*).
      - A pattern must spell out at least one letter or digit; V(*) alone is not accepted.
    type: list
    elements: str
    default: []
  type:
    description:
      - Only keys of these types. Any, if empty.
    type: list
    elements: str
    choices: [string, list, set, zset, hash, stream]
    default: []
  min_idle:
    description:
      - Only keys that nobody has read or written for so long, such as V(7d).
      - The server does not keep these times with a C(maxmemory-policy) of C(allkeys-lfu) or C(volatile-lfu); the task
        fails there. A replica's readers do not count.
    type: str
  ttl:
    description:
      - The time to live with O(state=expiring), such as V(1h) or V(7d).
    type: str
  ttl_spread:
    description:
      - Each key lives for O(ttl) and up to so many percent longer. A cache whose keys all expire in the same second is
        filled again in the same second, by everybody at once.
    type: int
    default: 10
  max_affected:
    description:
      - How many keys may be changed. If there are more, the task fails and nothing is touched.
    type: int
    default: 1000
  limit:
    description:
      - Change only so many of the keys, those that the server names first, and let the next run go on. There may be any
        number of others then, and the scan need not reach the end.
    type: int
  protect:
    description:
      - Patterns of names that are never touched, beside those that never are anyway.
    type: list
    elements: str
    default: []
  show_names:
    description:
      - Whether RV(actions) show examples of names. Names can be secrets, such as the tokens of sessions; they are not
        shown without it.
    type: bool
    default: false
notes:
  - Always protected is everything below a queue of Bull or BullMQ under any prefix, recognised by C(meta) and C(id)
    of the types the libraries give them; Celery's queues, binding tables and unacknowledged messages;
    and the keys of Sidekiq, RQ, Resque, Dramatiq, arq and Laravel. Jobs are removed with M(runbook.ops.redis_queue).
  - Results of Celery's tasks are touched only when a pattern spells out C(celery-task-meta-).
  - Deleting a cache makes everybody fill it again at once. O(state=expiring) with O(ttl_spread) is the gentler way.
  - Needs, besides what it reads with, the permissions C(+multi +discard +eval +evalsha) and C(+unlink) or C(+pexpire)
    for the keys.
seealso:
  - module: runbook.ops.redis_key_info
author:
  - The runbook.ops contributors (@runbook-ops)
"""

EXAMPLES = r"""
- name: Let cache keys expire that would stay for ever
  runbook.ops.redis_key:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    state: expiring
    pattern: ["cache:*"]
    ttl: 1h
    ttl_spread: 20
    max_affected: 50000

- name: What would go, before it goes
  runbook.ops.redis_key:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    state: absent
    pattern: ["cache:product:*"]
    type: [string]
    max_affected: 20000
  check_mode: true
  register: plan

- name: Delete carts that nobody has touched for a month, a thousand a night
  runbook.ops.redis_key:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    state: absent
    pattern: ["cart:*"]
    min_idle: 30d
    limit: 1000
    window: ["01:00-05:00"]
    timezone: Asia/Seoul

- name: Delete one key whose name looks like a pattern
  runbook.ops.redis_key:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    state: absent
    keys: ["report:[draft]*"]
"""

RETURN = r"""
actions:
  description:
    - What is done, one entry for the keys of a pattern that begin alike. The same in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(unlink) or V(expire).
      type: str
    pattern:
      description: The pattern, or the name, of the task.
      type: str
    group:
      description: >-
        What the names begin with, up to the first colon, where that is a word; else the pattern. More of a name is not
        shown.
      type: str
      sample: "cache:"
    count:
      description: How many keys.
      type: int
    bytes:
      description: Memory they take, from a hundred of them. V(null) if that could not be measured.
      type: int
    bytes_exact:
      description: Whether all of them were measured.
      type: bool
    examples:
      description: Up to five of their names. Empty without O(show_names).
      type: list
      elements: str
protected:
  description: Keys that match and are never touched.
  returned: success
  type: list
  elements: dict
  contains:
    pattern:
      description: The pattern, or the name, of the task.
      type: str
    group:
      description: What the names begin with.
      type: str
    count:
      description: How many keys.
      type: int
    reason:
      description: Why they are protected.
      type: str
      sample: it belongs to the BullMQ 5.81.5 queue shop:mail
refused:
  description: Keys that match and could not be looked at. By default the task fails over it, see O(on_refusal).
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The pattern.
      type: str
    reason:
      description: Why they could not be looked at.
      type: str
    remedy:
      description: What to do, such as the missing permission.
      type: str
before:
  description: The keys that match and are not protected.
  returned: success
  type: dict
  contains: &figures
    matching:
      description: How many there are. V(null) when not all keys could be looked at.
      type: int
    without_ttl:
      description: How many of them live for ever.
      type: int
    due:
      description: How many of them are to be changed.
      type: int
after:
  description: The same, counted again afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
freed_bytes:
  description: Memory of the keys that are deleted, estimated. V(0) with O(state=expiring).
  returned: success
  type: int
outcomes:
  description: How many keys the run has changed. All are 0 in check mode.
  returned: success
  type: dict
  contains:
    done:
      description: Deleted, or given a time to live.
      type: int
    gone:
      description: Had ended by themselves.
      type: int
    changed:
      description: Had become something else since they were found, and were left alone.
      type: int
slowest_step_seconds:
  description: The longest step, as seen from here.
  returned: when keys were changed
  type: float
complete:
  description: Whether all keys were looked at.
  returned: success
  type: bool
keys_seen:
  description: How many keys the server walked through, to be compared with RV(endpoint.dbsize).
  returned: success
  type: int
endpoint:
  description: Where this was done.
  returned: success
  type: dict
  contains:
    address:
      description: The server.
      type: str
    db:
      description: The database.
      type: int
    dbsize:
      description: How many keys it held at the beginning.
      type: int
    databases:
      description: Databases of the server that hold keys, with C(db) and C(keys).
      type: list
      elements: dict
    version:
      description: The server's version.
      type: str
    role:
      description: V(master) or V(replica).
      type: str
notes:
  description: What a reader must know about the server, such as that the database is empty and others are not.
  returned: success
  type: list
  elements: str
skipped_sections:
  description: What could not be measured, with C(section), C(reason) and C(remedy).
  returned: success
  type: list
  elements: dict
diff:
  description: The groups of keys, one a line, before and after.
  returned: success
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import STATES, TYPES
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.run import change_keys
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import budget_argument_spec


def argument_spec() -> dict[str, Any]:
    texts = {"type": "list", "elements": "str", "default": []}
    return {
        **redis_argument_spec(),
        **budget_argument_spec(),
        **guard_argument_spec(),
        "state": {"type": "str", "required": True, "choices": list(STATES)},
        "keys": {**texts, "no_log": False},
        "pattern": dict(texts),
        "type": {**texts, "choices": list(TYPES)},
        "min_idle": {"type": "str"},
        "ttl": {"type": "str"},
        "ttl_spread": {"type": "int", "default": 10},
        "max_affected": {"type": "int", "default": 1000},
        "limit": {"type": "int"},
        "protect": dict(texts),
        "show_names": {"type": "bool", "default": False},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        result = change_keys(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
