# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pieces of SQL that several sections need. Pure."""

from __future__ import annotations

import string

# The views show statements of other databases byte for byte. Where these are in another encoding, the server refuses
# to send them and the whole answer with them, so such text is left out unless it is plain ASCII. A few statements are
# as long as a book; the beginning tells enough.
_READABLE_TEXT = """
           CASE WHEN (SELECT e.encoding FROM pg_database e WHERE e.oid = $database)
                     = (SELECT e.encoding FROM pg_database e WHERE e.datname = current_database())
                     OR $text COLLATE "C" !~ E'[^\\\\x01-\\\\x7f]'
                THEN left($text, 10000) END"""


def readable(text: str, database: str) -> str:
    """SQL for statement text that can be sent; C(database) is the column with the oid of its database."""
    return string.Template(_READABLE_TEXT).substitute(text=text, database=database)


# Nobody may create a schema that begins with pg_, so this leaves out catalogs, TOAST and temporary schemas.
USER_SCHEMAS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> ALL (%(excluded)s::text[])"

# Asking for the size of a table waits for its lock. During ALTER TABLE, which is when people look, that would cost the
# whole section, so the few relations under such a lock, held or requested, are left out and estimated.
LOCKED = """
locked AS MATERIALIZED (
    SELECT DISTINCT l.relation
    FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
)"""
