# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of redis_backup_verify to its result: which backup, how far, against what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import VERIFIED, Verification
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso_of, reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import Census
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import exact
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.levels import LEVELS
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.manifest import (
    Manifest,
    path_of,
    read_manifest,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.publish import SUFFIX, is_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.verify import (
    Verifier,
    compare_live,
    workshop_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import require_library
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import settings_from

COPY, LIVE = "copy", "live"


def proof_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of redis_backup_verify beside connection and workshop."""
    return {
        "path": {"type": "path"},
        "directory": {"type": "path"},
        "name": {"type": "str"},
        "manifest": {"type": "path"},
        "against": {"type": "str", "default": COPY, "choices": [COPY, LIVE]},
        "level": {"type": "str", "default": LEVELS[-1], "choices": list(LEVELS[2:])},
        "max_age": {"type": "str"},
        "reference_time": {"type": "str"},
        "on_failure": {"type": "str", "default": "fail", "choices": ["fail", "report"]},
        "progress_path": {"type": "path"},
    }


@dataclass(frozen=True)
class Chosen:
    """A backup, its manifest's place, and the manifest, unless there is none or it is unreadable."""

    path: Path
    manifest_path: Path
    manifest: Optional[Manifest]
    problem: Optional[str] = None


def choose(path: str | None, directory: str | None, name: str | None, manifest: str | None) -> Chosen:
    """The backup in a file, or the newest of a name in a directory; raises InvalidOption or RunbookError."""
    if path:
        if directory or name:
            raise InvalidOption("path", path, "either path, or directory and name")
        backup = Path(path)
    elif directory and name:
        found = sorted(each for each in Path(directory).glob(f"*{SUFFIX}") if is_of(each.name, name))
        if not found:
            raise RunbookError(
                f"There is no backup {name}-<moment>{SUFFIX} in {directory}. Check name and directory, or take one "
                "with runbook.ops.redis_backup."
            )
        backup = found[-1]  # The moment is in the name, in an order that sorts.
    else:
        raise InvalidOption("path", path or "", "the path of a backup, or directory and name together")
    place = Path(manifest) if manifest else path_of(backup)
    try:
        return Chosen(backup, place, read_manifest(place))
    except Undecided as error:
        return Chosen(backup, place, None, error.message)


def prove(params: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result; raises RunbookError, also for a backup that is not verified when the task shall fail."""
    settings = settings_from(params)
    workshop = workshop_from(params)
    age = parse_seconds(params["max_age"], "max_age") if params["max_age"] else None
    oldest = None if age is None else reference_moment(params["reference_time"]) - dt.timedelta(seconds=age)
    chosen = choose(params["path"], params["directory"], params["name"], params["manifest"])
    require_library()
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        if params["against"] == LIVE:
            seen, census = compare_live(chosen.manifest, settings, workshop.budget, queues=params["queue_counts"])
            result = _result(chosen, seen, census, params["queue_counts"])
        else:
            verifier = Verifier(chosen.path, chosen.manifest, workshop, progress, queues=params["queue_counts"])
            seen = verifier.run(params["level"], oldest)
            result = _result(chosen, seen, verifier.found, params["queue_counts"])
            result |= {
                "bytes": verifier.bytes,
                "sha256": verifier.sha256,
                "written_by": verifier.header.writer if verifier.header else None,
                "format": verifier.header.format if verifier.header else None,
            }
    if seen.verdict != VERIFIED and params["on_failure"] == "fail":
        raise RunbookError(f"{chosen.path} is not verified ({seen.verdict}): {result['reason']}.", **result)
    return result


def _result(chosen: Chosen, seen: Verification, census: Optional[Census], has_queues: bool) -> dict[str, Any]:
    manifest = chosen.manifest
    reason = seen.reason
    if reason is not None and chosen.problem:
        reason = f"{reason} ({chosen.problem})"
    return {
        "backup": str(chosen.path),
        "manifest": str(chosen.manifest_path),
        "taken_at": None if manifest is None else iso_of(manifest.taken_at),
        "bytes": None,
        "sha256": None,
        "written_by": None,
        "format": None,
        **seen.as_dict(),
        "reason": reason,
        "found": None if census is None else exact(census, has_queues=has_queues).as_dict(),
    }
