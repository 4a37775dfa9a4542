# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that give logs that are in no file of their own. Pure but for the look at Docker's directory."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

_SERVICE = "com.docker.compose.service"
_PROJECT = "com.docker.compose.project"
_FIELDS = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,SYSLOG_PID,_COMM,_PID"


def journal_command(source: Mapping[str, Any], start: float | None, end: float | None) -> list[str]:
    """The journal of a window. Without C(--all) a message of more than 4096 bytes would come as null."""
    argv = ["journalctl", "--output=json", "--all", "--no-pager", f"--output-fields={_FIELDS}"]
    if start is not None:
        argv.append(f"--since=@{int(start)}")
    if end is not None:
        argv.append(f"--until=@{int(end)}")
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
    """C(docker logs) for a window."""
    argv = ["docker", "logs", "--timestamps"]
    if start is not None:
        argv.append(f"--since={int(start)}")
    if end is not None:
        argv.append(f"--until={int(end)}")
    return [*argv, "--", container]


def containers_command(service: str, project: str | None) -> list[str]:
    """The names of all containers of a Compose service, those that have ended, too."""
    argv = ["docker", "ps", "--all", "--format={{.Names}}", f"--filter=label={_SERVICE}={service}"]
    return argv + ([f"--filter=label={_PROJECT}={project}"] if project else [])


def containers_of(root: Path, service: str, project: str | None) -> list[str]:
    """The same from Docker's directory; none when there are none, or it is closed."""
    found = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        for configuration in sorted((root / "containers").glob("*/config.v2.json")):
            described = json.loads(configuration.read_text(encoding="utf-8"))
            labels = (described.get("Config") or {}).get("Labels") or {}
            if labels.get(_SERVICE) == service and project in (None, labels.get(_PROJECT)):
                found.append(configuration.parent.name)
    return found


def docker_file(root: Path, container: str) -> Optional[Path]:
    """The json-file log of a container, by its name or id; None when there is none or Docker's directory is closed."""
    try:
        for configuration in sorted((root / "containers").glob("*/config.v2.json")):
            described = json.loads(configuration.read_text(encoding="utf-8"))
            names = (str(described.get("Name", "")).lstrip("/"), configuration.parent.name)
            if container == names[0] or (len(container) >= 12 and names[1].startswith(container)):
                path = Path(described.get("LogPath") or configuration.parent / f"{names[1]}-json.log")
                return path if path.is_file() else None
    except (OSError, ValueError, AttributeError):
        return None
    return None
