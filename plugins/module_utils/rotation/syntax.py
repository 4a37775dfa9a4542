# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logrotate's configuration language: a file's text into directives, includes and entries. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Union

SCRIPTS = ("prerotate", "postrotate", "firstaction", "lastaction", "preremove")
_END_OF_SCRIPT = "endscript"
_OPENS_ENTRY = ("/", '"', "'", "~", "*", "?", "[")


@dataclass(frozen=True)
class Directive:
    """One line such as C(rotate 14)."""

    name: str
    argument: str
    line: int


@dataclass(frozen=True)
class Problem:
    """A place that logrotate will stumble over."""

    line: int
    message: str


@dataclass
class Entry:
    """Files and what is done with them: the patterns before C({) and the directives inside."""

    patterns: list[str]
    line: int
    end_line: int = 0
    directives: list[Directive] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)


Item = Union[Directive, Entry, Problem]


class Lines:
    """The lines of a file, one after the other, with their numbers."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        while self.number < len(self._lines):
            self.number += 1
            yield self._lines[self.number - 1].strip()


def parse(text: str) -> list[Item]:
    """Everything in a file, in its order. An C(include) is a Directive; what cannot be read is a Problem."""
    lines = Lines(text)
    items: list[Item] = []
    waiting: list[str] = []
    began = 0
    for line in lines:
        if not line or line.startswith("#"):
            continue
        if not waiting and not line.startswith(_OPENS_ENTRY):
            items.append(_global(line, lines))
            continue
        began = began if waiting else lines.number
        before, brace, after = line.partition("{")
        waiting.append(before)
        if not brace:
            continue
        items.append(_entry(waiting, began, after, lines, items))
        waiting = []
    if waiting:
        items.append(Problem(began, f"the files {' '.join(waiting).strip()} are not followed by {{"))
    return items


def _global(line: str, lines: Lines) -> Item:
    directive = _directive(line, lines.number)
    if directive.name in SCRIPTS:
        began = lines.number
        if _script(lines) is None:
            return Problem(began, f"{directive.name} has no {_END_OF_SCRIPT}")
        return Problem(began, f"{directive.name} stands outside of an entry")
    if line.startswith("}"):
        return Problem(lines.number, "there is a } without a {")
    return directive


def _entry(waiting: list[str], began: int, after: str, lines: Lines, items: list[Item]) -> Item:
    try:
        patterns = shlex.split(" ".join(waiting))
    except ValueError as error:
        patterns = []
        items.append(Problem(began, f"the names of the files cannot be read: {error}"))
    entry = Entry(patterns, began)
    if _one_line(after.strip(), entry, lines, items):
        return entry
    for line in lines:
        if line and not line.startswith("#") and _one_line(line, entry, lines, items):
            return entry
    entry.end_line = lines.number
    items.append(Problem(began, "the entry has no }"))
    return entry


def _one_line(line: str, entry: Entry, lines: Lines, items: list[Item]) -> bool:
    """Take a line inside an entry in; whether the entry ends with it."""
    closes = line.endswith("}")
    line = line[:-1].strip() if closes else line
    if line:
        directive = _directive(line, lines.number)
        if directive.name in SCRIPTS:
            script = _script(lines)
            if script is None:
                items.append(Problem(directive.line, f"{directive.name} has no {_END_OF_SCRIPT}"))
            entry.scripts[directive.name] = script or ""
        else:
            entry.directives.append(directive)
    if closes:
        entry.end_line = lines.number
    return closes


def _script(lines: Lines) -> str | None:
    """The lines up to C(endscript); None if it never comes."""
    kept: list[str] = []
    for line in lines:
        if line.split()[:1] == [_END_OF_SCRIPT]:
            return "\n".join(kept)
        kept.append(line)
    return None


def _directive(line: str, number: int) -> Directive:
    name, _blank, argument = line.replace("\t", " ").partition(" ")
    if "=" in name and not argument:
        name, _sign, argument = name.partition("=")
    return Directive(name, argument.strip().lstrip("=").strip(), number)
