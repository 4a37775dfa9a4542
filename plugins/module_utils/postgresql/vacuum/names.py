# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of tables as people write them in a list: C(public.jobs), C(jobs), C("Sales"."MixedCase"). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError

_PART = r'"(?:[^"]|"")+"|[^".\s]+'
_NAME = re.compile(rf"(?:({_PART})\.)?({_PART})")

_KINDS = {
    "i": "an index",
    "I": "an index",
    "S": "a sequence",
    "t": "a TOAST table; name the table it belongs to",
    "v": "a view",
    "f": "a foreign table",
    "c": "a composite type",
}


@dataclass(frozen=True)
class Part:
    """A schema or a table; what is in double quotes stands for exactly that."""

    text: str
    quoted: bool

    def is_exactly(self, name: str) -> bool:
        """Whether it is written just so."""
        return self.text == name

    def folds_to(self, name: str) -> bool:
        """Whether SQL would read it so: without quotes, upper case does not count."""
        return self.text == name or (not self.quoted and self.text.lower() == name)


@dataclass(frozen=True)
class Name:
    """The name of a table, of any schema if none is given. C(written) is how the user wrote it."""

    written: str
    schema: Optional[Part]
    table: Part


def parse_name(option: str, text: str) -> Name:
    """Read a name; raises InvalidOption."""
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise InvalidOption(option, text, 'tables such as public.jobs, jobs or "Sales"."MixedCase"')
    return Name(text.strip(), None if match[1] is None else _part(match[1]), _part(match[2]))


def _part(text: str) -> Part:
    if text.startswith('"'):
        return Part(text[1:-1].replace('""', '"'), quoted=True)
    return Part(text, quoted=False)


def spellings(names: Sequence[Name]) -> list[str]:
    """Every relation name to ask the catalog for."""
    parts = [name.table for name in names]
    return sorted({part.text for part in parts} | {part.text.lower() for part in parts if not part.quoted})


def resolve(option: str, name: Name, rows: Sequence[Mapping[str, Any]], database: str) -> int:
    """The oid of the table that is meant.

    Args:
        option: The option it comes from.
        name: The name.
        rows: Relations of that name with oid, schema, name, relkind, relpersistence.
        database: Where it was looked for.

    A name in just that spelling wins over one that SQL would fold to lower case, so that C(public.MixedCase) finds
    "MixedCase" as well.

    Raises:
        RunbookError: there is none, there are several, or it is no table.

    """
    found = [row for row in rows if _matches(name, row, exactly=True)] or [
        row for row in rows if _matches(name, row, exactly=False)
    ]
    if not found:
        raise RunbookError(
            f"{option}: there is no table {name.written} in database {database}. Correct the name, or login_db."
        )
    if len(found) > 1:
        schemas = ", ".join(sorted(row["schema"] for row in found))
        raise RunbookError(f"{option}: {name.written} is in several schemas ({schemas}). Write schema.table.")
    row = found[0]
    if row["relpersistence"] == "t":
        raise RunbookError(f"{option}: {name.written} is a temporary table, which only its session can vacuum.")
    if row["relkind"] not in ("r", "m", "p"):
        raise RunbookError(f"{option}: {name.written} is {_KINDS.get(row['relkind'], 'no table')}, not a table.")
    return int(row["oid"])


def _matches(name: Name, row: Mapping[str, Any], *, exactly: bool) -> bool:
    def same(part: Part, value: str) -> bool:
        return part.is_exactly(value) if exactly else part.folds_to(value)

    return same(name.table, row["name"]) and (name.schema is None or same(name.schema, row["schema"]))
