# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told what: channels and routes as data, checked. No value of a channel is ever told. Pure."""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import in_window
from ansible_collections.runbook.ops.plugins.plugin_utils.findings import RANK, Finding
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.paths import is_list

SLACK, PAGERDUTY, MAIL, WEBHOOK = "slack", "pagerduty", "mail", "webhook"
# What a channel of each type has, and without which it is inactive.
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    SLACK: (("url",), ()),
    PAGERDUTY: (("routing_key",), ("url",)),
    MAIL: (("host", "to"), ("from", "port", "username", "password", "secure")),
    WEBHOOK: (("url",), ("headers",)),
}
_ROUTE_KEYS = ("name", "channel", "priorities", "severities", "match", "remind_after", "resolved", "window", "timezone")


@dataclass(frozen=True)
class Route:
    """Findings that go to a channel."""

    name: str
    channel: str
    priorities: tuple[str, ...]
    severities: tuple[str, ...]
    match: tuple[str, ...]
    remind_seconds: int
    resolved: bool
    window: tuple[str, ...]
    timezone: str

    def takes(self, each: Finding) -> bool:
        """Whether a finding is meant for it."""
        return (
            each["severity"] in self.severities
            and (not self.priorities or each.get("priority") in self.priorities)
            and any(fnmatch.fnmatchcase(str(each["id"]), pattern) for pattern in self.match)
        )

    def is_open(self, now: dt.datetime) -> bool:
        """Whether it is its time."""
        return not self.window or in_window(iso(now), list(self.window), self.timezone)


def checked_channels(channels: object) -> dict[str, str]:
    """The type of each channel that is complete, by name; one whose secret or address is empty is inactive.

    Raises:
        InvalidOption: a type or a key that there is not.

    """
    if not isinstance(channels, Mapping):
        raise InvalidOption("notification_channels", type(channels).__name__, "a mapping of channels by name")
    active = {}
    for name, given in channels.items():
        place = f"notification_channels.{name}"
        if not isinstance(given, Mapping) or given.get("type") not in _KEYS:
            raise InvalidOption(f"{place}.type", "something else", ", ".join(_KEYS))
        needed, further = _KEYS[given["type"]]
        unknown = sorted(set(given) - {"type", *needed, *further})
        if unknown:
            raise InvalidOption(place, unknown[0], ", ".join(("type", *needed, *further)))
        if given.get("url") and not str(given["url"]).startswith(("https://", "http://")):
            # Ansible's own error would show it.
            raise InvalidOption(f"{place}.url", "something else", "an address that begins with https://")
        if all(given.get(key) for key in needed):
            active[str(name)] = str(given["type"])
    return active


def checked_routes(routes: object, channels: Mapping[str, Any]) -> list[Route]:
    """The routes; raises InvalidOption."""
    if not isinstance(routes, Sequence) or not is_list(routes):
        raise InvalidOption("notification_routes", type(routes).__name__, "a list of routes")
    made = [_route(each, f"notification_routes[{at}]", channels) for at, each in enumerate(routes)]
    names = [each.name for each in made]
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption("notification_routes", name, "a name that only one route has")
    return made


def _route(each: object, place: str, channels: Mapping[str, Any]) -> Route:
    if not isinstance(each, Mapping):
        raise InvalidOption(place, type(each).__name__, "a mapping with channel, priorities and severities")
    unknown = sorted(set(each) - set(_ROUTE_KEYS))
    if unknown:
        raise InvalidOption(place, unknown[0], ", ".join(_ROUTE_KEYS))
    channel = str(each.get("channel") or "")
    if channel not in channels:
        raise InvalidOption(f"{place}.channel", channel, f"one of {', '.join(map(str, channels)) or 'no channel'}")
    severities = _texts(each.get("severities"), f"{place}.severities") or ("critical", "warning")
    for severity in severities:
        if severity not in RANK or severity == "ok":
            raise InvalidOption(f"{place}.severities", severity, "critical, warning, unknown")
    window, zone = _texts(each.get("window"), f"{place}.window"), str(each.get("timezone") or "UTC")
    timezone(zone)
    if window:
        in_window("2026-01-01T00:00:00Z", list(window), zone)
    remind = str(each.get("remind_after") or "")
    return Route(
        name=str(each.get("name") or channel),
        channel=channel,
        priorities=_texts(each.get("priorities"), f"{place}.priorities"),
        severities=severities,
        match=_texts(each.get("match"), f"{place}.match") or ("*",),
        remind_seconds=parse_seconds(remind, f"{place}.remind_after") if remind else 0,
        resolved=bool(each.get("resolved", True)),
        window=window,
        timezone=zone,
    )


def _texts(value: object, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidOption(place, value, "a list")
    return tuple(str(each) for each in value)
