# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a table: constraints, indexes, triggers, policies, rules."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.fingerprint import fingerprint, normalized
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import dotted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.relations import USER_SCHEMAS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose

_NOT_OF_EXTENSION = """NOT EXISTS (
      SELECT FROM pg_depend m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid AND m.deptype = 'e')"""
_OF_TABLE = compose(
    """
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence <> 't' AND $user_schemas AND $not_of_extension""",
    user_schemas=USER_SCHEMAS,
    not_of_extension=_NOT_OF_EXTENSION,
)

# Foreign keys of partitions are made anew from the partitioned table's, under names of the server's choice. Those of
# domains belong to no table. NOT NULL is a property of the column (a constraint of its own only from 18 on).
_CONSTRAINTS = compose(
    """
SELECT n.nspname::text AS schema, coalesce(c.relname, t.typname)::text AS "table", k.conname::text AS name,
       k.contype::text AS kind, k.convalidated AS validated, pg_get_constraintdef(k.oid) AS definition,
       k.condeferrable AS deferrable, k.condeferred AS deferred, coalesce(i.indisvalid, true) AS valid
FROM pg_constraint k
JOIN pg_namespace n ON n.oid = k.connamespace
LEFT JOIN pg_class c ON c.oid = k.conrelid
LEFT JOIN pg_type t ON t.oid = k.contypid
LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND $user_schemas AND (k.contype <> 'f' OR k.conparentid = 0)
  AND (c.oid IS NULL OR c.relpersistence <> 't' AND $not_of_extension)
  AND NOT EXISTS (
      SELECT FROM pg_depend m WHERE m.classid = 'pg_type'::regclass AND m.objid = k.contypid AND m.deptype = 'e')
ORDER BY 1, 2, 3
""",
    user_schemas=USER_SCHEMAS,
    not_of_extension=_NOT_OF_EXTENSION,
)

# Without those that stand behind a constraint. An invalid index of an ordinary table is not dumped.
_INDEXES = compose(
    """
SELECT n.nspname::text AS schema, c.relname::text AS "table", x.relname::text AS name,
       pg_get_indexdef(i.indexrelid) AS definition, i.indisvalid AND i.indisready AS valid,
       c.relkind = 'p' AS is_partitioned
FROM pg_index i
JOIN pg_class x ON x.oid = i.indexrelid
JOIN pg_class c ON c.oid = i.indrelid
$of_table AND n.nspname IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY 1, 2, 3
""",
    of_table=_OF_TABLE,
)

# A partition's triggers are made anew from the partitioned table's.
_TRIGGERS = compose(
    """
SELECT n.nspname::text AS schema, c.relname::text AS "table", t.tgname::text AS name,
       pg_get_triggerdef(t.oid) AS definition, t.tgenabled::text AS enabled
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
$of_table AND NOT t.tgisinternal AND t.tgparentid = 0
ORDER BY 1, 2, 3
""",
    of_table=_OF_TABLE,
)

_POLICIES = compose(
    """
SELECT n.nspname::text AS schema, c.relname::text AS "table", p.polname::text AS name, p.polcmd::text AS command,
       p.polpermissive AS permissive, pg_get_expr(p.polqual, p.polrelid) AS "using",
       pg_get_expr(p.polwithcheck, p.polrelid) AS "check",
       ARRAY(SELECT CASE WHEN r = 0 THEN 'public' ELSE pg_get_userbyid(r)::text END
             FROM unnest(p.polroles) r ORDER BY 1) AS roles
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
$of_table
ORDER BY 1, 2, 3
""",
    of_table=_OF_TABLE,
)

_RULES = compose(
    """
SELECT n.nspname::text AS schema, c.relname::text AS "table", r.rulename::text AS name, r.ev_type::text AS event,
       r.is_instead AS instead, r.ev_enabled::text AS enabled, pg_get_ruledef(r.oid) AS text
FROM pg_rewrite r
JOIN pg_class c ON c.oid = r.ev_class
$of_table AND r.rulename <> '_RETURN'
ORDER BY 1, 2, 3
""",
    of_table=_OF_TABLE,
)

_ENABLED = {"O": "enabled", "D": "disabled", "R": "replica", "A": "always"}
_CONSTRAINT_KINDS = {"c": "check", "f": "foreign key", "p": "primary key", "u": "unique", "x": "exclusion"}


@dataclass(frozen=True)
class PartTopic:
    """One topic of the census: a statement, and the entry that one of its rows becomes."""

    field: str
    statement: str
    entry: Callable[[Row], dict[str, Any]]


def part_of(topic: PartTopic, row: Row) -> tuple[str, dict[str, Any]]:
    """Name and entry of one row."""
    table = dotted(row["schema"], row["table"])
    return dotted(row["schema"], row["table"], row["name"]), {
        "schema": row["schema"],
        "table": table,
        **topic.entry(row),
    }


def _constraint(row: Row) -> dict[str, Any]:
    text = re.sub(r" NOT VALID$", "", row["definition"])
    return {
        "kind": _CONSTRAINT_KINDS[row["kind"]],
        "definition": fingerprint(normalized(text), row["deferrable"], row["deferred"]),
        "validated": row["validated"],
        "valid": row["valid"],
    }


def _index(row: Row) -> dict[str, Any]:
    return {
        "definition": fingerprint(normalized(_without_storage(row["definition"]))),
        "valid": row["valid"],
        "is_partitioned": row["is_partitioned"],
    }


def _without_storage(definition: str) -> str:
    """Without C(WITH (fillfactor='70')): how full pages are is no content."""
    return re.sub(r" WITH \((?:\w+='[^']*'(?:, )?)+\)", "", definition)


def _trigger(row: Row) -> dict[str, Any]:
    return {
        "definition": fingerprint(normalized(row["definition"])),
        "enabled": _ENABLED.get(row["enabled"], row["enabled"]),
    }


def _policy(row: Row) -> dict[str, Any]:
    return {
        "definition": fingerprint(
            row["command"], row["permissive"], normalized(row["using"]), normalized(row["check"])
        ),
        "roles": list(row["roles"]),
    }


def _rule(row: Row) -> dict[str, Any]:
    return {
        "definition": fingerprint(row["event"], row["instead"]),
        "text": fingerprint(normalized(row["text"])),
        "enabled": _ENABLED.get(row["enabled"], row["enabled"]),
    }


PARTS = (
    PartTopic("constraints", _CONSTRAINTS, _constraint),
    PartTopic("indexes", _INDEXES, _index),
    PartTopic("triggers", _TRIGGERS, _trigger),
    PartTopic("policies", _POLICIES, _policy),
    PartTopic("rules", _RULES, _rule),
)
