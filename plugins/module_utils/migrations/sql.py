# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a migration's SQL takes away from code that does not know it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# A word, a quoted name, or a name with its schema.
_NAME = r'(?:"[^"]+"|[\w$]+)(?:\.(?:"[^"]+"|[\w$]+))*'
_SHOWN = 200


@dataclass(frozen=True)
class Hazard:
    """A statement that code which was written before it may not survive.

    C(kind) is C(drop), C(rename), C(type), C(not_null), C(truncate), or C(opaque) for code whose effect nobody can read
    off; C(line) counts from 1.
    """

    kind: str
    target: str
    statement: str
    line: int

    def as_dict(self) -> dict[str, object]:
        """For results."""
        return {"kind": self.kind, "object": self.target, "statement": self.statement[:_SHOWN], "line": self.line}


_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)"
    r"|(?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"
    r"|(?P<text>[eE]?'(?:[^']|'')*')"
    r'|(?P<quoted>"(?:[^"]|"")*")'
    r"|(?P<end>;)",
    re.DOTALL,
)


def statements(text: str) -> Iterator[tuple[int, str]]:
    """The statements with the line each begins on; comments are gone, texts and bodies are C('') and C($$)."""
    begun, parts, at = 0, list[str](), 0
    for match in _TOKEN.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
        if match["end"]:
            yield from _statement(text, begun, "".join(parts))
            begun, parts = at, []
        elif match["dollar"]:
            parts.append("$$")
        elif match["text"]:
            parts.append("''")
        elif match["quoted"]:
            parts.append(match[0])
        else:
            parts.append(" ")
    parts.append(text[at:])
    yield from _statement(text, begun, "".join(parts))


def _statement(text: str, begun: int, found: str) -> Iterator[tuple[int, str]]:
    cleaned = " ".join(found.split())
    if cleaned:
        first = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/)*", re.DOTALL).match(text, begun)
        yield text.count("\n", 0, first.end() if first else begun) + 1, cleaned


_WHOLE = (
    (re.compile(rf"DROP\s+(?:TABLE|VIEW|MATERIALIZED VIEW|SCHEMA|TYPE|DOMAIN|FUNCTION|PROCEDURE|SEQUENCE|EXTENSION)"
                rf"\s+(?:IF EXISTS\s+)?({_NAME})", re.I), "drop"),
    (re.compile(rf"TRUNCATE\s+(?:TABLE\s+)?(?:ONLY\s+)?({_NAME})", re.I), "truncate"),
    (re.compile(rf"DELETE\s+FROM\s+(?:ONLY\s+)?({_NAME})(?!.*\bWHERE\b)", re.I), "truncate"),
    (re.compile(rf"ALTER\s+(?:VIEW|MATERIALIZED VIEW|SCHEMA|TYPE|FUNCTION|SEQUENCE)\s+(?:IF EXISTS\s+)?({_NAME})"
                r".*\bRENAME\b", re.I), "rename"),
    (re.compile(r"(DO)\s+(?:LANGUAGE\s+\w+\s+)?\$\$", re.I), "opaque"),
)  # fmt: skip
_TABLE = re.compile(rf"ALTER\s+(?:FOREIGN\s+)?TABLE\s+(?:IF EXISTS\s+)?(?:ONLY\s+)?({_NAME})\s+(.*)", re.I)
_KEPT = r"(?!CONSTRAINT\b|DEFAULT\b|NOT\b|IDENTITY\b|EXPRESSION\b)"
_CLAUSES = (
    (re.compile(rf"DROP\s+(?:COLUMN\s+)?(?:IF EXISTS\s+)?{_KEPT}({_NAME})", re.I), "drop"),
    (re.compile(rf"RENAME\s+CONSTRAINT\s+({_NAME})", re.I), ""),
    (re.compile(rf"RENAME\s+TO\s+({_NAME})", re.I), "rename"),
    (re.compile(rf"RENAME\s+(?:COLUMN\s+)?({_NAME})", re.I), "rename"),
    (re.compile(rf"ALTER\s+(?:COLUMN\s+)?({_NAME})\s+(?:SET\s+DATA\s+)?TYPE\b", re.I), "type"),
    (re.compile(rf"ALTER\s+(?:COLUMN\s+)?({_NAME})\s+SET\s+NOT\s+NULL", re.I), "not_null"),
    (re.compile(rf"ALTER\s+(?:COLUMN\s+)?({_NAME})\s+DROP\s+DEFAULT", re.I), ""),
    (re.compile(r"ADD\s+(?:CONSTRAINT|PRIMARY|UNIQUE|FOREIGN|CHECK|EXCLUDE)\b", re.I), ""),
    (re.compile(rf"ADD\s+(?:COLUMN\s+)?(?:IF NOT EXISTS\s+)?({_NAME})\s+(?!.*\b(?:DEFAULT|GENERATED)\b)"
                r"(?!(?:small|big)?serial\b).*\bNOT\s+NULL\b", re.I), "not_null"),
)  # fmt: skip


def sql_hazards(text: str) -> list[Hazard]:
    """The hazards of a script, in its order."""
    return [hazard for line, statement in statements(text) for hazard in _hazards(line, statement)]


def _hazards(line: int, statement: str) -> Iterator[Hazard]:
    for pattern, kind in _WHOLE:
        match = pattern.match(statement)
        if match:
            yield Hazard(kind, _plain(match[1]), statement, line)
            return
    table = _TABLE.match(statement)
    for clause in _split(table[2]) if table else ():
        for pattern, kind in _CLAUSES:
            match = pattern.match(clause)
            if match:
                if kind:
                    # A table that gets another name is no column.
                    whole = clause.upper().startswith("RENAME TO ")
                    name = _plain(table[1]) if whole else f"{_plain(table[1])}.{_plain(match[1])}"  # type: ignore[index]
                    yield Hazard(kind, name, statement, line)
                break


def _split(clauses: str) -> list[str]:
    """The clauses of an ALTER TABLE: at commas that are in no parentheses."""
    parts, depth = [""], 0
    for sign in clauses:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _plain(name: str) -> str:
    return name.replace('"', "")
