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
from collections.abc import Iterator

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import (
    MANIFEST_SUFFIX,
    PENDING_SUFFIX,
    NamingRule,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.pending import is_dead, leave_note, pending_name
from ansible_collections.runbook.ops.plugins.module_utils.backup.published import entry_names
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import GLOBALS_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

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


@contextlib.contextmanager
def noted(depot: Depot, artefact: str) -> Iterator[None]:
    """Leave a note that an artefact is being written. It stays when the block fails and its traces cannot be removed.

    Raises:
        RunbookError: the place cannot be written to.

    """
    leave_note(depot, artefact)
    try:
        yield
    except BaseException:
        with contextlib.suppress(RunbookError, OSError):
            _remove(depot, artefact)
        raise
    depot.delete(pending_name(artefact))


def sweep(depot: Depot, repository: Repository, rule: NamingRule) -> list[str]:
    """Remove what killed runs left in a repository; only with its lock held. The names of what was removed."""
    removed = depot.sweep(lambda name: rule.artefact_of(name) is not None or rule.companion_of(name) is not None)
    names = set(entry_names(repository, rule))
    for name in sorted(names):
        artefact = name[: -len(PENDING_SUFFIX)]
        if not name.endswith(PENDING_SUFFIX) or rule.period(artefact) is None or not is_dead(depot.get(name)):
            continue
        if artefact + MANIFEST_SUFFIX in names:
            # It was killed between its last two steps: everything is there.
            depot.delete(name)
        else:
            _remove(depot, artefact)
            removed.append(artefact)
    return list(dict.fromkeys(removed))


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


def _remove(depot: Depot, artefact: str) -> None:
    """Remove an unpublished artefact; its note last, so that being killed here is made good by the next run."""
    depot.delete(artefact + MANIFEST_SUFFIX)
    depot.delete(artefact)
    for suffix in (GLOBALS_SUFFIX, f"{GLOBALS_SUFFIX}.age", f"{GLOBALS_SUFFIX}.gpg"):
        depot.delete(artefact + suffix)
    depot.delete(pending_name(artefact))
