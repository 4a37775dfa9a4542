"""What happens by itself after a write: one thread that calls a reconcile function per kind.

A controller is ``Controller("deployments", reconcile, watches={"replicasets": owners})``. ``reconcile(store, key)``
brings one object a step further, and returns the seconds after which it wants to be called again, or None when it has
nothing more to do until the next write. ``watches`` names other kinds whose writes concern it, each with a function
from (store, the written object) to the keys to look at.
"""

from __future__ import annotations

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
    """One kind's reconcile hook."""

    plural: str
    reconcile: Reconcile
    watches: Mapping[str, Concerned] = field(default_factory=dict)


class ControllerLoop:
    """Calls the controllers' hooks, each key once per moment it is due."""

    def __init__(self, store: Store, controllers: Sequence[Controller]) -> None:
        self._store = store
        self._controllers = tuple(controllers)
        self._due: dict[tuple[int, Key], float] = {}
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

    def look_at(self, key: Key, *, after: float = 0.0) -> None:
        """Call the hooks of this key's kind in a moment."""
        for number, controller in enumerate(self._controllers):
            if controller.plural == key.kind.plural:
                self._enqueue(number, key, after)

    def _written(self, key: Key, value: Object) -> None:
        self.look_at(key)
        for number, controller in enumerate(self._controllers):
            concerned = controller.watches.get(key.kind.plural)
            for each in concerned(self._store, value) if concerned else ():
                self._enqueue(number, each, 0.0)

    def _enqueue(self, number: int, key: Key, after: float) -> None:
        moment = time.monotonic() + after
        with self._changed:
            self._due[number, key] = min(moment, self._due.get((number, key), moment))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._stopping:
                    return
                moment = min(self._due.values(), default=None)
                wait = None if moment is None else moment - time.monotonic()
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                number, key = next(each for each, due in self._due.items() if due == moment)
                del self._due[number, key]
            self._reconcile(number, key)

    def _reconcile(self, number: int, key: Key) -> None:
        try:
            with self._store.lock:
                again = self._controllers[number].reconcile(self._store, key) if self._store.find(key) else None
                if again is not None:  # its own writes have asked for it at once
                    with self._changed:
                        self._due[number, key] = time.monotonic() + again
        except ApiError:  # somebody was faster
            self._enqueue(number, key, 0.05)
        except Exception as error:
            self.failures.append(error)
