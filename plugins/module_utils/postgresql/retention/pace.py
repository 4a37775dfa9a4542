# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How large a batch is and how long to rest after it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

THROTTLES = ["off", "gentle"]
# Beyond this, more rows a batch are no faster (measured with 5, 20 and 50 thousand), and only hold their locks longer.
MAX_BATCH_ROWS = 20000
# Seconds a batch may take, and the rest after it as a multiple of what it took.
_DEFAULTS = {"off": (0.5, 0.0), "gentle": (0.003, 65.0)}
_START_ROWS = {"off": 10000, "gentle": 100}
_STEP = 1.2
# Weight of the latest batch in the average.
_WEIGHT = 0.3


@dataclass(frozen=True)
class PaceOptions:
    """What the module's options come to."""

    batch_rows: int
    max_batch_rows: int
    batch_seconds: float
    pause_ratio: float
    max_rows_per_second: Optional[float]


def pace_options(options: Mapping[str, Any]) -> PaceOptions:
    """The pace that was asked for; InvalidOption when it cannot be kept."""
    seconds, ratio = _DEFAULTS[options["throttle"]]
    seconds = seconds if options["batch_seconds"] is None else options["batch_seconds"]
    ratio = ratio if options["pause_ratio"] is None else options["pause_ratio"]
    if not 0.001 <= seconds <= 60:
        raise InvalidOption("batch_seconds", seconds, "0.001 to 60 seconds")
    if not 0 <= ratio <= 1000:
        raise InvalidOption("pause_ratio", ratio, "0 to 1000 times the duration of the batch")
    most = options["max_batch_rows"]
    if not 1 <= most <= 1000000:
        raise InvalidOption("max_batch_rows", most, "1 to 1000000 rows")
    start = _START_ROWS[options["throttle"]] if options["batch_rows"] is None else options["batch_rows"]
    if not 1 <= start <= 1000000:
        raise InvalidOption("batch_rows", start, "1 to 1000000 rows")
    limit = options["max_rows_per_second"]
    if limit is not None and limit <= 0:
        raise InvalidOption("max_rows_per_second", limit, "more than 0")
    return PaceOptions(min(start, most), most, seconds, ratio, limit)


class Pace:
    """The size of the next batch, from how long the last ones took.

    The size follows an exponential average of rows a second and changes by a fifth at most, so that one slow batch (a
    checkpoint, a lock) does not turn everything over.
    """

    def __init__(self, options: PaceOptions) -> None:
        self._options = options
        self._rate: Optional[float] = None
        self._size = float(options.batch_rows)
        self._trial: Optional[int] = None

    @property
    def size(self) -> int:
        """How many rows to try next."""
        return self._trial if self._trial is not None else max(1, int(self._size))

    def took(self, rows: int, seconds: float) -> float:
        """Learn from a batch; gives the seconds to rest now."""
        if self._trial is not None:
            # After a batch that had to be divided, back to the usual size in a few steps.
            self._trial = None if self._trial * 4 >= self._size else self._trial * 4
        elif rows:
            rate = rows / max(seconds, 0.0005)
            self._rate = rate if self._rate is None else _WEIGHT * rate + (1 - _WEIGHT) * self._rate
            wanted = self._rate * self._options.batch_seconds
            wanted = min(max(wanted, self._size / _STEP), self._size * _STEP)
            self._size = min(max(wanted, 1.0), float(self._options.max_batch_rows))
        rest = seconds * self._options.pause_ratio
        if self._options.max_rows_per_second:
            rest = max(rest, rows / self._options.max_rows_per_second - seconds)
        return rest

    def divide(self) -> bool:
        """Half as many next, because a row among them is in the way; False when it is a single row."""
        if self.size == 1:
            return False
        self._trial = self.size // 2
        return True

    def passed(self) -> None:
        """The single row that was in the way was passed over."""
        self._trial = 2


def batches(rows: int, options: PaceOptions) -> int:
    """About how many batches so many rows take: the size grows by a fifth from the first to the largest."""
    size, count, done = float(options.batch_rows), 0, 0.0
    while done < rows and size < options.max_batch_rows:
        done += size
        count += 1
        size = min(size * _STEP, float(options.max_batch_rows))
    if done < rows:
        count += -(-int(rows - done) // options.max_batch_rows)
    return count
