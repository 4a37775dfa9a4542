# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which messages go where now, and what is remembered of those that arrived. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import Finding, sorted_findings
from ansible_collections.runbook.ops.plugins.plugin_utils.notification import wording
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.memory import (
    Item,
    items_of,
    read_memory,
    seen,
    write_memory,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.model import (
    MAIL,
    PAGERDUTY,
    SLACK,
    Route,
    checked_channels,
    checked_routes,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.notification.wording import Frame

_DIGEST = "digest"


def make_plan(
    findings: Sequence[Finding],
    channels: Mapping[str, Mapping[str, Any]],
    routes: Sequence[Mapping[str, Any]],
    now: dt.datetime,
    *,
    memory: str = "",
    system: str = "",
    contacts: Mapping[str, Any] | None = None,
    limit: int = 10,
    forget_days: float = 40,
    report: str = "",
) -> dict[str, Any]:
    """The messages, what is remembered without them, and what each leaves behind once it arrived.

    Args:
        findings: All findings of the run, redacted.
        channels: The channels by name.
        routes: The routes.
        now: The moment of the run.
        memory: The file that an earlier run wrote.
        system: The system.
        contacts: Who answers a priority, and how fast.
        limit: How many findings a message tells whole, and a pager is given one by one.
        forget_days: After how long what was not looked at any more is taken back.
        report: Where to read on.

    Raises:
        InvalidOption: channels, routes or contacts that cannot be meant.

    """
    active = checked_channels(channels)
    made = checked_routes(routes, channels)
    if limit < 1:
        raise InvalidOption("notification_limit", limit, "1 or more")
    whom = _checked_contacts(contacts or {})
    routed, problem = read_memory(memory)
    ordered = sorted_findings(findings)
    frame = Frame(system, whom, limit, iso(now), report)
    messages: list[dict[str, Any]] = []
    for route in made:
        if route.channel not in active or not route.is_open(now):
            continue
        told = routed.get(route.name, {})
        items = items_of(route, told, ordered, now, forget_days)
        routed[route.name] = seen(told, ordered, now)
        kind = active[route.channel]
        made_for = _pages(route, items, told, frame) if kind == PAGERDUTY else _letters(kind, route, items, frame)
        for message in made_for:
            messages.append({"number": len(messages), "route": route.name, "channel": route.channel, **message})
    return {
        "messages": messages,
        "memory": {route.name: routed[route.name] for route in made if route.name in routed},
        "inactive": sorted({route.channel for route in made} - set(active)),
        "problem": problem,
    }


def remember(plan: Mapping[str, Any], arrived: Iterable[int], current: str = "") -> str:
    """The file for the next run: what did not arrive is told again.

    What another round wrote since the plan was made, C(current), stays; only what this one told is changed in it.
    """
    fresh, problem = read_memory(current)
    is_fresh = bool(current.strip()) and not problem
    memory = {
        name: _merged(told, fresh.get(name, {})) if is_fresh else dict(told) for name, told in plan["memory"].items()
    }
    numbers = set(arrived)
    for message in plan["messages"]:
        if message["number"] in numbers:
            told = memory.setdefault(message["route"], {})
            for key, entry in message["remembered"].items():
                if entry is None:
                    told.pop(key, None)
                else:
                    told[key] = dict(entry)
    return write_memory(memory)


def _merged(told: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: {**entry, "seen_at": max(entry["seen_at"], told.get(key, entry)["seen_at"])}
        for key, entry in fresh.items()
    }


def _checked_contacts(contacts: Mapping[str, Any]) -> Mapping[str, Any]:
    for priority, each in contacts.items():
        if not isinstance(each, Mapping) or set(each) - {"respond_within", "contact"}:
            raise InvalidOption(f"notification_contacts.{priority}", each, "a mapping with respond_within and contact")
    return contacts


def _letters(kind: str, route: Route, items: list[Item], frame: Frame) -> Iterator[dict[str, Any]]:
    """One message about everything: a digest by itself."""
    said = [item for item in items if item.entry is not None or route.resolved]
    remembered = {item.key: item.entry for item in items}
    if not said:
        # Nothing to say, and something to forget.
        if items:
            yield {"type": "", "about": 0, "remembered": remembered, "subject": "", "body": None}
        return
    body: Any = wording.text(frame, said)
    if kind == SLACK:
        body = {"text": wording.escaped_for_slack(body), "mrkdwn": False}
    elif kind != MAIL:
        body = wording.document(frame, said)
    subject = wording.heading(frame.system, said)
    yield {"type": kind, "about": len(said), "remembered": remembered, "subject": subject, "body": body}


def _pages(
    route: Route, items: list[Item], told: Mapping[str, Mapping[str, Any]], frame: Frame
) -> Iterator[dict[str, Any]]:
    """An event for each finding; above the limit one for all of them, which ends when the last of them does."""

    def event(body: dict[str, Any], about: Sequence[Item], **more: Any) -> dict[str, Any]:
        remembered = {item.key: None if item.entry is None else {**item.entry, **more} for item in about}
        kind = PAGERDUTY if body else ""
        return {"type": kind, "about": len(about), "remembered": remembered, "subject": "", "body": body}

    bad = [item for item in items if item.entry is not None]
    gone = [item for item in items if item.entry is None]
    together = {key for key, entry in told.items() if entry.get(_DIGEST)}
    fresh = [item for item in bad if item.key not in told]
    key = wording.digest_key(frame.system, route.name)
    if len(fresh) > frame.limit:
        yield event(_digest(fresh, key, frame), fresh, **{_DIGEST: True})
        bad = [item for item in bad if item.key in told]
    for item in bad:
        # What gets worse is worth a page of its own.
        yield event(wording.trigger(frame, wording.dedup_key(frame.system, item.finding), item), [item])
    of_digest = [item for item in gone if item.key in together]
    left = together - {item.key for item in (*gone, *bad)}
    if together and not left and len(fresh) <= frame.limit:
        yield event(wording.resolve(key), of_digest)
    elif of_digest:
        yield event({}, of_digest)
    for item in gone:
        if item.key not in together:
            yield event(wording.resolve(wording.dedup_key(frame.system, item.finding)), [item])


def _digest(fresh: Sequence[Item], key: str, frame: Frame) -> dict[str, Any]:
    first = fresh[0]
    summary = f"{len(fresh)} findings at once, the worst: {first.finding.get('summary') or first.finding['id']}"
    found = {**first.finding, "summary": summary, "object": "", "host": "", "value": None, "threshold": None}
    return wording.trigger(frame, key, Item(first.kind, first.key, found, first.entry))
