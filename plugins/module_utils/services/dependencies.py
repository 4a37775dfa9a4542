# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service depends on, asked from where the service runs: a port, an address, a unit, a container."""

from __future__ import annotations

import datetime as dt
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.http.options import http_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.http.runner import measure
from ansible_collections.runbook.ops.plugins.module_utils.services.client import Machine
from ansible_collections.runbook.ops.plugins.module_utils.services.model import services_from

_WAYS = "one of port (with host), url, unit, and service (with project)"


def check_dependencies(wanted: Sequence[Mapping[str, Any]], option: str = "dependencies") -> None:
    """Refuse what cannot be asked, before anything is touched; raises InvalidOption."""
    for position, each in enumerate(wanted):
        place = f"{option}[{position}]"
        given = [key for key in ("port", "url", "unit", "service") if each.get(key)]
        if len(given) != 1:
            raise InvalidOption(place, ", ".join(given) or "nothing", _WAYS)
        if each.get("port") and not 0 < int(each["port"]) < 65536:
            raise InvalidOption(f"{place}.port", each["port"], "a port from 1 to 65535")
        if bool(each.get("service")) != bool(each.get("project")):
            raise InvalidOption(f"{place}.project", each.get("project"), "the Compose project of the service")


def look_at_dependencies(
    wanted: Sequence[Mapping[str, Any]], machine: Machine, *, seconds: float
) -> list[dict[str, Any]]:
    """Whether each can be reached, and how long that took."""
    found = []
    for each in wanted:
        began = time.monotonic()
        try:
            what, reason = _ask(each, machine, seconds)
        except RunbookError as error:
            what, reason = str(each.get("url") or each["name"]), error.message
        found.append(
            {
                "name": each["name"],
                "address": what,
                "ok": not reason,
                "reason": reason,
                "duration_seconds": round(time.monotonic() - began, 3),
            }
        )
    return found


def _ask(each: Mapping[str, Any], machine: Machine, seconds: float) -> tuple[str, str]:
    if each.get("url"):
        return str(each["url"]), probe_url(str(each["url"]), each.get("expected_status") or [200], seconds)
    if each.get("port"):
        host = str(each.get("host") or "127.0.0.1")
        return f"{host}:{each['port']}", probe_port(host, int(each["port"]), seconds)
    kind = {"name": each["service"], "kind": "compose", "project": each["project"]} if each.get("service") else {}
    (service,) = services_from([kind or {"name": each["unit"]}], "dependencies")
    (facts,) = machine.look([service], utc_now())
    return service.label, "" if facts["healthy"] else str(facts["reason"] or "it is not known how it is")


def probe_port(host: str, port: int, seconds: float) -> str:
    """Why a port does not accept a connection; empty when it does."""
    try:
        with socket.create_connection((host, port), seconds):
            return ""
    except OSError as error:
        why = "no answer in time" if isinstance(error, socket.timeout) else error.strerror or str(error)
        return f"{host}:{port} does not accept a connection: {why}"


def probe_url(url: str, expected_status: Sequence[int], seconds: float) -> str:
    """Why an address does not answer as expected; empty when it does."""
    options = {name: spec.get("default") for name, spec in http_argument_spec().items()}
    probe = {
        **{"name": "probe", "url": url, "path": None, "query": None, "method": "GET", "headers": None, "body": None},
        **{"expected_status": list(expected_status), "json": None, "samples": 1, "timeout": seconds},
        "follow_redirects": "none",
    }
    params = {**options, "base_url": None, "probes": [probe], "threads": 1, "max_body_bytes": 65536}
    # A proxy of the environment is not between a machine and its own services.
    facts = measure({**params, "use_proxy": False}, dt.datetime.now(dt.timezone.utc), sends_posts=False)
    (seen,) = facts["probes"]
    return "" if seen["ok"] else f"{seen['endpoint']}: {seen['reason']}"
