# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the result of backup_copy says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.look import Due, Outlook
from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.plan import COPY, REFUSE, REMOVE, SAME
from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import VERIFIED
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, outcome


def actions_of(outlook: Outlook, target: Depot) -> list[dict[str, Any]]:
    """What is to be done, in this order."""
    removals = [
        {
            "action": REMOVE,
            "object": name,
            "reason": "its copy was begun, and the backup itself is gone",
            "address": target.address(name),
            "bytes": None,
            "proven": False,
        }
        for name in sorted(outlook.abandoned)
    ]
    copies = [
        {
            "action": due.decision.what,
            "object": due.sheet.artefact,
            "reason": due.decision.reason,
            "address": target.address(due.sheet.artefact),
            "bytes": due.sheet.bytes,
            "proven": is_proven(due),
        }
        for due in outlook.due
        if due.decision.what not in (SAME, REFUSE)
    ]
    return [*removals, *copies]


def refusals_of(outlook: Outlook) -> list[Refusal]:
    """What is due and will not be done."""
    refused = [
        Refusal(due.sheet.artefact, due.decision.reason, due.decision.remedy)
        for due in outlook.due
        if due.decision.what == REFUSE
    ]
    unreadable = [
        Refusal(name, f"it cannot be copied: {reason.rstrip('.')}", "Verify it, and take another backup.")
        for name, reason in outlook.unreadable
    ]
    return [*refused, *unreadable]


def is_proven(due: Due) -> bool:
    """Whether a copy of a backup counts as proven, by the record that goes along or by the manifest itself."""
    verification = due.sheet.found.get("verification")
    told = verification.get("verdict") if isinstance(verification, Mapping) else None
    return due.record is not None or told == VERIFIED


def result_of(
    target: Depot,
    before: Outlook,
    after: Optional[Outlook],
    actions: Sequence[Mapping[str, Any]],
    refusals: Sequence[Refusal],
    *,
    changed: bool,
) -> dict[str, Any]:
    """The module's result; C(after) is None in check mode."""
    copied = [each["object"] for each in actions if each["action"] == COPY]
    names = set(after.copies) if after is not None else {*before.copies, *copied}
    return outcome(
        changed=changed,
        actions=actions,
        refused=refusals,
        before=_figures(before),
        after=None if after is None else _figures(after),
        copies=_copies(target, after or before),
        diff={"before": _lines(before.copies), "after": _lines(names)},
    )


def _figures(outlook: Outlook) -> dict[str, Any]:
    missing = [due for due in outlook.due if due.decision.what != SAME]
    return {
        "count": len(outlook.copies),
        "newest": outlook.copies[0] if outlook.copies else None,
        "due_count": len(missing) + len(outlook.unreadable),
    }


def _copies(target: Depot, outlook: Outlook) -> list[dict[str, Any]]:
    return [
        {
            "name": due.sheet.artefact,
            "address": target.address(due.sheet.artefact),
            "taken_at": due.sheet.taken_at,
            "bytes": due.sheet.bytes,
            "is_whole": due.decision.what == SAME,
            "proven": is_proven(due),
        }
        for due in reversed(outlook.due)
    ]


def _lines(names: Iterable[str]) -> str:
    return "".join(f"{name}\n" for name in sorted(names))
