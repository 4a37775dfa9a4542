#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archiving, exporting and purging by declared policy."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_retention
short_description: Archive, export or purge rows by declared policy, in batches, exactly once
version_added: 0.2.0
description:
  - Enforces retention policies. Rows older than O(policies[].keep) are moved to an archive table of the same database,
    exported to compressed files that are proven before anything is deleted, or purged. Old partitions are detached.
  - Works in batches of one transaction each. A batch deletes its rows, stores them, and advances a ledger in the same
    commit, so that a run that is killed at any moment loses and duplicates nothing. The next run goes on from there.
  - Rows of tables that refer to due rows (children) go first, in the same transaction, each by its own action. A
    foreign key that would delete or change rows that are not declared is refused.
  - The moment before which rows are due is computed once and frozen. An unfinished job is finished under its own.
  - Refuses what would go wrong, with the statement that mends it - archive tables that have drifted apart from their
    table, missing keys and indexes, triggers, row level security, missing privileges, unlogged archives, and keys that
    the archive holds already.
  - Batches adapt to how long they take. They pause while standbys lag, WAL piles up, the archiver is behind, other
    sessions wait for locks, or the disk is full.
  - Proves every policy afterwards by counting what is due before and after, and by comparing the digest of what was
    deleted with that of what arrived.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.guards
  - runbook.ops.maintenance
  - runbook.ops.postgresql
attributes:
  check_mode:
    support: full
    details:
      - The session is read-only. RV(actions) are those that the run carries out if nothing changes meanwhile.
  diff_mode:
    support: full
