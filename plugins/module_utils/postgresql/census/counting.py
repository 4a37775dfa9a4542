# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the rows of many tables: the largest first, in several sessions that see the same snapshot."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.rows import (
    ReadRows,
    ReadTable,
    batches,
    outcome_of,
    statement,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.snapshot import (
    close_transaction,
    export_snapshot,
    import_snapshot,
    locks_released,
    prepare_reading,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError, quote_identifier

# Tables that were read before, by name: what was read of each, and what came of it.
ReadBefore = Mapping[str, tuple[ReadTable, ReadRows]]
# How often the progress is shown and asked whether to go on, while other threads read.
_LOOK_SECONDS = 0.2


class _Work:
    """What is to be read, what was, and what went wrong first. Used by several threads."""

    def __init__(self, tables: Sequence[ReadTable]) -> None:
        self._lock = threading.Lock()
        self._waiting = deque(batches(tables))
        self._at: dict[int, ReadTable] = {}
        self.read: dict[str, ReadRows] = {}
        self.done_bytes = 0
        self.total_bytes = sum(each.bytes for each in tables)
        self.ended = threading.Event()
        self.error: Optional[BaseException] = None

    def next(self) -> Optional[list[ReadTable]]:
        with self._lock:
            if not self._waiting or self.ended.is_set():
                return None
            batch = self._waiting.popleft()
            self._at[threading.get_ident()] = batch[0]
            return batch

    def finish(self, batch: Sequence[ReadTable], found: dict[str, ReadRows]) -> None:
        with self._lock:
            self.read.update(found)
            self.done_bytes += sum(each.bytes for each in batch)
            self._at.pop(threading.get_ident(), None)

    def fail(self, error: BaseException) -> None:
        with self._lock:
            if self.error is None:
                self.error = error
            self.ended.set()

    def check(self) -> None:
        """For threads: end the statement that is running."""
        if self.ended.is_set():
            raise Stopped("The census was ended.")

    @property
    def note(self) -> str:
        """Which tables are being read."""
        with self._lock:
            return ", ".join(sorted(each.key for each in self._at.values()))


def read_tables(
    session: Session,
    tables: Sequence[ReadTable],
    *,
    progress: Progress,
    session_factory: Optional[Callable[[], Session]] = None,
    jobs: int = 2,
    parallel_workers: int = 0,
    known: Optional[ReadBefore] = None,
) -> dict[str, ReadRows]:
    """Rows and digests by name of the table.

    Args:
        session: In a transaction; it reads by itself when there is no factory, or nothing to share.
        tables: What to read.
        progress: Where to show it, in bytes; asked about once a second whether to go on.
        session_factory: Logs in once more to the same database.
        jobs: How many sessions read at the same time.
        parallel_workers: How many processes of the server's may help with one table.
        known: What was read of tables whose rows are the same since. It counts where exactly the same is asked for.

    Raises:
        Refused: the role may not read a table, or would be shown some of its rows only.
        QueryError: the server's answer, with the name of the table.

    """
    done = {each.key: known[each.key][1] for each in tables if known and known.get(each.key, (None,))[0] == each}
    tables = [each for each in tables if each.key not in done]
    work = _Work(tables)
    progress.phase("census", "rows", total=work.total_bytes, unit="bytes")
    wanted = min(jobs, len(batches(tables))) if session_factory is not None else 1
    if session_factory is None or wanted < 2:
        _read_alone(session, work, progress, parallel_workers)
    else:
        _read_together(work, export_snapshot(session), session_factory, wanted, progress, parallel_workers)
        _read_alone(session, work, progress, parallel_workers)
    return {**done, **work.read}


def _read_alone(session: Session, work: _Work, progress: Progress, parallel_workers: int) -> None:
    prepare_reading(session, parallel_workers=parallel_workers)
    while batch := work.next():
        progress.at(work.done_bytes, work.note)
        work.finish(batch, _read(session, batch, progress.check))
    progress.at(work.done_bytes)


def _read_together(
    work: _Work,
    snapshot: str,
    session_factory: Callable[[], Session],
    jobs: int,
    progress: Progress,
    parallel_workers: int,
) -> None:
    def run() -> None:
        try:
            helper = session_factory()
        except RunbookError:
            # No place for one more: others, or the caller's own session, do its part.
            return
        try:
            with helper as session:
                import_snapshot(session, snapshot)
                prepare_reading(session, parallel_workers=parallel_workers)
                while batch := work.next():
                    work.finish(batch, _read(session, batch, work.check))
                close_transaction(session)
        except BaseException as error:
            work.fail(error)

    threads = [threading.Thread(target=run, daemon=True) for _number in range(jobs)]
    try:
        for each in threads:
            each.start()
        for each in threads:
            while each.is_alive():
                each.join(_LOOK_SECONDS)
                progress.at(work.done_bytes, work.note)
    except BaseException:
        # Somebody wants the end: no statement may go on alone.
        work.ended.set()
        for each in threads:
            if each.ident is not None:
                each.join()
        raise
    if work.error is not None:
        raise work.error


def _read(session: Session, batch: Sequence[ReadTable], on_wait: Callable[[], None]) -> dict[str, ReadRows]:
    try:
        with locks_released(session):
            answer = session.query(statement(batch), on_wait=on_wait)
    except QueryError as error:
        if len(batch) > 1 and error.sqlstate != "57014":
            # One of them has a fault; which one, they say one by one.
            found: dict[str, ReadRows] = {}
            for each in batch:
                found.update(_read(session, [each], on_wait))
            return found
        raise _explained(error, batch[0]) from None
    return {batch[row["number"]].key: outcome_of(row, batch[row["number"]]) for row in answer}


def _explained(error: QueryError, table: ReadTable) -> QueryError | Refused:
    if error.sqlstate == "42501" and "row-level security" in error.message:
        return Refused(
            f"The role would be shown some rows of {table.key} only, as row security applies to it, and a count of "
            "these would pass for the whole. ALTER ROLE … BYPASSRLS, or use a superuser."
        )
    if error.sqlstate == "42501":
        schema = quote_identifier(table.schema)
        return Refused(
            f"{table.key} may not be read: {error.message}. GRANT pg_read_all_data TO the role, or GRANT USAGE ON "
            f"SCHEMA {schema} and GRANT SELECT ON {table.key}."
        )
    if error.sqlstate == "55P03":
        return QueryError(
            f"The rows of {table.key} could not be read: another session holds a lock on it (ALTER TABLE, TRUNCATE, "
            "VACUUM FULL). Try again when it has ended.",
            error.sqlstate,
        )
    return QueryError(f"The rows of {table.key} could not be read: {error.message}", error.sqlstate)
