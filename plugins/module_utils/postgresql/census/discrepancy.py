# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One finding about a copy of a database. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class Discrepancy:
    """What is not as it should be.

    Args:
        code: A word for programs: C(row_count_mismatch), C(structure_missing), …
        object: What it is about, such as C(public.orders).
        expected: What the original had.
        found: What is there instead; None for nothing.
        detail: One sentence for people.
        noted: It says something about the server that the copy was made on, and nothing against the backup: to be
            shown, not to be judged.
        count: How many objects it speaks of; with more than one, the first are named in the detail.

    """

    code: str
    object: str
    expected: Any
    found: Any
    detail: str
    noted: bool = False
    count: int = 1

    def as_dict(self) -> dict[str, Any]:
        """For results."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """One object that is not as it should be, before many of a kind are told as one.

    Args:
        code: As in C(Discrepancy).
        label: What it is, in the singular and in the plural: C(("table", "tables")).
        schema: Where it is; None outside of schemas.
        name: Its name.
        what: What is the matter with one, and with many: C(("is missing", "are missing")).
        expected: What the original had.
        found: What is there instead.
        more: What follows the name in a sentence of its own, and in a list.
        noted: As in C(Discrepancy).

    """

    code: str
    label: tuple[str, str]
    schema: Optional[str]
    name: str
    what: tuple[str, str]
    expected: Any = None
    found: Any = None
    more: str = ""
    noted: bool = False

    @property
    def _alone(self) -> Discrepancy:
        subject = self.name if self.name == self.label[0] else f"{self.label[0]} {self.name}"
        sentence = f"The {subject} {self.what[0]}"
        detail = f"{sentence}: {self.more}." if self.more else f"{sentence}."
        return Discrepancy(self.code, self.name, self.expected, self.found, detail, self.noted)


# More of a kind than these are told as one.
_NAMED = 3


def grouped(differences: Iterable[Difference]) -> list[Discrepancy]:
    """One discrepancy for each difference, or one for all of a kind in a schema, so that a person can read them."""
    groups: dict[tuple[Any, ...], list[Difference]] = {}
    for each in differences:
        groups.setdefault((each.code, each.label, each.what, each.schema, each.noted), []).append(each)
    return [one for group in groups.values() for one in _told(group)]


def _told(group: list[Difference]) -> list[Discrepancy]:
    if len(group) <= _NAMED:
        return [each._alone for each in group]
    first = group[0]
    where = "" if first.schema is None else f" in schema {first.schema}"
    named = ", ".join(f"{each.name} ({each.more})" if each.more else each.name for each in group[:_NAMED])
    detail = f"{len(group)} {first.label[1]}{where} {first.what[1]}: {named} and {len(group) - _NAMED} more."
    object_ = first.label[1] if first.schema is None else f"{first.schema}.*"
    return [Discrepancy(first.code, object_, len(group), None, detail, first.noted, len(group))]
