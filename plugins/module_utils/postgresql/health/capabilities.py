# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this server, this database and this role offer: asked once, so that sections can choose. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

ROLE_SQL = """
SELECT current_setting('server_version_num')::int AS version_num,
       current_database()::text AS database,
       current_user::text AS role,
       quote_ident(current_user) AS quoted_user,
       quote_ident(current_database()) AS quoted_database,
       (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) AS is_superuser,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS reads_stats,
       pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') AS reads_settings,
       has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE') AS lists_archive_status,
       has_function_privilege('pg_ls_waldir()', 'EXECUTE') AS lists_wal,
       current_setting('pg_stat_statements.max', true) IS NOT NULL AS preloads_statements,
       EXISTS (SELECT FROM pg_available_extensions() a WHERE a.name = 'pg_stat_statements') AS offers_statements,
       pg_is_in_recovery() AS in_recovery,
       pg_postmaster_start_time() AS started_at,
       -- Since when the database's counters have counted, at least. They are lost in a crash; then the
       -- database has no stats_reset, but the writer's, reset at the same moment, tells when.
       coalesce((SELECT d.stats_reset FROM pg_stat_database d WHERE d.datname = current_database()),
                (SELECT b.stats_reset FROM pg_stat_bgwriter b)) AS stats_since,
       clock_timestamp() AS now
"""

EXTENSIONS_SQL = """
SELECT e.extname::text AS name, e.extversion AS version, quote_ident(n.nspname) AS quoted_schema
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

# Presence is asked for column by column: an extension may lag behind its server, and servers that are not
# quite PostgreSQL exist.
COLUMNS_SQL = """
SELECT c.relname::text AS relation, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM (
    SELECT k.oid FROM pg_class k
    WHERE k.relname = ANY (%(relations)s::name[]) AND k.relnamespace = 'pg_catalog'::regnamespace
    UNION ALL
    SELECT d.objid
    FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
    WHERE e.extname = 'pg_stat_statements' AND d.classid = 'pg_class'::regclass AND d.deptype = 'e'
) r
JOIN pg_class c ON c.oid = r.oid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY c.oid, c.relname
"""

PROBED_RELATIONS = (
    "pg_class",
    "pg_collation",
    "pg_database",
    "pg_index",
    "pg_locks",
    "pg_replication_slots",
    "pg_stat_activity",
    "pg_stat_all_indexes",
    "pg_stat_bgwriter",
    "pg_stat_checkpointer",
    "pg_stat_database",
    "pg_stat_subscription",
    "pg_stat_subscription_stats",
    "pg_stat_wal",
)


@dataclass(frozen=True)
class Extension:
    """An installed extension; the schema is quoted by the server, ready for SQL."""

    version: str
    quoted_schema: str


@dataclass(frozen=True)
class Capabilities:
    """The answers. C(columns) maps a relation to its columns; a relation that is not there has none."""

    version_num: int
    database: str = "postgres"
    user: str = "postgres"
    quoted_user: str = "postgres"
    quoted_database: str = "postgres"
    is_superuser: bool = False
    reads_stats: bool = False
    reads_settings: bool = False
    lists_archive_status: bool = False
    lists_wal: bool = False
    preloads_statements: bool = False
    offers_statements: bool = False
    in_recovery: bool = False
    started_at: Optional[dt.datetime] = None
    stats_since: Optional[dt.datetime] = None
    now: Optional[dt.datetime] = None
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def major(self) -> int:
        """The major version."""
        return self.version_num // 10000

    def has(self, relation: str, column: str = "") -> bool:
        """Whether the relation, or a column of it, is there."""
        columns = self.columns.get(relation)
        return columns is not None and (not column or column in columns)

    def pick(self, relation: str, column: str, *, alias: str, otherwise: str) -> str:
        """SQL for a column where it exists and C(otherwise), such as a typed NULL, where it does not."""
        return f"{alias}.{column}" if self.has(relation, column) else otherwise


def parse(
    role: Mapping[str, Any], extensions: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]]
) -> Capabilities:
    """Capabilities from the rows of the three statements above."""
    return Capabilities(
        version_num=role["version_num"],
        database=role["database"],
        user=role["role"],
        quoted_user=role["quoted_user"],
        quoted_database=role["quoted_database"],
        is_superuser=bool(role["is_superuser"]),
        reads_stats=role["reads_stats"],
        reads_settings=role["reads_settings"],
        lists_archive_status=role["lists_archive_status"],
        lists_wal=role["lists_wal"],
        preloads_statements=role["preloads_statements"],
        offers_statements=role["offers_statements"],
        in_recovery=role["in_recovery"],
        started_at=role["started_at"],
        stats_since=role["stats_since"],
        now=role["now"],
        extensions={row["name"]: Extension(row["version"], row["quoted_schema"]) for row in extensions},
        columns={row["relation"]: frozenset(row["columns"]) for row in columns},
    )
