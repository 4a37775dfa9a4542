"""Values from the driver as JSON."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.values import json_value, number_from_text

SEOUL = dt.timezone(dt.timedelta(hours=9))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (None, None),
        ("0", 0),
        ("-12", -12),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("80.00", 80.0),
        ("66.67", 66.67),
        ("NaN", None),
        ("Infinity", None),
        ("-Infinity", None),
        ("1" + "0" * 400 + ".5", None),
    ],
)
def test_number(text: str | None, number: float | None) -> None:
    found = number_from_text(text)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        (float("nan"), None),
        (float("inf"), None),
        (decimal.Decimal("80.50"), 80.5),
        (decimal.Decimal("NaN"), None),
        ("text", "text"),
        (dt.datetime(2026, 1, 31, 9, 0, 0, tzinfo=SEOUL), "2026-01-31T00:00:00Z"),
        (dt.datetime(2026, 1, 31, 9, 0, 0, 123), "2026-01-31T09:00:00"),
        (dt.date(2026, 1, 31), "2026-01-31"),
        (dt.time(9, 30), "09:30:00"),
        (dt.timedelta(minutes=1, milliseconds=500), 60.5),
        ([decimal.Decimal(1), None], [1, None]),
        ({"a": float("nan")}, {"a": None}),
        (memoryview(b"\x00\xff"), "\\x00ff"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_json_value(value: Any, expected: Any) -> None:
    found = json_value(value)
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found, allow_nan=False)
