# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits for the logs of containers: planned, checked with dockerd, written, and, where that is safe, in force."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import clean_environment, first_words
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import private_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.compose.client import Docker, docker_of
from ansible_collections.runbook.ops.plugins.module_utils.compose.options import docker_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.docker_logs.engine import (
    DEFAULT_FILE,
    Daemon,
    Engine,
    accepts,
    ask,
    daemon_of,
    value_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.docker_logs.merge import (
    DRIVERS,
    container_limits,
    merged,
    parse_daemon_json,
    rendered,
    shown_options,
    wanted_options,
)
from ansible_collections.runbook.ops.plugins.module_utils.rotation.placing import install, keep_copy

_LOOK_SECONDS = 0.2


def limits_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of docker_log_limits."""
    return {
        **docker_argument_spec(),
        "config_file": {"type": "path"},
        "log_driver": {"type": "str", "choices": list(DRIVERS), "default": "json-file"},
        "max_size": {"type": "str", "default": "10m"},
        "max_file": {"type": "int", "default": 3},
        "compress": {"type": "bool"},
        "log_opts": {"type": "dict", "default": {}},
        "restart": {"type": "bool", "default": False},
        "restart_command": {
            "type": "list",
            "elements": "str",
            "default": ["systemctl", "restart", "docker.service"],
        },
        "restart_timeout": {"type": "int", "default": 120},
        "backup_directory": {"type": "path", "default": "/var/backups/runbook/docker"},
    }


def limit_logs(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Plan, check, write, and restart only where no container stops.

    Raises:
        InvalidOption: a limit cannot be.
        Refused: the file is broken, another one is read, or a restart would stop containers.
        Unavailable: the engine does not answer.

    """
    driver = options["log_driver"]
    log_opts = wanted_options(
        driver, options["max_size"], options["max_file"], options["compress"], options["log_opts"]
    )
    docker = docker_of(options)
    engine = ask(docker)
    daemon = daemon_of(engine)
    path = _file_of(options["config_file"], daemon, engine)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    current = parse_daemon_json(text, str(path))
    _check_flags(daemon)
    wanted = merged(current, driver, log_opts)
    changes = wanted != current
    containers = _containers(docker)
    must_restart = changes or _is_older(daemon, path)
    _check_restart(options, engine, containers, must_restart=must_restart)
    validated_by = _validate(daemon, rendered(wanted))
    actions: list[dict[str, Any]] = []
    if changes:
        actions.append(
            {"action": "replace" if text else "create", "object": str(path), "reason": "limits differ", "backup": None}
        )
    restarts = options["restart"] and must_restart
    if restarts:
        actions.append(
            {
                "action": "restart",
                "object": " ".join(options["restart_command"]),
                "reason": "the daemon reads limits only when it starts",
                "backup": None,
            }
        )
    if changes and not check_mode:
        actions[0]["backup"] = keep_copy(path, Path(options["backup_directory"]))
        install(path, rendered(wanted).encode(), path.stat().st_mode & 0o777 if path.is_file() else 0o644)
    if restarts and not check_mode:
        _restart(docker, options, containers)
    after = parse_daemon_json(path.read_text(encoding="utf-8") if path.is_file() else "", str(path))
    return outcome(
        changed=bool(actions),
        actions=actions,
        before=_limits(current),
        after=None if check_mode else _limits(after),
        diff={
            # A file may hold logins of proxies and tokens of drivers, and a diff is shown and kept.
            "before": redact_text(text),
            "after": redact_text(rendered(wanted) if changes else text),
            "before_header": str(path),
            "after_header": str(path),
        },
        path=str(path),
        validated_by=validated_by,
        live_restore=engine.has_live_restore,
        version=engine.version,
        restart_needed=must_restart and (check_mode or not restarts),
        containers=containers,
        unlimited=[each["name"] for each in containers if not each["is_limited"]],
    )


def _limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"log_driver": settings.get("log-driver"), "log_opts": shown_options(settings.get("log-opts"))}


