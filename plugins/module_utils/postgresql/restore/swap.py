# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Databases made, marked, renamed and dropped: every statement of a restore that changes the server's own catalogs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError, quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.attributes import (
    Attributes,
    carried_over,
    differences,
    read_attributes,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.fence import (
    Connected,
    Doorkeeper,
    grouped,
    read_sessions,
    told,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import (
    Mark,
    joined_comment,
    split_comment,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.needs import Shape
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.statements import (
    Statement,
    identifier,
    literal,
    statement,
)

# Somebody is connected; a lock was not to be had in time; somebody else changed the same row of a catalog.
_BUSY = ("55006", "55P03", "40P01", "XX000")
_PAUSE_SECONDS = 0.2


@dataclass
class Swap:
    """What putting a database in place came to.

    Args:
        old: The name under which what was there is kept; None when nothing was there.
        seconds: How long nobody could work: from the first session that was ended to the commit.
        ended: How many sessions were ended.
        sessions: Who was connected.
        notes: What could not be carried over.

    """

    old: Optional[str] = None
    seconds: float = 0.0
    ended: int = 0
    sessions: Sequence[Connected] = ()
    notes: list[str] = field(default_factory=list)


def create(session: Session, name: str, shape: Shape, owner: Optional[str], tablespace: Optional[str]) -> None:
    """Make an empty database that nobody can connect to before it is marked."""
    parts: list[Statement] = [statement("CREATE DATABASE {} TEMPLATE template0", identifier(name))]
    given = [("ENCODING", shape.encoding), ("LC_COLLATE", shape.collate), ("LC_CTYPE", shape.ctype)]
    # Before 15 there is one provider and no word for it.
    if shape.provider in ("icu", "builtin"):
        given += [("LOCALE_PROVIDER", shape.provider), (f"{shape.provider.upper()}_LOCALE", shape.locale)]
    elif shape.provider == "libc" and session.server_version_num >= 150000:
        given.append(("LOCALE_PROVIDER", shape.provider))
    parts += [statement(f"{word} {{}}", literal(value)) for word, value in given if value]
    if owner:
        parts.append(statement("OWNER {}", identifier(owner)))
    if tablespace:
        parts.append(statement("TABLESPACE {}", identifier(tablespace)))
    parts.append(statement("ALLOW_CONNECTIONS false"))
    session.query(statement(" ".join(["{}"] * len(parts)), *parts))


def mark(session: Session, name: str, what: Mark) -> None:
    """Write into the comment of a database of ours what it is now, and let people connect to it."""
    with session.transaction():
        session.query(_comment(name, joined_comment(None, what)))
        session.query(statement("ALTER DATABASE {} ALLOW_CONNECTIONS true", identifier(name)))


def drop(session: Session, name: str) -> None:
    """Drop a database of ours, whoever is connected to it."""
    session.query(statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", identifier(name)))


def put_in_place(
    session: Session,
    options: Mapping[str, Any],
    *,
    beside: str,
    database: str,
    old: str,
    live: Optional[Attributes],
    marks: tuple[Mark, Mark],
    fence: bool,
    most: Optional[int],
    seconds: float,
    progress: Progress,
) -> Swap:
    """Give a database the name that it was made for; what has it now is kept under another.

    All of it is one transaction: whenever this process or the server is killed, there is either the old database or
    the new one under the name.

    Args:
        session: Logged in to neither of them.
        options: The connection's, for a second session.
        beside: The new database.
        database: The name.
        old: Where to keep what is there.
        live: What is there, as it was looked at; None for nothing.
        marks: What is then said of the new one and of the old one.
        fence: Whether sessions are ended.
        most: How many sessions may be ended.
        seconds: How long to try.
        progress: Where to show it.

    Raises:
        Refused: sessions are connected that were not, or could not be, ended; or it is another database by now.
        QueryError: the server's answer.

    """
    swap = Swap(old=None if live is None else old)
    fresh = read_attributes(session, beside)
    oids = [each.oid for each in (live, fresh) if each is not None]
    live_oids = [] if live is None else [live.oid]
    deadline = time.monotonic() + seconds
    progress.phase("swap", database)
    while True:
        connected = grouped(read_sessions(session, live_oids))
        swap.sessions = swap.sessions or connected
        if connected and not fence:
            raise Refused(_who(database, connected, "fence is false"), code="sessions")
        if most is not None and swap.ended == 0 and sum(each.count for each in connected) > most:
            raise Refused(_who(database, connected, f"max_sessions allows {most}"), code="sessions")
        began = time.monotonic()
        keeper = Doorkeeper(options, oids) if fence else None
        try:
            with keeper or contextlib.nullcontext():
                _rename(session, beside, database, old, live, marks, swap)
        except QueryError as error:
            if error.sqlstate not in _BUSY:
                raise
            if time.monotonic() >= deadline:
                still = grouped(read_sessions(session, live_oids))
                why = keeper.problem if keeper is not None and keeper.problem else error.message
                raise Refused(_who(database, still, why), code="sessions") from None
        else:
            swap.seconds = round(time.monotonic() - began, 3)
            return swap
        finally:
            swap.ended += keeper.ended if keeper is not None else 0
        progress.wait(_PAUSE_SECONDS, "waiting for sessions to end")


def _rename(
    session: Session,
    beside: str,
    database: str,
    old: str,
    live: Optional[Attributes],
    marks: tuple[Mark, Mark],
    swap: Swap,
) -> None:
    swap.notes.clear()
    with session.transaction():
        before = None
        if live is not None:
            session.query(statement("ALTER DATABASE {} RENAME TO {}", identifier(database), identifier(old)))
            before = read_attributes(session, old)
            if before is None or before.oid != live.oid:
                raise Refused(
                    f"The database {quote_identifier(database)} is another one than when this run began: somebody "
                    "replaced it meanwhile. Nothing was changed. Look at who else restores it.",
                    code="changed_meanwhile",
                )
        session.query(statement("ALTER DATABASE {} RENAME TO {}", identifier(beside), identifier(database)))
        own = None
        if before is not None:
            own = split_comment(before.comment)[0]
            _carry_over(session, before, database, swap)
            session.query(_comment(old, joined_comment(own, marks[1])))
        session.query(_comment(database, joined_comment(own, marks[0])))


def _carry_over(session: Session, before: Attributes, database: str, swap: Swap) -> None:
    after = read_attributes(session, database)
    if after is None:
        raise QueryError(f"the database {quote_identifier(database)} is gone")
    for _words, each in carried_over(before, after, database):
        session.query(each)
    if before.labels:
        swap.notes.append(f"Security labels of the database were not carried over: {', '.join(before.labels)}")
    made = read_attributes(session, database)
    left = differences(before, made) if made is not None else {}
    if left:
        swap.notes.append(f"Not the same as before the restore: {', '.join(left)} of the database")


def _comment(name: str, text: Optional[str]) -> Statement:
    return statement("COMMENT ON DATABASE {} IS {}", identifier(name), literal(text))


def _who(database: str, sessions: Sequence[Connected], why: str) -> str:
    who = told(sessions) or "nobody any more"
    return (
        f"{quote_identifier(database)} was not replaced: sessions are connected ({who}), and {why.rstrip('.')}. It is "
        "as it was. Stop the applications, and run this again: it goes on from the database that is restored already."
    )


def undo(database: str, old: str, undone: str, comment: Optional[str]) -> Iterator[str]:
    """The statements that bring a former database back, for psql in another database.

    The restored one is kept under C(undone), closed.
    """
    name, back, aside = (_quoted(each) for each in (database, old, undone))
    text = "NULL" if comment is None else "'" + comment.replace("'", "''") + "'"
    yield f"ALTER DATABASE {name} ALLOW_CONNECTIONS false;"
    literal_name = "'" + database.replace("'", "''") + "'"
    yield f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {literal_name};"  # noqa: S608 - text
    yield "BEGIN;"
    yield f"ALTER DATABASE {name} RENAME TO {aside};"
    yield f"ALTER DATABASE {back} RENAME TO {name};"
    yield f"COMMENT ON DATABASE {name} IS {text};"
    yield "COMMIT;"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
