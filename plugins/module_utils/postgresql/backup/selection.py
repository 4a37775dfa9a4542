# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of a database is dumped. Pure.

Names are exact, not patterns: a pattern that matches nothing, or too much, is noticed when it is too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Scope


@dataclass(frozen=True)
class Selection:
    """Schemas by name, tables as (schema, table). Everything, when all are empty."""

    schemas: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ()
    exclude_table_data: tuple[tuple[str, str], ...] = ()

    @property
    def is_partial(self) -> bool:
        """Whether something is left out."""
        return bool(self.schemas or self.exclude_schemas or self.exclude_table_data)

    @property
    def scope(self) -> Scope:
        """The same for the census, which counts the rows that are left out, too."""
        return Scope(self.schemas, self.exclude_schemas)

    def has_schema(self, schema: str) -> bool:
        """Whether a schema is dumped."""
        return self.scope.covers(schema)

    def has_rows(self, schema: str, table: str) -> bool:
        """Whether the rows of a table are dumped."""
        return self.has_schema(schema) and (schema, table) not in self.exclude_table_data

    def argv(self) -> list[str]:
        """pg_dump's options for it: large objects are never left out."""
        arguments = ["--blobs"] if self.schemas else []
        for option, names in (
            ("--schema", [(each,) for each in self.schemas]),
            ("--exclude-schema", [(each,) for each in self.exclude_schemas]),
            ("--exclude-table-data", self.exclude_table_data),
        ):
            arguments += [f"{option}={_pattern(each)}" for each in names]
        return arguments

    def missing(self, schemas: Iterable[str], tables: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Names that the database does not have, each with its option."""
        there, relations = set(schemas), set(tables)
        absent = [
            (option, name)
            for option, names in (("schemas", self.schemas), ("exclude_schemas", self.exclude_schemas))
            for name in names
            if name not in there
        ]
        return absent + [
            ("exclude_table_data", ".".join(name)) for name in self.exclude_table_data if name not in relations
        ]

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "schemas": list(self.schemas),
            "exclude_schemas": list(self.exclude_schemas),
            "exclude_table_data": [".".join(each) for each in self.exclude_table_data],
            "partial": self.is_partial,
        }


def selection_from(params: Mapping[str, Any]) -> Selection:
    """The options, checked; raises InvalidOption."""
    return Selection(
        schemas=tuple(dict.fromkeys(params["schemas"])),
        exclude_schemas=tuple(dict.fromkeys(params["exclude_schemas"])),
        exclude_table_data=_tables("exclude_table_data", params["exclude_table_data"]),
    )


def _tables(option: str, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for name in names:
        schema, dot, table = name.partition(".")
        if not dot or not schema or not table:
            raise InvalidOption(option, name, "tables with their schema, such as public.audit_logs")
        found.append((schema, table))
    return tuple(dict.fromkeys(found))


def _pattern(name: Iterable[str]) -> str:
    """A name as psql's patterns take it literally: in double quotes, double quotes doubled."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)
