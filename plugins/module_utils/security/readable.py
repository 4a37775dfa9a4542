# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in files that everybody on the machine can read: where, and under which name, never what."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

_MAX_FILE_BYTES = 1 << 20
# In a program a name stands for a value that comes from elsewhere; only what has a shape of its own counts there.
_PROGRAMS = (
    ".py .pyc .rb .js .mjs .ts .tsx .jsx .go .java .kt .c .h .cc .cpp .rs .php .pl .pm .lua .vue .css .html .md .rst "
    ".erb .j2 .sql .map .lock .po .cs .ps1 .psm1"
)
_LEFT_OUT = {".git", "node_modules", "__pycache__", ".venv", "vendor", "proc", "sys"}
_NAMED = re.compile(
    rb"(?i)^\s*(?:export\s+|set\s+|-\s+)?[\"']?([\w.-]*(?:passw(?:or)?d|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|"
    rb"credential|encryption[_-]?key)[\w.-]*)[\"']?\s*[:=]\s*[\"']?([^\s\"'#,;]{4,})"
)
_PATTERNS = (
    ("private key", re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")),
    ("AWS access key", re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("GitHub token", re.compile(rb"\bgh[opsur]_\w{30,}|\bgithub_pat_\w{30,}")),
    ("Slack token", re.compile(rb"\bxox[abeoprs]-[\w-]{10,}")),
    ("Stripe key", re.compile(rb"\b[rs]k_live_\w{10,}")),
    ("password in a URL", re.compile(rb"\b[a-z][a-z0-9+.-]*://[^\s/@'\":]*:[^\s/@'\"${<]{3,}@")),
)
# What stands for a value and is none: a variable, a template, a file's name, a blank to be filled in.
_PLACEHOLDER = re.compile(
    rb"(?i)^(?:\$|\{\{|<|%\w+%?|!vault|/[\w./-]+$|(?:x+|\*+|\.+)$|(?:null|none|true|false|yes|no|files?|prompt|required|"
    rb"example|your[_-].*|os\.environ.*|process\.env.*|env\[.*|getenv.*|compat|shadow|sss|systemd|nis)$)"
)


@dataclass
class Walk:
    """One walk with its limits, and what it came upon."""

    max_files: int
    seconds: float
    top: int
    ignored: Sequence[str] = ()
    looked: int = 0
    total: int = 0
    is_complete: bool = True
    reason: str = ""
    found: list[dict[str, Any]] = field(default_factory=list)

    def run(self, roots: Sequence[str]) -> dict[str, Any]:
        """Look through the roots."""
        deadline = time.monotonic() + self.seconds
        missing = [root for root in roots if not Path(root).exists()]
        for path in (each for root in roots for each in _files(Path(root))):
            if self.looked >= self.max_files or time.monotonic() > deadline:
                self.is_complete = False
                self.reason = (
                    f"stopped after {self.looked} files"
                    if self.looked >= self.max_files
                    else f"stopped after {self.seconds:g} s"
                )
                break
            self._look(path)
        return {
            "roots": list(roots),
            "missing_roots": missing,
            "files_count": self.looked,
            "is_complete": self.is_complete,
            "count": self.total if self.is_complete else None,
            "found_count": self.total,
            "found": self.found,
            "truncated": self.total > len(self.found),
        }

    def _look(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            status = path.lstat()
            if not stat.S_ISREG(status.st_mode):
                return
            self.looked += 1
            if not status.st_mode & stat.S_IROTH or status.st_size > _MAX_FILE_BYTES or not _reachable(path):
                return
            if any(fnmatch(str(path), pattern) for pattern in self.ignored):
                return
            data = path.read_bytes()
            if b"\0" in data[:4096]:
                return
            for line, name, kind in secrets_in(data, is_program=path.suffix in _PROGRAMS.split()):
                self.total += 1
                if len(self.found) < self.top:
                    self.found.append(
                        {
                            "path": str(path),
                            "line": line,
                            "name": name,
                            "kind": kind,
                            "mode": f"{stat.S_IMODE(status.st_mode):04o}",
                        }
                    )


def secrets_in(data: bytes, *, is_program: bool = False) -> Iterator[tuple[int, str, str]]:
    """Line, name and kind of what looks like a secret. The value goes nowhere."""
    for number, line in enumerate(data.splitlines(), 1):
        if len(line) > 4096 or line.lstrip()[:1] in (b"#", b";") or line.lstrip()[:2] == b"//":
            continue
        named = None if is_program else _NAMED.match(line)
        if named and not _PLACEHOLDER.match(named[2]):
            yield number, named[1].decode("utf-8", "replace")[:80], "named value"
            continue
        for kind, pattern in _PATTERNS:
            if pattern.search(line):
                yield number, kind, kind
                break


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for place, directories, names in os.walk(root):
        directories[:] = sorted(each for each in directories if each not in _LEFT_OUT)
        for name in sorted(names):
            yield Path(place, name)


def _reachable(path: Path) -> bool:
    """Whether everybody may pass through all directories above it."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
