# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are either the old ones or the new ones, never half of each."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError


def read_text(path: Path) -> str | None:
    """The text of a file, None when there is none (or it is not UTF-8 text, which then counts as different)."""
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise RunbookError(f"Cannot read {path}: {error.strerror}. Check its owner and mode.") from None


def differs(path: Path, text: str, mode: int) -> bool:
    """Whether writing C(text) with C(mode) would change the file."""
    if read_text(path) != text:
        return True
    return stat.S_IMODE(path.stat().st_mode) != mode


def write_atomically(path: Path, text: str, mode: int) -> None:
    """Write beside the file and rename: a reader sees the old report or the new one.

    The directory is made when it is missing.

    Raises:
        RunbookError: when the directory or the file cannot be written.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            # Before the content: the text must not be readable by more people than asked for, not even for a moment.
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise RunbookError(
            f"Cannot write {path}: {error.strerror}. Choose a directory that the user running Ansible may write to."
        ) from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
