# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The times of a cron line, as cron of Debian and Red Hat reads them (crontab(5)). Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
REBOOT = "@reboot"
MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, MONTHS),
    ("day of the week", 0, 7, WEEKDAYS),
)
ACCEPTED = (
    "five fields such as '30 9 * * mon-fri' or '*/15 * * * *', or one of @hourly, @daily, @weekly, @monthly, @yearly"
)


class BadExpression(ValueError):
    """What is wrong with an expression, as a sentence without its end."""


@dataclass(frozen=True)
class Expression:
    """When a line is due. Weekdays count from Sunday, 0; C(any_day) when days of month and week must both fit."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    both_days: bool
    hours_any: bool

    def is_due_on(self, day: dt.date) -> bool:
        """Whether it is due at any time of a day."""
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        return (by_month and by_week) if self.both_days else (by_month or by_week)

    def starts(self, begin: dt.datetime, days: int) -> Iterator[dt.datetime]:
        """The moments on the wall clock, without a timezone, from one on for so many days."""
        first = begin.date()
        for offset in range(days + 1):
            day = first + dt.timedelta(days=offset)
            if self.is_due_on(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        moment = dt.datetime(day.year, day.month, day.day, hour, minute)
                        if moment >= begin:
                            yield moment

    @property
    def starts_a_day(self) -> int:
        """How often it is due on a day on which it is."""
        return len(self.minutes) * len(self.hours)

    @property
    def is_every_hour(self) -> bool:
        """Whether it is due in every hour of every day, so that it is the same in nearly all time zones."""
        is_every_day = len(self.weekdays) == 7 if self.both_days else False
        return len(self.hours) == 24 and len(self.months) == 12 and is_every_day and len(self.days) == 31


def parse_expression(text: str) -> Expression:
    """Read five fields or a macro other than C(@reboot); raises BadExpression."""
    words = text.split()
    if len(words) == 1 and words[0].startswith("@"):
        if words[0].lower() not in MACROS:
            raise BadExpression(f"{words[0]} is none of {', '.join(sorted(MACROS))}")
        words = MACROS[words[0].lower()].split()
    if len(words) != len(_FIELDS):
        raise BadExpression(f"it has {len(words)} fields instead of five")
    minutes, hours, days, months, weekdays = (
        _field(word, name, lowest, highest, names) for word, (name, lowest, highest, names) in zip(words, _FIELDS)
    )
    return Expression(
        text=" ".join(text.split()),
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        both_days=words[2].startswith("*") or words[4].startswith("*"),
        hours_any=words[1].startswith("*"),
    )


def _field(text: str, name: str, lowest: int, highest: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        if slash and (not step_text.isdigit() or int(step_text) < 1):
            raise BadExpression(f"the step of the {name}, {part!r}, is no number above 0")
        step = int(step_text) if slash else 1
        if span == "*":
            begin, end = lowest, highest
        else:
            first, dash, last = span.partition("-")
            begin = _value(first, name, lowest, highest, names)
            end = _value(last, name, lowest, highest, names) if dash else begin
            if slash and not dash:
                raise BadExpression(f"the {name} {part!r} has a step without a range: write {first}-{highest}/{step}")
            if end < begin:
                raise BadExpression(f"the {name} {part!r} ends before it begins: write it as two ranges")
        found.update(range(begin, end + 1, step))
    return frozenset(found)


def _value(text: str, name: str, lowest: int, highest: int, names: tuple[str, ...]) -> int:
    if text.lower()[:3] in names and len(text) == 3:
        return names.index(text.lower()) + (1 if names is MONTHS else 0)
    if not text.isdigit() or not lowest <= int(text) <= highest:
        raise BadExpression(f"the {name} {text!r} is not from {lowest} to {highest}")
    return int(text)


def calendars(expression: Expression) -> list[str]:
    """The same times for systemd (systemd.time(7)), one or more values of C(OnCalendar).

    cron takes either of day of month and day of week when both are limited; systemd takes both, so that there are two.
    """
    clock = f"{_listed(expression.hours, 24, 0)}:{_listed(expression.minutes, 60, 0)}:00"
    month = _listed(expression.months, 12, 1)
    day, week = _listed(expression.days, 31, 1), _week(expression.weekdays)
    if expression.both_days:
        return [f"{week} *-{month}-{day} {clock}".strip()]
    if not week or day == "*":
        return [f"*-{month}-* {clock}"]
    return [f"*-{month}-{day} {clock}", f"{week} *-{month}-* {clock}"]


def _listed(values: frozenset[int], count: int, first: int) -> str:
    if len(values) == count:
        return "*"
    return ",".join(f"{value:02d}" for value in sorted(value for value in values if value >= first))


def _week(values: frozenset[int]) -> str:
    return "" if len(values) == 7 else ",".join(WEEKDAYS[value].capitalize() for value in sorted(values))
