# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of changing modules: how long they wait, and who else owns what they change. Pure.

The parts of the doc fragment C(kubernetes) say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

GITOPS = ("refuse", "warn", "ignore")
# When to give up on a rollout before its time is over.
GIVE_UP_AFTER = 120.0
_DAY = 86400


def gitops_argument_spec() -> dict[str, dict[str, Any]]:
    """What happens to objects that Argo CD or Flux would put back."""
    return {"gitops": {"type": "str", "choices": list(GITOPS), "default": "refuse"}}


def wait_argument_spec() -> dict[str, dict[str, Any]]:
    """Whether, and how long, it is waited until what was changed is so."""
    return {
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "float", "default": 600},
        "wait_sleep": {"type": "float", "default": 2},
    }


def pod_wait_argument_spec() -> dict[str, dict[str, Any]]:
    """The same where new pods are waited for."""
    return {
        **wait_argument_spec(),
        "give_up_after": {"type": "float", "default": GIVE_UP_AFTER},
        "progress_path": {"type": "path"},
    }


def check_seconds(params: Mapping[str, Any], *options: str, most: int = _DAY) -> None:
    """The options of waiting, and others of seconds that may be 0; raises InvalidOption.

    Args:
        params: The module's.
        options: The others.
        most: How many seconds are accepted.

    """
    for option, lowest in (("wait_timeout", 1), ("wait_sleep", 0.05), *((each, 0) for each in options)):
        if not lowest <= params[option] <= most:
            raise InvalidOption(option, params[option], f"seconds from {lowest} to {most}")
