#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of finished backups in a second repository, which are backups themselves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_copy
short_description: Copy finished backups to another repository
version_added: 0.5.0
description:
  - Sends backups that are published to a second repository, from a directory or bucket to a directory or bucket, so
    that the loss of a machine, a store or an account takes no more than one copy (3 copies, on 2 media, 1 elsewhere).
  - Copies what the manifest of a backup names, and nothing else. Every file is held against the SHA-256 in the manifest
    while it is on its way and read again where it arrived. The manifest comes last, so a copy that is interrupted or
    killed is no backup, and the next run completes it.
  - A copy is a backup like the first. M(runbook.ops.backup_info) judges it, M(runbook.ops.backup_prune) thins it out by
    rules of its own, M(runbook.ops.postgresql_backup_verify) and M(runbook.ops.postgresql_restore) take it.
  - A copy whose bytes were read here and are those of a backup that was proven gets the record of that proof. When a
    backup is proven after it was copied, the next run reads the copy again and adds the record.
  - Never writes over anything that it did not write. The same copy again is no change.
  - Dumps and base backups of PostgreSQL and snapshots of Redis, as they lie there, encrypted or not. A base backup that
    builds on others takes them along. The WAL archive is not a backup of its own and has to be copied by what writes
    it. Repositories of pgBackRest are copied by pgBackRest (C(repo2-)), trees of files by the role
    P(runbook.ops.backup#role).
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.guards.dated
  - runbook.ops.guards
  - runbook.ops.object_store
  - runbook.ops.object_store.destination
attributes:
  check_mode:
    support: full
    details:
      - Nothing is written. RV(actions) are those that the run carries out, and what would be refused is refused. That a
        backup itself is damaged shows only when it is read.
  diff_mode:
    support: full
options:
  repository:
    description:
      - Where the backups lie. An absolute directory of the host that executes the module, or V(s3://bucket/prefix).
    type: str
    required: true
  name_pattern:
    description:
      - The naming rule of the backups, as O(runbook.ops.backup_info#module:name_pattern). It holds for the copies, too.
    type: str
    required: true
  record_repository:
    description:
      - Where the records of verifications lie, when they are not beside the backups. Those of copies lie beside them.
    type: str
  newest:
    description:
      - How many of the newest backups have to be in the other repository. More than one makes good what runs before
        this one missed, and takes over proofs that came after the copy.
    type: int
    default: 3
  names:
    description:
      - The backups to copy, by their names, instead of the newest ones.
    type: list
    elements: str
    default: []
notes:
  - In S3 it needs C(s3:ListBucket) and C(s3:GetObject) on both sides, and C(s3:PutObject), C(s3:DeleteObject) and
    C(s3:AbortMultipartUpload) where copies go. A key that may not delete there cannot complete what was interrupted.
seealso:
  - module: runbook.ops.backup_info
  - module: runbook.ops.backup_prune
  - plugin: runbook.ops.policy_lint
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Send the newest dumps to another account
  runbook.ops.backup_copy:
    repository: s3://storebridge-backups/postgresql
    name_pattern: storebridge-%Y%m%d-%H%M%S.dump
    timezone: Asia/Seoul
    region: ap-northeast-2
    destination:
      repository: s3://storebridge-offsite/postgresql
      region: ap-northeast-1
      access_key: "{{ offsite_access_key }}"
      secret_key: "{{ offsite_secret_key }}"

- name: See what a copy on a second disk would take
  runbook.ops.backup_copy:
    repository: /var/backups/redis
    name_pattern: shop-%Y%m%dT%H%M%SZ.rdb
    newest: 14
    destination:
      repository: /mnt/second/redis
  check_mode: true
  register: copies
"""

RETURN = r"""
actions:
  description: What was done; in check mode what would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: >-
        V(copy); V(complete) what was interrupted or lost files there; V(update) the manifest of a copy; V(prove) a copy
        whose original was proven since; V(remove) what is left of a copy whose original is gone.
      type: str
    object:
      description: The backup.
      type: str
    reason:
      description: Why.
      type: str
    address:
      description: Where the copy lies.
      type: str
    bytes:
      description: The size of everything that belongs to it. V(null) for V(remove).
      type: int
    proven:
      description: Whether the copy counts as proven.
      type: bool
refused:
  description: Backups that are due and were not copied.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The backup.
      type: str
    reason:
      description: Why it was not copied.
      type: str
    remedy:
      description: What to do.
      type: str
copies:
  description: The backups that have to be in the other repository, newest first. In check mode as it is before.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The backup.
      type: str
    address:
      description: Where its copy lies, or belongs.
      type: str
    taken_at:
      description: When the backup was taken, ISO 8601 in UTC.
      type: str
    bytes:
      description: The size of everything that belongs to it.
      type: int
    is_whole:
      description: Whether the same lies there, as far as manifest and sizes tell.
      type: bool
    proven:
      description: Whether the backup, and so its copy, counts as proven.
      type: bool
before:
  description: The other repository before.
  returned: success
  type: dict
  contains: &figures
    count:
      description: Backups that are published there.
      type: int
    newest:
      description: The newest of them. V(null) without one.
      type: str
    due_count:
      description: Backups that have to be there and are not, or not as they should be.
      type: int
after:
  description: The other repository afterwards, looked at again. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: The names of the backups in the other repository before and after.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.run import copy_backups, copying_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={**object_store_argument_spec(), **guard_argument_spec(), **copying_argument_spec()},
        supports_check_mode=True,
    )
    try:
        result = copy_backups(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
