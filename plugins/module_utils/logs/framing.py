# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a line of a log is wrapped in: nothing, a record of Docker's json-file, or one of journalctl. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, Optional, Protocol

from ansible_collections.runbook.ops.plugins.module_utils.logs.moments import ISO, Clock

_UTC_CLOCK = Clock(ISO, None, 0.0)
# Lines of a container that continue the one before, where the program itself writes no timestamps.
_CONTINUES = re.compile(rb"\s|Caused by: |\.\.\. \d+ more|Traceback \(most recent call last\)")
_UNESCAPED = re.compile(rb"\"?[ !#-%'-;=?-\[\]-~]+")
_LEVELS = {"0": b"emerg", "1": b"alert", "2": b"crit", "3": b"error", "4": b"warn"}


class Framing(Protocol):
    """Takes the text and the moment out of a line."""

    # Whether literals of the text can be looked for in the raw line.
    prefilter: bool
    # Whether lines have moments at all. Otherwise each is an entry of its own.
    dated: bool

    def as_written(self, needle: bytes) -> bytes:
        """The longest part of a literal that is in the raw line whenever the literal is in its text."""

    def decode(self, line: bytes) -> tuple[bytes, Optional[float]]:
        """The text, and when it was written; None for a line that belongs to the one before."""


class Plain:
    """A line as the program wrote it."""

    prefilter = True

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock
        self.dated = clock is not None

    def as_written(self, needle: bytes) -> bytes:
        """Itself."""
        return needle

    def decode(self, line: bytes) -> tuple[bytes, Optional[float]]:
        """The line, and its moment."""
        line = line.rstrip(b"\r")
        return line, self._clock.moment(line) if self._clock else None


class DockerJson:
    """A record of Docker's logging driver json-file: C({"log": "…\\n", "stream": "stderr", "time": "…Z"})."""

    prefilter = True
    dated = True

    def __init__(self, inner: Clock | None = None) -> None:
        self._inner = inner

    def as_written(self, needle: bytes) -> bytes:
        """Without what JSON, as Docker writes it, may escape. A quote in front is there behind its backslash."""
        return max(_UNESCAPED.findall(needle), key=len, default=b"")

    def decode(self, line: bytes) -> tuple[bytes, Optional[float]]:
        """What the container wrote, and when."""
        record = _record(line)
        if record is None or not isinstance(record.get("log"), str):
            return line, None
        text = record["log"].rstrip("\r\n").encode("utf-8", "surrogateescape")
        continues = self._inner.moment(text) is None if self._inner else _CONTINUES.match(text) is not None
        return text, None if continues else _UTC_CLOCK.moment(str(record.get("time", "")).encode())


class DockerCommand:
    """A line of C(docker logs --timestamps)."""

    prefilter = True
    dated = True

    def as_written(self, needle: bytes) -> bytes:
        """Itself."""
        return needle

    def decode(self, line: bytes) -> tuple[bytes, Optional[float]]:
        """What the container wrote, and when."""
        stamp, _space, text = line.rstrip(b"\r").partition(b" ")
        moment = _UTC_CLOCK.moment(stamp)
        if moment is None:
            return line, None
        return text, None if _CONTINUES.match(text) else moment


class JournalJson:
    """A record of C(journalctl --output=json); a priority of warning or worse is shown in front, as C([error])."""

    prefilter = False
    dated = True

    def as_written(self, needle: bytes) -> bytes:
        """Itself."""
        return needle

    def decode(self, line: bytes) -> tuple[bytes, Optional[float]]:
        """C([error] identifier[pid]: message), and when."""
        record = _record(line)
        if record is None:
            return line, None
        message = record.get("MESSAGE")
        if isinstance(message, list):
            # Bytes that are not UTF-8 come as a list of numbers; a field given twice as a list of texts.
            numbers = all(isinstance(each, int) for each in message)
            text = bytes(message) if numbers else " ".join(str(each) for each in message).encode()
        else:
            text = str(message or "").encode("utf-8", "replace")
        name = str(record.get("SYSLOG_IDENTIFIER") or record.get("_COMM") or "").encode()
        pid = str(record.get("SYSLOG_PID") or record.get("_PID") or "").encode()
        level = _LEVELS.get(str(record.get("PRIORITY")))
        who = (name + (b"[" + pid + b"]" if pid else b"") + b": ") if name else b""
        stamp = str(record.get("__REALTIME_TIMESTAMP", ""))
        moment = int(stamp) / 1e6 if stamp.isdigit() else None
        return (b"[" + level + b"] " if level else b"") + who + text, moment


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
