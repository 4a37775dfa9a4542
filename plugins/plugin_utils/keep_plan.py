# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The retention of backups for playbooks: facts of backup_info in, a plan in the shape of a module's result out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.keep import Policy, copies_of
from ansible_collections.runbook.ops.plugins.module_utils.backup.keep import keep_plan as plan
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import duration
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import moment, timezone

_NUMBERS = ("daily", "weekly", "monthly", "yearly", "min_keep", "max_deletes")


def plan_of(artefacts: object, options: Mapping[str, Any]) -> dict[str, Any]:
    """Hold backups against a policy.

    Args:
        artefacts: C(artefacts) of backup_info.
        options: The options of the filter, by name.

    Returns:
        C(changed), C(actions), C(refused), C(kept).

    Raises:
        InvalidOption: the policy or the backups cannot be meant.

    """
    if not isinstance(artefacts, Sequence) or isinstance(artefacts, (str, bytes)):
        raise InvalidOption("artefacts", type(artefacts).__name__, "the artefacts of runbook.ops.backup_info")

    def span(name: str) -> float | None:
        return duration(options[name], name) if options[name] else None

    if not options["rpo"]:
        raise InvalidOption("rpo", options["rpo"], "how old the newest good backup may be, such as 26h")
    policy = Policy(
        **{name: _whole(options[name], name) for name in _NUMBERS},
        zone=timezone(options["timezone"]),
        rpo_seconds=duration(options["rpo"], "rpo"),
        keep_within_seconds=span("keep_within"),
        wal_window_seconds=span("wal_window"),
        is_proof_required=bool(options["require_verified"]),
    )
    copies = copies_of(artefacts, is_proof_required=policy.is_proof_required)
    found = plan(copies, policy, moment(options["reference_time"]))
    actions = [
        {
            "action": "delete",
            "object": copy.name,
            "reason": reason,
            "state": copy.state,
            "taken_at": iso(copy.taken_at),
            "bytes": copy.bytes,
        }
        for copy, reason in found.doomed
    ]
    refused = []
    if found.is_refused and found.refusal is not None:
        refused = [{"object": "", "reason": found.refusal[0], "remedy": found.refusal[1]}]
        actions = []
    return {
        "changed": bool(actions),
        "actions": actions,
        "refused": refused,
        "kept": [
            {"name": copy.name, "taken_at": iso(copy.taken_at), "state": copy.state, "reasons": reasons}
            for copy, reasons in found.kept
        ],
    }


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidOption(name, value, "a whole number")
    return value