def _file_of(given: Optional[str], daemon: Optional[Daemon], engine: Engine) -> Path:
    """The file that this engine reads, and no other."""
    if daemon is None and not given:
        raise Refused(
            f"The engine with the data directory {engine.data_root} is no process that can be seen on this host, so "
            f"that nobody knows which file it reads. Nothing was changed. Use become, or give config_file "
            f"({DEFAULT_FILE}, as a rule) on the host where dockerd runs."
        )
    if daemon and given and Path(given).resolve() != Path(daemon.config_file).resolve():
        raise InvalidOption("config_file", given, f"{daemon.config_file}, which the engine that answers reads")
    return Path(given or daemon.config_file if daemon else str(given))


def _check_flags(daemon: Optional[Daemon]) -> None:
    """What stands on the command line must not stand in the file: dockerd would not start."""
    for flag in ("--log-driver", "--log-opt"):
        if daemon and value_of(daemon.flags, flag) is not None:
            raise Refused(
                f"dockerd has {flag} on its command line and would not start with the same in its file. Nothing was "
                "changed. Take it off the command line, in its unit's ExecStart."
            )


def _is_older(daemon: Optional[Daemon], path: Path) -> bool:
    """Whether the daemon has started before its file was written."""
    return bool(daemon) and path.is_file() and daemon is not None and path.stat().st_mtime > daemon.started_seconds


def _check_restart(
    options: Mapping[str, Any], engine: Engine, containers: Sequence[Mapping[str, Any]], *, must_restart: bool
) -> None:
    running = [each["name"] for each in containers if each["is_running"]]
    if options["restart"] and must_restart and not engine.has_live_restore and running:
        raise Refused(
            f"Restarting the daemon would stop {len(running)} containers ({', '.join(running[:5])}): live-restore is "
            "off. Nothing was changed. Set restart=false, and restart it in a window; or set live-restore first."
        )


def _validate(daemon: Optional[Daemon], text: str) -> list[str]:
    """What found nothing against the new file; raises Refused when something did."""
    with private_directory("runbook-docker-") as place:
        made = place / "daemon.json"
        made.write_text(text, encoding="utf-8")
        complaints = accepts(daemon, made)
    if complaints:
        raise Refused(f"dockerd does not accept the new file: {complaints[0]}. Nothing was changed.")
    return ["json"] if complaints is None else ["json", "dockerd"]


def _containers(docker: Docker) -> list[dict[str, Any]]:
    found = []
    for each in docker.containers():
        limits = container_limits(each)
        limits["log_bytes"] = _bytes(limits.pop("log_path"))
        limits["id"] = each.get("Id")
        limits["started_at"] = each.get("State", {}).get("StartedAt")
        limits["remedy"] = None if limits["is_limited"] else _remedy(limits)
        found.append(limits)
    return sorted(found, key=lambda each: str(each["name"]))


def _remedy(limits: Mapping[str, Any]) -> str:
    if limits["service"]:
        return (
            f"Recreate it with docker compose up --detach --force-recreate --no-deps {limits['service']} in project "
            f"{limits['project']}, in a window; or give the service logging options of its own."
        )
    return "Remove and create it again, in a window: a container keeps the limits it was created with."


def _bytes(path: Optional[str]) -> Optional[int]:
    """The size of the log with its rotated parts; None where it cannot be seen."""
    if not path:
        return None
    place = Path(path)
    try:
        return sum(each.stat().st_size for each in place.parent.glob(f"{place.name}*")) if place.exists() else None
    except OSError:
        return None


def _restart(docker: Docker, options: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> None:
    """Restart the daemon and prove that every container went on running."""
    argv, seconds = options["restart_command"], options["restart_timeout"]
    try:
        ended = subprocess.run(
            argv,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunbookError(f"{' '.join(argv)} failed: {error}. Look at the daemon.") from None
    if ended.returncode:
        raise RunbookError(
            f"{' '.join(argv)} failed: {first_words(ended.stderr)}. Look at the daemon's log; the old file is in "
            "backup_directory."
        )
    deadline = time.monotonic() + seconds
    while True:
        try:
            after = {each["id"]: each["started_at"] for each in _containers(docker) if each["is_running"]}
            break
        except RunbookError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)
    stopped = [each["name"] for each in before if each["is_running"] and after.get(each["id"]) != each["started_at"]]
    if stopped:
        raise RunbookError(
            f"The daemon was restarted and these containers did not go on running: {', '.join(stopped)}."
        )
