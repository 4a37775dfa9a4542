#!/usr/bin/python
# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module postgresql_backup_verify."""

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_backup_verify
short_description: Prove PostgreSQL backups by restoring them
version_added: 0.4.0
description:
  - Proves the newest backups of a repository, or a named one, level by level - V(fresh), it is there and was taken
    recently, by what it holds and not by when its file was written; V(bytes), its size and SHA-256 are those that the
    writer saw; V(decode), it can be decrypted, decompressed and read to its end; V(restore), a server takes all of it
    without an error; V(semantics), the restored copy holds what the database held in the dump's own snapshot, row by
    row; V(consistency), indexes and tables fit each other, and your own SQL says what it should.
  - The verdict is V(verified), V(failed) when the backup is bad, or V(error) when that cannot be told, for instance for
    lack of a key, of space or of a server program. Only V(verified) is good. What is wrong has a code, an object, and
    what to do about it (RV(findings)).
  - A backup is read once. While it comes from its directory or bucket it is hashed, decrypted, decompressed and
    restored; there is no temporary copy of it. The hash is compared at the end, and wins over whatever was concluded
    from bytes that turn out to be bad. Only a directory dump (C(pg_dump -Fd)) in a bucket is copied, because
    C(pg_restore) chooses among its files.
  - Restores into a private server of a fitting version that is made for the occasion, listens on a socket only,
    archives nothing, and is destroyed always, or into a database of its own on O(staging), which must be proven not to
    be the production.
  - Backups of M(runbook.ops.postgresql_backup) are compared with their manifest. Of others (plain, compressed, custom,
    directory and tar) everything is proven that can be, and RV(artefacts[].unproven) says what could not.
    They reach V(semantics) only when something says what must be in them - O(minimum), an earlier verified backup, or
    O(assertions) together with O(level=consistency).
  - Keeps the outcome beside the backup (C(<name>.verified.json)). A backup that is still the same as when it was
    verified costs a look and one block read again (O(resample)), another one every time.
  - With O(method=basebackup) or O(method=pgbackrest), proves a physical backup and its WAL.
  - Runs on a host that has PostgreSQL's client and server programs. No server of it has to run.
author:
  - The runbook.ops contributors (@runbook-ops)
extends_documentation_fragment:
  - runbook.ops.attributes
  - runbook.ops.attributes.actiongroup_aws
  - runbook.ops.object_store
  - runbook.ops.backup_decryption
  - runbook.ops.postgresql_proof
  - runbook.ops.postgresql_physical
  - runbook.ops.postgresql_physical.boundary
attributes:
  check_mode:
    support: full
    details:
      - Nothing is restored and no record is written. RV(actions) say which backups would be proven and which are
        unchanged, and RV(verdict) is V(null).
  diff_mode:
    support: full
