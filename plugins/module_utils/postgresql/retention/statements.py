# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements that pick, move and count rows. Pure: every name is an Identifier, every value is bound.

A batch is told from the others by the position of its rows (ctid): locked first, then deleted by exactly these. The
positions travel as one text, which neither side takes apart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.present import present
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.catalog import Column
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.plan import Node, Plan
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import Condition, TableName

# Without the driver nothing here is called: connecting says what is missing.
with contextlib.suppress(ImportError):
    from psycopg2 import sql

Bindings = dict[str, Any]

# The record hash takes no detour over text. It came with PostgreSQL 14.
_RECORD_HASH = 140000


def identifier(*parts: str) -> Any:
    """A name in SQL that is run with parameters, where a percent sign is doubled."""
    return sql.Identifier(*(part.replace("%", "%%") for part in parts))


def table(name: TableName) -> Any:
    """The name of a table in SQL."""
    return identifier(name.schema, name.name)


def _type(name: str) -> Any:
    """A type as format_type() spells it, which is SQL."""
    return sql.SQL(name.replace("%", "%%"))


def names(columns: Sequence[Column], alias: str = "") -> Any:
    """A list of column names in SQL."""
    if alias:
        return sql.SQL(", ").join(identifier(alias, column.name) for column in columns)
    return sql.SQL(", ").join(identifier(column.name) for column in columns)


def row_hash(columns: Sequence[Column], version_num: int, alias: str = "") -> Any:
    """SQL for the 64-bit hash of a row; summed up it makes a digest that does not depend on the order."""

    def value(column: Column) -> Any:
        name = identifier(alias, column.name) if alias else identifier(column.name)
        return name if column.is_hashable else sql.SQL("{}::text").format(name)

    row = sql.SQL("ROW({})").format(sql.SQL(", ").join(value(column) for column in columns))
    if version_num >= _RECORD_HASH:
        return sql.SQL("pg_catalog.hash_record_extended({}, 0)").format(row)
    return sql.SQL("pg_catalog.hashtextextended({}::text, 0)").format(row)


# One line of JSON a row. A json column may hold line breaks between its tokens, where a blank means the same.
_LINE = "translate(row_to_json(r)::text, E'\\n\\r', '  ')"
# The first 64 bits of the line's SHA-256, which the module computes from the file as well.
_LINE_HASH = "('x' || left(encode(sha256(convert_to(line, 'UTF8')), 'hex'), 16))::bit(64)::bigint"


def conditions(policy_conditions: Sequence[Condition]) -> tuple[Any, Bindings]:
    """SQL for further conditions, each beginning with AND, and their values, which take the type of their column."""
    parts: list[Any] = []
    values: Bindings = {}
    for number, condition in enumerate(policy_conditions):
        column = identifier("t", condition.column)
        marks = []
        for position, value in enumerate(condition.values):
            name = f"where_{number}_{position}"
            values[name] = value
            marks.append(sql.Placeholder(name))
        # The operator is one of a closed list of choices.
        operator = sql.SQL(condition.operator.upper().replace("!=", "<>"))
        if not marks:
            parts.append(sql.SQL(" AND {} {}").format(column, operator))
        elif condition.operator in ("in", "not in"):
            parts.append(sql.SQL(" AND {} {} ({})").format(column, operator, sql.SQL(", ").join(marks)))
        else:
            parts.append(sql.SQL(" AND {} {} {}").format(column, operator, marks[0]))
    return sql.SQL("").join(parts), values


