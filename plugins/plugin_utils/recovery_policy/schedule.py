# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a job runs: cron expressions, intervals, or without a pause. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.duration import parse_duration

_ACCEPTED = (
    "a cron expression of five fields such as '0 2 * * *', an interval such as 4h, daily, weekly, monthly, or "
    "continuous"
)
# "Every day" names no time of day; cron's own @daily does.
_WORDS = {"hourly": 3600.0, "daily": 86400.0, "weekly": 7 * 86400.0, "monthly": 31 * 86400.0, "continuous": 0.0}
_CRON_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIELD = re.compile(r"(\*|\w+(?:-\w+)?)(?:/(\d+))?")
# Long enough for two of 29 February to be in it, over a century's end, too.
_LOOK_AHEAD_DAYS = 13 * 366


@dataclass(frozen=True)
class Schedule:
    """When something runs. C(text) as it was written; C(interval_seconds) is 0 for what never pauses.

    The fields of a cron expression are sets; C(is_timed) tells whether it names a time of day.
    """

    text: str
    interval_seconds: float | None = None
    minutes: frozenset[int] = field(default_factory=frozenset)
    hours: frozenset[int] = field(default_factory=frozenset)
    days: frozenset[int] = field(default_factory=frozenset)
    months: frozenset[int] = field(default_factory=frozenset)
    weekdays: frozenset[int] = field(default_factory=frozenset)
    is_day_given: bool = False
    is_weekday_given: bool = False

    @property
    def is_timed(self) -> bool:
        """Whether it names times of day, which mean nothing without a time zone."""
        return self.interval_seconds is None and len(self.hours) < 24

    @property
    def is_continuous(self) -> bool:
        """Whether it never pauses."""
        return self.interval_seconds == 0

    def _runs_on(self, day: dt.date) -> bool:
        if day.month not in self.months:
            return False
        # cron: of the day of the month and the day of the week, one that fits suffices where both are given.
        by_day, by_weekday = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        if self.is_day_given and self.is_weekday_given:
            return by_day or by_weekday
        return by_day and by_weekday

    def wall_times(self, start: dt.date, days: int) -> Iterator[dt.datetime]:
        """Wall-clock times at which a cron expression fires, in order; nothing for an interval."""
        for offset in range(days):
            day = start + dt.timedelta(days=offset)
            if self._runs_on(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        yield dt.datetime.combine(day, dt.time(hour, minute))

    def longest_pause_seconds(self, start: dt.date) -> float:
        """The longest time between two runs, in seconds of the wall clock."""
        if self.interval_seconds is not None:
            return self.interval_seconds
        longest, last = 0.0, None
        # A year shows every pause of an ordinary schedule; a rare one needs more for its second run.
        for days in (366, _LOOK_AHEAD_DAYS):
            longest, last = 0.0, None
            for at in self.wall_times(start, days):
                if last is not None:
                    longest = max(longest, (at - last).total_seconds())
                last = at
            if longest:
                break
        return longest or float(_LOOK_AHEAD_DAYS * 86400)

    def moments(self, start: dt.date, days: int, zone: ZoneInfo) -> list[dt.datetime]:
        """The moments at which a cron expression fires, in UTC."""
        return [at.replace(tzinfo=zone).astimezone(dt.timezone.utc) for at in self.wall_times(start, days)]

    def jumps(self, start: dt.date, zone: ZoneInfo) -> list[dt.datetime]:
        """Wall-clock times of the next year that the clocks leave out or repeat."""
        return [at for at in self.wall_times(start, 366) if _is_odd(at, zone)]


def _is_odd(at: dt.datetime, zone: ZoneInfo) -> bool:
    first, second = at.replace(tzinfo=zone), at.replace(tzinfo=zone, fold=1)
    return first.utcoffset() != second.utcoffset()


def parse_schedule(value: object, option: str) -> Schedule:
    """A schedule; raises InvalidOption."""
    text = str(value).strip()
    compact = text.lower().removeprefix("every ")
    if compact in _WORDS:
        return Schedule(text, interval_seconds=_WORDS[compact])
    fields = _CRON_WORDS.get(compact, text).split()
    if len(fields) == 5:
        return _cron(text, fields, option)
    try:
        seconds = parse_duration(compact)
    except InvalidOption:
        raise InvalidOption(option, value, _ACCEPTED) from None
    if seconds <= 0:
        raise InvalidOption(option, value, _ACCEPTED)
    return Schedule(text, interval_seconds=seconds)


def _cron(text: str, fields: list[str], option: str) -> Schedule:
    minutes, hours, days, months, weekdays = fields
    return Schedule(
        text,
        minutes=_values(minutes, 0, 59, (), text, option),
        hours=_values(hours, 0, 23, (), text, option),
        days=_values(days, 1, 31, (), text, option),
        months=_values(months, 1, 12, _MONTHS, text, option),
        weekdays=frozenset(each % 7 for each in _values(weekdays, 0, 7, _DAYS, text, option)),
        is_day_given=not days.startswith("*"),
        is_weekday_given=not weekdays.startswith("*"),
    )


def _values(part: str, low: int, high: int, names: tuple[str, ...], text: str, option: str) -> frozenset[int]:
    found: set[int] = set()
    for piece in part.lower().split(","):
        match = _FIELD.fullmatch(piece)
        if match is None:
            raise InvalidOption(option, text, _ACCEPTED)
        step = int(match[2] or 1)
        ends = ["*"] if match[1] == "*" else match[1].split("-")
        first = low if ends == ["*"] else _number(ends[0], low, high, names, text, option)
        last = (
            high
            if ends == ["*"] or (len(ends) == 1 and match[2])
            else _number(ends[-1], low, high, names, text, option)
        )
        if step < 1 or last < first:
            raise InvalidOption(option, text, _ACCEPTED)
        found |= set(range(first, last + 1, step))
    return frozenset(found)


def _number(word: str, low: int, high: int, names: tuple[str, ...], text: str, option: str) -> int:
    number = names.index(word[:3]) + (low if names is _MONTHS else 0) if word[:3] in names else None
    if number is None and word.isdigit():
        number = int(word)
    if number is None or not low <= number <= high:
        raise InvalidOption(option, text, _ACCEPTED)
    return number
