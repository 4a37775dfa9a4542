# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values from PostgreSQL as JSON has them. Pure."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from typing import Any
from uuid import UUID

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso


def number_from_text(text: str | None) -> int | float | None:
    """C(numeric) in PostgreSQL's spelling as int or float.

    A whole number stays exact, as JSON has integers of any size; C(NaN), the infinities and what exceeds a
    float are None: rules judge a missing number as unknown.
    """
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        number = float(text)
        return number if math.isfinite(number) else None


def json_value(value: Any) -> Any:
    """A value from the driver as JSON: moments in ISO 8601 UTC, durations in seconds, never a NaN.

    A C(timestamp) without time zone is given as it stands, without a zone: inventing one would shift it.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return number_from_text(str(value))
    if isinstance(value, dt.datetime):
        return iso(value) if value.tzinfo is not None else value.isoformat(timespec="seconds")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "\\x" + bytes(value).hex()
    if isinstance(value, UUID):
        return str(value)
    return str(value)
