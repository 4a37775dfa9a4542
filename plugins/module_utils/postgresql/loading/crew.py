# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several sessions that work at once, each in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.session import LoadingSession

Work = Callable[[LoadingSession], None]
_TICK_SECONDS = 0.2
_END_SECONDS = 20.0


class Crew:
    """C(size) sessions that take work from one queue; the sessions are opened when there is work for them.

    What a piece of work raises is kept and raised by the next C(wait) or C(submit); after that nothing more is done.

    Args:
        options: Login options.
        size: How many work at once.
        tick: Called by whoever waits, several times a second, in the caller's thread; may raise in order to end.

    """

    def __init__(self, options: Mapping[str, Any], size: int, tick: Callable[[], None]) -> None:
        self._options = options
        self.size = max(1, size)
        self._tick = tick
        self._changed = threading.Condition()
        self._queue: deque[Work] = deque()
        self._pending = 0
        self._closing = False
        self._error: Optional[BaseException] = None
        self._threads: list[threading.Thread] = []
        self._sessions: list[LoadingSession] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close(is_aborted=kind is not None)

    @property
    def pending(self) -> int:
        """Pieces of work that are not done."""
        with self._changed:
            return self._pending

    def submit(self, work: Work) -> None:
        """Have something done as soon as a session is free."""
        self.check()
        with self._changed:
            self._queue.append(work)
            self._pending += 1
            if len(self._threads) < min(self.size, self._pending):
                thread = threading.Thread(target=self._work, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify_all()

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until something holds, looked at whenever a piece of work is done and several times a second."""
        while True:
            self.check()
            with self._changed:
                if until():
                    break
                self._changed.wait(_TICK_SECONDS)
            self._tick()
        self.check()

    def drain(self) -> None:
        """Wait until everything is done."""
        self.wait(lambda: self._pending == 0)

    def check(self) -> None:
        """Raise what a piece of work raised, if one did."""
        with self._changed:
            if self._error is not None:
                raise self._error

    def close(self, *, is_aborted: bool = False) -> None:
        """End all threads and sessions; what is running is broken off if C(is_aborted)."""
        with self._changed:
            self._closing = True
            self._queue.clear()
            self._changed.notify_all()
            sessions = list(self._sessions)
        if is_aborted:
            for session in sessions:
                session.abort()
        for thread in self._threads:
            thread.join(_END_SECONDS)
        for session in sessions:
            with contextlib.suppress(Exception):
                session.close()

    def _work(self) -> None:
        try:
            session = LoadingSession(self._options)
            with self._changed:
                self._sessions.append(session)
            while (work := self._next()) is not None:
                work(session)
                with self._changed:
                    self._pending -= 1
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _next(self) -> Optional[Work]:
        with self._changed:
            while not self._queue:
                if self._closing or self._error is not None:
                    return None
                self._changed.wait(_TICK_SECONDS)
            return None if self._closing or self._error is not None else self._queue.popleft()
