# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements without what they are about: literals hold personal data and passwords. Pure."""

from __future__ import annotations

import re

SHOWN_CHARACTERS = 500

# What a statement is cut into. The order matters: a comment or quoted text may contain anything.
_TOKENS = re.compile(
    r"""
      (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<text>(?:\b(?:[bBxXnN]|[uU]&))?'(?:[^']|'')*(?:'|\Z))
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z))
    | (?P<identifier>"(?:[^"]|"")*(?:"|\Z))
    | (?P<parameter>\$\d+)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>(?:0[xXoObB][0-9a-fA-F_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?))
    | (?P<space>\s+)
    """,
    re.VERBOSE | re.DOTALL,
)


def without_literals(statement: str | None, limit: int = SHOWN_CHARACTERS) -> str | None:
    """The statement with every literal replaced by C(?), comments removed and white space collapsed.

    The server cuts long statements (C(track_activity_query_size)), so a literal that does not end is masked up to
    the end of the text. Where C(\') occurs in plain quotes, its meaning depends on a setting of that session that
    nobody else can see (C(standard_conforming_strings)); then everything from there on is left out.

    Args:
        statement: What the server shows, or None.
        limit: Characters to keep; a cut is marked with an ellipsis.

    """
    if statement is None:
        return None
    parts: list[str] = []
    position = 0
    for token in _TOKENS.finditer(statement):
        parts.append(statement[position : token.start()])
        position = token.end()
        kind = token.lastgroup if token.lastgroup != "tag" else "dollar"
        if kind == "text" and "\\'" in token.group():
            parts.append("? …")
            position = len(statement)
            break
        parts.append(_REPLACEMENTS.get(kind or "", token.group()))
    parts.append(statement[position:])
    text = "".join(parts).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


_REPLACEMENTS = {"comment": " ", "escaped": "?", "text": "?", "dollar": "?", "number": "?", "space": " "}
