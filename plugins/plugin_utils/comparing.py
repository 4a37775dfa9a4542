# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of the same rules at two moments: what is cured, better, the same, worse, new. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.findings import RANK, Finding, identity

CURED, BETTER, SAME, WORSE, NEW, UNKNOWN = "cured", "better", "same", "worse", "new", "unknown"
# Unknown is neither better nor worse than anything: it is not known.
_KNOWN = {severity: rank for severity, rank in RANK.items() if severity != "unknown"}


def compare(before: Sequence[Finding], after: Sequence[Finding]) -> list[dict[str, Any]]:
    """What became of every finding that was not ok at one of the two moments.

    Rules over lists name bad objects only and count the good ones in one finding, so an object that is no longer
    named is cured, unless its rule could not be judged any more.

    Returns:
        C({id, host, object, before, after, before_value, after_value, unit, outcome, summary}) in the order of
        C(before), then what is new. C(before) and C(after) are severities, null where the object is not named.

    """
    then, now = _by_identity(before), _by_identity(after)
    unknown = {(each["id"], each.get("host")) for each in after if each["severity"] == "unknown"}
    unknown |= {("*", each.get("host")) for each in after if str(each["id"]).endswith(".not_judged")}
    keys = [*then, *(key for key in now if key not in then)]
    return [
        _entry(then.get(key), now.get(key), unknown)
        for key in keys
        if any(found and found["severity"] != "ok" for found in (then.get(key), now.get(key)))
    ]


def _by_identity(findings: Sequence[Finding]) -> dict[tuple[str, str, str], Finding]:
    return {identity(each): each for each in findings}


def _entry(then: Finding | None, now: Finding | None, unknown: set[tuple[str, Any]]) -> dict[str, Any]:
    shown: Mapping[str, Any] = now or then or {}
    is_unknown = now is None and bool({(shown["id"], shown.get("host")), ("*", shown.get("host"))} & unknown)
    return {
        "id": shown["id"],
        "host": shown.get("host") or "",
        "object": shown.get("object") or "",
        "before": None if then is None else then["severity"],
        "after": "unknown" if is_unknown else None if now is None else now["severity"],
        "before_value": None if then is None else then.get("value"),
        "after_value": None if now is None else now.get("value"),
        "unit": shown.get("unit"),
        "outcome": UNKNOWN if is_unknown else _outcome(then, now),
        "summary": shown.get("summary") or "",
    }


def _outcome(then: Finding | None, now: Finding | None) -> str:
    was = "ok" if then is None else then["severity"]
    is_now = "ok" if now is None else now["severity"]
    if is_now == "unknown":
        return UNKNOWN
    if is_now == "ok":
        return CURED
    if was == "ok":
        return NEW
    if was in (is_now, "unknown"):
        return SAME
    return BETTER if _KNOWN[is_now] > _KNOWN[was] else WORSE
