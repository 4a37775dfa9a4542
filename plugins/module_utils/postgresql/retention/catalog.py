# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the catalog says about the tables of a policy: read once, then decided upon without the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import TableName

Row = Mapping[str, Any]

_RELATION = """
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, c.relispartition AS is_partition,
       row_security_active(c.oid) AS hides_rows,
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type IN ('3', '4')) AS has_rules,
       c.reltablespace::bigint AS tablespace,
       has_schema_privilege(n.oid, 'USAGE') AS uses_schema,
       has_table_privilege(c.oid, 'SELECT') AS may_select,
       has_table_privilege(c.oid, 'DELETE') AS may_delete,
       has_table_privilege(c.oid, 'INSERT') AS may_insert,
       -- SELECT FOR UPDATE wants the right to update one column at least.
       has_any_column_privilege(c.oid, 'UPDATE') AS may_lock,
       pg_has_role(c.relowner, 'USAGE') AS owns,
       pg_get_userbyid(c.relowner)::text AS owner
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""

_SIMILAR = """
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE lower(c.relname) = lower(%(name)s) AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_'
ORDER BY lower(n.nspname) <> lower(%(schema)s), n.nspname, c.relname
LIMIT 1
"""

_COLUMNS = """
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       -- The built-in type below domains; what an extension or a user made is named with its schema.
       b.typname::text AS base, b.typnamespace = 'pg_catalog'::regnamespace AS is_builtin, b.typtype::text AS type_kind,
       a.attnotnull AS not_null, a.attgenerated <> '' AS is_generated,
       a.atthasdef OR a.attidentity <> '' AS has_default
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_INDEXES = """
SELECT c.relname::text AS name, i.indisprimary AS is_primary, i.indisunique AND i.indimmediate AS is_unique,
       i.indisvalid AND i.indisready AND i.indislive AS is_valid, i.indpred IS NOT NULL AS is_partial,
       m.amname::text AS method,
       ARRAY(SELECT a.attname::text
             FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, position)
             LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0
             WHERE k.position <= i.indnkeyatts
             ORDER BY k.position) AS columns
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid = %(oid)s
ORDER BY NOT i.indisprimary, c.relname
"""

# The rows that partitions inherit say nothing new.
_REFERENCES = """
SELECT k.conname::text AS name, n.nspname::text AS schema, c.relname::text AS "table", k.conrelid::bigint AS child_oid,
       k.confrelid::bigint AS parent_oid, k.confdeltype::text AS on_delete, c.relkind::text AS child_kind,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u (attnum, position)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.position) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u (attnum, position)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.position) AS referenced
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.confrelid = ANY (%(oids)s::oid[]) AND k.conparentid = 0
ORDER BY n.nspname, c.relname, k.conname
"""

_TRIGGERS = """
SELECT t.tgname::text AS name, (t.tgtype & 8) <> 0 AS on_delete, (t.tgtype & 4) <> 0 AS on_insert
FROM pg_trigger t
WHERE t.tgrelid = %(oid)s AND NOT t.tgisinternal AND t.tgenabled <> 'D'
ORDER BY t.tgname
"""

# The table itself and everything below it that holds rows.
_TREE = """
WITH RECURSIVE tree AS (
    SELECT %(oid)s::oid AS oid
    UNION ALL
    SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON i.inhparent = t.oid
)
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.reltuples::float8 AS rows_estimate, CASE WHEN c.relkind = 'r' THEN pg_relation_size(c.oid) ELSE 0 END AS bytes
FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind <> 'p'
ORDER BY c.oid <> %(oid)s::oid, n.nspname, c.relname
"""

_ROLE = """
SELECT current_user::text AS role, quote_ident(current_user) AS quoted_role, current_database()::text AS database,
       quote_ident(current_database()) AS quoted_database,
       has_database_privilege(current_database(), 'CREATE') AS creates_schemas,
       has_database_privilege(current_database(), 'TEMPORARY') AS makes_temporary,
       current_setting('server_version_num')::int AS version_num,
       current_setting('server_encoding') AS encoding,
       clock_timestamp() AS now
"""

# Types whose hash PostgreSQL computes without going through their text. What is not in here is hashed as text.
_HASHED_TYPES = frozenset(
    (
        *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "uuid", "inet", "jsonb", "bytea"),
        *("char", "text", "varchar", "bpchar", "name"),
        *("date", "time", "timetz", "timestamp", "timestamptz", "interval"),
    )
)


@dataclass(frozen=True)
class Column:
    """One column; C(base) is the type below a domain, C(is_builtin) whether that type is PostgreSQL's own."""

    name: str
    type: str
    base: str
    is_builtin: bool
    type_kind: str
    not_null: bool
    is_generated: bool
    has_default: bool

    @property
    def is_hashable(self) -> bool:
        """Whether the record hash takes it as it is."""
        return self.type_kind == "e" or (self.is_builtin and self.base in _HASHED_TYPES)

    @property
    def orders_alike(self) -> bool:
        """Whether comparing and sorting agree whatever the search path: PostgreSQL's own types, and enums."""
        return self.is_builtin or self.type_kind == "e"


