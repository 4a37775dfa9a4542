# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said in a message: no more of a finding than a report shows. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.collecting import NOTHING_CONFIGURED
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import counted, identity
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import plain_line
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.memory import (
    FORGOTTEN,
    GONE,
    NEW,
    REMINDER,
    WORSE,
    Item,
)


@dataclass(frozen=True)
class Frame:
    """What all messages of a run have in common: C(at) is ISO 8601, C(report) says where to read on."""

    system: str
    contacts: Mapping[str, Any]
    limit: int
    at: str
    report: str


_ORDER = (NEW, WORSE, REMINDER, GONE, FORGOTTEN)
_SAID = {NEW: "new", WORSE: "worse", REMINDER: "still there", GONE: "gone", FORGOTTEN: "not measured any more"}
_MOST = 600
# Slack cuts at 40,000 characters.
_SLACK_MOST = 39_000
# Not those of addresses.
_MENTION = re.compile(r"(?<!\w)@(?=\w)")
_PAGERDUTY = {"critical": "critical", "warning": "warning", "unknown": "warning"}
_FIELDS = ("id", "host", "object", "severity", "priority", "value", "unit", "threshold", "summary", "remedy")


def heading(system: str, items: Sequence[Item]) -> str:
    """One line: the system, and how much of what."""
    counts = [(kind, sum(item.kind == kind for item in items)) for kind in _ORDER]
    return f"{plain_line(system) or 'Findings'}: " + ", ".join(
        f"{number} {_SAID[kind]}" for kind, number in counts if number
    )


def text(frame: Frame, items: Sequence[Item]) -> str:
    """A message that people read, the first ones whole and the others counted."""
    lines = [heading(frame.system, items)]
    for item in items[: frame.limit]:
        lines += ["", *_lines(item, frame.contacts)]
    if len(items) > frame.limit:
        rest = items[frame.limit :]
        critical = sum(item.entry is not None and item.finding["severity"] == "critical" for item in rest)
        lines += ["", f"And {counted(len(rest), 'other')}, {critical} of them critical."]
    if frame.report:
        lines += ["", f"Report: {frame.report}"]
    return "\n".join(lines)


def _lines(item: Item, contacts: Mapping[str, Any]) -> Iterator[str]:
    each = item.finding
    # What is not configured is named by its summary.
    names = ("host",) if each["id"] == NOTHING_CONFIGURED else ("host", "object")
    place = plain_line(" ".join(str(each.get(name)) for name in names if each.get(name)))
    label = " ".join(str(each.get(name)) for name in ("severity", "priority") if each.get(name))
    summary = plain_line(str(each.get("summary") or ""))[:_MOST]
    start = f"{place}: " if place else ""
    if item.entry is None:
        yield f"{_SAID[item.kind]} ({label}): {start}{summary}"
        return
    yield f"{_SAID[item.kind]}, {label}: {start}{summary}"
    if each.get("remedy"):
        yield f"  Do: {plain_line(str(each['remedy']))[:_MOST]}"
    whom = contact(each, contacts)
    if whom:
        within = f" within {whom['respond_within']}" if whom.get("respond_within") else ""
        yield f"  Answer{within}" + (f": {whom['contact']}" if whom.get("contact") else "")


def contact(each: Mapping[str, Any], contacts: Mapping[str, Any]) -> dict[str, str]:
    """Who answers a finding of this priority, and how fast."""
    found = contacts.get(each.get("priority") or "") or {}
    return {name: str(found[name]) for name in ("respond_within", "contact") if found.get(name)}


def escaped_for_slack(said: str) -> str:
    """Text in which Slack reads no mention and no link, nor Mattermost a mention, and no longer than Slack takes."""
    plain = _MENTION.sub("@\u200b", said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return plain if len(plain) <= _SLACK_MOST else f"{plain[:_SLACK_MOST].rsplit(chr(10), 1)[0]}\n…"


def document(frame: Frame, items: Sequence[Item]) -> dict[str, Any]:
    """What a webhook gets."""
    return {
        "title": heading(frame.system, items),
        "system": frame.system,
        "at": frame.at,
        "report": frame.report,
        "findings": [
            {
                "status": item.kind,
                **{name: item.finding.get(name) for name in _FIELDS},
                **{name: contact(item.finding, frame.contacts).get(name) for name in ("respond_within", "contact")},
            }
            for item in items[: frame.limit]
        ],
        "more": max(0, len(items) - frame.limit),
    }


def dedup_key(system: str, each: Mapping[str, Any]) -> str:
    """The same for the same finding of the same system, whenever."""
    digest = hashlib.sha256("\0".join((system, *identity(each))).encode()).hexdigest()
    return f"runbook-{digest[:40]}"


def digest_key(system: str, route: str) -> str:
    """Of the one event that stands for many."""
    return f"runbook-digest-{hashlib.sha256(f'{system}/{route}'.encode()).hexdigest()[:32]}"


def trigger(frame: Frame, key: str, item: Item) -> dict[str, Any]:
    """An event of PagerDuty's Events API v2, without its routing key."""
    each = item.finding
    details = {name: each.get(name) for name in ("value", "unit", "threshold", "remedy", "priority")}
    details |= {**contact(each, frame.contacts), "report": frame.report}
    return {
        "event_action": "trigger",
        "dedup_key": key,
        "payload": {
            "summary": plain_line(str(each.get("summary") or each["id"]))[:1000],
            "source": plain_line(str(each.get("host") or frame.system or "runbook.ops")),
            "severity": _PAGERDUTY[str(each["severity"])],
            "timestamp": frame.at,
            "component": plain_line(str(each.get("object") or "")),
            "group": frame.system,
            "class": str(each["id"]),
            "custom_details": {name: _short(value) for name, value in details.items() if value not in (None, "")},
        },
    }


def _short(value: Any) -> Any:
    """Of an event's 512 kB only so much: what is larger is refused as a whole."""
    return value if isinstance(value, (bool, int, float)) else plain_line(str(value), 4 * _MOST)


def resolve(key: str) -> dict[str, Any]:
    """Takes an event back."""
    return {"event_action": "resolve", "dedup_key": key}
