# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways of making backups, and what each can and cannot do, whatever a policy promises. Pure.

Sources: the documentation of the services and programs named.
"""

from __future__ import annotations

from dataclasses import dataclass

_HOUR, _DAY = 3600.0, 86400.0
DATA, SCHEMA, ROLES, FILES = "data", "schema", "roles", "files"


@dataclass(frozen=True)
class Method:
    """What a way of making backups is able to do.

    Args:
        label: For sentences.
        contents: What it holds unless the policy says otherwise.
        shortest_seconds: The service makes no two within this time.
        longest_keep_seconds: The service keeps them no longer.
        setting: Methods with the same setting share one retention.
        replays_on: Changes alone: worth something only on top of one of these.
        reaches_any_moment: Whether it can be restored as of any moment.

    """

    label: str
    contents: frozenset[str]
    shortest_seconds: float = 0.0
    longest_keep_seconds: float | None = None
    setting: str = ""
    replays_on: tuple[str, ...] = ()
    reaches_any_moment: bool = False


_ALL = frozenset({SCHEMA, DATA})
_CLUSTER = frozenset({SCHEMA, DATA, ROLES})
_FILES = frozenset({DATA, FILES})
_RDS = "the automated backups of RDS have one retention for snapshots and point-in-time recovery"
_PHYSICAL = ("pg_basebackup", "pgbackrest")

METHODS: dict[str, Method] = {
    "pg_dump": Method("pg_dump", _ALL),
    "pg_dumpall": Method("pg_dumpall", _CLUSTER),
    "pg_basebackup": Method("pg_basebackup", _CLUSTER),
    "pgbackrest": Method("pgBackRest", _CLUSTER, reaches_any_moment=True),
    "wal_archive": Method("the WAL archive", _CLUSTER, replays_on=_PHYSICAL, reaches_any_moment=True),
    "incremental": Method("the incremental backup", _CLUSTER, replays_on=_PHYSICAL),
    "rds_snapshot": Method(
        "the automated RDS snapshot", _CLUSTER, shortest_seconds=_DAY, longest_keep_seconds=35 * _DAY, setting=_RDS
    ),
    "rds_pitr": Method(
        "RDS point-in-time recovery", _CLUSTER, longest_keep_seconds=35 * _DAY, setting=_RDS, reaches_any_moment=True
    ),
    "rds_manual_snapshot": Method("the manual RDS snapshot", _CLUSTER),
    "elasticache_snapshot": Method(
        "the automatic ElastiCache snapshot", frozenset({DATA}), shortest_seconds=_DAY, longest_keep_seconds=35 * _DAY
    ),
    "atlas_snapshot": Method("the Atlas snapshot", _ALL),
    "atlas_continuous": Method("the Atlas continuous backup", _ALL, reaches_any_moment=True),
    "supabase_db_dump": Method("supabase db dump", frozenset({SCHEMA})),
    "supabase_daily": Method("the daily backup of Supabase", _ALL, shortest_seconds=_DAY),
    "supabase_pitr": Method("Supabase point-in-time recovery", _CLUSTER, reaches_any_moment=True),
    "redis_rdb": Method("the RDB snapshot", frozenset({DATA})),
    "s3_versioning": Method("the versioning of the bucket", _FILES),
    "s3_sync": Method("s3 sync", _FILES),
    "rsync": Method("rsync", _FILES),
    "files_full": Method("the full copy of the files", _FILES),
    "files_incremental": Method("the incremental copy of the files", _FILES, replays_on=("files_full",)),
    "kubernetes_export": Method("the export of the cluster's objects", frozenset({SCHEMA})),
    "git": Method("git", _FILES),
    "other": Method("the backup", _ALL),
}
