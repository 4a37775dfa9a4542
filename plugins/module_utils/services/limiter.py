# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How often a service was restarted: kept in a file, so that no run and no playbook starts to count anew."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, write_file

# Older restarts limit nobody any more.
_KEPT_DAYS = 30


@dataclass(frozen=True)
class Restart:
    """One restart that was begun."""

    object: str
    at: dt.datetime
    reason: str


def read_restarts(path: Path) -> list[Restart]:
    """The restarts that are on record; raises RunbookError for a record that cannot be read."""
    try:
        with explained("read", path):
            kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"restarts": []}
        return [_restart(each) for each in kept["restarts"]]
    except (ValueError, KeyError, TypeError):
        raise RunbookError(
            f"The record of restarts {path} cannot be read, so that nobody knows how many there were. Look at it, and "
            "move it away."
        ) from None


def _restart(each: Any) -> Restart:
    return Restart(str(each["object"]), parse_moment(each["at"], "at"), str(each["reason"]))


def recent(restarts: list[Restart], object_: str, now: dt.datetime, seconds: int) -> list[Restart]:
    """The restarts of one object within so many seconds; one that lies in the future counts as well."""
    return [each for each in restarts if each.object == object_ and (now - each.at).total_seconds() < seconds]


def record_restart(path: Path, restarts: list[Restart], new: Restart) -> None:
    """Add a restart to the record, before it is begun: one that is interrupted counts."""
    oldest = new.at - dt.timedelta(days=_KEPT_DAYS)
    kept = [*(each for each in restarts if each.at >= oldest), new]
    text = json.dumps(
        {"restarts": [{"object": each.object, "at": iso(each.at), "reason": each.reason} for each in kept]}, indent=1
    )
    write_file(path, text.encode())
