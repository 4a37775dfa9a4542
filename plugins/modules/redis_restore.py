#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_restore."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_restore
short_description: Put a proven Redis backup in place of a stopped server's data, append-only file included
version_added: 0.3.0
description:
  - Runs on the server's host while the server is stopped. After it, the server starts as always, with its own
    configuration, and holds what the backup holds.
  - A server with C(appendonly yes) reads its append-only file and nothing else. A dump that is only copied there is
    ignored, and with the append-only file removed the server starts empty, both without an error. So where the server
    has one, it is made from the backup by a server of our own in a directory beside the data, and loaded once as the
    server is going to load it, before anything is touched.
  - The backup is proven first, as M(runbook.ops.redis_backup_verify) does. One that is not verified is refused.
  - Refuses while anything answers at the server's address, while its process runs or works in the data directory, and
    for a server that is configured as a replica, which would throw the restored data away.
  - Nothing is ever deleted. What was there is renamed to C(<name>.before-<moment>). All changes to the data directory
    are renames, and when one fails, those before it are taken back.
  - Running it again before the server has written anything changes nothing.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_redis
  - runbook.ops.guards
  - runbook.ops.redis
  - runbook.ops.redis_proof
attributes:
  check_mode:
    support: full
    details:
      - The backup is proven, in O(scratch_directory), and nothing is written to the data directory. RV(actions) are
        those that the run carries out.
  diff_mode:
    support: full
options:
  path:
    description:
      - The backup. Either this, or O(directory) and O(name).
    type: path
  directory:
    description:
      - A directory of backups, of which the newest of O(name) is taken.
    type: path
  name:
    description:
      - The name that the backups were taken under.
    type: str
  manifest:
    description:
      - The manifest, when it is not beside the backup.
    type: path
  level:
    description:
      - How far the backup must be proven, see M(runbook.ops.redis_backup_verify). V(loads) for a dump without a
        manifest.
    type: str
    choices: [format, bytes, check, loads, counts, queues]
    default: queues
  config_file:
    description:
      - The server's configuration (C(redis.conf)), which says where its data is and whether it has an append-only file.
        It is only read.
    type: path
  data_directory:
    description:
      - The server's data directory, when O(config_file) does not say it or says where it is within a container.
    type: path
  dbfilename:
    description:
      - The name of the dump. Without it O(config_file) says it, else V(dump.rdb).
    type: str
  appendonly:
    description:
      - Whether the server starts with an append-only file. Without it O(config_file) says it.
    type: bool
  appendfilename:
    description:
      - The name of the append-only file. Without it O(config_file) says it, else V(appendonly.aof).
    type: str
  appenddirname:
    description:
      - The name of its directory, from Redis 7 on. Without it O(config_file) says it, else V(appendonlydir).
    type: str
  pidfile:
    description:
      - The server's pid file, when O(config_file) does not say it.
    type: path
  check_running:
    description:
      - Whether check mode refuses a server that runs, too. With V(false), it shows what would be done once the server
        is stopped. Outside check mode a running server is always refused.
    type: bool
    default: true
notes:
  - O(server_binary) must be the program of the server itself, whose version decides how the append-only file is laid
    out.
  - O(login_host) and O(login_port), or O(login_unix_socket), are only knocked at. They say where no server may answer.
  - Producers, workers and replicas are for the caller to keep away, see the role P(runbook.ops.restore#role).
  - RV(undo) holds the commands that bring the former data back, for a stopped server.
seealso:
  - module: runbook.ops.redis_backup
  - module: runbook.ops.redis_backup_verify
"""

EXAMPLES = r"""
- name: Stop the server
  ansible.builtin.service:
    name: redis-server
    state: stopped

- name: Put the newest backup in place
  runbook.ops.redis_restore:
    directory: /var/backups/redis
    name: storebridge
    config_file: /etc/redis/redis.conf

- name: Start it as always
  ansible.builtin.service:
    name: redis-server
    state: started

- name: See that it holds everything
  runbook.ops.redis_backup_verify:
    directory: /var/backups/redis
    name: storebridge
    against: live
    login_password: "{{ redis_login_password }}"
"""

RETURN = r"""
actions:
  description: What is done, in this order; the same in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(move_aside) or V(place).
      type: str
    object:
      description: The file or directory.
      type: str
    reason:
      description: Where it goes, or what it comes from.
      type: str
refused:
  description: Always empty; what is refused fails the task, because there is only one thing to do.
  returned: success
  type: list
  elements: dict
before:
  description: What a server could read in the data directory before, as C(files).
  returned: success
  type: dict
  contains: &files
    files:
      description: Names in the data directory.
      type: list
      elements: str
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *files
backup:
  description: The backup.
  returned: success
  type: str
data_directory:
  description: The data directory.
  returned: success
  type: str
append_only:
  description: Whether an append-only file is among what is placed.
  returned: success
  type: bool
placed:
  description: What was placed.
  returned: success
  type: list
  elements: str
moved:
  description: What went aside, with C(from) and C(to).
  returned: success
  type: list
  elements: dict
undo:
  description: The commands that bring the former data back, each as a list of arguments, for a stopped server.
  returned: success
  type: list
  elements: list
verification:
  description: How the backup was proven, as M(runbook.ops.redis_backup_verify) returns it.
  returned: success
  type: dict
notes:
  description: What a reader must know.
  returned: success
  type: list
  elements: str
diff:
  description: The names in the data directory before and after.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.verify import workshop_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.run import restore, restore_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **redis_argument_spec(),
            **guard_argument_spec(),
            **workshop_argument_spec(),
            **restore_argument_spec(),
        },
        supports_check_mode=True,
    )
    try:
        result = restore(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
