# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a long-running module is, told to whoever watches it, and the wish of that watcher that it end.

The module writes one small JSON file, replaced atomically, at most once in C(every) seconds; an action plugin on the
controller reads it and prints a line. The other way round, the module ends between two steps when

* the file C(<path>.stop) appears, which the watcher makes when it is interrupted; its text, if any, is the reason,
* the file C(<path>.watch), which the watcher touches as long as it lives, is touched no more or taken away, or
* the process gets SIGTERM, SIGINT or SIGHUP.

Without a path nothing is written, and signals alone end it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

# A watcher that has not been heard of for so long is dead, or cut off: nobody would see what goes on.
WATCHER_PATIENCE_SECONDS = 60.0
# How the names of the directories begin that watchers make for one run of a module, and for nothing else.
PLACE_PREFIX = "ansible-runbook-"
_INTERRUPTED = "Stopped because the run was interrupted"
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(RunbookError):
    """The watcher, or a signal, asked for the end. What was done is whole; C(details) may hold how far it went."""


@dataclass
class Progress:
    """The current phase and how far it is.

    Args:
        path: The file to write, or None.
        every: Seconds between two writes at least. The first and the last state of a phase are always written.
        clock: Seconds, monotonic.
        patience: Seconds without a sign of life after which the watcher counts as gone.

    """

    path: Optional[str] = None
    every: float = 0.5
    clock: Callable[[], float] = time.monotonic
    patience: float = WATCHER_PATIENCE_SECONDS
    _state: dict[str, Any] = field(default_factory=dict)
    _began: float = 0.0
    _written: float = float("-inf")
    _signalled: Optional[str] = None
    # The watcher's last sign of life, and when it was first seen here. Clocks of two machines, or one that is set,
    # do not matter: only that the sign changes.
    _sign: Optional[int] = None
    _seen: float = 0.0

    def phase(self, name: str, what: str = "", *, total: float | None = None, unit: str = "") -> None:
        """Begin a phase.

        Args:
            name: What is done, one or two words: C(archive), C(vacuum), C(verify).
            what: What it is done to, such as C(public.jobs).
            total: How much there is to do in C(unit); None when nobody knows.
            unit: C(rows), C(bytes), C(blocks), C(tables), …

        """
        self._began = self.clock()
        self._state = {"phase": name, "what": what, "total": total, "unit": unit, "done": 0, "note": ""}
        self._write()
        self.check()

    def at(self, done: float, note: str = "", *, total: float | None = None) -> None:
        """So much of the phase is done; C(note) says for people why it is slow or waits. Ends the work if asked to."""
        self._state["done"] = done
        self._state["note"] = note
        if total is not None:
            self._state["total"] = total
        if self.clock() - self._written >= self.every or done == self._state.get("total"):
            self._write()
        self.check()

    def advance(self, amount: float, note: str = "") -> None:
        """So much more is done."""
        self.at(self._state.get("done", 0) + amount, note)

    def check(self) -> None:
        """Raise Stopped when somebody wants the end. To be called between two steps, where ending is safe."""
        reason = self._signalled or self._wish()
        if reason:
            # The watcher's last words say exactly how far it came.
            self._write()
            raise Stopped(reason)

    def wait(self, seconds: float, note: str) -> None:
        """Pause, staying visible and stoppable."""
        deadline = self.clock() + seconds
        while (left := deadline - self.clock()) > 0:
            self.at(self._state.get("done", 0), note)
            time.sleep(min(left, 0.2))

    @contextlib.contextmanager
    def stoppable(self) -> Iterator[Progress]:
        """Turn signals into a stop at the next safe place, for as long as the block runs."""

        def remember(number: int, _frame: FrameType | None) -> None:
            self._signalled = f"Stopped by signal {signal.Signals(number).name}"

        before = {number: signal.signal(number, remember) for number in _SIGNALS}
        try:
            # The watcher learns the process's number before anything can take long.
            self._began = self.clock()
            self._write()
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._clear_away()

    def _wish(self) -> str | None:
        if self.path is None:
            return None
        stop = Path(f"{self.path}.stop")
        if stop.exists():
            with contextlib.suppress(OSError):
                return stop.read_text(encoding="utf-8", errors="replace").strip() or _INTERRUPTED
            return _INTERRUPTED
        return "Stopped because the controller that started it is gone" if self._is_abandoned() else None

    def _is_abandoned(self) -> bool:
        """Whether there was a watcher that gives no sign of life any more."""
        try:
            sign = Path(f"{self.path}.watch").stat().st_mtime_ns
        except OSError:
            # A path set by hand has no watcher; a watcher's directory has one as long as there is a file in it.
            return self._sign is not None or self._place() is not None
        now = self.clock()
        if sign != self._sign:
            self._sign, self._seen = sign, now
        return now - self._seen > self.patience

    def _clear_away(self) -> None:
        """Remove the watcher's directory when the watcher is gone and cannot."""
        place = self._place()
        if place is not None and self._is_abandoned():
            shutil.rmtree(place, ignore_errors=True)

    def _place(self) -> Path | None:
        place = Path(self.path).parent if self.path is not None else None
        return place if place is not None and place.name.startswith(PLACE_PREFIX) else None

    def _write(self) -> None:
        self._written = self.clock()
        if self.path is None:
            return
        seconds = round(self._written - self._began, 3)
        state = {**self._state, "seconds": seconds, "at": time.time(), "pid": os.getpid()}
        # Progress that cannot be written must not end the work. Drivers give numbers as Decimal.
        with contextlib.suppress(OSError, TypeError, ValueError):
            temporary = Path(f"{self.path}.{os.getpid()}")
            temporary.write_text(json.dumps(state, default=float), encoding="utf-8")
            temporary.replace(self.path)
