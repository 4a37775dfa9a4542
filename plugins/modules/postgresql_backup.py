#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module postgresql_backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup
short_description: Back up PostgreSQL, with a manifest that says what must be in the backup
version_added: 0.4.0
description:
  - Dumps a database with C(pg_dump) as a stream that is hashed, compressed, encrypted if wanted, and written to a
    directory or uploaded to a bucket at once. There is no shell and no temporary copy, and the exit status of every
    program counts.
  - Counts, in the very snapshot that is dumped, the rows of every table, and computes a digest of their content.
    Together with sequences, large objects, constraints, extensions, collations, the server's identity and WAL position
    they are the manifest, C(<name>.manifest.json), that M(runbook.ops.postgresql_backup_verify) compares a restored
    copy with.
  - Writes roles and tablespaces beside it, C(<name>.globals.sql).
  - Publishes the manifest last. What has no manifest is no backup, so a run that fails or is killed leaves nothing that
    looks like one, and the next run removes what it left.
  - Refuses, before anything is written, what would not be whole or could not be restored - a login that may not read
    every table, row security, C(pg_dump) older than the server, a connection pooler in between, a name that is taken,
    too little room.
  - With O(method=basebackup) or O(method=pgbackrest), takes a physical backup of the whole cluster.
  - Runs on a host that has PostgreSQL's client programs. A standby may be dumped.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_postgresql
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.guards.dated
  - runbook.ops.guards
  - runbook.ops.postgresql
  - runbook.ops.object_store
  - runbook.ops.backup_encryption
  - runbook.ops.postgresql_physical
  - runbook.ops.postgresql_physical.backup
