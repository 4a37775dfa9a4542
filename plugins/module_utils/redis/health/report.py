# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_health_info to its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import require_library
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.collect import Wishes, collect
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import health, notes
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from


def health_report(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result without its frame; raises InvalidOption and MissingLibrary."""
    settings = settings_from(params)
    wishes = wishes_from(params)
    require_library()
    try:
        snapshot, skipped = collect(settings, wishes)
    except Unavailable as reason:
        return {"available": False, "reason": reason.message, "notes": [], "skipped_sections": [], "health": {}}
    return {
        "available": True,
        "reason": None,
        "notes": notes(snapshot),
        "skipped_sections": skipped,
        "health": health(snapshot),
    }


def wishes_from(params: Mapping[str, Any]) -> Wishes:
    """Check how much is asked for; raises InvalidOption."""
    limits = {"slowlog_entries": (0, 10000), "ping_samples": (1, 100), "sample_seconds": (0, 300)}
    for name, (least, most) in limits.items():
        if not least <= params[name] <= most:
            raise InvalidOption(name, params[name], f"a number from {least} to {most}")
    return Wishes(**{name: params[name] for name in limits})
