# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session for changes: straight to the server, to a primary, and alone."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

# The first key of every advisory lock of the collection ("rops" in ASCII), to tell them from the application's.
LOCK_CLASS = 0x726F7073

_STATE = """
SELECT pg_backend_pid() AS pid, pg_is_in_recovery() AS in_recovery, current_database()::text AS database,
       EXISTS (SELECT FROM pg_settings s WHERE s.name = 'client_connection_check_interval') AS checks_connection
"""

_LOCK_HOLDER = """
SELECT l.pid, a.application_name AS application, a.usename::text AS "user", host(a.client_addr) AS client_address,
       a.backend_start
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %(class)s::oid AND l.objid = %(object)s::oid
  AND l.objsubid = 2 AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND l.pid <> pg_backend_pid()
"""

# Planning and catalog reads must not take workers or minutes from the applications.
_GENTLE = {"jit": "off", "max_parallel_workers_per_gather": "0"}


@contextlib.contextmanager
def maintenance_session(
    options: Mapping[str, Any],
    *,
    purpose: str,
    check_mode: bool,
    lock_name: str | None = None,
    allow_standby: bool = False,
    statement_timeout_seconds: float = 0.0,
) -> Iterator[Session]:
    """Log in for changes; in check mode the session is read-only.

    Args:
        options: The module's options with those of the connection and of the guards.
        purpose: The module's name; the session shows as C(runbook.ops <purpose>).
        check_mode: Whether nothing may be changed.
        lock_name: What only one run may do at a time in this database; the purpose, if not given. In check mode the
            lock is looked at and not taken, so that a prediction never stands in the way of a run.
        allow_standby: Whether a server in recovery will do.
        statement_timeout_seconds: 0, since maintenance takes as long as it takes; the lock timeout bounds the waits.

    Raises:
        Refused: a pooler is in between, the server is a standby, or another run holds the lock.
        Unavailable: the server cannot be reached.

    """
    with connect(
        options,
        application_name=f"runbook.ops {purpose}",
        statement_timeout_seconds=statement_timeout_seconds,
        lock_timeout_seconds=options["lock_timeout"],
        read_only=check_mode,
    ) as session:
        session.configure(_GENTLE)
        state = session.query(_STATE)[0]
        check_direct(session, state["pid"])
        if state["in_recovery"] and not allow_standby:
            raise Refused(
                f"PostgreSQL at {session.server} is a standby (in recovery) and takes no changes. "
                "Connect to its primary."
            )
        if state["checks_connection"] and not check_mode:
            # When this process is killed, the statement it waits for ends too, instead of going on unwatched. Not on
            # every operating system.
            with contextlib.suppress(QueryError):
                session.configure({"client_connection_check_interval": "5s"})
        _take_lock(session, lock_name or purpose, state["database"], check_mode=check_mode)
        yield session


def check_direct(session: Session, pid: int) -> None:
    """Refuse a session that a pooler hands on: the process id at its login is not that of C(pg_backend_pid())."""
    if pid != session.login_pid:
        raise Refused(
            f"Between here and PostgreSQL at {session.server} is a connection pooler, which may give statements "
            "of one session to different server processes: settings, locks and progress would belong to others. "
            "Connect to the server itself (login_host, login_port)."
        )


def lock_key(name: str) -> int:
    """The second key of the advisory lock of this name: a 32-bit checksum, as PostgreSQL's signed integer."""
    return zlib.crc32(name.encode()) - 2**31


def _take_lock(session: Session, name: str, database: str, *, check_mode: bool) -> None:
    key = lock_key(name)
    if not check_mode and session.query("SELECT pg_try_advisory_lock(%s, %s) AS taken", (LOCK_CLASS, key))[0]["taken"]:
        return
    holders = session.query(_LOCK_HOLDER, {"class": LOCK_CLASS, "object": key % 2**32})
    if holders or not check_mode:
        who = holders[0] if holders else {"pid": "unknown", "user": "unknown", "client_address": None}
        where = f" from {who['client_address']}" if who["client_address"] else ""
        raise Refused(
            f"Another run of {name} is at work in database {database} (pid {who['pid']}, user {who['user']}{where}). "
            "Wait until it has ended, or end it, and run the task again."
        )
