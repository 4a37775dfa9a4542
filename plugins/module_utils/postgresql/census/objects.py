# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects in schemas beside tables: functions, types, and all that people seldom make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.fingerprint import (
    fingerprint,
    normalized,
    privileges,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import dotted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.relations import USER_SCHEMAS, columns_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose

_INDEPENDENT = """NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = '$catalog'::regclass AND m.objid = $oid
                  AND m.deptype IN ('e', 'i'))"""


def _independent(catalog: str, oid: str) -> str:
    """SQL: neither a member of an extension nor made by the server along with something else."""
    return compose(_INDEPENDENT, catalog=catalog, oid=oid)


# The body is compared as it was written; only a body in SQL's own form (BEGIN ATOMIC) exists in parsed form alone.
FUNCTIONS = compose(
    """
SELECT n.nspname::text AS schema, p.proname::text AS name, pg_get_function_identity_arguments(p.oid) AS identity,
       p.prokind::text AS kind, l.lanname::text AS language, pg_get_function_result(p.oid) AS result,
       pg_get_function_arguments(p.oid) AS arguments, p.provolatile::text AS volatility, p.proisstrict AS strict,
       p.prosecdef AS definer, p.proleakproof AS leakproof, p.proparallel::text AS parallel, p.proconfig AS config,
       p.prosrc AS body, p.probin AS library, pg_get_function_sqlbody(p.oid) AS sql_body,
       pg_get_userbyid(p.proowner)::text AS owner, p.proacl::text[] AS acl,
       a.aggtransfn::regprocedure::text AS step, a.aggfinalfn::regprocedure::text AS final, a.agginitval AS initial
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
WHERE $user_schemas AND $independent
ORDER BY 1, 2, 3
""",
    user_schemas=USER_SCHEMAS,
    independent=_independent("pg_proc", "p.oid"),
)

# Without the types of rows of tables, and of arrays and multiranges, which come with their elements' types.
TYPES = compose(
    """
SELECT t.oid, n.nspname::text AS schema, t.typname::text AS name, t.typtype::text AS kind, t.typrelid AS relation,
       pg_get_userbyid(t.typowner)::text AS owner, t.typacl::text[] AS acl,
       CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END AS base, t.typnotnull AS required,
       pg_get_expr(t.typdefaultbin, 0) AS "default",
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
       CASE WHEN r.rngtypid IS NOT NULL THEN format_type(r.rngsubtype, NULL) END AS subtype
FROM pg_type t
JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_class c ON c.oid = t.typrelid
LEFT JOIN pg_range r ON r.rngtypid = t.oid
WHERE t.typtype IN ('e', 'd', 'r', 'c', 'b') AND (t.typrelid = 0 OR c.relkind = 'c') AND $user_schemas
  AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
  AND NOT EXISTS (SELECT FROM pg_depend m WHERE m.deptype = 'e'
                  AND (m.classid = 'pg_type'::regclass AND m.objid = t.oid
                       OR m.classid = 'pg_class'::regclass AND m.objid = t.typrelid AND t.typrelid <> 0))
ORDER BY 2, 3
""",
    user_schemas=USER_SCHEMAS,
)

_CATALOGS: Sequence[str] = (
    "pg_operator",
    "pg_opclass",
    "pg_opfamily",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_ts_config",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_statistic_ext",
    "pg_language",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_transform",
    "pg_am",
)
# Everything from this number on is a user's.
_FIRST_NORMAL_OID = 16384
_OTHER = """
SELECT i.type, i.schema, i.identity
FROM $catalog o CROSS JOIN LATERAL pg_identify_object('$catalog'::regclass, o.oid, 0) i
WHERE o.oid >= $first AND $independent"""
OTHERS = " UNION ALL ".join(
    compose(_OTHER, catalog=each, first=str(_FIRST_NORMAL_OID), independent=_independent(each, "o.oid"))
    for each in _CATALOGS
)

_FUNCTION_KINDS = {"f": "function", "p": "procedure", "a": "aggregate", "w": "window function"}
_TYPE_KINDS = {"e": "enum", "d": "domain", "r": "range", "c": "composite", "b": "base type"}


def function_of(row: Row) -> tuple[str, dict[str, Any]]:
    """Name with its arguments, and entry."""
    name = f"{dotted(row['schema'], row['name'])}({row['identity']})"
    sql_body = row["sql_body"]
    return name, {
        "schema": row["schema"],
        "kind": _FUNCTION_KINDS.get(row["kind"], row["kind"]),
        "owner": row["owner"],
        "acl": privileges(row["acl"], row["owner"], default="X"),
        "definition": fingerprint(
            row["language"],
            row["result"],
            normalized(row["arguments"]),
            row["volatility"],
            row["strict"],
            row["definer"],
            row["leakproof"],
            row["parallel"],
            *(row["config"] or ()),
            # A body with the ends of lines of another system is the same body.
            re.sub(r"\r\n", "\n", row["body"] or ""),
            row["library"],
            row["step"],
            row["final"],
            row["initial"],
        ),
        "text": None if sql_body is None else fingerprint(normalized(sql_body)),
    }


def types_of(rows: Iterable[Row], columns: Mapping[int, Sequence[Row]]) -> dict[str, dict[str, Any]]:
    """Types by name; C(columns) are those of composite types, by the oid of their relation."""
    found = {}
    for row in rows:
        parts = columns_of(columns.get(row["relation"], ()))
        found[dotted(row["schema"], row["name"])] = {
            "schema": row["schema"],
            "kind": _TYPE_KINDS[row["kind"]],
            "owner": row["owner"],
            "acl": privileges(row["acl"], row["owner"], default="U"),
            "definition": fingerprint(
                row["kind"],
                row["base"],
                row["required"],
                normalized(row["default"]),
                row["subtype"],
                *row["labels"],
                *parts.items(),
            ),
        }
    return found


def other_of(row: Row) -> tuple[str, dict[str, Any]]:
    """Kind and identity as a name, and entry; those outside schemas have none."""
    return f"{row['type']} {row['identity']}", {"schema": row["schema"], "definition": ""}
