# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timezones by name, and moments as filters receive them."""

from __future__ import annotations

import datetime as dt
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

_WANTED = "the name of a timezone, such as Asia/Seoul, Europe/Berlin or UTC"


def timezone(name: object) -> ZoneInfo:
    """The timezone of that name; raises InvalidOption, with the closest name when there is one."""
    if isinstance(name, str) and name.strip():
        try:
            return ZoneInfo(str(name).strip())
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = get_close_matches(name, available_timezones(), 1, 0.6)
            raise InvalidOption("timezone", name, _WANTED + (f"; did you mean {near[0]}?" if near else "")) from None
    raise InvalidOption("timezone", name, _WANTED)


def moment(value: object, option: str = "reference_time") -> dt.datetime:
    """An aware UTC moment from ISO 8601 text or a datetime with timezone; now for an empty value."""
    if value is None or value == "":
        return utc_now()
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.timezone.utc)
    if isinstance(value, str):
        return parse_moment(value, option)
    raise InvalidOption(option, str(value), "an ISO 8601 moment with timezone, such as 2026-01-31T09:00:00+09:00")
