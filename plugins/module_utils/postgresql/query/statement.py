# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One SQL query as text: that it is one, that it is a query, and where its parameters are. Pure.

The driver sends text, and PostgreSQL executes every statement in it; C(SELECT 1; COMMIT; DROP …) would leave the
read-only transaction. So a statement is split into code and quoted parts by the server's lexical rules
(https://www.postgresql.org/docs/current/sql-syntax-lexical.html, with standard_conforming_strings on) first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# The statements that return rows and can stand in a FROM clause.
_QUERY_WORDS = ("SELECT", "WITH", "VALUES", "TABLE")

_PLACEHOLDER = re.compile(r"%\((?P<name>[^()]*)\)s")
_DOLLAR_QUOTE = re.compile(r"\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$")
_LINE_COMMENT = re.compile(r"--[^\r\n]*")
_PLAIN_STRING = re.compile(r"'(?:[^']|'')*'")
_ESCAPE_STRING = re.compile(r"'(?:[^'\\]|''|\\.)*'", re.DOTALL)
_QUOTED_IDENTIFIER = re.compile(r'"(?:[^"]|"")*"')
_WORD_CHARACTER = re.compile(r"[\w$]")


class StatementError(ValueError):
    """Why the text is not one query; a phrase that continues "the statement …"."""


@dataclass(frozen=True)
class QueryText:
    """A query ready for the driver: literal percent signs doubled, without the closing semicolon."""

    text: str
    placeholders: frozenset[str]


@dataclass(frozen=True)
class _Part:
    """A stretch of the text: C(code), C(quoted) or C(comment)."""

    kind: str
    text: str


def parse_query(statement: str) -> QueryText:
    """Check and prepare one query.

    Only C(%(name)s) outside quotes is a placeholder; every other percent sign stands for itself.

    Raises:
        StatementError: with the reason.

    """
    if "\0" in statement:
        raise StatementError("contains a NUL character")
    parts = _without_end(_split(statement))
    if any(part.kind == "code" and ";" in part.text for part in parts):
        raise StatementError("consists of several statements. Make each of them a query of its own")
    first = re.match(r"[\s(]*(\w*)", "".join(part.text for part in parts if part.kind != "comment"))
    word = first.group(1).upper() if first else ""
    if word not in _QUERY_WORDS:
        found = f"begins with {word}" if word else "is empty"
        raise StatementError(f"{found}. A query begins with {', '.join(_QUERY_WORDS[:-1])} or {_QUERY_WORDS[-1]}")
    names: set[str] = set()
    return QueryText("".join(_escaped(part, names) for part in parts).strip(), frozenset(names))


def _escaped(part: _Part, names: set[str]) -> str:
    """The part with literal percent signs doubled; placeholders are noted in C(names)."""
    if part.kind != "code":
        if part.kind == "quoted" and _PLACEHOLDER.search(part.text):
            raise StatementError("has a placeholder in quotes. Write %(name)s without quotes; the driver adds them")
        return part.text.replace("%", "%%")
    pieces: list[str] = []
    position = 0
    for match in _PLACEHOLDER.finditer(part.text):
        pieces += [_literal_percent(part.text[position : match.start()]), match.group(0)]
        names.add(match.group("name"))
        position = match.end()
    return "".join([*pieces, _literal_percent(part.text[position:])])


def _literal_percent(code: str) -> str:
    if re.search(r"%s\b", code):
        raise StatementError("has a placeholder without a name. Write %(name)s")
    return code.replace("%", "%%")


def _without_end(parts: list[_Part]) -> list[_Part]:
    """Take semicolons, and the comments and blanks around them, off the end."""
    kept = list(parts)
    while kept:
        last = kept.pop()
        if last.kind == "comment":
            continue
        text = last.text.rstrip("; \t\r\n\f\v") if last.kind == "code" else last.text
        if text:
            return [*kept, _Part(last.kind, text)]
    return []


def _split(statement: str) -> list[_Part]:
    parts: list[_Part] = []
    position = code_from = 0
    while position < len(statement):
        kind, end = _quoted_end(statement, position)
        if kind:
            if code_from < position:
                parts.append(_Part("code", statement[code_from:position]))
            parts.append(_Part(kind, statement[position:end]))
            code_from = end
        position = end
    if code_from < len(statement):
        parts.append(_Part("code", statement[code_from:]))
    return parts


def _quoted_end(statement: str, position: int) -> tuple[str, int]:
    """What begins here (C(quoted), C(comment), or nothing special) and where it ends."""
    if statement.startswith("--", position):
        return "comment", _match_end(_LINE_COMMENT, statement, position, "a comment")
    if statement.startswith("/*", position):
        return "comment", _block_comment_end(statement, position)
    character = statement[position]
    if character == "'":
        pattern = _ESCAPE_STRING if _has_escape_prefix(statement, position) else _PLAIN_STRING
        return "quoted", _match_end(pattern, statement, position, "a string")
    if character == '"':
        return "quoted", _match_end(_QUOTED_IDENTIFIER, statement, position, "a quoted identifier")
    # A dollar sign inside an identifier or a number begins nothing: a$b$c is a name.
    if character == "$" and not (position and _WORD_CHARACTER.match(statement[position - 1])):
        match = _DOLLAR_QUOTE.match(statement, position)
        if match:
            closing = statement.find(match.group(0), match.end())
            if closing < 0:
                raise StatementError("has a dollar-quoted string that does not end")
            return "quoted", closing + len(match.group(0))
    return "", position + 1


def _has_escape_prefix(statement: str, position: int) -> bool:
    if position == 0 or statement[position - 1] not in "eE":
        return False
    return position < 2 or not _WORD_CHARACTER.match(statement[position - 2])


def _match_end(pattern: re.Pattern[str], statement: str, position: int, what: str) -> int:
    match = pattern.match(statement, position)
    if match is None:
        raise StatementError(f"has {what} that does not end")
    return match.end()


def _block_comment_end(statement: str, position: int) -> int:
    """Block comments nest in PostgreSQL."""
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(statement, position):
        depth += 1 if match.group(0) == "/*" else -1
        if depth == 0:
            return match.end()
    raise StatementError("has a comment that does not end")
