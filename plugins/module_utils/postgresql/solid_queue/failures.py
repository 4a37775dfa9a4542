# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a job failed, from the column C(error) of solid_queue_failed_executions. Pure.

The column holds JSON with C(exception_class), C(message) and C(backtrace), in this order. A message may be as long as a
page and a backtrace as long as a book, so only the beginning is fetched, and it need not be whole JSON any more.
"""

from __future__ import annotations

import json
import re
from typing import Any, Optional

ERROR_CHARACTERS = 4000
UNREADABLE = "(no readable error)"

_TEXT = r'"%s"\s*:\s*"((?:[^"\\]|\\.)*)'
_CLASS, _MESSAGE = re.compile(_TEXT % "exception_class"), re.compile(_TEXT % "message")


def failure_text(error: Optional[str]) -> str:
    """C(Class: message), as far as they are known."""
    try:
        found: Any = json.loads(error or "")
    except ValueError:
        kind, message = _beginning(_CLASS, error or ""), _beginning(_MESSAGE, error or "")
    else:
        if isinstance(found, str):
            return found or UNREADABLE
        known = found if isinstance(found, dict) else {}
        kind, message = (str(known.get(name) or "") for name in ("exception_class", "message"))
    return ": ".join(part for part in (kind, message) if part) or UNREADABLE


def _beginning(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    if match is None:
        return ""
    inside = match.group(1)
    # An escape may have been cut in half: at most six characters (\u0000) are its.
    for end in range(len(inside), max(len(inside) - 6, -1), -1):
        try:
            return str(json.loads(f'"{inside[:end]}"', strict=False))
        except ValueError:
            continue
    return inside
