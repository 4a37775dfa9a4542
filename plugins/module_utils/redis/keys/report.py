# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_key_info to its result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import require_library
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.groups.model import group_request_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.model import requests_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.reader import read_keys
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import budget_from


def key_report(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result without its frame; raises InvalidOption and MissingLibrary."""
    settings = settings_from(params)
    requests = requests_from(params["keys"])
    budget = budget_from(params)
    groups = group_request_from(params["groups"]) if params["groups"] else None
    if not requests and groups is None:
        raise InvalidOption("keys", [], "at least one question, or groups")
    require_library()
    try:
        reading = read_keys(settings, requests, budget, groups)
    except Unavailable as reason:
        return {
            "available": False,
            "reason": reason.message,
            "skipped_sections": [],
            "endpoint": {},
            "notes": [],
            "keys": {},
            "groups": None,
            "complete": False,
            "keys_seen": 0,
        }
    return {
        "available": True,
        "reason": None,
        "skipped_sections": reading.skipped,
        "endpoint": reading.endpoint.facts(),
        "notes": reading.endpoint.notes(),
        "keys": {answer.request.name: answer.facts() for answer in reading.answers},
        "groups": reading.groups,
        "complete": reading.complete,
        "keys_seen": reading.keys_seen,
    }
