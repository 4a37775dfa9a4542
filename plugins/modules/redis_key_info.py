#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_key_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_key_info
version_added: 0.1.0
short_description: Read counters in Redis by key, count and sum keys by pattern, and see what fills the memory
description:
  - Reads quota and rate-limit counters and other numbers that applications keep in Redis.
  - All patterns are answered in one pass with C(SCAN), whose step adapts to how long the server was kept busy.
    C(KEYS) is never used.
  - A key that does not exist is null, not 0, unless O(keys[].missing=zero).
  - A server that is down or refuses the login is not a failure of the task.
    It is reported with RV(available) and RV(reason).
options:
  keys:
    description:
      - The questions, each about one key or one pattern.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - Name of the answer in RV(keys).
        type: str
        required: true
      key:
        description:
          - Name of one key. Either this or O(keys[].pattern).
        type: str
      pattern:
        description:
          - A pattern of names with C(*), C(?), C([…]) and C(\\), as the server understands it.
        type: str
      operation:
        description:
          - What to do. V(get) reads the number in a key, V(count) counts keys, V(sum) adds the numbers in the keys
            of a pattern, V(sample) looks at the type and time to live of some of them.
          - Without it a key is read and a pattern is counted.
        type: str
        choices: [get, count, sum, sample]
      missing:
        description:
          - What it means that the key does not exist, or that no key matches.
          - With V(unknown) its figures are null, so that rules judge it as unknown.
            With V(zero) they are 0, for counters that begin with the first event.
        type: str
        choices: [unknown, zero]
        default: unknown
      sample_size:
        description:
          - How many keys to look at with O(keys[].operation=sample).
        type: int
        default: 10
  groups:
    description:
      - Ask which groups of keys, by what their names begin with, fill the database, how many keys and bytes each of
        them has, and how many of them never expire. Without it nothing is grouped.
      - All keys are looked at if there are no more than O(groups.samples). Otherwise so many are drawn by chance, and
        every share of keys comes with the interval in which the true one lies in 95 of 100 cases.
        A large key that is the only one of its kind is easily missed by chance; raise O(groups.samples) to look at all.
      - Values are never read, only their type, size and time to live.
    type: dict
    version_added: 0.3.0
    suboptions:
      separator:
        description:
          - What separates the parts of a name.
        type: str
        default: ":"
      depth:
        description:
          - How many parts of a name make a group. The last part never does. Parts that are numbers, dates, UUIDs or
            hashes count as the same part, C(<id>).
        type: int
        default: 1
      samples:
        description:
          - How many keys to look at.
        type: int
        default: 20000
      max_seconds:
        description:
          - How many seconds to look at most. A sample that is cut short is still one; its intervals are wider.
        type: float
        default: 5.0
      top:
        description:
          - How many groups to return, those with most bytes first. The others are returned as one.
        type: int
        default: 20
      biggest:
        description:
          - How many of the largest keys that were looked at to return.
        type: int
        default: 10
      show_names:
        description:
          - Whether names of keys are returned, cut to 80 characters. Names can be secrets, such as the tokens of
            sessions.
        type: bool
        default: true
extends_documentation_fragment:
  - runbook.ops.redis
  - runbook.ops.redis.scan
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_redis
seealso:
  - module: runbook.ops.redis_health_info
  - module: runbook.ops.redis_queue_info
author:
  - The runbook.ops contributors (@runbook-ops)
"""

EXAMPLES = r"""
- name: How much of today's quota is used, and how hard the limiter works
  runbook.ops.redis_key_info:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    keys:
      - name: domeggook_today
        key: "domeggook:daily_calls:{{ ('' | runbook.ops.business_day('Asia/Seoul')).date }}"
      - name: naver_limiter
        pattern: "naver:ratelimit:*"
        operation: sum
        missing: zero
  register: counters

# A dictionary has a method of the name keys: write ['keys'], not .keys.
- name: Show what is left
  ansible.builtin.debug:
    msg: "{{ 15000 - counters['keys'].domeggook_today.value }} calls are left"

- name: Do cache keys expire?
  runbook.ops.redis_key_info:
    login_host: redis.internal
    max_seconds: 5
    keys:
      - name: cache
        pattern: "cache:*"
        operation: sample
        sample_size: 50

- name: What fills the memory
  runbook.ops.redis_key_info:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    groups:
      depth: 2
  register: memory

- name: Show the largest group
  ansible.builtin.debug:
    msg: "{{ memory.groups.entries[0].group }} has {{ memory.groups.entries[0].bytes_percent }} % of the bytes"
"""

RETURN = r"""
available:
  description: Whether the server answered.
  returned: always
  type: bool
reason:
  description: Why it is not available, and what to do next; null if it is.
  returned: always
  type: str
measured_at:
  description: When this was measured, ISO 8601 in UTC.
  returned: always
  type: str
  sample: "2026-01-31T00:15:00Z"
skipped_sections:
  description: What could not be read, with C(section) (the name of the question), C(reason) and C(remedy).
  returned: always
  type: list
  elements: dict
endpoint:
  description: Where this was looked for.
  returned: always
  type: dict
  contains:
    address:
      description: The server.
      type: str
    db:
      description: The database.
      type: int
    dbsize:
      description: How many keys it holds.
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
  description: What a reader must know about the server before believing the figures.
  returned: always
  type: list
  elements: str
