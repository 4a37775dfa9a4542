# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every changing module has, once. The doc fragment C(guards) says the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment, timezone
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import in_window, parse_window

ON_REFUSAL = ["fail", "report"]


def guard_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the guards; an empty string means "not given", so that role variables may default to it."""
    return {
        "window": {"type": "list", "elements": "str", "default": []},
        "blocked_window": {"type": "list", "elements": "str", "default": []},
        "timezone": {"type": "str", "default": "UTC"},
        "reference_time": {"type": "str"},
        "on_refusal": {"type": "str", "default": "fail", "choices": list(ON_REFUSAL)},
        "progress_path": {"type": "path"},
    }


def check_guards(options: Mapping[str, Any]) -> None:
    """Refuse guard options that cannot work, before anything is touched; raises InvalidOption."""
    for name in ("window", "blocked_window"):
        for each in options[name]:
            parse_window(each)
    timezone(options["timezone"])
    moment(options["reference_time"])


def window_refusal(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why now is no time for changes, as reason and remedy; None when it is one.

    Without a C(window) every time is one that is not in C(blocked_window).
    """
    zone, now = options["timezone"], options["reference_time"]
    if options["blocked_window"] and in_window(now, options["blocked_window"], zone):
        blocked = ", ".join(options["blocked_window"])
        return (
            f"it is {_clock(now, zone)}, within the hours kept free of changes ({blocked})",
            "Run it at another time.",
        )
    if options["window"] and not in_window(now, options["window"], zone):
        windows = ", ".join(options["window"])
        return f"it is {_clock(now, zone)}, outside the window ({windows})", "Run it within the window."
    return None


def is_in_declared_window(options: Mapping[str, Any]) -> bool:
    """Whether a window was declared and now lies in it: what takes exclusive locks needs both."""
    return bool(options["window"]) and window_refusal(options) is None


def _clock(now: object, zone: str) -> str:
    return f"{moment(now).astimezone(timezone(zone)):%a %H:%M} in {zone}"
