# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is connected to a database, and keeping them out for as long as its name changes its owner.

Nothing that outlives a killed run is set for that (such as ALLOW_CONNECTIONS false, which would leave the application
locked out): ALTER DATABASE … RENAME locks the database until its transaction ends, so whoever comes in the meantime
waits; and who is in already is ended here, from a second session.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row, Session, connect

APPLICATION = "runbook.ops postgresql_restore"
_EVERY_SECONDS = 0.02
_PATIENCE_SECONDS = 10.0
# Those that the server itself ends before a rename (CountOtherDBBackends), and ours.
_SESSIONS = """
SELECT a.pid, coalesce(a.application_name, '') AS application, coalesce(a.usename::text, '') AS "user",
       coalesce(host(a.client_addr), '') AS client, a.backend_type, a.backend_start
FROM pg_stat_activity a
WHERE a.datid = ANY(%(oids)s::oid[]) AND a.pid <> pg_backend_pid()
  AND coalesce(a.backend_type, '') NOT IN ('autovacuum worker', 'parallel worker')
ORDER BY a.backend_start
"""
# Somebody else may have got the number of a process that ended: its start is compared, too. A session of a superuser
# can be ended by superusers only, which must not keep the others from being ended.
_END = """
SELECT a.pid, pg_terminate_backend(a.pid) AS ended
FROM pg_stat_activity a
WHERE a.datid = ANY(%(oids)s::oid[]) AND a.pid <> pg_backend_pid()
  AND coalesce(a.backend_type, '') NOT IN ('autovacuum worker', 'parallel worker')
  AND (current_setting('is_superuser') = 'on'
       OR NOT coalesce((SELECT r.rolsuper FROM pg_roles r WHERE r.oid = a.usesysid), true))
"""


@dataclass(frozen=True)
class Connected:
    """Sessions of one kind in a database."""

    application: str
    user: str
    client: str
    count: int

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return {"application": self.application, "user": self.user, "client": self.client, "count": self.count}


def read_sessions(session: Session, oids: Sequence[int]) -> list[Row]:
    """The sessions in databases, by their oids."""
    return session.query(_SESSIONS, {"oids": list(oids)})


def grouped(rows: Sequence[Mapping[str, Any]]) -> list[Connected]:
    """The same by application, user and client, the most numerous first."""
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        what = row["application"] or (row["backend_type"] if row["backend_type"] != "client backend" else "")
        key = (what or "(no name)", row["user"], row["client"])
        counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return [Connected(*key, count) for key, count in ordered]


def told(sessions: Sequence[Connected], most: int = 5) -> str:
    """Who is connected, in words."""
    shown = [
        f"{each.count} × {each.application} as {each.user or '(nobody)'}{f' from {each.client}' if each.client else ''}"
        for each in sessions[:most]
    ]
    more = len(sessions) - most
    return ", ".join(shown) + (f" and {more} more kinds" if more > 0 else "")


@dataclass
class Doorkeeper:
    """Ends the sessions in some databases again and again, from a session and a thread of its own.

    C(ended) is how many were ended. What goes wrong in the thread is in C(problem).
    """

    options: Mapping[str, Any]
    oids: Sequence[int]
    ended: int = 0
    problem: Optional[str] = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _started: threading.Event = field(default_factory=threading.Event)
    _thread: Optional[threading.Thread] = None

    def __enter__(self) -> Doorkeeper:
        # Logging in comes first, so that a login that is refused is known before anybody is put out.
        session = connect(self.options, application_name=APPLICATION, statement_timeout_seconds=10.0, read_only=False)
        self._thread = threading.Thread(target=self._keep, args=(session,), daemon=True)
        self._thread.start()
        self._started.wait(_PATIENCE_SECONDS)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)

    def _keep(self, session: Session) -> None:
        with contextlib.suppress(Exception), session:
            while not self._stop.is_set():
                try:
                    ended = session.query(_END, {"oids": list(self.oids)})
                    self.ended += sum(bool(each["ended"]) for each in ended)
                except RunbookError as error:
                    self.problem = error.message
                    break
                finally:
                    self._started.set()
                self._stop.wait(_EVERY_SECONDS)
