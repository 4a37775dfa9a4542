# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files a server reads when it starts, and which of them have to make room. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.restore.config import value_of

MANIFEST_SUFFIX = ".manifest"
# Since 7.0 the append-only file is a directory of a base and increments with a manifest.
_FIRST_WITH_DIRECTORY = 7


@dataclass(frozen=True)
class Layout:
    """Where a server keeps its data, and whether it reads an append-only file instead of the dump."""

    directory: Path
    dbfilename: str
    append_only: bool
    appendfilename: str
    # None for a server before 7.0, whose append-only file is a single one.
    appenddirname: Optional[str]

    @property
    def dump(self) -> Path:
        """The dump."""
        return self.directory / self.dbfilename

    @property
    def append_only_name(self) -> str:
        """What the append-only file is, in the data directory: a directory, or a single file."""
        return self.appenddirname or self.appendfilename

    def manifest_in(self, directory: Path) -> Path | None:
        """The manifest of the append-only file below a data directory; None where there is none."""
        return (
            directory / self.appenddirname / f"{self.appendfilename}{MANIFEST_SUFFIX}" if self.appenddirname else None
        )

    @property
    def readable(self) -> list[str]:
        """Every name that a server of any version could read at its start, whatever is switched on now.

        A file that is left behind is read again on the day on which somebody switches the append-only file on.
        """
        return list(dict.fromkeys([self.dbfilename, self.append_only_name, self.appendfilename]))

    @property
    def placed(self) -> list[str]:
        """The names that a restore puts there."""
        return [self.dbfilename, *([self.append_only_name] if self.append_only else [])]


def layout_from(options: Mapping[str, Any], config: Mapping[str, list[str]], major: int, flavour: str) -> Layout:
    """The layout by the options and, where they are silent, by the configuration; raises InvalidOption."""
    directory = options["data_directory"] or value_of(config, "dir")
    if not directory or not Path(directory).is_absolute():
        raise InvalidOption(
            "data_directory",
            directory or "",
            "the absolute path of the server's data directory, here or in config_file",
        )
    append_only = options["appendonly"]
    if append_only is None:
        if not config:
            raise InvalidOption(
                "appendonly",
                "",
                "true or false, or a config_file that says it: a server with an "
                "append-only file does not read the dump",
            )
        append_only = value_of(config, "appendonly", "no") == "yes"
    names = {
        name: options[name] or value_of(config, name) or default
        for name, default in (
            ("dbfilename", "dump.rdb"),
            ("appendfilename", "appendonly.aof"),
            ("appenddirname", "appendonlydir"),
        )
    }
    for name, value in names.items():
        if "/" in value or value in (".", ".."):
            raise InvalidOption(name, value, "a name without a directory")
    has_directory = flavour == "valkey" or major >= _FIRST_WITH_DIRECTORY
    return Layout(
        directory=Path(directory),
        dbfilename=names["dbfilename"],
        append_only=append_only,
        appendfilename=names["appendfilename"],
        appenddirname=names["appenddirname"] if has_directory else None,
    )


def aside(name: str, stamp: str) -> str:
    """What a file that made room is called."""
    return f"{name}.before-{stamp}"


def undo_commands(moved: Iterable[Mapping[str, str]], placed: Iterable[str], stamp: str) -> list[list[str]]:
    """How to go back, as argument lists, the server being stopped: what was placed goes aside, what was aside back."""
    back = [["mv", "--", path, f"{path}.restored-{stamp}"] for path in placed]
    return back + [["mv", "--", each["to"], each["from"]] for each in moved]
