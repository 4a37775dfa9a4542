# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Invalid indexes: what a broken REINDEX CONCURRENTLY left behind, and what belongs to somebody.

A rebuild makes C(<name>_ccnew) beside the index, swaps the two, and drops C(<name>_ccold). When it breaks, one of these
stays, invalid: no query uses it, every write maintains it. Before the swap that is C(_ccnew), and the rebuild failed;
after it C(_ccold), and the rebuild succeeded. The server cuts long names before it adds the suffix, and numbers the
suffix when the name is taken (ChooseRelationName in src/backend/commands/indexcmds.c).

The name alone proves nothing, so there must be a twin as well: the index it was to replace, or was replaced by, on the
same table with the same definition. Any other invalid index is a CREATE INDEX CONCURRENTLY of a user that failed, which
is reported with its definition and never touched.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.indexes import leftover

# Whether the library is there is the connection's question; it answers before any of this is used.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

# pg_locks is open to everybody; pg_stat_progress_create_index hides the table of other roles' commands. Such a
# command may be at work on this table, so it counts.
INVALID_SQL = """
WITH here AS (
    SELECT d.oid FROM pg_database d WHERE d.datname = current_database()
)
SELECT i.indexrelid AS oid, i.indrelid AS table_oid, n.nspname::text AS schema, c.relname::text AS name,
       s.nspname::text AS table_schema, o.relname::text AS table_name, pg_get_indexdef(i.indexrelid) AS definition,
       c.relpages::bigint * current_setting('block_size')::bigint AS size_bytes,
       pg_has_role(t.relowner, 'USAGE') OR pg_has_role(n.nspowner, 'USAGE') AS may_drop,
       has_schema_privilege(n.oid, 'USAGE') AS may_name,
       quote_ident(pg_get_userbyid(t.relowner)) AS owner,
       coalesce((SELECT min(p.pid) FROM pg_stat_progress_create_index p
                 WHERE p.datname = current_database() AND p.pid <> pg_backend_pid()
                   AND (p.relid = i.indrelid OR p.relid IS NULL)),
                (SELECT min(l.pid) FROM pg_locks l
                 WHERE l.locktype = 'relation' AND l.database = (SELECT h.oid FROM here h)
                   AND l.relation = i.indexrelid AND l.granted AND l.pid <> pg_backend_pid()
                   AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock'))) AS worker,
       ARRAY(SELECT wc.relname::text
             FROM pg_index w JOIN pg_class wc ON wc.oid = w.indexrelid
             WHERE w.indrelid = i.indrelid AND w.indexrelid <> i.indexrelid AND wc.relam = c.relam
               AND (w.indisvalid OR c.relname ~ '_ccnew[0-9]*$')
               AND w.indkey::text = i.indkey::text AND w.indclass::text = i.indclass::text
               AND w.indcollation::text = i.indcollation::text AND w.indoption::text = i.indoption::text
               AND w.indisunique = i.indisunique
               AND pg_get_expr(w.indexprs, w.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indexprs, i.indrelid)
               AND pg_get_expr(w.indpred, w.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indpred, i.indrelid)
             ORDER BY wc.relname) AS twins
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
-- The index of a TOAST table belongs to the table whose values are in it.
LEFT JOIN pg_class m ON t.relkind = 't' AND m.reltoastrelid = t.oid
JOIN pg_class o ON o.oid = coalesce(m.oid, t.oid)
JOIN pg_namespace s ON s.oid = o.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i' AND t.relpersistence <> 't'
ORDER BY n.nspname, c.relname
"""

# The suffix is added to a name that is cut to fit into 63 bytes, at a character's border.
_NAME_BYTES = 63
_LONGEST_CHARACTER = 4


