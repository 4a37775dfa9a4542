# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking at the database before it is dumped: what it is, how large, and whether the login may read all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.selection import Selection
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row, Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import check_direct

_SERVER = """
SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS in_recovery, current_database()::text AS database,
       current_user::text AS "user", r.rolsuper AS is_superuser,
       current_setting('block_size')::bigint * (
           SELECT coalesce(sum(c.relpages::bigint), 0) FROM pg_class c WHERE c.relkind IN ('r', 't', 'm')
       ) AS heap_bytes
FROM pg_roles r WHERE r.rolname = current_user
"""
_SIZE = "SELECT pg_database_size(current_database()) AS bytes"
_SCHEMAS = """
SELECT n.nspname::text AS name FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""
# What pg_dump reads: tables and sequences, those of extensions only where the extension says that they hold data
# (pg_dump.c, selectDumpableTable and processExtensionTables).
_RELATIONS = """
SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       has_schema_privilege(n.oid, 'USAGE') AS enters,
       CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
            ELSE has_table_privilege(c.oid, 'SELECT') END AS reads,
       c.relrowsecurity AND row_security_active(c.oid) AS hides
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (
      SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        AND d.refclassid = 'pg_extension'::regclass AND NOT c.oid = ANY (coalesce(e.extconfig, '{}'))
  )
"""
_REFERENCES = """
SELECT c.conname::text AS name, n.nspname::text AS schema, t.relname::text AS "table",
       rn.nspname::text AS other_schema, rt.relname::text AS other_table
FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
JOIN pg_class rt ON rt.oid = c.confrelid JOIN pg_namespace rn ON rn.oid = rt.relnamespace
WHERE c.contype = 'f' ORDER BY n.nspname, t.relname, c.conname
"""
# Large objects that a role may not read: neither its own nor granted to it (pg_largeobject_metadata.lomacl).
_LARGE_OBJECTS = """
SELECT count(*) AS hidden FROM pg_largeobject_metadata m
WHERE current_setting('lo_compat_privileges') = 'off' AND NOT pg_has_role(m.lomowner, 'USAGE')
  AND NOT EXISTS (
      SELECT FROM aclexplode(m.lomacl) a
      WHERE a.privilege_type = 'SELECT' AND CASE WHEN a.grantee = 0 THEN true ELSE pg_has_role(a.grantee, 'USAGE') END
  )
"""
_READ_ALL_SINCE = 140000
_NAMED = 3


@dataclass(frozen=True)
class Source:
    """The database that is dumped; sizes in bytes, C(heap_bytes) without indexes and as the last ANALYZE counted."""

    server: str
    database: str
    user: str
    version_num: int
    in_recovery: bool
    bytes: int
    heap_bytes: int
    notes: tuple[str, ...] = field(default=())

    @property
    def version(self) -> str:
        """The server's version for people."""
        return f"{self.version_num // 10000}.{self.version_num % 10000}"


def look_at(session: Session, selection: Selection) -> Source:
    """The database of a session, once nothing speaks against dumping it.

    Raises:
        Refused: a pooler is in between; something may not be read or would be hidden; what would be left out is
            needed by what is not. The message names the remedy.
        InvalidOption: a name that the database does not have.

    """
    found = session.query(_SERVER)[0]
    check_direct(session, found["pid"])
    relations = session.query(_RELATIONS)
    _check_names(session, selection, relations)
    wanted = [each for each in relations if selection.has_schema(each["schema"])]
    user, version = found["user"], session.server_version_num
    if not found["is_superuser"]:
        _check_reading(wanted, user, version, found["database"])
        _check_large_objects(session, user)
    _check_rows(wanted, selection, user)
    _check_references(session, selection)
    notes = []
    if found["in_recovery"]:
        notes.append("The server is a standby: tables that are UNLOGGED have no rows there, and none in the backup.")
    return Source(
        server=session.server,
        database=found["database"],
        user=user,
        version_num=version,
        in_recovery=found["in_recovery"],
        bytes=session.query(_SIZE)[0]["bytes"],
        heap_bytes=found["heap_bytes"],
        notes=tuple(notes),
    )


def _check_names(session: Session, selection: Selection, relations: Sequence[Row]) -> None:
    if not selection.is_partial:
        return
    schemas = [each["name"] for each in session.query(_SCHEMAS)]
    tables = [(each["schema"], each["name"]) for each in relations if each["kind"] == "r"]
    for option, name in selection.missing(schemas, tables):
        what = "tables with rows of their own (of a partitioned table, its partitions)"
        raise InvalidOption(option, name, what if option == "exclude_table_data" else "schemas of this database")


def _check_reading(wanted: Sequence[Row], user: str, version: int, database: str) -> None:
    hidden = [each for each in wanted if not (each["enters"] and each["reads"])]
    if not hidden:
        return
    role = quote_identifier(user)
    if version >= _READ_ALL_SINCE:
        remedy = f"GRANT pg_read_all_data TO {role};"
    else:
        schemas = sorted({quote_identifier(each["schema"]) for each in hidden})
        remedy = " ".join(
            f"GRANT USAGE ON SCHEMA {each} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {each} TO {role}; "
            f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {each} TO {role};"
            for each in schemas
        )
    raise Refused(
        f"User {user!r} may not read {_named(hidden)} of database {database!r}, so a backup by it would not be whole. "
        f"Nothing was touched. {remedy}"
    )


def _check_large_objects(session: Session, user: str) -> None:
    hidden = session.query(_LARGE_OBJECTS)[0]["hidden"]
    if hidden:
        raise Refused(
            f"User {user!r} may not read {hidden} large object{'' if hidden == 1 else 's'}. Nothing was touched. "
            "Use a superuser, or GRANT SELECT ON LARGE OBJECT … to it."
        )


def _check_rows(wanted: Sequence[Row], selection: Selection, user: str) -> None:
    hiding = [each for each in wanted if each["hides"] and selection.has_rows(each["schema"], each["name"])]
    if hiding:
        raise Refused(
            f"Row security hides rows of {_named(hiding)} from user {user!r}, so a backup by it would not be whole. "
            f"Nothing was touched. ALTER ROLE {quote_identifier(user)} BYPASSRLS; or use a superuser."
        )


def _check_references(session: Session, selection: Selection) -> None:
    if not selection.is_partial:
        return
    for each in session.query(_REFERENCES):
        if selection.has_rows(each["schema"], each["table"]) and not selection.has_rows(
            each["other_schema"], each["other_table"]
        ):
            table, other = _name(each["schema"], each["table"]), _name(each["other_schema"], each["other_table"])
            raise Refused(
                f"{table} refers to {other} (constraint {each['name']}), which would be missing from the backup: it "
                f"could not be restored. Nothing was touched. Leave out {table}, too, or neither of them."
            )


def _named(relations: Sequence[Row]) -> str:
    names = sorted(_name(each["schema"], each["name"]) for each in relations)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _name(schema: Any, relation: Any) -> str:
    return f"{quote_identifier(schema)}.{quote_identifier(relation)}"
