# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long rows are kept, and the moment before which they are due. Pure.

Calendar months matter: "12 months" is not 365 days, and retention duties are written in months and years.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone

ACCEPTED = (
    "a duration such as '90 days', '12 months', '1 year', '36 hours', '90d', '2w', '1y', ISO 8601 such as P6M or P90D, "
    "or a whole number of days; m is either minutes or months, so write it out"
)

# Unit -> (months, days, seconds).
_UNITS: dict[str, tuple[int, int, int]] = {
    "y": (12, 0, 0),
    "year": (12, 0, 0),
    "years": (12, 0, 0),
    "mo": (1, 0, 0),
    "mon": (1, 0, 0),
    "month": (1, 0, 0),
    "months": (1, 0, 0),
    "w": (0, 7, 0),
    "week": (0, 7, 0),
    "weeks": (0, 7, 0),
    "d": (0, 1, 0),
    "day": (0, 1, 0),
    "days": (0, 1, 0),
    "h": (0, 0, 3600),
    "hour": (0, 0, 3600),
    "hours": (0, 0, 3600),
    "min": (0, 0, 60),
    "minute": (0, 0, 60),
    "minutes": (0, 0, 60),
}
_AMOUNT = re.compile(r"(\d{1,6})\s*([a-z]+)")
_ISO = re.compile(r"p(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)w)?(?:(\d+)d)?(?:t(?:(\d+)h)?(?:(\d+)m)?)?")
_ISO_UNITS = ("y", "mo", "w", "d", "h", "min")


@dataclass(frozen=True)
class Keep:
    """Calendar months, days on the wall clock, and seconds; all of them are gone back in this order."""

    months: int = 0
    days: int = 0
    seconds: int = 0

    def before(self, now: dt.datetime, zone: str) -> dt.datetime:
        """The moment so long before C(now), aware, in UTC.

        Months and days are gone back on the wall clock of the timezone: from noon to noon, whatever the clocks did
        meanwhile. The last day of a shorter month stands for days it does not have (31 March less a month).
        """
        local = now.astimezone(timezone(zone))
        total = local.year * 12 + local.month - 1 - self.months
        year, month = divmod(total, 12)
        if year < 1:
            raise InvalidOption("keep", self.months, "a duration that does not go back before the year 1")
        day = min(local.day, calendar.monthrange(year, month + 1)[1])
        try:
            earlier = local.replace(year=year, month=month + 1, day=day) - dt.timedelta(days=self.days)
            return earlier.astimezone(dt.timezone.utc) - dt.timedelta(seconds=self.seconds)
        except OverflowError:
            raise InvalidOption("keep", self.days, "a duration that does not go back before the year 1") from None


def parse_keep(value: object, option: str = "keep") -> Keep:
    """Read a duration; InvalidOption for anything that is none, is ambiguous, or keeps nothing."""
    text = str(value).strip().lower()
    if re.fullmatch(r"\d{1,6}", text):
        return _positive(Keep(days=int(text)), value, option)
    iso = _ISO.fullmatch(text)
    if iso and len(text) > 2:
        return _positive(_sum(zip(iso.groups(), _ISO_UNITS)), value, option)
    parts = _AMOUNT.findall(text)
    if not parts or _AMOUNT.sub("", text).strip(" ,") or any(unit not in _UNITS for _amount, unit in parts):
        raise InvalidOption(option, value, ACCEPTED)
    return _positive(_sum(parts), value, option)


def _sum(parts: Iterable[tuple[Optional[str], str]]) -> Keep:
    months = days = seconds = 0
    for amount, unit in parts:
        sizes = _UNITS[unit]
        months += int(amount or 0) * sizes[0]
        days += int(amount or 0) * sizes[1]
        seconds += int(amount or 0) * sizes[2]
    return Keep(months, days, seconds)


def _positive(keep: Keep, value: object, option: str) -> Keep:
    if keep == Keep():
        raise InvalidOption(option, value, f"more than nothing: {ACCEPTED}")
    return keep


def cutoff_literal(cutoff: dt.datetime, column_type: str, zone: str) -> str:
    """The cutoff as PostgreSQL reads it for a column of that type.

    A C(timestamp) or C(date) column has no zone; its values are meant on the wall clock of the timezone.
    """
    if column_type == "timestamptz":
        return cutoff.astimezone(dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S+00")
    local = cutoff.astimezone(timezone(zone))
    return local.strftime("%Y-%m-%d %H:%M:%S" if column_type == "timestamp" else "%Y-%m-%d")
