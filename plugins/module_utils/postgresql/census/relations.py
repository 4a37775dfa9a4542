# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables, their columns and views: what the catalogs say, and entries of the census from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.fingerprint import (
    fingerprint,
    normalized,
    privileges,
    shown,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import dotted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose

# What pg_dump takes (pg_dump.c, selectDumpableTable): nothing of the system's, nothing temporary. Nobody may create a
# schema that begins with pg_.
USER_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

# Members of an extension come with CREATE EXTENSION. Those that it declares as configuration are dumped nevertheless,
# as rows without their table, and as far as the extension's condition says.
RELATIONS = compose(
    """
WITH member AS MATERIALIZED (
    SELECT d.objid AS oid, e.extname::text AS extension,
           array_position(e.extconfig, d.objid) AS place, e.extcondition AS conditions
    FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
), parents AS MATERIALIZED (
    SELECT i.inhrelid AS oid, array_agg(pn.nspname::text ORDER BY i.inhseqno) AS schemas,
           array_agg(p.relname::text ORDER BY i.inhseqno) AS names
    FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    GROUP BY i.inhrelid
), mute AS MATERIALIZED (
    -- Those that enforce foreign keys, which a loading that was broken off may have left disabled, and a partition's.
    SELECT t.tgrelid AS oid, count(*) FILTER (WHERE t.tgconstraint <> 0) AS of_constraints,
           count(*) FILTER (WHERE t.tgconstraint = 0) AS of_parents
    FROM pg_trigger t WHERE t.tgenabled = 'D' AND (t.tgconstraint <> 0 AND t.tgisinternal OR t.tgparentid <> 0)
    GROUP BY t.tgrelid
)
SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, pg_get_userbyid(c.relowner)::text AS owner, c.relacl::text[] AS acl,
       c.relispopulated AS populated, c.relrowsecurity AS rls, c.relforcerowsecurity AS rls_forced,
       c.relreplident::text AS replica_identity,
       pg_get_expr(c.relpartbound, c.oid) AS bound, pg_get_partkeydef(c.oid) AS partition_key,
       CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END AS root,
       parents.schemas AS parent_schemas, parents.names AS parent_names,
       CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END AS of_type,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_table_size(c.oid) END AS bytes,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS view,
       ARRAY(SELECT o FROM unnest(c.reloptions) o WHERE o ~ '^(security_|check_option)' ORDER BY 1) AS view_options,
       coalesce(mute.of_constraints, 0) AS disabled_constraint_triggers,
       coalesce(mute.of_parents, 0) AS disabled_partition_triggers,
       member.extension, member.conditions[member.place] AS condition, member.place IS NOT NULL AS is_configuration
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN member ON member.oid = c.oid
LEFT JOIN parents ON parents.oid = c.oid
LEFT JOIN mute ON mute.oid = c.oid
WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v') AND c.relpersistence <> 't' AND $user_schemas
  AND (member.oid IS NULL OR member.place IS NOT NULL)
ORDER BY 2, 3
""",
    user_schemas=USER_SCHEMAS,
)

# A type of somebody's own may have a cast to text that says something else than its output function, which is what a
# dump writes.
COLUMNS = compose(
    """
SELECT a.attrelid AS oid, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AS required,
       a.attidentity::text AS identity, a.attgenerated::text AS generated,
       pg_get_expr(d.adbin, d.adrelid) AS "default", a.attacl::text[] AS acl,
       CASE WHEN a.attcollation <> t.typcollation
            THEN (SELECT quote_ident(ln.nspname) || '.' || quote_ident(l.collname)
                  FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace WHERE l.oid = a.attcollation)
       END AS collation,
       CASE WHEN a.atttypid = '"char"'::regtype THEN 'char'
            WHEN a.atttypid = 'xml'::regtype THEN 'xml'
            WHEN tn.nspname <> 'pg_catalog' AND EXISTS (
                     SELECT FROM pg_cast k
                     WHERE k.castsource = t.oid AND k.casttarget = 'text'::regtype AND k.castmethod <> 'b')
            THEN (SELECT quote_ident(on_.nspname) || '.' || quote_ident(o.proname)
                  FROM pg_proc o JOIN pg_namespace on_ ON on_.oid = o.pronamespace WHERE o.oid = t.typoutput)
            ELSE '' END AS special
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_namespace tn ON tn.oid = t.typnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f', 'm', 'v', 'c') AND c.relpersistence <> 't'
  AND $user_schemas
ORDER BY a.attrelid, a.attnum
""",
    user_schemas=USER_SCHEMAS,
)

# Which relations a view reads: the same for every major, while the text of its definition is not.
VIEW_SOURCES = compose(
    """
SELECT DISTINCT r.ev_class AS oid, sn.nspname::text AS schema, s.relname::text AS name
FROM pg_rewrite r
JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class s ON s.oid = d.refobjid AND s.oid <> c.oid
JOIN pg_namespace sn ON sn.oid = s.relnamespace
WHERE r.rulename = '_RETURN' AND $user_schemas
ORDER BY 1, 2, 3
""",
    user_schemas=USER_SCHEMAS,
)

