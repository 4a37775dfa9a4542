# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to a database and not to its content, and is therefore in no dump: owner, privileges, limits, settings.

A database that takes another's place must get all of it, or the application meets other privileges and another search
path than yesterday's. Reading is one query; what to do about differences is pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row, Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.needs import Shape, provider_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.statements import (
    Statement,
    identifier,
    literal,
    literals,
    statement,
)

PUBLIC = ""
_OWNER = "<owner>"
# Settings whose value is a list of names that are quoted one by one (GUC_LIST_QUOTE in guc_tables.c; pg_dump's
# variable_is_guc_list_quote has the same list).
_LISTS = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)

_DATABASE = """
SELECT d.oid::bigint AS oid, d.datname::text AS name, pg_get_userbyid(d.datdba)::text AS owner,
       d.datconnlimit AS connection_limit, d.datallowconn AS allows_connections, d.datistemplate AS is_template,
       t.spcname::text AS tablespace, t.oid::bigint AS tablespace_oid,
       shobj_description(d.oid, 'pg_database') AS comment,
       pg_encoding_to_char(d.encoding) AS encoding, to_jsonb(d) AS columns,
       ARRAY(SELECT s.provider || ' ' || s.label FROM pg_shseclabel s
             WHERE s.objoid = d.oid AND s.classoid = 'pg_database'::regclass ORDER BY 1) AS labels
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
WHERE d.datname = %(name)s
"""

_GRANTS = """
SELECT CASE WHEN a.grantee = 0 THEN '' WHEN a.grantee = d.datdba THEN '<owner>'
            ELSE pg_get_userbyid(a.grantee)::text END AS grantee,
       a.privilege_type AS privilege, a.is_grantable AS grantable
FROM pg_database d, LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
WHERE d.datname = %(name)s
ORDER BY 1, 2
"""

_SETTINGS = """
SELECT coalesce(pg_get_userbyid(nullif(s.setrole, 0))::text, '') AS role, c.entry
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase,
     LATERAL unnest(s.setconfig) WITH ORDINALITY c(entry, number)
WHERE d.datname = %(name)s
ORDER BY 1, c.number
"""


class Grant(NamedTuple):
    """One privilege on a database; C(grantee) is empty for PUBLIC and C(<owner>) for the owner."""

    grantee: str
    privilege: str
    grantable: bool


class Setting(NamedTuple):
    """One C(ALTER DATABASE … SET), or C(ALTER ROLE … IN DATABASE … SET) with a C(role)."""

    role: str
    name: str
    value: str


@dataclass(frozen=True)
class Attributes:
    """Everything about a database that is not in it."""

    oid: int
    name: str
    owner: str
    tablespace: str
    tablespace_oid: int
    shape: Shape
    connection_limit: int
    allows_connections: bool
    is_template: bool
    comment: Optional[str]
    labels: tuple[str, ...]
    grants: tuple[Grant, ...]
    settings: tuple[Setting, ...]

    def facts(self) -> dict[str, Any]:
        """For results."""
        return {
            "name": self.name,
            "oid": self.oid,
            "owner": self.owner,
            "tablespace": self.tablespace,
            "connection_limit": self.connection_limit,
            "allows_connections": self.allows_connections,
            "privileges": [
                {"role": each.grantee.strip("<>") or "public", "privilege": each.privilege, "grantable": each.grantable}
                for each in self.grants
            ],
            "settings": [{"role": each.role or None, "name": each.name} for each in self.settings],
        }


def read_attributes(session: Session, name: str) -> Optional[Attributes]:
    """The attributes of a database; None when there is none of that name."""
    rows = session.query(_DATABASE, {"name": name})
    if not rows:
        return None
    row = rows[0]
    grants = session.query(_GRANTS, {"name": name})
    settings = session.query(_SETTINGS, {"name": name})
    return Attributes(
        oid=row["oid"],
        name=row["name"],
        owner=row["owner"],
        tablespace=row["tablespace"],
        tablespace_oid=row["tablespace_oid"],
        shape=_shape(row),
        connection_limit=row["connection_limit"],
        allows_connections=row["allows_connections"],
        is_template=row["is_template"],
        comment=row["comment"],
        labels=tuple(row["labels"]),
        grants=tuple(Grant(each["grantee"], each["privilege"], each["grantable"]) for each in grants),
        settings=tuple(_setting(each) for each in settings),
    )


def _shape(row: Row) -> Shape:
    # Which of these columns there are depends on the server's version.
    columns = row["columns"]
    return Shape(
        encoding=row["encoding"],
        collate=columns["datcollate"],
        ctype=columns["datctype"],
        # Before 15 there was one.
        provider=provider_of(columns.get("datlocprovider", "c")),
        locale=columns.get("datlocale") or columns.get("daticulocale"),
    )


