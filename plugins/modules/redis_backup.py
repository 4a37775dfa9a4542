#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup
short_description: Back up Redis, and prove the backup by loading it
version_added: 0.3.0
description:
  - Takes a snapshot with C(BGSAVE), never with C(SAVE), which would stop the server meanwhile. Waits until the snapshot
    is proven to be finished and to be this one, and copies it with its SHA-256 under a temporary name.
  - Proves the copy before it gets its name. C(redis-check-rdb) reads it to its end, a scratch server without a port
    loads a copy of it, and the keys of every database and the jobs of every queue in every state are compared with what
    the live server had in the moment of the snapshot. What fails the proof is not kept.
  - Writes C(<name>-<moment>.rdb) and beside it C(<name>-<moment>.rdb.manifest.json), each atomically and for its owner
    only. A file without a manifest is not a backup.
  - With O(bucket), uploads both and asks the store for their size and checksum afterwards.
  - Refuses, before anything is touched, where a disk has not enough room, where the snapshot's child could cost the
    server its memory, and where the proof would not fit into this host's.
  - Every run takes a new backup, unless O(max_age) says that the last verified one is young enough. How many are kept
    is not decided here.
  - Runs where the server's data directory can be read, or, with O(method=stream), anywhere.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_redis
  - runbook.ops.guards
  - runbook.ops.redis
  - runbook.ops.redis_proof
  - runbook.ops.object_store.s3
attributes:
  check_mode:
    support: full
    details:
      - Nothing is saved and nothing is written. RV(actions) are those that the run carries out, and what would be
        refused is refused.
  diff_mode:
    support: full
options:
  name:
    description:
      - What the backups are called, such as V(storebridge). Letters, digits, dots, dashes and underscores.
    type: str
    required: true
  dest:
    description:
      - The directory that the backups are kept in. It is made for its owner only, if it is not there.
    type: path
    required: true
  method:
    description:
      - With V(file), the server saves to its own data directory, which must be readable here.
      - With V(stream), the server sends the snapshot over the connection as it does to a new replica (C(SYNC)),
        straight into the backup's file. Managed services do not offer that.
    type: str
    choices: [file, stream]
    default: file
  data_directory:
    description:
      - Where the server's data directory is on this host, when that is not where the server says it is, because it
        lives in a container. Without it the server is asked.
    type: path
  dbfilename:
    description:
      - The name of the dump in it. Without it the server is asked.
    type: str
  verify:
    description:
      - Whether the backup is proven. Without proof its manifest says so, M(runbook.ops.redis_backup_verify) can do it
        later and elsewhere, and O(max_age) does not count it.
    type: bool
    default: true
  max_age:
    description:
      - Take no backup when the newest verified one in O(dest) is not older than this, such as V(50m).
    type: str
  save_timeout:
    description:
      - Seconds for the server's snapshot, waiting for other saves included.
    type: float
    default: 3600.0
  copy_on_write_percent:
    description:
      - How much of the server's memory must be free for what is written to while the snapshot is taken, in percent of
        what the server uses. V(100) is the worst case. On another host the server's own figures are used.
    type: float
    default: 50.0
  bucket:
    description:
      - A bucket to upload the backup to, too.
    type: str
  prefix:
    description:
      - What the names of the objects begin with, such as V(redis/). Only together with O(bucket).
    type: str
    default: ""
seealso:
  - module: runbook.ops.redis_backup_verify
  - module: runbook.ops.redis_restore
  - module: runbook.ops.backup_info
    description: Its name_pattern for these backups is C(<name>-%Y%m%dT%H%M%SZ.rdb).
"""

EXAMPLES = r"""
- name: Back up the Redis of the shop, on its host
  runbook.ops.redis_backup:
    login_password: "{{ redis_login_password }}"
    name: storebridge
    dest: /var/backups/redis

