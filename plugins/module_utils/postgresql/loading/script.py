# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SQL script, read as psql reads it, piece by piece: statements, rows of COPY, commands, remarks. Pure.

What looks like a comment, a semicolon or an end within quotes, bodies of functions or rows is none. Source of the
rules: C(psqlscan.l) and C(copy.c) of psql.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.seeking import find
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.toc import Entry, entry_from

_SPACE = re.compile(rb"[\s\x00]*")
_SPECIAL = re.compile(rb"""['"$();]|--|/\*""")
_SPECIAL_OR_BLOCK = re.compile(rb"""['"$();]|--|/\*|(?<![\w$\x80-\xff])(?:begin|case|end)(?![\w$\x80-\xff])""", re.I)
_ROUTINE = re.compile(rb"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", re.I)
_COPY = re.compile(rb"COPY\s.*\sFROM\s+stdin\b.*;\Z", re.I | re.S)
_TAG = re.compile(rb"\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$")
_TAG_BYTES = 256
_COMMENT_END = re.compile(rb"/\*|\*/")
_IDENTIFIER_BYTE = re.compile(rb"[\w$\x80-\xff]")
_OLD_STRINGS = re.compile(rb"SET\s+standard_conforming_strings\s*(?:=|TO)\s*'?(on|off)'?\s*;", re.I)
_BOM = b"\xef\xbb\xbf"
# How a line begins that ends rows.
_ROWS_END = b"\n\\."
# The longest word that is looked for; so much is looked at again when more comes.
_OVERLAP_BYTES = 8


@dataclass(frozen=True)
class Statement:
    """One SQL statement with its semicolon, and the entry it belongs to."""

    text: bytes
    entry: Optional[Entry]


@dataclass(frozen=True)
class Copy:
    """A C(COPY … FROM stdin) statement; C(rows) are its rows in pieces that end with a row, to be read to the end."""

    text: bytes
    entry: Optional[Entry]
    rows: Iterator[bytes] = field(compare=False)


@dataclass(frozen=True)
class Command:
    """A line with a backslash command of psql, such as C(\\connect shop)."""

    text: bytes


@dataclass(frozen=True)
class Remark:
    """A comment line outside of everything."""

    text: bytes


Event = Union[Statement, Copy, Command, Remark]


