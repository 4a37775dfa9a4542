# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Literals that every match of a regular expression contains, so that most lines need no regular expression. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_SHORTEST = 3
_PLAIN = re.compile(r"[\w \-:,;/=<>@%&!~'#]+")
_GROUP = re.compile(r"\((?!\?)[^()]*\)[?*+]?(?:\{[^}]*\})?|\(\?[:P][^()]*\)[?*+]?(?:\{[^}]*\})?")
_SPLIT = "\0"
# What a hit costs, in letters that grep passes over.
_HIT_COST = 50


def needles_of(pattern: str, *, ignore_case: bool = False) -> tuple[bytes, ...]:
    """Literals of which at least one is in every match; empty when none can be told, which is never wrong."""
    if ignore_case:
        return ()
    branches = pattern.split("|")
    if all(_PLAIN.fullmatch(branch) and len(branch.encode()) >= _SHORTEST for branch in branches):
        return tuple(branch.encode() for branch in branches)
    literal = _longest_literal(pattern)
    return (literal.encode(),) if len(literal) >= _SHORTEST else ()


def _longest_literal(pattern: str) -> str:
    if re.search(r"\(\?[^:P]", pattern):
        return ""  # flags and looking around change what the rest means
    text = re.sub(r"\\.", _SPLIT, pattern, flags=re.DOTALL)
    text = re.sub(r"\[\^?\]?[^\]]*\]", _SPLIT, text)
    while _GROUP.search(text):
        text = _GROUP.sub(_SPLIT, text)
    if "|" in text or "(" in text or ")" in text:
        return ""
    # What may be repeated zero times is not required: with its last character goes the run's end.
    text = re.sub(r".(?:[?*]|\{[^}]*\})", _SPLIT, text, flags=re.DOTALL)
    return max(_PLAIN.findall(text), key=len, default="")


def cheapest(needles: Sequence[bytes], sample: bytes) -> tuple[bytes, ...]:
    """Ends of literals that are found where the literals are, chosen to be found fast in text like C(sample).

    grep passes over letters with which no literal begins, so these shall be few and rare; and an end that is
    everywhere is of no use.
    """
    letters, pairs = Counter(sample), Counter(zip(sample, sample[1:]))
    first: set[int] = set()

    def cost(end: bytes) -> tuple[int, int]:
        begins = 0 if end[0] in first else letters[end[0]]
        follows = pairs[end[0], end[1]]
        if follows:
            follows += (len(end) - 2) * sample.count(end[:_SHORTEST]) + _HIT_COST * sample.count(end)
        return begins + follows, -len(end)

    def ends(needle: bytes) -> list[bytes]:
        return [needle[at:] for at in range(max(len(needle) - _SHORTEST, 0) + 1)]

    chosen: dict[bytes, None] = {}
    # Those first that have no choice but a frequent letter.
    for needle in sorted(needles, key=lambda each: min(letters[end[0]] for end in ends(each)), reverse=True):
        best = min(ends(needle), key=cost)
        first.add(best[0])
        chosen[best] = None
    return tuple(chosen)
