# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements without what they are about: literals hold personal data and passwords. Pure."""

from __future__ import annotations

import re

SHOWN_CHARACTERS = 500

# What a statement is cut into. The order matters: quoted text may contain anything.
_TOKENS = re.compile(
    r"""
      (?P<space>(?:\s|--[^\n]*)+)
    | (?P<comment>/\*)
    | (?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z))
    | (?P<text>(?:\b(?:[bBxXnN]|[uU]&))?'(?:[^']|'')*(?:'|\Z))
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$)
    | (?P<identifier>"(?:[^"]|"")*(?:"|\Z))
    | (?P<parameter>\$\d+)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>0[xXoObB][0-9a-fA-F_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_ENDS = re.compile(r"/\*|\*/")
_REPLACEMENTS = {"space": " ", "comment": " ", "escaped": "?", "text": "?", "dollar": "?", "number": "?"}


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
    length = position = 0
    # What lies beyond the limit is never looked at.
    while position < len(statement) and length <= limit:
        token = _TOKENS.search(statement, position)
        if token is None:
            parts.append(statement[position:])
            break
        kind = "dollar" if token.lastgroup == "tag" else token.lastgroup or ""
        if kind == "text" and "\\'" in token.group():
            parts += [statement[position : token.start()], "? …"]
            break
        between = statement[position : token.start()]
        shown = _REPLACEMENTS.get(kind, token.group())
        if shown == " " and not between and parts and parts[-1] == " ":
            shown = ""
        parts += [part for part in (between, shown) if part]
        length += len(between) + len(shown)
        position = _end(statement, token, kind)
    text = "".join(parts).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _end(statement: str, token: re.Match[str], kind: str) -> int:
    """Where a token ends; comments nest, and a dollar quote ends at its own tag."""
    if kind == "dollar":
        closing = statement.find(token.group(), token.end())
        return len(statement) if closing < 0 else closing + len(token.group())
    if kind != "comment":
        return token.end()
    depth = 1
    for mark in _COMMENT_ENDS.finditer(statement, token.end()):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(statement)
