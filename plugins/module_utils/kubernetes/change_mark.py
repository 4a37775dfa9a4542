# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of the last change that we made to a Secret or ConfigMap, kept on it.

Restarts that a change needs come after it. A run that was interrupted in between knows by the name who is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_hex
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PREFIX, memory_of, remembered

CHANGED = f"{PREFIX}changed"


def change_mark() -> dict[str, Optional[str]]:
    """The annotation for a change of now."""
    return remembered(CHANGED, {"id": f"{iso(utc_now())}-{token_hex(4)}"})


def mark_of(document: Optional[Mapping[str, Any]]) -> Optional[str]:
    """The name of the last change; None where there was none.

    Raises:
        RunbookError: somebody has edited it so that it cannot be read.

    """
    memory = memory_of(document or {}, CHANGED)
    return str(memory["id"]) if memory and memory.get("id") else None
