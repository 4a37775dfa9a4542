# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the server is and holds, as far as a restore depends on it: read in one go before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row, Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.attributes import (
    Attributes,
    read_attributes,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.fence import (
    APPLICATION,
    Connected,
    grouped,
    read_sessions,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import (
    BEFORE,
    BESIDE,
    Mark,
    is_named,
    split_comment,
)

_STATEMENT_SECONDS = 60.0

_SERVER = """
SELECT current_setting('server_version_num')::int AS version_num, current_database()::text AS login_db,
       (SELECT c.system_identifier::text FROM pg_control_system() c) AS system_identifier,
       current_user::text AS login, r.rolsuper AS is_superuser, r.rolcreatedb AS creates_databases,
       r.rolcreaterole AS creates_roles, pg_has_role('pg_signal_backend', 'USAGE') AS signals,
       current_setting('max_connections')::int AS max_connections
FROM pg_roles r WHERE r.rolname = current_user
"""
_ROLES = "SELECT rolname::text AS name FROM pg_roles"
_EXTENSIONS = "SELECT name::text FROM pg_available_extensions"
_LOCALES = """
SELECT DISTINCT l.name FROM (
    SELECT c.collcollate::text AS name FROM pg_collation c WHERE c.collprovider = 'c'
    UNION ALL SELECT d.datcollate::text FROM pg_database d UNION ALL SELECT d.datctype::text FROM pg_database d
    UNION ALL SELECT 'C' UNION ALL SELECT 'POSIX') l
WHERE l.name IS NOT NULL
"""
_HAS_ICU = "SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS yes"
# pg_has_role() with a name fails for a role that is not there; here the owner always is.
_DATABASES = """
SELECT d.oid::bigint AS oid, d.datname::text AS name, shobj_description(d.oid, 'pg_database') AS comment,
       d.datallowconn AS allows_connections, pg_has_role(d.datdba, 'MEMBER') AS is_ours,
       CASE WHEN has_database_privilege(d.oid, 'CONNECT')
                 AND (d.datname = %(name)s OR d.datname ~ '_(restore|before)_[0-9]{8}t[0-9]{6}z$')
            THEN pg_database_size(d.oid) END AS size_bytes
FROM pg_database d ORDER BY d.datname
"""
_BOUND = """
SELECT 'replication slot' AS kind, s.slot_name::text AS name FROM pg_replication_slots s WHERE s.database = %(name)s
UNION ALL
SELECT 'subscription', s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
WHERE d.datname = %(name)s
ORDER BY 1, 2
"""
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = %(name)s ORDER BY prepared"
# What a dump would bring along. The schema public, and what extensions own, are no content.
_CONTENT = """
SELECT (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_temp_'
          AND n.nspname !~ '^pg_toast_temp_' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND d.deptype = 'e')) AS relations,
       (SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                          AND d.deptype = 'e')) AS functions,
       (SELECT count(*) FROM pg_namespace n
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'public') AND n.nspname !~ '^pg_'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid
                          AND d.deptype = 'e')) AS schemas,
       (SELECT count(*) FROM pg_largeobject_metadata) AS large_objects
"""


@dataclass(frozen=True)
class Neighbour:
    """A database that an earlier run of ours left, or kept."""

    name: str
    oid: int
    mark: Optional[Mark]
    size_bytes: Optional[int]
    is_ours: bool
    allows_connections: bool

    def facts(self) -> dict[str, Any]:
        """For results."""
        return {
            "name": self.name,
            "state": None if self.mark is None else self.mark.state,
            "artefact": None if self.mark is None else self.mark.artefact,
            "at": None if self.mark is None else self.mark.at,
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True)
class Server:
    """The server and the login's rights on it."""

    address: str
    version_num: int
    system_identifier: Optional[str]
    login: str
    login_db: str
    is_superuser: bool
    creates_databases: bool
    creates_roles: bool
    signals: bool
    roles: frozenset[str]
    extensions: frozenset[str]
    locales: frozenset[str]
    has_icu: bool

    @property
    def major(self) -> int:
        """Its major version."""
        return self.version_num // 10000


@dataclass(frozen=True)
class State:
    """Everything that was read.

    Args:
        server: The server.
        live: The database of the wanted name; None when there is none.
        live_is_ours: Whether the login is its owner, or may act as it.
        live_size_bytes: Its size; None where the login may not know it.
        content: What is in it, by kind; all zero when it is empty; None when it could not be looked at.
        sessions: Who is connected to it.
        bound: Replication slots and subscriptions that belong to it.
        prepared: Transactions that were prepared in it and not ended.
        beside: What runs that were cut off, or refused at the end, left.
        kept: Former databases of this name.

    """

    server: Server
    live: Optional[Attributes]
    live_is_ours: bool = True
    live_size_bytes: Optional[int] = None
    content: Optional[Mapping[str, int]] = None
    sessions: tuple[Connected, ...] = ()
    bound: tuple[tuple[str, str], ...] = ()
    prepared: tuple[str, ...] = ()
    beside: tuple[Neighbour, ...] = ()
    kept: tuple[Neighbour, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether the live database is known to hold nothing."""
        return self.content is not None and not any(self.content.values())

    @property
    def mark(self) -> Optional[Mark]:
        """What an earlier run said of the live database."""
        return None if self.live is None else split_comment(self.live.comment)[1]

    @property
    def session_count(self) -> int:
        """How many are connected to the live database."""
        return sum(each.count for each in self.sessions)


def read_state(session: Session, options: Mapping[str, Any], database: str) -> State:
    """Everything a restore depends on; nothing is locked and nothing is changed."""
    server = _server(session)
    neighbours = [_neighbour(row) for row in session.query(_DATABASES, {"name": database})]
    live = read_attributes(session, database)
    return State(
        server=server,
        live=live,
        live_size_bytes=next((each.size_bytes for each in neighbours if each.name == database), None),
        live_is_ours=any(each.is_ours for each in neighbours if each.name == database),
        content=None if live is None else _content(options, database),
        sessions=() if live is None else tuple(grouped(read_sessions(session, [live.oid]))),
        bound=tuple((row["kind"], row["name"]) for row in session.query(_BOUND, {"name": database})),
        prepared=tuple(row["gid"] for row in session.query(_PREPARED, {"name": database})),
        beside=tuple(each for each in neighbours if _is_about(each, database, BESIDE)),
        kept=tuple(each for each in neighbours if _is_about(each, database, BEFORE)),
    )


def _content(options: Mapping[str, Any], database: str) -> Optional[Mapping[str, int]]:
    """What the live database holds; None when it lets nobody in. Whether that matters is for others to say."""
    try:
        return read_content(options, database)
    except Unavailable:
        return None


def read_content(options: Mapping[str, Any], database: str) -> Mapping[str, int]:
    """What a database holds, by kind."""
    with connect(
        {**options, "login_db": database},
        application_name=APPLICATION,
        statement_timeout_seconds=_STATEMENT_SECONDS,
    ) as session:
        return {name: int(count) for name, count in session.query(_CONTENT)[0].items()}


def _server(session: Session) -> Server:
    row = session.query(_SERVER)[0]
    return Server(
        address=session.server,
        version_num=row["version_num"],
        system_identifier=row["system_identifier"],
        login=row["login"],
        login_db=row["login_db"],
        is_superuser=row["is_superuser"],
        creates_databases=row["creates_databases"],
        creates_roles=row["creates_roles"],
        signals=row["signals"],
        roles=_set_of(session.query(_ROLES)),
        extensions=_set_of(session.query(_EXTENSIONS)),
        locales=frozenset(plain_locale(name) for name in _set_of(session.query(_LOCALES))),
        has_icu=session.query(_HAS_ICU)[0]["yes"],
    )


def plain_locale(name: str) -> str:
    """A locale's name as the C library compares it: en_US.UTF-8 is en_US.utf8."""
    language, dot, codeset = name.partition(".")
    return language + dot + codeset.lower().replace("-", "")


def _set_of(rows: Sequence[Row]) -> frozenset[str]:
    return frozenset(row["name"] for row in rows)


def _neighbour(row: Row) -> Neighbour:
    return Neighbour(
        name=row["name"],
        oid=row["oid"],
        mark=split_comment(row["comment"])[1],
        size_bytes=row["size_bytes"],
        is_ours=row["is_ours"],
        allows_connections=row["allows_connections"],
    )


def _is_about(neighbour: Neighbour, database: str, kind: str) -> bool:
    """Whether a database is one of ours by its name, and not said to be another's."""
    if not is_named(neighbour.name, database, kind):
        return False
    return neighbour.mark is None or neighbour.mark.database == database
