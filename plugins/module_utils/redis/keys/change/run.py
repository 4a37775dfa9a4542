# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_key to its result: find, check, change, look again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, check_refusals
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import (
    Command,
    RedisClient,
    require_library,
    show,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import PROBE_KEY, survey
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change import find
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.plan import (
    Plan,
    check_plan,
    groups_of,
    lines,
    planned,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import (
    ABSENT,
    KeyRequest,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.script import CHANGED, DONE, GONE, change
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Pacer
from ansible_collections.runbook.ops.plugins.module_utils.redis.writing import denied_writes, rehearse, require_master

MOST_BATCH = 500


def change_keys(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no; the plan travels along.
        Unavailable: the server cannot be reached, or was lost on the way.
        Stopped: the run was interrupted; the result says what was done until then.

    """
    settings = settings_from(params)
    check_guards(params)
    request = request_from(params)
    require_library()
    progress = Progress(params["progress_path"])
    with connect(settings) as client, progress.stoppable():
        denied = denied_writes(client, _writes(request, [PROBE_KEY]))
        endpoint = survey(client, find.needed(request), find.useful(), denied)
        require_master(endpoint)
        search = find.Search(client, endpoint, request, progress)
        plan = search.find()
        sizes = search.measure(plan) if plan.due else {}
        result = planned(plan, request, sizes, client.user)
        result.update(endpoint=endpoint.facts(), notes=endpoint.notes(), skipped_sections=endpoint.skipped)
        check_plan(plan, request, result)
        if plan.due:
            check_window(params, result)
            rehearse_changes(client, plan, request)
        if not check_mode:
            result = _carry_out(_Work(search, plan), result) if plan.due else {**result, "after": result["before"]}
    check_refusals(result, params["on_refusal"])
    return result


def rehearse_changes(client: RedisClient, plan: Plan, request: KeyRequest) -> None:
    """Ask whether the server would change one key of every pattern; raises Unavailable and Refused."""
    samples = list({key.pattern: key for key in plan.due}.values())
    try:
        rehearse(client, _writes(request, [key.name for key in samples]), frees=True)
    except Unavailable as error:
        # A permission names the key it is about, and that name may be a secret.
        message = error.message
        for key in samples:
            message = message.replace(f"~{show(key.name)}", f"~{key.pattern.label}")
        raise Unavailable(message) from None


def _writes(request: KeyRequest, names: Sequence[bytes]) -> list[Command]:
    """A harmless sample of every command that changes keys of these names."""
    scripts: list[Command] = [("EVALSHA", "0" * 40, 0), ("EVAL", "return 0", 0)]
    return scripts + [("UNLINK", name) if request.state == ABSENT else ("PEXPIRE", name, 1) for name in names]


def check_window(params: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Raise Refused, with the plan, when now is no time for changes."""
    refusal = window_refusal(params)
    if refusal is not None:
        count = sum(action["count"] for action in result["actions"])
        raise Refused(f"{count} keys would be changed, but {refusal[0]}. {refusal[1]}", **{**result, "changed": False})


@dataclass
class _Work:
    """What is to be done, and what has become of the keys so far."""

    search: find.Search
    plan: Plan
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys((DONE, GONE, CHANGED), 0))
    slowest_seconds: float = 0.0

    @property
    def request(self) -> KeyRequest:
        return self.search.request

    def carry_out(self) -> None:
        """Change the keys in batches, the next one smaller when the last one kept the server busy."""
        endpoint, progress = self.search.endpoint, self.search.progress
        doing = "delete" if self.request.state == ABSENT else "expire"
        progress.phase(doing, endpoint.place, total=len(self.plan.due), unit="keys")
        pacer = Pacer(endpoint.round_trip_seconds)
        one_by_one = self.search.client.is_cluster
        for batch in find.batches(self.plan.due, self._sizes(pacer)):
            began = time.perf_counter()
            for outcome in change(self.search.client, batch, self.request, one_by_one=one_by_one):
                self.outcomes[outcome] += 1
            seconds = time.perf_counter() - began
            self.slowest_seconds = max(self.slowest_seconds, seconds)
            pacer.after(seconds)
            progress.advance(len(batch))

    @staticmethod
    def _sizes(pacer: Pacer) -> Iterator[int]:
        while True:
            yield min(MOST_BATCH, pacer.count)


def _carry_out(work: _Work, result: dict[str, Any]) -> dict[str, Any]:
    total = len(work.plan.due)
    try:
        work.carry_out()
        again = work.search.find()
    except (RunbookError, Unavailable) as error:
        handled = sum(work.outcomes.values())
        kind = Stopped if isinstance(error, Stopped) else RunbookError
        raise kind(
            f"{error.message.rstrip('.')}. {handled} of {total} keys had been handled by then, each of them wholly or "
            "not at all. Run the task again to go on.",
            **_done(work, result, None),
        ) from None
    return _done(work, result, again)


def _done(work: _Work, result: dict[str, Any], again: Plan | None) -> dict[str, Any]:
    left = [] if again is None else groups_of(again.due, {}, show_names=False)
    ttl = None if work.request.state == ABSENT else work.request.ttl
    after = result["diff"]["after"] if ttl else ""
    return {
        **result,
        "changed": work.outcomes[DONE] > 0,
        "after": None if again is None else again.figures(),
        "outcomes": dict(work.outcomes),
        "slowest_step_seconds": round(work.slowest_seconds, 6),
        "diff": {"before": result["diff"]["before"], "after": after + lines(left, 0)},
    }
