# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What will be done for a policy, or why not. Pure: catalog in, decision out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.catalog import (
    Column,
    Index,
    Leaf,
    Missing,
    Reference,
    Relation,
    Role,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import Child, Policy, TableName

Lookup = Callable[[TableName], Union[Relation, Missing]]

# A table of this size is read within a tenth of a second, so that no index is asked for.
SMALL_BYTES = 16 * 1024 * 1024
CUTOFF_TYPES = ("timestamptz", "timestamp", "date")
_ON_DELETE = {
    "c": "deletes its rows together with ours (ON DELETE CASCADE), unarchived",
    "n": "empties its reference to ours (ON DELETE SET NULL)",
    "d": "changes its reference to ours (ON DELETE SET DEFAULT)",
}
_KINDS = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}


@dataclass(frozen=True)
class Node:
    """One table whose rows go, the policy's own or a child's.

    C(parent) is the position of the node its rows refer to, C(link) the pairs of (own column, parent's column).
    C(columns) are what is moved, exported and proven.
    """

    table: TableName
    oid: int
    action: str
    columns: tuple[Column, ...]
    archive: Optional[TableName] = None
    parent: Optional[int] = None
    link: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Probe:
    """A foreign key that keeps rows from going: whether any row of C(child) refers to a due row of C(node)."""

    node: int
    reference: Reference


@dataclass(frozen=True)
class Plan:
    """What to do for a policy. C(nodes[0]) is the table itself, children follow those they refer to."""

    policy: Policy
    relation: Relation
    column_type: str
    key: tuple[str, ...]
    key_types: tuple[str, ...]
    nodes: tuple[Node, ...]
    leaves: tuple[Leaf, ...]
    probes: tuple[Probe, ...] = ()
    # Whether rows may be locked before they are deleted (SELECT FOR UPDATE wants UPDATE of a column).
    locks: bool = True

    @property
    def order(self) -> tuple[str, ...]:
        """The columns that order the batches: the cutoff column, then the key."""
        return (self.policy.column, *(name for name in self.key if name != self.policy.column))

    def on_leaf(self, leaf: Leaf) -> tuple[Node, ...]:
        """The nodes with one partition, or the table itself, as their root."""
        return (replace(self.nodes[0], table=leaf.table, oid=leaf.oid), *self.nodes[1:])


@dataclass
class Decision:
    """A plan, or refusals. C(grants) are the privileges that are missing, ready to be typed."""

    plan: Optional[Plan] = None
    refusals: list[Refusal] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)


@dataclass
class _Findings:
    policy: Policy
    role: Role
    refusals: list[Refusal] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)

    def refuse(self, table: TableName, reason: str, remedy: str) -> None:
        self.refusals.append(Refusal(f"{self.policy.name}: {table}", reason, remedy))

    def want(self, relation: Relation, wanted: Mapping[str, bool]) -> None:
        """Note the privileges that are missing on a table."""
        if not relation.uses_schema:
            schema = quote_identifier(relation.table.schema)
            self._grant(f"GRANT USAGE ON SCHEMA {schema} TO {self.role.quoted};")
        missing = [privilege for privilege, is_there in wanted.items() if not is_there]
        if missing:
            self._grant(f"GRANT {', '.join(missing)} ON {relation.table.quoted} TO {self.role.quoted};")

    def _grant(self, statement: str) -> None:
        if statement not in self.grants:
            self.grants.append(statement)


