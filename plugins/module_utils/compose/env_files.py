# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files on this host: what is in them by name, who may read them, and whether git has them."""

from __future__ import annotations

import grp
import pwd
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, clean_environment, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.compose.env_text import judge, parse, problems

_NOTHING: dict[str, Any] = {
    **{"mode": None, "owner": None, "group": None, "is_private": None, "owner_is_right": None},
    **{"tracked_by_git": None, "in_git_history": None, "keys": [], "missing_keys": [], "empty_keys": []},
    **{"duplicate_keys": [], "malformed_lines": [], "default_keys": [], "weak_keys": []},
}
_MOST_BYTES = 1 << 20


def look_at(
    paths: Sequence[Path],
    *,
    required: Iterable[str] = (),
    example: Optional[Path] = None,
    least_secret: int = 16,
    mode: int = 0o600,
    owner: str = "",
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """The facts of each file, and what could not be found out.

    A required key may be in any of the files: the last one tells which are missing.
    """
    needed = list(required)
    template = _secrets_of(example)
    found, skipped = [], []
    have: set[str] = set()
    for number, path in enumerate(paths):
        is_last = number == len(paths) - 1
        facts: dict[str, Any] = {"path": str(path), "exists": path.is_file(), "reason": None, **_NOTHING}
        if facts["exists"]:
            _read(facts, path, template, least_secret, mode, owner)
            have |= set(facts["keys"])
            facts["missing_keys"] = [name for name in needed if name not in have] if is_last else []
            facts["empty_keys"] = [name for name in facts["empty_keys"] if name in facts["keys"]]
            skipped += _ask_git(facts, path)
        facts["problems"] = problems(facts)
        found.append(facts)
    return found, skipped


def _read(facts: dict[str, Any], path: Path, template: Iterable[str], least_secret: int, mode: int, owner: str) -> None:
    status = path.stat()
    found = stat.S_IMODE(status.st_mode)
    facts["mode"] = f"{found:04o}"
    facts["owner"] = _name(pwd.getpwuid, status.st_uid)
    facts["group"] = _name(grp.getgrgid, status.st_gid)
    facts["is_private"] = not found & ~mode
    facts["owner_is_right"] = facts["owner"] == owner if owner else None
    try:
        text = path.read_bytes()[:_MOST_BYTES].decode("utf-8")
    except OSError as error:
        facts["reason"] = f"it cannot be read: {error.strerror}"
        return
    except ValueError:
        facts["reason"] = "it is no text in UTF-8"
        return
    facts.update(judge(parse(text), required=(), template=template, least_secret=least_secret))


def _secrets_of(example: Path | None) -> list[str]:
    if example is None:
        return []
    try:
        values: Mapping[str, str] = parse(example.read_text(encoding="utf-8")).values
    except (OSError, ValueError):
        raise InvalidOption("example", str(example), "a file with the keys, as text, that is there") from None
    return [value for value in values.values() if value]


def _name(lookup: Any, number: int) -> str:
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


def _ask_git(facts: dict[str, Any], path: Path) -> list[dict[str, str]]:
    """Whether git has the file, now or in its history. Another owner's checkout is looked at as well."""
    git = ["git", "-c", "safe.directory=*", "-C", str(path.parent)]
    environment = clean_environment(GIT_CONFIG_NOSYSTEM="1", GIT_CONFIG_GLOBAL="/dev/null")
    try:
        run([*git, "rev-parse", "--is-inside-work-tree"], environment=environment)
    except ChildFailed:
        facts["tracked_by_git"] = facts["in_git_history"] = False
        return []
    except RunbookError as error:
        remedy = "Install git on this host"
        return [{"section": f"git:{path}", "reason": error.message.rstrip("."), "remedy": remedy}]
    facts["tracked_by_git"] = bool(run([*git, "ls-files", "--", path.name], environment=environment).strip())
    try:
        log = run([*git, "log", "--all", "--max-count=1", "--format=%h", "--", path.name], environment=environment)
    except ChildFailed:
        log = ""
    facts["in_git_history"] = bool(log.strip())
    return []
