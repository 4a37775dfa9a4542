# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The census of the database, taken beside its dump in the same snapshot, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.present import present
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.selection import Selection
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census, Topic, dotted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import take_census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session

_EMPTY_DIGEST = "0" * 16
# A statement that was cancelled has let go by then.
_ENDING_SECONDS = 60.0


class _Told(Progress):
    """Progress that is not shown by itself: the thread that watches both shows it. It ends the census when asked to."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.told: tuple[str, float, Optional[float]] = ("", 0.0, None)

    def phase(self, name: str, what: str = "", *, total: float | None = None, unit: str = "") -> None:
        del name, unit
        self.told = (what, 0.0, total)
        self.check()

    def at(self, done: float, note: str = "", *, total: float | None = None) -> None:
        del note
        self.told = (self.told[0], done, total or self.told[2])
        self.check()

    def advance(self, amount: float, note: str = "") -> None:
        self.at(self.told[1] + amount, note)

    def check(self) -> None:
        if self.ended.is_set():
            raise Stopped("The census was ended.")


class CensusBeside:
    """A census in a thread of its own. Leaving the block ends it.

    Args:
        session: The session that exported the snapshot; nobody else uses it meanwhile.
        request: What is wanted.
        sequences: What they stood at before the dump began.
        session_factory: Logs in once more.

    """

    def __init__(
        self, session: Session, request: Request, sequences: Topic, session_factory: Callable[[], Session]
    ) -> None:
        self._session = session
        self._request = request
        self._sequences = sequences
        self._factory = session_factory
        self._progress = _Told()
        self._census: Optional[Census] = None
        self._error: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._take, daemon=True)

    def __enter__(self) -> CensusBeside:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._progress.ended.set()
        self._thread.join(_ENDING_SECONDS)

    @property
    def is_done(self) -> bool:
        """Whether it has come to an end, good or bad."""
        return not self._thread.is_alive()

    @property
    def told(self) -> tuple[str, float, Optional[float]]:
        """What it is at, how many bytes of tables it has read, and of how many."""
        return self._progress.told

    def check(self) -> None:
        """Raise what it failed with."""
        if self._error is not None:
            raise self._error

    def wait(self, seconds: float) -> None:
        """Wait a moment for its end."""
        self._thread.join(seconds)

    def result(self) -> Census:
        """The census of what is dumped."""
        self.check()
        return selected(present(self._census, "the census"), self._request.selection)

    def _take(self) -> None:
        try:
            self._census = take_census(
                self._session,
                digests=self._request.digests,
                watermarks=self._request.watermarks,
                progress=self._progress,
                session_factory=self._factory,
                # One session reads faster than one pg_dump compresses.
                jobs=self._request.jobs,
                scope=self._request.selection.scope,
                sequences=self._sequences,
            )
        except BaseException as error:
            self._error = error


def selected(census: Census, selection: Selection) -> Census:
    """The census without the rows that are not dumped. Pure."""
    if not selection.exclude_table_data:
        return census
    without = {dotted(*each): each for each in selection.exclude_table_data}
    tables = {name: _emptied(entry) if name in without else dict(entry) for name, entry in census.tables.items()}
    for name, entry in tables.items():
        if entry["kind"] == "partitioned table":
            leaves = [each for each in tables.values() if each.get("root") == name and each["kind"] == "partition"]
            entry["rows"] = sum(each.get("rows") or 0 for each in leaves)
            entry["digest"] = _together([each.get("digest") for each in leaves])
    watermarks = {
        name: value
        for name, value in census.watermarks.items()
        if not any(name.startswith(f"{table}.") for table in without)
    }
    return replace(census, tables=tables, watermarks=watermarks)


def _emptied(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "rows": 0, "digest": None if entry.get("digest") is None else _EMPTY_DIGEST}


def _together(digests: list[Optional[str]]) -> Optional[str]:
    if any(each is None for each in digests):
        return None
    return f"{sum(int(each, 16) for each in digests if each is not None) % 2**64:016x}"
