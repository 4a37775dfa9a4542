# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that stands against a restore, found before anything is touched, and told at once. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import Headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.fence import told
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.globals import Globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.needs import Needs, Shape
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.packages import package_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import (
    APPLY,
    REFUSE,
    SKIP,
    RestoreRequest,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.state import Server, State, plain_locale


class Obstacle(NamedTuple):
    """One thing that stands against the restore, with the next step in C(message)."""

    code: str
    message: str


def obstacles(
    request: RestoreRequest,
    state: State,
    needs: Needs,
    known: Optional[Globals],
    headroom: Headroom,
) -> list[Obstacle]:
    """What stands against the restore; an empty list when nothing does.

    Args:
        request: What is wanted.
        state: What the server is and holds.
        needs: What the backup asks for.
        known: The roles in the backup's globals; None when there are none, or they are not to be looked at.
        headroom: The room on the server's disk.

    """
    return [
        *_of_the_server(request, state.server, needs, headroom),
        *_of_the_backup(request, needs),
        *_of_the_roles(request, state.server, needs, known),
        *_of_the_target(request, state),
        *_of_the_swap(request, state),
    ]


def check(found: Sequence[Obstacle], details: Mapping[str, Any]) -> None:
    """Raise Refused when there are obstacles; all of them are named, and C(details) travel along."""
    if not found:
        return
    first = found[0]
    others = "".join(f" Also: {each.message}" for each in found[1:])
    raise Refused(
        f"Nothing was touched. {first.message}{others}",
        code=first.code,
        obstacles=[{"code": each.code, "message": each.message} for each in found],
        **details,
    )


def missing_roles(state: State, known: Optional[Globals]) -> list[str]:
    """Roles that the restore has to make: those of the globals that the server lacks, in the order of the file."""

    return [] if known is None else [name for name in known.roles if name not in state.server.roles]


def _of_the_server(request: RestoreRequest, server: Server, needs: Needs, headroom: Headroom) -> Iterator[Obstacle]:
    if server.system_identifier is not None and server.system_identifier in request.must_not_be:
        yield Obstacle(
            "target_is_production",
            f"The server at {server.address} has the system identifier {server.system_identifier}, which must_not_be "
            "names. Correct login_host and login_port.",
        )
    elif server.system_identifier is None and request.must_not_be:
        yield Obstacle("target_unknown", "The server does not tell its system identifier, which must_not_be asks for.")
    if needs.major is not None and server.major < needs.major:
        yield Obstacle(
            "server_too_old",
            f"The backup is of PostgreSQL {needs.major} and the server is {server.major}: what an older version does "
            f"not know is rejected or lost. Restore into PostgreSQL {needs.major} or newer.",
        )
    if not server.is_superuser and not server.creates_databases:
        yield Obstacle(
            "privilege",
            f"The role {quote_identifier(server.login)} may not create databases. "
            f"ALTER ROLE {quote_identifier(server.login)} CREATEDB, or log in as another.",
        )
    for name in needs.extensions:
        if name not in server.extensions:
            yield Obstacle(
                "extension_missing",
                f"The server has no extension {name}, which the backup needs. "
                f"Install {package_of(name, server.major)} there.",
            )
    if needs.needed_bytes is not None and headroom.free_bytes is not None and headroom.free_bytes < needs.needed_bytes:
        yield Obstacle(
            "no_space",
            f"The restored database takes about {needs.needed_bytes} bytes, and {headroom.free_bytes} are free "
            f"({headroom.source}). Make room, or drop a former database that was kept.",
        )
    yield from _of_the_locale(needs.shape, server)


def _of_the_locale(shape: Shape, server: Server) -> Iterator[Obstacle]:
    if shape.provider == "icu" and not server.has_icu:
        yield Obstacle(
            "encoding_mismatch",
            "The database has a locale of ICU, and the server was built without it. Use a server with ICU.",
        )
    if shape.provider == "builtin" and server.major < 17:
        yield Obstacle(
            "encoding_mismatch", "The database has a builtin locale, which PostgreSQL knows from 17 on only."
        )
    for name in dict.fromkeys(each for each in (shape.collate, shape.ctype) if each):
        if plain_locale(name) not in server.locales:
            yield Obstacle(
                "encoding_mismatch",
                f"The server does not know the locale {name}, which the backed up database has. Install it there "
                "(locale-gen), then SELECT pg_import_system_collations('pg_catalog').",
            )


def _of_the_backup(request: RestoreRequest, needs: Needs) -> Iterator[Obstacle]:
    if request.source_database and needs.database and needs.database != request.source_database:
        yield Obstacle(
            "identity_mismatch",
            f"The backup is of the database {quote_identifier(needs.database)}, not of "
            f"{quote_identifier(request.source_database)}. Correct repository, name_pattern or name, or set "
            "source_database.",
        )
    if needs.is_partial and request.is_swap:
        yield Obstacle(
            "structure_missing",
            "The backup leaves out parts of its database on purpose, so it cannot take a database's place. "
            "Restore it with mode=fresh and take from it what is needed.",
        )


def _of_the_roles(
    request: RestoreRequest, server: Server, needs: Needs, known: Optional[Globals]
) -> Iterator[Obstacle]:
    if request.globals == SKIP:
        return
    offered = set(known.roles) if known is not None and request.globals == APPLY else set()
    absent = [name for name in needs.roles if name not in server.roles and name not in offered]
    if absent:
        names = ", ".join(quote_identifier(name) for name in absent)
        where = "and the backup has no globals with them" if request.globals == APPLY else "and globals is check"
        yield Obstacle(
            "role_missing",
            f"The backup's objects belong or are granted to roles that the server lacks: {names}, {where}. Create "
            "them, or set globals to skip, which gives their objects to the login.",
        )
    makes = [name for name in offered if name not in server.roles]
    if makes and not server.is_superuser and not server.creates_roles:
        yield Obstacle(
            "privilege",
            f"The role {quote_identifier(server.login)} may not create the {len(makes)} roles that are missing. "
            "Log in as a role with CREATEROLE, or create them and set globals to check.",
        )


def _of_the_target(request: RestoreRequest, state: State) -> Iterator[Obstacle]:
    if state.live is None:
        return
    name = quote_identifier(request.database)
    if not request.is_swap and state.content is None:
        yield Obstacle(
            "exists",
            f"The database {name} exists and cannot be looked into, so that it may hold anything. "
            "Set mode to swap in order to replace it.",
        )
    elif not request.is_swap and not state.is_empty:
        has = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in (state.content or {}).items() if count)
        yield Obstacle(
            "not_empty",
            f"The database {name} exists and is not empty ({has}). Restoring into it would mix both. Set mode to swap "
            "in order to replace it, or name another database.",
        )


