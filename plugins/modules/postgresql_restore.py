#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module postgresql_restore."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_restore
short_description: Restore PostgreSQL beside what is there, prove it, and only then put it in place
version_added: 0.4.0
description:
  - Never restores into a database that is in use. A new database is made beside it, loaded, and held against the
    backup's manifest - every table, row count, digest, sequence, constraint and large object. Only when all of it holds
    do the two change names, in one transaction, and the former database is kept.
  - Whatever fails, and whenever the run or the server is killed, there is either the former database or the proven new
    one under the name. What a run that was killed left behind is recognised by the next one, which uses it or drops it.
  - Sessions are ended for the moment in which names change, about a tenth of a second; whoever connects in that moment
    waits. No setting locks the applications out, so none has to be taken back. Who was connected is in the result.
  - The new database gets what belongs to a database and is in no dump - owner, privileges, connection limit, settings,
    those of roles in it, and comment.
  - Refuses, before anything is touched, and names all reasons at once - a target that is not empty, an older server, a
    missing extension, role or locale, too little space, a backup that was not verified or is of another database,
    replication slots and prepared transactions that would be cut off, too many sessions, a standby, a pooler.
  - Roles come first. Those that are missing are created from the globals beside the backup; those that are there are
    neither changed nor dropped.
  - With O(method=basebackup) or O(method=pgbackrest), brings a whole cluster back to a moment, in a new data directory.
  - Runs on a host that has PostgreSQL's client programs.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.guards.dated
  - runbook.ops.guards
  - runbook.ops.maintenance
  - runbook.ops.postgresql
  - runbook.ops.object_store
  - runbook.ops.backup_decryption
  - runbook.ops.postgresql_physical
  - runbook.ops.postgresql_proof
  - runbook.ops.postgresql_physical.restore
  - runbook.ops.postgresql_physical.boundary
attributes:
  check_mode:
    support: full
    details:
      - Nothing is changed. The beginning of the backup and its globals are read, so that a missing key shows, and what
        would be refused is refused. RV(actions) are those that the run carries out; names that hold the moment of the
        run have C(<moment>) in its place.
  diff_mode:
    support: full
  action_group:
    description: Use C(group/runbook.ops.postgresql) or C(group/runbook.ops.aws) in C(module_defaults) to set connection
      options once.
    support: full
    membership:
      - runbook.ops.postgresql
      - runbook.ops.aws
