# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package manager a machine has."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.packages.apt import Apt
from ansible_collections.runbook.ops.plugins.module_utils.packages.dnf import Dnf

Manager = Union[Apt, Dnf]
PROGRAMS = {"apt": "apt-get", "dnf": "dnf"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def manager_of(params: Mapping[str, Any]) -> Optional[Manager]:
    """The package manager that is asked for, or the one that is there; None where there is none."""
    names = list(PROGRAMS) if params["manager"] == "auto" else [params["manager"]]
    there = next((name for name in names if shutil.which(PROGRAMS[name], path=_PATH)), None)
    if there is None:
        return None
    query, lock = (seconds(params, name) for name in ("query_timeout", "lock_timeout"))
    change = seconds(params, "change_timeout") if "change_timeout" in params else query
    made: type[Apt] | type[Dnf] = Apt if there == "apt" else Dnf
    return made(query, lock, change, Path(params["state_directory"]) / "updates.log")


def seconds(params: Mapping[str, Any], name: str) -> float:
    """An option that is a duration; raises InvalidOption."""
    found = float(parse_seconds(str(params[name]), name))
    if found <= 0:
        raise InvalidOption(name, params[name], "a duration above zero, such as 10m")
    return found


def manager_argument_spec() -> dict[str, Any]:
    """The options that both modules have."""
    return {
        "manager": {"type": "str", "choices": ["auto", *PROGRAMS], "default": "auto"},
        "refresh": {"type": "bool", "default": False},
        "hold": {"type": "list", "elements": "str", "default": list(HOLD)},
        "state_directory": {"type": "path", "default": "/var/lib/runbook/packages"},
        "query_timeout": {"type": "str", "default": "10m"},
        "lock_timeout": {"type": "str", "default": "10m"},
    }


# Databases and engines of containers: their update stops what hangs on them, and is an undertaking of its own.
HOLD = ("postgresql*", "mysql*", "mariadb*", "redis*", "mongodb*", "docker*", "containerd*", "runc")
