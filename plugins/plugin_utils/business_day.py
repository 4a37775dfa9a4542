# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The day as a business counts it: from midnight to midnight of its own timezone, as UTC instants."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment, timezone


def business_day(reference_time: object, zone_name: object, days: object = 0) -> dict[str, str]:
    """C({date, start, end, timezone}) of the day that is C(days) days from the one C(reference_time) falls on.

    C(start) is inclusive, C(end) exclusive. A day has 23 or 25 hours when the clocks change.
    """
    zone = timezone(zone_name)
    if isinstance(days, bool) or not isinstance(days, int):
        raise InvalidOption("days", days, "a whole number, such as -1 for yesterday")
    today = moment(reference_time).astimezone(zone).date()
    try:
        date = today + dt.timedelta(days=days)
        start, end = _first_instant(date, zone), _first_instant(date + dt.timedelta(days=1), zone)
    except OverflowError:
        raise InvalidOption("days", days, "a number that stays within the calendar") from None
    return {"date": date.isoformat(), "start": iso(start), "end": iso(end), "timezone": zone.key}


def _first_instant(date: dt.date, zone: ZoneInfo) -> dt.datetime:
    # fold=0 is right twice: a midnight that happens twice counts from its first time, and one that the clocks
    # jump over becomes the moment of the jump (PEP 495: the offset before it applies).
    return dt.datetime.combine(date, dt.time(), tzinfo=zone).astimezone(dt.timezone.utc)
