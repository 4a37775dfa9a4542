# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures before and after, found by the names that modules give them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.judging.units import unit_of_name

Figure = dict[str, Any]

# The last word of a figure's name that only says its unit. "dead rows" without its rows would be no name any more.
_UNIT_WORDS = ("bytes", "seconds", "percent", "milliseconds", "ms")
# "total" alone does not say of what.
_SIZES = ("total", "table", "index", "heap", "toast", "database", "relation")
_COUNTED = ("rows", "tuples", "pages", "count", "total")
# Numbers that name something and measure nothing.
_IDENTITIES = ("filenode", "oid", "id", "pid")


def figures_of(entry: Mapping[str, Any]) -> list[Figure]:
    """The pairs C(x_before) and C(x_after), and those of the mappings C(before) and C(after), as figures.

    A figure is C({name, before, after, unit}). A side that is missing is null. The unit may also stand last
    (C(size_before_bytes)). What is no plain value is left out, and so are numbers that only name something, and words
    that stayed as they were.
    """
    pairs: dict[str, dict[str, Any]] = {}
    for stem, side, value in _sides(entry):
        pairs.setdefault(stem, {})[side] = value
    return [_figure(stem, pair) for stem, pair in pairs.items() if _tells(stem, pair)]


def _sides(entry: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for key, value in entry.items():
        if not isinstance(key, str):
            continue
        if key in ("before", "after"):
            yield from ((str(name), key, each) for name, each in (value.items() if isinstance(value, Mapping) else ()))
            continue
        words = key.split("_")
        for at in (-1, -2):
            if len(words) > -at and words[at] in ("before", "after"):
                yield "_".join(words[:at] + words[len(words) + at + 1 :]), words[at], value
                break


def _tells(stem: str, pair: Mapping[str, Any]) -> bool:
    if stem.rsplit("_", 1)[-1] in _IDENTITIES or not all(is_plain(value) for value in pair.values()):
        return False
    before, after = pair.get("before"), pair.get("after")
    if isinstance(before, bool):
        # Whether an index is valid is no figure; that it became so is.
        return isinstance(after, bool) and after != before
    return before != after or not isinstance(before, str)


def is_plain(value: object) -> bool:
    """Whether a value can be a side of a figure."""
    return value is None or isinstance(value, (str, int, float))


def _figure(stem: str, pair: Mapping[str, Any]) -> Figure:
    before, after = (finite(pair.get(side)) for side in ("before", "after"))
    *words, last = stem.split("_")
    unit = unit_of_name(stem)
    if unit is None:
        known = [value for value in (before, after) if value is not None]
        counted = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in known)
        unit = "count" if (known or last in _COUNTED) and counted else "text"
    if last in _UNIT_WORDS and words:
        if last == "bytes" and words[-1] in _SIZES:
            words.append("size")
    else:
        words.append(last)
    return {"name": " ".join(words), "before": before, "after": after, "unit": unit}


def finite(value: Any) -> Any:
    """A value as it is; null for a number that JSON cannot write."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
