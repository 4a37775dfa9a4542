# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be restarted, and within what limits: the options, checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.services.dependencies import check_dependencies
from ansible_collections.runbook.ops.plugins.module_utils.services.model import COMPOSE, Service, services_from
from ansible_collections.runbook.ops.plugins.module_utils.services.survey import check_seconds

RESTARTED, RELOADED = "restarted", "reloaded"


@dataclass(frozen=True)
class Request:
    """The options of C(service_restart)."""

    service: Service
    state: str
    reason: str
    only_unhealthy: bool
    max_restarts: int
    window_seconds: int
    state_path: Path
    evidence_path: Path
    wait_seconds: float
    settle_seconds: float
    port: Optional[int]
    host: str
    url: str
    expected_status: Sequence[int]
    dependencies: Sequence[Mapping[str, Any]]
    timeout: float


def request_from(params: Mapping[str, Any]) -> Request:
    """The options, checked; raises InvalidOption before anything is touched."""
    (service,) = services_from([params], "service")
    allowed = params["allowed"]
    names = {service.name, service.label, service.label.rsplit(".", 1)[0]}
    if allowed and not names & set(allowed):
        raise InvalidOption("name", params["name"], f"what is allowed to be restarted: {', '.join(allowed)}")
    if not params["reason"].strip():
        raise InvalidOption("reason", params["reason"], "why it is restarted, in words for whoever reads it tomorrow")
    _within("max_restarts", params["max_restarts"], 1, 100)
    _within("wait", params["wait"], 1, 1800)
    _within("settle", params["settle"], 0, 300)
    if params["port"] is not None:
        _within("port", params["port"], 1, 65535)
    check_dependencies(params["dependencies"])
    for name in ("state_path", "evidence_path"):
        if not Path(params[name]).is_absolute():
            raise InvalidOption(name, params[name], "an absolute path")
    return Request(
        service=service,
        state=params["state"],
        reason=params["reason"].strip(),
        only_unhealthy=params["only_unhealthy"],
        max_restarts=params["max_restarts"],
        window_seconds=parse_seconds(params["window"], "window"),
        state_path=Path(params["state_path"]),
        evidence_path=Path(params["evidence_path"]),
        wait_seconds=float(params["wait"]),
        settle_seconds=float(params["settle"]),
        port=params["port"],
        host=params["host"],
        url=params["url"] or "",
        expected_status=params["expected_status"],
        dependencies=params["dependencies"],
        timeout=check_seconds(params["timeout"]),
    )


def _within(option: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise InvalidOption(option, value, f"{lowest} to {highest}")


def refusal_of(
    request: Request, facts: Mapping[str, Any], dependencies: Sequence[Mapping[str, Any]], recent_count: int
) -> Optional[Refusal]:
    """Why the service is not touched; None when nothing speaks against it."""
    label = request.service.label
    if not facts["exists"]:
        return Refusal(label, str(facts["reason"]), "Name the service as the machine knows it.")
    if facts["enablement"] == "masked":
        return Refusal(label, "it is masked: somebody wanted it not to run", f"Ask who, then systemctl unmask {label}.")
    down = [each for each in dependencies if not each["ok"]]
    if down:
        which = "; ".join(f"{each['name']}: {each['reason']}" for each in down)
        return Refusal(
            label,
            f"what it depends on is at fault, and a restart would not help ({which})",
            f"Bring {down[0]['name']} back first.",
        )
    if request.state == RELOADED and not facts["can_reload"]:
        what = "a container" if request.service.kind == COMPOSE else "a unit without ExecReload"
        return Refusal(label, f"it is {what} and cannot be reloaded", "Use state=restarted.")
    if request.state == RESTARTED and recent_count >= request.max_restarts:
        times = "once" if recent_count == 1 else f"{recent_count} times"
        return Refusal(
            label,
            f"it was restarted {times} within {request.window_seconds} s, and max_restarts is {request.max_restarts}",
            "Read the evidence of those restarts and remove the cause.",
        )
    return None


def commands_of(request: Request, facts: Mapping[str, Any], docker: Sequence[str]) -> list[list[str]]:
    """What is run, in this order."""
    if request.service.kind == COMPOSE:
        # Not created anew: its log and its files stay where they are.
        return [[*docker, "restart", *facts["containers"]]]
    verb = "reload" if request.state == RELOADED else "restart"
    commands = [["systemctl", "--no-pager", "--no-ask-password", verb, "--", request.service.name]]
    if facts["is_stale"]:
        commands.insert(0, ["systemctl", "daemon-reload"])
    if verb == "restart" and (facts["last_exit"] or {}).get("result") == "start-limit-hit":
        # systemd counts starts, too, and would refuse this one.
        commands.insert(0, ["systemctl", "reset-failed", "--", request.service.name])
    return commands
