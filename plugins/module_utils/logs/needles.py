# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Literals that every match of a regular expression contains, so that most lines need no regular expression. Pure."""

from __future__ import annotations

import re

_SHORTEST = 3
_PLAIN = re.compile(r"[\w \-:,;/=<>@%&!~'#]+")
_GROUP = re.compile(r"\((?!\?)[^()]*\)[?*+]?(?:\{[^}]*\})?|\(\?[:P][^()]*\)[?*+]?(?:\{[^}]*\})?")
_SPLIT = "\0"


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