options:
  repository:
    description:
      - Where the backups lie. An absolute directory of the host that executes the module, or V(s3://bucket/prefix).
        Required unless O(method=pgbackrest).
    type: str
  name_pattern:
    description:
      - How backups are named, as for M(runbook.ops.postgresql_backup) and M(runbook.ops.backup_info), such as
        V(storebridge-%Y%m%d-%H%M%S.dump). Required unless O(name) is given; together with it, earlier backups are found
        to compare with.
    type: str
  timezone:
    description:
      - The timezone of the dates in names, and of the clock of the machine that wrote backups without a manifest.
    type: str
    default: UTC
  name:
    description:
      - The backup to prove, relative to O(repository). Without it the newest by O(name_pattern).
    type: str
  count:
    description:
      - How many of the newest backups are proven.
    type: int
    default: 1
  ignore:
    description:
      - Shell patterns of names that are no backups.
    type: list
    elements: str
    default: []
  level:
    description:
      - The level that makes a backup verified. Later ones are not looked at.
    type: str
    choices: [fresh, bytes, decode, restore, semantics, consistency]
    default: semantics
  max_age:
    description:
      - A backup must not be older than this, such as V(26h). The moment of the dump's snapshot counts, in a backup
        without a manifest the one in its own header or the newest of O(watermarks).
      - A backup that fails for its age alone keeps its record, because it is still a good backup.
    type: str
  reference_time:
    description:
      - The moment that counts as now for O(max_age), ISO 8601 with time zone. Now, if not given.
    type: str
  identity:
    description:
      - What the backup must be of.
    type: dict
    suboptions:
      database:
        description:
          - Name of the database.
        type: str
      system_identifier:
        description:
          - Identifier of the server, as C(pg_control_system(\)) tells it. Known of backups with a manifest.
        type: str
  minimum:
    description:
      - The least that any backup must hold.
    type: dict
    suboptions:
      tables:
        description:
          - Number of tables.
        type: int
      rows:
        description:
          - Number of rows in all tables together.
        type: int
      required_tables:
        description:
          - Tables that must be there with at least one row, such as V(public.orders).
        type: list
        elements: str
        default: []
  volume_percent:
    description:
      - How much of the rows of the previous verified backup may be gone.
    type: float
    default: 20.0
  watermarks:
    description:
      - Columns whose newest value tells how fresh the content is, such as V(public.orders.created_at). With O(max_age),
        the newest of them must not be older. Needs O(level=semantics) at least.
    type: list
    elements: str
    default: []
  amcheck:
    description:
      - Whether, with O(level=consistency), every B-tree index and, from PostgreSQL 14, every table is looked at with
        the extension C(amcheck), which is part of PostgreSQL's contributed modules.
    type: bool
    default: true
  heapallindexed:
    description:
      - Whether C(amcheck) also looks for rows that an index misses, which takes longer.
    type: bool
    default: false
  ignore_roles:
    description:
      - Whether roles are kept elsewhere, for instance in configuration management. Then a dump that names roles that
        are not backed up beside it is no failure, and owners and privileges are not compared.
    type: bool
    default: false
  weaknesses:
    description:
      - What is done about weaknesses that the original has, too, and its copy rightly - a sequence behind its column, a
        constraint that nobody validated, an invalid index, a disabled trigger, a materialized view without rows, an
        index over text that was built with another version of its sort order.
      - With V(note), they are findings that do not change the verdict. With V(fail), the backup fails for them.
    type: str
    choices: [note, fail]
    default: note
  accept:
    description:
      - Findings that are known and not to be judged, a code such as V(sequence_behind), or a code with a shell pattern
        for the object, such as V(structure_regression:public.old_orders), after that table was dropped on purpose.
      - Possible for V(constraint_not_validated), V(encoding_mismatch), V(matview_unpopulated), V(role_missing),
        V(sequence_behind), V(structure_differs), V(structure_regression), V(volume_regression) and
        V(watermark_repeats).
    type: list
    elements: str
    default: []
  scratch_directory:
    description:
      - The directory in which the private server is made, and removed again. It needs as much room as the database.
        Without it the system's for temporary files.
    type: path
  staging:
    description:
      - Restore into a database of a unique name on this server instead of a private one. The database is dropped
        always, also when the task is killed.
      - The server must be proven not to be the production. Its system identifier must differ from that of the manifest,
        and from those of O(production) and O(identity.system_identifier), as far as given; one of these must be known.
        A physical copy of the production is refused, too.
    type: dict
    suboptions: &server
      login_host:
        description:
          - Name or address of the server. Either this or O(staging.login_unix_socket).
        type: str
      login_port:
        description:
          - Port of the server.
        type: int
        default: 5432
      login_user:
        description:
          - The user to log in as.
        type: str
        default: postgres
      login_password:
        description:
          - The password of the user.
        type: str
      login_unix_socket:
        description:
          - Directory of the server's Unix domain socket.
        type: path
      login_db:
        description:
          - The database to log in to.
        type: str
        default: postgres
      ssl_mode:
        description:
          - Whether and how the connection is encrypted.
        type: str
        choices: [disable, allow, prefer, require, verify-ca, verify-full]
        default: prefer
      ca_cert:
        description:
          - File with the certificates of the authorities that may have signed the server's certificate.
        type: path
      ssl_cert:
        description:
          - File with the client's certificate.
        type: path
      ssl_key:
        description:
          - File with the client's private key.
        type: path
      connect_timeout:
        description:
          - Seconds to wait for the connection.
        type: int
        default: 5
  production:
    description:
      - The production server, which is only asked for its system identifier, so that O(staging) is proven not to be it.
    type: dict
    suboptions: *server
  jobs:
    description:
      - How many sessions restore and count at once. V(0) means one for each processor, eight at most.
    type: int
    default: 0
  force:
    description:
      - Whether everything is proven anew, whatever the record says.
    type: bool
    default: false
  resample:
    description:
      - How many blocks of 64 MiB (of a directory, files) of an unchanged backup are read again, those that were not
        read for the longest time first. A block that has changed is a failure.
    type: int
    default: 1
  manifest:
    description:
      - Whether a backup without a manifest is one. With V(auto), it is none where another backup of the repository has
        a manifest, since M(runbook.ops.postgresql_backup) writes it last.
    type: str
    choices: [auto, required, optional]
    default: auto
  record:
    description:
      - Whether the outcome is kept.
    type: bool
    default: true
  record_repository:
    description:
      - Where the outcome is kept, if not in O(repository), which may be read-only here.
    type: str
  on_failure:
    description:
      - With V(fail), the task fails unless every backup is verified. With V(report), RV(verdict) is for the caller to
        judge.
    type: str
    choices: [fail, report]
    default: fail
  progress_path:
    description:
      - File that the module keeps up to date with where it is. The collection's action sets it, in order to print
        progress; there is no need to set it by hand.
    type: path
requirements:
  - psycopg2 >= 2.9 on the host that executes the module
  - PostgreSQL's client and server programs of a version that is not older than the database's
  - age, gpg, zstd or lz4, for backups that are packed so
notes:
  - PostgreSQL refuses to run as root. The private server of a task that runs as root is run by the account C(postgres),
    or C(nobody), and needs no password.
  - Wanted levels above V(bytes) need the private key of an encrypted backup. Run this where a recovery would take
    place, with the key that it would have.
seealso:
  - module: runbook.ops.postgresql_backup
  - module: runbook.ops.postgresql_restore
  - module: runbook.ops.backup_info
"""

EXAMPLES = r"""
- name: Prove the newest backup of the shop, which must be of the last 26 hours
  runbook.ops.postgresql_backup_verify:
    repository: /var/backups/postgresql
    name_pattern: storebridge-%Y%m%d-%H%M%S.dump
    max_age: 26h

- name: Prove the newest seven in a bucket, with the key of the recovery side and the shop's own rules
  runbook.ops.postgresql_backup_verify:
    repository: s3://storebridge-backups/postgresql
    name_pattern: storebridge-%Y%m%d.dump
    timezone: Asia/Seoul
    count: 7
    level: consistency
    decryption:
      identity_file: /etc/runbook/recovery.age
    assertions:
      - name: every paid order has a payment
        sql: >-
          SELECT count(*) FROM orders o WHERE o.status = 'paid'
          AND NOT EXISTS (SELECT FROM payments p WHERE p.order_id = o.id)
        expect: 0
      - name: there are products
        sql: SELECT count(*) FROM products
        min: 1000

- name: Prove a dump that another program wrote, as far as that is possible
  runbook.ops.postgresql_backup_verify:
    repository: /var/backups/postgresql
    name: storebridge-20260131.sql.gz
    ignore_roles: true
    minimum:
      rows: 100000
      required_tables: [public.orders, public.products]
  register: proof

- name: Show what could not be proven
  ansible.builtin.debug:
    var: proof.artefacts[0].unproven

- name: Restore into the staging server, which must not be the production
  runbook.ops.postgresql_backup_verify:
    repository: /var/backups/postgresql
    name_pattern: storebridge-%Y%m%d-%H%M%S.dump
    staging:
      login_host: staging-db.example.com
      login_user: verifier
      login_password: "{{ staging_password }}"
    production:
      login_host: db.example.com
      login_user: monitoring
      login_password: "{{ monitoring_password }}"

- name: Prove the newest base backup and the WAL behind it by starting a copy of the cluster
  runbook.ops.postgresql_backup_verify:
    method: basebackup
    repository: /var/backups/postgresql
    name_pattern: base-%Y%m%dT%H%M%S
    wal_archive: /var/backups/wal
    level: consistency
    must_see:
      - db: storebridge
        query: SELECT 1 FROM orders

- name: Judge pgBackRest's newest backup, whose verify ends with status 0 whatever it finds
  runbook.ops.postgresql_backup_verify:
    method: pgbackrest
    pgbackrest:
      stanza: main
"""

RETURN = r"""
verdict:
  description: The worst of the backups' verdicts, V(verified), V(failed) or V(error). V(null) in check mode.
  returned: always
  type: str
level:
  description: The level that every one of them reached; null if one reached none.
  returned: always
  type: str
wanted_level:
  description: The level that makes a backup verified.
  returned: always
  type: str
reason:
  description: Why the worst of them is not verified; null if all are.
  returned: always
  type: str
repository:
  description: Where was looked.
  returned: always
  type: str
findings:
  description: Everything that was found, what is wrong first.
  returned: always
  type: list
  elements: dict
  contains:
    artefact:
      description: The backup. Missing in a finding about the repository.
      type: str
    code:
      description:
        - What it is, in one word.
        - At V(fresh), V(no_artefact), V(object_deleted), V(empty_artefact), V(stale).
        - At V(bytes), V(size_mismatch), V(digest_mismatch), V(object_replaced), V(no_digest), V(globals_missing),
          V(unreadable).
        - At V(decode), V(decode_failed), V(decode_truncated), V(marker_missing), V(no_key).
        - At V(restore), V(restore_failed), V(role_missing), V(extension_missing), V(preload_missing),
          V(server_too_old), V(client_too_old), V(no_space), V(restore_error).
        - At V(semantics), V(no_manifest), V(manifest_unreadable), V(identity_mismatch), V(below_minimum),
          V(structure_missing), V(structure_differs), V(structure_regression), V(row_count_mismatch),
          V(content_mismatch), V(volume_regression), V(watermark_repeats), V(large_objects_missing),
          V(encoding_mismatch), V(collation_version), V(sequence_behind), V(constraint_not_validated),
          V(matview_unpopulated), V(role_missing), V(extension_missing).
        - At V(consistency), V(page_corruption), V(assertion_failed), V(assertion_error).
        - Of physical backups also V(wal_gap), V(wal_invalid) and V(wal_unreadable) at V(decode),
          V(recovery_ended_early) and V(archive_mode_on) at V(restore), V(must_see), V(must_not_see) and
          V(question_error) at V(semantics),
          V(pgbackrest_error) and V(pgbackrest_unknown) at V(bytes).
      type: str
    level:
      description: The level that does not hold.
      type: str
    outcome:
      description: V(failed), V(error), or V(noted) for what does not change the verdict.
      type: str
    object:
      description: What it is about, such as a table. V(null) when it is about the whole backup.
      type: str
    expected:
      description: What should be.
      type: raw
    found:
      description: What is.
      type: raw
    message:
      description: The same in words.
      type: str
    remedy:
      description: What to do.
      type: str
artefacts:
  description: The backups, newest first. Empty in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its name in the repository.
      type: str
    address:
      description: Its path or address.
      type: str
    verdict:
      description: V(verified), V(failed) or V(error).
      type: str
    level:
      description: The last level that was proven, together with all before it. Null if none was.
      type: str
    wanted_level:
      description: The level that makes it verified.
      type: str
    reason:
      description: Why it is not verified; null if it is.
      type: str
    findings:
      description: What was found, as in RV(findings).
      type: list
      elements: dict
    unproven:
      description: What nothing here could prove.
      type: list
      elements: str
    levels:
      description: Each with C(level), C(outcome), V(passed), V(skipped), V(failed) or V(error), and C(detail).
      type: list
      elements: dict
    notes:
      description: What should be known beside.
      type: list
      elements: str
    taken_at:
      description: When its content was taken, ISO 8601 in UTC; null when nothing says so.
      type: str
    age_seconds:
      description: Seconds since then.
      type: int
    bytes:
      description: Its size; null when it is not there.
      type: int
    sha256:
      description: Its SHA-256, of a directory that of its files' list; null when it was not read to its end.
      type: str
    version_id:
      description: Its version in a bucket with versions.
      type: str
    has_manifest:
      description: Whether it has a manifest.
      type: bool
    kind:
      description: What it is inside all packing, V(plain), V(custom), V(tar), V(directory) or V(unknown).
      type: str
    is_unchanged:
      description: Whether its record sufficed.
      type: bool
    is_restorable:
      description:
        - Whether it can be brought to its own moment at least. With RV(verdict=failed) this says that only the WAL
          behind a physical backup is bad. Only for O(method=basebackup) and O(method=pgbackrest).
      type: bool
      version_added: 0.5.0
    verified_at:
      description: When it was proven to be good; null when it is not.
      type: str
    record:
      description: Where the outcome is kept.
      type: str
    seconds:
      description: Seconds by phase, C(look), C(read), C(server), C(restore) and its parts, C(census), C(consistency),
        C(total).
      type: dict
    read:
      description: What was read, C(bytes) of the backup and C(content_bytes) decoded.
      type: dict
    target:
      description: Where it was restored, with C(kind), C(version), C(settings) as the server itself told them, and
        C(notes). Null when it was not.
      type: dict
    tables:
      description: Tables in the restored copy; null when they were not counted.
      type: int
    rows:
      description: Rows in it; null when they were not counted.
      type: int
    method:
      description: Of a physical backup, the value of O(method).
      type: str
    window:
      description: Of a physical backup, what can be reached, from its own end (C(from)) to the last commit in the WAL
        (C(until)), and the C(last_segment) up to there.
      type: dict
    wal:
      description: Of a physical backup with a WAL archive, C(archive), C(timeline), C(segments) that were read,
        C(first), C(last) and C(gaps). Null without an archive.
      type: dict
    recovered:
      description: Of a physical backup that was started, C(lsn), C(last_commit_at), C(timeline), C(seconds) and the
        C(settings) that the private server itself told. Null when it was not.
      type: dict
    answers:
      description: Of a physical backup, the questions of O(must_see) and O(must_not_see), with C(kind), C(db),
        C(query), C(rows), C(holds) and C(error).
      type: list
      elements: dict
actions:
  description: One entry a backup, with C(action), V(verify), V(sample) or V(look), C(object) and C(reason). The same in
    check mode.
  returned: always
  type: list
  elements: dict
refused:
  description: Always empty. What is refused fails the task before anything is touched.
  returned: always
  type: list
  elements: dict
before:
  description: By backup, what its record said before, with C(verdict), C(level) and C(verified_at).
  returned: always
  type: dict
after:
  description: The same afterwards. Null in check mode.
  returned: always
  type: dict
diff:
  description: RV(before) and RV(after) for C(--diff).
  returned: always
  type: dict
seconds:
  description: Seconds for everything.
  returned: always
  type: float
bytes_read:
  description: Bytes read from the repository.
  returned: always
  type: int
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.entry import verify_physical
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.options import DUMP
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import verify_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.run import verify_backups


def run(params: dict[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Prove dumps here, and physical backups where that is known."""
    if params["method"] != DUMP:
        return verify_physical(params, check_mode=check_mode)
    return verify_backups(params, check_mode=check_mode)


def main() -> None:
    module = AnsibleModule(
        argument_spec=verify_argument_spec(),
        required_if=[
            ("method", "dump", ("repository",)),
            ("method", "basebackup", ("repository",)),
            ("method", "pgbackrest", ("pgbackrest",)),
        ],
        supports_check_mode=True,
    )
    try:
        result = run(module.params, check_mode=module.check_mode)
    except RunbookError as error:
        module.fail_json(msg=error.message, **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