options:
  repository:
    description:
      - Where the backups lie. An absolute directory of the host that executes the module, or V(s3://bucket/prefix).
      - Required for O(method=dump) and O(method=basebackup).
    type: str
  name_pattern:
    description:
      - The naming rule that the writer of the backups has, such as V(storebridge-%Y%m%d.dump), see
        M(runbook.ops.backup_info).
      - Required for O(method=dump) and O(method=basebackup).
    type: str
  name:
    description:
      - The backup to restore. Without it, the newest one that is verified, see
        M(runbook.ops.postgresql_backup_verify); newer ones that are not are named in RV(notes).
    type: str
  record_repository:
    description:
      - Where the records of verifications lie, when they are not beside the backups.
    type: str
  allow_unverified:
    description:
      - Whether a backup may be restored that nobody has verified, one that was found to be bad, and one without a
        manifest. What is restored is proven in any case as far as something says what must be in it.
    type: bool
    default: false
  database:
    description:
      - The name that the restored database gets. Required for O(method=dump).
      - With another O(method) and without O(data_directory), this one database is taken out of the cluster as it was at
        O(target_time). The cluster is brought there in a private place that takes as much room as it has
        (O(work_directory)), and the database is dumped from it, restored beside the live one, compared, and put in its
        place. The other databases of the live server are not touched.
      - It cannot be O(login_db), which the session is in while names change.
    type: str
  source_database:
    description:
      - The database that the backup must be of. With O(mode=swap) it is O(database), unless given.
    type: str
  owner:
    description:
      - The owner of a new database. Without it, the login. A database that takes another's place has the other's owner.
    type: str
  mode:
    description:
      - With V(fresh) there must be no database of that name yet, or an empty one, whose attributes are taken over.
      - With V(swap) a database of that name, whatever it holds, is renamed to C(<database>_before_<moment>), and the
        restored one takes its place. Where there is none, it is as with V(fresh).
    type: str
    choices: [fresh, swap]
    default: fresh
  keep_old:
    description:
      - Whether the former database is kept. With V(false), what was written since the backup is lost.
      - A former one that was kept goes, too, when a later run with V(false) finds the same backup in place.
    type: bool
    default: true
  keep_failed:
    description:
      - Whether a database that could not be loaded, or does not hold what it should, is kept under its own name, in
        order to look at it. Otherwise it is dropped.
    type: bool
    default: false
  force:
    description:
      - Whether to restore again what was restored from the same backup already. The comment of a database says what it
        was restored from.
    type: bool
    default: false
  globals:
    description:
      - V(apply) creates the roles of the globals beside the backup that the server lacks, all in one transaction.
      - V(check) creates none, and refuses when one is missing that the backup's objects belong or are granted to.
      - V(skip) does not look at roles at all. What belongs to a role that is missing belongs to the login then, and
        owners and privileges are not proven.
    type: str
    choices: [apply, check, skip]
    default: apply
  verify:
    description:
      - Whether the restored database is held against the backup's manifest. With V(false), only its bytes and its end
        are proven.
    type: bool
    default: true
  watermarks:
    description:
      - Columns whose newest value says how fresh content is, as V(schema.table.column). Those of the backup's manifest,
        if not given. They tell RV(restored.content_age_seconds).
    type: list
    elements: str
    default: []
  jobs:
    description:
      - How many sessions load and count at once. V(0) means as many as the host has processors, eight at most.
    type: int
    default: 0
  fence:
    description:
      - Whether sessions in the database are ended when names change. With V(false) it is refused while there are any.
    type: bool
    default: true
  fence_timeout:
    description:
      - Seconds to try to get everybody out. After that the database is as it was, and the restored one waits beside it
        for the next run.
    type: float
    default: 30.0
  max_sessions:
    description:
      - Refuse when more sessions than this are connected to the database, because then the applications were not
        stopped as planned.
    type: int
  replication:
    description:
      - What to do when replication slots or subscriptions belong to the database. They stay with the former one.
        V(refuse) refuses, V(keep) leaves them there and says so.
    type: str
    choices: [refuse, keep]
    default: refuse
  must_not_be:
    description:
      - The server must not be one of these.
    type: dict
    suboptions:
      system_identifier:
        description:
          - System identifiers, as C(pg_control_system()) tells them.
        type: list
        elements: str
        default: []
  disk_free_bytes:
    description:
      - The free bytes on the server's disk, when it is not on the host that executes the module.
    type: int
  work_directory:
    description:
      - Where the files of a directory backup (C(pg_dump -Fd)) from a bucket lie while they are loaded. The system's
        place for temporary files, if not given. Everything else is never on a disk in between.
    type: path
notes:
  - O(on_refusal) has no effect with O(method=dump). What is refused fails the task, because there is only one thing to
    do.
  - The login must be able to create databases, to end sessions and, for missing roles, to create roles. It must own the
    database that is replaced. A superuser can all of that.
  - Former databases of other restores are never dropped. RV(kept) lists them all.
  - What was written to the former database since the backup is in it, and nowhere else. RV(undo) brings it back.
seealso:
  - module: runbook.ops.postgresql_backup
  - module: runbook.ops.postgresql_backup_verify
  - module: runbook.ops.backup_info
"""

EXAMPLES = r"""
- name: Restore the newest verified backup beside the database, and change places
  runbook.ops.postgresql_restore:
    login_user: postgres
    login_password: "{{ postgresql_admin_password }}"
    repository: /var/backups/postgresql
    name_pattern: storebridge-%Y%m%d.dump
    timezone: Asia/Seoul
    database: storebridge
    mode: swap
    watermarks: [public.orders.created_at]
    window: ["Sun 02:00-06:00"]

- name: Look into last Thursday's copy, beside everything else
  runbook.ops.postgresql_restore:
    repository: s3://storebridge-backups/db
    name_pattern: storebridge-%Y%m%d.dump
    name: storebridge-20260129.dump
    database: storebridge_thursday
    globals: check
    assertions:
      - name: orders are there
        sql: SELECT count(*) FROM orders
        min: 100000

- name: On another server that must not be production
  runbook.ops.postgresql_restore:
    login_host: staging.example.com
    repository: s3://storebridge-backups/db
    name_pattern: storebridge-%Y%m%d.dump.age
    decryption:
      identity_file: /etc/recovery/age.key
    database: storebridge
    mode: swap
    keep_old: false
    must_not_be:
      system_identifier: ["7301234567890123456"]

- name: Bring one database back to the moment before rows were deleted, and leave the others alone
  runbook.ops.postgresql_restore:
    method: basebackup
    repository: /var/backups/postgresql-base
    name_pattern: storebridge-base-%Y%m%d-%H%M%S
    wal_archive: /var/backups/postgresql-wal
    target_time: "2026-01-31T02:59:00+09:00"
    database: storebridge
    mode: swap

- name: Bring the whole cluster back to the moment before rows were deleted, in a new directory
  runbook.ops.postgresql_restore:
    method: basebackup
    repository: /var/backups/postgresql
    name_pattern: base-%Y%m%dT%H%M%S
    wal_archive: /var/backups/wal
    target_time: "2026-01-31T09:14:00+09:00"
    data_directory: /var/lib/postgresql/15/recovered
    must_see:
      - db: storebridge
        query: SELECT 1 FROM orders WHERE id = 4711
    must_not_see:
      - db: storebridge
        query: SELECT 1 FROM audit_log WHERE action = 'delete all orders'
"""

RETURN = r"""
actions:
  description: What is done, in this order; the same in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    action:
      description:
        - V(drop_leftover), V(create_role), V(create_database), V(load), V(reuse), V(verify), V(fence), V(rename),
          V(carry_over) or V(drop_old).
        - With a physical backup V(copy), V(replay), V(check) or V(place).
      type: str
    object:
      description: The database, the role or the directory.
      type: str
    reason:
      description: From what, to what, or why.
      type: str
refused:
  description: Always empty; what is refused fails the task.
  returned: success
  type: list
  elements: dict
before:
  description:
    - The server, and the database of that name, before.
    - With a physical backup, what the data directory was restored from, as C(backup), C(sha256), C(target_time),
      C(target_inclusive) and C(target_timeline); V(null) when it was not there.
  returned: success
  type: dict
  contains: &state
    server:
      description: C(address), C(version) and C(system_identifier).
      type: dict
    exists:
      description: Whether there is a database of that name.
      type: bool
    database:
      description:
        - Its C(name), C(oid), C(owner), C(tablespace), C(connection_limit), C(allows_connections), C(privileges),
          C(settings) (names without values) and C(size_bytes). V(null) when there is none.
      type: dict
    content:
      description: How many C(relations), C(functions), C(schemas) and C(large_objects) it has; V(null) if unknown.
      type: dict
    sessions:
      description: Who is connected, with C(application), C(user), C(client) and C(count).
      type: list
      elements: dict
    restored_from:
      description: The backup that it was restored from, as the mark in its comment says it.
      type: dict
after:
  description: The same afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *state
database:
  description: The name.
  returned: success and O(method=dump)
  type: str
artefact:
  description: The backup.
  returned: success and O(method=dump)
  type: dict
  contains:
    name:
      description: Its name in the repository.
      type: str
    address:
      description: Where it lies.
      type: str
    size_bytes:
      description: Its size.
      type: int
    taken_at:
      description: When its data was taken.
      type: str
    taken_at_source:
      description: What that is known from, V(manifest), V(content), V(modified) or V(name).
      type: str
    has_manifest:
      description: Whether it has a manifest.
      type: bool
    verified:
      description: How far it is proven, see M(runbook.ops.backup_info). V(null) when nobody tried.
      type: dict
restored:
  description: What the restore came to. V(null) in check mode, and when there was nothing to restore.
  returned: success and O(method=dump)
  type: dict
  contains:
    artefact:
      description: The backup's name.
      type: str
    database:
      description: The database.
      type: str
    old_database:
      description: The name under which the former database is kept. V(null) if there is none.
      type: str
    verdict:
      description:
        - V(verified) when it was proven to hold what its manifest says and every assertion holds. V(error) when nothing
          says what must be in it, or O(verify) is false.
      type: str
    level:
      description: How far it was proven, see M(runbook.ops.postgresql_backup_verify).
      type: str
    reason:
      description: Why it is not verified; V(null) if it is.
      type: str
    findings:
      description: What a reader should know about the restored content.
      type: list
      elements: dict
    unproven:
      description: What nothing here could prove.
      type: list
      elements: str
    tables:
      description: Its tables.
      type: int
    rows:
      description: Their rows.
      type: int
    decoded_bytes:
      description: The size of the decoded dump; 0 when an earlier run had loaded it.
      type: int
    roles_created:
      description: The roles that were missing.
      type: list
      elements: str
    sessions:
      description: Who was connected when names changed, as in RV(before.sessions).
      type: list
      elements: dict
    sessions_ended:
      description: How many sessions were ended.
      type: int
    outage_seconds:
      description: How long nobody could use the database.
      type: float
    seconds:
      description: The duration of each phase.
      type: dict
    watermarks:
      description: The newest value of each watermark, C(live) in the former database and C(restored) in the new one.
      type: dict
    content_age_seconds:
      description:
        - How far the restored content lies behind the former one, by the watermarks - the measured recovery point.
          V(null) when they do not tell.
      type: float
kept:
  description: All former databases of this name that are still there.
  returned: success and O(method=dump)
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    state:
      description: What its mark says, V(replaced).
      type: str
    artefact:
      description: The backup that took its place.
      type: str
    at:
      description: When.
      type: str
    size_bytes:
      description: Its size.
      type: int
undo:
  description: The statements that bring the former database back, for psql in another database.
  returned: success and O(method=dump)
  type: list
  elements: str
backup:
  description: The physical backup.
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: str
bytes:
  description: The bytes that are read.
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: int
data_directory:
  description: The new data directory.
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: str
window:
  description: What can be reached, from the end of the backup (C(from)) to the last commit in the WAL (C(until)).
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: dict
recovered:
  description:
    - Where the recovery ended, as C(lsn), C(last_commit_at) and C(timeline), the C(settings) of the private server
      that did it, and the C(superuser) of the cluster. V(null) in check mode and when there was nothing to do.
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: dict
answers:
  description: The questions of O(must_see) and O(must_not_see), with C(kind), C(db), C(query), C(rows) and C(holds).
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: list
  elements: dict
seconds:
  description: The duration of each phase.
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: dict
how_to_start:
  description: What is left to do before the cluster serves anybody.
  returned: success and O(method=basebackup) or O(method=pgbackrest)
  type: list
  elements: str
notes:
  description: What a reader must know.
  returned: success
  type: list
  elements: str
diff:
  description: What the database is, before and after.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.entry import restore
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import restore_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec=restore_argument_spec(),
        required_if=[
            ("method", "dump", ("repository", "name_pattern", "database")),
            ("method", "basebackup", ("repository", "name_pattern")),
            ("method", "pgbackrest", ("pgbackrest",)),
        ],
        supports_check_mode=True,
    )
    try:
        result = restore(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
