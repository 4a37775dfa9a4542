# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was told already, by route: so that what has not changed is told once, and what is gone is taken back. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.plugin_utils.collecting import (
    NOT_CONFIGURED,
    NOT_MEASURED,
    NOTHING_CONFIGURED,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import RANK, Finding, identity
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.judge import OTHERS
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.model import Route

NEW, WORSE, REMINDER, GONE, FORGOTTEN = "new", "worse", "still", "gone", "forgotten"
VERSION = 1
_KEPT = ("id", "host", "object", "severity", "priority", "summary", "source")
Memory = dict[str, dict[str, dict[str, Any]]]


@dataclass(frozen=True)
class Item:
    """One finding to be told, and what is remembered of it once it was: nothing, when it is gone."""

    kind: str
    key: str
    finding: Mapping[str, Any]
    entry: dict[str, Any] | None


def read_memory(text: str) -> tuple[Memory, str]:
    """What was told, and what is wrong with the file; what cannot be read was not told."""
    if not text.strip():
        return {}, ""
    try:
        found = json.loads(text)
        if found["version"] != VERSION:
            return {}, f"it is of another version, {found['version']!r}"
        routes = {
            str(name): {str(key): _entry(each) for key, each in told.items()} for name, told in found["routes"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return {}, f"it cannot be read ({type(error).__name__})"
    return routes, ""


def _entry(each: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("since", "told_at", "seen_at"):
        parse_moment(each[name])
    if each["severity"] not in RANK:
        raise ValueError(each["severity"])
    return {**each, **{name: each.get(name) for name in _KEPT}}


def write_memory(memory: Memory) -> str:
    """The file."""
    return json.dumps({"version": VERSION, "routes": memory}, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def key_of(each: Mapping[str, Any]) -> str:
    """What makes it the same finding in another run."""
    return json.dumps(identity(each), ensure_ascii=False)


def items_of(
    route: Route, told: Mapping[str, dict[str, Any]], findings: Sequence[Finding], now: dt.datetime, forget_days: float
) -> list[Item]:
    """What a route has to say now, the worst first, then what is gone."""
    wanted = {key_of(each): each for each in findings if route.takes(each)}
    items = []
    for key, each in wanted.items():
        kind = _kind(route, told.get(key), each, now)
        if kind:
            since = told[key]["since"] if key in told else iso(now)
            kept = {name: each.get(name) for name in _KEPT}
            items.append(Item(kind, key, each, {**kept, "since": since, "told_at": iso(now), "seen_at": iso(now)}))
    for key, entry in told.items():
        if key not in wanted:
            kind = _end(entry, findings, now, forget_days)
            items += [Item(kind, key, entry, None)] if kind else []
    return items


def seen(
    told: Mapping[str, dict[str, Any]], findings: Sequence[Finding], now: dt.datetime
) -> dict[str, dict[str, Any]]:
    """What was told, with the moment of what is still there."""
    present = {key_of(each) for each in findings if each["severity"] != "ok"}
    return {key: {**entry, "seen_at": iso(now)} if key in present else dict(entry) for key, entry in told.items()}


def _kind(route: Route, entry: Mapping[str, Any] | None, each: Finding, now: dt.datetime) -> str:
    if entry is None:
        return NEW
    if RANK[each["severity"]] < RANK[entry["severity"]]:
        return WORSE
    is_due = route.remind_seconds and (now - parse_moment(entry["told_at"])).total_seconds() >= route.remind_seconds
    return REMINDER if is_due else ""


def _end(entry: Mapping[str, Any], findings: Sequence[Finding], now: dt.datetime, forget_days: float) -> str:
    """Whether it is gone. A run that did not look, or could not, says nothing about it."""
    same = [each for each in findings if identity(each) == identity(entry)]
    if same:
        return "" if same[0]["severity"] == "unknown" else GONE
    if _was_judged(entry, findings):
        return GONE
    return FORGOTTEN if now - parse_moment(entry["seen_at"]) > dt.timedelta(days=forget_days) else ""


def _was_judged(entry: Mapping[str, Any], findings: Sequence[Finding]) -> bool:
    """Rules over lists name what is bad only: another finding of the rule and host says that it was judged."""
    rule, host = str(entry["id"]), entry.get("host") or ""
    domain = rule.split(".", 1)[0]
    if rule == NOT_MEASURED:
        return any((each.get("host") or "") == host and each["id"] != NOT_MEASURED for each in findings)
    if rule == NOTHING_CONFIGURED:
        # Only the same playbook says that, by the same finding.
        return False
    if rule.endswith(f".{NOT_CONFIGURED}"):
        return any(str(each["id"]).split(".", 1)[0] == domain for each in findings)
    # A round that judges by other rules of the same role says nothing about this one; a judged rule is always named,
    # and what is behind the first of its list is counted only, so that this one may be among them.
    near = list(_near(entry, findings))
    mine = [each for each in near if each["id"] == rule]
    return bool(mine) and not any(each["severity"] == "unknown" or each.get("object") == OTHERS for each in mine)


def _near(entry: Mapping[str, Any], findings: Sequence[Finding]) -> Iterator[Finding]:
    for each in findings:
        if (each.get("host") or "") == (entry.get("host") or "") and each.get("source") == entry.get("source"):
            yield each
