# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the roles that a backup needs and the server lacks. Nothing that is there is changed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError, quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.globals import Globals

# The statements hold password verifiers, which belong into no log.
_QUIET = {"log_statement": "none", "log_min_error_statement": "panic", "log_min_duration_statement": "-1"}


def create_roles(session: Session, roles: Sequence[str], known: Globals, needed: Collection[str]) -> list[str]:
    """Make roles and put them into theirs, all in one transaction.

    Args:
        session: A superuser's, or one with CREATEROLE.
        roles: Which, in the order of the file.
        known: What the file says.
        needed: Those that the backup cannot do without.

    Returns:
        What people must know: what could not be made and is not needed, who has no password.

    Raises:
        RunbookError: one that is needed could not be made; none was.

    """
    notes: list[str] = []
    made: list[str] = []
    with session.transaction():
        with contextlib.suppress(QueryError), _savepoint(session):
            session.configure(_QUIET, for_transaction=True)
        there = {row["name"] for row in session.query("SELECT rolname::text AS name FROM pg_roles")}
        for role in roles:
            if role in there:
                continue
            try:
                with _savepoint(session):
                    for each in known.roles[role]:
                        session.query(each)
                made.append(role)
            except QueryError as error:
                # The server's words may repeat the statement; the primary message does not.
                told = f"The role {quote_identifier(role)} could not be created: {error.message}"
                if role in needed:
                    raise RunbookError(
                        f"{told}. Nothing was touched. Create it, and run this again.", code="role_missing"
                    ) from None
                notes.append(told)
        for membership in known.memberships_of(made):
            try:
                with _savepoint(session):
                    session.query(membership.statement(there | set(made)))
            except QueryError as error:
                notes.append(
                    f"{quote_identifier(membership.member)} was not put into {quote_identifier(membership.granted)}: "
                    f"{error.message}"
                )
    if without := [quote_identifier(role) for role in made if known.lacks_password(role)]:
        notes.append(f"The backup has no passwords: {', '.join(without)} may log in and cannot until a password is set")
    return notes


@contextlib.contextmanager
def _savepoint(session: Session) -> Iterator[None]:
    session.query("SAVEPOINT runbook")
    try:
        yield
    except QueryError:
        session.query("ROLLBACK TO SAVEPOINT runbook")
        raise
    session.query("RELEASE SAVEPOINT runbook")
