# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The account that a scratch server runs as: PostgreSQL's server refuses to run as root."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError

_CANDIDATES = ("postgres", "pgsql", "nobody")


@dataclass(frozen=True)
class Account:
    """An account of the operating system."""

    name: str
    uid: int
    gid: int

    @property
    def ids(self) -> tuple[int, int]:
        """User and group, as C(Child) takes them."""
        return self.uid, self.gid


def choose_account(name: str | None = None) -> Account:
    """The account to run a server as.

    Args:
        name: The one the user wants. Without it: ours, or, when we are root, C(postgres), else C(nobody).

    Raises:
        InvalidOption: it does not exist, is root, or we are not root and it is not ours.
        RunbookError: no ordinary account was found.

    """
    is_root = os.geteuid() == 0
    if name:
        found = _account(name)
        if found is None:
            raise InvalidOption("account", name, "an account of this host")
        if found.uid == 0:
            raise InvalidOption("account", name, "an ordinary account, because PostgreSQL refuses to run as root")
        if not is_root and found.uid != os.geteuid():
            raise InvalidOption("account", name, "the account that runs this task, or run the task as root")
        return found
    if not is_root:
        mine = pwd.getpwuid(os.geteuid())
        return Account(mine.pw_name, mine.pw_uid, mine.pw_gid)
    for candidate in _CANDIDATES:
        found = _account(candidate)
        if found is not None and found.uid != 0:
            return found
    raise RunbookError(
        "PostgreSQL refuses to run as root, and this host has no account postgres or nobody to run a scratch server "
        "as. Create one (useradd --system postgres), or name an ordinary account with account."
    )


def can_enter(directory: Path, account: Account) -> bool:
    """Whether the account may pass through every directory from / down to this one."""
    for step in (directory, *directory.parents):
        try:
            status = step.stat()
        except OSError:
            return False
        if status.st_uid == account.uid:
            allowed = status.st_mode & stat.S_IXUSR
        elif status.st_gid == account.gid:
            allowed = status.st_mode & stat.S_IXGRP
        else:
            allowed = status.st_mode & stat.S_IXOTH
        if not allowed:
            return False
    return True


def _account(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
