# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What redis_key_info is asked, and what it answers. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

OPERATIONS = ("get", "count", "sum", "sample")
OPERATIONS_ON_KEY = ("get", "count")
OPERATIONS_ON_PATTERN = ("count", "sum", "sample")
MISSING = ("unknown", "zero")

# Longer texts are not counters; only so much of a value is ever read.
NUMBER_BYTES = 64
NUMBER = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
MOST_SAMPLES = 1000


@dataclass(frozen=True)
class Request:
    """One question: a key or a pattern, and what to do with it."""

    name: str
    operation: str
    key: bytes | None = None
    pattern: bytes | None = None
    missing: str = "unknown"
    sample_size: int = 10


def requests_from(entries: Sequence[Mapping[str, Any]]) -> list[Request]:
    """Check the C(keys) option; raises InvalidOption before anything is touched."""
    requests: list[Request] = []
    for entry in entries:
        name = entry["name"]
        if any(request.name == name for request in requests):
            raise InvalidOption("keys", name, "a name that no other entry has")
        key, pattern = entry.get("key") or None, entry.get("pattern") or None
        if (key is None) == (pattern is None):
            raise InvalidOption("keys", name, "an entry with exactly one of key and pattern")
        operation = entry.get("operation") or ("get" if key else "count")
        possible = OPERATIONS_ON_KEY if key else OPERATIONS_ON_PATTERN
        if operation not in possible:
            kind = "key" if key else "pattern"
            raise InvalidOption("operation", operation, f"for a {kind}: {', '.join(possible)} ({name})")
        size = entry.get("sample_size", 10)
        if not 1 <= size <= MOST_SAMPLES:
            raise InvalidOption("sample_size", size, f"a number from 1 to {MOST_SAMPLES}")
        requests.append(Request(name, operation, _bytes(key), _bytes(pattern), entry.get("missing") or "unknown", size))
    return requests


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogateescape")


def parse_number(value: bytes) -> int | float | None:
    """The number a counter holds; None for anything else, also for NaN and infinity."""
    text = value.strip()
    if len(value) >= NUMBER_BYTES or not NUMBER.fullmatch(text):
        return None
    if text.lstrip(b"+-").isdigit():
        return int(text)
    found = float(text)
    return found if math.isfinite(found) else None


@dataclass
class Answer:
    """What was found for one request.

    Figures stay None while they are not known: the key does not exist, the value is no number, or the scan
    did not reach the end.
    """

    request: Request
    exists: bool | None = None
    type: str | None = None
    value: int | float | None = None
    length: int | None = None
    ttl_seconds: float | None = None
    matched: int = 0
    numbers: int = 0
    total: float = 0
    least: int | float | None = None
    most: int | float | None = None
    not_numeric: int = 0
    unreadable: int = 0
    without_ttl: int = 0
    shortest_ttl: float | None = None
    longest_ttl: float | None = None
    sample: list[dict[str, Any]] = field(default_factory=list)
    complete: bool = True
    keys_seen: int = 0
    note: str | None = None

    def add_number(self, number: int | float) -> None:
        """Count a value of a key that matches."""
        self.numbers += 1
        self.total += number
        self.least = number if self.least is None else min(self.least, number)
        self.most = number if self.most is None else max(self.most, number)

    def add_ttl(self, milliseconds: int) -> None:
        """Count the time to live of a sampled key; C(milliseconds) as PTTL says it."""
        if milliseconds == -1:
            self.without_ttl += 1
        elif milliseconds >= 0:
            seconds = milliseconds / 1000
            self.shortest_ttl = seconds if self.shortest_ttl is None else min(self.shortest_ttl, seconds)
            self.longest_ttl = seconds if self.longest_ttl is None else max(self.longest_ttl, seconds)

    def facts(self) -> dict[str, Any]:
        """The entry of the result's C(keys), of the same shape for every request."""
        request = self.request
        facts: dict[str, Any] = {
            "key": _text(request.key),
            "pattern": _text(request.pattern),
            "operation": request.operation,
            "exists": self.exists,
            "type": self.type,
            "value": self.value,
            "length": self.length,
            "ttl_seconds": self.ttl_seconds,
            "count": None,
            "sum": None,
            "mean": None,
            "min": None,
            "max": None,
            "not_numeric_count": self.not_numeric,
            "unreadable_count": self.unreadable,
            "sample": self.sample,
            "without_ttl_count": self.without_ttl if self.sample else None,
            "min_ttl_seconds": self.shortest_ttl,
            "max_ttl_seconds": self.longest_ttl,
            "complete": self.complete,
            "keys_seen": self.keys_seen,
            "note": self.note,
        }
        if request.key is not None:
            facts["count"] = None if self.exists is None else int(self.exists)
        else:
            # A part of the keys says that there are some, but never how many there are.
            facts["exists"] = True if self.matched else (False if self.complete else None)
            facts["count"] = self.matched if self.complete else None
            if request.operation == "sum":
                facts.update(self._sums())
        if request.missing == "zero" and facts["exists"] is False:
            facts.update(dict.fromkeys(("value", "sum", "mean", "min", "max"), 0))
        return facts

    def _sums(self) -> dict[str, Any]:
        if not self.complete or not self.numbers:
            return {}
        if self.not_numeric or self.unreadable:
            # A sum over some of the keys would look like a sum over all.
            self.note = self.note or (
                f"{self.not_numeric} values are no numbers and {self.unreadable} keys could not be read: no sum"
            )
            return {"note": self.note}
        total = int(self.total) if float(self.total).is_integer() else self.total
        return {"sum": total, "mean": self.total / self.numbers, "min": self.least, "max": self.most}


def _text(name: bytes | None) -> str | None:
    return None if name is None else name.decode("utf-8", "backslashreplace")