options:
  policies:
    description:
      - The policies, carried out in this order; those with V(detach) come last.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The policy's name. The ledger and exported files go by it.
        type: str
        required: true
      table:
        description:
          - The table as V(schema.table), in the spelling of the catalog; names with dots in double quotes.
          - A partitioned table is handled partition by partition.
        type: str
        required: true
      column:
        description:
          - The column that says how old a row is, of type C(timestamptz), C(timestamp) or C(date). Rows in which it is
            NULL are never due.
        type: str
        required: true
      keep:
        description:
          - How long rows are kept, such as V(90 days), V(12 months), V(1 year), V(36 hours), V(P6M), or a
            number of days.
          - Months and days are those of the calendar and the clock in O(timezone).
        type: str
        required: true
      column_timezone:
        description:
          - The time zone whose wall clock a O(policies[].column) without time zone holds, often V(UTC). O(timezone), if
            not given.
        type: str
      where:
        description:
          - Further conditions that due rows fulfil, all of them.
        type: list
        elements: dict
        default: []
        suboptions:
          column:
            description:
              - A column of the table.
            type: str
            required: true
          operator:
            description:
              - How it is compared.
            type: str
            choices:
              - "="
              - "!="
              - "<"
              - "<="
              - ">"
              - ">="
              - in
              - not in
              - like
              - not like
              - is null
              - is not null
              - is true
              - is not true
            default: "="
          value:
            description:
              - The value, or a list of them for V(in) and V(not in). It takes the type of the column.
            type: raw
      action:
        description:
          - What happens to due rows. V(archive) moves them to O(policies[].archive_table), V(export) writes them to
            files and deletes them, V(purge) deletes them for good.
          - V(detach) detaches partitions that hold nothing but due rows, and does with them what
            O(policies[].after_detach) says.
        type: str
        choices: [purge, archive, export, detach]
        required: true
      archive_table:
        description:
          - With O(policies[].action=archive), the table of the same database that rows are moved to. Columns are
            matched by name.
        type: str
      export:
        description:
          - Where exported rows are written to.
        type: dict
        suboptions:
          directory:
            description:
              - An absolute path on the host that executes the module.
            type: path
          bucket:
            description:
              - A bucket of the object store in O(s3).
            type: str
          prefix:
            description:
              - What the keys of objects begin with.
            type: str
            default: ""
      children:
        description:
          - Tables whose rows refer to due rows, and to those of other children. Their rows go first.
        type: list
        elements: dict
        default: []
        suboptions:
          table:
            description:
              - The table, as in O(policies[].table).
            type: str
            required: true
          foreign_key:
            description:
              - Name of the foreign key, if there are several to choose from.
            type: str
          references:
            description:
              - For a table without foreign key, its columns and the columns of the policy's table they refer to.
            type: dict
            default: {}
          action:
            description:
              - What happens to its rows. That of the policy, if not given.
            type: str
            choices: [purge, archive, export]
          archive_table:
            description:
              - Where they are moved to with V(archive).
            type: str
      require_archive:
        description:
          - Whether rows must not be deleted for good, such as records that a law or a contract wants kept. A policy
            that would purge them, or their children, is refused.
        type: bool
        default: false
      key:
        description:
          - The columns of a unique index that tell rows apart. The primary key, if not given.
        type: list
        elements: str
        default: []
      max_rows:
        description:
          - Refuse the whole run if more rows than this are due. Nothing is cut off.
        type: int
      allow_triggers:
        description:
          - Whether triggers on DELETE of the table, and on INSERT of the archive, may run.
        type: bool
        default: false
      allow_sequential:
        description:
          - Whether every batch may read a whole table for want of an index. Tables below 16 MiB may always be read.
        type: bool
        default: false
      after_detach:
        description:
          - What happens to detached partitions. V(export) exports and then drops them.
        type: str
        choices: [drop, keep, export]
        default: drop
  ledger:
    description:
      - The table that jobs are noted in, as V(schema.table). It is made when it is missing and there is something
        to do.
    type: str
    default: runbook_ops.retention_ledger
  throttle:
    description:
      - How much of the server is taken. V(off) works at full speed, in batches of half a second. V(gentle) works in
        batches of milliseconds with long rests, so that other sessions notice little, and lets batches within the
        database commit without waiting for the disk, which no crash can tear apart.
    type: str
    choices: ["off", gentle]
    default: "off"
  batch_rows:
    description:
      - Rows of the first batch. The size then follows O(batch_seconds). 10000, and 100 with O(throttle=gentle), if not
        given.
    type: int
  max_batch_rows:
    description:
      - Rows of a batch at most.
    type: int
    default: 20000
  batch_seconds:
    description:
      - Seconds that a batch should take. 0.5, and 0.003 with O(throttle=gentle), if not given.
    type: float
  pause_ratio:
    description:
      - The rest after a batch, as a multiple of what it took. 0, and 65 with O(throttle=gentle), if not given.
    type: float
  max_rows_per_second:
    description:
      - Not more rows a second than this on average.
    type: float
  max_replica_lag_bytes:
    description:
      - Pause while a standby is further behind than this.
    type: int
    default: 268435456
  max_replica_lag_seconds:
    description:
      - Pause while a standby is further behind than this.
    type: float
  max_slot_wal_bytes:
    description:
      - Pause while a replication slot retains more WAL than this.
    type: int
  max_archive_backlog:
    description:
      - Pause while more WAL segments than this wait to be archived. Needs C(pg_monitor); otherwise it is listed in
        RV(unreadable_limits).
    type: int
    default: 64
  max_lock_waiters:
    description:
      - Pause while more sessions of the database than this wait for locks.
    type: int
    default: 20
  min_disk_free_bytes:
    description:
      - Pause while less disk than this is free, if it can be seen from here or O(disk_free_bytes) says it.
    type: int
  disk_free_bytes:
    description:
      - Free bytes of the server's disk, for servers whose disk cannot be seen from here.
    type: int
  max_pause_seconds:
    description:
      - How long a single pause may last. Then the run ends, with what was moved, and fails.
    type: float
    default: 600
  vacuum:
    description:
      - Whether the tables are vacuumed and analyzed at the end. Best effort, see RV(vacuumed).
    type: bool
    default: true
  s3:
    description:
      - The object store that policies with a bucket export to.
    type: dict
    suboptions:
      region:
        description:
          - Region of the store.
          - If the value is not specified in the task, environment variables E(AWS_REGION) or E(AWS_DEFAULT_REGION)
            will be used instead.
        type: str
      access_key:
        description:
          - Id of the access key.
          - If the value is not specified in the task, environment variable E(AWS_ACCESS_KEY_ID) will be used instead.
        type: str
      secret_key:
        description:
          - The secret that belongs to it.
          - If the value is not specified in the task, environment variable E(AWS_SECRET_ACCESS_KEY) will be used
            instead.
        type: str
      session_token:
        description:
          - Session token of temporary credentials.
          - If the value is not specified in the task, environment variable E(AWS_SESSION_TOKEN) will be used instead.
        type: str
      profile:
        description:
          - Profile of the AWS configuration files.
          - If the value is not specified in the task, environment variables E(AWS_PROFILE) or E(AWS_DEFAULT_PROFILE)
            will be used instead.
        type: str
      endpoint_url:
        description:
          - Address of a store other than Amazon's.
          - If the value is not specified in the task, environment variables E(AWS_ENDPOINT_URL_S3) or
            E(AWS_ENDPOINT_URL) will be used instead.
        type: str
      validate_certs:
        description:
          - Whether the server's certificate is verified.
        type: bool
        default: true
      ca_bundle:
        description:
          - File with the certificates of the authorities that may have signed the server's certificate.
          - If the value is not specified in the task, environment variable E(AWS_CA_BUNDLE) will be used instead.
        type: path
      connect_timeout:
        description:
          - Seconds to wait for a connection. A request is tried twice.
        type: float
        default: 5
      read_timeout:
        description:
          - Seconds to wait for each piece of an answer.
        type: float
        default: 20
