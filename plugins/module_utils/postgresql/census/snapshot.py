# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions that see one moment of a database, all of them the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import check_direct

# Without the driver nothing here is called: connecting says what is missing.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

# Everything that has a part in how values and definitions are written, and what would end a long reading.
READING = {
    "search_path": "pg_catalog, pg_temp",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "quote_all_identifiers": "off",
    # With it off, a table that would show some rows only is an error instead.
    "row_security": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}


@contextlib.contextmanager
def open_snapshot(
    options: Mapping[str, Any], *, application_name: str = "runbook.ops census", lock_timeout_seconds: float = 60.0
) -> Iterator[tuple[Session, str]]:
    """A session in a READ ONLY REPEATABLE READ transaction, and the name under which others import its snapshot.

    The name goes to C(pg_dump --snapshot); it is good as long as the block lasts.

    Args:
        options: Those of C(postgresql_argument_spec).
        application_name: How the session shows itself.
        lock_timeout_seconds: A statement gives up waiting for a lock after this time.

    Raises:
        Refused: a pooler is in between.
        Unavailable: the server cannot be reached.

    """
    with connect(
        options,
        application_name=application_name,
        statement_timeout_seconds=0,
        lock_timeout_seconds=lock_timeout_seconds,
    ) as session:
        check_direct(session, session.query("SELECT pg_backend_pid() AS pid")[0]["pid"])
        with reading(session):
            yield session, export_snapshot(session)


@contextlib.contextmanager
def reading(session: Session) -> Iterator[None]:
    """A READ ONLY REPEATABLE READ transaction in which values are written in fixed ways."""
    _begin(session)
    try:
        prepare_reading(session)
        yield
    finally:
        close_transaction(session)


def _begin(session: Session) -> None:
    # When this process is killed, the statement it waits for ends too. Not on every operating system.
    with contextlib.suppress(QueryError):
        session.configure({"client_connection_check_interval": "5s"})
    session.query(_BEGIN)


def export_snapshot(session: Session) -> str:
    """The name under which other sessions can import the snapshot of this one's transaction."""
    return str(session.query("SELECT pg_export_snapshot() AS name")[0]["name"])


def import_snapshot(session: Session, snapshot: str) -> None:
    """Begin a transaction that sees what the exporting one sees."""
    _begin(session)
    session.query(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
    prepare_reading(session)


def prepare_reading(session: Session, *, parallel_workers: int = 0) -> None:
    """Fix, for the open transaction, how values are written."""
    settings = {**READING, "max_parallel_workers_per_gather": str(parallel_workers)}
    if session.server_version_num >= 170000:
        settings["transaction_timeout"] = "0"
    session.configure(settings, for_transaction=True)


def close_transaction(session: Session) -> None:
    """Roll back, if there is still a connection to do it on."""
    with contextlib.suppress(RunbookError):
        session.query("ROLLBACK")


@contextlib.contextmanager
def locks_released(session: Session) -> Iterator[None]:
    """Give back, at the end of the block, the locks it took: thousands of tables have more than a server has room for.

    What the block changed would be undone as well; it only reads.
    """
    session.query("SAVEPOINT census")
    try:
        yield
    finally:
        with contextlib.suppress(RunbookError):
            session.query("ROLLBACK TO SAVEPOINT census")
            session.query("RELEASE SAVEPOINT census")
