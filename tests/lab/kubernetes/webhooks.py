"""Admission webhooks that tests play: they look at what clients write, may change it, and may refuse it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import Key, Object

# Of the new object: why it is refused, or None.
Judge = Callable[[Object], str | None]


@dataclass(frozen=True)
class Webhook:
    """``kind`` as manifests say it."""

    kind: str
    judge: Judge
    name: str


class Webhooks:
    """Asked one after the other before anything is stored, in dry runs too."""

    def __init__(self) -> None:
        self._all: list[Webhook] = []

    def add(self, webhook: Webhook) -> Callable[[], None]:
        """Returns what takes it away again."""
        self._all.append(webhook)

        def remove() -> None:
            if webhook in self._all:
                self._all.remove(webhook)

        return remove

    def ask(self, key: Key, old: Object | None, new: Object) -> None:
        """Refuse with the words of the first that does."""
        seen = {"apiVersion": key.kind.api_version, "kind": key.kind.name, **new}
        seen["metadata"] = new["metadata"] = {**(new.get("metadata") or {}), "name": key.name}
        if key.namespace:
            new["metadata"]["namespace"] = key.namespace
        for webhook in list(self._all):
            if webhook.kind == key.kind.name:
                why = webhook.judge(seen)
                if why is not None:
                    raise ApiError(400, f'admission webhook "{webhook.name}" denied the request: {why}')
