# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was found, counted: classes of entries and durations, by time, in memory that does not grow. Pure."""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Optional, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.logs.durations import Histogram, Reader
from ansible_collections.runbook.ops.plugins.module_utils.logs.messages import TopMessages

SAMPLE_LINES = 5
SAMPLE_CHARACTERS = 500
MOST_BUCKETS = 500
_LONGEST_READ = 4000
_MESSAGE_KEYS = ("message", "msg", "event", "error", "err", "@m", "@mt")
_SIZES = (60, 3600, 86400, 604800, 31 * 86400)

# Takes the bytes of an entry, and gives what cuts its lines out of them: a newer entry takes the place of most of them.
Sample = Callable[[], Callable[[], bytes]]


class Security(Protocol):
    """Events about who uses the machine, and what the kernel does to programs."""

    @property
    def name(self) -> str:
        """What they are called."""

    @property
    def needles(self) -> tuple[bytes, ...]:
        """Literals of which one is in every line about them."""

    def see(self, line: bytes) -> bool:
        """Take a line; whether it was about such an event."""

    def facts(self, top: int) -> dict[str, Any]:
        """What was counted; C(count) is how many."""


class Detector(Protocol):
    """Something that is looked for in lines."""

    name: str
    # Literals of which one is in every line that may match; empty when every line may.
    needles: tuple[bytes, ...]
    # The same, where looking for many costs no more than looking for few.
    exact_needles: tuple[bytes, ...]
    # Whether further matching lines of the same entry are the same event.
    once: bool

    def match(self, text: bytes, header: bytes) -> Any:
        """What the line has; None when it has nothing."""

    def record(self, found: Any, moment: Optional[float], text: bytes, sample: Sample) -> None:
        """Count what C(match) found."""


