# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two censuses side by side: rows, digests, sequences, large objects. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_structure import Pair, label_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import Difference
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Entry

_ROWS = ("has another number of rows", "have another number of rows")
_CONTENT = ("has other content", "have other content")
_SEQUENCE = ("sequence", "sequences")


def rows(pair: Pair) -> Iterator[Difference]:
    """Tables with another number of rows, or the same number and other values in them.

    Rows of a partitioned table may have moved between partitions (a hash over an enum is another on each server), so
    partitions are told only where their sum is not the same.
    """
    apart: dict[Optional[str], list[Difference]] = defaultdict(list)
    for name, entry in pair.expected.tables.items():
        found = pair.found.tables.get(name)
        if found is not None and entry["kind"] != "partitioned table":
            difference = _content(pair, name, entry, found)
            if difference is not None:
                apart[entry["root"] if entry["kind"] == "partition" else None].append(difference)
    yield from apart.pop(None, ())
    for root, leaves in apart.items():
        one, other = pair.expected.tables.get(root or ""), pair.found.tables.get(root or "")
        whole = None if one is None or other is None else _content(pair, str(root), one, other)
        if one is not None and other is not None and whole is None:
            continue
        if len(leaves) == 1 or whole is None:
            yield from leaves
        else:
            yield whole


def _content(pair: Pair, name: str, expected: Entry, found: Entry) -> Optional[Difference]:
    label, schema = label_of(expected), expected["schema"]
    wanted, there = expected["rows"], found["rows"]
    if pair.physical and expected["persistence"] == "unlogged":
        # A physical backup has unlogged tables without their rows.
        return None
    if wanted is None or there is None:
        return None
    if wanted != there:
        more = f"{wanted} expected, {there} found"
        return Difference("row_count_mismatch", label, schema, name, _ROWS, wanted, there, more)
    digests = expected["digest"], found["digest"]
    if None in digests or digests[0] == digests[1] or not _is_comparable(pair, expected, found):
        return None
    more = f"{there} rows as expected, and in at least one of them a value is another"
    return Difference("content_mismatch", label, schema, name, _CONTENT, *digests, more)


def _is_comparable(pair: Pair, expected: Entry, found: Entry) -> bool:
    """Whether digests say anything: over the same columns, in the same encoding. If not, that is told already."""
    if pair.expected.database["encoding"] != pair.found.database["encoding"]:
        return False
    return _stored(expected) == _stored(found)


def _stored(entry: Entry) -> dict[str, str]:
    """Columns that are digested, with their types."""
    return {
        name: definition.partition(" not null")[0].partition(" default ")[0].partition(" identity ")[0]
        for name, definition in entry["columns"].items()
        if " generated " not in definition
    }


def sequences(pair: Pair) -> Iterator[Difference]:
    """Sequences that are missing, otherwise made, or would give values that were given before."""
    for name, entry in pair.expected.sequences.items():
        found = pair.found.sequences.get(name)
        schema = entry["schema"]
        if found is None:
            of_missing = entry["owned_by"] and _table_of(pair, entry["owned_by"]) is None
            if schema not in pair.missing_schemas and not of_missing:
                what = ("is missing", "are missing")
                yield Difference("structure_missing", _SEQUENCE, schema, name, what, "sequence")
            continue
        if (entry["definition"], entry["cycle"]) != (found["definition"], found["cycle"]):
            what = ("is defined otherwise", "are defined otherwise")
            yield Difference(
                "structure_differs", _SEQUENCE, schema, name, what, entry["definition"], found["definition"]
            )
        elif (behind := _behind(entry, found)) is not None:
            what = ("is behind", "are behind")
            values = entry["last_value"], found["last_value"]
            yield Difference("sequence_behind", _SEQUENCE, schema, name, what, *values, behind)
        yield from pair.ownership(_SEQUENCE, schema, name, entry, found)


def _table_of(pair: Pair, column: str) -> Optional[str]:
    """The table of the copy that a column belongs to."""
    return next((name for name in pair.found.tables if column.startswith(f"{name}.")), None)


def _behind(expected: Entry, found: Entry) -> Optional[str]:
    """Why a sequence is behind, in words; None if it is not, or if that cannot be told."""
    if found["cycle"] or None in (expected["last_value"], found["last_value"]):
        return None
    direction = -1 if found["increment"] < 0 else 1
    upcoming = next_value(found)
    if direction * upcoming < direction * next_value(expected):
        return f"it gives {upcoming} next, and the original gives {next_value(expected)}"
    # What the original has done to itself is no fault of the backup.
    if is_behind_column(found) and not is_behind_column(expected):
        return f"it gives {upcoming} next, and {found['max']} is taken in {', '.join(found['feeds'])}"
    return None


def next_value(sequence: Entry) -> int:
    """What C(nextval) gives."""
    return int(sequence["last_value"]) + (int(sequence["increment"]) if sequence["is_called"] else 0)


def is_behind_column(sequence: Entry) -> bool:
    """Whether the next value, or one before it, is taken in the column that the sequence feeds."""
    if sequence["cycle"] or sequence["max"] is None or sequence["last_value"] is None:
        return False
    direction = -1 if sequence["increment"] < 0 else 1
    return bool(direction * next_value(sequence) <= direction * sequence["max"])


def large_objects(pair: Pair, *, digests: bool = True) -> Iterator[Difference]:
    """Large objects, of which dumps of single schemas have none unless asked to."""
    expected, found = pair.expected.large_objects, pair.found.large_objects
    counts = expected.get("count"), found.get("count")
    if counts[0] is None or counts[1] is None:
        return
    more = f"{counts[0]} expected, {counts[1]} found"
    content = [(each.get("digest"), each.get("bytes")) for each in (expected, found)]
    if counts[0] > counts[1]:
        yield _large("large_objects_missing", "are missing", *counts, more)
    elif counts[0] != counts[1]:
        yield _large("structure_differs", "are more than in the original", *counts, more)
    elif digests and None not in (content[0][0], content[1][0]) and content[0] != content[1]:
        more = f"{expected['bytes']} bytes expected, {found['bytes']} found"
        yield _large("content_mismatch", "have other content", content[0][0], content[1][0], more)


def _large(code: str, what: str, expected: Any, found: Any, more: str) -> Difference:
    label = ("large objects", "large objects")
    return Difference(code, label, None, label[0], (what, what), expected, found, more)