class Script:
    """The events of a script, in order.

    Raises:
        Damaged: the script ends within a statement or within rows (code marker_missing).

    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._data = b""
        self._at = 0
        self._ended = False
        self._escapes = False
        self._entry: Optional[Entry] = None

    def events(self) -> Iterator[Event]:
        """What comes, in order; an entry's comment is no event of its own, it is with the statements it announces."""
        if self._has(len(_BOM)) and self._data.startswith(_BOM):
            self._at = len(_BOM)
        while self._skip_space():
            if self._next_is(b"--"):
                line = self._line()
                self._entry = entry_from(line.decode("utf-8", "replace")) or self._entry
                yield Remark(line)
            elif self._next_is(b"/*"):
                self._at = self._after_comment(self._at)
            elif self._next_is(b"\\"):
                yield Command(self._line())
            else:
                yield self._statement()

    # --- the buffer
    def _more(self) -> bool:
        """Take one more chunk; False when there is none. Positions count from C(_at), which becomes 0."""
        if self._ended:
            return False
        chunk = next(self._chunks, None)
        if chunk is None:
            self._ended = True
            return False
        self._data = self._data[self._at :] + chunk if self._at < len(self._data) else chunk
        self._at = 0
        return True

    def _has(self, count: int) -> bool:
        while len(self._data) - self._at < count:
            if not self._more():
                return False
        return True

    def _next_is(self, token: bytes) -> bool:
        return self._has(len(token)) and self._data.startswith(token, self._at)

    def _skip_space(self) -> bool:
        while True:
            self._at = _SPACE.match(self._data, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._data):
                return True
            if not self._more():
                return False

    def _line(self) -> bytes:
        offset = self._find(b"\n", 0)
        end = len(self._data) if offset is None else self._at + offset + 1
        line = self._data[self._at : end]
        self._at = end
        return line.rstrip(b"\r\n")

    def _find(self, token: bytes, offset: int) -> Optional[int]:
        """Where a token is, counted from C(_at), at C(offset) or after it; None if it does not come any more."""
        while True:
            found = self._data.find(token, self._at + offset)
            if found >= 0:
                return found - self._at
            offset = max(offset, len(self._data) - self._at - len(token) + 1)
            if not self._more():
                return None

    # --- statements
    def _statement(self) -> Union[Statement, Copy]:
        self._has(_TAG_BYTES)
        special = _SPECIAL_OR_BLOCK if _ROUTINE.match(self._data, self._at) else _SPECIAL
        depth = blocks = offset = 0
        while True:
            token, offset = self._token(special, offset)
            if token == b";":
                if depth <= 0 and blocks <= 0:
                    break
            elif token == b"(":
                depth += 1
            elif token == b")":
                depth -= 1
            elif token in (b"begin", b"case"):
                blocks += depth <= 0 and (token == b"begin" or blocks > 0)
            elif token == b"end":
                blocks -= depth <= 0 and blocks > 0
            else:
                offset = self._after_quoted(token, offset)
        text = self._data[self._at : self._at + offset]
        self._at += offset
        if old := _OLD_STRINGS.match(text):
            self._escapes = old[1].lower() == b"off"
        if text[:4].upper() == b"COPY" and _COPY.match(text):
            self._line()
            return Copy(text, self._entry, self._rows())
        return Statement(text, self._entry)

    def _token(self, special: re.Pattern[bytes], offset: int) -> tuple[bytes, int]:
        """The next token that means something, and the place after it."""
        while True:
            found = special.search(self._data, self._at + offset)
            # What stands at the very end may go on.
            if found is not None and (found.end() < len(self._data) - 1 or self._ended):
                return found[0].lower(), found.end() - self._at
            seen = len(self._data) - self._at
            offset = found.start() - self._at if found is not None else max(offset, seen - _OVERLAP_BYTES)
            if not self._more():
                if found is None:
                    raise self._cut_off()
                return found[0].lower(), found.end() - self._at

    def _after_quoted(self, token: bytes, offset: int) -> int:
        """The place after what a token begins: a string, a name, a comment, a text between dollars."""
        if token == b"'":
            return self._after_string(offset)
        if token == b'"':
            return self._after(b'"', offset)
        if token == b"--":
            return self._after(b"\n", offset)
        if token == b"/*":
            return self._after_comment(self._at + offset - 2) - self._at
        start = offset - 1
        before = self._data[self._at + start - 1 : self._at + start] if start else b""
        if _IDENTIFIER_BYTE.match(before):
            return offset
        self._has(start + _TAG_BYTES)
        tag = _TAG.match(self._data, self._at + start)
        return self._after(tag[0], start + len(tag[0])) if tag else offset

    def _after_string(self, offset: int) -> int:
        before = self._data[self._at + max(0, offset - 3) : self._at + offset - 1]
        is_escaped = before[-1:] in (b"E", b"e") and not _IDENTIFIER_BYTE.match(before[-2:-1])
        if not is_escaped and not self._escapes:
            # Two quotes are one in the string; seen as the end of one and the start of the next they are the same.
            return self._after(b"'", offset)
        while True:
            quote = self._find(b"'", offset)
            slash = self._data.find(b"\\", self._at + offset) - self._at
            if quote is None:
                raise self._cut_off()
            if 0 <= slash < quote:
                offset = slash + 2
                continue
            self._has(quote + 2)
            if self._data[self._at + quote + 1 : self._at + quote + 2] != b"'":
                return quote + 1
            offset = quote + 2

    def _after(self, token: bytes, offset: int) -> int:
        found = self._find(token, offset)
        if found is None:
            raise self._cut_off()
        return found + len(token)

    def _after_comment(self, start: int) -> int:
        """The position after a comment, which may hold comments, that begins at a position."""
        offset, depth = start - self._at, 0
        while True:
            found = _COMMENT_END.search(self._data, self._at + offset)
            if found is None:
                offset = max(offset, len(self._data) - self._at - 1)
                if not self._more():
                    raise self._cut_off()
                continue
            depth += 1 if found[0] == b"/*" else -1
            offset = found.end() - self._at
            if depth == 0:
                return found.end()

    def _cut_off(self) -> Damaged:
        what = str(self._entry) if self._entry else ""
        return Damaged("the dump is cut off in the middle of a statement", code="marker_missing", object=what)

    # --- rows
    def _rows(self) -> Iterator[bytes]:
        """Rows up to the line that ends them, in pieces that end with a row."""
        held: list[bytes] = []
        while True:
            data, at = self._data, self._at
            if not held and data.startswith((b"\\.\n", b"\\.\r\n"), at):
                self._at = data.index(b"\n", at) + 1
                return
            end = _rows_end(data, at)
            cut = end[0] if end else data.rfind(b"\n", at) + 1
            if cut > at:
                yield b"".join([*held, memoryview(data)[at:cut]]) if held or at or cut < len(data) else data
                held = []
                self._at = cut
            if end:
                self._at = end[1]
                return
            if cut <= at and len(data) - at > _TAG_BYTES:
                # A row longer than a chunk: kept in parts, because joining them every time takes time squared.
                held.append(data[at:])
                self._data, self._at = b"", 0
            if not self._more():
                what = str(self._entry) if self._entry else ""
                raise Damaged("the dump is cut off in the middle of its rows", code="marker_missing", object=what)


def _rows_end(data: bytes, start: int) -> Optional[tuple[int, int]]:
    """Where a line begins and ends that ends the rows, if there is one after the line at C(start)."""
    at = find(data, _ROWS_END, start)
    while at >= 0:
        if data.startswith((b"\n", b"\r\n"), at + len(_ROWS_END)):
            return at + 1, data.index(b"\n", at + len(_ROWS_END)) + 1
        at = find(data, _ROWS_END, at + 1)
    return None
