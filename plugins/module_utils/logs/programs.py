# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that give logs that are in no file of their own. Pure but for the look at Docker's directory."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

_SERVICE = "com.docker.compose.service"
_PROJECT = "com.docker.compose.project"
_FIELDS = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,SYSLOG_PID,_COMM,_PID"


def journal_command(source: Mapping[str, Any], start: float | None, end: float | None) -> list[str]:
    """The journal of a window, in whole seconds around it. Without C(--all), messages over 4096 bytes are null."""
    argv = ["journalctl", "--output=json", "--all", "--no-pager", f"--output-fields={_FIELDS}"]
    if start is not None:
        argv.append(f"--since=@{int(start)}")
    if end is not None:
        argv.append(f"--until=@{math.ceil(end)}")
    argv += [f"--unit={unit}" for unit in source["units"]]
    argv += [f"--identifier={identifier}" for identifier in source["identifiers"]]
    if source["journal_directory"]:
        argv.append(f"--directory={source['journal_directory']}")
    return argv


def any_entry_command(source: Mapping[str, Any]) -> list[str]:
    """One entry of any time and origin: a journal without entries, or a closed one, gives none."""
    argv = ["journalctl", "--output=json", "--output-fields=PRIORITY", "--no-pager", "--lines=1"]
    return argv + ([f"--directory={source['journal_directory']}"] if source["journal_directory"] else [])


def journal_trouble(words: str, *, has_entries: bool = True) -> tuple[str, str] | None:
    """Reason and remedy for what journalctl said beside its output; None when that is nothing of importance."""
    if "not seeing messages from other users" in words:
        return (
            "journalctl shows only the messages of the user who runs it",
            "Run the task with become, or add its user to the group systemd-journal.",
        )
    if not has_entries or "No journal files were" in words:
        return (
            "journalctl found no journal files that it may read",
            "Run the task with become; check that systemd-journald runs and keeps files in /var/log/journal.",
        )
    return None


def docker_command(container: str, start: float | None, end: float | None) -> list[str]:
    """C(docker logs) for a window, in whole seconds around it."""
    argv = ["docker", "logs", "--timestamps"]
    if start is not None:
        argv.append(f"--since={int(start)}")
    if end is not None:
        argv.append(f"--until={math.ceil(end)}")
    return [*argv, "--", container]


def containers_command(service: str, project: str | None) -> list[str]:
    """The names of all containers of a Compose service, those that have ended, too."""
    argv = ["docker", "ps", "--all", "--format={{.Names}}", f"--filter=label={_SERVICE}={service}"]
    return argv + ([f"--filter=label={_PROJECT}={project}"] if project else [])


def containers_of(root: Path, service: str, project: str | None) -> list[str]:
    """The same from Docker's directory; none when there are none, or it is closed."""
    found = []
    for identifier, described in _described(root):
        labels = (described.get("Config") or {}).get("Labels") or {}
        if labels.get(_SERVICE) == service and project in (None, labels.get(_PROJECT)):
            found.append(identifier)
    return found


def docker_file(root: Path, container: str) -> Optional[Path]:
    """The json-file log of a container, by its name or id; None when there is none or Docker's directory is closed."""
    for identifier, described in _described(root):
        name = str(described.get("Name", "")).lstrip("/")
        if container == name or (len(container) >= 12 and identifier.startswith(container)):
            path = Path(described.get("LogPath") or root / "containers" / identifier / f"{identifier}-json.log")
            return path if path.is_file() else None
    return None


def _described(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every container's id and what Docker keeps of it. One that is removed meanwhile is left out, and no other."""
    with contextlib.suppress(OSError):
        for configuration in sorted((root / "containers").glob("*/config.v2.json")):
            with contextlib.suppress(OSError, ValueError):
                described = json.loads(configuration.read_text(encoding="utf-8"))
                if isinstance(described, dict):
                    yield configuration.parent.name, described