requirements:
  - boto3 >= 1.34 on the host that executes the module, for exports to an object store
notes:
  - Needs SELECT and DELETE on the tables, with children UPDATE of one column as well (for locking), SELECT and INSERT
    on archive tables, and the right to make or to use the ledger. What is missing is named with its GRANT. Detaching
    needs the owner.
  - Moving within the database is exactly once. An export is written at least once and deleted exactly once. A batch has
    one name, under which it is written again until its rows are deleted, so that complete jobs hold no row twice.
  - Rows that others keep locked are passed over and tried again. What remains locked is counted in C(remaining), and is
    due in the next run.
  - Rows are matched by their values as text in files. Each line of an exported file is a JSON object with the columns.
seealso:
  - module: runbook.ops.postgresql_vacuum
  - module: runbook.ops.postgresql_query_info
"""

EXAMPLES = r"""
- name: Predict what retention would do
  runbook.ops.postgresql_retention: &retention
    login_host: db.example.com
    login_user: maintenance
    login_password: "{{ maintenance_password }}"
    login_db: shop
    timezone: Asia/Seoul
    window: ["22:15-23:45"]
    policies:
      - name: jobs
        table: public.jobs
        column: completed_at
        keep: 90 days
        where:
          - {column: status, operator: "=", value: COMPLETED}
        action: archive
        archive_table: public.jobs_archive
        require_archive: true
        children:
          - table: public.job_items
            action: archive
            archive_table: public.job_items_archive
      - name: audit_logs
        table: public.audit_logs
        column: created_at
        keep: 6 months
        action: export
        export:
          directory: /var/lib/runbook/export
        require_archive: true
  check_mode: true

- name: Enforce it, beside the running shop
  runbook.ops.postgresql_retention:
    <<: *retention
    throttle: gentle

- name: Drop partitions older than a year, once they lie in the bucket
  runbook.ops.postgresql_retention:
    login_db: metrics
    policies:
      - name: samples
        table: public.samples
        column: taken_at
        keep: 1 year
        action: detach
        after_detach: export
        export:
          bucket: archive
          prefix: samples/
    s3:
      endpoint_url: https://minio.example.com:9000
      access_key: archive
      secret_key: "{{ archive_secret_key }}"
