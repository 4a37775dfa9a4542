# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading what somebody wrote down, strictly: a misspelt key or a wrong type is named with its place. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.plugin_utils.duration import parse_duration


def a_mapping(value: object, at: str, known: Sequence[str]) -> Mapping[str, Any]:
    """A mapping with no other keys than the known ones; raises InvalidOption."""
    if not isinstance(value, Mapping):
        raise InvalidOption(at, type(value).__name__, f"a mapping with {', '.join(known)}")
    strange = [str(name) for name in value if name not in known]
    if strange:
        raise InvalidOption(f"{at}.{strange[0]}", value[strange[0]], f"one of the keys {', '.join(known)}")
    return value


def a_list(value: object, at: str) -> Sequence[Any]:
    """A list, none for nothing; raises InvalidOption."""
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise InvalidOption(at, value, "a list")
    return value


def a_text(found: Mapping[str, Any], name: str, at: str, *, required: bool = False) -> str:
    """A text, empty for nothing; raises InvalidOption."""
    value = found.get(name)
    if value is None or value == "":
        if required:
            raise InvalidOption(f"{at}.{name}", value, "text")
        return ""
    if not isinstance(value, str):
        raise InvalidOption(f"{at}.{name}", value, "text")
    return value


def a_bool(found: Mapping[str, Any], name: str, at: str, *, default: bool | None) -> bool | None:
    """True, false, or what holds when nothing is said; raises InvalidOption."""
    value = found.get(name, default)
    if value is not None and not isinstance(value, bool):
        raise InvalidOption(f"{at}.{name}", value, "true or false")
    return value


def a_span(found: Mapping[str, Any], name: str, at: str) -> float | None:
    """A duration in seconds; None for nothing. Raises InvalidOption."""
    value = found.get(name)
    if value is None:
        return None
    seconds = parse_duration(value, f"{at}.{name}")
    if seconds < 0:
        raise InvalidOption(f"{at}.{name}", value, "a duration of 0 or more")
    return seconds


def a_zone(found: Mapping[str, Any], at: str) -> str | None:
    """The name of a time zone; None for nothing. Raises InvalidOption."""
    name = a_text(found, "timezone", at)
    if name:
        timezone(name)
    return name or None


def check_unique(names: Sequence[str], at: str) -> None:
    """Refuse names that occur twice; raises InvalidOption."""
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption(at, name, "different names")


def a_count(found: Mapping[str, Any], name: str, at: str) -> int | None:
    """A number of things, 1 at least; None for nothing. Raises InvalidOption."""
    value = found.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidOption(f"{at}.{name}", value, "a whole number above 0")
    return value
