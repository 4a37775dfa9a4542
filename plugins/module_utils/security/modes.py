# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files whose mode or owner lets others read or change what they must not."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

# Path, the bits that may not be set, and what is at stake.
_SECRET = 0o027
_MAX_FILES = 5000
PRIVATE = (
    ("/etc/shadow", _SECRET, "the hashes of all passwords"),
    ("/etc/gshadow", _SECRET, "the hashes of groups' passwords"),
    ("/etc/ssh/ssh_host_*_key", 0o077, "the host's private key"),
    ("/etc/ssl/private/*", _SECRET, "a private key"),
    ("/etc/letsencrypt/archive/*/privkey*.pem", _SECRET, "a private key"),
    ("/home/*/.ssh/id_*[!b]", 0o077, "a user's private key"),
    ("/home/*/.pgpass", 0o077, "passwords of databases"),
    ("/home/*/.aws/credentials", 0o077, "keys of AWS"),
    ("/home/*/.kube/config", 0o077, "keys of a cluster"),
)
# Whoever can write these becomes root, or whoever runs them.
TRUSTED = (
    "/etc/passwd /etc/group /etc/shadow /etc/sudoers /etc/sudoers.d /etc/sudoers.d/* /etc/ssh/sshd_config "
    "/etc/ssh/sshd_config.d /etc/ssh/sshd_config.d/* /etc/ld.so.preload /etc/profile /etc/profile.d/* /etc/pam.d/*"
)
CRON = (
    "/etc/crontab /etc/cron.d /etc/cron.d/* /etc/cron.hourly /etc/cron.hourly/* /etc/cron.daily /etc/cron.daily/* "
    "/etc/cron.weekly /etc/cron.weekly/* /etc/cron.monthly /etc/cron.monthly/*"
)


def readable_keys(more: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Private files that others can read; C(more) are further patterns of private keys."""
    found = []
    for pattern, forbidden, what in (*PRIVATE, *((each, 0o077, "a private key") for each in more)):
        for path in _matching([pattern]):
            with contextlib.suppress(OSError):
                status = path.stat()
                if stat.S_ISREG(status.st_mode) and status.st_mode & forbidden and not path.name.endswith(".pub"):
                    found.append({**_entry(path, status), "what": what})
    return found


def writable_files(patterns: Iterable[str]) -> list[dict[str, Any]]:
    """Files and directories that somebody other than root can write, and why."""
    found = []
    for path in _matching(patterns):
        with contextlib.suppress(OSError):
            status = path.stat()
            reason = writable_by(status)
            if reason:
                found.append({**_entry(path, status), "reason": reason})
    return found


def writable_by(status: os.stat_result) -> str:
    """Who beside root may write a file; empty when nobody."""
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return "everybody may write it"
    if status.st_uid != 0:
        return f"{_owner(status.st_uid)} owns it and may write it"
    if status.st_mode & stat.S_IWGRP and status.st_gid != 0:
        return f"the group {status.st_gid} may write it"
    return ""


def _matching(patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        for number, name in enumerate(sorted(glob.glob(pattern))):  # noqa: PTH207 - absolute patterns
            if number >= _MAX_FILES:
                return
            yield Path(name)


def _entry(path: Path, status: os.stat_result) -> dict[str, Any]:
    return {"path": str(path), "mode": f"{stat.S_IMODE(status.st_mode):04o}", "owner": _owner(status.st_uid)}


def _owner(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