keys:
  description:
    - The answers by name. Every answer has all the entries; those that do not apply, or are not known, are null.
  returned: always
  type: dict
  contains:
    key:
      description: The key that was asked for.
      type: str
    pattern:
      description: The pattern that was asked for.
      type: str
    operation:
      description: What was done.
      type: str
    exists:
      description: Whether the key exists, or any key matches.
      type: bool
    type:
      description: The key's type.
      type: str
    value:
      description: The number in the key.
      type: float
    length:
      description: Bytes of a string, or members of a list, hash, set, sorted set or stream.
      type: int
    ttl_seconds:
      description: How long the key will live; null if for ever.
      type: float
    count:
      description: How many keys there are. Null when the scan is not complete.
      type: int
    sum:
      description: Sum of the numbers in the matching keys. Null when the scan is not complete or a value is no number.
      type: float
    mean:
      description: Mean of these numbers.
      type: float
    min:
      description: The smallest of them.
      type: float
    max:
      description: The largest of them.
      type: float
    not_numeric_count:
      description: Matching keys without a number.
      type: int
    unreadable_count:
      description: Matching keys whose value could not be read.
      type: int
    sample:
      description: Some of the matching keys, with C(key), C(type) and C(ttl_seconds).
      type: list
      elements: dict
    without_ttl_count:
      description: Keys of the sample that live for ever.
      type: int
    min_ttl_seconds:
      description: The shortest time to live in the sample.
      type: float
    max_ttl_seconds:
      description: The longest time to live in the sample.
      type: float
    complete:
      description: Whether all keys were looked at.
      type: bool
    keys_seen:
      description: How many keys the server walked through.
      type: int
    note:
      description: Why a figure is missing.
      type: str
groups:
  description: Keys by what their names begin with. Null when O(groups) was not given.
  returned: always
  type: dict
  contains:
    exact:
      description: Whether every key was looked at. If not, the figures are estimates from a sample.
      type: bool
    dbsize:
      description: How many keys there are.
      type: int
    samples:
      description: How many were looked at.
      type: int
    bytes:
      description: Memory of all keys, with their names and what the server needs around them.
      type: int
    entries:
      description: The groups, those with most bytes first.
      type: list
      elements: dict
      contains:
        group:
          description: What the names begin with, and a star. V((no separator\)) for names of one part.
          type: str
          sample: "cache:*"
        keys:
          description: How many keys.
          type: int
        keys_low:
          description: With 95 % certainty there are no fewer.
          type: int
        keys_high:
          description: With 95 % certainty there are no more.
          type: int
        keys_percent:
          description: Of all keys.
          type: float
        bytes:
          description: Memory of its keys.
          type: int
        bytes_margin:
          description: >-
            Half the interval around RV(groups.entries[].bytes), 95 % certain, judged by how much the sizes in the
            sample differ. Too small when few keys hold most of the bytes and none of them was drawn. V(0) if exact.
          type: int
        bytes_percent:
          description: Of the bytes of all keys.
          type: float
        bytes_per_key:
          description: The mean size.
          type: int
        ttl_percent:
          description: How many of its keys have a time to live.
          type: float
        idle_median_seconds:
          description: >-
            Half of its keys have not been used for so long. Null where the server does not keep it (C(maxmemory-policy)
            with C(lfu)).
          type: int
        types:
          description: Keys of the sample by type.
          type: dict
        samples:
          description: How many of its keys were looked at.
          type: int
        biggest:
          description: Name of the largest key that was looked at. Null without O(groups.show_names).
          type: str
        biggest_bytes:
          description: Its size.
          type: int
    entries_count:
      description: How many groups were found.
      type: int
    others:
      description: The groups beyond O(groups.top) as one entry. Null if there are none.
      type: dict
    biggest:
      description: >-
        The largest keys that were looked at, by bytes, with C(key), C(group), C(type), C(bytes) and C(ttl_seconds).
        C(redis-cli --bigkeys) ranks by elements, which says little: a list of a thousand numbers is smaller than one
        string of a megabyte.
      type: list
      elements: dict
    unreadable_count:
      description: Keys that may not be looked at.
      type: int
    note:
      description: Why fewer keys were looked at than asked for.
      type: str
complete:
  description: Whether the scan for the patterns reached the end.
  returned: always
  type: bool
keys_seen:
  description: How many keys the server walked through, to be compared with RV(endpoint.dbsize).
  returned: always
  type: int
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.model import MISSING, OPERATIONS
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.report import key_report
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import budget_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **redis_argument_spec(),
            **budget_argument_spec(),
            "keys": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "no_log": False,
                "options": {
                    "name": {"type": "str", "required": True},
                    "key": {"type": "str", "no_log": False},
                    "pattern": {"type": "str"},
                    "operation": {"type": "str", "choices": list(OPERATIONS)},
                    "missing": {"type": "str", "choices": list(MISSING), "default": "unknown"},
                    "sample_size": {"type": "int", "default": 10},
                },
            },
            "groups": {
                "type": "dict",
                "options": {
                    "separator": {"type": "str", "default": ":"},
                    "depth": {"type": "int", "default": 1},
                    "samples": {"type": "int", "default": 20_000},
                    "max_seconds": {"type": "float", "default": 5.0},
                    "top": {"type": "int", "default": 20},
                    "biggest": {"type": "int", "default": 10},
                    "show_names": {"type": "bool", "default": True},
                },
            },
        },
        supports_check_mode=True,
    )
    try:
        result = key_report(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, measured_at=iso(utc_now()), **result)


if __name__ == "__main__":
    main()
