# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every section of the health facts is made of. Pure.

A section names its statements and turns their rows into facts. It never runs anything: collect.py does, one
statement after the other, so that a statement that fails costs only the facts that come from it.
"""

from __future__ import annotations

import datetime as dt
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities

Row = Mapping[str, Any]
Facts = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """How much is asked for: rows a list, and which schemas."""

    top: int = 20
    exclude_schemas: tuple[str, ...] = ()
    exposed_schemas: tuple[str, ...] = ("public",)

    def bindings(self) -> dict[str, Any]:
        """The values bound to every statement, C(%(top)s) and so on."""
        return {"top": self.top, "excluded": list(self.exclude_schemas), "exposed": list(self.exposed_schemas)}


@dataclass(frozen=True)
class Query:
    """One statement of a section. C(gives) says for people which facts come from it."""

    name: str
    sql: str
    gives: str
    remedy: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Skip:
    """Something that could not be read, and how to make it readable.

    C(section) is the path of the facts concerned below C(health), as short as it is true: C(statements),
    C(wal.archiver.ready_count). Judging matches it against the paths of rules.
    """

    section: str
    reason: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        """The entry of the module's C(skipped_sections)."""
        return {"section": self.section, "reason": self.reason, "remedy": self.remedy}


class Answers:
    """The rows of a section's statements; None for a statement that was not run or failed."""

    def __init__(self, rows: Mapping[str, Optional[Sequence[Row]]]) -> None:
        self._rows = rows

    def rows(self, name: str) -> Sequence[Row] | None:
        """All rows of a statement."""
        return self._rows.get(name)

    def row(self, name: str) -> Row:
        """The only row of a statement, or an empty one whose every field is unknown."""
        found = self._rows.get(name)
        return found[0] if found else {}

    def know(self, name: str) -> bool:
        """Whether the statement was answered."""
        return self._rows.get(name) is not None


def no_skips(_capabilities: Capabilities, _answers: Answers) -> list[Skip]:
    """For a section that needs no privilege."""
    return []


@dataclass(frozen=True)
class Section:
    """A section: its statements for this server, its facts, and what is known to be unreadable."""

    name: str
    queries: Callable[[Capabilities], list[Query]]
    facts: Callable[[Answers, Capabilities, Limits], Facts]
    skips: Callable[[Capabilities, Answers], list[Skip]] = no_skips


HOUR = 3600.0
DAY = 24 * HOUR


def compose(template: str, **fragments: str) -> str:
    """Fill the C($name) holes of a statement with fragments written in this package, never with data: data is bound."""
    return string.Template(template).substitute(fragments)


def percent(part: float | None, whole: float | None, digits: int = 2) -> float | None:
    """C(part) in percent of C(whole); None when either is unknown or there is no whole."""
    if part is None or not whole:
        return None
    return round(100.0 * part / whole, digits)


def ratio(part: float | None, whole: float | None, digits: int = 2) -> float | None:
    """C(part) divided by C(whole); None when either is unknown or there is no whole."""
    if part is None or not whole:
        return None
    return round(part / whole, digits)


def rate(total: float | None, age: float | None, period: float) -> float | None:
    """C(total) per C(period) seconds over an age in seconds.

    Counters younger than the period count as one period old: one deadlock in the first minute is not 1,440 a day.
    """
    return ratio(total, None if age is None else max(age, period) / period)


def age_seconds(now: dt.datetime | None, then: dt.datetime | None) -> float | None:
    """Seconds from C(then) to C(now), never negative; None when either is unknown."""
    if now is None or then is None:
        return None
    return max(0.0, round((now - then).total_seconds(), 1))


def moment(value: dt.datetime | None) -> str | None:
    """A moment as ISO 8601 in UTC, or None."""
    return None if value is None else iso(value)


def rounded(value: float | None, digits: int = 1) -> float | None:
    """A number with few digits, or None."""
    return None if value is None else round(value, digits)


def is_cut(total: int | None, shown: Sequence[Any]) -> bool:
    """Whether a list shows less than there is."""
    return total is not None and total > len(shown)


def monitor_remedy(capabilities: Capabilities) -> str:
    """The statement that lets the role see what monitoring needs."""
    return f"GRANT pg_monitor TO {capabilities.quoted_user};"
