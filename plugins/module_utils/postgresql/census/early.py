# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the large tables of a copy as soon as their rows are there, while others make the indexes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.counting import ReadBefore, read_tables
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Scope
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.rows import ReadRows, ReadTable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.snapshot import reading
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import readable_tables
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect

# Smaller tables are read in a moment. They are read together, too, and whoever holds several locks at once can stand
# in the way of those who make keys, and they in his.
_LEAST_BYTES = 8 * 1024 * 1024


class EarlyReader:
    """Reads in a thread of its own, one table in one transaction, the largest first.

    Nothing depends on it: what it does not read, or cannot read, the census reads, and says what is wrong. Its block
    ends it.

    Args:
        options: Login options of the copy.
        digests: Whether to read every row, rather than count them.
        scope: The part of the database that is wanted.
        parallel_workers: How many processes of the server's may help with one table.

    """

    def __init__(self, options: Mapping[str, Any], *, digests: bool, scope: Scope, parallel_workers: int) -> None:
        self._options = options
        self._digests = digests
        self._scope = scope
        self._parallel_workers = parallel_workers
        self._round: Optional[_Round] = None

    def __enter__(self) -> EarlyReader:
        return self

    def __exit__(self, *_details: object) -> None:
        self._break_off()

    def begin(self) -> None:
        """All rows are there: read them. What was read before counts no more."""
        self._break_off()
        with contextlib.suppress(RunbookError):
            with self._log_in() as session, reading(session):
                tables = readable_tables(session, self._scope, digests=self._digests)
            large = sorted((each for each in tables if each.bytes >= _LEAST_BYTES), key=lambda each: -each.bytes)
            if large:
                self._round = _Round(large)
                self._round.thread = threading.Thread(target=self._read, args=(self._round,), daemon=True)
                self._round.thread.start()

    def end(self) -> ReadBefore:
        """What was read, with the table that is being read just now, or is about to be; no other one is begun."""
        if self._round is None or self._round.thread is None:
            return {}
        self._round.is_last = True
        self._round.thread.join()
        return self._round.found

    def _break_off(self) -> None:
        if self._round is not None and self._round.thread is not None:
            self._round.ending.is_wanted = True
            self._round.thread.join()
        self._round = None

    def _log_in(self) -> Session:
        return connect(self._options, application_name="runbook.ops verify", statement_timeout_seconds=0)

    def _read(self, work: _Round) -> None:
        with contextlib.suppress(RunbookError), self._log_in() as session:
            for number, table in enumerate(work.tables):
                if number and work.is_last:
                    return
                with reading(session):
                    rows = read_tables(session, [table], progress=work.ending, parallel_workers=self._parallel_workers)
                work.found[table.key] = (table, rows[table.key])


class _Ending(Progress):
    """Shows nothing, and ends what is read when that is wanted."""

    is_wanted = False

    def check(self) -> None:
        if self.is_wanted:
            raise Stopped("The tables are not read any further.")


class _Round:
    def __init__(self, tables: list[ReadTable]) -> None:
        self.tables = tables
        self.found: dict[str, tuple[ReadTable, ReadRows]] = {}
        self.ending = _Ending()
        self.is_last = False
        self.thread: Optional[threading.Thread] = None
