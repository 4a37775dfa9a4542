# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines that say the same thing, counted together. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

MAX_MESSAGE = 200

# What differs between two lines about the same thing, most specific first. Numbers last: they are in all others.
_VARIABLE: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"\x1b\[[0-9;]*m", ""),
        # A moment, with or without date, fraction and zone.
        (r"\d{4}[-/]\d{2}[-/]\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?(?:[.,]\d+)?)?\s*(?:Z|[+-]\d{2}:?\d{2})?", "<time>"),
        (r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+\d{1,2}\s+\d{2}:\d{2}:\d{2}\b", "<time>"),
        (r"\b\d{2}:\d{2}:\d{2}(?:[.,]\d+)?\b", "<time>"),
        (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
        (r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b", "<address>"),
        (r"\b(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}\b", "<address>"),
        (r"\b0x[0-9a-f]+\b", "<hex>"),
        # Hexadecimal with a digit in it: words such as "deadbeef" alone are rare, "facade" is not.
        (r"\b(?=[a-f]*\d)[0-9a-f]{8,}\b", "<hex>"),
        (r"(?<![\w<])[+-]?\d+(?:[.,]\d+)*", "<n>"),
        # Numbers at the end of a word (worker-3, req42, 12ms).
        (r"(?<=[a-z_-])\d+\b", "<n>"),
        (r"<n>(?=[a-z%])", "<n>"),
    )
)

# An HTTP status is what a message is about, not what varies in it. Its digits are shifted out of the way meanwhile,
# into Unicode's private area, where no pattern finds them.
_STATUS = re.compile(
    r"(\b(?:status|code|http(?:/\d(?:\.\d)?)?|api)\W{1,3}|\bcompleted (?=\d{3} [a-z ]+ in \d))([1-5]\d\d)\b",
    re.IGNORECASE,
)
_SHIFT = 0xE000
_SPELT_OUT = re.compile("[\ue030-\ue039]{3}")


def _spell_out(match: re.Match[str]) -> str:
    return match[1] + "".join(chr(ord(digit) + _SHIFT) for digit in match[2])


def normalise(line: str) -> str:
    """A line without what varies from one occurrence to the next: moments, ids, addresses, hex, numbers."""
    line = _STATUS.sub(_spell_out, line)
    for pattern, replacement in _VARIABLE:
        line = pattern.sub(replacement, line)
    line = _SPELT_OUT.sub(lambda match: "".join(chr(ord(letter) - _SHIFT) for letter in match[0]), line)
    line = " ".join(line.split())
    # A moment at the beginning says nothing about the message.
    line = re.sub(r"^(?:\[?<time>\]?[\s|:-]*)+", "", line)
    return line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE - 1]}…"


def top_messages(lines: Iterable[str], top: int) -> list[dict[str, Any]]:
    """The C(top) most frequent messages as C({message, count, example}), the most frequent first.

    C(example) is the first line of its kind. Equal counts keep the order of appearance.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for line in lines:
        message = normalise(line)
        counts[message] += 1
        examples.setdefault(message, line)
    return [
        {"message": message, "count": count, "example": examples[message]} for message, count in counts.most_common(top)
    ]


_CACHED = 20_000
_ZEROS = str.maketrans("123456789", "0" * 9)


class TopMessages:
    """Counts messages of any number in bounded memory: C(distinct) kinds are kept apart, the rest counted together."""

    def __init__(self, distinct: int = 5000) -> None:
        self.total = 0
        self.others = 0
        self._distinct = distinct
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._known: dict[tuple[str, tuple[str, ...]], str] = {}

    def add(self, line: str) -> None:
        """Count a line by what it says."""
        self.total += 1
        message = self._message(line)
        if message in self._counts or len(self._counts) < self._distinct:
            self._counts[message] += 1
            self._examples.setdefault(message, line)
        else:
            self.others += 1

    def _message(self, line: str) -> str:
        # Which digits they are matters to no pattern but that of statuses.
        statuses = tuple(status for _before, status in _STATUS.findall(line))
        key = (line.translate(_ZEROS), statuses)
        message = self._known.get(key)
        if message is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[key] = message = normalise(line)
        return message

    def kinds(self) -> int:
        """How many kinds are kept apart."""
        return len(self._counts)

    def most(self, top: int) -> list[dict[str, Any]]:
        """The C(top) most frequent ones, as C(top_messages) gives them."""
        return [
            {"message": message, "count": count, "example": self._examples[message]}
            for message, count in self._counts.most_common(top)
        ]
