"""What happens by itself after a write: one thread that calls a reconcile function per kind.

A controller is ``Controller("deployments", reconcile, watches={"replicasets": owners})``. ``reconcile(store, key)``
brings one object a step further, and returns the seconds after which it wants to be called again, or None when it has
nothing more to do until the next write. ``watches`` names other kinds whose writes concern it, each with a function
from (store, the written object) to the keys to look at.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import Key, Object
from lab.kubernetes.store import Store

Reconcile = Callable[[Store, Key], float | None]
Concerned = Callable[[Store, Object], Iterable[Key]]


@dataclass(frozen=True)
class Controller:
    """One kind's reconcile hook. ``delay`` is what it lets pass after a write, so that one look serves several."""

    plural: str
    reconcile: Reconcile
    watches: Mapping[str, Concerned] = field(default_factory=dict)
    delay: float = 0.0


class ControllerLoop:
    """Calls the controllers' hooks, each key once per moment it is due."""

    def __init__(self, store: Store, controllers: Sequence[Controller]) -> None:
        self._store = store
        self._controllers = tuple(controllers)
        self._due: dict[tuple[int, Key], float] = {}
        self._queue: list[tuple[float, int, int, Key]] = []  # a heap; what _due does not confirm is out of date
        self._count = itertools.count()
        self._current: tuple[int, Key] | None = None  # what is looked at now, and whether it has written itself
        self._wrote = False
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.failures: list[Exception] = []
        store.listeners.append(self._written)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="kubernetes-controllers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def look_at(self, key: Key, *, after: float | None = None) -> None:
        """Call the hooks of this key's kind in a moment."""
        for number, controller in enumerate(self._controllers):
            if controller.plural != key.kind.plural:
                continue
            if self._current == (number, key):
                self._wrote = True
            else:
                self._enqueue(number, key, controller.delay if after is None else after)

    def _written(self, key: Key, value: Object) -> None:
        self.look_at(key)
        for number, controller in enumerate(self._controllers):
            concerned = controller.watches.get(key.kind.plural)
            for each in concerned(self._store, value) if concerned else ():
                self._enqueue(number, each, controller.delay)

    def _enqueue(self, number: int, key: Key, after: float) -> None:
        moment = time.monotonic() + after
        with self._changed:
            before = self._due.get((number, key))
            if before is None or moment < before:
                self._schedule(number, key, moment)

    def _schedule(self, number: int, key: Key, moment: float) -> None:
        self._due[number, key] = moment
        heapq.heappush(self._queue, (moment, next(self._count), number, key))
        if self._queue[0][0] == moment:
            self._changed.notify()

    def _run(self) -> None:
        while (due := self._next()) is not None:
            self._reconcile(*due)

    def _next(self) -> tuple[int, Key] | None:
        """Wait for what is due first; None when the loop ends."""
        with self._changed:
            while not self._stopping:
                if not self._queue:
                    self._changed.wait()
                    continue
                moment, _, number, key = self._queue[0]
                if self._due.get((number, key)) != moment:
                    heapq.heappop(self._queue)
                elif (wait := moment - time.monotonic()) > 0:
                    self._changed.wait(wait)
                else:
                    heapq.heappop(self._queue)
                    del self._due[number, key]
                    return number, key
        return None

    def _reconcile(self, number: int, key: Key) -> None:
        try:
            with self._store.lock:
                if self._store.peek(key) is None:
                    return
                self._current, self._wrote = (number, key), False
                try:
                    again = self._controllers[number].reconcile(self._store, key)
                finally:
                    self._current = None
                if again is None and self._wrote:
                    again = self._controllers[number].delay
                if again is not None:
                    self._enqueue(number, key, again)
        except ApiError:  # somebody was faster
            self._enqueue(number, key, 0.05)
        except Exception as error:
            self.failures.append(error)
