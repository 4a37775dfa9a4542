#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Retention of backups that cannot eat the last good one."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_prune
short_description: Delete old backups, counting only those that are proven to be good
version_added: 0.4.0
description:
  - Keeps the newest good backup of each of the last days, weeks, months and years (grandfather, father, son) and
    deletes the others. Only backups that are proven to be good take a place, as M(runbook.ops.backup_info) tells it by
    their records and manifests.
  - Never deletes the newest good ones (O(min_keep)), nothing newer than the newest good one, and nothing that a kept
    one cannot be restored without.
  - Refuses to delete anything while no backup is good, while the ones after the newest good one are bad, while that is
    older than O(rpo), and when more than O(max_deletes) would go. When nothing is due, only the bad ones make the task
    fail. Deleting by age (C(find -mtime +30 -delete)) leaves
    nothing after a month of failures.
  - Whatever wrote them - dumps of PostgreSQL in every format, base backups, snapshots of Redis, file trees, and, with
    O(require_verified=false), files of anybody else.
  - A backup goes with everything that belongs to it. Its manifest goes first, so that a run that is killed leaves
    nothing that looks like a good backup, and the next run finds the rest.
  - In a bucket with versions, deleting hides; when hidden versions vanish is a matter of the bucket's lifecycle rules.
    What the store does not let go is reported by O(on_refusal).
  - Backups of pgBackRest are kept, because C(pgbackrest expire) deletes them.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.guards
  - runbook.ops.object_store
attributes:
  check_mode:
    support: full
    details:
      - Nothing is deleted. RV(actions) are those that the run carries out, and what would be refused is refused.
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
      - The naming rule of the backups, as O(runbook.ops.backup_info#module:name_pattern). What does not follow it is
        never touched.
    type: str
    required: true
  timezone:
    description:
      - The time zone of dates in names, of the beginnings of days, weeks, months and years, and of O(window) and
        O(blocked_window), such as V(Asia/Seoul).
    type: str
    default: UTC
  writer_timezone:
    description:
      - The time zone of the machine that runs pg_dump, for archives without a manifest.
    type: str
  record_repository:
    description:
      - Where the records of verifications lie, when they are not beside the backups.
    type: str
  ignore:
    description:
      - Shell patterns for names that are none of this module's business.
    type: list
    elements: str
    default: []
  daily:
    description:
      - Keep the newest good backup of each of the last so many days that have one.
      - At least one of O(daily), O(weekly), O(monthly) and O(yearly) must be above 0.
    type: int
    default: 0
  weekly:
    description:
      - The same for weeks, from Monday on.
    type: int
    default: 0
  monthly:
    description:
      - The same for months.
    type: int
    default: 0
  yearly:
    description:
      - The same for years.
    type: int
    default: 0
  rpo:
    description:
      - How old the newest good backup may be for anything to be deleted, such as V(26h).
    type: str
    required: true
  min_keep:
    description:
      - At least so many good backups are kept, whatever the other rules say. At least 1.
    type: int
    default: 3
  max_deletes:
    description:
      - Refuse to delete more backups than this in one run.
    type: int
    default: 50
  keep_within:
    description:
      - Keep every backup that is younger than this, good or not, such as V(2d).
    type: str
  wal_window:
    description:
      - Keep the base backup from which every moment within this time is reached by the WAL archive, such as V(7d).
    type: str
  require_verified:
    description:
      - Whether only a backup that is proven to be good counts as good. So does a base backup that was recovered and
        behind which WAL is missing; RV(kept[].reasons) tells that it is good for its own moment only.
      - With V(false), every backup counts that is not proven to be bad, by a verification or by reading it
        (O(inspect)). For files that nobody verifies.
    type: bool
    default: true
  inspect:
    description:
      - Which backups to read to their end, as O(runbook.ops.backup_info#module:inspect). Only with
        O(require_verified=false).
    type: str
    default: newest
  inspect_max_bytes:
    description:
      - How many bytes to read altogether for O(inspect).
    type: int
    default: 2147483648
  timeout:
    description:
      - Seconds for looking through the repository. What could not be looked at in time is a reason to delete nothing.
    type: float
    default: 900
notes:
  - In S3 it needs the permissions of M(runbook.ops.backup_info) and C(s3:DeleteObject).
seealso:
  - module: runbook.ops.backup_info
  - plugin: runbook.ops.keep_plan
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Keep a week of days, five weeks and a year of months of what was proven
  runbook.ops.backup_prune:
    repository: s3://storebridge-backups/postgresql
    name_pattern: storebridge-%Y%m%d-%H%M%S.dump
    timezone: Asia/Seoul
    daily: 7
    weekly: 5
    monthly: 12
    rpo: 26h
    region: ap-northeast-2

- name: See what would go, with the reasons
  runbook.ops.backup_prune:
    repository: /var/backups/redis
    name_pattern: shop-%Y%m%dT%H%M%SZ.rdb
    daily: 14
    rpo: 6h
    max_deletes: 200
  check_mode: true
  diff: true
  register: pruned

- name: Thin out dumps of another program, of which only damage can be told
  runbook.ops.backup_prune:
    repository: /backups/postgres
    name_pattern: stockboom_%Y%m%d_%H%M%S.sql.gz
    require_verified: false
    inspect: all
    daily: 30
    rpo: 26h
  become: true
"""

RETURN = r"""
actions:
  description: What was deleted, newest first; in check mode what would be.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description: V(delete).
      type: str
    object:
      description: The backup.
      type: str
    reason:
      description: Why it may go.
      type: str
    state:
      description: V(good), V(bad), or V(open) when it is not proven.
      type: str
    taken_at:
      description: When it was taken, ISO 8601 in UTC.
      type: str
    bytes:
      description: Its size.
      type: int
    files:
      description: What belongs to it, in the order of deletion.
      type: list
      elements: str
refused:
  description: Backups that were due and are still there.
  returned: success
  type: list
  elements: dict
  contains:
    object:
      description: The backup.
      type: str
    reason:
      description: Why it is still there.
      type: str
    remedy:
      description: What to do.
      type: str
kept:
  description: Backups that are kept, newest first.
  returned: always, unless the options cannot be meant
  type: list
  elements: dict
  contains:
    name:
      description: The backup.
      type: str
    taken_at:
      description: When it was taken, ISO 8601 in UTC.
      type: str
    state:
      description: V(good), V(bad) or V(open).
      type: str
    reasons:
      description: Why it is kept.
      type: list
      elements: str
      sample: [the newest good one, daily 2026-01-31, monthly 2026-01]
before:
  description: The repository before.
  returned: success
  type: dict
  contains: &figures
    count:
      description: Backups.
      type: int
    good_count:
      description: Those that are good.
      type: int
    bytes:
      description: Their size together.
      type: int
    newest_good:
      description: The newest good one. V(null) without one.
      type: str
    oldest_taken_at:
      description: When the oldest was taken.
      type: str
after:
  description: The repository afterwards, looked at again. V(null) in check mode.
  returned: success
  type: dict
  contains: *figures
diff:
  description: The names of the backups before and after.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.backup.prune import prune, prune_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec={**object_store_argument_spec(), **guard_argument_spec(), **prune_argument_spec()},
        supports_check_mode=True,
    )
    try:
        result = prune(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
