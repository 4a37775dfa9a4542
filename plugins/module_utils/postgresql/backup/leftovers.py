# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs that were killed left behind: half-written files, finished ones without a manifest, sessions.

What has a note (C(backup/pending.py)) and no manifest was ours, and is removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time

from ansible_collections.runbook.ops.plugins.module_utils.backup import pending
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import GLOBALS_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

# What may lie beside a dump.
_COMPANIONS = (GLOBALS_SUFFIX, f"{GLOBALS_SUFFIX}.age", f"{GLOBALS_SUFFIX}.gpg")
_ENDING_SECONDS = 30.0
# How soon the server notices that a client is gone.
_NOTICED = "5s"
_END_SESSIONS = """
SELECT count(pg_terminate_backend(a.pid)) AS ended FROM pg_stat_activity a
WHERE a.application_name = %(name)s AND a.datname = current_database() AND a.usename = current_user
"""
_SESSIONS = """
SELECT count(*) AS left_over FROM pg_stat_activity a
WHERE a.application_name = %(name)s AND a.datname = current_database() AND a.usename = current_user
"""


def application_name(location: str) -> str:
    """How the sessions of a run show themselves: one run a host and repository at a time has this name."""
    digest = hashlib.sha256(f"{socket.gethostname()}\0{os.geteuid()}\0{location}".encode()).hexdigest()[:12]
    return f"runbook.ops postgresql_backup {digest}"


def noted(depot: Depot, artefact: str) -> contextlib.AbstractContextManager[None]:
    """Leave a note that a dump is being written; its globals may lie beside it."""
    return pending.noted(depot, artefact, _COMPANIONS)


def sweep(depot: Depot, repository: Repository, rule: NamingRule) -> list[str]:
    """Remove what killed runs left in a repository; only with its lock held. The names of what was removed."""
    return pending.sweep(depot, repository, rule, _COMPANIONS)


def end_sessions(session: Session, name: str) -> int:
    """End what the database still does for a run that is dead, and wait for it; how many sessions there were."""
    ended: int = session.query(_END_SESSIONS, {"name": name})[0]["ended"]
    deadline = time.monotonic() + _ENDING_SECONDS
    while ended and session.query(_SESSIONS, {"name": name})[0]["left_over"] and time.monotonic() < deadline:
        time.sleep(0.1)
    return ended


def end_with_us(session: Session, *, in_transaction: bool) -> None:
    """Have the server end what it does for us when we are gone; not every system can notice that."""
    settings = {"client_connection_check_interval": _NOTICED}
    if not in_transaction:
        with contextlib.suppress(QueryError):
            session.configure(settings)
        return
    session.query("SAVEPOINT watched")
    try:
        session.configure(settings, for_transaction=True)
    except QueryError:
        session.query("ROLLBACK TO SAVEPOINT watched")
    session.query("RELEASE SAVEPOINT watched")