"""

RETURN = r"""
actions:
  description:
    - What is done, in this order, one entry a job; the same in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    policy:
      description: The policy. V(null) for the making of the ledger.
      type: str
    action:
      description: One of V(create) (the ledger), V(abandon) (an unfinished job whose policy was changed), V(archive),
        V(export), V(purge), V(detach).
      type: str
    object:
      description: The table, or the partition.
      type: str
    to:
      description: Where the rows go. V(null) when they are deleted for good.
      type: str
    cutoff:
      description: The frozen moment before which rows are due, as the column's type has it.
      type: str
    rows:
      description: How many rows are due. For V(detach) what the statistics say, V(null) when they say nothing.
      type: int
    batches:
      description: About how many batches that takes.
      type: int
    method:
      description: How it is done.
      type: str
    resumes:
      description: Whether an earlier run began this job.
      type: bool
    children:
      description: The tables whose rows go first, with C(object), C(action), C(to) and C(rows).
      type: list
      elements: dict
refused:
  description: Policies that were left alone.
  returned: always
  type: list
  elements: dict
  contains:
    object:
      description: The policy and the table.
      type: str
    reason:
      description: What is in the way.
      type: str
    remedy:
      description: The next step, such as the ALTER TABLE to run.
      type: str
before:
  description: By policy, the rows that are due (C(rows_due)) and those of children (C(child_rows_due)).
  returned: always
  type: dict
after:
  description: By policy, the rows that are due under the same cutoff afterwards (C(rows_due)). V(null) in check mode.
  returned: always
  type: dict
policies:
  description: What was done, by policy. Empty in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    policy:
      description: The policy.
      type: str
    action:
      description: Its action.
      type: str
    table:
      description: Its table.
      type: str
    to:
      description: Where the rows went.
      type: str
    cutoff:
      description: The cutoff of its last job.
      type: str
    rows:
      description: Rows of the table that were moved.
      type: int
    child_rows:
      description: Rows that were moved, by child.
      type: dict
    batches:
      description: How many batches that took.
      type: int
    divided_batches:
      description: How often a batch was tried with fewer rows, because others held or changed a row of it.
      type: int
    seconds:
      description: Seconds spent in batches, without pauses.
      type: float
    rows_per_second:
      description: Rows of the table a second in batches.
      type: int
    remaining:
      description: Rows that are due and were left, since others keep them locked.
      type: int
    files:
      description: Exported files with C(name), C(place), C(bytes), C(sha256), C(rows) and C(version_id).
      type: list
      elements: dict
    partitions:
      description: Partitions that were detached.
      type: list
      elements: str
    proof:
      description:
        - One entry a job, with C(table), C(cutoff), C(due_before), C(due_after), C(moved), C(digest), C(archived),
          C(archived_digest), C(in_both) and C(proven).
      type: list
      elements: dict
vacuumed:
  description: Tables that were vacuumed, with C(table), C(done), and C(reason) if not.
  returned: always
  type: list
  elements: dict
paused_seconds:
  description: How long it paused because a limit was exceeded.
  returned: always
  type: float
pause_reasons:
  description: Seconds of pause by limit.
  returned: always
  type: dict
unreadable_limits:
  description: Limits that could not be kept, since the login may not read the figure.
  returned: always
  type: list
  elements: str
diff:
  description: Due rows by policy before and after.
  returned: in diff mode
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import check_refusals
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import (
    maintenance_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.options import retention_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.run import enforce, with_diff


def argument_spec() -> dict[str, Any]:
    return {**postgresql_argument_spec(), **maintenance_argument_spec(), **retention_argument_spec()}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    try:
        with Progress(module.params["progress_path"]).stoppable() as progress:
            result = enforce(module.params, check_mode=module.check_mode, progress=progress)
        if module._diff:
            result = with_diff(result)
        check_refusals(result, module.params["on_refusal"])
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
