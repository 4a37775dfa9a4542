# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is asked of the server: the tables and what is due, who holds back, who is at work, what was done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.autovacuum import due
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.relations import LOCKED, USER_SCHEMAS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.wraparound import AGES, HOLDERS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.horizon import (
    Checkpoint,
    Horizon,
    horizon,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.names import (
    Name,
    parse_name,
    resolve,
    spellings,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.options import Rules

Row = dict[str, Any]

_SERVER = """
SELECT current_setting('server_version_num')::int / 10000 AS major, current_database()::text AS database,
       quote_ident(current_user) AS quoted_user, current_setting('track_counts')::bool AS counts,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       has_function_privilege('pg_control_checkpoint()', 'EXECUTE') AS sees_checkpoint,
       EXISTS (SELECT FROM pg_attribute a
               WHERE a.attrelid = 'pg_class'::regclass AND a.attname = 'relallfrozen') AS counts_frozen
"""

_NAMED = """
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind, c.relpersistence
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ANY (%(names)s::name[])
"""

# A partitioned table has no rows of its own: its name stands for its partitions.
_PARTITIONS = """
WITH RECURSIVE tree AS (
    SELECT unnest(%(oids)s::oid[]) AS oid
    UNION
    SELECT i.inhrelid FROM tree t
    JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p'
    JOIN pg_inherits i ON i.inhparent = t.oid
)
SELECT t.oid::bigint AS oid, c.reltoastrelid::bigint AS toast FROM tree t JOIN pg_class c ON c.oid = t.oid
"""

_SCHEMAS = """
SELECT w.name FROM unnest(%(schemas)s::text[]) AS w (name)
WHERE NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = w.name)
"""

_TABLES = """
WITH $due, $ages, $locked
SELECT m.oid::bigint AS oid, m.schema, m.name, quote_ident(m.schema) || '.' || quote_ident(m.name) AS qualified,
       m.relkind, m.relispartition, c.relisshared AS is_shared, m.schema = 'pg_catalog' AS is_catalog,
       c.relhassubclass AND c.relkind = 'r' AS has_children,
       coalesce(nullif(c.reltablespace, 0), d.dattablespace)::bigint AS tablespace,
       CASE WHEN f.option_value IS NULL THEN 100 ELSE f.option_value::int END AS fillfactor,
       quote_ident(pg_get_userbyid(c.relowner)) AS quoted_owner,
       coalesce((SELECT r.rolsuper FROM pg_roles r WHERE r.oid = c.relowner), false) AS owner_is_superuser,
       pg_has_role(c.relowner, 'USAGE') OR (NOT c.relisshared AND pg_has_role(d.datdba, 'USAGE')) OR $maintain
           AS may_maintain,
       m.oid = ANY (%(named)s::oid[]) AS is_named,
       m.dead_rows, m.vacuum_threshold, m.is_dead_due, m.inserted_rows, m.insert_threshold, m.is_insert_due,
       m.modified_rows, m.analyze_threshold, m.is_analyze_due, m.is_never_analyzed,
       greatest(m.live_rows, m.counted_rows) AS row_count, m.vacuum_score, m.analyze_score,
       m.last_vacuum, m.last_analyze, a.xid_age, a.freeze_max_age, a.multixact_age, a.multixact_freeze_max_age,
       x.dead_rows AS toast_dead_rows, x.vacuum_threshold AS toast_vacuum_threshold,
       coalesce(x.is_dead_due, false) AS toast_is_dead_due, x.inserted_rows AS toast_inserted_rows,
       x.insert_threshold AS toast_insert_threshold, coalesce(x.is_insert_due, false) AS toast_is_insert_due,
       x.last_vacuum AS toast_last_vacuum, xa.xid_age AS toast_xid_age, xa.freeze_max_age AS toast_freeze_max_age,
       xa.multixact_age AS toast_multixact_age, xa.multixact_freeze_max_age AS toast_multixact_freeze_max_age,
       CASE WHEN m.oid IN (SELECT relation FROM locked)
            THEN c.relpages::bigint * current_setting('block_size')::bigint
            ELSE pg_total_relation_size(m.oid) END AS total_bytes,
       count(*) OVER () AS found
FROM t m
JOIN pg_class c ON c.oid = m.oid
JOIN pg_database d ON d.datname = current_database()
JOIN r a ON a.oid = m.oid
LEFT JOIN t x ON x.oid = c.reltoastrelid
LEFT JOIN r xa ON xa.oid = c.reltoastrelid
LEFT JOIN LATERAL (
    SELECT p.option_value FROM pg_options_to_table(c.reloptions) p WHERE p.option_name = 'fillfactor'
) f ON c.reloptions IS NOT NULL
WHERE m.relkind IN ('r', 'm')
  AND (%(everything)s
       OR m.is_dead_due OR m.is_insert_due OR (%(analyze)s AND (m.is_analyze_due OR m.is_never_analyzed))
       OR a.xid_age >= a.freeze_max_age * %(freeze_share)s
       OR a.multixact_age >= a.multixact_freeze_max_age * %(freeze_share)s
       OR x.is_dead_due OR x.is_insert_due
       OR xa.xid_age >= xa.freeze_max_age * %(freeze_share)s
       OR xa.multixact_age >= xa.multixact_freeze_max_age * %(freeze_share)s)
ORDER BY m.schema, m.name
"""

_COUNT = """
SELECT count(*) AS count FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND $which
"""

_CHECKPOINT = """
SELECT checkpoint_time AS time, age(split_part(next_xid, ':', 2)::xid) AS xid_age FROM pg_control_checkpoint()
"""

# What works on a table, or on the TOAST table of a table, so that a second VACUUM would wait for it or end it.
_BUSY = """
SELECT coalesce(o.oid, w.relid)::bigint AS oid, w.pid, w.command, w.phase, w.percent,
       coalesce(a.backend_type = 'autovacuum worker', false) AS is_autovacuum,
       coalesce(position('(to prevent wraparound)' IN a.query) > 0, false) AS prevents_wraparound
FROM (
    SELECT v.pid, v.datname, v.relid, 'VACUUM' AS command, v.phase,
           100.0 * v.heap_blks_scanned / nullif(v.heap_blks_total, 0) AS percent
    FROM pg_stat_progress_vacuum v
    UNION ALL
    SELECT y.pid, y.datname, y.relid, 'ANALYZE', y.phase,
           100.0 * y.sample_blks_scanned / nullif(y.sample_blks_total, 0)
    FROM pg_stat_progress_analyze y
    UNION ALL
    SELECT u.pid, u.datname, u.relid, u.command, u.phase, 100.0 * u.heap_blks_scanned / nullif(u.heap_blks_total, 0)
    FROM pg_stat_progress_cluster u
) w
LEFT JOIN pg_class o ON o.reltoastrelid = w.relid AND w.relid <> 0
LEFT JOIN pg_stat_activity a ON a.pid = w.pid
WHERE w.datname = current_database() AND w.relid <> 0 AND w.pid <> pg_backend_pid()
"""

_COUNTERS = """
SELECT pg_stat_get_vacuum_count(c.oid) AS vacuum_count, pg_stat_get_analyze_count(c.oid) AS analyze_count,
       pg_relation_filenode(c.oid)::bigint AS filenode
FROM pg_class c WHERE c.oid = %(oid)s::oid
"""

# Who holds a lock that VACUUM, or with FULL anything at all, has to wait for.
_LOCK_HOLDERS = """
SELECT l.pid, l.mode, a.usename::text AS "user", a.application_name AS application, a.state, a.backend_type,
       (SELECT p.gid FROM pg_locks x JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
        WHERE x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid' AND l.pid IS NULL
        LIMIT 1) AS gid
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = %(oid)s::oid AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  AND (%(any)s OR l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                             'AccessExclusiveLock'))
ORDER BY a.xact_start NULLS LAST, l.pid
"""


@dataclass(frozen=True)
class Server:
    """What of the server and the role decides how things are asked and done."""

    major: int
    database: str
    quoted_user: str
    sees_all: bool
    sees_checkpoint: bool
    counts_frozen: bool


@dataclass(frozen=True)
class Target:
    """Which tables are looked at, and the thresholds that are bound; C(toasts) are the TOAST tables of C(named)."""

    named: tuple[int, ...] = ()
    toasts: tuple[int, ...] = ()
    excluded: tuple[int, ...] = ()
    schemas: tuple[str, ...] = ()
    due_factor: float = 1.0
    freeze_share: float = 0.8
    everything: bool = False


def ask_server(session: Session) -> Server:
    """The facts that everything else depends on.

    Raises:
        Refused: the server does not count rows, so that nothing can be decided or proven.

    """
    row = session.query(_SERVER)[0]
    if not row.pop("counts"):
        raise Refused(
            "track_counts is off, so the server does not know how many rows are dead or changed. "
            "Set track_counts = on and reload."
        )
    return Server(**row)


def find_target(session: Session, options: Mapping[str, Any], server: Server) -> Target:
    """Find the tables that are named.

    Raises:
        RunbookError: a name that does not stand for exactly one table, or a schema that does not exist.

    """
    if options["schemas"]:
        missing = session.query(_SCHEMAS, {"schemas": list(options["schemas"])})
        if missing:
            raise RunbookError(
                f"schemas: there is no schema {missing[0]['name']} in database {server.database}. "
                "Correct the name, or login_db."
            )
    named = _find(session, "tables", options["tables"], server)
    return Target(
        named=tuple(named),
        toasts=tuple(toast for toast in named.values() if toast),
        excluded=tuple(_find(session, "exclude_tables", options["exclude_tables"], server)),
        schemas=tuple(options["schemas"]),
        due_factor=options["due_percent"] / 100,
        freeze_share=options["freeze_age_percent"] / 100,
        everything=bool(options["force"] or options["full"]),
    )


def _find(session: Session, option: str, texts: Sequence[str], server: Server) -> dict[int, int]:
    """The tables that are meant, with their partitions, and their TOAST tables (0 if there is none)."""
    names: list[Name] = [parse_name(option, text) for text in texts]
    if not names:
        return {}
    rows = session.query(_NAMED, {"names": spellings(names)})
    oids = [resolve(option, name, rows, server.database) for name in names]
    return {row["oid"]: row["toast"] for row in session.query(_PARTITIONS, {"oids": oids})}


def _which(target: Target, owner: str) -> str:
    """A condition on C(c) and C(n); C(owner) is the oid of the table, of which C(c) may be the TOAST table."""
    if target.named:
        chosen = "c.oid = ANY (%(relations)s::oid[])"
    elif target.schemas:
        chosen = "n.nspname = ANY (%(schemas)s::text[])"
    else:
        chosen = USER_SCHEMAS
    return f"({chosen}) AND {owner} <> ALL (%(excluded_oids)s::oid[])"


def _bindings(target: Target, rules: Rules) -> dict[str, Any]:
    return {
        "named": list(target.named),
        "relations": [*target.named, *target.toasts],
        "excluded_oids": list(target.excluded),
        "schemas": list(target.schemas),
        "excluded": [],
        "factor": target.due_factor,
        "freeze_share": target.freeze_share,
        "analyze": rules.analyze,
        "everything": target.everything,
    }


def count_tables(session: Session, target: Target, rules: Rules) -> int:
    """How many tables were looked at."""
    statement = compose(_COUNT, which=_which(target, "c.oid"))
    return int(session.query(statement, _bindings(target, rules))[0]["count"])


def measure_tables(session: Session, target: Target, rules: Rules, server: Server) -> list[Row]:
    """The tables that are due for anything, and with C(everything) those that are not, too."""
    statement = compose(
        _TABLES,
        due=due(
            counts_frozen=server.counts_frozen,
            relations="c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't' AND "
            + _which(target, "coalesce(owner.oid, c.oid)"),
            factor="%(factor)s::float8",
            # An index serves the few that are named; otherwise all of pg_class is read once.
            toast_of="owner.oid = ANY (%(named)s::oid[])" if target.named else "true",
        ),
        ages=compose(AGES.strip(), relations="c.oid = ANY (%(relations)s::oid[])" if target.named else "true"),
        locked=LOCKED.strip(),
        maintain="has_table_privilege(c.oid, 'MAINTAIN')" if server.major >= 17 else "false",
    )
    # Nobody knows how many rows a common table expression has, and joined by a loop within a loop, 20,000 tables take a
    # minute instead of half a second.
    with session.read_only_transaction({} if target.named else {"enable_nestloop": "off"}):
        return session.query(statement, _bindings(target, rules))


def measure_table(session: Session, oid: int, target: Target, rules: Rules, server: Server) -> Row | None:
    """One table, due or not; None when it is no longer there."""
    found = session.query(_PARTITIONS, {"oids": [oid]})
    if not found:
        return None
    alone = Target(
        named=(oid,),
        toasts=(found[0]["toast"],),
        due_factor=target.due_factor,
        freeze_share=target.freeze_share,
        everything=True,
    )
    rows = measure_tables(session, alone, rules, server)
    return rows[0] if rows else None


def find_horizon(session: Session, server: Server) -> Horizon:
    """Who keeps VACUUM from removing what is dead."""
    checkpoint = None
    if server.sees_checkpoint:
        row = session.query(_CHECKPOINT)[0]
        checkpoint = Checkpoint(row["time"], row["xid_age"])
    return horizon(session.query(HOLDERS), server.database, checkpoint, sees_all=server.sees_all)


def find_busy(session: Session) -> dict[int, Row]:
    """Tables that a VACUUM, ANALYZE or CLUSTER is at, by oid."""
    return {row["oid"]: row for row in session.query(_BUSY)}


def counters(session: Session, oid: int) -> Row | None:
    """What moves when a statement was really carried out; None when the table is gone."""
    rows = session.query(_COUNTERS, {"oid": oid})
    return rows[0] if rows else None


def lock_holders(session: Session, oid: int, *, exclusive: bool) -> list[str]:
    """Who stands in the way of a lock on the table, for people."""
    return [_locker(row) for row in session.query(_LOCK_HOLDERS, {"oid": oid, "any": exclusive})]


def _locker(row: Row) -> str:
    if row["gid"] is not None:
        return f"prepared transaction {row['gid']} ({row['mode']})"
    who = row["application"] or row["user"] or row["backend_type"] or "unknown client"
    state = f", {row['state']}" if row["state"] else ""
    return f"pid {row['pid']} ({who}, {row['mode']}{state})"
