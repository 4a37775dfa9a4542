# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers as C(docker inspect) gives them, as facts. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.compose.values import moment_of

LABEL = "com.docker.compose"
# So many restarts, the last of them so recently, are a loop and not an old story.
_LOOP_RESTARTS = 3
_LOOP_SECONDS = 900
_OUTPUT_CHARACTERS = 300


def container_facts(raw: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """One container as facts."""
    state = raw.get("State") or {}
    labels = (raw.get("Config") or {}).get("Labels") or {}
    host = raw.get("HostConfig") or {}
    health = state.get("Health") or {}
    checks = health.get("Log") or []
    started = moment_of(state.get("StartedAt"))
    restarts = int(raw.get("RestartCount") or 0)
    status = str(state.get("Status") or "unknown")
    recently = started is not None and (now - started).total_seconds() < _LOOP_SECONDS
    logging = host.get("LogConfig") or {}
    return {
        "name": str(raw.get("Name") or "").lstrip("/"),
        "id": str(raw.get("Id") or "")[:12],
        "service": labels.get(f"{LABEL}.service", ""),
        "state": status,
        "health": None if health.get("Status") in (None, "none") else health["Status"],
        "health_output": redact_text(str(checks[-1].get("Output") or ""))[:_OUTPUT_CHARACTERS].strip()
        if checks
        else "",
        "restarts_count": restarts,
        "is_restart_loop": status == "restarting" or (restarts >= _LOOP_RESTARTS and recently),
        "exit_code": None if status == "running" else state.get("ExitCode"),
        "oom_killed": bool(state.get("OOMKilled")),
        "started_at": iso(started) if started else None,
        "uptime_seconds": round((now - started).total_seconds()) if started and status == "running" else None,
        "image_id": raw.get("Image"),
        "config_hash": labels.get(f"{LABEL}.config-hash"),
        "log_driver": logging.get("Type"),
        "log_limited": _is_limited(logging),
        "memory_limit_bytes": host.get("Memory") or None,
    }


def is_one_off(raw: Mapping[str, Any]) -> bool:
    """Whether it was made by C(docker compose run), and is none of the service's own."""
    labels = (raw.get("Config") or {}).get("Labels") or {}
    return str(labels.get(f"{LABEL}.oneoff", "")).lower() == "true"


def _is_limited(logging: Mapping[str, Any]) -> bool:
    """Whether the log cannot grow without end: only json-file can, and without a size."""
    return logging.get("Type") != "json-file" or bool((logging.get("Config") or {}).get("max-size"))


def published_ports(raw: Mapping[str, Any], *, is_stateful: bool) -> list[dict[str, Any]]:
    """The ports of a container that can be reached from outside Docker, one entry an address."""
    ports = []
    for target, bindings in sorted(((raw.get("NetworkSettings") or {}).get("Ports") or {}).items()):
        number, _slash, protocol = target.partition("/")
        everywhere = {each.get("HostPort") for each in bindings or () if each.get("HostIp") == "0.0.0.0"}  # noqa: S104
        for binding in bindings or ():
            if binding.get("HostIp") == "::" and binding.get("HostPort") in everywhere:
                continue  # The same port once more, for the other family of addresses.
            address = str(binding.get("HostIp") or "0.0.0.0")  # noqa: S104 - it is read, not bound
            ports.append(
                {
                    "service": ((raw.get("Config") or {}).get("Labels") or {}).get(f"{LABEL}.service", ""),
                    "address": address,
                    "port": int(binding.get("HostPort") or 0),
                    "target": int(number),
                    "protocol": protocol or "tcp",
                    "is_public": not address.startswith("127.") and address != "::1",
                    "is_stateful": is_stateful,
                }
            )
    return ports


def environment_of(raw: Mapping[str, Any]) -> dict[str, str]:
    """The environment that a container was made with. It holds secrets."""
    pairs = (str(each).partition("=") for each in (raw.get("Config") or {}).get("Env") or ())
    return {name: value for name, _sign, value in pairs}


def worst(values: Iterable[Any]) -> Any:
    """The largest of the values that are known; None without any."""
    known = [each for each in values if each is not None]
    return max(known) if known else None


def why_down(
    name: str, containers: Sequence[Mapping[str, Any]], replicas: int, *, runs_once: bool = False
) -> str | None:
    """Why a service is not running as often as it should, or has not ended well if it runs once; None if it is fine."""
    running = sum(1 for each in containers if _is_up(each, runs_once=runs_once))
    if running >= replicas:
        return None
    if not containers:
        return f"{name} has no container: it was never started, or was removed"
    bad = next((each for each in containers if not _is_up(each, runs_once=runs_once)), None)
    if bad is None:
        return f"{running} of {replicas} containers of {name} are there"
    if bad["is_restart_loop"]:
        return f"{bad['name']} is restarted again and again; {running} of {replicas} run"
    code = f" with status {bad['exit_code']}" if bad["exit_code"] is not None else ""
    memory = ", because it ran out of memory" if bad["oom_killed"] else ""
    return f"{bad['name']} is {bad['state']}{code}{memory}; {running} of {replicas} run"


def _is_up(container: Mapping[str, Any], *, runs_once: bool) -> bool:
    """Whether it runs for longer than until its next restart, or did what it was for."""
    if runs_once and container["state"] == "exited" and container["exit_code"] == 0:
        return True
    return container["state"] == "running" and not container["is_restart_loop"]