@dataclass(frozen=True)
class Index:
    """One index; an expression among its columns is None."""

    name: str
    is_primary: bool
    is_unique: bool
    is_valid: bool
    is_partial: bool
    method: str
    columns: tuple[Optional[str], ...]


@dataclass(frozen=True)
class Reference:
    """A foreign key from another table (or the same one); C(on_delete) as in pg_constraint: a r c n d."""

    name: str
    child: TableName
    child_oid: int
    child_kind: str
    parent_oid: int
    on_delete: str
    columns: tuple[str, ...]
    referenced: tuple[str, ...]


@dataclass(frozen=True)
class Trigger:
    """An enabled trigger that is not the server's own."""

    name: str
    on_delete: bool
    on_insert: bool


@dataclass(frozen=True)
class Leaf:
    """A relation of the tree that holds rows."""

    oid: int
    table: TableName
    kind: str
    rows_estimate: float = 0.0
    bytes: int = 0


@dataclass(frozen=True)
class Relation:
    """Everything a decision about one table needs."""

    oid: int
    table: TableName
    kind: str
    persistence: str
    hides_rows: bool
    has_rules: bool
    tablespace: int
    uses_schema: bool
    may_select: bool
    may_delete: bool
    may_insert: bool
    may_lock: bool
    owns: bool
    owner: str
    columns: tuple[Column, ...] = ()
    indexes: tuple[Index, ...] = ()
    references: tuple[Reference, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    leaves: tuple[Leaf, ...] = ()

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def bytes(self) -> int:
        """The size of the table with its partitions, without indexes and TOAST."""
        return sum(leaf.bytes for leaf in self.leaves)

    @property
    def rows_estimate(self) -> float:
        """How many rows the statistics say there are."""
        return sum(max(leaf.rows_estimate, 0.0) for leaf in self.leaves)

    @property
    def column_names(self) -> tuple[str, ...]:
        """All names, in the table's order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class Missing:
    """No such relation; perhaps one in another spelling."""

    table: TableName
    similar: Optional[TableName] = None


@dataclass(frozen=True)
class Role:
    """Who we are, and what may be created."""

    name: str
    quoted: str
    database: str
    quoted_database: str
    creates_schemas: bool
    version_num: int
    encoding: str


@dataclass
class Catalog:
    """The relations by name, read when they are first asked for."""

    session: Session
    role: Role
    _known: dict[TableName, Relation | Missing] = field(default_factory=dict)

    def relation(self, table: TableName) -> Relation | Missing:
        """A relation with its columns, indexes, references, triggers and tree."""
        if table not in self._known:
            self._known[table] = self._read(table)
        return self._known[table]

    def _read(self, table: TableName) -> Relation | Missing:
        name = {"schema": table.schema, "name": table.name}
        rows = self.session.query(_RELATION, name)
        if not rows:
            similar = self.session.query(_SIMILAR, name)
            return Missing(table, TableName(similar[0]["schema"], similar[0]["name"]) if similar else None)
        row = rows[0]
        oid = {"oid": row["oid"]}
        leaves = tuple(
            Leaf(
                each["oid"],
                TableName(each["schema"], each["name"]),
                each["kind"],
                each["rows_estimate"],
                each["bytes"],
            )
            for each in self.session.query(_TREE, oid)
        )
        oids = {row["oid"], *(leaf.oid for leaf in leaves)}
        return Relation(
            oid=row["oid"],
            table=table,
            **{name: row[name] for name in _PLAIN},
            columns=tuple(Column(**each) for each in self.session.query(_COLUMNS, oid)),
            indexes=tuple(
                Index(**{**each, "columns": tuple(each["columns"])}) for each in self.session.query(_INDEXES, oid)
            ),
            references=tuple(_reference(each) for each in self.session.query(_REFERENCES, {"oids": sorted(oids)})),
            triggers=tuple(Trigger(**each) for each in self.session.query(_TRIGGERS, oid)),
            leaves=leaves,
        )


_PLAIN = (
    "kind",
    "persistence",
    "hides_rows",
    "has_rules",
    "tablespace",
    "uses_schema",
    "may_select",
    "may_delete",
    "may_insert",
    "may_lock",
    "owns",
    "owner",
)


def read_catalog(session: Session) -> Catalog:
    """The role, and the relations as they are asked for."""
    row = session.query(_ROLE)[0]
    role = Role(
        name=row["role"],
        quoted=row["quoted_role"],
        database=row["database"],
        quoted_database=row["quoted_database"],
        creates_schemas=row["creates_schemas"],
        version_num=row["version_num"],
        encoding=row["encoding"],
    )
    return Catalog(session, role)


def _reference(row: Row) -> Reference:
    return Reference(
        name=row["name"],
        child=TableName(row["schema"], row["table"]),
        child_oid=row["child_oid"],
        child_kind=row["child_kind"],
        parent_oid=row["parent_oid"],
        on_delete=row["on_delete"],
        columns=tuple(row["columns"]),
        referenced=tuple(row["referenced"]),
    )
