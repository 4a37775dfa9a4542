# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which updates a policy of approvals lets through. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import in_window
from ansible_collections.runbook.ops.plugins.module_utils.packages.model import CLASSES

_KEYS = ("requires", "approvers", "window")
_REQUIRED = ("approver", "ticket")


def approved(
    updates: Sequence[Mapping[str, Any]],
    policy: Mapping[str, Any],
    *,
    approver: str = "",
    ticket: str = "",
    moment: str = "",
    timezone: str = "UTC",
) -> dict[str, Any]:
    """Versions by name that may be installed, and what may not, with the reason and the next step.

    What is on hold is in neither.

    Raises:
        InvalidOption: for a policy that cannot be read.

    """
    check_policy(policy)
    reasons = {
        name: _missing(name, policy, approver=approver, ticket=ticket, moment=moment, timezone=timezone)
        for name in CLASSES
    }
    versions: dict[str, str] = {}
    refused: list[dict[str, str]] = []
    for update in updates:
        reason, remedy = reasons[update["class"]]
        if update["is_held"]:
            continue
        if not reason:
            versions[update["name"]] = update["candidate"]
        else:
            refused.append({"object": update["name"], "version": update["candidate"], "class": update["class"],
                            "reason": reason, "remedy": remedy})  # fmt: skip
    return {"versions": versions, "refused": refused}


def check_policy(policy: object) -> None:
    """Refuse a policy that cannot be read."""
    if not isinstance(policy, Mapping) or set(policy) - set(CLASSES):
        raise InvalidOption("policy", policy, f"a mapping with {', '.join(CLASSES)}")
    for name, rule in policy.items():
        if not isinstance(rule, Mapping) or set(rule) - set(_KEYS):
            raise InvalidOption(f"policy.{name}", rule, f"a mapping with {', '.join(_KEYS)}, or an empty one")
        if set(rule.get("requires") or []) - set(_REQUIRED):
            raise InvalidOption(f"policy.{name}.requires", rule["requires"], f"a list of {', '.join(_REQUIRED)}")


def _missing(name: str, policy: Mapping[str, Any], *, moment: str, timezone: str, **given: str) -> tuple[str, str]:
    """What an update of this class lacks, and the next step; empty if nothing."""
    if name not in policy:
        return f"the policy has no rule for {name} updates", "Add one to patching_policy, or update it by hand."
    rule = policy[name]
    for key in rule.get("requires") or []:
        if not given[key]:
            return f"{name} updates need a {key}" if key == "ticket" else f"{name} updates need an {key}", (
                f"Name it with -e {key}=…"
            )
    approvers = rule.get("approvers") or []
    if approvers and given["approver"] not in approvers:
        who = f"{given['approver']} may not approve" if given["approver"] else "nobody has approved"
        return f"{who} {name} updates", f"Ask {' or '.join(approvers)}, and name who approved with -e approver=…"
    window = rule.get("window") or []
    if window and not in_window(moment, window, timezone):
        return f"{name} updates have their window at {', '.join(window)}", "Run it then."
    return "", ""
