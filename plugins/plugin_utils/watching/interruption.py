# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Being interrupted in one of Ansible's workers, and a last word to the terminal.

C(ansible-playbook) passes SIGINT and SIGTERM on to its workers, which then die at once. At SIGINT it goes on to wait
for them (C(multiprocessing) joins them at exit); at SIGTERM it dies itself. Killed outright, it cannot tell them
anything, and its workers live on as somebody else's children. In all three cases nobody reads what a worker sends
through Ansible's queue any more, and its own standard streams were closed when it began.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

from ansible import constants as C

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# ansible-runner gives up on a dead ansible-playbook whose terminal is still open after 5 seconds.
_RUNNER_PATIENCE_SECONDS = 3.0


def _keep_terminal() -> int | None:
    """A copy of standard error that workers inherit. Action plugins are imported before their workers are forked."""
    if multiprocessing.parent_process() is not None:
        return None
    with contextlib.suppress(OSError):
        return os.dup(2)
    return None


_TERMINAL = _keep_terminal()


class Interruption:
    """While it lasts, an interruption is remembered instead of ending the worker."""

    def __init__(self) -> None:
        self._signal: int | None = None
        self._before: dict[int, Any] = {}
        parent = multiprocessing.parent_process()
        # Only a worker looks after its parent: anything else may outlive the shell that started it.
        self._parent = parent.pid if parent is not None else None
        self._orphaned: float | None = None
        self._terminal = _TERMINAL

    def __enter__(self) -> Interruption:
        with contextlib.suppress(ValueError):  # Not in the main thread, where signals do not arrive anyway.
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    @property
    def is_told(self) -> bool:
        """Whether a signal said that the work should end."""
        return self._signal is not None

    @property
    def reason(self) -> str:
        """Why the work should end; empty as long as it should not."""
        if self._signal is not None:
            return f"interrupted ({signal.Signals(self._signal).name})"
        return "ansible-playbook is gone" if self.is_orphaned() else ""

    def is_orphaned(self) -> bool:
        """Whether the process that would take the result has died."""
        if self._parent is None or os.getppid() == self._parent:
            return False
        self._orphaned = self._orphaned or time.monotonic()
        return True

    def say(self, line: str) -> None:
        """A line straight to the terminal, past Ansible's queue."""
        if self._terminal is not None:
            with contextlib.suppress(OSError):
                os.write(self._terminal, f"{line}\n".encode(errors="replace"))

    def let_go(self) -> None:
        """Close the terminal when ansible-runner waits for that: it takes a terminal that stays open for a fault."""
        if (
            self._terminal is not None
            and self.is_orphaned()
            and self._orphaned is not None
            and time.monotonic() - self._orphaned > _RUNNER_PATIENCE_SECONDS
            and str(C.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2] == "awx_display"
        ):
            with contextlib.suppress(OSError):
                os.close(self._terminal)
            self._terminal = None

    def limit(self, seconds: float, last: Callable[[], None]) -> None:
        """End this process in so many seconds, whatever it is doing, C(last) first: even a command can hang."""

        def end(_number: int, _frame: FrameType | None) -> NoReturn:
            with contextlib.suppress(Exception):
                last()
            os._exit(1)

        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_REAL, seconds)

    def go_on(self) -> NoReturn:
        """Let the interruption do what it would have done at first: end this worker."""
        self._restore()
        if self._signal is not None:
            handler = self._before.get(self._signal)
            if callable(handler):
                handler(self._signal, None)
            signal.signal(self._signal, signal.SIG_DFL)
            os.kill(os.getpid(), self._signal)
        os._exit(1)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        # The first one counts: after SIGINT, Ansible also terminates its workers.
        if self._signal is None:
            self._signal = number
