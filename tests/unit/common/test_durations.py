"""Durations in module options."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("7d", 604800),
        ("2W", 1209600),
        (" 1h ", 3600),
    ],
)
def test_read(text: str, seconds: int) -> None:
    assert parse_seconds(text, "since") == seconds


@pytest.mark.parametrize("text", ["", " ", "0", "0h", "-1h", "30m1h", "1.5h", "1y", "h", "1h x", "\u0661h"])
def test_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        parse_seconds(text, "since")
    assert caught.value.message == (
        f"since: {text!r} is not accepted. Accepted: a whole number of seconds, or amounts with w, d, h, m, s, largest "
        "first, such as 1h30m or 7d."
    )
