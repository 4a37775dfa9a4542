# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Rails migration takes away from code that does not know it. Pure.

Ruby is not executed: the methods of migrations are recognised by their names, as Rails documents them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.runbook.ops.plugins.module_utils.migrations.sql import Hazard, sql_hazards

_METHODS = {
    "drop_table": "drop",
    "drop_join_table": "drop",
    "remove_column": "drop",
    "remove_columns": "drop",
    "remove_reference": "drop",
    "remove_belongs_to": "drop",
    "remove_timestamps": "drop",
    "drop_view": "drop",
    "drop_enum": "drop",
    "rename_table": "rename",
    "rename_column": "rename",
    "rename_enum_value": "rename",
    "change_column": "type",
    "change_column_null": "not_null",
    "add_column": "not_null",
    "add_reference": "not_null",
    "add_belongs_to": "not_null",
    "truncate": "truncate",
    "truncate_tables": "truncate",
    "delete_all": "truncate",
}
# What t.remove and its kind do within change_table.
_TABLE_METHODS = {
    "remove": "drop",
    "remove_references": "drop",
    "remove_belongs_to": "drop",
    "remove_timestamps": "drop",
    "rename": "rename",
    "change": "type",
    "change_null": "not_null",
}
_CALL = re.compile(r"^\s*(?:safety_assured\s*\{?\s*)?([a-z_]+)\b[ (]*(.*)$")
_EXECUTE = re.compile(r"\bexecute\b")
_BLOCK = re.compile(r"\bdo\b\s*(?:\|[^|]*\|)?\s*$")
_WORD = re.compile(r":(\w+)|[\"']([\w.]+)[\"']")


def rails_hazards(text: str) -> list[Hazard]:
    """The hazards of a migration in the direction up, in its order."""
    lines = _upward(_without_comments(text))
    found: list[Hazard] = []
    table, kind, depth = "", "", 0
    for number, line in _joined(lines):
        if kind and re.match(r"\s*end\b", line):
            depth -= 1
            if depth == 0:
                kind = ""
            continue
        opened = re.match(r"\s*(create_table|create_join_table|change_table)\b(.*)", line)
        if opened and _BLOCK.search(line):
            kind, table, depth = opened[1], _first(opened[2]), 1
            if kind != "change_table" and re.search(r"force:\s*(?:true|:cascade)", line):
                found.append(Hazard("drop", table, line.strip(), number))
            continue
        if kind:
            depth += bool(_BLOCK.search(line))
        found += [*_inside(line, table, number)] if kind == "change_table" else []
        found += [*_outside(line, number)] if not kind else []
    return sorted([*found, *_executed(lines)], key=lambda each: each.line)


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)^\s*#.*$", "", text)


def _upward(text: str) -> list[str]:
    """The lines without those of C(def down), which has the indentation of its C(end)."""
    kept, leaving = list[str](), ""
    for line in text.split("\n"):
        began = re.match(r"(\s*)def (?:self\.)?down\b", line)
        if began:
            leaving = began[1] + "end"
        kept.append("" if leaving else line)
        if leaving and line.rstrip() == leaving:
            leaving = ""
    return kept


def _joined(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Calls that go over several lines as one, with the number of the first."""
    held, first = "", 0
    for number, line in enumerate(lines, 1):
        if held:
            held += " " + line.strip()
        else:
            held, first = line, number
        if held.rstrip().endswith((",", "\\", "(")) and number < len(lines):
            continue
        if held.strip():
            yield first, held
        held = ""


def _outside(line: str, number: int) -> Iterator[Hazard]:
    match = _CALL.match(line)
    last = match[1] if match else ""
    if "." in re.split(r"\(| :", line, maxsplit=1)[0] and re.search(r"\.(delete_all|destroy_all)\b", line):
        # With a condition before it, it is rows and no schema; without, it is the table.
        if ".where" not in line:
            yield Hazard("truncate", line.strip().split(".")[0], line.strip(), number)
        return
    kind = _METHODS.get(last)
    if match is None or kind is None or _is_harmless(last, line):
        return
    names = [first or second for first, second in _WORD.findall(match[2])]
    several = last in ("drop_table", "rename_table", "drop_view", "drop_enum", "truncate", "truncate_tables")
    name = names[0] if several else ".".join(names[:2])
    yield Hazard(kind, name if names else last, line.strip(), number)


def _is_harmless(method: str, line: str) -> bool:
    if method in ("add_column", "add_reference", "add_belongs_to"):
        return not re.search(r"null:\s*false|:null\s*=>\s*false", line) or bool(
            re.search(r"\bdefault:|:default\s*=>", line)
        )
    if method == "change_column_null":
        # The third argument is whether null is allowed.
        return bool(re.search(r",\s*true\b", line))
    return False


def _inside(line: str, table: str, number: int) -> Iterator[Hazard]:
    match = re.match(r"\s*\w+\.(\w+)[ (]*(.*)$", line)
    if match is None:
        return
    kind = _TABLE_METHODS.get(match[1])
    if kind is None and re.search(r"null:\s*false", line) and not re.search(r"\bdefault:", line):
        kind = "not_null"
    if kind and not (match[1] == "change_null" and re.search(r",\s*true\b", line)):
        yield Hazard(kind, f"{table}.{_first(match[2])}".rstrip("."), line.strip(), number)


def _executed(lines: list[str]) -> list[Hazard]:
    """SQL that a migration executes: what stands in it as text is read, anything else nobody can read off."""
    found: list[Hazard] = []
    for number, line in enumerate(lines, 1):
        if not _EXECUTE.search(line):
            continue
        rest = "\n".join(lines[number - 1 :])
        here = re.search(r"\bexecute[ (]*<<[~-]?[\"']?(\w+)[\"']?.*?\n(.*?)^\s*\1\b", rest, re.DOTALL | re.MULTILINE)
        plain = re.match(
            r"[^\n]*?\bexecute[ (]*(?:%[qQ]?[\(\[{](.*?)[\)\]}]\s*$|\"([^\"]*)\"|'([^']*)')",
            rest,
            re.DOTALL | re.MULTILINE,
        )
        if here and rest.index(here[0]) <= len(line):
            found += [
                Hazard(each.kind, each.target, each.statement, number + each.line) for each in sql_hazards(here[2])
            ]
        elif plain:
            script = next(part for part in plain.groups() if part is not None)
            hazards = sql_hazards(script.replace('\\"', '"'))
            found += [Hazard(each.kind, each.target, each.statement, number) for each in hazards]
            if "#{" in script:
                found.append(Hazard("opaque", "execute", line.strip(), number))
        else:
            found.append(Hazard("opaque", "execute", line.strip(), number))
    return found


def _first(words: str) -> str:
    match = _WORD.search(words)
    return (match[1] or match[2]) if match else ""
