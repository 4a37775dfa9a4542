# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A haproxy map in its file and in the running process: entries that are there, or not."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, sync_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.haproxy.client import Haproxy, Unavailable

Entries = dict[str, str]
Action = dict[str, Any]


def control_map(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module; raises InvalidOption or RunbookError."""
    path = Path(params["map"])
    keys, value = [check_key(each) for each in params["keys"]], check_value(params["value"])
    if not keys:
        raise InvalidOption("keys", [], "at least one key")
    wanted = dict.fromkeys(keys, value if params["state"] == "present" else None)
    haproxy = Haproxy(params["socket"], params["timeout"])
    text = read_map(path)
    running, reason = _running(haproxy, path, params["runtime"])
    actions = plan(wanted, parse_file(text), "file") + (plan(wanted, running, "runtime") if running is not None else [])
    before = _figures(wanted, parse_file(text), running)
    after = None
    if not check_mode:
        # The file first: what the process has and the file does not is lost with the next reload.
        fresh = edited(text, wanted)
        if fresh != text:
            _write(path, fresh)
        for action in actions:
            if action["where"] == "runtime":
                _order(haproxy, path, action)
        now, _reason = _running(haproxy, path, params["runtime"])
        after = _figures(wanted, parse_file(read_map(path)), now)
        _check(wanted, after)
    return outcome(
        changed=bool(actions),
        actions=actions,
        before=before,
        after=after,
        runtime_available=running is not None,
        reason=reason,
        diff={"before": text, "after": edited(text, wanted)},
    )


def check_key(value: object) -> str:
    """A key that a map and a command can hold; raises InvalidOption."""
    if isinstance(value, str) and re.fullmatch(r"[^\s;#\\\x00-\x1f][^\s;\\\x00-\x1f]*", value):
        return value
    raise InvalidOption(
        "keys", value, "keys without spaces, semicolons and backslashes, and without # at the beginning"
    )


def check_value(value: object) -> str:
    """A value that a map and a command can hold; raises InvalidOption."""
    if isinstance(value, str) and value == value.strip() and re.fullmatch(r"[^;\\\x00-\x1f]+", value):
        return value
    raise InvalidOption("value", value, "a text on one line, without semicolons and backslashes")


def parse_file(text: str) -> Entries:
    """The entries of a map's file; of a key that is there twice the first, which is the one that haproxy finds."""
    found: Entries = {}
    for line in text.splitlines():
        entry = _entry(line)
        if entry:
            found.setdefault(*entry)
    return found


def parse_running(answer: str) -> Entries:
    """The entries of C(show map): an address, the key, the value. Raises RunbookError for anything else."""
    found: Entries = {}
    for line in answer.splitlines():
        parts = line.split(None, 2)
        if not parts:
            continue
        if not parts[0].startswith("0x") or len(parts) < 2:
            raise RunbookError(f"haproxy does not show the map: {line.strip()}")
        found.setdefault(parts[1], parts[2] if len(parts) > 2 else "")
    return found


def plan(wanted: Mapping[str, Optional[str]], found: Entries, where: str) -> list[Action]:
    """What has to be done with the entries in one of the two places."""
    actions: list[Action] = []
    for key, value in wanted.items():
        there = found.get(key)
        if there == value:
            continue
        verb = "delete" if value is None else "set" if key in found else "add"
        actions.append({"action": verb, "object": key, "where": where, "value_before": there, "value_after": value})
    return actions


def edited(text: str, wanted: Mapping[str, Optional[str]]) -> str:
    """The file with the entries as they are wanted; other lines, comments too, stay as they are."""
    left = dict(wanted)
    lines = []
    for line in text.splitlines():
        entry = _entry(line)
        if entry is None or entry[0] not in wanted:
            lines.append(line)
            continue
        value = left.pop(entry[0], None)
        # A second entry of the same key goes: nobody would find it, until somebody deletes the first.
        if value is not None:
            lines.append(line if entry[1] == value else f"{entry[0]} {value}")
    lines += [f"{key} {value}" for key, value in left.items() if value is not None]
    return "".join(f"{line}\n" for line in lines)


def _entry(line: str) -> Optional[tuple[str, str]]:
    parts = line.strip().split(None, 1)
    if not parts or parts[0].startswith("#"):
        return None
    return parts[0], parts[1] if len(parts) > 1 else ""


def read_map(path: Path) -> str:
    """The text of a map's file; nothing where it is not there yet."""
    with explained("read", path):
        return path.read_text(encoding="utf-8") if path.exists() else ""


def _write(path: Path, text: str) -> None:
    """Replace the file, with its mode and owner."""
    partial = path.with_name(f".{path.name}.partial")
    with explained("write", path):
        status = path.stat() if path.exists() else None
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if status is not None:
                os.fchmod(stream.fileno(), status.st_mode & 0o7777)
                os.fchown(stream.fileno(), status.st_uid, status.st_gid)
            os.fsync(stream.fileno())
        partial.replace(path)
        sync_directory(path.parent)


def _running(haproxy: Haproxy, path: Path, runtime: str) -> tuple[Optional[Entries], Optional[str]]:
    """The entries that the process has, or why they are left alone."""
    if runtime == "never":
        return None, "the running process was not to be asked"
    try:
        answer = haproxy.ask(f"show map {path}")
    except Unavailable as error:
        if runtime == "required":
            raise
        return None, error.message
    if "nknown map" in answer:
        raise RunbookError(
            f"haproxy knows no map {path}: {answer.strip()}. Its configuration must name the file like that; one that "
            "is new there needs a reload."
        )
    return parse_running(answer), None


def _order(haproxy: Haproxy, path: Path, action: Action) -> None:
    verb = {"delete": "del"}.get(action["action"], action["action"])
    value = "" if action["value_after"] is None else " " + action["value_after"].replace(" ", "\\ ")
    haproxy.order(f"{verb} map {path} {action['object']}{value}")


def _figures(wanted: Mapping[str, Any], kept: Entries, running: Optional[Entries]) -> dict[str, Any]:
    """The keys that it is about, in both places."""
    return {
        "file": {key: kept.get(key) for key in wanted},
        "runtime": None if running is None else {key: running.get(key) for key in wanted},
    }


def _check(wanted: Mapping[str, Optional[str]], after: Mapping[str, Any]) -> None:
    for place, name in ((after["file"], "the file"), (after["runtime"], "haproxy")):
        if place is not None and place != dict(wanted):
            raise RunbookError(
                f"After the change {name} has {place}, and not {dict(wanted)}. Somebody else changes it, too."
            )
