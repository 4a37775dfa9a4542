# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""logrotate's configuration as a host has it: the main file, what it includes, and what holds for each entry."""

from __future__ import annotations

import fnmatch
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.rotation.settings import Settings, applied
from ansible_collections.runbook.ops.plugins.module_utils.rotation.syntax import Directive, Entry, Problem, parse

# What logrotate passes over in a directory, by the end of the name.
_TABOO = (
    *(",v", ".bak", ".cfsaved", ".disabled", ".dpkg-bak", ".dpkg-del", ".dpkg-dist", ".dpkg-new", ".dpkg-old"),
    *(".dpkg-tmp", ".rhn-cfg-tmp-*", ".rpmnew", ".rpmorig", ".rpmsave", ".swp", ".ucf-dist", ".ucf-new", ".ucf-old"),
    "~",
)
_MOST_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Rule:
    """An entry, the file it stands in, and everything that holds for it."""

    path: Path
    entry: Entry
    settings: Settings


@dataclass(frozen=True)
class Stumble:
    """A place in a file, and what is wrong there."""

    path: Path
    line: int
    message: str


@dataclass
class Configuration:
    """All of it, in the order in which logrotate reads it."""

    main: Path
    files: list[Path] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    stumbles: list[Stumble] = field(default_factory=list)
    # Files that logrotate does not read, and why.
    ignored: list[Stumble] = field(default_factory=list)
    # Directives outside of entries in files that were included: they hold for all that comes after them.
    leaking: list[tuple[Path, Directive]] = field(default_factory=list)


def read_configuration(main: Path) -> Configuration:
    """Read the main file and what it includes; raises Unavailable when the main file is not there."""
    if not main.is_file():
        raise Unavailable(f"There is no {main} on this host. Install logrotate, or correct config.")
    reader = _Reader(main)
    reader.file(main)
    return reader.found


def text_of(path: Path) -> str:
    """The text of a configuration file; raises Unavailable when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror or error}. Use become.") from None


class _Reader:
    def __init__(self, main: Path) -> None:
        self.found = Configuration(main)
        self._settings = Settings()
        self._taboo = list(_TABOO)

    def file(self, path: Path) -> None:
        why = _refusal(path)
        if why:
            self.found.ignored.append(Stumble(path, 0, why))
            return
        self.found.files.append(path)
        for item in parse(text_of(path)):
            if isinstance(item, Problem):
                self.found.stumbles.append(Stumble(path, item.line, item.message))
            elif isinstance(item, Entry):
                settings = self._settings
                for directive in item.directives:
                    settings = applied(settings, directive)
                self.found.rules.append(Rule(path, item, settings))
            else:
                self._directive(path, item)

    def _directive(self, path: Path, directive: Directive) -> None:
        if directive.name == "include":
            self._include(Path(directive.argument.strip("\"'")), path, directive.line)
        elif directive.name in ("tabooext", "taboopat"):
            words = directive.argument.replace(",", " ").split() if directive.name == "tabooext" else []
            self._taboo = (self._taboo if words[:1] == ["+"] else []) + [word for word in words if word != "+"]
        else:
            self._settings = applied(self._settings, directive)
            if path != self.found.main:
                self.found.leaking.append((path, directive))

    def _include(self, place: Path, path: Path, line: int) -> None:
        if place.is_dir():
            for each in sorted(place.iterdir()):
                if not each.is_file() or each.name.startswith("."):
                    continue
                taboo = next((end for end in self._taboo if fnmatch.fnmatchcase(each.name, f"*{end}")), None)
                if taboo:
                    self.found.ignored.append(Stumble(each, 0, f"logrotate never reads names that end with {taboo}"))
                else:
                    self.file(each)
        elif place.is_file():
            self.file(place)
        else:
            self.found.stumbles.append(Stumble(path, line, f"it includes {place}, which does not exist"))


def _refusal(path: Path) -> str | None:
    """Why logrotate ignores a file, which it does with the exit status 0."""
    try:
        found = path.stat()
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        return f"it is writable by its group or by others (mode {mode:04o})"
    if found.st_uid not in (0, os.geteuid()):
        return "it does not belong to root"
    return None
