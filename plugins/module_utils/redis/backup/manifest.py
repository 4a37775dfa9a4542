# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest beside a backup: what it is of, what it must hold, what proved it. Pure, but for reading the file."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import MANIFEST_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import Figures, figures_from

KIND = "redis"
FORMAT = 1
# A manifest of thousands of queues is still far below this.
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read. C(taken_at) is in epoch seconds.

    C(counted_at) is the moment against which jobs for later were told from those for now.
    """

    bytes: int
    sha256: str
    taken_at: float
    counted_at: dt.datetime
    verdict: Optional[str]
    figures: Figures
    entry: Mapping[str, Any]


def path_of(backup: Path) -> Path:
    """Where the manifest of a backup is."""
    return backup.with_name(backup.name + MANIFEST_SUFFIX)


def written(entry: Mapping[str, Any], figures: Figures) -> bytes:
    """A manifest as it is written: C(entry) is what the result says of the backup, too."""
    whole = {"format": FORMAT, "kind": KIND, **entry, **figures.as_dict()}
    return (json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=True) + "\n").encode("ascii")


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file; None when there is none. Raises Undecided when it cannot be read or understood."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise Undecided(f"{path} is too large for a manifest")
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Undecided(f"{path} cannot be read: {error.strerror or error}") from None
    return parse_manifest(data, str(path))


def parse_manifest(data: bytes, name: str) -> Manifest:
    """The manifest in C(data); raises Undecided when it is none."""
    try:
        entry = json.loads(data)
        if entry["kind"] != KIND or entry["format"] != FORMAT:
            raise Undecided(f"{name} is a manifest of another kind or format than this collection writes for Redis")
        return Manifest(
            bytes=int(entry["bytes"]),
            sha256=str(entry["sha256"]),
            taken_at=parse_moment(entry["taken_at"]).timestamp(),
            counted_at=parse_moment(entry["counted_at"]),
            verdict=entry["verification"]["verdict"],
            figures=figures_from(entry),
            entry=entry,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, InvalidOption):
        raise Undecided(f"{name} is damaged: it is not a manifest as this collection writes it") from None
