# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Speaking to systemd, to its journal and to Docker on this machine."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.services.commands import Answer, ask
from ansible_collections.runbook.ops.plugins.module_utils.services.model import (
    COMPOSE,
    PROPERTIES,
    Service,
    candidates,
    container_facts,
    container_labels,
    log_lines,
    parse_show,
    unit_facts,
    unknown_facts,
)

_LABEL = "com.docker.compose."


class Machine:
    """The services of this machine. C(seconds) is how long one question may take."""

    def __init__(self, *, seconds: float, docker: Sequence[str] = ("docker",), lines: int = 20) -> None:
        self._seconds = seconds
        self._docker = list(docker)
        self._lines = lines

    def systemctl(self, *arguments: str, seconds: float | None = None) -> Answer:
        """Ask systemd."""
        return ask(["systemctl", "--no-pager", "--no-ask-password", *arguments], seconds or self._seconds)

    def docker(self, *arguments: str, seconds: float | None = None) -> Answer:
        """Ask Docker."""
        return ask([*self._docker, *arguments], seconds or self._seconds)

    def look(self, services: Sequence[Service], now: dt.datetime) -> list[dict[str, Any]]:
        """The facts of each service, in order."""
        facts = [self.container(each, now) if each.kind == COMPOSE else self.unit(each, now) for each in services]
        missing = [each for each in facts if each["kind"] != COMPOSE and each["exists"] is False]
        if missing:
            units, containers = self._unit_names(), self._containers()
            for each in missing:
                each["did_you_mean"] = candidates(each["name"], units, containers)
                if each["did_you_mean"]:
                    each["reason"] += "; there is " + " and ".join(each["did_you_mean"])
        return facts

    def unit(self, service: Service, now: dt.datetime) -> dict[str, Any]:
        """The facts of a unit; unknown ones where there is no systemd to ask."""
        answer = self.systemctl("show", f"--property={','.join(PROPERTIES)}", "--", service.name)
        blocks = parse_show(answer.output)
        if answer.code != 0 or not blocks or "LoadState" not in blocks[0]:
            return unknown_facts(service, f"systemd does not answer: {answer.reason}")
        facts = unit_facts(service, blocks[0], now)
        if facts["exists"] and self._lines:
            facts["log"], facts["log_reason"] = self.journal(service.name)
        return facts

    def journal(self, unit: str) -> tuple[list[str], str]:
        """The last lines of a unit, and why there are none."""
        answer = ask(
            ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--lines={self._lines}", f"--unit={unit}"],
            self._seconds,
        )
        lines = log_lines(answer.output, self._lines)
        return lines, "" if lines else answer.words.strip() or "the journal has no line of it"

    def container(self, service: Service, now: dt.datetime) -> dict[str, Any]:
        """The facts of a Compose service; unknown ones where there is no Docker to ask."""
        answer, inspected = self._inspect(
            f"label={_LABEL}project={service.project}", f"label={_LABEL}service={service.name}"
        )
        if answer.code != 0:
            return unknown_facts(service, f"Docker does not answer: {answer.reason}")
        facts = container_facts(service, inspected, now)
        if self._lines and facts["containers"]:
            logs = [self.docker("logs", "--timestamps", f"--tail={self._lines}", name) for name in facts["containers"]]
            facts["log"] = [line for each in logs for line in log_lines(f"{each.output}\n{each.words}", self._lines)]
            facts["log_reason"] = "" if facts["log"] else "the container has logged nothing"
        return facts

    def running_containers(self, service: Service) -> tuple[str, ...]:
        """The ids of the containers of a Compose service that run; raises RunbookError where Docker does not answer."""
        labels = (f"project={service.project}", f"service={service.name}", "oneoff=False")
        filters = [f"--filter=label={_LABEL}{each}" for each in labels]
        answer = self.docker("ps", "--quiet", "--no-trunc", *filters)
        if answer.code != 0:
            raise RunbookError(f"Docker does not answer, so nothing is known of {service.label}: {answer.reason}.")
        return tuple(answer.output.split())

    def _inspect(self, *filters: str) -> tuple[Answer, list[dict[str, Any]]]:
        options = [f"--filter={each}" for each in (*filters, f"label={_LABEL}oneoff=False")]
        listed = self.docker("ps", "--all", "--quiet", "--no-trunc", *options)
        names = listed.output.split()
        if listed.code != 0 or not names:
            return listed, []
        answer = self.docker("inspect", *names)
        found: list[dict[str, Any]] = []
        # One that is removed in between is no failure: the others are there.
        with contextlib.suppress(ValueError):
            found = json.loads(answer.output)
        return (answer if not found else listed), found

    def _unit_names(self) -> list[str]:
        answer = self.systemctl("list-unit-files", "--no-legend", "--type=service")
        return [line.split()[0] for line in answer.output.splitlines() if line.split()]

    def _containers(self) -> list[dict[str, str]]:
        return [container_labels(each) for each in self._inspect(f"label={_LABEL}project")[1]]