@dataclass(frozen=True)
class Leftover:
    """An invalid index that a rebuild left; C(kind) is C(ccnew) or C(ccold), C(twin) the index it was made for."""

    oid: int
    table_oid: int
    schema: str
    name: str
    table_schema: str
    table_name: str
    kind: str
    twin: str
    size_bytes: int
    may_drop: bool
    may_name: bool
    owner: str
    worker: Optional[int]

    @property
    def label(self) -> str:
        """Its name for people."""
        return f"{self.schema}.{self.name}"

    @property
    def of(self) -> str:
        """The index it was made for."""
        return f"{self.schema}.{self.twin}"

    @property
    def table(self) -> str:
        """The table whose values are in it; of a TOAST table's index, the table it belongs to."""
        return f"{self.table_schema}.{self.table_name}"

    @property
    def statement(self) -> sql.Composed:
        """What removes it without keeping anybody waiting."""
        return sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(self.schema, self.name))

    @property
    def text(self) -> str:
        """The same statement for people."""
        return f"DROP INDEX CONCURRENTLY {quoted(self.schema, self.name)}"


def quoted(schema: str, name: str) -> str:
    """A qualified name as a person would type it."""
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def sort_out(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Leftover], list[dict[str, Any]]]:
    """Leftovers, and the invalid indexes of users, from rows of C(INVALID_SQL).

    What somebody is building at this moment is neither, unless it is on a TOAST table or named like a leftover: then
    its C(worker) says who is at work.
    """
    found, foreign = [], []
    for row in rows:
        kind, twin = leftover(row["name"]), original(row["name"], row["twins"])
        if kind is not None and twin is not None:
            found.append(
                Leftover(
                    kind=kind,
                    twin=twin,
                    **{
                        key: row[key]
                        for key in (
                            "oid",
                            "table_oid",
                            "schema",
                            "name",
                            "table_schema",
                            "table_name",
                            "size_bytes",
                            "may_drop",
                            "may_name",
                            "owner",
                            "worker",
                        )
                    },
                )
            )
        elif row["worker"] is None:
            foreign.append(_foreign(row))
    return found, foreign


def original(name: str, twins: Sequence[str]) -> str | None:
    """The index that a leftover of this name was made for, among those with the same definition."""
    found = re.fullmatch(r"(.+)(_cc(?:new|old)\d*)", name, re.DOTALL)
    if found is None:
        return None
    base = found.group(1)
    if base in twins:
        return base
    was_cut = len(name.encode()) > _NAME_BYTES - _LONGEST_CHARACTER
    return next((twin for twin in twins if was_cut and twin.startswith(base)), None)


def refusal(each: Leftover, user: str) -> Refusal | None:
    """Why a leftover cannot be dropped now; None when it can."""
    if each.worker is not None:
        return Refusal(
            each.label,
            f"process {each.worker} may be building it at this moment",
            "Wait until its command has ended, and run the task again.",
        )
    if not each.may_drop:
        return Refusal(
            each.label,
            "it is left over from a broken rebuild, and only the owner of its table may drop it",
            f"GRANT {each.owner} TO {user}; or, as the owner: {each.text};",
        )
    if not each.may_name:
        return Refusal(
            each.label,
            f"it is left over from a broken rebuild, and the role may not use the schema {each.schema}",
            f"As a superuser: {each.text};",
        )
    return None


def read(session: Session) -> tuple[list[Leftover], list[dict[str, Any]]]:
    """Leftovers and foreign invalid indexes of the database."""
    return sort_out(session.query(INVALID_SQL))


def _foreign(row: Mapping[str, Any]) -> dict[str, Any]:
    name = quoted(row["schema"], row["name"])
    return {
        "index": f"{row['schema']}.{row['name']}",
        "table": f"{row['table_schema']}.{row['table_name']}",
        "size_bytes": row["size_bytes"],
        "definition": row["definition"],
        "remedy": "A CREATE INDEX CONCURRENTLY failed: no query uses this index and every write maintains it. "
        f"Finish it with REINDEX INDEX CONCURRENTLY {name}; or remove it with DROP INDEX CONCURRENTLY {name};",
    }
