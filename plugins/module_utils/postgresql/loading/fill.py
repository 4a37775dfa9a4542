# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of one table on their way into the server, through one session or several at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.session import (
    LoadFailed,
    LoadingSession,
)

_WAIT_SECONDS = 0.2


class _Broken(Exception):
    """Another session could not fill the table; ours stops, too."""


class TableFill:
    """A table that is being filled. All of its rows are there at the end, or none.

    Args:
        table: Its name as the dump spells it.
        text: The COPY statement.
        settings: What holds for the session at this place of the dump.
        what: The entry of the dump, for messages.
        depth: How many pieces may wait.
        on_done: Called with the table and its number of rows once they are committed.
        on_failed: Called with what went wrong, once.

    """

    def __init__(
        self,
        table: str,
        text: bytes,
        *,
        settings: Mapping[str, bytes],
        what: str,
        depth: int,
        on_done: Callable[[str, int], None],
        on_failed: Callable[[LoadFailed], None],
    ) -> None:
        self.table = table
        self._text = text
        self._settings = dict(settings)
        self._what = what
        self._depth = depth
        self._on_done = on_done
        self._on_failed = on_failed
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._ended = False
        self._broken = False
        self._joined = self._copied = self._left = 0
        self._rows = 0

    def put(self, piece: bytes, tick: Callable[[], None]) -> bool:
        """Hand over a piece that ends with a row; False when the table cannot be filled any more."""
        while True:
            with self._changed:
                if self._broken:
                    return False
                if len(self._pieces) < self._depth:
                    self._pieces.append(piece)
                    self._changed.notify()
                    return True
                self._changed.wait(_WAIT_SECONDS)
            tick()

    def end(self) -> None:
        """There are no more pieces."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def give_up(self) -> None:
        """The dump breaks off: no row of this table may stay."""
        with self._changed:
            self._broken = True
            self._changed.notify_all()

    def work(self, session: LoadingSession) -> None:
        """Fill it with one session, beside others that do the same; for a member of the crew."""
        with self._changed:
            if self._broken or (self._ended and not self._pieces and self._joined):
                return
            self._joined += 1
        rows = 0
        try:
            session.adopt(self._settings)
            session.execute(b"BEGIN", self._what)
            rows = session.copy(self._text, self._take, self._what)
            self._wait_for_others()
            session.execute(b"COMMIT", self._what)
        except (LoadFailed, _Broken) as error:
            self._fail(session, error)
            return
        with self._changed:
            self._rows += rows
            self._left += 1
            is_last = self._left == self._joined
        if is_last:
            self._on_done(self.table, self._rows)

    def _take(self) -> bytes:
        with self._changed:
            while not self._pieces:
                if self._broken:
                    raise _Broken
                if self._ended:
                    return b""
                self._changed.wait(_WAIT_SECONDS)
            piece = self._pieces.popleft()
            self._changed.notify_all()
            return piece

    def _wait_for_others(self) -> None:
        with self._changed:
            self._copied += 1
            self._changed.notify_all()
            while self._copied < self._joined and not self._broken:
                self._changed.wait(_WAIT_SECONDS)
            if self._broken:
                raise _Broken

    def _fail(self, session: LoadingSession, error: Exception) -> None:
        with self._changed:
            is_first = not self._broken
            self._broken = True
            self._pieces.clear()
            self._changed.notify_all()
        if isinstance(error, LoadFailed) and is_first:
            self._on_failed(error)
        if isinstance(error, LoadFailed) and error.problem.code == "lost":
            raise error
        session.execute(b"ROLLBACK", self._what)


def first_pieces(pieces: Callable[[], Optional[bytes]], limit: int) -> tuple[list[bytes], bool]:
    """Pieces until so many bytes are there, and whether these are all."""
    taken: list[bytes] = []
    size = 0
    while size < limit:
        piece = pieces()
        if piece is None:
            return taken, True
        taken.append(piece)
        size += len(piece)
    return taken, False
