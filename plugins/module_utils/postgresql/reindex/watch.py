# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a rebuild is, seen through a second connection while the first one waits for it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect

_STATE = """
SELECT p.phase, p.blocks_total, p.blocks_done, p.tuples_total, p.tuples_done, p.lockers_total, p.lockers_done,
       nullif(p.current_locker_pid, 0) AS locker
FROM pg_stat_progress_create_index p WHERE p.pid = %(pid)s
"""


class Watch:
    """Reports the progress of the process with this id; without the connection it stays silent."""

    def __init__(self, options: Mapping[str, Any], progress: Progress, pid: int) -> None:
        self._options, self._progress, self._pid = options, progress, pid
        self._session: Optional[Session] = None
        self._is_blind = False
        self._phase = ""
        self._what = ""
        self.waits_for: Optional[int] = None

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    def begin(self, what: str) -> None:
        """From now on it is about this: an index, and which of how many."""
        self._what, self._phase, self.waits_for = what, "", None
        self._progress.phase("reindex", what)

    def __call__(self) -> None:
        """To be called while the statement runs; raises Stopped when somebody wants the end."""
        self._progress.check()
        state = self._look()
        if state is None:
            return
        self.waits_for = state["locker"]
        total, done, unit = _figures(state)
        if state["phase"] != self._phase:
            self._phase = state["phase"]
            self._progress.phase("reindex", f"{self._what}, {self._phase}", total=total, unit=unit)
        note = f"waits for process {self.waits_for}" if self.waits_for else ""
        self._progress.at(done, note, total=total)

    def _look(self) -> dict[str, Any] | None:
        if self._is_blind:
            return None
        # Progress is a courtesy: a server without a free connection must not end the rebuild.
        with contextlib.suppress(RunbookError):
            if self._session is None:
                self._session = connect(
                    self._options,
                    application_name="runbook.ops postgresql_reindex (progress)",
                    statement_timeout_seconds=5.0,
                )
            rows = self._session.query(_STATE, {"pid": self._pid})
            return rows[0] if rows else None
        self._is_blind = True
        return None


def _figures(state: Mapping[str, Any]) -> tuple[float | None, float, str]:
    """Total, done and unit: the phases count transactions, tuples or blocks."""
    if state["phase"].startswith("waiting"):
        return state["lockers_total"] or None, state["lockers_done"] or 0, "transactions"
    if state["tuples_total"]:
        return state["tuples_total"], state["tuples_done"] or 0, "rows"
    return state["blocks_total"] or None, state["blocks_done"] or 0, "blocks"
