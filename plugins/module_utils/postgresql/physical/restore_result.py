# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore to a moment does and did, and what is left to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.build import Built
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.destination import Destination
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import precise


def actions_of(source: str, target: str, wanted: str, destination: Destination) -> list[dict[str, Any]]:
    """What a restore does, in order; the same in check mode."""
    actions = [
        *(
            {"action": "clear", "object": str(path), "reason": "left by a run that was killed"}
            for each in destination.leftovers
            for path in (*each.tablespaces, each.data)
        ),
        {"action": "copy", "object": target, "reason": f"from {source}"},
        {"action": "replay", "object": target, "reason": f"to {wanted}, in a private server that archives nothing"},
        {"action": "check", "object": target, "reason": "must_see and must_not_see"},
    ]
    for path in destination.tablespaces.values():
        actions.append({"action": "place", "object": str(path), "reason": f"for {destination.account.name}"})
    return [*actions, {"action": "place", "object": target, "reason": f"for {destination.account.name}"}]


def told(
    params: Mapping[str, Any],
    marker: Mapping[str, Any],
    *,
    changed: bool,
    actions: Sequence[Mapping[str, Any]],
    before: Optional[Mapping[str, Any]],
    built: Optional[Built],
    window: Mapping[str, Any],
    notes: Sequence[str],
    bytes_: int,
    major: int,
) -> dict[str, Any]:
    """The result of a restore to a moment."""
    is_planned = changed and built is None
    after: Optional[dict[str, Any]] = None if is_planned else {**marker}
    if before is not None and not changed:
        after = dict(before)
    recovered = None
    if built is not None:
        last = built.last_commit_at
        recovered = {
            "lsn": built.lsn,
            "last_commit_at": None if last is None else precise(last),
            "timeline": built.timeline,
            "settings": built.proof,
            "superuser": built.superuser,
        }
        after = {**marker, "lsn": built.lsn, "timeline": built.timeline}
    target = str(params["data_directory"])
    return outcome(
        changed=changed,
        actions=actions,
        before=before,
        after=after,
        backup=marker["backup"],
        bytes=bytes_,
        data_directory=target,
        window=dict(window),
        recovered=recovered,
        answers=[] if built is None else [each.as_dict() for each in built.answers],
        seconds={} if built is None else built.seconds,
        how_to_start=[] if built is None else how_to_start(target, major, has_configuration=built.has_configuration),
        notes=list(notes),
        diff={
            "before": f"{(before or {}).get('target_time', 'nothing')}\n",
            "after": f"{marker['target_time']} from {marker['backup']}\n",
        },
    )


def how_to_start(data: str, major: int, *, has_configuration: bool) -> list[str]:
    """What is left to do, in order, for people."""
    steps = []
    if not has_configuration:
        steps.append(
            f"The backup carries no postgresql.conf, as on Debian, where it lies in /etc/postgresql/{major}/: copy "
            "that "
            "directory from the old host or from its backup, and set data_directory in it."
        )
    steps += [
        "Look at its settings before it starts: port, listen_addresses, shared_preload_libraries and pg_hba.conf "
        "are those "
        "of the old server.",
        f"Start it as its own account: pg_ctl -D {data} -w start",
        "archive_mode is off in postgresql.auto.conf, so that it does not archive into the old server's archive. "
        "Give it an "
        "archive of its own, ALTER SYSTEM RESET archive_mode, restart it, and take a base backup at once.",
    ]
    return steps
