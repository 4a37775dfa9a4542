# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that name a Compose project and the way to its engine, once, as the doc fragment C(compose_project)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.compose.project import Project

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
# In the order in which Compose looks for them.
_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
STATE_ROOT = "/var/lib/runbook/compose"


def docker_argument_spec() -> dict[str, dict[str, Any]]:
    """How the engine is reached."""
    return {
        "docker_cli": {"type": "str", "default": "docker"},
        "docker_host": {"type": "str"},
        "command_timeout": {"type": "int", "default": 60},
    }


def project_argument_spec() -> dict[str, dict[str, Any]]:
    """Which project it is: nothing of it is guessed from the current directory."""
    return {
        **docker_argument_spec(),
        "project_name": {"type": "str", "required": True},
        "project_src": {"type": "path", "required": True},
        "files": {"type": "list", "elements": "str", "default": []},
        "env_files": {"type": "list", "elements": "str", "default": []},
        "profiles": {"type": "list", "elements": "str", "default": []},
        "state_dir": {"type": "path"},
    }


def check_timeout(options: Mapping[str, Any]) -> None:
    """Refuse a time in which nothing can be done."""
    if options["command_timeout"] < 1:
        raise InvalidOption("command_timeout", options["command_timeout"], "seconds, at least 1")


def project_of(options: Mapping[str, Any]) -> Project:
    """The project that the options name.

    Raises:
        InvalidOption: a name Compose would not take, a folder that is none, a file that is not there.

    """
    name = options["project_name"]
    if not _NAME.fullmatch(name):
        accepted = "lower-case letters, digits, dashes and underscores, beginning with a letter or digit"
        raise InvalidOption("project_name", name, accepted)
    directory = Path(options["project_src"])
    if not directory.is_absolute() or not directory.is_dir():
        raise InvalidOption("project_src", str(directory), "the absolute path of the project's folder on this host")
    check_timeout(options)
    return Project(
        name=name,
        directory=directory,
        files=_files(directory, options["files"]),
        env_files=tuple(_existing(directory, each, "env_files") for each in options["env_files"]),
        profiles=tuple(options["profiles"]),
        state_dir=Path(options["state_dir"] or f"{STATE_ROOT}/{name}"),
    )


def _files(directory: Path, given: list[str]) -> tuple[Path, ...]:
    if given:
        return tuple(_existing(directory, each, "files") for each in given)
    for name in _NAMES:
        if (directory / name).is_file():
            stem, _dot, ending = name.rpartition(".")
            beside = [directory / f"{stem}.override.{each}" for each in ("yaml", "yml") if ending]
            return (directory / name, *[path for path in beside if path.is_file()][:1])
    raise InvalidOption("project_src", str(directory), f"a folder with one of {', '.join(_NAMES)}, or name the files")


def _existing(directory: Path, name: str, option: str) -> Path:
    path = directory / name
    if not path.is_file():
        raise InvalidOption(option, name, f"files that are there, absolute or below {directory}")
    return path
