"""Which account a server runs as, and where that account can reach files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.paths import CACHE


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int


def ordinary_account() -> Account | None:
    """The account for servers that refuse root: None (stay who we are) unless we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise LabError("PostgreSQL refuses to run as root and there is no account 'postgres' or 'nobody' to run it as.")


def can_enter(directory: Path, account: Account | None) -> bool:
    """Whether ``account`` may pass through every directory from / down to ``directory``."""
    if account is None:
        return True
    directory = directory.resolve()
    for step in (directory, *directory.parents):
        try:
            status = step.stat()
        except FileNotFoundError:
            continue  # not made yet: its parents decide
        if status.st_uid == account.uid:
            allowed = status.st_mode & stat.S_IXUSR
        elif status.st_gid == account.gid:
            allowed = status.st_mode & stat.S_IXGRP
        else:
            allowed = status.st_mode & stat.S_IXOTH
        if not allowed:
            return False
    return True


def give(path: Path, account: Account | None) -> None:
    """Make ``account`` the owner of one path."""
    if account is not None:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def temporary_root() -> Path:
    """The directory for temporary files.

    TMPDIR may be a private directory that an ordinary account cannot enter, or one whose name is too
    long for a socket (107 bytes), so /tmp stands in for those.
    """
    chosen = Path(tempfile.gettempdir())
    if len(str(chosen)) > 40 or not can_enter(chosen, ordinary_account()):
        return Path("/tmp")
    return chosen


def scratch_directory(prefix: str, account: Account | None = None) -> Path:
    """A fresh private directory that ``account`` can reach, with a short name (sockets live there)."""
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=temporary_root()))
    give(made, account)
    return made


def cache_directory() -> Path:
    """Where copies that servers share live: ours alone to write, enterable by the servers' account.

    In the checkout, so that ``make clean`` takes them away; below the temporary directory for a checkout that
    the account cannot enter.
    """
    account = ordinary_account()
    if can_enter(CACHE, account):
        with contextlib.suppress(OSError):
            CACHE.mkdir(parents=True, exist_ok=True)
            if os.access(CACHE, os.W_OK):
                return CACHE
    wanted = temporary_cache()
    with contextlib.suppress(OSError):
        wanted.mkdir(mode=0o711, exist_ok=True)
        status = wanted.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            return wanted
    # Somebody else made a directory of that name: never trust programs from it.
    made = Path(tempfile.mkdtemp(prefix="runbook-lab-cache-", dir=temporary_root()))
    made.chmod(0o711)
    return made


def temporary_cache() -> Path:
    """The cache of this checkout and this user outside the checkout; it need not exist."""
    checkout = hashlib.sha256(str(CACHE).encode()).hexdigest()[:8]
    return temporary_root() / f"runbook-lab-cache-{os.geteuid()}-{checkout}"
