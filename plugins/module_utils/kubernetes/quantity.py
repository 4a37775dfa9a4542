# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quantities as Kubernetes writes them, exact. Pure.

Source: the grammar in the documentation of C(Quantity), k8s.io/apimachinery/pkg/api/resource/quantity.go, and
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

ACCEPTED = "an amount such as 200Gi, 1.5Ti, 500M or 214748364800"
_BINARY = {
    suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)
}
_DECIMAL = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
}
# "1E" is an exa and "1E3" a thousand: an exponent needs its digits.
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE]([+-]?[0-9]{1,2})|([KMGTPE]i|[numkMGTPE]?))")


def parse_quantity(text: str) -> Fraction:
    """The number that a quantity stands for; ValueError for what is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no quantity")
    number, exponent, suffix = match.groups()
    if exponent is not None:
        return Fraction(number) * Fraction(10) ** int(exponent)
    return Fraction(number) * (_BINARY[suffix] if suffix in _BINARY else _DECIMAL[suffix])


def bytes_of(text: str) -> int:
    """Whole bytes of an amount of storage, rounded up as Kubernetes does; ValueError for what is no quantity."""
    return math.ceil(parse_quantity(text))


def compare_quantities(left: str, right: str) -> int:
    """-1, 0 or 1, whatever the notations: C(1Gi) and C(1073741824) are the same."""
    first, second = parse_quantity(left), parse_quantity(right)
    return (first > second) - (first < second)


def check_size(option: str, text: str) -> None:
    """Refuse what is no amount of storage; raises InvalidOption.

    A fraction of a byte is one as well: C(200m) is a fifth of a byte, and mebibytes were meant.
    """
    try:
        amount = parse_quantity(text)
    except ValueError:
        raise InvalidOption(option, text, ACCEPTED) from None
    if amount < 1 or text.endswith(("n", "u", "m")):
        raise InvalidOption(option, text, ACCEPTED)
