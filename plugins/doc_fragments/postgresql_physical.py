# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of physical backups; module_utils/postgresql/physical/options.py says the same."""

from __future__ import annotations


class ModuleDocFragment:
    """Base backups with a WAL archive, and pgBackRest."""

    # What writing, proving and restoring have in common.
    DOCUMENTATION = r"""
options:
  method:
    description:
      - V(dump) is a logical backup of one database by C(pg_dump).
      - V(basebackup) is a physical copy of the whole cluster by C(pg_basebackup), which together with a WAL archive
        (O(wal_archive)) can be brought to any moment after its end.
      - V(pgbackrest) leaves the work to pgBackRest, which must be installed and configured, and judges what it did.
    type: str
    choices: [dump, basebackup, pgbackrest]
    default: dump
  wal_archive:
    description:
      - Where the server's C(archive_command) puts WAL segments, a directory of the host or V(s3://bucket/prefix).
        Segments may be compressed (C(.gz), C(.zst)).
      - For O(method=basebackup). Without it a backup can only be brought to the moment of its own end, from the WAL
        that it carries.
    type: str
  pgbackrest:
    description:
      - How pgBackRest is called; for O(method=pgbackrest).
    type: dict
    suboptions:
      stanza:
        description:
          - The stanza, as in pgBackRest's configuration.
        type: str
        required: true
      config:
        description:
          - Its configuration file, if that is not pgBackRest's default.
        type: path
      repo:
        description:
          - Number of the repository, if there are several.
        type: int
      type:
        description:
          - What is taken. Without an earlier full backup pgBackRest takes a full one anyway.
        type: str
        choices: [full, diff, incr]
        default: incr
      label:
        description:
          - The backup to prove or restore, such as V(20260131-020003F). The newest that fits, if not given.
        type: str
      account:
        description:
          - Operating system account that owns pgBackRest's repository and runs it. Only used when the task runs as
            root.
        type: str
        default: postgres
      superuser:
        description:
          - The name of the cluster's superuser, by which a copy that is started is asked.
        type: str
        default: postgres
      program:
        description:
          - The path of C(pgbackrest), if it is not in one of the usual places.
        type: path
      timeout:
        description:
          - Seconds that a single run of pgBackRest may take.
        type: float
        default: 86400.0
notes:
  - A server that archives into a directory needs an C(archive_command) that shows a segment only when it is whole and
    on the disk, that never writes over different content, and that may be repeated. With coreutils,
    C(if test -e /var/backups/wal/%f; then cmp -s %p /var/backups/wal/%f; else cp %p /var/backups/wal/.%f.tmp && sync
    /var/backups/wal/.%f.tmp && ln /var/backups/wal/.%f.tmp /var/backups/wal/%f && rm /var/backups/wal/.%f.tmp && sync
    /var/backups/wal; fi)
  - A quiet server archives a segment only when it is full. With C(archive_timeout = 60s) no more than a minute is lost
    with it.
"""

    # Options of the module that takes backups.
    BACKUP = r"""
options:
  basebackup:
    description:
      - How C(pg_basebackup) works; for O(method=basebackup).
    type: dict
    default: {}
    suboptions:
      wal_method:
        description:
          - V(stream) sends the WAL of the backup beside it, over a second connection and a temporary slot.
          - V(fetch) collects it at the end, over one connection; the server must have kept it (C(wal_keep_size)).
          - V(none) leaves it to O(wal_archive), which is then required.
        type: str
        choices: [stream, fetch, none]
        default: stream
      checkpoint:
        description:
          - V(fast) begins at once with a checkpoint that loads the disks. V(spread) waits for the server's next
            one, which may take minutes (C(checkpoint_timeout)).
        type: str
        choices: [fast, spread]
        default: fast
      compression:
        description:
          - Of the archives that are written. V(gzip) works with every version.
        type: str
        choices: [none, gzip]
        default: gzip
      compression_level:
        description:
          - From 1 (fast) to 9 (small). The program's default, if not given.
        type: int
      max_rate:
        description:
          - At most so much per second is read from the server, such as V(50M) or V(512k).
        type: str
      label:
        description:
          - The label that is written into the backup.
        type: str
        default: runbook.ops
"""

    # Options of the modules that start what was restored.
    BOUNDARY = r"""
options:
  must_see:
    description:
      - Queries that must give at least one row in the recovered server, such as one for the last order before an
        accident.
      - For O(method=basebackup) and O(method=pgbackrest). They run in transactions that are read-only.
    type: list
    elements: dict
    default: []
    suboptions: &query
      db:
        description:
          - The database.
        type: str
        default: postgres
      query:
        description:
          - One statement.
        type: str
        required: true
  must_not_see:
    description:
      - Queries that must give no row in it, such as one for the first order after the accident.
    type: list
    elements: dict
    default: []
    suboptions: *query
"""

    # Options of the module that restores.
    RESTORE = r"""
options:
  target_time:
    description:
      - The moment that the cluster is brought to, ISO 8601 with timezone, such as V(2026-01-31T09:00:00+09:00), or
        V(latest) for the end of the WAL. Required for O(method=basebackup) and O(method=pgbackrest).
      - A moment before the end of the oldest backup, or after the last commit in the WAL, cannot be reached, and is
        refused before anything is written.
    type: str
  target_inclusive:
    description:
      - Whether a transaction that was committed exactly at O(target_time) is part of the result.
    type: bool
    default: true
  target_timeline:
    description:
      - The timeline to follow, a number, or V(latest).
    type: str
    default: latest
  data_directory:
    description:
      - The new data directory. It must not exist, or be empty. It appears when everything is done and looked at.
      - For O(method=basebackup) and O(method=pgbackrest).
    type: path
  data_owner:
    description:
      - Operating system account that the new data directory is for. Only used when the task runs as root.
    type: str
    default: postgres
  tablespaces:
    description:
      - New directories of tablespaces, by their old ones. Each must not exist, or be empty. Required for every
        tablespace of the backup.
    type: dict
    default: {}
"""