- name: Back it up from elsewhere, unless there is a backup of the last hour, and keep a copy in a bucket
  runbook.ops.redis_backup:
    login_host: redis.internal
    login_password: "{{ redis_login_password }}"
    method: stream
    name: storebridge
    dest: /var/backups/redis
    max_age: 1h
    bucket: storebridge-backups
    prefix: redis/

- name: Back up a Redis in a container, whose data directory is a volume of this host
  runbook.ops.redis_backup:
    login_password: "{{ redis_login_password }}"
    data_directory: /var/lib/docker/volumes/storebridge_redis/_data
    name: storebridge
    dest: /var/backups/redis
"""

RETURN = r"""
actions:
  description: What is done, in this order; the same in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(save), V(copy), V(verify) or V(upload).
      type: str
    object:
      description: The server, or the backup without its moment.
      type: str
    statement:
      description: The command that the server is sent.
      type: str
    reason:
      description: What it consists of.
      type: str
refused:
  description: Always empty; what is refused fails the task, because there is only one thing to do.
  returned: success
  type: list
  elements: dict
before:
  description: The newest backup of this name before.
  returned: success
  type: dict
  contains: &newest
    path:
      description: Its file; null if there is none.
      type: str
    taken_at:
      description: When its snapshot was taken, ISO 8601 in UTC.
      type: str
    verdict:
      description: What its manifest says.
      type: str
    bytes:
      description: Its size.
      type: int
after:
  description: The newest backup afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *newest
backup:
  description: The new backup, as its manifest has it. V(null) if none was taken, and in check mode.
  returned: success
  type: dict
  contains:
    path:
      description: Its file.
      type: str
    manifest:
      description: The file of its manifest.
      type: str
    name:
      description: Its name.
      type: str
    taken_at:
      description: When its snapshot was taken, by the server's clock, ISO 8601 in UTC.
      type: str
    counted_at:
      description: The moment against which jobs for later were told from those for now.
      type: str
    bytes:
      description: Its size.
      type: int
    sha256:
      description: Its SHA-256.
      type: str
    method:
      description: V(file) or V(stream).
      type: str
    address:
      description: The server.
      type: str
    version:
      description: The server's version.
      type: str
    role:
      description: V(master) or V(replica).
      type: str
    append_only:
      description: Whether the server keeps an append-only file.
      type: bool
    used_memory_bytes:
      description: The server's memory.
      type: int
    databases:
      description:
        - The databases, with C(db), C(keys) as [least, most] and C(expires), the keys with a time to live. Least and
          most are equal once the backup was loaded.
      type: list
      elements: dict
    queues:
      description: The queues, with C(db), C(system), C(prefix), C(name) and C(states), jobs by state as [least, most].
        V(null) without O(queue_counts).
      type: list
      elements: dict
    objects:
      description: The uploaded objects, with C(address), C(bytes) and C(version_id).
      type: list
      elements: dict
    verification:
      description: How it was proven.
      type: dict
      contains: &verification
        verdict:
          description: V(verified), V(failed), or V(error) if that could not be told.
          type: str
        level:
          description: The last level that was reached.
          type: str
        wanted_level:
          description: The level that makes it verified.
          type: str
        reason:
          description: Why it is not verified; null if it is.
          type: str
        levels:
          description: Each with C(level), C(outcome), V(passed), V(skipped), V(failed) or V(error), and C(detail).
          type: list
          elements: dict
        notes:
          description: What the proof cannot see.
          type: list
          elements: str
verification:
  description: How far the proof came.
  returned: when a backup was taken and could not be proven
  type: dict
  contains: *verification
notes:
  description: What a reader must know.
  returned: success
  type: list
  elements: str
diff:
  description: The newest backup before and after.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.request import backup_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.run import take_backup
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.verify import workshop_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **redis_argument_spec(),
            **guard_argument_spec(),
            **workshop_argument_spec(),
            **backup_argument_spec(),
        },
        supports_check_mode=True,
    )
    try:
        result = take_backup(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
