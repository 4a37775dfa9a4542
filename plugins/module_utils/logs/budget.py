# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much may be read, and for how long. Reaching a limit is said, with what was not read."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError


class LimitReached(RunbookError):
    """No more is read; the message says which limit."""


@dataclass
class Budget:
    """Bytes, as they are after decompression, and seconds."""

    max_bytes: int
    timeout: float
    clock: Callable[[], float] = time.monotonic
    spent_bytes: int = 0

    def __post_init__(self) -> None:
        self._deadline = self.clock() + self.timeout

    def spend(self, amount: int) -> None:
        """So many bytes are going to be looked at; raises LimitReached."""
        if self.spent_bytes + amount > self.max_bytes:
            raise LimitReached(f"max_bytes ({self.max_bytes}) is reached")
        if self.clock() >= self._deadline:
            raise LimitReached(f"timeout ({self.timeout:g} s) is reached")
        self.spent_bytes += amount

    def seconds_left(self) -> float:
        """Until the deadline; never negative."""
        return max(self._deadline - self.clock(), 0.0)
