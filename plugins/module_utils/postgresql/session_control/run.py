# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the sessions, ends them one by one, and watches until they are gone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import (
    Refusal,
    Refused,
    check_refusals,
    outcome,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import connections, locks
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.collect import collect, probe_server
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import Limits, Row
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.options import check_guards
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.access import control_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import (
    CANCELED,
    RUNNING,
    Request,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.plan import (
    Plan,
    check_limit,
    describe,
    make_plan,
    may_not_signal,
    name,
    shown,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.statements import (
    CANCEL,
    TERMINATE,
    WATCH,
    act,
    look,
    target,
)

_POLL_SECONDS = 0.1
_FORBIDDEN = "42501"
_COUNTED = (
    "max",
    "usable",
    "used",
    "used_percent",
    "free",
    "active",
    "idle",
    "idle_in_transaction",
    "waiting",
    "by_state",
)
_WITHOUT_QUERY_IDS = (
    "query_id was given, and this server computes none for this login. Set compute_query_id to on, or preload "
    "pg_stat_statements."
)


def control_sessions(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The whole result of the module.

    Raises:
        InvalidOption: before anything is touched.
        Refused: a guard said no, or sessions that should end could not; the result travels along.
        Unavailable: the server cannot be reached, or was lost on the way.
        Stopped: the run was interrupted; the result says what was ended until then.

    """
    check_guards(options)
    request = request_from(options)
    progress = Progress(options["progress_path"])
    with control_session(options, check_mode=check_mode) as session, progress.stoppable():
        capabilities = probe_server(session)
        if request.needs_query_id and not _computes_query_ids(session, capabilities):
            raise Refused(_WITHOUT_QUERY_IDS)
        progress.phase("look", "sessions")
        health = collect(session, _sections(request), Limits())[0]
        rows = session.query(look(request, capabilities), request.parameters)
        roots = health["locks"]["roots"] or () if request.wants_blockers else ()
        plan = make_plan(rows, request, login=capabilities.user, roots=roots)
        result = planned(plan, request, _counts(health))
        check_limit(plan, request, result)
        if plan.victims:
            check_window(options, result)
            if not check_mode:
                result = _carry_out(_Work(session, request, capabilities, progress), plan, result)
        elif not check_mode:
            result["after"] = result["before"]
    check_refusals(result, options["on_refusal"])
    return result


def planned(plan: Plan, request: Request, before: Mapping[str, Any]) -> dict[str, Any]:
    """The result as far as it is known without touching anything, which is that of check mode."""
    lines = [describe(row) for row in plan.victims]
    return outcome(
        changed=bool(plan.victims),
        actions=plan.actions(request),
        refused=plan.refused,
        before={**before, "matching": len(plan.victims)},
        after=None,
        sessions=[shown(row) for row in plan.victims],
        protected=list(plan.protected),
        outcomes=[],
        diff={"before": _text(lines), "after": ""},
    )


def check_window(options: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Raise Refused, with the result so far, when now is no time for changes."""
    refusal = window_refusal(options)
    if refusal is not None:
        reason, remedy = refusal
        raise Refused(f"{len(result['sessions'])} sessions would be ended, but {reason}. {remedy}", **result)


@dataclass
class _Work:
    """What carrying out needs, and what has become of the sessions so far."""

    session: Session
    request: Request
    capabilities: Capabilities
    progress: Progress
    outcomes: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    signaled: bool = False

    def settle(self, row: Row, what: str, detail: str = "") -> None:
        """The last word about a session."""
        self.outcomes[row["pid"]] = {"pid": row["pid"], "outcome": what, "detail": detail}

    def send(self, row: Row, signal: str, *, was_canceled: bool = False) -> Row | None:
        """Send one signal; the session as it was then. None when it was not sent, and the session is settled."""
        statement = act(self.request, self.capabilities, signal, was_canceled=was_canceled)
        try:
            sent = self.session.query(statement, {**self.request.parameters, **target(row)})[0]
        except QueryError as error:
            # Whatever is wrong with this one is no reason to leave the others.
            self.refused.append(self._denied(row, error))
            self.settle(row, "denied", error.message)
            return None
        if sent["was_signaled"]:
            self.signaled = True
            return {**row, "query_start": sent["query_start"]}
        if not sent["is_there"] or sent["was_signaled"] is False:
            # Whoever was canceled and is gone ended because of it.
            self.settle(row, "canceled" if was_canceled else "gone", "The session is gone.")
        elif was_canceled:
            self.settle(row, "canceled", "Its statement was canceled; it has begun other work and was left alone.")
        else:
            self.settle(row, "changed", "It did something else in the meantime and was left alone.")
        return None

    def _denied(self, row: Row, error: QueryError) -> Refusal:
        if error.sqlstate == _FORBIDDEN:
            return may_not_signal(row, self.capabilities.user)
        return Refusal(name(row), f"the server did not let it be ended: {error.message}", "Read the server log.")

    def wait(self, rows: Iterable[Row], seconds: float, pending: Callable[[Row, Row], bool], note: str) -> list[Row]:
        """Wait until none of the sessions is pending; the last sight of those that still are, by their first.

        Args:
            rows: Sessions as they were found.
            seconds: How long.
            pending: Whether a session, as found and as it is now, still does what it should not.
            note: What is waited for, for whoever watches.

        """
        open_rows = list(rows)
        deadline = time.monotonic() + seconds
        while open_rows:
            now = {
                each["pid"]: each for each in self.session.query(WATCH, {"watched": [row["pid"] for row in open_rows]})
            }
            open_rows = [
                {**row, **_last_sight(now[row["pid"]])}
                for row in open_rows
                if row["pid"] in now
                and now[row["pid"]]["backend_start"] == row["backend_start"]
                and pending(row, now[row["pid"]])
            ]
            left = deadline - time.monotonic()
            if not open_rows or left <= 0:
                break
            self.progress.at(0, f"{note}: {len(open_rows)} left")
            time.sleep(min(_POLL_SECONDS, left))
        return open_rows


def _carry_out(work: _Work, plan: Plan, result: dict[str, Any]) -> dict[str, Any]:
    """End the sessions of the plan; the result with what has become of them."""
    try:
        if work.request.state == CANCELED:
            _cancel(work, plan)
        else:
            _terminate(work, plan)
        work.progress.phase("verify", "connections")
        health = collect(work.session, (connections.SECTION,), Limits())[0]
        rows = work.session.query(look(work.request, work.capabilities), work.request.parameters)
        again = make_plan(rows, work.request, login=work.capabilities.user)
        after: dict[str, Any] | None = {**_counts(health), "matching": len(again.victims)}
    except Stopped as error:
        done = _done(work, plan, result, None)
        raise Stopped(
            f"{error.message}, after {len(work.outcomes)} of {len(plan.victims)} sessions. Every session was either "
            "ended or left alone. Run the task again to go on.",
            **done,
        ) from None
    except Unavailable as error:
        raise Unavailable(
            f"{error.message} What was ended until then is in outcomes; run the task again to go on.",
            **_done(work, plan, result, None),
        ) from None
    return _done(work, plan, result, after)


def _cancel(work: _Work, plan: Plan) -> None:
    for row in _cancel_and_wait(work, plan.victims):
        work.settle(row, "survived", f"Its statement has not ended {work.request.cancel_wait:g} seconds later.")
        work.refused.append(
            Refusal(
                name(row),
                f"its statement has not ended {work.request.cancel_wait:g} seconds after it was canceled{_waits(row)}",
                "It may still be rolling back: run the task again with a longer cancel_wait, or use state=terminated.",
            )
        )


def _cancel_and_wait(work: _Work, rows: Iterable[Row]) -> list[Row]:
    """Cancel these; those whose statement goes on. The others are settled."""
    work.progress.phase("cancel", "statements")
    canceled = [sent for row in rows if (sent := work.send(row, CANCEL)) is not None]
    still = work.wait(canceled, work.request.cancel_wait, _runs_the_same, "waiting for canceled statements to end")
    for row in canceled:
        if row["pid"] not in {each["pid"] for each in still}:
            work.settle(row, "canceled")
    return still


def _terminate(work: _Work, plan: Plan) -> None:
    running = [row for row in plan.victims if row["state"] in RUNNING]
    stubborn = {row["pid"] for row in _cancel_and_wait(work, running)} if running else set()
    work.progress.phase("terminate", "sessions")
    terminated = []
    for row in plan.victims:
        was_canceled = row["pid"] in stubborn or work.outcomes.get(row["pid"], {}).get("outcome") == "canceled"
        is_open = row["pid"] not in work.outcomes or was_canceled
        if is_open and work.send(row, TERMINATE, was_canceled=was_canceled) is not None:
            terminated.append(row)
    seconds = work.request.terminate_wait
    still = work.wait(terminated, seconds, lambda _then, _now: True, "waiting for terminated sessions to end")
    for row in terminated:
        work.settle(row, "terminated")
    for row in still:
        work.settle(row, "survived", f"It is still there {seconds:g} seconds later{_waits(row)}.")
        work.refused.append(
            Refusal(
                name(row),
                f"it is still there {seconds:g} seconds after it was terminated{_waits(row)}",
                "It ends at the next place where the server lets it, for example after rolling back. Wait, and run the "
                "task again; never kill -9 it, which restarts the whole server.",
            )
        )


def _done(work: _Work, plan: Plan, result: dict[str, Any], after: Mapping[str, Any] | None) -> dict[str, Any]:
    outcomes = [work.outcomes[row["pid"]] for row in plan.victims if row["pid"] in work.outcomes]
    left = [each["pid"] for each in outcomes if each["outcome"] not in ("canceled", "terminated", "gone")]
    return {
        **result,
        "changed": work.signaled,
        "refused": [*result["refused"], *(each.as_dict() for each in work.refused)],
        "after": None if after is None else dict(after),
        "outcomes": outcomes,
        "diff": {
            "before": result["diff"]["before"],
            "after": _text([describe(row) for row in plan.victims if row["pid"] in left]),
        },
    }


def _runs_the_same(then: Row, now: Row) -> bool:
    return now["state"] in RUNNING and bool(now["query_start"] == then["query_start"])


def _last_sight(now: Row) -> dict[str, Any]:
    return {"wait_event_type": now["wait_event_type"], "wait_event": now["wait_event"]}


def _waits(row: Row) -> str:
    return f" (it waits for {row['wait_event_type']} {row['wait_event']})" if row["wait_event"] else ""


def _sections(request: Request) -> tuple[Any, ...]:
    return (connections.SECTION, locks.SECTION) if request.wants_blockers else (connections.SECTION,)


def _counts(health: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: health["connections"][name] for name in _COUNTED}


def _computes_query_ids(session: Session, capabilities: Capabilities) -> bool:
    if not capabilities.has("pg_stat_activity", "query_id"):
        return False
    own = session.query("SELECT query_id IS NOT NULL AS yes FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    return bool(own[0]["yes"])


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
