# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environment files as Compose reads them. Pure. Values stay here and in C(secrets); only names go out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.compose.secrets import default_reason, secret_in, weak_reason

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:(=|:\s)\s*(.*))?", re.DOTALL)
_INLINE_COMMENT = re.compile(r"\s#.*")


@dataclass(frozen=True)
class Parsed:
    """The pairs of an environment file, the last of a name counting, and what is odd in it."""

    values: Mapping[str, str]
    duplicates: tuple[str, ...]
    malformed_lines: tuple[int, ...]


def parse(text: str) -> Parsed:
    """Read a file as Compose does: comments, C(export), quotes, quoted values of several lines.

    A name without C(=) is taken from the environment by Compose, which is nobody's file: it counts as empty.
    """
    values: dict[str, str] = {}
    seen: Counter[str] = Counter()
    malformed = []
    lines = text.lstrip("\ufeff").splitlines()
    at = 0
    while at < len(lines):
        number, line = at + 1, lines[at]
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            malformed.append(number)
            continue
        value = (found.group(3) or "").strip()
        while value[:1] in "\"'" and value and not _is_closed(value) and at < len(lines):
            value += "\n" + lines[at]
            at += 1
        if value[:1] in ("'", '"') and not _is_closed(value):
            malformed.append(number)
        values[found.group(1)] = _unquoted(value)
        seen[found.group(1)] += 1
    return Parsed(values, tuple(name for name, times in seen.items() if times > 1), tuple(malformed))


def _is_closed(value: str) -> bool:
    quote = value[0]
    return bool(re.search(rf"(?<!\\){quote}", value[1:]))


def _unquoted(value: str) -> str:
    if value[:1] in ("'", '"') and _is_closed(value):
        quote = value[0]
        inner = re.match(rf"{quote}(.*?)(?<!\\){quote}", value, re.DOTALL)
        return inner.group(1) if inner else value
    return _INLINE_COMMENT.sub("", value).strip()


def judge(
    parsed: Parsed, *, required: Iterable[str] = (), template: Iterable[str] = (), least_secret: int = 16
) -> dict[str, Any]:
    """Names by what is wrong with them: C(missing), C(empty), C(duplicate), C(default) and C(weak) with reasons."""
    known = tuple(template)
    needed = tuple(required)
    defaults, weak = [], []
    for name, value in parsed.values.items():
        secret = secret_in(name, value)
        if not secret:
            continue
        if reason := default_reason(secret, known):
            defaults.append({"key": name, "reason": reason})
        elif reason := weak_reason(secret, least_secret):
            weak.append({"key": name, "reason": reason})
    return {
        "keys": sorted(parsed.values),
        "missing_keys": [name for name in needed if name not in parsed.values],
        "empty_keys": [
            name
            for name, value in parsed.values.items()
            if not value and (name in needed or secret_in(name, value) == "")
        ],
        "duplicate_keys": list(parsed.duplicates),
        "malformed_lines": list(parsed.malformed_lines),
        "default_keys": defaults,
        "weak_keys": weak,
    }


_WORDS = {
    "missing_keys": ("missing", "{0} is required and missing"),
    "empty_keys": ("empty", "{0} is empty"),
    "duplicate_keys": ("duplicate", "{0} is set more than once; the last one counts"),
}


def problems(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a person should mend in a file, one entry each: C(kind), C(key), C(message), C(is_blocking)."""
    if not facts["exists"]:
        return [_problem(facts, "absent", "", "the file is not there", blocking=True)]
    if facts["reason"]:
        return [_problem(facts, "unreadable", "", facts["reason"], blocking=True)]
    found = []
    for name, (kind, text) in _WORDS.items():
        found += [_problem(facts, kind, key, text.format(key), blocking=kind != "duplicate") for key in facts[name]]
    for name, kind in (("default_keys", "default"), ("weak_keys", "weak")):
        found += [
            _problem(facts, kind, each["key"], f"{each['key']} {each['reason']}", blocking=kind == "default")
            for each in facts[name]
        ]
    found += [
        _problem(facts, "malformed", "", f"line {number} is no assignment", blocking=True)
        for number in facts["malformed_lines"]
    ]
    return found + _problems_of_the_file(facts)


def _problems_of_the_file(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    if facts["is_private"] is False:
        text = f"others may read it: its mode is {facts['mode']}"
        found.append(_problem(facts, "mode", "", text, blocking=True))
    if facts["owner_is_right"] is False:
        found.append(_problem(facts, "owner", "", f"it belongs to {facts['owner']}", blocking=True))
    if facts["tracked_by_git"]:
        found.append(_problem(facts, "tracked", "", "git tracks it: its secrets are in every clone", blocking=True))
    elif facts["in_git_history"]:
        text = "git's history holds it: its secrets are in every clone"
        found.append(_problem(facts, "history", "", text, blocking=False))
    return found


def _problem(facts: Mapping[str, Any], kind: str, key: str, message: str, *, blocking: bool) -> dict[str, Any]:
    name = facts["path"].rpartition("/")[2]
    return {
        "file": facts["path"],
        "kind": kind,
        "key": key,
        "object": f"{name}:{key}" if key else name,
        "message": message,
        "is_blocking": blocking,
    }
