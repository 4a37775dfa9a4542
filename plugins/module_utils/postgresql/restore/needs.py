# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup asks of the server that it is restored into. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import Manifest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census

# What indexes need while they are built and WAL takes meanwhile, beside the size that the database had.
_MARGIN = 1.25


_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin", "d": None}


def provider_of(word: Optional[str]) -> Optional[str]:
    """A locale provider's name; the catalog has letters."""
    return _PROVIDERS.get(word, word) if word else None


@dataclass(frozen=True)
class Shape:
    """How a database is made: its encoding and its locale. None where the server's default will do."""

    encoding: Optional[str] = None
    collate: Optional[str] = None
    ctype: Optional[str] = None
    provider: Optional[str] = None
    locale: Optional[str] = None


@dataclass(frozen=True)
class Needs:
    """What is known from the manifest; everything empty for a backup without one."""

    database: Optional[str] = None
    system_identifier: Optional[str] = None
    version_num: Optional[int] = None
    extensions: Mapping[str, Optional[str]] = field(default_factory=dict)
    roles: Sequence[str] = ()
    shape: Shape = Shape()
    size_bytes: Optional[int] = None
    is_partial: bool = False
    tables: Optional[int] = None
    rows: Optional[int] = None

    @property
    def needed_bytes(self) -> Optional[int]:
        """Bytes that the restored database will take at most, about."""
        return None if self.size_bytes is None else int(self.size_bytes * _MARGIN)

    def completed(self, database: Optional[str], version_num: Optional[int]) -> Needs:
        """With what the dump says of itself where no manifest does."""
        return replace(self, database=self.database or database, version_num=self.version_num or version_num)

    @property
    def major(self) -> Optional[int]:
        """The major version of the server that it was taken from."""
        return None if self.version_num is None else self.version_num // 10000


def needs_of(manifest: Optional[Manifest], census: Optional[Census]) -> Needs:
    """What the backup with this manifest asks for."""
    if census is None:
        partial = manifest is not None and manifest.is_partial
        return Needs(is_partial=partial)
    database: Mapping[str, Any] = census.database
    identifier = census.server.get("system_identifier")
    return Needs(
        database=database.get("name"),
        system_identifier=None if identifier is None else str(identifier),
        version_num=int(census.server["version_num"]),
        extensions={name: each.get("version") for name, each in census.extensions.items()},
        roles=tuple(census.roles),
        shape=Shape(
            encoding=database.get("encoding"),
            collate=database.get("collate"),
            ctype=database.get("ctype"),
            provider=provider_of(database.get("locale_provider")),
            locale=database.get("locale"),
        ),
        size_bytes=database.get("size_bytes"),
        is_partial=manifest is not None and manifest.is_partial,
        tables=len(census.tables),
        rows=census.row_count,
    )