def decide(policy: Policy, lookup: Lookup, role: Role) -> Decision:
    """Look at everything that can be known without reading a row.

    Args:
        policy: The rule.
        lookup: The relation of a name.
        role: Who we are.

    """
    found = _Findings(policy, role)
    relation = lookup(policy.table)
    if isinstance(relation, Missing):
        _refuse_missing(found, relation)
        return Decision(refusals=found.refusals)
    if policy.require_archive and policy.destroys:
        found.refuse(
            policy.table,
            "require_archive is set, and the policy deletes rows for good (action purge, or drop after detach)",
            "Use action archive or export, for the children too; after detach, keep or export.",
        )
    if policy.export is not None and role.encoding == "SQL_ASCII":
        found.refuse(
            policy.table,
            "the database has no encoding (SQL_ASCII), so that its texts cannot be written as JSON without loss",
            "Archive to a table instead.",
        )
    _check_table(found, relation)
    if relation.kind in _KINDS:
        return Decision(refusals=found.refusals)
    # The rows of a partition are read and deleted in the partition itself, under its own rights and policies.
    others = [lookup(leaf.table) for leaf in relation.leaves if leaf.oid != relation.oid]
    parts = [part for part in others if isinstance(part, Relation)]
    for part in parts:
        _check_table(found, part)
    needs_key = policy.action != "detach" or policy.after_detach == "export"
    key = _key(found, relation) if needs_key else None
    if policy.action != "detach":
        _check_index(found, relation, key)
    nodes = _nodes(found, relation, lookup)
    probes = _check_references(found, nodes, relation, lookup) if policy.action != "detach" else ()
    if policy.action == "detach":
        _check_detach(found, relation)
    column = relation.column(policy.column)
    if found.refusals or column is None or (key is None and needs_key):
        return Decision(refusals=found.refusals, grants=found.grants)
    names = key.columns if key else ()
    plan = Plan(
        policy=policy,
        relation=relation,
        column_type=column.base,
        key=tuple(name for name in names if name),
        key_types=tuple(each.type for name in names if name and (each := relation.column(name))),
        nodes=tuple(nodes),
        leaves=relation.leaves,
        probes=tuple(probes),
        locks=relation.may_lock and all(part.may_lock for part in parts),
    )
    return Decision(plan, grants=found.grants)


def _refuse_missing(found: _Findings, missing: Missing) -> None:
    hint = f"; there is {missing.similar.quoted}" if missing.similar else ""
    found.refuse(
        missing.table,
        f"there is no such table{hint}",
        "Correct the name, in the exact spelling of the catalog, or remove the policy.",
    )


def _check_table(found: _Findings, relation: Relation) -> None:
    """What holds for the policy's table and for every child."""
    table = relation.table
    if relation.kind in _KINDS:
        found.refuse(table, f"it is {_KINDS[relation.kind]}, which has no rows of its own to delete", "Name a table.")
        return
    foreign = next((leaf for leaf in relation.leaves if leaf.kind == "f"), None)
    if foreign is not None:
        found.refuse(
            table,
            f"its partition {foreign.table} is a foreign table: its rows cannot be moved in one transaction",
            "Name the local partitions, or detach the foreign one.",
        )
    wanted = {"SELECT": relation.may_select, "DELETE": relation.may_delete}
    if found.policy.children:
        # Parents are locked, so that nobody adds a child meanwhile, and children, so that all of them go.
        first = quote_identifier(relation.column_names[0]) if relation.columns else ""
        wanted[f"UPDATE ({first})"] = relation.may_lock
    found.want(relation, wanted)
    if relation.hides_rows:
        found.refuse(
            table,
            f"row level security may hide rows from {found.role.name}, so that neither the due rows nor the proof "
            "would be complete",
            f"Log in as {relation.owner}, or ALTER ROLE {found.role.quoted} BYPASSRLS;",
        )
    if relation.has_rules:
        found.refuse(table, "it has a rewrite rule for INSERT or DELETE, which replaces the statement", "DROP RULE.")
    triggers = [trigger.name for trigger in relation.triggers if trigger.on_delete]
    if triggers and not found.policy.allow_triggers:
        found.refuse(
            table,
            f"it has a trigger on DELETE ({', '.join(triggers)}), which would run for every row",
            "Set allow_triggers once you know what it does, or disable it meanwhile.",
        )
    _check_names(found, relation)


