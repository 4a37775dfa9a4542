# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extensions: installed against offered by the server's files."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
)

_EXTENSIONS = """
SELECT e.extname::text AS name, n.nspname::text AS schema, e.extversion AS version, a.default_version
FROM pg_extension e
JOIN pg_namespace n ON n.oid = e.extnamespace
LEFT JOIN pg_available_extensions() a ON a.name = e.extname
ORDER BY e.extname
"""


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [Query("extensions", _EXTENSIONS, "extensions")]


def _facts(answers: Answers, capabilities: Capabilities, _limits: Limits) -> Facts:
    rows = answers.rows("extensions")
    listed = None if rows is None else [_extension(row) for row in rows]
    return {
        "database": capabilities.database,
        "count": None if listed is None else len(listed),
        "outdated_count": None if listed is None else sum(each["is_outdated"] for each in listed),
        "list": listed,
    }


def _extension(row: Row) -> dict[str, Any]:
    return {
        "name": row["name"],
        "schema": row["schema"],
        "version": row["version"],
        "available_version": row["default_version"],
        "is_outdated": is_newer(row["default_version"], row["version"]),
    }


def is_newer(offered: str | None, installed: str) -> bool:
    """Whether the offered version is the later one. Numbers are compared as numbers: 1.10 is later than 1.9."""
    return offered is not None and offered != installed and _key(offered) > _key(installed)


def _key(version: str) -> list[tuple[int, int, str]]:
    # A number sorts before a word, so that 1.0 is not later than 1.0dev only by accident of types.
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


SECTION = Section("extensions", _queries, _facts)
