"""Failures on order: the next so many requests to a path get a status, or no answer at all."""

from __future__ import annotations

import fnmatch
import threading
from dataclasses import dataclass

from lab.kubernetes.access import USER, action_of
from lab.kubernetes.errors import ApiError
from lab.kubernetes.kinds import Kinds
from lab.kubernetes.request import Request, address_of

HANG = "hang"
_MESSAGES = {
    429: "the server has received too many requests and has asked us to try again later",
    500: "an error on the server has prevented the request from succeeding",
    503: "the server is currently unable to handle the request",
}


@dataclass
class Failure:
    """One rule. ``method`` and ``path`` are patterns with ``*``; ``times`` of None never ends."""

    method: str
    path: str
    status: int | str
    times: int | None = 1
    message: str | None = None
    retry_after: int | None = None

    def concerns(self, request: Request) -> bool:
        return fnmatch.fnmatchcase(request.method, self.method) and fnmatch.fnmatchcase(request.path, self.path)


class Failures:
    """The rules in the order given; the first that fits is used up."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._rules: list[Failure] = []
        self._lock = threading.Lock()

    def add(self, rule: Failure) -> None:
        with self._lock:
            self._rules.append(rule)

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def take(self, request: Request) -> Failure | None:
        """The rule that hits this request."""
        with self._lock:
            for rule in self._rules:
                if rule.concerns(request):
                    if rule.times is not None:
                        rule.times -= 1
                        if rule.times <= 0:
                            self._rules.remove(rule)
                    return rule
        return None

    def error(self, rule: Failure, request: Request) -> ApiError:
        """The rule's status in the server's words."""
        status = int(rule.status)
        if rule.message is not None:
            return ApiError(status, rule.message)
        if status == 403:
            return ApiError(status, self._denial(request))
        if status == 409:
            return ApiError(
                status,
                "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest "
                "version and try again",
            )
        return ApiError(status, _MESSAGES.get(status, f"the lab answers {status} on order"))

    def _denial(self, request: Request) -> str:
        address = address_of(request.path, self._kinds)
        if address is None:
            return f'User "{USER}" cannot {request.method.lower()} path "{request.path}"'
        return action_of(request, address).denial().message