def _check_names(found: _Findings, relation: Relation) -> None:
    if relation.table != found.policy.table:
        return
    policy = found.policy
    named = [policy.column, *(condition.column for condition in policy.where), *policy.key]
    for name in dict.fromkeys(named):
        if relation.column(name) is None:
            found.refuse(
                relation.table,
                f"it has no column {quote_identifier(name)}",
                f"Its columns are {', '.join(quote_identifier(each) for each in relation.column_names)}.",
            )
    column = relation.column(policy.column)
    if column is not None and column.base not in CUTOFF_TYPES:
        found.refuse(
            relation.table,
            f"column {quote_identifier(policy.column)} is of type {column.type}, which is no moment",
            "Name a column of type timestamptz, timestamp or date.",
        )


def _key(found: _Findings, relation: Relation) -> Index | None:
    """The unique, NOT NULL columns that tell rows apart."""
    wanted = found.policy.key
    candidates = [index for index in relation.indexes if _is_key(index, relation)]
    if wanted:
        candidates = [index for index in candidates if set(index.columns) == set(wanted)]
    if not candidates:
        what = f"on ({', '.join(map(quote_identifier, wanted))})" if wanted else "(nor a unique index over NOT NULL)"
        found.refuse(
            relation.table,
            f"it has no primary key {what}, so that rows cannot be told apart",
            f"ALTER TABLE {relation.table.quoted} ADD PRIMARY KEY (…); or name the columns of a unique index in key.",
        )
        return None
    # The primary key comes first.
    chosen = candidates[0]
    for name in chosen.columns:
        column = relation.column(name or "")
        if column is not None and not column.orders_alike:
            found.refuse(
                relation.table,
                f"key column {quote_identifier(column.name)} is of type {column.type}, which an extension orders",
                "Name the columns of another unique index in key.",
            )
            return None
    return chosen


def _is_key(index: Index, relation: Relation) -> bool:
    columns = [relation.column(name) if name else None for name in index.columns]
    return (
        index.is_unique
        and index.is_valid
        and not index.is_partial
        and index.method == "btree"
        and all(column is not None and column.not_null for column in columns)
    )


def _check_index(found: _Findings, relation: Relation, key: Index | None) -> None:
    """Without an index on the cutoff column every batch would read the whole table."""
    policy = found.policy
    if relation.bytes <= SMALL_BYTES or policy.allow_sequential or relation.column(policy.column) is None:
        return
    fixed = {each.column for each in policy.where if each.operator in {"=", "is null"}}
    for index in relation.indexes:
        if index.method != "btree" or not index.is_valid or index.is_partial:
            continue
        rest = [name for name in index.columns if name not in fixed]
        if rest and rest[0] == policy.column:
            return
    columns = [policy.column, *(name for name in (key.columns if key else ()) if name and name != policy.column)]
    statement = f"ON {relation.table.quoted} ({', '.join(map(quote_identifier, columns))});"
    found.refuse(
        relation.table,
        f"no index begins with {quote_identifier(policy.column)}, and the table has "
        f"{relation.bytes // (1024 * 1024)} MiB: every batch would read all of it",
        f"CREATE INDEX CONCURRENTLY {statement} Or set allow_sequential.",
    )


def _nodes(found: _Findings, relation: Relation, lookup: Lookup) -> list[Node]:
    policy = found.policy
    columns, archive = relation.columns, policy.archive_table
    if archive is not None:
        columns = _archived_columns(found, relation, archive, lookup)
    nodes = [Node(relation.table, relation.oid, policy.action, columns, archive)]
    relations = [relation]
    pending = list(policy.children)
    while pending:
        placed = False
        for child in list(pending):
            link = _link(found, child, relations)
            if link is None:
                continue
            pending.remove(child)
            placed = True
            node, child_relation = _child_node(found, child, link, lookup)
            if node is not None and child_relation is not None:
                nodes.append(node)
                relations.append(child_relation)
        if not placed:
            break
    for child in pending:
        known = ", ".join(str(each.table) for each in relations)
        by_name = f" by the name {child.foreign_key}" if child.foreign_key else ""
        found.refuse(
            child.table,
            f"no foreign key of it refers to {known}{by_name}",
            "Correct children, or say with references which columns belong together.",
        )
    return nodes