class Statements:
    """The statements of one plan on one table (a partition, or the table itself).

    Args:
        plan: What to do.
        nodes: The plan's nodes with this table as the first.
        cutoff: The literal before which rows are due.
        version_num: The server's version.

    """

    def __init__(self, plan: Plan, nodes: Sequence[Node], cutoff: str, version_num: int) -> None:
        self.plan = plan
        self.nodes = tuple(nodes)
        self.root = nodes[0]
        self.bindings: Bindings = {"cutoff": cutoff}
        self._version_num = version_num
        further, values = conditions(plan.policy.where)
        self.bindings.update(values)
        self._due = sql.SQL("{column} < %(cutoff)s::{type}{further}").format(
            column=identifier("t", plan.policy.column), type=_type(plan.column_type), further=further
        )
        self._order = sql.SQL(", ").join(identifier("t", name) for name in plan.order)
        by_name = {column.name: column for column in plan.relation.columns}
        self._types = [by_name[name].type for name in plan.order]

    # --- counting
    def count_due(self, *, with_bounds: bool = False) -> Any:
        """How many rows are due (C(rows)), and the least moment among them as text (C(oldest))."""
        oldest = sql.SQL(", min({})::text AS oldest").format(identifier("t", self.plan.policy.column))
        return sql.SQL("SELECT count(*) AS rows{} FROM ONLY {} t WHERE {}").format(
            oldest if with_bounds else sql.SQL(""), table(self.root.table), self._due
        )

    def count_child(self, position: int) -> Any:
        """How many rows of a child refer, over however many steps, to due rows (C(rows))."""
        return sql.SQL("SELECT count(*) AS rows FROM ONLY {} {}{} WHERE {}").format(
            table(self.nodes[position].table), _alias(position), self._joins(position), self._due
        )

    def _joins(self, position: int) -> Any:
        """From a node to the root, whose alias is t."""
        joins = []
        parent = self.nodes[position].parent
        while parent is not None:
            matches = _matches(self.nodes[position], position, parent)
            joins.append(
                sql.SQL(" JOIN ONLY {} {} ON {}").format(table(self.nodes[parent].table), _alias(parent), matches)
            )
            position, parent = parent, self.nodes[parent].parent
        return sql.SQL("").join(joins)

    def referred(self, position: int, child: TableName, pairs: Sequence[tuple[str, str]]) -> Any:
        """Whether any row of a table that is no child refers to a row that would go (C(found))."""
        matches = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(identifier("c", own), identifier(_name(position), other)) for own, other in pairs
        )
        return sql.SQL(
            "SELECT EXISTS (SELECT FROM ONLY {node} {alias}{joins} WHERE {due} "
            "AND EXISTS (SELECT FROM {child} c WHERE {matches})) AS found"
        ).format(
            node=table(self.nodes[position].table),
            alias=_alias(position),
            joins=self._joins(position),
            due=self._due,
            child=table(child),
            matches=matches,
        )

    def in_both(self) -> Any:
        """How many due rows have a key that the archive holds already (C(rows))."""
        archive = present(self.root.archive, "the archive table")
        same = sql.SQL(" AND ").join(
            sql.SQL("{} = {}").format(identifier("a", name), identifier("t", name)) for name in self.plan.key
        )
        return sql.SQL("SELECT count(*) AS rows FROM ONLY {} t JOIN {} a ON {} WHERE {}").format(
            table(self.root.table), table(archive), same, self._due
        )

    def archive_sum(self) -> Any:
        """Rows and digest of what the archive holds from C(oldest) up to the cutoff (C(rows), C(digest))."""
        archive = present(self.root.archive, "the archive table")
        return sql.SQL(
            "SELECT count(*) AS rows, coalesce(sum({hash}), 0) AS digest FROM {archive} t "
            "WHERE {column} >= %(oldest)s::{type} AND {column} < %(cutoff)s::{type}"
        ).format(
            hash=row_hash(self.root.columns, self._version_num, "t"),
            archive=table(archive),
            column=identifier("t", self.plan.policy.column),
            type=_type(self.plan.column_type),
        )

    # --- one batch
    def _picked(self, *, resumes: bool, locks: bool = True) -> Any:
        """The rows of the next batch; with locks they are locked, and others' locked rows passed over."""
        after: Any = sql.SQL("")
        if resumes:
            values = sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Placeholder(f"after_{number}"), _type(type_name))
                for number, type_name in enumerate(self._types)
            )
            after = sql.SQL("({}) > ({}) AND ").format(self._order, values)
        return sql.SQL(
            "picked AS MATERIALIZED (SELECT t.ctid AS picked_ctid, {order} FROM ONLY {table} t WHERE {after}{due} "
            "ORDER BY {order} LIMIT %(limit)s{locks})"
        ).format(
            order=self._order,
            table=table(self.root.table),
            after=after,
            due=self._due,
            locks=sql.SQL(" FOR UPDATE SKIP LOCKED" if locks else ""),
        )

    def _last(self) -> Any:
        """SQL for the cursor after the picked rows: an array of texts, or NULL."""
        # Only the last row is turned into text: a sort computes what it returns for every row before.
        plain = sql.SQL(", ").join(identifier(name) for name in self.plan.order)
        texts = sql.SQL(", ").join(sql.SQL("{}::text").format(identifier(name)) for name in self.plan.order)
        backwards = sql.SQL(", ").join(sql.SQL("{} DESC").format(identifier(name)) for name in self.plan.order)
        return sql.SQL("(SELECT ARRAY[{}] FROM (SELECT {} FROM picked ORDER BY {} LIMIT 1) p)").format(
            texts, plain, backwards
        )

    def pick(self, *, resumes: bool) -> Any:
        """Choose the next batch, and lock it where that is allowed.

        Gives C(positions) as text, their number C(rows), and the cursor C(last).
        """
        return sql.SQL(
            "WITH {picked} "
            "SELECT count(*) AS rows, array_agg(picked_ctid)::text AS positions, {last} AS last FROM picked"
        ).format(picked=self._picked(resumes=resumes, locks=self.plan.locks), last=self._last())

    def lock_again(self) -> Any:
        """Lock the rows of C(positions) that are still due (C(rows)), unless somebody else holds one."""
        return sql.SQL(
            "WITH picked AS MATERIALIZED (SELECT t.ctid AS picked_ctid FROM ONLY {} t "
            "WHERE t.ctid = ANY (%(positions)s::tid[]) AND {}{}) SELECT count(*) AS rows FROM picked"
        ).format(table(self.root.table), self._due, sql.SQL(" FOR UPDATE SKIP LOCKED" if self.plan.locks else ""))

    def lock_children(self, position: int) -> Any:
        """Lock the rows that refer to those of C(positions) in the parent, all of them or none.

        The parents are locked FOR UPDATE by then: nobody can insert a row that refers to them.
        """
        node = self.nodes[position]
        parent = present(node.parent, "a child's parent")
        return sql.SQL(
            "WITH picked AS MATERIALIZED (SELECT {alias}.ctid AS picked_ctid FROM ONLY {parent} {parent_alias} "
            "JOIN ONLY {table} {alias} ON {matches} WHERE {parent_alias}.ctid = ANY (%(positions)s::tid[]) "
            "FOR UPDATE OF {alias} NOWAIT) "
            "SELECT count(DISTINCT picked_ctid) AS rows, "
            "coalesce(array_agg(DISTINCT picked_ctid)::text, '{{}}') AS positions FROM picked"
        ).format(
            alias=_alias(position),
            parent=table(self.nodes[parent].table),
            parent_alias=_alias(parent),
            table=table(node.table),
            matches=_matches(node, position, parent),
        )

    def read(self, position: int) -> Any:
        """The rows of C(positions) as JSON lines (C(line)), in the order of the table."""
        node = self.nodes[position]
        return sql.SQL(
            "SELECT {line} AS line FROM (SELECT {columns} FROM ONLY {table} t "
            "WHERE t.ctid = ANY (%(positions)s::tid[])) r"
        ).format(line=sql.SQL(_LINE), columns=names(node.columns, "t"), table=table(node.table))

    def remove(self, position: int) -> Any:
        """Delete the rows of C(positions), and insert them into the archive if there is one.

        Gives C(deleted), C(moved) (how many arrived in the archive), C(digest) and C(moved_digest).
        """
        node = self.nodes[position]
        picked = sql.SQL("t.ctid = ANY (%(positions)s::tid[])")
        return sql.SQL("WITH {} {}").format(self._gone(node, picked), self._sums(node))

    def move(self, *, resumes: bool, locks: bool, ledger: Any) -> Any:
        """Pick a batch, delete it, archive it and note it in the ledger: one statement, one round trip.

        A row that somebody changes between the picking and the deleting has another position then, and stays.

        Args:
            resumes: Whether there is a cursor to go on from.
            locks: Whether rows that others have locked are passed over; otherwise they are waited for.
            ledger: The UPDATE of the ledger's row; it finds C(sums) with deleted, digest and last.

        """
        chosen = sql.SQL("t.ctid = ANY (ARRAY(SELECT picked_ctid FROM picked))")
        sums = sql.SQL("sums AS MATERIALIZED (SELECT x.*, {} AS last FROM ({}) x)").format(
            self._last(), self._sums(self.root)
        )
        return sql.SQL(
            "WITH {picked}, {gone}, {sums}, noted AS ({ledger}) "
            "SELECT s.*, (SELECT count(*) FROM picked) AS rows, (SELECT count(*) FROM noted) AS noted FROM sums s"
        ).format(
            picked=self._picked(resumes=resumes, locks=locks),
            gone=self._gone(self.root, chosen),
            sums=sums,
            ledger=ledger,
        )

    def _gone(self, node: Node, which: Any) -> Any:
        columns = names(node.columns)
        gone = sql.SQL("gone AS (DELETE FROM ONLY {} t WHERE {} RETURNING {})").format(
            table(node.table), which, names(node.columns, "t")
        )
        if node.archive is None:
            return gone
        return sql.SQL(
            "{gone}, kept AS (INSERT INTO {archive} AS a ({columns}) OVERRIDING SYSTEM VALUE "
            "SELECT {columns} FROM gone RETURNING {hash} AS hash)"
        ).format(
            gone=gone,
            archive=table(node.archive),
            columns=columns,
            hash=row_hash(node.columns, self._version_num, "a"),
        )

    def _sums(self, node: Node) -> Any:
        """Counts and digests of what was deleted and of what arrived."""
        if node.action == "export":
            mine = sql.SQL(
                "SELECT count(*) AS rows, coalesce(sum({hash}), 0) AS digest FROM (SELECT {line} AS line FROM gone r) l"
            ).format(hash=sql.SQL(_LINE_HASH), line=sql.SQL(_LINE))
        else:
            mine = sql.SQL("SELECT count(*) AS rows, coalesce(sum({}), 0) AS digest FROM gone").format(
                row_hash(node.columns, self._version_num)
            )
        if node.archive is None:
            other = sql.SQL("NULL::bigint AS moved, NULL::numeric AS moved_digest")
            source = sql.SQL("")
        else:
            other = sql.SQL("k.rows AS moved, k.digest AS moved_digest")
            source = sql.SQL(", (SELECT count(*) AS rows, coalesce(sum(hash), 0) AS digest FROM kept) k")
        return sql.SQL("SELECT g.rows AS deleted, g.digest AS digest, {other} FROM ({mine}) g{source}").format(
            other=other, mine=mine, source=source
        )


def vacuum(name: TableName) -> Any:
    """Plain VACUUM, which keeps nobody out, with new statistics."""
    return sql.SQL("VACUUM (ANALYZE) {}").format(table(name))


def line_hash_sql() -> str:
    """The SQL of an exported line's hash, for tests that compare it with the module's own."""
    return _LINE_HASH


def _name(position: int) -> str:
    # The conditions on due rows say t, which is the root wherever it occurs.
    return "t" if position == 0 else f"n{position}"


def _alias(position: int) -> Any:
    return identifier(_name(position))


def _matches(node: Node, position: int, parent: int) -> Any:
    return sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(identifier(_name(position), own), identifier(_name(parent), other))
        for own, other in node.link
    )
