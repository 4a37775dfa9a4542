# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalogs and the statistics know about indexes, and who is in the way. One statement a question."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import capabilities as probe
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.collations import (
    DRIFTED,
    default_drifted,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.relations import LOCKED, USER_SCHEMAS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import Index, Pages

# Whether the library is there is the connection's question; it answers before any of this is used.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

_SERVER = """
SELECT current_setting('block_size')::int AS block_size,
       has_function_privilege('pg_control_system()', 'EXECUTE') AS is_identified,
       (SELECT d.dattablespace::bigint FROM pg_database d WHERE d.datname = current_database()) AS tablespace
"""

_SYSTEM_IDENTIFIER = "SELECT system_identifier::text AS system_identifier FROM pg_control_system()"

_PGSTATINDEX = """
SELECT n.nspname::text AS schema,
       has_function_privilege(p.oid, 'EXECUTE') AND has_schema_privilege(n.oid, 'USAGE') AS is_usable
FROM pg_extension e
JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.classid = 'pg_proc'::regclass
     AND d.deptype = 'e'
JOIN pg_proc p ON p.oid = d.objid
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE e.extname = 'pgstattuple' AND p.proname = 'pgstatindex'
  AND p.proargtypes::text = 'pg_catalog.regclass'::regtype::oid::text
"""

# Names may be given as they are or as SQL writes them, with the schema or without.
_NAMED = """(n.nspname || '.' || c.relname = ANY (%(names)s::text[]) OR c.relname = ANY (%(names)s::text[])
         OR quote_ident(n.nspname) || '.' || quote_ident(c.relname) = ANY (%(names)s::text[])
         OR quote_ident(c.relname) = ANY (%(names)s::text[]))"""

# Asking for a size waits for the index's lock; what is locked exclusively is estimated and marked.
_INDEXES = """
WITH $locked, $drifted, sized AS MATERIALIZED (
    SELECT c.oid, i.indrelid,
           i.indexrelid IN (SELECT l.relation FROM locked l) OR i.indrelid IN (SELECT l.relation FROM locked l)
               AS is_locked
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE $chosen
), x AS MATERIALIZED (
    SELECT s.*, CASE WHEN s.is_locked
                     THEN (SELECT c.relpages::bigint FROM pg_class c WHERE c.oid = s.oid)
                          * current_setting('block_size')::bigint
                     ELSE coalesce(pg_relation_size(s.oid), 0) END AS size_bytes,
           ARRAY(SELECT DISTINCT d.oid::bigint FROM pg_index i CROSS JOIN LATERAL unnest(i.indcollation) u (oid)
                 JOIN drifted d ON d.oid = u.oid WHERE i.indexrelid = s.oid ORDER BY 1) AS drifted
    FROM sized s
)
SELECT x.oid::bigint, x.indrelid::bigint AS table_oid, n.nspname::text AS schema, c.relname::text AS name,
       t.relname::text AS "table", m.amname::text AS method, x.size_bytes, x.drifted, x.is_locked,
       CASE WHEN c.relkind = 'i' AND NOT x.is_locked THEN pg_get_indexdef(x.oid) ELSE '' END AS definition,
       c.relkind::text AS kind, t.relkind::text AS table_kind, t.relpersistence = 't' AS is_temporary,
       i.indisvalid AS is_valid, i.indisunique AS is_unique, i.indisexclusion AS is_exclusion,
       i.indpred IS NOT NULL AS is_partial, n.nspname ~ '^pg_' OR n.nspname = 'information_schema' AS is_catalog,
       pg_has_role(t.relowner, 'USAGE') $maintain AS may_rebuild,
       pg_has_role(t.relowner, 'USAGE') OR pg_has_role(n.nspowner, 'USAGE') AS may_drop,
       has_schema_privilege(n.oid, 'USAGE') AS may_name,
       quote_ident(pg_get_userbyid(t.relowner)) AS owner,
       c.reltuples::float8 AS index_rows, t.reltuples::float8 AS table_rows,
       pg_stat_get_live_tuples(t.oid) AS live_rows,
       (SELECT o.option_value::int FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'fillfactor')
           AS fillfactor,
       pg_relation_filenode(c.oid)::bigint AS filenode, c.reltablespace::bigint AS tablespace,
       CASE WHEN c.relkind = 'I'
            THEN ARRAY(SELECT p.relid::regclass::text FROM pg_partition_tree(c.oid) p WHERE p.isleaf ORDER BY 1)
       END AS leaves
FROM x
JOIN pg_index i ON i.indexrelid = x.oid
JOIN pg_class c ON c.oid = x.oid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_am m ON m.oid = c.relam
WHERE $interesting
ORDER BY x.size_bytes DESC, n.nspname, c.relname
"""

_EVERYTHING = (
    "c.relkind = 'i' AND t.relpersistence <> 't' AND "
    + USER_SCHEMAS
    + """
      AND (cardinality(%(schemas)s::text[]) = 0 OR n.nspname = ANY (%(schemas)s::text[]))"""
)

_COLUMNS = """
SELECT w.oid::bigint, a.attnum <= i.indnkeyatts AS is_key, s.avg_width, s.null_frac::float8 AS null_frac,
       s.n_distinct::float8 AS n_distinct
FROM unnest(%(oids)s::oid[]) w (oid)
JOIN pg_index i ON i.indexrelid = w.oid
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_attribute a ON a.attrelid = i.indexrelid
LEFT JOIN pg_attribute k ON k.attrelid = i.indrelid AND k.attnum = i.indkey[a.attnum - 1] AND k.attnum <> 0
-- The statistics of an expression are filed under the index.
LEFT JOIN pg_stats s ON s.schemaname = n.nspname AND NOT s.inherited AND s.attname = coalesce(k.attname, a.attname)
     AND s.tablename = CASE WHEN k.attnum IS NULL THEN c.relname ELSE t.relname END
ORDER BY w.oid, a.attnum
"""

_PAGES = """
SELECT internal_pages::bigint, leaf_pages::bigint, empty_pages::bigint, deleted_pages::bigint,
       avg_leaf_density, leaf_fragmentation
FROM {}.pgstatindex(%(oid)s::oid::regclass)
"""

# Whom a rebuild waits for: everybody in this database with a snapshot (WaitForOlderSnapshots), and everybody who holds
# a lock on the table (WaitForLockers). VACUUM has a snapshot and is waited for by nobody.
_TRANSACTIONS = """
WITH here AS (
    SELECT d.oid FROM pg_database d WHERE d.datname = current_database()
), locks AS MATERIALIZED (
    SELECT l.* FROM pg_locks l
)
SELECT a.pid, a.usename::text AS "user", a.application_name AS application, a.state, NULL::text AS gid,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds,
       a.backend_xmin IS NOT NULL AS has_snapshot,
       ARRAY(SELECT l.relation::bigint FROM locks l WHERE l.pid = a.pid AND l.locktype = 'relation'
             AND l.database = (SELECT h.oid FROM here h)) AS relations
FROM pg_stat_activity a
WHERE a.datid = (SELECT h.oid FROM here h) AND a.pid <> pg_backend_pid()
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
  AND a.pid NOT IN (SELECT v.pid FROM pg_stat_progress_vacuum v)
UNION ALL
SELECT NULL, p.owner::text, NULL, 'prepared', p.gid,
       extract(epoch FROM clock_timestamp() - p.prepared)::float8, false,
       ARRAY(SELECT l.relation::bigint FROM locks l JOIN locks x ON x.virtualtransaction = l.virtualtransaction
             WHERE l.pid IS NULL AND l.locktype = 'relation' AND l.database = (SELECT h.oid FROM here h)
               AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.transactionid = p.transaction)
FROM pg_prepared_xacts p
WHERE p.database = current_database()
ORDER BY seconds DESC
"""

_BUILDERS = """
SELECT p.pid, p.relid::bigint AS table_oid FROM pg_stat_progress_create_index p
WHERE p.datname = current_database() AND p.pid <> pg_backend_pid()
"""

_DRIFT = """
WITH $drifted
SELECT d.oid::bigint, n.nspname::text AS schema, c.collname::text AS name, c.collname = 'default' AS is_default,
       CASE WHEN c.collname = 'default' THEN $database_recorded ELSE c.collversion END AS recorded,
       CASE WHEN c.collname = 'default' THEN $database_actual ELSE pg_collation_actual_version(c.oid) END AS actual,
       CASE WHEN c.collname = 'default'
            THEN (SELECT pg_has_role(b.datdba, 'USAGE') FROM pg_database b WHERE b.datname = current_database())
            ELSE pg_has_role(c.collowner, 'USAGE') END AS may_refresh,
       quote_ident(pg_get_userbyid(CASE WHEN c.collname = 'default'
            THEN (SELECT b.datdba FROM pg_database b WHERE b.datname = current_database())
            ELSE c.collowner END)) AS owner,
       -- A range is bounded by the order of its values, so rows may be in the wrong partition; no rebuild cures that.
       ARRAY(SELECT p.partrelid::regclass::text FROM pg_partitioned_table p
             WHERE p.partstrat = 'r' AND d.oid = ANY (p.partcollation::oid[])) AS partitioned
FROM drifted d
JOIN pg_collation c ON c.oid = d.oid
JOIN pg_namespace n ON n.oid = c.collnamespace
ORDER BY 2, 3
"""


@dataclass(frozen=True)
class Catalog:
    """What was read once, at the beginning."""

    capabilities: Capabilities
    block_size: int
    system_identifier: Optional[str]
    tablespace: int
    density_schema: Optional[str]
    density_remedy: str
    indexes: Sequence[Index]
    drifted: Mapping[int, Sequence[int]]
    drift: Sequence[Mapping[str, Any]]


def read_capabilities(session: Session) -> Capabilities:
    """Version, role, extensions and columns."""
    return probe.parse(
        session.query(probe.ROLE_SQL)[0],
        session.query(probe.EXTENSIONS_SQL),
        session.query(probe.COLUMNS_SQL, {"relations": list(probe.PROBED_RELATIONS)}),
    )


def read_catalog(session: Session, capabilities: Capabilities, options: Mapping[str, Any]) -> Catalog:
    """Everything but the measurements.

    Args:
        session: An open session.
        capabilities: Of the same.
        options: C(indexes), C(schemas), C(min_index_bytes).

    """
    server = session.query(_SERVER)[0]
    schema, remedy = _density(session, capabilities)
    drift_pieces = {"drifted": compose(DRIFTED, default_drifted=default_drifted(capabilities))}
    records = capabilities.has("pg_database", "datcollversion")
    database = "(SELECT {} FROM pg_database b WHERE b.datname = current_database())"
    drift = session.query(
        compose(
            _DRIFT,
            **drift_pieces,
            database_recorded=database.format("b.datcollversion") if records else "NULL::text",
            database_actual=database.format("pg_database_collation_actual_version(b.oid)") if records else "NULL::text",
        )
    )
    names = list(options["indexes"])
    # From PostgreSQL 17 one may maintain what one does not own.
    maintain = "OR has_table_privilege(t.oid, 'MAINTAIN')" if capabilities.version_num >= 170000 else ""
    statement = compose(
        _INDEXES,
        **drift_pieces,
        locked=LOCKED,
        maintain=maintain,
        chosen=_NAMED if names else _EVERYTHING,
        interesting="true" if names else "(x.size_bytes >= %(least)s OR cardinality(x.drifted) > 0)",
    )
    rows = session.query(
        statement,
        {"names": names, "schemas": list(options["schemas"]), "least": options["min_index_bytes"], "excluded": []},
    )
    return Catalog(
        capabilities=capabilities,
        block_size=server["block_size"],
        system_identifier=session.query(_SYSTEM_IDENTIFIER)[0]["system_identifier"]
        if server["is_identified"]
        else None,
        tablespace=server["tablespace"],
        density_schema=schema,
        density_remedy=remedy,
        indexes=[index_from(row) for row in rows],
        drifted={row["oid"]: row["drifted"] for row in rows if row["drifted"]},
        drift=drift,
    )


def index_from(row: Mapping[str, Any]) -> Index:
    """An index from a row of the statement above."""
    fields = {key: value for key, value in row.items() if key != "drifted"}
    return Index(**{**fields, "leaves": tuple(row["leaves"] or ())})


def read_one(session: Session, catalog: Catalog, label: str) -> Index | None:
    """An index again, as it is now; None when there is none of this name any more."""
    statement = compose(
        _INDEXES,
        drifted=compose(DRIFTED, default_drifted=default_drifted(catalog.capabilities)),
        locked=LOCKED,
        maintain="",
        chosen="n.nspname || '.' || c.relname = %(name)s",
        interesting="true",
    )
    rows = session.query(statement, {"name": label})
    return index_from(rows[0]) if len(rows) == 1 else None


def _density(session: Session, capabilities: Capabilities) -> tuple[str | None, str]:
    """The schema of a pgstatindex() that may be called, or what is missing for it."""
    grant = f"GRANT pg_stat_scan_tables TO {capabilities.quoted_user};"
    rows = session.query(_PGSTATINDEX)
    if rows and rows[0]["is_usable"]:
        return rows[0]["schema"], ""
    if rows:
        return None, f"{grant} GRANT USAGE ON SCHEMA {rows[0]['schema']} TO {capabilities.quoted_user};"
    return None, f"CREATE EXTENSION pgstattuple; {grant}"


def read_columns(session: Session, oids: Sequence[int]) -> dict[int, list[Mapping[str, Any]]]:
    """The statistics of the columns of these indexes."""
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in session.query(_COLUMNS, {"oids": list(oids)}) if oids else ():
        found.setdefault(row["oid"], []).append(row)
    return found


def read_pages(session: Session, schema: str, oid: int, on_wait: Any = None) -> Pages:
    """Read a B-tree page by page with pgstatindex()."""
    row = session.query(sql.SQL(_PAGES).format(sql.Identifier(schema)), {"oid": oid}, on_wait=on_wait)[0]
    return Pages(
        internal=row["internal_pages"],
        leaf=row["leaf_pages"],
        empty=row["empty_pages"],
        deleted=row["deleted_pages"],
        # An index without entries has no density: NaN.
        density=_finite(row["avg_leaf_density"]),
        fragmentation=_finite(row["leaf_fragmentation"]),
    )


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else round(number, 1)


def read_transactions(session: Session, seconds: float) -> list[dict[str, Any]]:
    """The transactions of this database that are older than so many seconds, and prepared ones of any age."""
    return session.query(_TRANSACTIONS, {"seconds": seconds})


def read_builders(session: Session) -> list[dict[str, Any]]:
    """Who builds an index in this database now; C(table_oid) is None where the role may not see it."""
    return session.query(_BUILDERS)