_KINDS = {"r": "table", "p": "partitioned table", "f": "foreign table", "m": "materialized view"}
_PERSISTENCES = {"p": "permanent", "u": "unlogged"}


@dataclass(frozen=True)
class Relations:
    """Entries of the census, and the catalogs' rows that the reading of tables needs, by name."""

    tables: dict[str, dict[str, Any]]
    views: dict[str, dict[str, Any]]
    rows: dict[str, Row]
    columns: dict[int, list[Row]]


def relations_of(relations: Iterable[Row], columns: Iterable[Row], sources: Iterable[Row]) -> Relations:
    """Tables and views from the answers to C(RELATIONS), C(COLUMNS) and C(VIEW_SOURCES)."""
    by_relation: dict[int, list[Row]] = defaultdict(list)
    for column in columns:
        by_relation[column["oid"]].append(column)
    read: dict[int, list[str]] = defaultdict(list)
    for source in sources:
        read[source["oid"]].append(dotted(source["schema"], source["name"]))
    listed = list(relations)
    names = {row["oid"]: dotted(row["schema"], row["name"]) for row in listed}
    made = Relations({}, {}, {}, by_relation)
    for row in listed:
        name = names[row["oid"]]
        own = by_relation[row["oid"]]
        if row["kind"] == "v":
            made.views[name] = _view(row, own, read[row["oid"]])
        else:
            made.tables[name] = _table(row, own, names, read[row["oid"]])
            made.rows[name] = row
    return made


def columns_of(columns: Iterable[Row]) -> dict[str, str]:
    """Each column's definition for people: C(integer not null default 0), in their order."""
    return {each["name"]: _column(each) for each in columns}


def _column(column: Row) -> str:
    words = [column["type"]]
    if column["collation"]:
        words.append(f"collate {column['collation']}")
    if column["required"]:
        words.append("not null")
    if column["identity"]:
        words.append("identity always" if column["identity"] == "a" else "identity by default")
    if column["generated"]:
        words.append(f"generated {'stored' if column['generated'] == 's' else 'virtual'} {shown(column['default'])}")
    elif column["default"]:
        words.append(f"default {shown(column['default'])}")
    return " ".join(words)


def _column_privileges(columns: Iterable[Row], owner: str) -> dict[str, dict[str, str]]:
    granted = {each["name"]: privileges(each["acl"], owner) for each in columns if each["acl"]}
    return {name: rights for name, rights in granted.items() if rights}


def _view(row: Row, columns: Sequence[Row], sources: Sequence[str]) -> dict[str, Any]:
    return {
        "schema": row["schema"],
        "owner": row["owner"],
        "acl": privileges(row["acl"], row["owner"]),
        "column_acl": _column_privileges(columns, row["owner"]),
        "definition": fingerprint(
            *(f"{each['name']} {each['type']}" for each in columns), *sources, *row["view_options"]
        ),
        "text": fingerprint(normalized(row["view"])),
    }


def _table(row: Row, columns: Sequence[Row], names: Mapping[int, str], sources: Sequence[str]) -> dict[str, Any]:
    is_partition = row["root"] is not None
    parents = [dotted(*each) for each in zip(row["parent_schemas"] or (), row["parent_names"] or ())]
    inherits = bool(parents) and not is_partition
    kind = "partition" if is_partition and row["kind"] == "r" else _KINDS[row["kind"]]
    entry = {
        "schema": row["schema"],
        "kind": kind,
        "rows": None,
        "digest": None,
        "bytes": row["bytes"],
        "owner": row["owner"],
        "acl": privileges(row["acl"], row["owner"]),
        "column_acl": _column_privileges(columns, row["owner"]),
        "persistence": _PERSISTENCES.get(row["persistence"], row["persistence"]),
        "columns": columns_of(columns),
        # Objects in JSON have no order. A child's inherited columns come first in the copy, wherever they were.
        "order": None if inherits else fingerprint(*(each["name"] for each in columns)),
        "inherits": inherits,
        "definition": fingerprint(
            *parents,
            normalized(row["partition_key"]),
            normalized(row["bound"]),
            row["of_type"],
            row["replica_identity"],
            *sources,
        ),
        "populated": row["populated"],
        "rls": "forced" if row["rls"] and row["rls_forced"] else "enabled" if row["rls"] else "disabled",
        "root": names.get(row["root"]) if is_partition else None,
        "parent": parents[0] if is_partition and parents else None,
        "is_extension_member": row["extension"] is not None,
        "disabled_constraint_triggers": row["disabled_constraint_triggers"],
        "disabled_partition_triggers": row["disabled_partition_triggers"],
    }
    if kind == "materialized view":
        entry["text"] = fingerprint(normalized(row["view"]))
    return entry
