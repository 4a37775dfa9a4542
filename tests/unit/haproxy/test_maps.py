"""haproxy's maps: entries in a file and in the process. Pure."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.haproxy.maps import (
    check_key,
    check_value,
    edited,
    parse_file,
    parse_running,
    plan,
)

TEXT = "# sites\nshop.example.com 1\n\nb.example.com  two words\nshop.example.com 9\n"


def test_reading() -> None:
    assert parse_file(TEXT) == {"shop.example.com": "1", "b.example.com": "two words"}
    assert parse_running("0x55 shop 1\n0x56 b two words\n\n") == {"shop": "1", "b": "two words"}
    with pytest.raises(RunbookError, match="does not show the map: Unknown command"):
        parse_running("Unknown command.")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"c": "1"}, f"{TEXT}c 1\n"),
        ({"shop.example.com": None}, "# sites\n\nb.example.com  two words\n"),
        ({"shop.example.com": "1"}, "# sites\nshop.example.com 1\n\nb.example.com  two words\n"),
        ({"b.example.com": "x"}, TEXT.replace(" two words", "x").replace("com x", "com x")),
        ({"none": None}, TEXT),
    ],
)
def test_the_file_keeps_its_other_lines(wanted: dict[str, str | None], expected: str) -> None:
    text = edited(TEXT, wanted)
    assert text == expected
    assert edited(text, wanted) == text


def test_the_plan() -> None:
    wanted = {"a": "1", "b": None, "c": "2", "d": None}
    actions = plan(wanted, {"a": "1", "b": "1", "c": "1"}, "runtime")
    assert [(each["action"], each["object"]) for each in actions] == [("delete", "b"), ("set", "c")]


@pytest.mark.parametrize("key", ["", "a b", "a;b", "#a", "a\nb", "a\\b", None])
def test_keys_that_would_be_something_else(key: object) -> None:
    with pytest.raises(RunbookError, match=r"keys: .* is not accepted"):
        check_key(key)


@pytest.mark.parametrize("value", ["", " a", "a;b", "a\nb"])
def test_values_that_would_be_something_else(value: str) -> None:
    with pytest.raises(RunbookError, match=r"value: .* is not accepted"):
        check_value(value)
