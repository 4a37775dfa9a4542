# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files put in place at once, and what they replace kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, new_file, sync_directory


def install(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace a configuration file at once. Its partial name is one that directories of drop-ins pass over."""
    partial = path.with_name(f".{path.name}.runbook~")
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(partial) as stream:
            stream.write(data)
            os.fchmod(stream.fileno(), mode)
        partial.replace(path)
        sync_directory(path.parent)
    if path.read_bytes() != data:
        raise RunbookError(f"{path} does not hold what was written. Look at the disk, and run it again.")


def keep_copy(path: Path, backups: Path) -> Optional[str]:
    """Keep a copy of a file that will be replaced or removed, for its owner only; None if it is not there."""
    if not path.exists():
        return None
    with explained("create", backups):
        backups.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = backups / f"{path.name}.{path.stat().st_mtime_ns}"
    with explained("keep a copy of", path):
        shutil.copy2(path, kept)
    return str(kept)


def remove(path: Path) -> None:
    """Take a file away, for good."""
    with explained("remove", path):
        path.unlink()
        sync_directory(path.parent)
