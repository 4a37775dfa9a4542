# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as they are: units of systemd and containers of Compose, in one shape. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text

UNIT, COMPOSE = "unit", "compose"
PROPERTIES = (
    *("Id", "LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "Type", "NRestarts", "MainPID"),
    *("ExecMainStatus", "ExecMainCode", "ExecMainExitTimestamp", "StateChangeTimestamp", "MemoryCurrent"),
    *("FragmentPath", "CanReload", "NeedDaemonReload", "ControlGroup", "Description"),
)
_SUFFIXES = (".service", ".socket", ".timer", ".target", ".mount", ".path", ".slice", ".scope")
_LINE_CHARACTERS = 500
_NOT_SET = 2**64 - 1
_HOW = {"1": "exited", "2": "killed", "3": "dumped"}
_LABEL = "com.docker.compose."


@dataclass(frozen=True)
class Service:
    """What is asked about: a unit, or a service of a Compose project."""

    name: str
    kind: str = UNIT
    project: str = ""

    @property
    def label(self) -> str:
        """What people call it: C(api.service), or C(shop/api)."""
        return f"{self.project}/{self.name}" if self.kind == COMPOSE else self.name


def services_from(wanted: Sequence[Mapping[str, Any]], option: str = "services") -> list[Service]:
    """The services of an option, checked; raises InvalidOption."""
    made = []
    for position, each in enumerate(wanted):
        name, kind, project = (str(each.get(key) or "") for key in ("name", "kind", "project"))
        place = f"{option}[{position}]"
        if not name or name.startswith("-") or any(mark in name for mark in "/ *?[\n"):
            raise InvalidOption(f"{place}.name", name, "the name of one service, without blanks, slashes and patterns")
        if kind == COMPOSE and (not project or project.startswith("-")):
            raise InvalidOption(f"{place}.project", project, "the name of the Compose project that the service is of")
        if kind != COMPOSE and project:
            raise InvalidOption(f"{place}.project", project, "nothing, for a unit; for a container set kind to compose")
        made.append(Service(name, COMPOSE, project) if kind == COMPOSE else Service(unit_name(name)))
    return made


def unit_name(name: str) -> str:
    """The whole name of a unit: C(nginx) is C(nginx.service)."""
    return name if name.endswith(_SUFFIXES) else f"{name}.service"


def parse_show(text: str) -> list[dict[str, str]]:
    """The blocks of C(systemctl show), one a unit."""
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        pairs = (line.split("=", 1) for line in block.splitlines() if "=" in line)
        blocks.append(dict(pairs))
    return [block for block in blocks if block]


def parse_timestamp(text: str) -> Optional[dt.datetime]:
    """A moment as systemd writes it for TZ=UTC, C(Sun 2026-11-29 19:55:09 UTC); None for one that never was."""
    words = text.split()
    if len(words) != 4 or words[3] != "UTC":
        return None
    try:
        return dt.datetime.strptime(" ".join(words[1:3]), "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None


def unit_facts(service: Service, shown: Mapping[str, str], now: dt.datetime) -> dict[str, Any]:
    """The facts of a unit from its properties."""
    load, active = shown.get("LoadState", ""), shown.get("ActiveState", "")
    exists = load not in ("not-found", "")
    since = parse_timestamp(shown.get("StateChangeTimestamp", ""))
    file_state = shown.get("UnitFileState", "")
    facts = {
        **unknown_facts(service, ""),
        "exists": exists,
        "enabled": {"enabled": True, "enabled-runtime": True, "disabled": False, "masked": False}.get(file_state),
        "enablement": file_state,
        "active": active == "active" if exists else False,
        "state": active if exists else "not-found",
        "sub_state": shown.get("SubState", "") if exists else "",
        "since": iso(since) if since and exists else None,
        "since_seconds": max(0, int((now - since).total_seconds())) if since and exists else None,
        "restarts_count": _number(shown.get("NRestarts")) if exists else None,
        "main_pid": _number(shown.get("MainPID")) or None,
        "memory_bytes": _number(shown.get("MemoryCurrent")),
        "type": shown.get("Type", ""),
        "path": shown.get("FragmentPath", ""),
        "can_reload": shown.get("CanReload") == "yes",
        "is_stale": shown.get("NeedDaemonReload") == "yes",
        "control_group": shown.get("ControlGroup", ""),
    }
    ended = parse_timestamp(shown.get("ExecMainExitTimestamp", ""))
    if exists and ended:
        facts["last_exit"] = {
            "at": iso(ended),
            "how": _HOW.get(shown.get("ExecMainCode", ""), ""),
            "status": _number(shown.get("ExecMainStatus")),
            "result": shown.get("Result", ""),
        }
    # What runs once and has ended well is as it should be.
    is_over = facts["type"] == "oneshot" and facts["state"] == "inactive" and shown.get("Result") == "success"
    facts["healthy"] = facts["active"] or (exists and is_over)
    facts["reason"] = _why_unit(service, facts, load, shown.get("Result", ""))
    return facts


def _why_unit(service: Service, facts: Mapping[str, Any], load: str, result: str) -> str:
    if not facts["exists"]:
        return f"there is no unit {service.name} on this machine"
    if load in ("masked", "error", "bad-setting"):
        return f"{service.name} cannot be started: its unit file is {load}"
    if facts["healthy"]:
        return ""
    last = facts["last_exit"] or {}
    how = f", its process {last['how']} with status {last['status']}" if last.get("how") else ""
    why = f" ({result}{how})" if result and result != "success" else ""
    return f"{service.name} is {facts['state']} ({facts['sub_state']}){why}"


def container_facts(service: Service, inspected: Sequence[Mapping[str, Any]], now: dt.datetime) -> dict[str, Any]:
    """The facts of a Compose service from its containers; the worst of them speaks for all."""
    if not inspected:
        missing = f"there is no container of the service {service.name} in the Compose project {service.project}"
        return {
            **unknown_facts(service, missing),
            "exists": False,
            "active": False,
            "healthy": False,
            "state": "not-found",
        }
    all_facts = [_one_container(service, each, now) for each in inspected]
    worst = min(all_facts, key=lambda each: (each["healthy"], each["active"]))
    return {**worst, "containers": [name for each in all_facts for name in each["containers"]]}


def _one_container(service: Service, inspected: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    state = inspected.get("State") or {}
    policy = ((inspected.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no"
    running = state.get("Status") == "running"
    health = (state.get("Health") or {}).get("Status") or ""
    since = _moment(state.get("StartedAt") if running else state.get("FinishedAt"))
    ended = _moment(state.get("FinishedAt"))
    facts = {
        **unknown_facts(service, ""),
        "exists": True,
        "enabled": policy in ("always", "unless-stopped"),
        "enablement": policy,
        "active": running,
        "state": str(state.get("Status") or ""),
        "sub_state": health,
        "healthy": running and health in ("", "healthy"),
        "since": iso(since) if since else None,
        "since_seconds": max(0, int((now - since).total_seconds())) if since else None,
        "restarts_count": inspected.get("RestartCount"),
        "main_pid": state.get("Pid") or None,
        "type": "container",
        "path": str((inspected.get("Config") or {}).get("Image") or ""),
        "image_id": str(inspected.get("Image") or ""),
        "containers": [str(inspected.get("Name") or "").lstrip("/")],
    }
    if ended:
        killed = "oom-kill" if state.get("OOMKilled") else ("success" if not state.get("ExitCode") else "exit-code")
        facts["last_exit"] = {"at": iso(ended), "how": "exited", "status": state.get("ExitCode"), "result": killed}
    if not facts["healthy"]:
        last = facts["last_exit"]
        why = f", ended with status {last['status']} ({last['result']})" if last and not running else ""
        facts["reason"] = f"{service.label} is {facts['state']}{' and ' + health if health and running else ''}{why}"
    return facts


def unknown_facts(service: Service, reason: str) -> dict[str, Any]:
    """The facts of a service of which nothing is known, with every key."""
    keys: dict[str, Any] = dict.fromkeys(
        ("exists", "enabled", "active", "healthy", "since", "since_seconds", "restarts_count", "main_pid")
    )
    return {
        "name": service.name,
        "kind": service.kind,
        "project": service.project,
        "label": service.label,
        **keys,
        "memory_bytes": None,
        "enablement": "",
        "state": "",
        "sub_state": "",
        "type": "",
        "path": "",
        "image_id": "",
        "can_reload": False,
        "is_stale": False,
        "control_group": "",
        "containers": [],
        "last_exit": None,
        "reason": reason,
        "did_you_mean": [],
        "log": [],
        "log_reason": "",
    }


def candidates(name: str, units: Iterable[str], containers: Iterable[Mapping[str, str]]) -> list[str]:
    """What may be meant by the name of a unit that does not exist: a container of Compose, or a unit of like name."""
    stem = name.rsplit(".", 1)[0]
    found = []
    for each in containers:
        service, project = each.get("service", ""), each.get("project", "")
        spellings = (service, each.get("name", ""), f"{project}-{service}", f"{project}_{service}")
        if service and stem in spellings:
            found.append(f"the Compose service {project}/{service}")
    near = get_close_matches(name, list(units), 2, 0.75)
    return list(dict.fromkeys([*found, *(f"the unit {each}" for each in near if each != name)]))


def container_labels(inspected: Mapping[str, Any]) -> dict[str, str]:
    """Project and service of a container, by its labels."""
    labels = (inspected.get("Config") or {}).get("Labels") or {}
    return {
        "project": str(labels.get(f"{_LABEL}project") or ""),
        "service": str(labels.get(f"{_LABEL}service") or ""),
        "name": str(inspected.get("Name") or "").lstrip("/"),
    }


def log_lines(text: str, most: int) -> list[str]:
    """The last lines of a log without secrets, none of them endless."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith("-- ")]
    return [redact_text(line[:_LINE_CHARACTERS]) for line in lines[-most:]] if most else []


def _number(text: Any) -> Optional[int]:
    if not isinstance(text, str) or not text.isdigit():
        return None
    number = int(text)
    return None if number == _NOT_SET else number


def _moment(text: Any) -> Optional[dt.datetime]:
    """A moment as Docker writes it, in nanoseconds; its year 1 means never."""
    if not isinstance(text, str) or len(text) < 19 or text.startswith("0001"):
        return None
    try:
        return dt.datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None
