# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restarting one service: plan, guard, evidence, apply, prove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.services.alone import alone
from ansible_collections.runbook.ops.plugins.module_utils.services.client import Machine
from ansible_collections.runbook.ops.plugins.module_utils.services.commands import TOO_SLOW, ask
from ansible_collections.runbook.ops.plugins.module_utils.services.dependencies import look_at_dependencies
from ansible_collections.runbook.ops.plugins.module_utils.services.evidence import evidence_file, keep_evidence
from ansible_collections.runbook.ops.plugins.module_utils.services.gate import problem_now, watch
from ansible_collections.runbook.ops.plugins.module_utils.services.limiter import (
    Restart,
    read_restarts,
    recent,
    record_restart,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.request import (
    RESTARTED,
    Request,
    commands_of,
    refusal_of,
    request_from,
)

_EVIDENCE_LINES = 200
_FIGURES = ("state", "sub_state", "healthy", "main_pid", "restarts_count", "since")
# systemd waits for a service to stop and to start; it goes on when we no longer wait.
_COMMAND_SECONDS = 120.0


def restart_service(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Everything C(service_restart) returns; raises RunbookError."""
    request = request_from(params)
    # So that two runs do not both find room in the limit.
    with alone(request.state_path, "restarting a service here", check_mode=check_mode):
        result = _restart(request, params["docker"], check_mode=check_mode)
    check_refusals(result, params["on_refusal"])
    if result["problem"]:
        raise RunbookError(
            f"{request.service.label} was {'not ' if result['healthy'] else ''}{request.state}"
            f"{'' if result['healthy'] else ' and is not well'}: {result['problem']}. What it was like before is in "
            f"{result['evidence']}.",
            **result,
        )
    return result


def _restart(request: Request, docker: list[str], *, check_mode: bool) -> dict[str, Any]:
    machine = Machine(seconds=request.timeout, docker=docker, lines=_EVIDENCE_LINES)
    now = utc_now()
    (facts,) = machine.look([request.service], now)
    if facts["exists"] is None:
        raise RunbookError(
            f"Nothing is known about {request.service.label}, and it was not touched: {facts['reason']}."
        )
    restarts = read_restarts(request.state_path)
    counted = recent(restarts, request.service.label, now, request.window_seconds)
    more: dict[str, Any] = {"service": facts, "dependencies": [], "evidence": None, "problem": "", "healthy": None}
    before = {name: facts[name] for name in _FIGURES}
    problem = problem_now(request, facts)
    if request.only_unhealthy and not problem:
        more["healthy"] = True
        return outcome(
            changed=False, actions=[], before=before, after=before, recent_restarts_count=len(counted), **more
        )
    more["dependencies"] = look_at_dependencies(request.dependencies, machine, seconds=request.timeout)
    refusal = refusal_of(request, facts, more["dependencies"], len(counted))
    if refusal is not None:
        return _left_alone(refusal, before, len(counted), more)
    commands = commands_of(request, facts, docker)
    action = {
        "action": "restart" if request.state == RESTARTED else "reload",
        "object": request.service.label,
        "reason": request.reason,
        "commands": [" ".join(each) for each in commands],
    }
    path = evidence_file(request, now)
    more["evidence"] = str(path)
    if check_mode:
        return outcome(changed=True, actions=[action], before=before, recent_restarts_count=len(counted), **more)
    keep_evidence(path, request, facts, more["dependencies"], now)
    if request.state == RESTARTED:
        record_restart(request.state_path, restarts, Restart(request.service.label, now, request.reason))
        counted = [*counted, Restart(request.service.label, now, request.reason)]
    said = _run(commands)
    after, problem = watch(request, Machine(seconds=request.timeout, docker=docker, lines=5))
    healthy = not problem
    if said and healthy and _is_untouched(request, facts, after):
        problem = "it is as it was before, because the command failed"
    more.update(problem=f"{problem} ({said})" if problem and said else problem, healthy=healthy)
    done = {**action, "at": iso(utc_now()), "effective": not problem}
    return outcome(
        changed=True,
        actions=[done],
        before=before,
        after={name: after[name] for name in _FIGURES},
        recent_restarts_count=len(counted),
        **{**more, "service": after},
    )


def _left_alone(refusal: Refusal, before: Mapping[str, Any], count: int, more: Mapping[str, Any]) -> dict[str, Any]:
    healthy = more["service"]["healthy"]
    return outcome(
        changed=False,
        actions=[],
        refused=[refusal],
        before=before,
        after=before,
        recent_restarts_count=count,
        **{**more, "healthy": healthy},
    )


def _run(commands: list[list[str]]) -> str:
    """Run them in order until one fails; what it said. The gate decides what that means."""
    for command in commands:
        answer = ask(command, _COMMAND_SECONDS)
        if answer.code == TOO_SLOW:
            return f"{command[0]} had not ended after {_COMMAND_SECONDS:g} s"
        if answer.code != 0:
            return answer.reason
    return ""


def _is_untouched(request: Request, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a command that failed changed nothing. A reload leaves the process: only its command tells."""
    return request.state != RESTARTED or all(after[key] == before[key] for key in ("main_pid", "since"))