attributes:
  check_mode:
    support: full
    details:
      - Nothing is written and nothing is dumped. RV(actions) are those that the run carries out, and what would be
        refused is refused.
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
        A directory is made for its owner only, if it is not there.
      - A prefix is taken like a directory, so V(s3://shop/db) means the objects below V(db/).
      - Required unless O(method=pgbackrest).
    type: str
  name_pattern:
    description:
      - The naming rule that writer, verifier and restorer share, relative to O(repository), such as
        V(storebridge-%Y%m%d.dump) or V(%Y/%m/shop-%Y%m%d-%H%M%S.dump). See M(runbook.ops.backup_info).
      - The moment in a name is the begin of the run in O(timezone). A name that is taken is refused, not overwritten,
        so a rule without C(%H) allows one backup a day.
      - Required unless O(method=pgbackrest).
    type: str
  bin_directory:
    description:
      - The directory with PostgreSQL's client programs. Without it, the installation of the server's major version is
        looked for in the usual places, and the next newer one is taken where there is none.
    type: path
  max_age:
    description:
      - Take no backup when the newest published one in O(repository) is not older than this, such as V(20h). Its age
        counts from the moment of its data.
    type: str
  format:
    description:
      - V(custom) is C(pg_dump)'s archive in one file. V(directory) has a file for every table and may be written by
        several O(jobs). V(plain) is SQL.
      - A directory that goes to a bucket lies in O(work_directory) meanwhile, since C(pg_dump) writes it by itself.
    type: str
    choices: [custom, directory, plain]
    default: custom
  compression:
    description:
      - With V(auto), archives are compressed with zstd where C(pg_dump) can (from version 16 on, if it was built so),
        else with gzip. SQL is compressed as O(name_pattern) ends, C(.gz) or C(.zst), and else not at all.
      - SQL is compressed with zstd by the program C(zstd), because that writes a checksum and C(pg_dump) does not.
    type: str
    choices: [auto, zstd, gzip, none]
    default: auto
  compression_level:
    description:
      - From 1 (fast) to 9 (small), with zstd to 19. The program's own default, if not given.
    type: int
  jobs:
    description:
      - How many tables are dumped side by side. More than 1 for O(format=directory) only.
    type: int
    default: 1
  globals:
    description:
      - Whether roles, memberships and tablespaces are written beside the backup (C(pg_dumpall --globals-only)),
        encrypted as the backup is. Without them a dump cannot be restored into a new cluster as it was.
    type: bool
    default: true
  role_passwords:
    description:
      - Whether the globals have the roles' password hashes. Needs a superuser. Without them passwords must be set again
        after a recovery.
    type: bool
    default: false
  schemas:
    description:
      - Dump these schemas only, by their exact names. The manifest then says that the backup is partial.
    type: list
    elements: str
    default: []
  exclude_schemas:
    description:
      - Dump all but these schemas.
    type: list
    elements: str
    default: []
  exclude_table_data:
    description:
      - Tables whose rows are left out, as C(schema.table), such as V(public.sessions). Refused where the rows of other
        tables refer to them, because the backup could not be restored.
    type: list
    elements: str
    default: []
  digests:
    description:
      - Whether a digest of every table's rows is computed. Without it rows are counted only, and a restored copy with
        the right number of wrong rows is not noticed.
    type: bool
    default: true
  watermarks:
    description:
      - Columns whose newest value tells how fresh the content is, as C(schema.table.column), such as
        V(public.orders.created_at). They show that today's backup is not a copy of yesterday's.
    type: list
    elements: str
    default: []
  lock_timeout:
    description:
      - Seconds that dump and counts wait for a table that another session has locked against reading, from 0.1 to
        3600.
    type: float
    default: 60.0
  min_free_bytes:
    description:
      - How much room must be left in O(repository) beside the backup, whose size is estimated from the last one of its
        kind, or from the size of the database.
    type: int
    default: 0
  work_directory:
    description:
      - Where a backup lies on its way when it cannot be streamed. The system's directory for temporary files, if not
        given.
    type: path
notes:
  - The login needs to read everything, as a superuser or a member of C(pg_read_all_data) does, and for tables with row
    security C(BYPASSRLS).
  - In S3 it needs the permissions C(s3:ListBucket), C(s3:GetObject), C(s3:PutObject), C(s3:DeleteObject),
    C(s3:ListBucketMultipartUploads) and C(s3:AbortMultipartUpload). Buckets have no locks, so only one host may write
    to a repository.
seealso:
  - module: runbook.ops.postgresql_backup_verify
  - module: runbook.ops.postgresql_restore
  - module: runbook.ops.backup_info
  - name: pg_dump
    description: The program that dumps.
    link: https://www.postgresql.org/docs/current/app-pgdump.html
requirements:
  - PostgreSQL's client programs on the host that executes the module, of the server's version or newer
"""

EXAMPLES = r"""
- name: Back up StoreBridge to a bucket, encrypted for the recovery key
  runbook.ops.postgresql_backup:
    login_host: db.internal
    login_user: backup
    login_password: "{{ postgresql_backup_password }}"
    login_db: storebridge
    repository: s3://storebridge-backups/postgresql
    name_pattern: storebridge-%Y%m%d.dump.age
    timezone: Asia/Seoul
    region: ap-northeast-2
    watermarks:
      - public.audit_logs.created_at
    encryption:
      method: age
      recipients:
        - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kdstnkqmqr6tqhd

- name: Back up a large database with four jobs on its own host, unless there is a backup of the last 20 hours
  runbook.ops.postgresql_backup:
    login_unix_socket: /var/run/postgresql
    login_db: shop
    repository: /var/backups/postgresql
    name_pattern: shop-%Y%m%d-%H%M%S
    format: directory
    jobs: 4
    max_age: 20h
    min_free_bytes: 10737418240
  become: true
  become_user: postgres

- name: Copy the whole cluster, so that with its WAL archive it can be brought to any moment afterwards
  runbook.ops.postgresql_backup:
    method: basebackup
    login_user: backup
    login_password: "{{ backup_password }}"
    repository: /var/backups/postgresql
    name_pattern: base-%Y%m%dT%H%M%S
    wal_archive: /var/backups/wal

- name: Have pgBackRest take a full backup on Sundays and what has changed on the other days
  runbook.ops.postgresql_backup:
    method: pgbackrest
    pgbackrest:
      stanza: main
      type: "{{ 'full' if now().isoweekday() == 7 else 'incr' }}"
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
        - V(dump), V(count), V(globals) or V(publish) with O(method=dump).
        - V(copy), V(encrypt), V(upload) or V(publish) with O(method=basebackup).
        - V(backup) with O(method=pgbackrest).
      type: str
    object:
      description: The database and its server, or the address of what is written, as the naming rule has it.
      type: str
    reason:
      description: What it consists of.
      type: str
    statement:
      description: Of a physical backup, the replication command or the command line.
      type: str
refused:
  description: Always empty; what is refused fails the task, because there is only one thing to do.
  returned: success
  type: list
  elements: dict
before:
  description: The newest published backup before.
  returned: success
  type: dict
  contains: &newest
    name:
      description: Its name; null if there is none.
      type: str
    address:
      description: Its path or address.
      type: str
    taken_at:
      description: The moment of its data, ISO 8601 in UTC.
      type: str
    bytes:
      description: Its size.
      type: int
after:
  description: The newest published backup afterwards. V(null) in check mode.
  returned: success
  type: dict
  contains: *newest
backup:
  description: The new backup. V(null) if none was taken, and in check mode.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    address:
      description: Its path or address.
      type: str
    manifest:
      description: That of its manifest.
      type: str
    globals:
      description: That of the roles and tablespaces; null without O(globals).
      type: str
    database:
      description: The database.
      type: str
    server:
      description: The address that was logged in to. The manifest does not have it.
      type: str
    system_identifier:
      description: The number that the cluster got when it was made, which tells it from every other one.
      type: str
    method:
      description: The value of O(method).
      type: str
    taken_at:
      description: The moment of its data by the server's clock, ISO 8601 in UTC.
      type: str
    started_at:
      description: When the run began.
      type: str
    finished_at:
      description: When the last byte was written.
      type: str
    bytes:
      description: Its size as it lies there.
      type: int
    sha256:
      description: Its SHA-256 as it lies there. Of a directory, that of the list C(sha256sum) gives, sorted by name.
      type: str
    version_id:
      description: The version of the object, where the bucket has versions.
      type: str
    encryption:
      description: The program that encrypted it; null if it is not encrypted.
      type: str
    tables:
      description: How many tables it has, partitions counted one by one.
      type: int
    rows:
      description: How many rows.
      type: int
    large_objects:
      description: How many large objects.
      type: int
    watermarks:
      description: The newest values of O(watermarks).
      type: dict
    format:
      description: The value of O(format).
      type: str
    compression:
      description: How it is compressed, V(zstd), V(gzip) or V(none).
      type: str
    compression_level:
      description: The value of O(compression_level).
      type: int
    client_version:
      description: The version of C(pg_dump).
      type: str
    server_version:
      description: The server's version.
      type: str
    standby:
      description: Whether the server was a standby.
      type: bool
    jobs:
      description: The value of O(jobs).
      type: int
    schemas:
      description: The value of O(schemas).
      type: list
      elements: str
    exclude_schemas:
      description: The value of O(exclude_schemas).
      type: list
      elements: str
    exclude_table_data:
      description: The value of O(exclude_table_data).
      type: list
      elements: str
    partial:
      description: Whether something was left out on purpose.
      type: bool
    members:
      description: Of a base backup, its files below O(name_pattern)'s name.
      type: list
      elements: str
    physical:
      description:
        - Of a base backup, C(system_identifier), C(server_version), C(timeline), C(start_lsn), C(stop_lsn),
          C(wal_segments) that it needs, C(tablespaces), C(checksums), C(cluster_bytes) and more.
        - Of one by pgBackRest, C(type), C(wal_first), C(wal_last), C(references) to the backups that it builds on,
          C(cluster_bytes) and C(repo).
      type: dict
notes:
  description: What a reader must know, such as C(pg_dump)'s warnings and what was left by a run that was killed.
  returned: success
  type: list
  elements: str
diff:
  description: The newest backup before and after.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.backup.encryption import encryption_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import guard_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.object_store.options import object_store_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import (
    dump_argument_spec,
    place_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.run import take_dump
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.entry import take_physical_backup
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.options import (
    DUMP,
    physical_backup_argument_spec,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            # Both connections have a connect_timeout; PostgreSQL's stands.
            **object_store_argument_spec(),
            **postgresql_argument_spec(),
            **guard_argument_spec(),
            **encryption_argument_spec(),
            **physical_backup_argument_spec(),
            **place_argument_spec(),
            **dump_argument_spec(),
        },
        required_if=[
            ("method", "dump", ("repository", "name_pattern")),
            ("method", "basebackup", ("repository", "name_pattern")),
            ("method", "pgbackrest", ("pgbackrest",)),
        ],
        supports_check_mode=True,
    )
    take = take_dump if module.params["method"] == DUMP else take_physical_backup
    try:
        result = take(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
