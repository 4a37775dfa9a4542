# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of postgresql_restore, from what was found and done. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import outcome
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.choose import Chosen
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.filling import Filled
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import mark_facts
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import RestoreRequest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.state import State
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.swap import Swap


@dataclass(frozen=True)
class Restored:
    """What a restore came to. C(seconds) is by phase."""

    artefact: str
    database: str
    old_database: Optional[str]
    filled: Filled
    swap: Swap
    roles: Sequence[str]
    seconds: Mapping[str, float]
    watermarks: Mapping[str, Mapping[str, Any]]
    content_age_seconds: Optional[float]

    def facts(self) -> dict[str, Any]:
        """For the result's C(restored)."""
        return {
            "artefact": self.artefact,
            "database": self.database,
            "old_database": self.old_database,
            **self.filled.facts(),
            "roles_created": list(self.roles),
            "sessions": [each.as_dict() for each in self.swap.sessions],
            "sessions_ended": self.swap.ended,
            "outage_seconds": self.swap.seconds,
            "seconds": dict(self.seconds),
            "watermarks": {name: dict(values) for name, values in self.watermarks.items()},
            "content_age_seconds": self.content_age_seconds,
        }


def result(
    request: RestoreRequest,
    chosen: Chosen,
    steps: Sequence[Mapping[str, Any]],
    *,
    before: State,
    after: Optional[State],
    restored: Optional[Restored],
    notes: Sequence[str],
    undo: Sequence[str],
) -> dict[str, Any]:
    """Everything that the module returns."""
    kept = before if after is None else after
    return outcome(
        changed=bool(steps),
        actions=steps,
        before=facts(before),
        after=None if after is None else facts(after),
        database=request.database,
        artefact=chosen.facts(),
        restored=None if restored is None else restored.facts(),
        kept=[each.facts() for each in kept.kept],
        undo=list(undo),
        notes=list(dict.fromkeys(notes)),
        diff=_diff(request.database, steps, before, chosen),
    )


def facts(state: State) -> dict[str, Any]:
    """The server and the database of the name, as the result's C(before) and C(after) have them."""
    server, live = state.server, state.live
    return {
        "server": {
            "address": server.address,
            "version": f"{server.version_num // 10000}.{server.version_num % 10000}",
            "system_identifier": server.system_identifier,
        },
        "exists": live is not None,
        "database": None if live is None else {**live.facts(), "size_bytes": state.live_size_bytes},
        "content": None if state.content is None else dict(state.content),
        "sessions": [each.as_dict() for each in state.sessions],
        "restored_from": mark_facts(state.mark),
    }


def _diff(database: str, steps: Sequence[Mapping[str, Any]], before: State, chosen: Chosen) -> dict[str, str]:
    if before.live is None:
        was = f"{database}: none\n"
    else:
        mark = before.mark
        was = f"{database}: {f'restored from {mark.artefact}' if mark else 'as it is'}\n"
    is_new = any(each["action"] == "rename" for each in steps)
    return {"before": was, "after": f"{database}: restored from {chosen.name}\n" if is_new else was}