_Link = tuple[int, tuple[tuple[str, str], ...]]


def _link(found: _Findings, child: Child, relations: Sequence[Relation]) -> _Link | None:
    if child.references:
        return 0, child.references
    matches = [
        (position, reference)
        for position, parent in enumerate(relations)
        for reference in parent.references
        if reference.child == child.table
        and reference.child_oid != parent.oid
        and child.foreign_key in (None, reference.name)
    ]
    if len(matches) > 1:
        names = ", ".join(reference.name for _node, reference in matches)
        found.refuse(child.table, f"it has several foreign keys to choose from ({names})", "Name one in foreign_key.")
    if not matches:
        return None
    position, reference = matches[0]
    return position, tuple(zip(reference.columns, reference.referenced))


def _child_node(found: _Findings, child: Child, link: _Link, lookup: Lookup) -> tuple[Node | None, Relation | None]:
    relation = lookup(child.table)
    if isinstance(relation, Missing):
        _refuse_missing(found, relation)
        return None, None
    if relation.kind == "p" or len(relation.leaves) > 1:
        found.refuse(
            child.table, "it is partitioned, which is not supported for a child", "Give it a policy of its own, first."
        )
        return None, None
    _check_table(found, relation)
    for column, _parent in link[1]:
        if relation.column(column) is None:
            found.refuse(child.table, f"it has no column {quote_identifier(column)}", "Correct references.")
            return None, None
    _check_support(found, relation, [column for column, _parent in link[1]])
    columns = relation.columns
    if child.archive_table is not None:
        columns = _archived_columns(found, relation, child.archive_table, lookup)
    return (
        Node(child.table, relation.oid, child.action, columns, child.archive_table, link[0], link[1]),
        relation,
    )


def _check_support(found: _Findings, relation: Relation, columns: Sequence[str]) -> None:
    """The rows that refer to a due row are looked for once a due row: by an index, or never."""
    if relation.bytes <= SMALL_BYTES or found.policy.allow_sequential:
        return
    for index in relation.indexes:
        if index.is_valid and not index.is_partial and set(index.columns[: len(columns)]) == set(columns):
            return
    statement = f"ON {relation.table.quoted} ({', '.join(map(quote_identifier, columns))});"
    found.refuse(
        relation.table,
        "no index supports its foreign key: every deleted row would read the whole table",
        f"CREATE INDEX CONCURRENTLY {statement} Or set allow_sequential.",
    )


def _archived_columns(found: _Findings, relation: Relation, archive: TableName, lookup: Lookup) -> tuple[Column, ...]:
    """The columns to move: by name, never by position; drift is refused with the statement that mends it."""
    target = lookup(archive)
    if isinstance(target, Missing):
        found.refuse(
            archive,
            "there is no such archive table" + (f"; there is {target.similar.quoted}" if target.similar else ""),
            f"CREATE TABLE {archive.quoted} (LIKE {relation.table.quoted} INCLUDING DEFAULTS); "
            "and give it the same primary key.",
        )
        return relation.columns
    _check_archive(found, relation, target)
    moved: list[Column] = []
    for column in relation.columns:
        other = target.column(column.name)
        name = quote_identifier(column.name)
        if other is None:
            found.refuse(
                archive,
                f"it has no column {name}, which {relation.table} has",
                f"ALTER TABLE {archive.quoted} ADD COLUMN {name} {column.type};",
            )
        elif other.is_generated:
            if not column.is_generated:
                found.refuse(
                    archive,
                    f"its column {name} is generated, and that of {relation.table} is not: the value would be lost",
                    f"ALTER TABLE {archive.quoted} ALTER COLUMN {name} DROP EXPRESSION;",
                )
        elif other.type != column.type:
            found.refuse(
                archive,
                f"its column {name} is of type {other.type}, that of {relation.table} of type {column.type}",
                f"ALTER TABLE {archive.quoted} ALTER COLUMN {name} TYPE {column.type};",
            )
        elif other.not_null and not column.not_null:
            found.refuse(
                archive,
                f"its column {name} is NOT NULL, that of {relation.table} is not",
                f"ALTER TABLE {archive.quoted} ALTER COLUMN {name} DROP NOT NULL;",
            )
        else:
            moved.append(column)
    _check_extra(found, relation, target)
    return tuple(moved)


