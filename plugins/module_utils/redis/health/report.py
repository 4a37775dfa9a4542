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
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.config_reading import read_config_file
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import Snapshot, health, notes
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from


def health_report(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result without its frame; raises InvalidOption and MissingLibrary."""
    settings = settings_from(params)
    wishes = wishes_from(params)
    require_library()
    try:
        snapshot, skipped = collect(settings, wishes)
    except Unavailable as reason:
        # A file with a mistake in it is often why the server is not there.
        file = read_config_file(params["config_file"], settings, {}, {})
        return {
            "available": False,
            "reason": reason.message,
            "notes": [],
            "skipped_sections": [file.skipped] if file.skipped else [],
            "health": {},
            "config_file": file.facts,
        }
    file = read_config_file(params["config_file"], settings, snapshot.info, running(snapshot))
    return {
        "available": True,
        "reason": None,
        "notes": notes(snapshot),
        "skipped_sections": [*skipped, *([file.skipped] if file.skipped else [])],
        "health": health(snapshot),
        "config_file": file.facts,
    }


def running(snapshot: Snapshot) -> dict[str, str]:
    """The settings a server runs with; INFO tells two of them also where CONFIG is denied."""
    said = {"maxmemory": "maxmemory", "maxmemory-policy": "maxmemory_policy"}
    from_info = {name: snapshot.info[key] for name, key in said.items() if key in snapshot.info}
    return {**from_info, **snapshot.config}


def wishes_from(params: Mapping[str, Any]) -> Wishes:
    """Check how much is asked for; raises InvalidOption."""
    limits = {"slowlog_entries": (0, 10000), "ping_samples": (1, 100), "sample_seconds": (0, 300)}
    for name, (least, most) in limits.items():
        if not least <= params[name] <= most:
            raise InvalidOption(name, params[name], f"a number from {least} to {most}")
    return Wishes(**{name: params[name] for name in limits})
