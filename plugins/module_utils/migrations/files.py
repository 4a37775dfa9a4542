# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The migrations that a release brings: their files, by the rules of Rails, Prisma and Supabase."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.migrations.rails import rails_hazards
from ansible_collections.runbook.ops.plugins.module_utils.migrations.sql import Hazard, sql_hazards

_MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Migration:
    """One migration. C(hazards) is None where its file cannot be read."""

    version: str
    name: str
    path: str
    hazards: Optional[list[Hazard]] = field(default_factory=list)

    @property
    def destructive(self) -> Optional[bool]:
        """Whether code from before it may not survive it; None where nobody can tell."""
        if self.hazards is None:
            return None
        if any(each.kind != "opaque" for each in self.hazards):
            return True
        return None if self.hazards else False

    def as_dict(self) -> dict[str, object]:
        """For results."""
        return {
            "version": self.version,
            "name": self.name,
            "path": self.path,
            "destructive": self.destructive,
            "hazards": [each.as_dict() for each in self.hazards or []],
        }


@dataclass(frozen=True)
class Kind:
    """A tool's rule: which names are migrations (version, name), where the file is, how it is read."""

    pattern: re.Pattern[str]
    script: str
    hazards: Callable[[str], list[Hazard]]
    query: str


KINDS: Mapping[str, Kind] = {
    "rails": Kind(
        re.compile(r"(?P<version>\d+)_(?P<name>[a-z0-9_]+)\.rb"),
        "",
        rails_hazards,
        "SELECT version FROM schema_migrations",
    ),
    "prisma": Kind(
        # Prisma's table holds the whole name of the directory.
        re.compile(r"(?P<version>\d{8,}_(?P<name>\w+))"),
        "migration.sql",
        sql_hazards,
        "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
    ),
    "supabase": Kind(
        re.compile(r"(?P<version>\d+)_(?P<name>.+)\.sql"),
        "",
        sql_hazards,
        "SELECT version FROM supabase_migrations.schema_migrations",
    ),
}


def find_migrations(directory: Path, kind: str) -> list[Migration]:
    """The migrations in a directory, in the order in which they are applied; OSError where it cannot be read."""
    rule = KINDS[kind]
    found = []
    for entry in sorted(directory.iterdir()):
        match = rule.pattern.fullmatch(entry.name)
        if match and entry.is_dir() == bool(rule.script):
            path = entry / rule.script if rule.script else entry
            found.append(Migration(match["version"], match["name"], str(path), _read(path, rule)))
    return sorted(found, key=lambda each: order(each.version))


def _read(path: Path, rule: Kind) -> Optional[list[Hazard]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        return rule.hazards(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None


def order(version: str) -> tuple[int, str]:
    """How versions follow each other: by their number, whatever its digits."""
    match = re.match(r"\d+", version)
    return (int(match[0]) if match else 0, version)
