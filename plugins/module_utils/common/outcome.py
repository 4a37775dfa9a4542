# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a changing module found, did and refused, in the one shape all of them return. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError


class Refused(RunbookError):
    """A guard said no. Nothing, or nothing more, was changed; the message names the guard and the next step."""


@dataclass(frozen=True)
class Refusal:
    """One object that is due and was left alone."""

    object: str
    reason: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        """The entry of the module's C(refused)."""
        return {"object": self.object, "reason": self.reason, "remedy": self.remedy}


def outcome(
    *,
    changed: bool,
    actions: Sequence[Mapping[str, Any]],
    refused: Sequence[Refusal] = (),
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The result of a changing module.

    Args:
        changed: Whether anything was changed, or would be.
        actions: One entry an action, in the order in which they are carried out; the same in check mode.
        refused: What was due and was left alone.
        before: The figures that the actions are about, measured before.
        after: The same figures, measured again afterwards. None in check mode: they cannot be known.
        more: What is the module's own.

    """
    return {
        "changed": changed,
        "actions": [dict(each) for each in actions],
        "refused": [each.as_dict() for each in refused],
        "before": dict(before or {}),
        "after": None if after is None else dict(after),
        **more,
    }


def check_refusals(result: Mapping[str, Any], on_refusal: str) -> None:
    """Raise Refused for a result with refusals when the task should fail over them; the result travels along."""
    refused = result["refused"]
    if not refused or on_refusal != "fail":
        return
    first = refused[0]
    others = f" ({len(refused) - 1} more in refused)" if len(refused) > 1 else ""
    raise Refused(f"{first['object']}: {first['reason']}. {first['remedy']}{others}", **result)
