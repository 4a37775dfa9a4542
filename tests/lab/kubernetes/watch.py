"""Watches: what was written since a version, and then everything as it is written."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from lab.kubernetes.errors import ApiError, bad_request
from lab.kubernetes.kinds import Key, Kind, Object
from lab.kubernetes.request import Address, Request
from lab.kubernetes.selectors import Condition, field_condition, label_condition
from lab.kubernetes.store import Store
from lab.kubernetes.views import viewed

Ended = Callable[[], bool]
_KEPT = 5000
_LONGEST = 1800.0
_LOOK = 0.2  # how soon a watch sees that its client or the server is gone


@dataclass(frozen=True)
class Change:
    """One write: the object before it and after it; ``new`` of a deletion is None."""

    version: int
    key: Key
    old: Object | None
    new: Object | None


class Watches:
    """The last writes of a store, and streams of them."""

    def __init__(self, store: Store, kept: int = _KEPT) -> None:
        self._store = store
        self._changes: deque[Change] = deque(maxlen=kept)
        self._known: dict[Key, Object] = {}
        self._forgotten = int(store.version)  # what was written up to here is no longer told
        self._written = threading.Condition(store.lock)
        store.listeners.append(self._remember)

    def _remember(self, key: Key, value: Object) -> None:
        version = int(self._store.version)
        old = self._known.pop(key, None)
        new: Object | None = None
        if self._store.peek(key) is not None:
            new = self._known[key] = value
        if len(self._changes) == self._changes.maxlen:
            self._forgotten = self._changes[0].version
        self._changes.append(Change(version, key, old, new))
        self._written.notify_all()

    def forget(self) -> None:
        """As after a compaction: what was written up to now is no longer told."""
        with self._written:
            self._changes.clear()
            self._forgotten = int(self._store.version)

    def stream(self, request: Request, address: Address) -> Callable[[Ended], Iterator[Object]]:
        """The events of a watch; what is wrong with the request itself is refused before the first."""
        watch = _Watch(request, address)

        def events(ended: Ended) -> Iterator[Object]:
            for event in self._events(watch, ended):
                told = event["type"] in ("ADDED", "MODIFIED", "DELETED")
                yield {**event, "object": viewed(request, address.kind, event["object"])} if told else event

        return events

    def _events(self, watch: _Watch, ended: Ended) -> Iterator[Object]:
        deadline = time.monotonic() + watch.seconds
        with self._written:
            if watch.since is None:
                seen = int(self._store.version)
                events = watch.first(self._store, seen)
            elif watch.since < self._forgotten:
                expired = ApiError(410, f"too old resource version: {watch.since} ({self._forgotten})")
                events, ended = [{"type": "ERROR", "object": expired.status()}], lambda: True
            else:
                seen, events = watch.since, []
        yield from events
        while not ended():
            left = deadline - time.monotonic()
            if left <= 0:
                if watch.bookmarks:
                    yield watch.bookmark(seen)
                return
            with self._written:
                fresh = self._after(seen)
                if not fresh:
                    self._written.wait(min(left, _LOOK))
                    continue
                seen = fresh[-1].version
            for change in fresh:
                event = watch.event(change)
                if event is not None:
                    yield event

    def _after(self, version: int) -> list[Change]:
        return [*takewhile(lambda change: change.version > version, reversed(self._changes))][::-1]


class _Watch:
    """What one client asked to hear of."""

    def __init__(self, request: Request, address: Address) -> None:
        self._kind: Kind = address.kind
        self._namespace = address.namespace
        self._labels: Condition = label_condition(request.query.get("labelSelector", ""))
        self._fields: Condition = field_condition(address.kind, request.query.get("fieldSelector", ""))
        self.bookmarks = request.flag("allowWatchBookmarks")
        self._marks_the_start = request.flag("sendInitialEvents") and self.bookmarks
        self.seconds = float(request.number("timeoutSeconds") or _LONGEST)
        version = request.query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise bad_request(f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: invalid syntax')
        start = version in ("", "0") or request.flag("sendInitialEvents")
        self.since = None if start else int(version)

    def first(self, store: Store, version: int) -> list[Object]:
        """What is there already, as if it had just come."""
        found = filter(self._concerns, store.all(self._kind, self._namespace))
        events: list[Object] = [{"type": "ADDED", "object": each} for each in found]
        if self._marks_the_start:
            mark = self.bookmark(version)
            mark["object"]["metadata"]["annotations"] = {"k8s.io/initial-events-end": "true"}
            events.append(mark)
        return events

    def event(self, change: Change) -> Object | None:
        """What a write is to this client: an object that fits no longer has gone for it."""
        if change.key.kind != self._kind or (self._namespace and change.key.namespace != self._namespace):
            return None
        before = change.old is not None and self._concerns(change.old)
        after = change.new is not None and self._concerns(change.new)
        if after:
            return {"type": "MODIFIED" if before else "ADDED", "object": change.new}
        if not before or change.old is None:
            return None
        last = change.new or change.old
        metadata = {**last["metadata"], "resourceVersion": str(change.version)}
        return {"type": "DELETED", "object": {**last, "metadata": metadata}}

    def bookmark(self, version: int) -> Object:
        """How far the client has heard everything."""
        metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        return {
            "type": "BOOKMARK",
            "object": {"kind": self._kind.name, "apiVersion": self._kind.api_version, "metadata": metadata},
        }

    def _concerns(self, each: Object) -> bool:
        return self._labels(each) and self._fields(each)
