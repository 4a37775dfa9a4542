# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Row level security: tables without it that others can reach, and policies that let everything pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    compose,
    is_cut,
)

_TABLES = """
SELECT count(*) AS table_count
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%(exposed)s::text[])
"""

# A table nobody but its owner may touch is not exposed by the lack of row level security.
_WITHOUT_RLS = """
SELECT n.nspname::text AS schema, c.relname::text AS name, g.grantees[1:10] AS grantees, count(*) OVER () AS total
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT CASE WHEN p.grantee = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(p.grantee)::text END)
               AS grantees
    FROM aclexplode(c.relacl) p
    WHERE p.grantee <> c.relowner AND p.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
) g
WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity AND n.nspname = ANY (%(exposed)s::text[])
  AND g.grantees IS NOT NULL
ORDER BY n.nspname, c.relname
LIMIT %(top)s
"""

_WITHOUT_POLICY = """
SELECT n.nspname::text AS schema, c.relname::text AS name, count(*) OVER () AS total
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
ORDER BY n.nspname, c.relname
LIMIT %(top)s
"""

# The stored tree of the constant true, instead of its text: printing it would wait for a locked table.
_POLICIES = """
SELECT n.nspname::text AS schema, c.relname::text AS "table", p.polname::text AS name, p.polcmd AS command,
       p.polpermissive AS is_permissive,
       p.polqual IS NOT NULL AS has_using, p.polwithcheck IS NOT NULL AS has_check,
       coalesce(p.polqual::text ~ $true, false) AS using_true,
       coalesce(p.polwithcheck::text ~ $true, false) AS check_true,
       ARRAY(SELECT CASE WHEN r.oid = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(r.oid)::text END
             FROM unnest(p.polroles) r (oid) ORDER BY 1) AS roles
FROM pg_policy p
JOIN pg_class c ON c.oid = p.polrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY n.nspname, c.relname, p.polname
"""

# A boolean (type 16) constant that is not null and whose byte is 1.
_TRUE = "'^[{]CONST :consttype 16 .*:constisnull false .*:constvalue 1 [[] 1 '"

_COMMANDS = {"*": "ALL", "r": "SELECT", "a": "INSERT", "w": "UPDATE", "d": "DELETE"}
_WRITING = ("ALL", "INSERT", "UPDATE")


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [
        Query("tables", _TABLES, "table_count"),
        Query("without_rls", _WITHOUT_RLS, "tables without row level security"),
        Query("without_policy", _WITHOUT_POLICY, "tables without policy"),
        Query("policies", compose(_POLICIES, true=_TRUE), "policies"),
    ]


def _facts(answers: Answers, capabilities: Capabilities, limits: Limits) -> Facts:
    without_rls, without_policy = answers.rows("without_rls"), answers.rows("without_policy")
    policies = answers.rows("policies")
    facts: Facts = {
        "database": capabilities.database,
        "exposed_schemas": list(limits.exposed_schemas),
        "table_count": answers.row("tables").get("table_count"),
        "without_rls_count": _total(without_rls),
        "without_rls": None
        if without_rls is None
        else [{"schema": row["schema"], "name": row["name"], "grantees": row["grantees"]} for row in without_rls],
        "without_policy_count": _total(without_policy),
        "without_policy": None
        if without_policy is None
        else [{"schema": row["schema"], "name": row["name"]} for row in without_policy],
        "policy_count": None if policies is None else len(policies),
    }
    always_true = None if policies is None else [found for row in policies if (found := _always_true(row))]
    unchecked = None if policies is None else [_policy(row) for row in policies if lacks_check(row)]
    facts["always_true_count"] = None if always_true is None else len(always_true)
    facts["always_true"] = None if always_true is None else always_true[: limits.top]
    facts["without_check_count"] = None if unchecked is None else len(unchecked)
    facts["without_check"] = None if unchecked is None else unchecked[: limits.top]
    lists = ("without_rls", "without_policy", "always_true", "without_check")
    facts["truncated"] = any(is_cut(facts[f"{name}_count"], facts[name] or ()) for name in lists)
    return facts


def _total(rows: Sequence[Row] | None) -> int | None:
    if rows is None:
        return None
    return int(rows[0]["total"]) if rows else 0


def _policy(row: Row) -> dict[str, Any]:
    return {
        "schema": row["schema"],
        "table": row["table"],
        "name": row["name"],
        "command": _COMMANDS[row["command"]],
        "roles": row["roles"],
    }


def _always_true(row: Row) -> dict[str, Any] | None:
    """A permissive policy is joined to the others with OR, so one that is always true opens the table."""
    if not row["is_permissive"] or not (row["using_true"] or row["check_true"]):
        return None
    both = row["using_true"] and row["check_true"]
    clause = "both" if both else "USING" if row["using_true"] else "WITH CHECK"
    return {**_policy(row), "clause": clause}


def lacks_check(row: Row) -> bool:
    """Whether a permissive policy for writing says nothing about the new row."""
    return bool(row["is_permissive"] and _COMMANDS[row["command"]] in _WRITING and not row["has_check"])


SECTION = Section("rls", _queries, _facts)
