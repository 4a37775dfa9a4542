# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with variables that rounds get and nobody else may read. What is in them is read, and never told."""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import CRON, Round

# A name, and its value to the end of the line.
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_COMMENT = ("#", ";")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def wrong_line(text: str, backend: str) -> str:
    """What is wrong with the first line that is not as both cron's rounds and systemd read it; empty for nothing.

    The line itself is not told: it may be a secret, and so may be the name that a typing error made of it.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not line or line.startswith(_COMMENT):
            continue
        found = _ASSIGNMENT.fullmatch(line)
        if found is None or _CONTROL.search(line):
            return f"line {number} is not NAME=value"
        value = found.group(2)
        if backend == CRON and (value != value.strip() or re.search(r"[\"'\\]", value)):
            return f"line {number} has a value with quotes, backslashes or spaces at its ends, which only systemd reads"
    return ""


def refused_files(rounds: Sequence[Round], backend: str) -> list[Refusal]:
    """Files that a round could not read, or that somebody else could read or change."""
    pairs = sorted({(each.environment_file, each.user) for each in rounds if each.environment_file})
    return [refusal for path, user in pairs for refusal in _refused(Path(path), user, backend)]


def _refused(path: Path, user: str, backend: str) -> Iterator[Refusal]:
    def refusal(reason: str, remedy: str) -> Refusal:
        return Refusal(str(path), reason, remedy)

    account = pwd.getpwnam(user)
    private = f"chown {user}: {path}; chmod 0600 {path}"
    try:
        found = path.stat()
        folder = path.resolve().parent.stat()
    except OSError as error:
        yield refusal(
            f"the environment file of rounds of {user} is not there: {error.strerror}",
            f"Write it, a NAME=value on each line, and: {private}",
        )
        return
    if not stat.S_ISREG(found.st_mode):
        yield refusal("the environment file is no file", "Name a file with a NAME=value on each line.")
        return
    if found.st_uid not in (0, account.pw_uid):
        yield refusal(f"it belongs neither to root nor to {user}", private)
    elif found.st_mode & 0o027:
        mode = found.st_mode & 0o777
        yield refusal(f"others than its owner may read or change it (mode {mode:04o})", private)
    elif folder.st_mode & 0o002 and not folder.st_mode & stat.S_ISVTX:
        yield refusal(f"everybody may put another file in its place, in {path.resolve().parent}", "chmod o-w there.")
    elif backend == CRON and not _can_read(account, found):
        # systemd reads it as root, before it becomes the user.
        yield refusal(f"{user} may not read it, and with backend=cron the round itself does", private)
    else:
        wrong = wrong_line(path.read_text(encoding="utf-8", errors="surrogateescape"), backend)
        if wrong:
            remedy = "Write a NAME=value on each line, without export and without spaces around the =."
            yield refusal(wrong, remedy)


def _can_read(account: pwd.struct_passwd, found: os.stat_result) -> bool:
    if account.pw_uid in (0, found.st_uid):
        return account.pw_uid == 0 or bool(found.st_mode & 0o400)
    return bool(found.st_mode & 0o040) and found.st_gid in os.getgrouplist(account.pw_name, account.pw_gid)
