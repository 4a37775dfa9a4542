# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filling tables without writing everything twice, on a server that is thrown away.

Where one session makes and fills a table in one transaction, a server of C(wal_level=minimal) writes no WAL for its
rows. Several sessions that fill one table cannot have that. So tables are made unlogged, filled, and then declared what
they are in the dump, in the catalog, before anything refers to them. What that costs, being lost in a crash, is no
cost here. C(ALTER TABLE … SET LOGGED) would write all rows again.
"""

from __future__ import annotations

import re
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.session import LoadingSession
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.toc import Entry

_CREATE = re.compile(rb"CREATE\s+TABLE\s+", re.I)
# Names that the list below cannot carry, or that are not UTF-8: such tables are made as the dump says.
_ODD = re.compile(r"[\n$\ufffd]")
_PARTITIONED = re.compile(rb"\)\s*PARTITION\s+BY\s", re.I)
# Everything that took its persistence from one of these tables: its indexes, its TOAST table with its index, the
# sequences of its identity columns.
_DECLARE = """
SET allow_system_table_mods = on;
WITH made AS (
  SELECT c.oid, c.reltoastrelid FROM pg_catalog.pg_class AS c
  JOIN pg_catalog.unnest(pg_catalog.string_to_array($tables${tables}$tables$, E'\\n')) AS t (name)
    ON c.oid = pg_catalog.to_regclass(t.name)),
dependent AS (
  SELECT oid FROM made
  UNION ALL SELECT reltoastrelid FROM made
  UNION ALL SELECT i.indexrelid FROM pg_catalog.pg_index AS i
    WHERE i.indrelid IN (SELECT oid FROM made UNION ALL SELECT reltoastrelid FROM made)
  UNION ALL SELECT d.objid FROM pg_catalog.pg_depend AS d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = d.classid AND d.deptype = 'i'
      AND d.refobjid IN (SELECT oid FROM made))
UPDATE pg_catalog.pg_class SET relpersistence = 'p' WHERE relpersistence = 'u' AND oid IN (SELECT oid FROM dependent);
SET allow_system_table_mods = off
"""


class Unlogged:
    """Tables of one dump that are made without WAL, until C(declare) says what they are."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        self._tables: list[str] = []

    def made(self, text: bytes, entry: Optional[Entry], table: Optional[str]) -> bytes:
        """The statement to run instead of one that makes a table; other statements as they are. Pure."""
        if not self._is_wanted or entry is None or entry.type != "TABLE" or table is None:
            return text
        if not _CREATE.match(text) or _PARTITIONED.search(text) or _ODD.search(table):
            return text
        self._tables.append(table)
        return _CREATE.sub(b"CREATE UNLOGGED TABLE ", text, count=1)

    def declare(self, session: LoadingSession) -> None:
        """Declare the tables logged; raises LoadFailed."""
        if self._tables:
            session.execute(_DECLARE.replace("{tables}", "\n".join(self._tables)).encode())
        self._tables = []
