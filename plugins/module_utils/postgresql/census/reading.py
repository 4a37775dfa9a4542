# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the catalogs' rows to the tables that are read, and from what was read to entries of the census. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Topic, dotted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.relations import Relations
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.rows import (
    ContentColumn,
    ReadRows,
    ReadTable,
    digest_text,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.sequences import fed_columns, with_ends

_READ_KINDS = ("table", "partition")


def tables_to_read(made: Relations, sequences: Topic, *, digests: bool, in_recovery: bool) -> list[ReadTable]:
    """Tables with rows of their own.

    Foreign tables hold none, materialized views are computed anew by the copy, and on a standby unlogged tables cannot
    be read.
    """
    fed = fed_columns(sequences)
    return [
        ReadTable(
            key=name,
            schema=made.rows[name]["schema"],
            name=made.rows[name]["name"],
            columns=_content(made, name) if digests else None,
            bytes=int(entry["bytes"] or 0),
            ends=_ends(entry, name, fed),
            condition=made.rows[name]["condition"] or "",
        )
        for name, entry in made.tables.items()
        if entry["kind"] in _READ_KINDS and not (in_recovery and entry["persistence"] == "unlogged")
    ]


def _content(made: Relations, name: str) -> list[ContentColumn]:
    columns = made.columns[made.rows[name]["oid"]]
    return [ContentColumn(each["name"], each["special"]) for each in columns if not each["generated"]]


def _ends(entry: Mapping[str, Any], name: str, fed: Mapping[str, list[tuple[str, bool]]]) -> list[tuple[str, bool]]:
    """Columns that a sequence feeds, of the table or of the partitioned table that it is a part of."""
    return sorted({*fed.get(name, ()), *fed.get(entry["root"] or "", ())})


def with_rows(
    made: Relations, sequences: Topic, read: Mapping[str, ReadRows]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Entries of tables and of sequences, complete. A partitioned table is the sum of its leaves."""
    fed = fed_columns(sequences)
    tables = {name: dict(entry) for name, entry in made.tables.items()}
    leaves: dict[str, list[ReadRows]] = defaultdict(list)
    ends: list[tuple[str, int]] = []
    for name, rows in read.items():
        entry = tables[name]
        entry["rows"] = rows.rows
        entry["digest"] = None if rows.digest is None else digest_text(rows.digest)
        parent = entry["parent"]
        while parent is not None:
            leaves[parent].append(rows)
            parent = tables[parent]["parent"] if parent in tables else None
        for (column, _downwards), value in zip(_ends(entry, name, fed), rows.ends):
            if value is not None:
                ends += [(f"{owner}.{dotted(column)}", value) for owner in (name, entry["root"]) if owner]
    for name, entry in tables.items():
        if entry["kind"] == "partitioned table":
            parts = leaves[name]
            known = all(each.digest is not None for each in parts)
            entry["rows"] = sum(each.rows for each in parts)
            entry["digest"] = digest_text(sum(each.digest or 0 for each in parts)) if known and parts else None
    return tables, with_ends(sequences, ends)