def _of_the_swap(request: RestoreRequest, state: State) -> Iterator[Obstacle]:
    """What stands against giving the live database another name, in both modes."""
    if state.live is None:
        return
    name, login = quote_identifier(request.database), quote_identifier(state.server.login)
    if not state.server.is_superuser and not state.live_is_ours:
        yield Obstacle(
            "privilege",
            f"The role {login} does not own the database {name}. GRANT {quote_identifier(state.live.owner)} TO "
            f"{login}, or log in as a superuser.",
        )
    if state.bound and request.replication == REFUSE:
        what = ", ".join(f"{kind} {quote_identifier(each)}" for kind, each in state.bound)
        yield Obstacle(
            "replication",
            f"The database {name} has {what}. They stay with the old one: consumers would get nothing, and a slot "
            "keeps WAL. Drop them first, or set replication to keep.",
        )
    if state.prepared:
        yield Obstacle(
            "prepared_transactions",
            f"Prepared transactions in {name} keep it from being renamed: {', '.join(state.prepared[:5])}. COMMIT "
            "PREPARED or ROLLBACK PREPARED them.",
        )
    yield from _of_the_sessions(request, state, name)


def _of_the_sessions(request: RestoreRequest, state: State, name: str) -> Iterator[Obstacle]:
    count = state.session_count
    who = told(state.sessions)
    if request.max_sessions is not None and count > request.max_sessions:
        yield Obstacle(
            "sessions",
            f"{count} sessions are connected to {name}, and max_sessions allows {request.max_sessions}: {who}. Stop "
            "the applications first.",
        )
    elif count and not request.fence:
        yield Obstacle(
            "sessions",
            f"{count} sessions are connected to {name}, and fence is false: {who}. Stop the applications first, or set "
            "fence.",
        )
    if count and request.fence and not state.server.is_superuser and not state.server.signals:
        login = quote_identifier(state.server.login)
        yield Obstacle(
            "privilege",
            f"The role {login} may not end the {count} sessions in {name} ({who}). GRANT pg_signal_backend TO {login}.",
        )
