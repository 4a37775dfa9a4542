# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about a Compose project at once: what is declared held against what runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker, DockerFailed, docker_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.containers import (
    LABEL,
    container_facts,
    is_one_off,
    published_ports,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.definition import (
    Declared,
    is_database,
    lint,
    secrets_of,
    services_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.compose.env_files import look_at
from ansible_collections.runbook.ops.plugins.module_utils.compose.options import project_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project
from ansible_collections.runbook.ops.plugins.module_utils.compose.services import service_facts
from ansible_collections.runbook.ops.plugins.module_utils.compose.values import percent, size_bytes

VOLUMES, LOGS, RESOURCES = "volumes", "logs", "resources"
EXTRAS = (LOGS, VOLUMES, RESOURCES)
_SEEN = ("exposed_database", "no_log_limit")


@dataclass
class _Survey:
    """What was found, and what could not be."""

    facts: dict[str, Any]
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, section: str, reason: str, remedy: str) -> None:
        self.skipped.append({"section": section, "reason": reason.rstrip("."), "remedy": remedy})


def survey(options: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """The facts of C(compose_info); raises InvalidOption."""
    try:
        docker = docker_of(options)
        # The engine first: a host without one has no project's folder either, and that is the less telling reason.
        engine, compose = docker.versions()
    except Unavailable as error:
        return _unavailable(options, error.message)
    project = project_of(options)
    found = _Survey({"available": True, "reason": None, **_empty()})
    found.facts["project"] = {**_project(project), "engine_version": engine, "compose_version": compose}
    declared, hashes = _declared(found, docker, project.with_pins(), options)
    raw = [each for each in docker.containers(f"label={LABEL}.project={project.name}") if not is_one_off(each)]
    _containers(found, docker, raw, declared, hashes, options, now)
    _extras(found, docker, raw, options)
    _environment_files(found, project, options)
    return {**found.facts, "skipped_sections": found.skipped}


def _unavailable(options: Mapping[str, Any], reason: str) -> dict[str, Any]:
    project = {"name": options["project_name"], "directory": options["project_src"], "files": [], "env_files": []}
    more = {"engine_version": None, "compose_version": None}
    return {"available": False, "reason": reason, **_empty(), "project": {**project, **more}, "skipped_sections": []}


def _empty() -> dict[str, Any]:
    return {
        **{
            "definition": {"is_valid": None, "reason": None, "unset_variables": [], "unset_count": None},
            "services": [],
            "containers": [],
        },
        **{"ports": [], "volumes": [], "lint": [], "secrets": [], "environment_files": [], "environment_problems": []},
    }


def _project(project: Project) -> dict[str, Any]:
    return {
        "name": project.name,
        "directory": str(project.directory),
        "files": [str(path) for path in project.files],
        "env_files": [str(path) for path in project.env_files],
    }


def _declared(
    found: _Survey, docker: Docker, project: Project, options: Mapping[str, Any]
) -> tuple[dict[str, Declared], dict[str, set[str]]]:
    definition = found.facts["definition"]
    try:
        resolved = docker.resolve(project)
    except DockerFailed as error:
        definition.update(is_valid=False, reason=error.message)
        found.skip("definition", error.message, "Correct the Compose files; docker compose config says what is wrong")
        return {}, {}
    unset = list(resolved.unset_variables)
    definition.update(is_valid=True, unset_variables=unset, unset_count=len(unset))
    services = services_of(resolved.model, options["stateful_services"])
    found.facts["lint"] = lint(services, version_is_obsolete=resolved.version_is_obsolete)
    found.facts["secrets"] = secrets_of(services, options["min_secret_length"])
    return services, docker.hashes(project, resolved.model)


def _containers(
    found: _Survey,
    docker: Docker,
    raw: Sequence[Mapping[str, Any]],
    declared: Mapping[str, Declared],
    hashes: Mapping[str, set[str]],
    options: Mapping[str, Any],
    now: dt.datetime,
) -> None:
    containers = [container_facts(each, now) for each in raw]
    expected = list(options["expected_services"] or declared)
    means = docker.image_ids(each.image for each in declared.values() if each.image)
    stateful = options["stateful_services"]
    ports = []
    for each, facts in zip(raw, containers):
        service = declared.get(facts["service"])
        image = str((each.get("Config") or {}).get("Image") or "")
        keeps = (
            service.is_stateful
            if service
            else (is_database(image) if stateful is None else facts["service"] in stateful)
        )
        ports += published_ports(each, is_stateful=keeps)
    names = dict.fromkeys([*declared, *expected, *(each["service"] for each in containers)])
    # What runs is judged by how it runs.
    there = {each["service"] for each in containers}
    found.facts["lint"] = [
        each for each in found.facts["lint"] if not (each["kind"] in _SEEN and each["service"] in there)
    ]
    found.facts["containers"] = sorted(containers, key=lambda each: each["name"])
    found.facts["ports"] = ports
    found.facts["services"] = [
        service_facts(
            name,
            declared.get(name),
            [each for each in containers if each["service"] == name],
            is_expected=name in expected,
            current_image_id=means.get(declared[name].image) if name in declared else None,
            config_hashes=hashes.get(name, ()),
        )
        for name in names
    ]


def _extras(found: _Survey, docker: Docker, raw: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> None:
    if LOGS in options["gather"]:
        _log_sizes(found, raw)
    if RESOURCES in options["gather"]:
        _resources(found, docker)
    if VOLUMES in options["gather"]:
        _volumes(found, docker, raw)


def _log_sizes(found: _Survey, raw: Sequence[Mapping[str, Any]]) -> None:
    sizes: dict[str, int | None] = {each["Id"][:12]: _log_size(str(each.get("LogPath") or "")) for each in raw}
    for service in found.facts["services"]:
        own = [sizes[each["id"]] for each in found.facts["containers"] if each["service"] == service["name"]]
        known = [size for size in own if size is not None]
        service["log_bytes"] = sum(known) if own and len(known) == len(own) else None
    if any(size is None and each.get("LogPath") for each, size in zip(raw, sizes.values())):
        remedy = "Run it as root on the host of the engine (become: true)"
        found.skip("logs", "the files of the containers' logs cannot be read", remedy)


def _log_size(path: str) -> int | None:
    """The bytes of a log and of what was rotated away from it; None if the file is not to be seen here."""
    try:
        log = Path(path)
        log.stat()
        return sum(each.stat().st_size for each in log.parent.iterdir() if each.name.startswith(log.name))
    except OSError:
        return None


def _resources(found: _Survey, docker: Docker) -> None:
    running = [each["id"] for each in found.facts["containers"] if each["state"] == "running"]
    if not running:
        return
    try:
        records = docker.records("stats", "--no-stream", *running)
    except RunbookError as error:
        found.skip("resources", error.message, "Run it again; a container ended meanwhile")
        return
    by_id = {each["ID"][:12]: each for each in records}
    for service in found.facts["services"]:
        own = [
            by_id[each["id"]]
            for each in found.facts["containers"]
            if each["service"] == service["name"] and each["id"] in by_id
        ]
        used = [size_bytes(each["MemUsage"].partition("/")[0]) for each in own]
        busy = [percent(each["CPUPerc"]) for each in own]
        service["memory_bytes"] = sum(each or 0 for each in used) if own else None
        service["cpu_percent"] = round(sum(each or 0.0 for each in busy), 2) if own else None
        limit = service["memory_limit_bytes"]
        if own and limit:
            service["memory_percent"] = round(100 * (service["memory_bytes"] / len(own)) / limit, 1)


def _volumes(found: _Survey, docker: Docker, raw: Sequence[Mapping[str, Any]]) -> None:
    mounted: dict[str, set[str]] = {}
    for each, facts in zip(raw, [container["Config"].get("Labels") or {} for container in raw]):
        for mount in each.get("Mounts") or ():
            if mount.get("Type") == "volume" and mount.get("Name"):
                mounted.setdefault(mount["Name"], set()).add(facts.get(f"{LABEL}.service", ""))
    name = found.facts["project"]["name"]
    try:
        own = docker.run("volume", "ls", "--quiet", "--filter", f"label={LABEL}.project={name}").split()
        sizes = {
            each["Name"]: size_bytes(each["Size"]) for each in docker.records("system", "df", "--verbose")[0]["Volumes"]
        }
    except (RunbookError, KeyError, IndexError, TypeError) as error:
        remedy = "Measure them with docker system df -v, or raise command_timeout"
        found.skip("volumes", str(error) or "docker system df gave no volumes", remedy)
        return
    found.facts["volumes"] = [
        {"name": each, "size_bytes": sizes.get(each), "services": sorted(mounted.get(each, ()))}
        for each in sorted({*own, *mounted})
    ]


def _environment_files(found: _Survey, project: Project, options: Mapping[str, Any]) -> None:
    implied = project.directory / ".env"
    paths = project.env_files or ((implied,) if implied.is_file() else ())
    facts, skipped = look_at(
        [Path(path) for path in paths],
        required=options["required_keys"],
        least_secret=options["min_secret_length"],
    )
    found.facts["environment_files"] = facts
    found.facts["environment_problems"] = [problem for each in facts for problem in each["problems"]]
    if not paths and options["required_keys"]:
        found.facts["environment_problems"] = [
            {
                "file": "",
                "kind": "absent",
                "key": "",
                "object": ".env",
                "message": "no environment file is named",
                "is_blocking": True,
            }
        ]
    found.skipped += skipped
