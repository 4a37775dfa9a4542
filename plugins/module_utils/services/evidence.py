# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restart would destroy, kept in a file first."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, write_file
from ansible_collections.runbook.ops.plugins.module_utils.services.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.services.surroundings import processes, surroundings


def evidence_file(request: Request, now: dt.datetime) -> Path:
    """Where the evidence goes: a file of its own in the directory, or the file that was named if there is none yet."""
    path = request.evidence_path
    name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', request.service.label)}-{now:%Y%m%dT%H%M%SZ}.json"
    wanted = path if path.suffix == ".json" and not path.is_dir() else path / name
    number = 2
    chosen = wanted
    while chosen.exists():
        chosen = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        number += 1
    return chosen


def keep_evidence(
    path: Path,
    request: Request,
    facts: Mapping[str, Any],
    dependencies: Sequence[Mapping[str, Any]],
    now: dt.datetime,
) -> None:
    """Write it, for root only, flushed to the disk; raises RunbookError when that fails, and nothing was restarted."""
    content = {
        "measured_at": iso(now),
        "reason": request.reason,
        "service": dict(facts),
        "processes": processes(str(facts["control_group"])),
        "dependencies": [dict(each) for each in dependencies],
        "machine": surroundings(),
    }
    with explained("make", path.parent):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_file(path, (json.dumps(content, indent=1) + "\n").encode())
