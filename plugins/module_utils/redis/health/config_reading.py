# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finding and reading the server's configuration file, where the module runs on the server's own host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.health.config_file import compare, lint_file
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.lint import CRITICAL, WARNING
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import LOOPBACK
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import integer
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings

AUTO = "auto"
MOST_BYTES = 4 * 2**20
_REMEDY = "Run the task on the server's host, by an account that may read the file, or give its path in config_file."


@dataclass(frozen=True)
class FileReading:
    """The C(config_file) of the result, and the entry for C(skipped_sections) when it could not be read."""

    facts: dict[str, Any]
    skipped: Optional[dict[str, str]] = None


def read_config_file(
    option: Optional[str], settings: Settings, info: Mapping[str, str], running: Mapping[str, str]
) -> FileReading:
    """Look at a configuration file; C(info) and C(running) are empty when the server is not available.

    Never at another server's: with C(auto) the path that the server names is only believed when the server is a process
    of this host, and not, say, one in a container or behind a tunnel.
    """
    if not option:
        return FileReading({"path": None, "reason": "config_file was not given", "entries": [], **_counts([])})
    path, reason = _named(settings, info) if option == AUTO else (option, "")
    text = None
    if path and not reason:
        text, reason = _text(Path(path))
    if text is None:
        skipped = {"section": "config_file", "reason": reason, "remedy": _REMEDY}
        return FileReading({"path": path, "reason": reason, "entries": None, **_counts(None)}, skipped)
    entries = [entry.facts() for entry in [*lint_file(text), *(compare(text, running) if running else ())]]
    return FileReading({"path": path, "reason": None, "entries": entries, **_counts(entries)})


def _counts(entries: Optional[list[dict[str, str]]]) -> dict[str, Any]:
    return {
        f"{severity}_count": None if entries is None else sum(entry["severity"] == severity for entry in entries)
        for severity in (CRITICAL, WARNING)
    }


def _named(settings: Settings, info: Mapping[str, str]) -> tuple[Optional[str], str]:
    """The path the server names, and why it cannot be used."""
    path = info.get("config_file") or None
    if not info:
        return None, "the server is not available, so where its configuration file is is not known"
    if path is None:
        return None, "the server was started without a configuration file"
    if not settings.unix_socket and not settings.host.startswith(LOOPBACK):
        return path, f"{settings.host} is another host"
    process = integer(info, "process_id")
    try:
        command = Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace")
    except OSError:
        command = ""
    if not any(word in command for word in ("redis", "valkey", "keydb")):
        return path, f"the server is no process of this host (process {process} is not it)"
    return path, ""


def _text(path: Path) -> tuple[Optional[str], str]:
    try:
        if path.stat().st_size > MOST_BYTES:
            return None, f"{path} is larger than {MOST_BYTES} bytes"
        return path.read_text(encoding="utf-8", errors="backslashreplace"), ""
    except OSError as error:
        return None, f"{path} could not be read: {error.strerror}"
