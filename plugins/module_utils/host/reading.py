# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a machine: files of the kernel and short commands, and what could not be read as data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

AS_ROOT = "Run the task with become."


class Unread(RunbookError):
    """A section cannot be read; C(remedy) says what would help."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass
class Machine:
    """Where the kernel's files are, how long a command may take, and what was not read so far."""

    options: Mapping[str, Any]
    root: Path = Path("/")
    skipped: list[dict[str, str]] = field(default_factory=list)

    def skip(self, section: str, reason: str, remedy: str) -> None:
        """Note that a section, or a part of it, is not known."""
        self.skipped.append({"section": section, "reason": reason, "remedy": remedy})

    def path(self, name: str) -> Path:
        """A path below the root."""
        return self.root / name

    def text(self, name: str) -> str:
        """The text of a file; raises Unread."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            remedy = AS_ROOT if isinstance(error, PermissionError) else "This kernel does not offer it."
            raise Unread(f"/{name} cannot be read: {error.strerror}", remedy) from None

    def optional(self, name: str) -> Optional[str]:
        """The text of a file that need not be there."""
        try:
            return self.text(name)
        except Unread:
            return None

    def command(self, argv: Sequence[str], remedy: str) -> str:
        """What a short command says; raises Unread."""
        try:
            return run(argv, seconds=self.options["command_timeout"])
        except RunbookError as error:
            raise Unread(error.message, remedy) from None

    def answer(self, argv: Sequence[str]) -> Optional[tuple[int, str]]:
        """Exit status and words of a command that may be absent; None when it is, or does not end."""
        try:
            return 0, run(argv, seconds=self.options["command_timeout"])
        except ChildFailed as error:
            return error.code, error.words
        except RunbookError:
            return None

    def uptime(self) -> Optional[float]:
        """Seconds since the machine booted."""
        text = self.optional("proc/uptime")
        return float(text.split()[0]) if text else None

    def container(self) -> str:
        """What kind of container this is; empty for a machine of its own."""
        kind = (self.optional("run/systemd/container") or "").strip()
        if kind:
            return kind
        if self.path(".dockerenv").exists():
            return "docker"
        environment = self.optional("proc/1/environ") or ""
        found = [word[len("container=") :] for word in environment.split("\0") if word.startswith("container=")]
        return found[0] if found else ("podman" if self.path("run/.containerenv").exists() else "")


def hertz() -> int:
    """Ticks of processor time in a second."""
    return os.sysconf("SC_CLK_TCK")


def page_bytes() -> int:
    """Bytes of a page of memory."""
    return os.sysconf("SC_PAGE_SIZE")
