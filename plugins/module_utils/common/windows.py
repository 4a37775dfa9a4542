# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time windows on the wall clock of a timezone: C(Sun 02:00-06:00), C(00:00-09:00), C(Mon-Fri 09:00-15:30)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment, timezone

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ACCEPTED = (
    "windows such as '00:00-09:00', 'Sun 02:00-06:00', 'Mon-Fri 09:00-15:30' or 'Sat,Sun 00:00-24:00'; "
    "22:00-02:00 goes over midnight and belongs to the day it starts on"
)

_WINDOW = re.compile(r"(?:([a-z, -]+?)\s+)?(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", re.IGNORECASE)
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Window:
    """Weekdays (0 is Monday) on which it starts, and minutes since midnight; C(end) is exclusive.

    C(end) is above 24 hours for a window over midnight.
    """

    days: frozenset[int]
    start: int
    end: int

    def holds(self, weekday: int, minute: int) -> bool:
        """Whether a wall-clock moment lies in it."""
        if weekday in self.days and self.start <= minute < self.end:
            return True
        return (weekday - 1) % 7 in self.days and minute + _DAY_MINUTES < self.end


def parse_window(text: object) -> Window:
    """Read one window; raises InvalidOption."""
    match = _WINDOW.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise InvalidOption("window", text, ACCEPTED)
    start, end = _minutes(match[2], match[3], text), _minutes(match[4], match[5], text)
    if start in (end, _DAY_MINUTES):
        raise InvalidOption("window", text, f"{ACCEPTED}. For the whole day write 00:00-24:00")
    return Window(_days(match[1], text), start, end if end > start else end + _DAY_MINUTES)


def _minutes(hours: str, minutes: str, text: object) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > _DAY_MINUTES:
        raise InvalidOption("window", text, ACCEPTED)
    return total


def _days(text: str | None, window: object) -> frozenset[int]:
    if text is None or text.strip().lower() in ("daily", "every day"):
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.lower().split(","):
        ends = [_day(end.strip(), window) for end in part.split("-")]
        if len(ends) > 2:
            raise InvalidOption("window", window, ACCEPTED)
        # Fri-Mon goes over the end of the week.
        found |= {(ends[0] + offset) % 7 for offset in range((ends[-1] - ends[0]) % 7 + 1)}
    return frozenset(found)


def _day(name: str, window: object) -> int:
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    for number, (short, long) in enumerate(zip(DAYS, full)):
        if len(name) >= 3 and name.startswith(short) and long.startswith(name):
            return number
    raise InvalidOption("window", window, ACCEPTED)


def in_window(reference_time: object, windows: object, zone_name: object) -> bool:
    """Whether a moment lies in any of the windows, on the wall clock of the timezone.

    The start belongs to a window, the end does not. When the clocks go forward the hour that is left out is
    in no window; when they go back, both passes of the repeated hour are in it.
    """
    texts = [windows] if isinstance(windows, str) else windows
    if not isinstance(texts, Sequence):
        raise InvalidOption("windows", windows, ACCEPTED)
    local = moment(reference_time).astimezone(timezone(zone_name))
    parsed = [parse_window(text) for text in texts]
    return any(window.holds(local.weekday(), local.hour * 60 + local.minute) for window in parsed)