def _check_extra(found: _Findings, relation: Relation, target: Relation) -> None:
    known = set(relation.column_names)
    for column in target.columns:
        if column.name not in known and column.not_null and not column.has_default and not column.is_generated:
            name = quote_identifier(column.name)
            found.refuse(
                target.table,
                f"its column {name} is NOT NULL without default, and {relation.table} has no such column",
                f"ALTER TABLE {target.table.quoted} ALTER COLUMN {name} DROP NOT NULL;",
            )


def _check_archive(found: _Findings, relation: Relation, target: Relation) -> None:
    table = target.table
    if target.kind not in ("r", "p") or any(leaf.kind == "f" for leaf in target.leaves):
        found.refuse(
            table,
            "it is not an ordinary table of this database: delete and insert would not be one transaction",
            "Archive to an ordinary table, or export.",
        )
        return
    if target.persistence != "p" and relation.persistence == "p":
        found.refuse(
            table,
            "it is unlogged: a crash of the server would empty it",
            f"ALTER TABLE {table.quoted} SET LOGGED;",
        )
    found.want(target, {"SELECT": target.may_select, "INSERT": target.may_insert})
    if target.hides_rows:
        found.refuse(
            table,
            f"row level security applies to {found.role.name} in the archive, so that the proof would be incomplete",
            f"Log in as {target.owner}, or ALTER ROLE {found.role.quoted} BYPASSRLS;",
        )
    if target.has_rules:
        found.refuse(table, "it has a rewrite rule for INSERT or DELETE, which replaces the statement", "DROP RULE.")
    triggers = [trigger.name for trigger in target.triggers if trigger.on_insert]
    if triggers and not found.policy.allow_triggers:
        found.refuse(
            table,
            f"it has a trigger on INSERT ({', '.join(triggers)}), which may change or drop what is archived",
            "Set allow_triggers once you know what it does, or disable it meanwhile.",
        )


def _check_references(found: _Findings, nodes: Sequence[Node], relation: Relation, lookup: Lookup) -> Iterable[Probe]:
    """Who else refers to rows that go: what is not declared as a child must not be lost or changed in silence."""
    declared = {(node.oid, frozenset(column for column, _parent in node.link)) for node in nodes[1:]}
    probes: list[Probe] = []
    for position, node in enumerate(nodes):
        parent = relation if position == 0 else lookup(node.table)
        if isinstance(parent, Missing):
            continue
        for reference in parent.references:
            if (reference.child_oid, frozenset(reference.columns)) in declared:
                continue
            if reference.on_delete in _ON_DELETE:
                found.refuse(
                    parent.table,
                    f"foreign key {quote_identifier(reference.name)} of {reference.child} "
                    f"{_ON_DELETE[reference.on_delete]}, and it is not declared",
                    f"Declare {reference.child} in children, with what happens to its rows.",
                )
                continue
            child = lookup(reference.child)
            if isinstance(child, Relation) and child.oid != parent.oid:
                _check_support(found, child, reference.columns)
                if not child.may_select or not child.uses_schema:
                    found.want(child, {"SELECT": child.may_select})
            probes.append(Probe(position, reference))
    return probes


def _check_detach(found: _Findings, relation: Relation) -> None:
    if relation.kind != "p":
        found.refuse(relation.table, "it is not partitioned, so there is nothing to detach", "Use action purge.")
    if not relation.owns:
        found.refuse(
            relation.table,
            f"{found.role.name} is not its owner, and only the owner can detach partitions",
            f"GRANT {quote_identifier(relation.owner)} TO {found.role.quoted};",
        )