@dataclass
class Times:
    """First, last and how many in each stretch of time; the stretches grow when there would be too many."""

    first: Optional[float] = None
    last: Optional[float] = None
    size: int = 60
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, moment: float | None) -> None:
        """One event; without a moment it is in no stretch."""
        if moment is None:
            return
        self.first = moment if self.first is None or moment < self.first else self.first
        self.last = moment if self.last is None or moment > self.last else self.last
        self.buckets[int(moment) // self.size] += 1
        if len(self.buckets) > MOST_BUCKETS and self.size < _SIZES[-1]:
            before, self.size = self.size, next(size for size in _SIZES if size > self.size)
            merged: Counter[int] = Counter()
            for bucket, count in self.buckets.items():
                merged[bucket * before // self.size] += count
            self.buckets = merged

    def facts(self) -> dict[str, Any]:
        """Moments in ISO 8601 UTC; stretches without an event are left out."""
        return {
            "first_at": None if self.first is None else iso_of(self.first),
            "last_at": None if self.last is None else iso_of(self.last),
            "bucket_seconds": self.size,
            "buckets": [
                {"at": iso_of(bucket * self.size), "count": count} for bucket, count in sorted(self.buckets.items())
            ],
        }


@dataclass
class Samples:
    """A few lines, those with the highest keys."""

    wanted: int
    _heap: list[tuple[float, int, float | None, Callable[[], bytes]]] = field(default_factory=list)
    _number: int = 0

    def offer(self, key: float, moment: float | None, sample: Sample) -> None:
        """Keep this one if it is among the highest."""
        self._number += 1
        if len(self._heap) < self.wanted:
            heapq.heappush(self._heap, (key, self._number, moment, sample()))
        elif self.wanted and key >= self._heap[0][0]:
            heapq.heapreplace(self._heap, (key, self._number, moment, sample()))

    def facts(self) -> list[tuple[float, dict[str, Any]]]:
        """The highest first, with their keys."""
        return [
            (key, {"at": None if moment is None else iso_of(moment), "text": shown(lines())})
            for key, _number, moment, lines in sorted(self._heap, key=itemgetter(0, 1), reverse=True)
        ]


def message_of(text: bytes) -> str:
    """What a line says, as text; of a JSON record its message alone, because the rest differs in every line."""
    if text.startswith(b"{"):
        try:
            record = json.loads(text)
        except ValueError:
            record = None
        if isinstance(record, dict):
            message = next((record[key] for key in _MESSAGE_KEYS if isinstance(record.get(key), str)), None)
            if message:
                return str(message[:_LONGEST_READ])
    return text[:_LONGEST_READ].decode("utf-8", "replace")


def shown(raw: bytes) -> str:
    """Text fit for a report: readable, short, without what looks like a secret."""
    text = redact_text(raw[:_LONGEST_READ].decode("utf-8", "replace").rstrip())
    return text if len(text) <= SAMPLE_CHARACTERS else f"{text[: SAMPLE_CHARACTERS - 1]}…"


class ClassDetector:
    """Entries of one class: counted, grouped by what they say, a few kept."""

    once = True

    def __init__(
        self,
        name: str,
        test: Callable[[bytes, bytes], bool],
        needles: tuple[bytes, ...],
        top: int,
        samples: int,
        exact_needles: tuple[bytes, ...] = (),
    ) -> None:
        self.name = name
        self.needles = needles
        self.exact_needles = exact_needles or needles
        self.count = 0
        self._test = test
        self._top = top
        self._times = Times()
        self._messages = TopMessages()
        self._samples = Samples(samples)

    def match(self, text: bytes, header: bytes) -> Any:
        """True for a line of this class."""
        return self._test(text, header) or None

    def record(self, found: Any, moment: float | None, text: bytes, sample: Sample) -> None:  # noqa: ARG002
        """One entry more."""
        self.count += 1
        self._times.add(moment)
        if self._top:
            self._messages.add(message_of(text))
        self._samples.offer(self.count if moment is None else moment, moment, sample)

    def facts(self) -> dict[str, Any]:
        """The class as it is reported; C(found_count) is how many there are in what was read."""
        samples = self._samples.facts()
        kinds = self._messages.kinds()
        return {
            "name": self.name,
            "found_count": self.count,
            **self._times.facts(),
            "top": [
                {**each, "message": redact_text(each["message"]), "example": shown(each["example"].encode())}
                for each in self._messages.most(self._top)
            ],
            "kinds_count": kinds if self._top else None,
            "kinds_exact": self._messages.others == 0,
            "samples": [sample for _key, sample in samples],
            "truncated": len(samples) < self.count or kinds > self._top,
        }


def pattern_test(pattern: re.Pattern[bytes], exclude: re.Pattern[bytes] | None) -> Callable[[bytes, bytes], bool]:
    """The test of a user's class."""
    if exclude is None:
        return lambda text, _header: pattern.search(text) is not None
    return lambda text, _header: pattern.search(text) is not None and exclude.search(text) is None


class DurationDetector:
    """How long requests took."""

    once = False

    def __init__(self, name: str, readers: tuple[Reader, ...], slow_ms: float, samples: int) -> None:
        self.name = name
        every = any(not reader.needles for reader in readers)
        self.needles = () if every else tuple(dict.fromkeys(n for reader in readers for n in reader.needles))
        self.exact_needles = self.needles
        self._readers = readers
        self._slow_ms = slow_ms
        self._slow = 0
        self._histogram = Histogram()
        self._times = Times()
        self._slowest = Samples(samples)

    def match(self, text: bytes, header: bytes) -> Any:  # noqa: ARG002
        """The milliseconds."""
        for reader in self._readers:
            value = reader.milliseconds(text)
            if value is not None:
                return value
        return None

    def record(self, found: Any, moment: float | None, text: bytes, sample: Sample) -> None:  # noqa: ARG002
        """One request more."""
        self._histogram.add(found)
        if found >= self._slow_ms:
            self._slow += 1
            self._times.add(moment)
        self._slowest.offer(found, moment, sample)

    def facts(self) -> dict[str, Any]:
        """The durations as they are reported."""
        slowest = self._slowest.facts()
        return {
            "name": self.name,
            "found_count": self._histogram.count,
            **self._histogram.percentiles(),
            "max_ms": self._histogram.highest if self._histogram.count else None,
            "slow_ms": self._slow_ms,
            "slow_found_count": self._slow,
            "slow": self._times.facts(),
            "slowest": [{**sample, "duration_ms": value} for value, sample in slowest],
            "truncated": len(slowest) < self._histogram.count,
        }


class SecurityDetector:
    """Failed logins, sudo, kills."""

    once = False

    def __init__(self, what: Security, top: int) -> None:
        self.name = what.name
        self.needles = self.exact_needles = what.needles
        self._what = what
        self._top = top
        self._times = Times()

    def match(self, text: bytes, header: bytes) -> Any:  # noqa: ARG002
        """True for a line that it may be about."""
        return True if any(needle in text for needle in self.needles) else None

    def record(self, found: Any, moment: float | None, text: bytes, sample: Sample) -> None:  # noqa: ARG002
        """Take the line."""
        if self._what.see(text):
            self._times.add(moment)

    def facts(self) -> dict[str, Any]:
        """The counts as they are reported."""
        counted = self._what.facts(self._top)
        return {"name": self.name, "found_count": counted.pop("count"), **self._times.facts(), **counted}
