# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service made anew, watched until it works, and what it left behind when it does not."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, first_words, run
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker, last_lines
from ansible_collections.runbook.ops.plugins.module_utils.compose.containers import (
    LABEL,
    container_facts,
    environment_of,
    is_one_off,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import Declared
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project

_LOOK_SECONDS = 0.5
_PROGRESS = re.compile(r"\s*(?:Container|Network|Volume) \S+\s+[A-Z][a-z]+\s*")


class GateClosed(RunbookError):
    """A service did not come up as it should."""


def raw_containers(docker: Docker, project: Project, service: str) -> list[dict[str, Any]]:
    """A service's own containers."""
    labels = (f"label={LABEL}.project={project.name}", f"label={LABEL}.service={service}")
    return [each for each in docker.containers(*labels) if not is_one_off(each)]


def bring_up(
    docker: Docker,
    project: Project,
    service: Declared,
    *,
    image: Optional[str],
    seconds: int,
    settle: float,
    force: bool = False,
) -> None:
    """Make one service's containers anew, without what it depends on, and watch them; raises GateClosed."""
    command = ["up", "--detach", "--no-deps", "--no-build", "--pull", "never", "--wait", "--wait-timeout", str(seconds)]
    forced = ["--force-recreate"] if force else []
    ended = docker.compose(project, *command, *forced, service.name, seconds=seconds + 120)
    if ended.code:
        said = first_words("\n".join(_telling(ended.words)), 4)
        raise GateClosed(f"{service.name} did not become healthy within {seconds} s: {said}")
    _settle(docker, project, service, settle)
    _prove(docker, project, service, image)


def _telling(words: str) -> list[str]:
    """What Compose said, without its progress and its warnings about the files."""
    return [line for line in words.splitlines() if "level=warning" not in line and not _PROGRESS.fullmatch(line)]


def _settle(docker: Docker, project: Project, service: Declared, seconds: float) -> None:
    """Watch for a while: what has no health check may still end a moment after it began."""
    deadline = time.monotonic() + seconds
    while True:
        for raw in raw_containers(docker, project, service.name):
            facts = container_facts(raw, utc_now())
            if facts["state"] != "running" or facts["restarts_count"] or facts["health"] == "unhealthy":
                what = facts["health"] or facts["state"]
                again = f", and was restarted {facts['restarts_count']} times" if facts["restarts_count"] else ""
                raise GateClosed(f"{service.name} did not stay up: {facts['name']} is {what}{again}")
        if time.monotonic() >= deadline:
            return
        time.sleep(min(_LOOK_SECONDS, seconds))


def _prove(docker: Docker, project: Project, service: Declared, image: Optional[str]) -> None:
    """Look at what runs: the image and the environment that were meant."""
    found = raw_containers(docker, project, service.name)
    if len(found) < service.replicas:
        raise GateClosed(f"{service.name}: {len(found)} of {service.replicas} containers are there")
    for raw in found:
        if image is not None and raw.get("Image") != image:
            raise GateClosed(f"{service.name} runs another image than the one that was released")
        environment = environment_of(raw)
        wrong = [
            name for name, value in service.environment.items() if value is not None and environment.get(name) != value
        ]
        if wrong:
            raise GateClosed(f"{service.name} does not have the environment that is declared: {', '.join(wrong)}")


def evidence_of(
    docker: Docker, project: Project, services: Sequence[str], lines: int, now: dt.datetime
) -> list[dict[str, Any]]:
    """How containers are and the ends of their logs, before they are touched. What cannot be had is left out."""
    found = []
    for service in services:
        for raw in raw_containers(docker, project, service):
            facts = container_facts(raw, now)
            ended = docker.execute("container", "logs", "--timestamps", "--tail", str(lines), facts["id"])
            found.append(
                {
                    **{name: facts[name] for name in ("service", "name", "id", "state", "health", "health_output")},
                    **{
                        name: facts[name]
                        for name in ("restarts_count", "exit_code", "oom_killed", "started_at", "image_id")
                    },
                    # Programs write to both; the engine gives them apart, each in its own order.
                    "log_lines": sorted([*last_lines(ended.output, lines), *last_lines(ended.words, lines)])[-lines:],
                }
            )
    return found


def run_hook(hooks: Mapping[str, Any], service: str, what: str, seconds: int) -> None:
    """Run the command that takes a service out of a balancer, or puts it back; raises GateClosed."""
    command = hooks.get(service)
    if not command:
        return
    try:
        run([str(word) for word in command], seconds=float(seconds))
    except ChildFailed as failure:
        said = redact_text(first_words(failure.words))
        raise GateClosed(f"The command to {what} {service} failed with status {failure.code}: {said}") from None
    except RunbookError as error:
        raise GateClosed(f"The command to {what} {service} failed: {error.message.rstrip('.')}") from None
