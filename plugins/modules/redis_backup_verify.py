#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module redis_backup_verify."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_backup_verify
short_description: Prove a Redis backup by loading it, or a restored Redis by counting it
version_added: 0.3.0
description:
  - Proves a backup of M(runbook.ops.redis_backup), level by level - the file exists, is fresh, has a format that the
    server program at hand reads, has the size and SHA-256 of its manifest, passes C(redis-check-rdb), is loaded by a
    scratch server, and holds the keys of every database and the jobs of every queue in every state that its manifest
    says.
  - The verdict is V(verified), V(failed) when the backup is bad, or V(error) when that cannot be told, for instance
    because the server program is older than the backup. Only V(verified) is good.
  - With O(against=live), compares a running server with the manifest instead, after a restore and before producers and
    workers come back.
  - Changes nothing. A scratch server has no port, lives in a private directory, and ends with the task.
  - Any RDB file can be looked at. Without a manifest nothing says what it must hold, so that O(level=loads) is the most
    that can be asked.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.info_module
  - runbook.ops.attributes.actiongroup_redis
  - runbook.ops.redis
  - runbook.ops.redis_proof
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
  against:
    description:
      - Whether a V(copy) of the backup is loaded, or the running server (V(live)) is compared with the manifest.
      - The connection options are for V(live).
    type: str
    choices: [copy, live]
    default: copy
  level:
    description:
      - The level that makes the backup verified. Later ones are not looked at.
    type: str
    choices: [format, bytes, check, loads, counts, queues]
    default: queues
  max_age:
    description:
      - The backup must not be older than this, such as V(26h).
    type: str
  reference_time:
    description:
      - The moment that counts as now for O(max_age), ISO 8601 with time zone. Now, if not given.
    type: str
  on_failure:
    description:
      - With V(fail), the task fails unless the backup is verified. With V(report), RV(verdict) is for the caller to
        judge.
    type: str
    choices: [fail, report]
    default: fail
  progress_path:
    description:
      - File that the module keeps up to date with where it is. The collection's action sets it, in order to print
        progress; there is no need to set it by hand.
    type: path
seealso:
  - module: runbook.ops.redis_backup
  - module: runbook.ops.redis_restore
"""

EXAMPLES = r"""
- name: Prove the newest backup of the shop, which must be of the last 26 hours
  runbook.ops.redis_backup_verify:
    directory: /var/backups/redis
    name: storebridge
    max_age: 26h

- name: See whether a dump that somebody copied can be loaded at all
  runbook.ops.redis_backup_verify:
    path: /tmp/dump.rdb
    level: loads

- name: See whether the server holds everything after a restore
  runbook.ops.redis_backup_verify:
    directory: /var/backups/redis
    name: storebridge
    against: live
    login_password: "{{ redis_login_password }}"
"""

RETURN = r"""
verdict:
  description: V(verified), V(failed) or V(error).
  returned: always
  type: str
level:
  description: The last level that was reached before anything did not hold; null if none was.
  returned: always
  type: str
wanted_level:
  description: The level that makes it verified.
  returned: always
  type: str
reason:
  description: Why it is not verified; null if it is.
  returned: always
  type: str
levels:
  description: Each with C(level), C(outcome), V(passed), V(skipped), V(failed) or V(error), and C(detail).
  returned: always
  type: list
  elements: dict
notes:
  description: What the proof cannot see.
  returned: always
  type: list
  elements: str
backup:
  description: The file.
  returned: always
  type: str
manifest:
  description: Where its manifest is, or would be.
  returned: always
  type: str
taken_at:
  description: When it was taken, ISO 8601 in UTC, by its manifest; null without one.
  returned: always
  type: str
bytes:
  description: Its size; null if that was not looked at.
  returned: always
  type: int
sha256:
  description: Its SHA-256; null if that was not looked at.
  returned: always
  type: str
written_by:
  description: The server that wrote it, such as V(Redis 7.0.15).
  returned: always
  type: str
format:
  description: The number of its RDB format.
  returned: always
  type: int
found:
  description: What the loaded copy, or the live server, holds, with C(databases) and C(queues) as in a manifest; null
    if it did not come to that.
  returned: always
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.prove import proof_argument_spec, prove
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.verify import workshop_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import redis_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={**redis_argument_spec(), **workshop_argument_spec(), **proof_argument_spec()},
        supports_check_mode=True,
    )
    try:
        result = prove(module.params)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
