# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a backup is restored for proof: an empty database that is gone afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.server import ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation, installations
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request

with contextlib.suppress(ImportError):
    # The client says what is missing.
    from psycopg2 import sql

# Names that a server has taken already.
_TAKEN = ("postgres", "template0", "template1")
_SPARE_NAME = "restored"
# A restored database takes about as much as the original; its bloat is left behind, its sorting needs room.
_ROOM = 1.25


@dataclass
class Target:
    """An empty database.

    Args:
        options: Login options, C(login_db) among them.
        installation: Whose psql and pg_restore are used.
        kind: C(scratch) or C(staging).
        version_num: The server's version, as it counts itself.
        restores_roles: Whether roles can be made there: not on a server that others use.
        throwaway: Whether durability is worth nothing there.
        proof: What the server itself says of how private it is.
        notes: What is otherwise than in the original, and is so on purpose.
        same_locale: Whether text sorts as in the original.

    """

    options: Mapping[str, Any]
    installation: Installation
    kind: str
    version_num: int
    restores_roles: bool
    throwaway: bool
    proof: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    same_locale: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For the module's result."""
        return {
            "kind": self.kind,
            "version": f"{self.version_num // 10000}.{self.version_num % 10000}",
            "settings": dict(self.proof),
            "notes": list(self.notes),
        }


def needed_versions(head: Head, census: Optional[Census]) -> tuple[int, int]:
    """The versions of the server that the data is from, and of the pg_dump that wrote it; 0 where nobody says."""
    server = int(census.server["version_num"]) if census is not None else head.dumped_from or 0
    return server, head.dumped_by or server


def choose_server(request: Request, head: Head, census: Optional[Census]) -> Installation:
    """The host's server programs that fit a dump: of its major version, else the oldest that is newer.

    Raises:
        Undecided: there is none; code server_too_old or client_too_old.

    """
    found = installations(request.bin_directory, "initdb")
    server, client = needed_versions(head, census)
    return fitting(found, server // 10000, client // 10000)


def fitting(found: list[Installation], server: int, client: int) -> Installation:
    """Of installations the best for a dump of a server and by a pg_dump of these majors; raises C(Undecided). Pure."""
    has = ", ".join(each.version for each in found) or "none"
    good = [each for each in found if each.major >= max(server, client)]
    if good:
        return min(good, key=lambda each: (each.major, -each.version_num))
    if not any(each.major >= server for each in found):
        raise Undecided(
            f"it is of PostgreSQL {server}, and the host has no server of that version or a newer one (found: {has}). "
            f"Install postgresql-{server}, or name its directory in bin_directory",
            code="server_too_old",
        )
    raise Undecided(
        f"it was written by pg_dump {client}, which older programs do not read (found: {has}). Install "
        f"postgresql-{client}, or name its directory in bin_directory",
        code="client_too_old",
    )


def fitting_client(request: Request, head: Head) -> Installation:
    """An installation whose pg_restore reads what pg_dump wrote; raises C(Undecided)."""
    found = installations(request.bin_directory, "pg_restore")
    return fitting(found, 0, (head.dumped_by or 0) // 10000)


@contextlib.contextmanager
def scratch_target(
    request: Request, head: Head, census: Optional[Census], artefact_bytes: int, progress: Progress
) -> Iterator[Target]:
    """A database on a private server that is made for the occasion and destroyed.

    Raises:
        Undecided: it cannot be made; its details hold C(code).

    """
    installation = choose_server(request, head, census)
    size = int(census.database.get("size_bytes") or 0) if census is not None else 0
    needed = int(_ROOM * size) if size else artefact_bytes
    with ScratchServer(
        installation,
        place=request.scratch_directory,
        progress=progress,
        preload=request.preload,
        needed_bytes=needed,
    ) as server:
        with server.connect() as session:
            database, notes, same_locale = make_database(session, head, census)
            target = Target(
                {**server.options, "login_db": database},
                installation,
                "scratch",
                session.server_version_num,
                restores_roles=True,
                throwaway=True,
                proof=dict(server.proof),
                notes=notes,
                same_locale=same_locale,
            )
        yield target


def make_database(
    session: Session, head: Head, census: Optional[Census], name: Optional[str] = None
) -> tuple[str, list[str], bool]:
    """Make a database with the original's encoding and locale: its name, notes, whether it sorts as the original.

    A locale that the host does not have is no fault of the backup: the database is made with C(C) then, and said so.
    """
    original = census.database if census is not None else {}
    wanted = str(original.get("name") or head.database or _SPARE_NAME)
    database = name or (wanted if wanted not in _TAKEN else _SPARE_NAME)
    encoding = str(original.get("encoding") or head.encoding or "UTF8")
    first = _create(database, encoding, _locale(original))
    plain = _create(database, encoding, sql.SQL(" LOCALE 'C'"))
    try:
        session.query(first)
    except QueryError as error:
        if not original:
            raise Undecided(f"no database with encoding {encoding} can be made: {error.message}") from None
        session.query(plain)
        told = original.get("locale") or original.get("collate")
        note = f"text is not sorted as in the original: the server does not have its locale {told} ({error.message})"
        return database, [note], False
    return database, [], bool(original)


def _create(database: str, encoding: str, locale: sql.Composable) -> sql.Composed:
    return sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {}").format(
        sql.Identifier(database), sql.Literal(encoding)
    ) + sql.Composed([locale])


def _locale(original: Mapping[str, Any]) -> sql.Composable:
    if not original:
        return sql.SQL(" LOCALE 'C'")
    parts = sql.SQL(" LC_COLLATE {} LC_CTYPE {}").format(
        sql.Literal(original.get("collate") or "C"), sql.Literal(original.get("ctype") or "C")
    )
    provider, locale = original.get("locale_provider"), original.get("locale")
    if provider in ("icu", "i") and locale:
        parts += sql.SQL(" LOCALE_PROVIDER icu ICU_LOCALE {}").format(sql.Literal(locale))
    elif provider in ("builtin", "b") and locale:
        parts += sql.SQL(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}").format(sql.Literal(locale))
    return parts


def missing_extensions(session: Session, census: Optional[Census]) -> list[str]:
    """The extensions that the original had and the server's host has not."""
    if census is None or not census.extensions:
        return []
    rows = session.query("SELECT name::text AS name FROM pg_catalog.pg_available_extensions")
    return sorted(set(census.extensions) - {str(row["name"]) for row in rows})
