# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries from data: what may be declared, and the text that logrotate reads. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.rotation.logs import is_database_own, is_rotated_name
from ansible_collections.runbook.ops.plugins.module_utils.rotation.settings import FREQUENCIES, parse_size

MARK = "# Written by runbook.ops.logrotate_config; changes by hand are lost."
METHODS = ("reload", "signal", "copytruncate", "none")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?")
_MODE = re.compile(r"0?[0-7]{3}")
_SIGNAL = re.compile(r"(?:SIG)?([A-Z]+[12]?)")
_PATH = re.compile(r"/[^\n\"\\{}]+")


def entry_argument_spec() -> dict[str, dict[str, Any]]:
    """The suboptions of one entry."""
    reopen = {
        "method": {"type": "str", "choices": list(METHODS), "default": "none"},
        "unit": {"type": "str"},
        "signal": {"type": "str", "default": "HUP"},
        "pid_file": {"type": "path"},
    }
    return {
        "logs": {"type": "list", "elements": "str", "required": True},
        "frequency": {"type": "str", "choices": list(FREQUENCIES), "default": "daily"},
        "rotate": {"type": "int", "default": 14},
        "max_age_days": {"type": "int"},
        "max_size": {"type": "str"},
        "min_size": {"type": "str"},
        "compress": {"type": "bool", "default": True},
        "delay_compress": {"type": "bool", "default": True},
        "date": {"type": "bool", "default": False},
        "missing_ok": {"type": "bool", "default": True},
        "rotate_empty": {"type": "bool", "default": False},
        "mode": {"type": "str", "default": "0640"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "su_user": {"type": "str"},
        "su_group": {"type": "str"},
        "old_directory": {"type": "path"},
        "reopen": {"type": "dict", "options": reopen, "default": {}, "apply_defaults": True},
    }


def check_name(name: str) -> None:
    """Refuse a name of a file that logrotate would pass over or that leaves the directory."""
    if not _NAME.fullmatch(name):
        raise InvalidOption("name", name, "letters, digits, dashes and underscores; logrotate skips some endings")


def check_entry(entry: Mapping[str, Any], number: int) -> None:
    """Refuse an entry that cannot work, before anything is touched; raises InvalidOption."""
    where = f"entries[{number}]"
    if not entry["logs"]:
        raise InvalidOption(f"{where}.logs", [], "at least one path")
    for path in entry["logs"]:
        _check_log(f"{where}.logs", path)
    for name in ("max_size", "min_size"):
        if entry[name] and parse_size(entry[name]) is None:
            raise InvalidOption(f"{where}.{name}", entry[name], "bytes, or a number with k, M or G, such as 100M")
    if not 1 <= entry["rotate"] <= 10000:
        raise InvalidOption(f"{where}.rotate", entry["rotate"], "1 to 10000 copies; 0 would delete the log")
    if not _MODE.fullmatch(entry["mode"]):
        raise InvalidOption(f"{where}.mode", entry["mode"], "an octal mode such as 0640")
    if int(entry["mode"], 8) & 0o022:
        raise InvalidOption(f"{where}.mode", entry["mode"], "a mode that only the owner may write with, such as 0640")
    for one, other in (("owner", "group"), ("su_user", "su_group")):
        _check_pair(where, entry, one, other)
    _check_reopen(f"{where}.reopen", entry)


def _check_log(where: str, path: str) -> None:
    if not _PATH.fullmatch(path):
        raise InvalidOption(where, path, "an absolute path, * allowed, without quotes and braces")
    parts = path.split("/")
    if ".." in parts:
        raise InvalidOption(where, path, "a path without ..")
    if is_database_own(path):
        raise InvalidOption(where, path, "a log; this directory is the database's own, and without it it is lost")
    if parts[-1] in ("*", "*.*", "*.gz", "") or is_rotated_name(parts[-1].replace("*", "x")):
        raise InvalidOption(
            where, path, "names that rotated copies do not have, such as *.log; else they are rotated again"
        )


def _check_pair(where: str, entry: Mapping[str, Any], one: str, other: str) -> None:
    if bool(entry[one]) != bool(entry[other]):
        raise InvalidOption(f"{where}.{one}", entry[one], f"{one} and {other} together, or neither")
    for name in (one, other):
        if entry[name] and not _ACCOUNT.fullmatch(entry[name]):
            raise InvalidOption(f"{where}.{name}", entry[name], "the name of an account")


def _check_reopen(where: str, entry: Mapping[str, Any]) -> None:
    reopen = entry["reopen"]
    method = reopen["method"]
    if (method == "reload") != bool(reopen["unit"]):
        raise InvalidOption(f"{where}.unit", reopen["unit"], "the unit to reload, with method=reload only")
    if reopen["unit"] and not _UNIT.fullmatch(reopen["unit"]):
        raise InvalidOption(f"{where}.unit", reopen["unit"], "the name of a unit such as nginx.service")
    if (method == "signal") != bool(reopen["pid_file"]):
        raise InvalidOption(
            f"{where}.pid_file", reopen["pid_file"], "the file with the process id, with method=signal only"
        )
    if reopen["pid_file"] and not re.fullmatch(r"/[\w./@:-]+", reopen["pid_file"]):
        raise InvalidOption(f"{where}.pid_file", reopen["pid_file"], "an absolute path of ordinary characters")
    if not _SIGNAL.fullmatch(reopen["signal"]):
        raise InvalidOption(f"{where}.signal", reopen["signal"], "the name of a signal such as HUP or USR1")
    if method in ("reload", "signal") and entry["compress"] and not entry["delay_compress"]:
        raise InvalidOption(
            f"{where}.delay_compress",
            False,
            f"true with compress and method={method}: a writer that is still at the old file would lose lines",
        )


def render(entries: Sequence[Mapping[str, Any]]) -> str:
    """The text of the file."""
    return "\n".join([MARK, *(line for entry in entries for line in ("", *_lines(entry))), ""])


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    for path in entry["logs"][:-1]:
        yield _quoted(path)
    yield f"{_quoted(entry['logs'][-1])} {{"
    yield from (f"    {line}" for line in _directives(entry))
    yield "}"


def _quoted(path: str) -> str:
    return f'"{path}"' if re.search(r"\s", path) else path


def _directives(entry: Mapping[str, Any]) -> Iterator[str]:
    method = entry["reopen"]["method"]
    if entry["su_user"]:
        yield f"su {entry['su_user']} {entry['su_group']}"
    yield entry["frequency"]
    yield f"rotate {entry['rotate']}"
    for name, directive in (("max_age_days", "maxage"), ("max_size", "maxsize"), ("min_size", "minsize")):
        if entry[name]:
            yield f"{directive} {entry[name]}"
    yield "compress" if entry["compress"] else "nocompress"
    yield "delaycompress" if entry["compress"] and entry["delay_compress"] else "nodelaycompress"
    yield "dateext" if entry["date"] else "nodateext"
    yield "missingok" if entry["missing_ok"] else "nomissingok"
    yield "ifempty" if entry["rotate_empty"] else "notifempty"
    yield f"olddir {entry['old_directory']}" if entry["old_directory"] else "noolddir"
    if method == "copytruncate":
        yield "copytruncate"
        return
    yield "nocopytruncate"
    owner = f" {entry['owner']} {entry['group']}" if entry["owner"] else ""
    yield f"create {entry['mode']}{owner}"
    script = _script(entry["reopen"])
    if script:
        yield "sharedscripts"
        yield "postrotate"
        yield f"    {script}"
        yield "endscript"


def _script(reopen: Mapping[str, Any]) -> str:
    """One line that fails when the writer is there and could not be told, and not when it is not running."""
    if reopen["method"] == "reload":
        return f"! systemctl --quiet is-active {reopen['unit']} || systemctl reload {reopen['unit']}"
    if reopen["method"] == "signal":
        name = reopen["signal"].removeprefix("SIG")
        return f'test ! -s {reopen["pid_file"]} || kill -{name} "$(cat {reopen["pid_file"]})"'
    return ""
