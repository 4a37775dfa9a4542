# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How wide text is on a terminal, and how it is broken into lines."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """Columns that text takes: two for East Asian wide characters, none for combining ones (Unicode TR 11)."""
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    # Two of these decide for nearly all text, and quickly.
    if character.isascii():
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def pad(text: str, columns: int) -> str:
    """Text filled up with spaces to that many columns."""
    return text + " " * max(0, columns - width(text))


def wrap(text: str, columns: int) -> list[str]:
    """Lines of at most that many columns, broken at spaces, and inside a word only when it is too long."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if width(candidate) <= columns:
            line = candidate
            continue
        if line:
            lines.append(line)
        *full, line = _pieces(word, columns)
        lines += full
    if line or not lines:
        lines.append(line)
    return lines


def _pieces(word: str, columns: int) -> list[str]:
    pieces, piece, used = [], "", 0
    for character in word:
        size = _width(character)
        if used + size > columns and piece:
            pieces.append(piece)
            piece, used = "", 0
        piece += character
        used += size
    return [*pieces, piece]
