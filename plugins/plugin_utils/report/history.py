# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One small file per run, so that the next run knows what was before.

A file C(findings-20260131T001500Z.json) is a list of C({id, host, object, value, unit, severity}); the moment is in the
name, so that pruning and choosing a run need not open any file.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

ENTRY_KEYS = ("id", "host", "object", "value", "unit", "severity")
_NAME = re.compile(r"findings-(\d{8}T\d{6}Z)\.json")
_STAMP = "%Y%m%dT%H%M%SZ"

Entry = dict[str, Any]
Run = dict[str, Any]


def file_name(moment: dt.datetime) -> str:
    """The name of a run's file, e.g. C(findings-20260131T001500Z.json); the moment in UTC."""
    return f"findings-{moment.astimezone(dt.timezone.utc).strftime(_STAMP)}.json"


def moment_of(name: str) -> dt.datetime | None:
    """The moment in a file's name, None when it is not one of ours."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    try:
        return dt.datetime.strptime(match[1], _STAMP).replace(tzinfo=dt.timezone.utc)
    except ValueError:
        return None


def history_files(directory: Path) -> list[tuple[dt.datetime, Path]]:
    """The runs kept in a directory, oldest first; other files are not ours and are left alone."""
    try:
        names = list(directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunbookError(f"Cannot read the history in {directory}: {error.strerror}.") from None
    files = [(moment, path) for path in names if (moment := moment_of(path.name))]
    return sorted(files)


def entries(findings: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """What a run leaves behind of its findings."""
    return [{key: finding.get(key) for key in ENTRY_KEYS} for finding in findings]


def dump(findings: Sequence[Mapping[str, Any]]) -> str:
    """The text of a history file, one finding a line."""
    lines = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries(findings))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def read_runs(
    directory: Path,
    *,
    before: dt.datetime | None = None,
    since: dt.datetime | None = None,
    newest: int | None = None,
    most_bytes: int | None = None,
) -> tuple[list[Run], list[str]]:
    """Past runs as C({measured_at, findings}), oldest first, and one sentence for every file that cannot be used.

    Args:
        directory: Where the files are; a directory that does not exist is an empty history.
        before: Only runs before this moment (this run must not be compared with itself).
        since: Only runs at or after this moment.
        newest: At most this many of the newest runs.
        most_bytes: No further run once the newest ones are larger than this together.
    """
    files = [
        (moment, path)
        for moment, path in history_files(directory)
        if (before is None or moment < before) and (since is None or moment >= since)
    ]
    runs: list[Run] = []
    problems: list[str] = []
    size = 0
    for moment, path in files[::-1] if newest is None else files[::-1][:newest]:
        if most_bytes is not None and size > most_bytes:
            break
        try:
            text = path.read_text(encoding="utf-8")
            size += len(text)
            content = json.loads(text)
        except (OSError, ValueError):
            problems.append(f"The history file {path} cannot be read as JSON and was left out.")
            continue
        if not isinstance(content, list) or not all(isinstance(entry, dict) and "id" in entry for entry in content):
            problems.append(f"The history file {path} is not a list of findings and was left out.")
            continue
        runs.append({"measured_at": iso(moment), "findings": content})
    return runs[::-1], problems[::-1]


def surplus(directory: Path, keep: int, coming: str) -> list[Path]:
    """The files to remove so that C(keep) remain, the coming run's file among them; 0 keeps everything."""
    if keep < 1:
        return []
    files = [path for _moment, path in history_files(directory)]
    names = {path.name for path in files} | {coming}
    kept = set(sorted(names)[-keep:])
    return [path for path in files if path.name not in kept]
