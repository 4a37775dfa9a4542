# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that is audited: its files, its accounts, its programs, each read once."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.security.accounts import Account, accounts_of, groups_of
from ansible_collections.runbook.ops.plugins.module_utils.security.commands import Answer, ask
from ansible_collections.runbook.ops.plugins.module_utils.security.skipping import Gap
from ansible_collections.runbook.ops.plugins.module_utils.security.sockets import Socket, read_sockets
from ansible_collections.runbook.ops.plugins.module_utils.security.sudoers import Sudoers, read_sudoers

_MAX_BYTES = 1 << 20
BECOME = "Run the task with become."


class Machine:
    """Facts that several sections share; C(gaps) collects what parts of them could not be had."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.gaps: list[Gap] = []

    def gap(self, section: str, reason: str, remedy: str) -> None:
        """Note that a part is unknown."""
        self.gaps.append(Gap(section, reason, remedy))

    def run(self, argv: Sequence[str]) -> Answer:
        """Ask a program."""
        return ask(argv, seconds=float(self.options.get("timeout") or 30))

    @cached_property
    def accounts(self) -> list[Account]:
        """All accounts of the files; those of a directory service are not listed anywhere."""
        return accounts_of(read_text("/etc/passwd") or "", read_text("/etc/shadow"))

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Members by group."""
        return groups_of(read_text("/etc/group") or "", self.accounts)

    @cached_property
    def sudoers(self) -> Sudoers:
        """Rules of sudo with all that is included."""
        return read_sudoers(str(self.options.get("sudoers_path") or "/etc/sudoers"), read_text, list_directory)

    @cached_property
    def sockets(self) -> list[Socket]:
        """Sockets with their processes."""
        return read_sockets()

    def members(self, group: str) -> list[str]:
        """Accounts of a group, which may be given by its number as sudoers does."""
        return self.groups.get(group, [])

    @property
    def first_uid(self) -> int:
        """From which number on accounts are people's (C(UID_MIN) of login.defs)."""
        for line in (read_text("/etc/login.defs") or "").splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == "UID_MIN" and words[1].isdigit():
                return int(words[1])
        return 1000


def read_text(path: str) -> Optional[str]:
    """The text of a file; null when there is none that we may read."""
    try:
        with Path(path).open("rb") as stream:
            return stream.read(_MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return None


def list_directory(path: str) -> list[str]:
    """Names of the files in a directory; none when there is none."""
    try:
        return [each.name for each in Path(path).iterdir() if each.is_file()]
    except OSError:
        return []


def expand(pattern: str) -> list[str]:
    """Files that a pattern of the shell means, in order."""
    return sorted(glob.glob(pattern))  # noqa: PTH207 - absolute patterns
