"""Grouping keys by what their names begin with: pure code."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.groups.model import (
    Grouping,
    GroupRequest,
    Sampled,
    group_request_from,
    prefix_of,
    shares,
    shorten,
    wilson,
)

DEFAULTS: dict[str, Any] = {
    "separator": ":",
    "depth": 1,
    "samples": 20000,
    "max_seconds": 5.0,
    "top": 20,
    "biggest": 10,
    "show_names": True,
}


@pytest.mark.parametrize(
    ("name", "depth", "prefix"),
    [
        (b"cache:product:17", 1, b"cache:"),
        (b"cache:product:17", 2, b"cache:product:"),
        # The last part is what tells keys apart, never a group.
        (b"cache:product:17", 3, b"cache:product:"),
        (b"cache:17", 2, b"cache:"),
        (b"plain", 1, None),
        (b"user:17:cart", 2, b"user:<id>:"),
        (b"user:0b5cb8a7-9a0e-4f3b-8a51-1f0f4c3c2a11:cart", 2, b"user:<id>:"),
        (b"session:9f86d081884c7d65:x", 2, b"session:<id>:"),
        (b"calls:2026-01-31:x", 2, b"calls:<id>:"),
        # Words of hexadecimal letters are words.
        (b"facade:x", 1, b"facade:"),
        (b"decade00:deadbeef:x", 2, b"<id>:deadbeef:"),
        (b":x", 1, b":"),
        (b"\xff\xfe:x", 1, b"\xff\xfe:"),
    ],
)
def test_prefixes(name: bytes, depth: int, prefix: bytes | None) -> None:
    assert prefix_of(name, b":", depth) == prefix


@pytest.mark.parametrize(
    ("hits", "draws", "low", "high"),
    [
        # Against the published table for n = 10 (Brown, Cai and DasGupta 2001) and by R's binom.wilson.
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (20, 20000, 0.000647, 0.001544),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson(hits: int, draws: int, low: float, high: float) -> None:
    found = wilson(hits, draws)
    assert math.isclose(found[0], low, abs_tol=1e-4)
    assert math.isclose(found[1], high, abs_tol=1e-4)


def sampled(name: str, size: int, ttl: int = -1, kind: str = "string", idle: int | None = 5) -> Sampled:
    return Sampled(name.encode(), kind, size, ttl, idle)


def test_an_estimate() -> None:
    grouping = Grouping(GroupRequest(top=1))
    for number in range(75):
        grouping.add(sampled(f"cache:{number}", 100, ttl=1000 if number % 3 else -1))
    for number in range(25):
        grouping.add(sampled(f"job:{number}", 200, kind="hash", idle=None))
    facts = grouping.facts(10_000, exact=False)
    assert (facts["exact"], facts["dbsize"], facts["samples"], facts["bytes"]) == (False, 10_000, 100, 1_250_000)
    (cache,) = facts["entries"]
    assert (cache["group"], cache["keys"], cache["keys_percent"], cache["bytes"], cache["bytes_percent"]) == (
        "cache:*",
        7500,
        75.0,
        750_000,
        60.0,
    )
    assert cache["keys_low"] < 7500 < cache["keys_high"]
    assert (cache["ttl_percent"], cache["types"], cache["idle_median_seconds"]) == (66.67, {"string": 75}, 5)
    assert facts["others"]["group"] is None
    assert (facts["others"]["keys"], facts["others"]["idle_median_seconds"]) == (2500, None)
    assert facts["entries_count"] == 2
    # 1.96 × 10,000 × the standard error of a mean of 75 times 100 and 25 times 0.
    assert cache["bytes_margin"] == pytest.approx(1.96 * 10_000 * 43.52 / 10, rel=1e-3)


def test_all_keys_are_no_estimate() -> None:
    grouping = Grouping(GroupRequest())
    for name, size in (("a:1", 10), ("a:2", 20), ("plain", 30)):
        grouping.add(sampled(name, size))
    facts = grouping.facts(3, exact=True)
    assert [(each["group"], each["keys"], each["keys_low"], each["keys_high"]) for each in facts["entries"]] == [
        ("(no separator)", 1, 1, 1),
        ("a:*", 2, 2, 2),
    ]
    assert {each["bytes_margin"] for each in facts["entries"]} == {0}
    assert [each["key"] for each in facts["biggest"]] == ["plain", "a:2", "a:1"]


def test_nothing_is_known_of_nothing() -> None:
    facts = Grouping(GroupRequest()).facts(5, exact=False)
    assert (facts["bytes"], facts["entries"], facts["others"], facts["biggest"]) == (None, [], None, [])


def test_memory_does_not_grow_with_the_sample() -> None:
    grouping = Grouping(GroupRequest(biggest=3))
    for number in range(1000):
        grouping.add(sampled(f"a:{number}", number))
    assert [each["bytes"] for each in grouping.facts(1000, exact=True)["biggest"]] == [999, 998, 997]
    assert len(grouping._biggest) <= 16


def test_names_can_be_left_out() -> None:
    grouping = Grouping(GroupRequest(show_names=False))
    grouping.add(sampled("session:geheim", 10))
    assert "geheim" not in str(grouping.facts(1, exact=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [(b"short", "short"), (b"x" * 100, "x" * 79 + "…"), (b"\xff", "\\xff"), ("키".encode() * 80, "키" * 80)],
    ids=["short", "long", "bytes", "wide"],
)
def test_names_are_shortened(name: bytes, text: str) -> None:
    assert shorten(name) == text


def test_a_cluster_shares_the_draws_by_size() -> None:
    assert shares(1000, [100, 300, 0, 600]) == [100, 300, 0, 600]
    assert shares(1000, [0, 0]) == [0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"separator": ""}, "groups.separator: '' is not accepted. Accepted: at least one character."),
        ({"depth": 0}, "groups.depth: 0 is not accepted. Accepted: a number from 1 to 8."),
        ({"samples": 5}, "groups.samples: 5 is not accepted. Accepted: a number from 100 to 1e+06."),
        ({"max_seconds": 0.0}, "groups.max_seconds: 0.0 is not accepted. Accepted: a number from 0.1 to 3600."),
        ({"top": 0}, "groups.top: 0 is not accepted. Accepted: a number from 1 to 1000."),
        ({"biggest": 101}, "groups.biggest: 101 is not accepted. Accepted: a number from 0 to 100."),
    ],
)
def test_options_that_cannot_work(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as failure:
        group_request_from({**DEFAULTS, **changes})
    assert failure.value.message == message
