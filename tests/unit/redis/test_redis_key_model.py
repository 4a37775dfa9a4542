"""Questions about keys, and their answers."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.model import (
    Answer,
    Request,
    parse_number,
    requests_from,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"14200", 14200),
        (b" 7\n", 7),
        (b"-3", -3),
        (b"+3", 3),
        (b"7.5", 7.5),
        (b"1e3", 1000.0),
        (b"9007199254740993", 9007199254740993),
        (b"", None),
        (b"nan", None),
        (b"inf", None),
        (b"1e999", None),
        (b"0x10", None),
        (b"1_000", None),
        (b"12 calls", None),
        (b"\xff\xfe", None),
        ("٣".encode(), None),
        (b"1" * 64, None),
    ],
)
def test_parse_number(value: bytes, number: float | None) -> None:
    found = parse_number(value)
    assert found == number
    assert type(found) is type(number)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (
            [{"name": "a", "key": "x", "pattern": "y*"}],
            "keys: 'a' is not accepted. Accepted: an entry with exactly one of key and pattern.",
        ),
        (
            [{"name": "a", "key": ""}],
            "keys: 'a' is not accepted. Accepted: an entry with exactly one of key and pattern.",
        ),
        (
            [{"name": "a", "key": "x"}, {"name": "a", "key": "y"}],
            "keys: 'a' is not accepted. Accepted: a name that no other entry has.",
        ),
        (
            [{"name": "a", "pattern": "x*", "operation": "get"}],
            "operation: 'get' is not accepted. Accepted: for a pattern: count, sum, sample (a).",
        ),
        (
            [{"name": "a", "key": "x", "operation": "sum"}],
            "operation: 'sum' is not accepted. Accepted: for a key: get, count (a).",
        ),
        (
            [{"name": "a", "pattern": "x*", "operation": "sample", "sample_size": 0}],
            "sample_size: 0 is not accepted. Accepted: a number from 1 to 1000.",
        ),
    ],
)
def test_bad_requests(entries: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        requests_from(entries)
    assert caught.value.message == message


def test_defaults_of_requests() -> None:
    get, count = requests_from([{"name": "a", "key": "키"}, {"name": "b", "pattern": "x:*"}])
    assert (get.operation, get.key, get.missing) == ("get", "키".encode(), "unknown")
    assert (count.operation, count.pattern) == ("count", b"x:*")


def answer(operation: str, *numbers: float, missing: str = "unknown", complete: bool = True) -> Answer:
    found = Answer(Request("a", operation, pattern=b"x*", missing=missing), complete=complete)
    for number in numbers:
        found.matched += 1
        found.add_number(number)
    return found


def test_sum() -> None:
    facts = answer("sum", 1, 2, 4.5).facts()
    assert (facts["count"], facts["sum"], facts["mean"], facts["min"], facts["max"]) == (3, 7.5, 2.5, 1, 4.5)
    assert answer("sum", 2**60, 1).facts()["sum"] == 2**60 + 1


@pytest.mark.parametrize(("missing", "exists", "count", "total"), [("unknown", False, 0, None), ("zero", False, 0, 0)])
def test_nothing_matches(missing: str, exists: bool, count: int, total: int | None) -> None:
    facts = answer("sum", missing=missing).facts()
    assert (facts["exists"], facts["count"], facts["sum"], facts["max"]) == (exists, count, total, total)


def test_a_part_of_the_keys_is_no_figure() -> None:
    # 0 calls out of a scan that saw a tenth of the keys would be the old false green.
    facts = answer("sum", missing="zero", complete=False).facts()
    assert (facts["exists"], facts["count"], facts["sum"], facts["max"]) == (None, None, None, None)
    facts = answer("sum", 5, complete=False).facts()
    assert (facts["exists"], facts["count"], facts["sum"]) == (True, None, None)


def test_a_sum_over_some_is_no_sum() -> None:
    found = answer("sum", 5)
    found.matched += 1
    found.not_numeric = 1
    facts = found.facts()
    assert (facts["count"], facts["sum"], facts["not_numeric_count"]) == (2, None, 1)
    assert facts["note"] == "1 values are no numbers and 0 keys could not be read: no sum"


@pytest.mark.parametrize(
    ("missing", "value"),
    [("unknown", None), ("zero", 0)],
)
def test_a_missing_key(missing: str, value: int | None) -> None:
    facts = Answer(Request("a", "get", key=b"k", missing=missing), exists=False).facts()
    assert (facts["exists"], facts["count"], facts["value"]) == (False, 0, value)


def test_a_key_that_could_not_be_looked_at_is_unknown_even_if_missing_means_zero() -> None:
    facts = Answer(Request("a", "get", key=b"k", missing="zero")).facts()
    assert (facts["exists"], facts["count"], facts["value"]) == (None, None, None)


def test_every_answer_has_the_same_shape() -> None:
    single = Answer(Request("a", "get", key=b"\xff")).facts()
    assert set(single) == set(answer("sum").facts()) == set(answer("sample").facts())
    assert single["key"] == "\\xff"


def test_times_to_live() -> None:
    found = answer("sample")
    for milliseconds in (-1, -2, 5000, 250):
        found.add_ttl(milliseconds)
    assert (found.without_ttl, found.shortest_ttl, found.longest_ttl) == (1, 0.25, 5.0)
