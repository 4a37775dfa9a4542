# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of k8s_rollout, and what cannot work among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_plan import (
    PAUSED,
    RESTARTED,
    RESUMED,
    STATES,
    UNDONE,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.rollout_state import ROLLED_OUT
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.waiting import (
    check_seconds,
    gitops_argument_spec,
    pod_wait_argument_spec,
)

_ONLY_WITH = {"restart_id": RESTARTED, "unless_restarted_within": RESTARTED, "revision": UNDONE, "soak": UNDONE}


def rollout_argument_spec() -> dict[str, dict[str, Any]]:
    """What the module takes beside the connection."""
    return {
        "namespace": {"type": "str", "required": True},
        "kind": {"type": "str", "choices": list(ROLLED_OUT), "default": "deployment"},
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": list(STATES), "required": True},
        "restart_id": {"type": "str"},
        "unless_restarted_within": {"type": "str"},
        "revision": {"type": "int", "default": 0},
        "schema_compatible": {"type": "bool", "default": False},
        "soak": {"type": "bool", "default": False},
        **gitops_argument_spec(),
        "on_failure": {"type": "str", "choices": ["revert", "keep"], "default": "revert"},
        "settle": {"type": "float", "default": 10},
        **pod_wait_argument_spec(),
    }


def check_rollout(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what cannot work."""
    check_seconds(params, "settle", "give_up_after")
    if params["revision"] < 0:
        raise InvalidOption("revision", params["revision"], "the number of a revision, or 0 for the one before")
    state, kind = params["state"], params["kind"]
    if state in (PAUSED, RESUMED) and kind != "deployment":
        raise InvalidOption("kind", kind, f"deployment, because nothing else can be {state}")
    for option, belongs in _ONLY_WITH.items():
        if params[option] and state != belongs:
            raise InvalidOption(option, params[option], f"no value with state={state}; it is for state={belongs}")
    within_seconds(params)


def within_seconds(params: Mapping[str, Any]) -> int | None:
    """How young a restart must be to count as this one."""
    text = params["unless_restarted_within"]
    return parse_seconds(text, "unless_restarted_within") if text else None
