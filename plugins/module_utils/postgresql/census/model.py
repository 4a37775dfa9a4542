# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database holds, at one moment: structure, rows, digests. Pure.

Names are keys as a person would type them: C(public.orders), C(public."Mixed Case"); what belongs to a table is
C(public.orders.orders_pkey). Nothing here depends on the major version of the server, unless it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier

# How digests and fingerprints are computed. A census of another number cannot be compared.
FORMAT = 1

Entry = Mapping[str, Any]
Topic = Mapping[str, Entry]


@dataclass(frozen=True)
class Watermark:
    """A column whose newest value tells how fresh the content is.

    Args:
        schema: The table's schema.
        table: Its name.
        column: A timestamp, a date or a number that only grows.

    """

    schema: str
    table: str
    column: str

    @property
    def name(self) -> str:
        """C(public.orders.created_at)."""
        return dotted(self.schema, self.table, self.column)


@dataclass(frozen=True)
class Scope:
    """The part of a database that a dump takes: exact names of schemas, no patterns.

    Args:
        schemas: Only these; empty for all.
        exclude_schemas: All but these.

    """

    schemas: Sequence[str] = ()
    exclude_schemas: Sequence[str] = ()

    @property
    def whole(self) -> bool:
        """Whether what belongs to no schema is dumped, too: extensions, publications, casts."""
        return not self.schemas

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return not self.schemas and not self.exclude_schemas

    def covers(self, schema: str) -> bool:
        """Whether a schema belongs to it."""
        return (not self.schemas or schema in self.schemas) and schema not in self.exclude_schemas


@dataclass(frozen=True)
class Census:
    """The content of one database in one snapshot; C(as_dict) is what a manifest carries.

    Shapes, by name of the object where not said otherwise:

    C(database): name, encoding, collate, ctype, locale_provider, locale, size_bytes.
    C(server): version_num, system_identifier (text), lsn, timeline, in_recovery.
    C(taken_at): the server's clock in the snapshot, ISO 8601 with microseconds and Z.
    C(schemas): owner, acl.
    C(tables): schema, kind (C(table), C(partitioned table), C(partition), C(foreign table), C(materialized view)),
    rows (null when not counted; of a partitioned table the sum of its leaves), digest (16 hex digits, null when not
    asked for), bytes, owner, acl ({role: rights}), column_acl ({column: {role: rights}}), persistence, columns ({name:
    definition}), order (fingerprint of their names), definition (fingerprint of partitioning and inheritance),
    inherits, populated, rls, root and parent (of a partition: the partitioned table on top, and the one right above),
    is_extension_member, disabled_constraint_triggers and disabled_partition_triggers (numbers of triggers that do not
    show as such).
    C(sequences): schema, last_value, is_called, increment, cycle, owned_by, feeds (columns), and max (their furthest
    value in the direction of the sequence).
    C(large_objects): count, bytes, digest. C(extensions): {name: {version, schema}}.
    C(constraints), C(indexes), C(triggers), C(policies), C(rules): schema, table, definition, and validated, valid
    or enabled. C(views), C(functions), C(types), C(publications), C(event_triggers), C(subscriptions),
    C(default_privileges), C(others): schema, definition, owner. A C(text) is the fingerprint of a definition that
    another major version writes otherwise.
    C(collations): {name: {recorded, actual}}, the database's own under the name C(default).
    C(roles): names of those that own or are granted anything of this, or that policies name.
    C(watermarks): {C(public.orders.created_at): newest value as ISO 8601, null when there is none}.
    """

    database: Entry
    server: Entry
    taken_at: str
    schemas: Topic = field(default_factory=dict)
    tables: Topic = field(default_factory=dict)
    sequences: Topic = field(default_factory=dict)
    large_objects: Entry = field(default_factory=dict)
    extensions: Topic = field(default_factory=dict)
    constraints: Topic = field(default_factory=dict)
    indexes: Topic = field(default_factory=dict)
    triggers: Topic = field(default_factory=dict)
    policies: Topic = field(default_factory=dict)
    rules: Topic = field(default_factory=dict)
    views: Topic = field(default_factory=dict)
    functions: Topic = field(default_factory=dict)
    types: Topic = field(default_factory=dict)
    publications: Topic = field(default_factory=dict)
    subscriptions: Topic = field(default_factory=dict)
    event_triggers: Topic = field(default_factory=dict)
    default_privileges: Topic = field(default_factory=dict)
    others: Topic = field(default_factory=dict)
    collations: Topic = field(default_factory=dict)
    roles: Sequence[str] = ()
    watermarks: Mapping[str, Optional[str]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def major(self) -> int:
        """The server's major version."""
        return int(self.server["version_num"]) // 10000

    @property
    def row_count(self) -> int:
        """Rows of all tables, each counted once."""
        return sum(each.get("rows") or 0 for each in self.tables.values() if each["kind"] != "partitioned table")

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"format": FORMAT, **{each.name: _plain(getattr(self, each.name)) for each in fields(self)}}


def census_from(mapping: Any) -> Census:
    """A census out of a manifest.

    Raises:
        Undecided: it is none, or one that was made by other rules.

    """
    if not isinstance(mapping, Mapping):
        raise Undecided("The census is not a mapping, so nothing can be compared with it.")
    if mapping.get("format") != FORMAT:
        raise Undecided(
            f"The census has format {mapping.get('format')!r}, and this version of the collection compares format "
            f"{FORMAT} only. Verify with the version that wrote it, or take a new backup."
        )
    given = {}
    for each in fields(Census):
        value = mapping.get(each.name)
        if value is None:
            raise Undecided(f"The census lacks {each.name!r}, so nothing can be compared with it.")
        wanted: Any = str if each.name == "taken_at" else list if each.name in ("roles", "notes") else Mapping
        if not isinstance(value, wanted):
            raise Undecided(f"The census holds a {type(value).__name__} as {each.name!r}.")
        given[each.name] = value
    if not isinstance(given["server"].get("version_num"), int):
        raise Undecided("The census does not say which version its server had.")
    return Census(**given)


def dotted(*parts: str) -> str:
    """A qualified name as a person would type it; the same for every major, whatever words it reserves."""
    return ".".join(quote_identifier(part) for part in parts)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
