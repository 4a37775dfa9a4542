# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What surrounds the tables: the database itself, its server, schemas, extensions, collations, roles, replication."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.fingerprint import fingerprint, privileges
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import compose

_LOCALES = {
    14: "'c' AS provider, NULL::text AS locale, NULL::text AS collation_recorded, NULL::text AS collation_actual",
    15: "d.datlocprovider::text AS provider, d.daticulocale AS locale, d.datcollversion AS collation_recorded, "
    "pg_database_collation_actual_version(d.oid) AS collation_actual",
    17: "d.datlocprovider::text AS provider, d.datlocale AS locale, d.datcollversion AS collation_recorded, "
    "pg_database_collation_actual_version(d.oid) AS collation_actual",
}
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


_DATABASE = """
SELECT d.datname::text AS name, pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate::text AS "collate",
       d.datctype::text AS ctype, $locale, pg_database_size(d.oid) AS size_bytes,
       current_setting('server_version_num')::int AS version_num, pg_is_in_recovery() AS in_recovery,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS lsn,
       to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS taken_at
FROM pg_database d
WHERE d.datname = current_database()
"""


def database_statement(version_num: int) -> str:
    """The database and its server; the columns about its locale came bit by bit."""
    locale = _LOCALES[max(each for each in _LOCALES if each <= max(version_num // 10000, 14))]
    return compose(_DATABASE, locale=locale)


# Which server it is; managed services may keep that to themselves.
CONTROL = """
SELECT s.system_identifier::text AS system_identifier, k.timeline_id AS timeline
FROM pg_control_system() s CROSS JOIN pg_control_checkpoint() k
"""

SCHEMAS = """
SELECT n.nspname::text AS name, pg_get_userbyid(n.nspowner)::text AS owner, n.nspacl::text[] AS acl
FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
      SELECT FROM pg_depend m WHERE m.classid = 'pg_namespace'::regclass AND m.objid = n.oid AND m.deptype = 'e')
ORDER BY 1
"""

EXTENSIONS = """
SELECT e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema
FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1
"""

# Those that indexes and partition keys use, and everybody's own; of the hundreds that initdb imports the others do no
# harm.
COLLATIONS = """
WITH used AS (
    SELECT DISTINCT u.oid FROM pg_index i CROSS JOIN LATERAL unnest(i.indcollation) u (oid)
    UNION SELECT u.oid FROM pg_partitioned_table p CROSS JOIN LATERAL unnest(p.partcollation) u (oid)
)
SELECT n.nspname::text AS schema, c.collname::text AS name, c.collversion AS recorded,
       pg_collation_actual_version(c.oid) AS actual
FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE c.collversion IS NOT NULL AND (c.oid IN (SELECT u.oid FROM used u) OR n.nspname <> 'pg_catalog')
ORDER BY 1, 2
"""

# Owners, grantees, and roles that policies name (pg_shdepend), of what a dump of the database brings back: neither of
# the database itself nor of what CREATE EXTENSION makes. The bootstrap superuser is not listed there.
ROLES = """
SELECT DISTINCT r.rolname::text AS name
FROM pg_shdepend s
JOIN pg_roles r ON r.oid = s.refobjid
JOIN pg_database d ON d.datname = current_database() AND d.oid = s.dbid
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname !~ '^pg_' AND s.classid <> 'pg_extension'::regclass
  AND NOT EXISTS (
      SELECT FROM pg_depend m WHERE m.classid = s.classid AND m.objid = s.objid AND m.deptype = 'e')
"""

DEFAULT_PRIVILEGES = """
SELECT pg_get_userbyid(a.defaclrole)::text AS role, n.nspname::text AS schema, a.defaclobjtype::text AS kind,
       a.defaclacl::text[] AS acl
FROM pg_default_acl a LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
ORDER BY 1, 2, 3
"""

PUBLICATIONS = """
SELECT p.pubname::text AS name, pg_get_userbyid(p.pubowner)::text AS owner,
       ARRAY[p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate, p.pubviaroot]::text AS options,
       ARRAY(SELECT t.schemaname::text || E'\\x01' || t.tablename::text FROM pg_publication_tables t
             WHERE t.pubname = p.pubname AND NOT p.puballtables ORDER BY 1) AS tables
FROM pg_publication p
WHERE NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = 'pg_publication'::regclass AND m.objid = p.oid
                  AND m.deptype = 'e')
ORDER BY 1
"""

# Where a subscription connects to is a secret, and a restored one is disabled.
SUBSCRIPTIONS = """
SELECT s.subname::text AS name, pg_get_userbyid(s.subowner)::text AS owner, s.subpublications AS publications
FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid AND d.datname = current_database()
ORDER BY 1
"""

EVENT_TRIGGERS = """
SELECT e.evtname::text AS name, e.evtevent::text AS event, e.evtenabled::text AS enabled, e.evttags AS tags,
       e.evtfoid::regprocedure::text AS function, pg_get_userbyid(e.evtowner)::text AS owner
FROM pg_event_trigger e
WHERE NOT EXISTS (SELECT FROM pg_depend m WHERE m.classid = 'pg_event_trigger'::regclass AND m.objid = e.oid
                  AND m.deptype = 'e')
ORDER BY 1
"""

_ENABLED = {"O": "enabled", "D": "disabled", "R": "replica", "A": "always"}
_DEFAULT_KINDS = {"r": "tables", "S": "sequences", "f": "functions", "T": "types", "n": "schemas", "L": "large objects"}


def database_of(row: Row) -> dict[str, Any]:
    """C(Census.database)."""
    kept = ("name", "encoding", "collate", "ctype", "locale", "size_bytes")
    return {**{key: row[key] for key in kept}, "locale_provider": _PROVIDERS.get(row["provider"], row["provider"])}


def server_of(row: Row, control: Row) -> dict[str, Any]:
    """C(Census.server); what the server does not tell about itself is None."""
    kept = {key: row[key] for key in ("version_num", "lsn", "in_recovery")}
    return {**kept, "system_identifier": control.get("system_identifier"), "timeline": control.get("timeline")}


def schema_of(row: Row) -> tuple[str, dict[str, Any]]:
    """A schema."""
    return row["name"], {"owner": row["owner"], "acl": privileges(row["acl"], row["owner"])}


def extension_of(row: Row) -> tuple[str, dict[str, Any]]:
    """An extension."""
    return row["name"], {"version": row["version"], "schema": row["schema"]}


def collations_of(rows: Iterable[Row], database: Row) -> dict[str, dict[str, Optional[str]]]:
    """Collations with the version they were recorded with and the one the server has now."""
    found = {}
    if database["collation_actual"] is not None or database["collation_recorded"] is not None:
        found["default"] = {"recorded": database["collation_recorded"], "actual": database["collation_actual"]}
    for row in rows:
        name = row["name"] if row["schema"] == "pg_catalog" else f"{row['schema']}.{row['name']}"
        found[name] = {"recorded": row["recorded"], "actual": row["actual"]}
    return found


def default_privilege_of(row: Row) -> tuple[str, dict[str, Any]]:
    """What a role's new objects are granted."""
    where = f" in schema {row['schema']}" if row["schema"] else ""
    kind = _DEFAULT_KINDS.get(row["kind"], row["kind"])
    granted = privileges(row["acl"], row["role"])
    return f"{kind} of {row['role']}{where}", {"schema": row["schema"], "owner": row["role"], "acl": granted}


def publication_of(row: Row) -> tuple[str, dict[str, Any]]:
    """A publication."""
    return row["name"], {"owner": row["owner"], "definition": fingerprint(row["options"], *row["tables"])}


def subscription_of(row: Row) -> tuple[str, dict[str, Any]]:
    """A subscription."""
    return row["name"], {"owner": row["owner"], "definition": fingerprint(*sorted(row["publications"]))}


def event_trigger_of(row: Row) -> tuple[str, dict[str, Any]]:
    """An event trigger."""
    return row["name"], {
        "owner": row["owner"],
        "definition": fingerprint(row["event"], row["function"], *sorted(row["tags"] or ())),
        "enabled": _ENABLED.get(row["enabled"], row["enabled"]),
    }
