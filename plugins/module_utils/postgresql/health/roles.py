# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: superusers, expiry, and roles nearly as strong as a superuser."""

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
)

# Predefined roles are no accounts: everybody whose name begins with pg_ is one.
_ROLES = """
SELECT r.rolname::text AS name, r.oid = 10 AS is_bootstrap, r.rolsuper, r.rolcanlogin, r.rolcreaterole, r.rolcreatedb,
       r.rolreplication, r.rolbypassrls,
       r.rolvaliduntil IS NULL OR r.rolvaliduntil = 'infinity' AS never_expires,
       coalesce(r.rolvaliduntil < clock_timestamp(), false) AS is_expired
FROM pg_roles r
WHERE r.rolname !~ '^pg_'
ORDER BY r.rolname
"""

# Inherited memberships count: a member of a member can SET ROLE just as well.
_MEMBERSHIPS = """
WITH RECURSIVE strong AS (
    SELECT r.oid, r.rolname::text AS role FROM pg_roles r WHERE r.rolname = ANY (%(strong_roles)s::text[])
), member (role, oid) AS (
    SELECT s.role, m.member FROM strong s JOIN pg_auth_members m ON m.roleid = s.oid
    UNION
    SELECT b.role, m.member FROM member b JOIN pg_auth_members m ON m.roleid = b.oid
)
SELECT b.role, r.rolname::text AS member, r.rolcanlogin AS can_login
FROM member b JOIN pg_roles r ON r.oid = b.oid
WHERE r.rolname !~ '^pg_' AND NOT r.rolsuper
ORDER BY b.role, r.rolname
"""

_PUBLIC_SCHEMAS = """
SELECT DISTINCT n.nspname::text AS name
FROM pg_namespace n
CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) p
WHERE p.grantee = 0 AND p.privilege_type = 'CREATE'
ORDER BY 1
"""

STRONG_ROLES = {
    "pg_execute_server_program": "May run any program on the server as the server's account.",
    "pg_write_server_files": "May write any file of the server's account.",
    "pg_read_server_files": "May read any file of the server's account.",
    "pg_write_all_data": "May change all data.",
    "pg_read_all_data": "May read all data.",
    "pg_create_subscription": "May make the server connect elsewhere and write what it gets from there.",
    "pg_signal_backend": "May end other roles' sessions.",
    "rds_superuser": "Administers the whole server.",
    "cloudsqlsuperuser": "Administers the whole server.",
    "azure_pg_admin": "Administers the whole server.",
}


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [
        Query("roles", _ROLES, "roles"),
        Query("memberships", _MEMBERSHIPS, "dangerous memberships", parameters={"strong_roles": list(STRONG_ROLES)}),
        Query("public_schemas", _PUBLIC_SCHEMAS, "public_create_schemas"),
    ]


def _facts(answers: Answers, _capabilities: Capabilities, limits: Limits) -> Facts:
    roles, memberships = answers.rows("roles"), answers.rows("memberships")
    schemas = answers.rows("public_schemas")
    facts: Facts = _role_facts(roles)
    facts["dangerous_membership_count"] = None if memberships is None else len(memberships)
    facts["dangerous_memberships"] = None if memberships is None else [_membership(row) for row in memberships]
    facts["public_create_schemas"] = None if schemas is None else [row["name"] for row in schemas]
    lists = [name for name, value in facts.items() if isinstance(value, list)]
    facts["truncated"] = any(len(facts[name]) > limits.top for name in lists)
    facts.update((name, facts[name][: limits.top]) for name in lists)
    return facts


def _role_facts(rows: Sequence[Row] | None) -> Facts:
    if rows is None:
        counts = ("count", "login_count", "superuser_count", "no_expiry_count")
        lists = ("superusers", "other_superusers", "no_expiry", "expired", "can_create_roles", "can_create_databases")
        return dict.fromkeys((*counts, *lists, "can_replicate", "bypass_rls"))

    def names(condition: str, *, superusers: bool = False) -> list[str]:
        return [row["name"] for row in rows if row[condition] and (superusers or not row["rolsuper"])]

    logins = [row for row in rows if row["rolcanlogin"]]
    no_expiry = [row["name"] for row in logins if row["never_expires"]]
    return {
        "count": len(rows),
        "login_count": len(logins),
        "superuser_count": len(names("rolsuper", superusers=True)),
        "superusers": names("rolsuper", superusers=True),
        "other_superusers": [row["name"] for row in logins if row["rolsuper"] and not row["is_bootstrap"]],
        "no_expiry_count": len(no_expiry),
        "no_expiry": no_expiry,
        "expired": [row["name"] for row in logins if row["is_expired"]],
        "can_create_roles": names("rolcreaterole"),
        "can_create_databases": names("rolcreatedb"),
        "can_replicate": names("rolreplication"),
        "bypass_rls": names("rolbypassrls"),
    }


def _membership(row: Row) -> dict[str, Any]:
    return {
        "role": row["role"],
        "member": row["member"],
        "can_login": row["can_login"],
        "reason": STRONG_ROLES[row["role"]],
    }


SECTION = Section("roles", _queries, _facts)