def _setting(row: Row) -> Setting:
    name, _equals, value = row["entry"].partition("=")
    return Setting(row["role"], name, value)


def carried_over(source: Attributes, target: Attributes, name: str) -> Iterator[tuple[str, Statement]]:
    """What gives C(target), which is called C(name) by then, all that C(source) has: in words, and as statements.

    Grants are made by whoever owns the database or is superuser; a chain of grant options by others is not rebuilt.
    """
    database = identifier(name)
    if source.owner != target.owner:
        yield (
            f"owner {quote_identifier(source.owner)}",
            statement("ALTER DATABASE {} OWNER TO {}", database, identifier(source.owner)),
        )
    if source.connection_limit != target.connection_limit:
        yield (
            f"connection limit {source.connection_limit}",
            statement("ALTER DATABASE {} CONNECTION LIMIT {}", database, literal(source.connection_limit)),
        )
    if source.is_template != target.is_template:
        yield (
            f"template {source.is_template}",
            statement("ALTER DATABASE {} IS_TEMPLATE {}", database, literal(source.is_template)),
        )
    if set(source.grants) != set(target.grants):
        yield from _granted(source, target, name)
    if source.settings != target.settings:
        yield from _set(source.settings, target.settings, name)


def _granted(source: Attributes, target: Attributes, name: str) -> Iterator[tuple[str, Statement]]:
    database = identifier(name)
    for grantee in sorted({each.grantee for each in target.grants}):
        yield "", statement("REVOKE ALL ON DATABASE {} FROM {}", database, _grantee(grantee, source.owner))
    for each in source.grants:
        option = " WITH GRANT OPTION" if each.grantable and each.grantee != _OWNER else ""
        # The privilege's name comes from the catalog, which has four of them.
        words = f"GRANT {each.privilege} ON DATABASE {{}} TO {{}}{option}"
        whom = {PUBLIC: "PUBLIC", _OWNER: "its owner"}.get(each.grantee) or quote_identifier(each.grantee)
        yield (
            f"{each.privilege} for {whom}",
            statement(words, database, _grantee(each.grantee, source.owner)),
        )


def _grantee(grantee: str, owner: str) -> Statement:
    if grantee == PUBLIC:
        return statement("PUBLIC")
    return identifier(owner if grantee == _OWNER else grantee)


def _set(source: Sequence[Setting], target: Sequence[Setting], name: str) -> Iterator[tuple[str, Statement]]:
    database = identifier(name)
    for role in sorted({each.role for each in target}):
        whose = _whose(role, database)
        yield "", statement("{} RESET ALL", whose)
    for each in source:
        value = literals(_names(each.value)) if each.name.lower() in _LISTS else literal(each.value)
        # A setting's name may have dots, each part of which is quoted.
        words = statement("{} SET {} TO {}", _whose(each.role, database), identifier(*each.name.split(".")), value)
        of_role = f" for {quote_identifier(each.role)}" if each.role else ""
        yield f"setting {each.name}{of_role}", words


def _whose(role: str, database: Statement) -> Statement:
    if role:
        return statement("ALTER ROLE {} IN DATABASE {}", identifier(role), database)
    return statement("ALTER DATABASE {}", database)


def _names(value: str) -> list[str]:
    """The names of a list setting as the catalog has it: C("$user", public) and the like (SplitGUCList)."""
    names, position = [], 0
    while position < len(value):
        if value[position] in ", \t\n":
            position += 1
        elif value[position] == '"':
            end = position + 1
            while end < len(value) and (value[end] != '"' or value[end + 1 : end + 2] == '"'):
                end += 2 if value[end] == '"' else 1
            names.append(value[position + 1 : end].replace('""', '"'))
            position = end + 1
        else:
            end = position
            while end < len(value) and value[end] != ",":
                end += 1
            names.append(value[position:end].strip())
            position = end
    return names or [""]


def untouched(source: Attributes, owner: str) -> Attributes:
    """What a database has that was just made for this owner: what C(carried_over) starts from."""
    grants = [Grant(PUBLIC, each, False) for each in ("CONNECT", "TEMPORARY")]
    grants += [Grant(_OWNER, each, False) for each in ("CONNECT", "CREATE", "TEMPORARY")]
    return replace(
        source, owner=owner, connection_limit=-1, is_template=False, grants=tuple(grants), settings=(), comment=None
    )


def differences(source: Attributes, target: Attributes) -> Mapping[str, tuple[Any, Any]]:
    """What is not the same about two databases, as source and target."""
    pairs = {
        "owner": (source.owner, target.owner),
        "connection_limit": (source.connection_limit, target.connection_limit),
        "privileges": (set(source.grants), set(target.grants)),
        "settings": (set(source.settings), set(target.settings)),
        "template": (source.is_template, target.is_template),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
