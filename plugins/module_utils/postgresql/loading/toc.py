# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comments that pg_dump writes before every object: what it is, and which part of a restore it belongs to. Pure.

Source: C(_printTocEntry) in C(pg_backup_archiver.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Optional

_NAMED = re.compile(
    r"-- (?:(?P<part>Data|Statistics) for )?Name: (?P<name>.*); Type: (?P<type>[A-Z][A-Z ]*); Schema: (?P<schema>.*); "
    r"Owner: ?(?P<owner>.*?)(?:; Tablespace: (?P<tablespace>.*))?$"
)
_NO_SCHEMA = "-"
# Objects that come after all data, in the order in which pg_dump writes them (dbObjectTypePriority in pg_dump_sort.c).
POST_DATA = frozenset(
    {
        "CONSTRAINT",
        "INDEX",
        "INDEX ATTACH",
        "STATISTICS",
        "RULE",
        "TRIGGER",
        "FK CONSTRAINT",
        "CHECK CONSTRAINT",
        "ROW SECURITY",
        "POLICY",
        "PUBLICATION",
        "PUBLICATION TABLE",
        "PUBLICATION TABLES IN SCHEMA",
        "SUBSCRIPTION",
        "SUBSCRIPTION TABLE",
        "EVENT TRIGGER",
        "MATERIALIZED VIEW DATA",
    }
)
# What comes between: rows, large objects, positions of sequences, statistics of tables.
DATA = frozenset({"TABLE DATA", "BLOBS", "BLOB", "BLOB METADATA", "BLOB DATA", "SEQUENCE SET", "STATISTICS DATA"})
# Objects of the server, not of a database.
OF_THE_DATABASE = frozenset({"DATABASE", "DATABASE PROPERTIES"})


@dataclass(frozen=True)
class Entry:
    """One entry of a dump's table of contents. Names are as pg_dump writes them there: without quotes."""

    type: str
    name: str
    schema: Optional[str] = None
    owner: Optional[str] = None

    def __str__(self) -> str:
        return f"{self.type} {self.schema + '.' if self.schema else ''}{self.name}"


def entry_from(line: str) -> Optional[Entry]:
    """The entry that a comment line announces; None if it announces none."""
    found = _NAMED.match(line.rstrip("\r\n"))
    if found is None:
        return None
    schema = found["schema"]
    return Entry(found["type"], found["name"], None if schema == _NO_SCHEMA else schema, found["owner"] or None)
