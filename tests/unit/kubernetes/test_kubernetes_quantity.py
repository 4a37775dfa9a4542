"""Quantities, by the cases of Kubernetes' own grammar."""

from __future__ import annotations

from fractions import Fraction

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.quantity import (
    bytes_of,
    check_size,
    compare_quantities,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("200Gi", 200 * 1024**3),
        ("1.5Ti", 3 * 1024**4 // 2),
        (".5Ki", 512),
        ("5.", 5),
        ("+1Mi", 1024**2),
        ("-1k", -1000),
        ("128974848", 128974848),
        ("129e6", 129_000_000),
        ("129M", 129_000_000),
        ("128974848000m", 128974848),
        ("123Mi", 123 * 1024**2),
        # An exa, and an exponent.
        ("1E", 10**18),
        ("1E3", 1000),
        ("1e-3", Fraction(1, 1000)),
        ("1Ei", 1024**6),
        ("100m", Fraction(1, 10)),
        ("5n", Fraction(5, 10**9)),
        ("7u", Fraction(7, 10**6)),
    ],
)
def test_what_a_quantity_stands_for(text: str, value: Fraction | int) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "Gi", "1 Gi", "1gi", "1K", "1GB", "1,5Gi", "1e", "1e3Ki", "--1", "0x10", "\u0661Gi"]
)
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        ("1Gi", "1073741824", 0),
        ("200G", "200Gi", -1),
        ("1Ti", "1000Gi", 1),
        ("0.1", "100m", 0),
        # As floats these would be the same.
        ("9007199254740993", "9007199254740992", 1),
    ],
)
def test_order(left: str, right: str, order: int) -> None:
    assert compare_quantities(left, right) == order


def test_bytes_are_rounded_up() -> None:
    assert [bytes_of(text) for text in ("0.3Ki", "1500m", "1Ki")] == [308, 2, 1024]


@pytest.mark.parametrize("text", ["200m", "0", "-5Gi", "much", "200GB"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        check_size("size", text)
    assert raised.value.message == (
        f"size: {text!r} is not accepted. Accepted: an amount such as 200Gi, 1.5Ti, 500M or 214748364800."
    )
