# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When autovacuum would come: its arithmetic, once, for those who report it and for those who act on it. Pure."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose

# The manual, "The Autovacuum Daemon", and relation_needs_vacanalyze() in the server's autovacuum.c: storage parameters
# of the table first. One pass over the catalog; the last of these common table expressions is "t".
_DUE = """
defaults AS MATERIALIZED (
    SELECT current_setting('autovacuum')::bool AS enabled,
           current_setting('autovacuum_vacuum_threshold')::float8 AS vacuum_base,
           current_setting('autovacuum_vacuum_scale_factor')::float8 AS vacuum_scale,
           -- From PostgreSQL 18.
           coalesce(current_setting('autovacuum_vacuum_max_threshold', true)::float8, -1) AS vacuum_most,
           current_setting('autovacuum_vacuum_insert_threshold')::float8 AS insert_base,
           current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS insert_scale,
           current_setting('autovacuum_analyze_threshold')::float8 AS analyze_base,
           current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_scale,
           current_setting('block_size')::bigint AS block_size
), measured AS MATERIALIZED (
    SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind, c.relispartition,
           $columns
           pg_stat_get_live_tuples(c.oid) AS live_rows,
           pg_stat_get_dead_tuples(c.oid) AS dead_rows,
           pg_stat_get_ins_since_vacuum(c.oid) AS inserted_rows,
           pg_stat_get_mod_since_analyze(c.oid) AS modified_rows,
           pg_stat_get_numscans(c.oid) AS sequential_scans,
           pg_stat_get_tuples_returned(c.oid) AS sequential_rows,
           greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS last_vacuum,
           greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS last_analyze,
           greatest(c.reltuples, 0)::float8 AS counted_rows,
           $unfrozen AS unfrozen,
           coalesce(o.enabled, true) AS enabled_here,
           coalesce(o.enabled, true) AND d.enabled AS autovacuum_enabled,
           coalesce(o.vacuum_base, d.vacuum_base) AS vacuum_base,
           coalesce(o.vacuum_scale, d.vacuum_scale) AS vacuum_scale,
           coalesce(o.vacuum_most, d.vacuum_most) AS vacuum_most,
           coalesce(o.insert_base, d.insert_base) AS insert_base,
           coalesce(o.insert_scale, d.insert_scale) AS insert_scale,
           coalesce(o.analyze_base, d.analyze_base) AS analyze_base,
           coalesce(o.analyze_scale, d.analyze_scale) AS analyze_scale
    FROM pg_class c
    $owner
    JOIN pg_namespace n ON n.oid = $namespace
    CROSS JOIN defaults d
    LEFT JOIN LATERAL (
        SELECT max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_enabled')::bool AS enabled,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_vacuum_threshold')::float8 AS vacuum_base,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_vacuum_scale_factor')::float8
                   AS vacuum_scale,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_vacuum_max_threshold')::float8
                   AS vacuum_most,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_vacuum_insert_threshold')::float8
                   AS insert_base,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_vacuum_insert_scale_factor')::float8
                   AS insert_scale,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_analyze_threshold')::float8
                   AS analyze_base,
               max(p.option_value) FILTER (WHERE p.option_name = 'autovacuum_analyze_scale_factor')::float8
                   AS analyze_scale
        FROM pg_options_to_table($reloptions) p
    ) o ON $reloptions IS NOT NULL
    WHERE $relations
), limits AS (
    SELECT m.*,
           CASE WHEN m.vacuum_most >= 0
                THEN least(m.vacuum_most, m.vacuum_base + m.vacuum_scale * m.counted_rows)
                ELSE m.vacuum_base + m.vacuum_scale * m.counted_rows END * $factor AS vacuum_threshold,
           -- A negative base switches the rule for inserted rows off.
           CASE WHEN m.insert_base >= 0
                THEN m.insert_base + m.insert_scale * m.counted_rows * m.unfrozen END * $factor AS insert_threshold,
           (m.analyze_base + m.analyze_scale * m.counted_rows) * $factor AS analyze_threshold
    FROM measured m
), t AS MATERIALIZED (
    SELECT l.*,
           l.dead_rows > l.vacuum_threshold AS is_dead_due,
           coalesce(l.inserted_rows > l.insert_threshold, false) AS is_insert_due,
           l.modified_rows > l.analyze_threshold AS is_analyze_due,
           l.last_analyze IS NULL AND greatest(l.live_rows, l.counted_rows) > 0 AS is_never_analyzed,
           greatest(l.dead_rows / greatest(l.vacuum_threshold, 1),
                    coalesce(l.inserted_rows / greatest(l.insert_threshold, 1), 0)) AS vacuum_score,
           l.modified_rows / greatest(l.analyze_threshold, 1) AS analyze_score
    FROM limits l
)
"""

# From PostgreSQL 18 the rule for inserted rows counts only the part of the table that is not frozen yet.
_UNFROZEN = (
    "CASE WHEN c.relpages > 0 AND c.relallfrozen > 0"
    " THEN greatest(0, 1 - c.relallfrozen::float8 / c.relpages) ELSE 1 END"
)

# A TOAST table without storage parameters of its own has those of its table.
_TOAST_OWNER = "LEFT JOIN pg_class owner ON c.relkind = 't' AND owner.reltoastrelid = c.oid AND "


def due(*, counts_frozen: bool, relations: str, columns: str = "", factor: str = "1", toast_of: str = "") -> str:
    """The common table expressions, without WITH, that end in C(t): a row a table with what autovacuum owes it.

    Args:
        counts_frozen: Whether pg_class has relallfrozen.
        relations: Which relations; a condition on C(c), C(n) and with C(toast_of) on C(owner).
        columns: Further columns of the relation, each with a comma after it.
        factor: What the server's thresholds are multiplied by; a number or a placeholder.
        toast_of: When TOAST tables are among the relations, a condition on C(owner), their table, which may be C(true).
            Their C(schema) is that of their table.

    """
    return compose(
        _DUE.strip(),
        columns=columns,
        unfrozen=_UNFROZEN if counts_frozen else "1::float8",
        owner=_TOAST_OWNER + toast_of if toast_of else "",
        namespace="coalesce(owner.relnamespace, c.relnamespace)" if toast_of else "c.relnamespace",
        reloptions="coalesce(c.reloptions, owner.reloptions)" if toast_of else "c.reloptions",
        relations=relations,
        factor=factor,
    )
