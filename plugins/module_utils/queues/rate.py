# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast a queue fills and empties, from two looks at its counters. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class Sample:
    """A queue's counters at one moment.

    C(unfinished) is the number of jobs in any state but the final ones. C(arrived) counts all jobs ever added and
    C(departed) all that ever ended, where the system counts them; None where it does not.
    """

    unfinished: Optional[int]
    arrived: Optional[int] = None
    departed: Optional[int] = None


def rate(earlier: Sample, later: Sample, seconds: float, backlog: Optional[int]) -> dict[str, Any]:
    """The C(rate) of a queue, jobs a second; null what its counters do not tell.

    Arrivals are the growth of the count of all jobs; departures are arrivals minus the growth of what is unfinished.
    At that pace the backlog is drained after C(backlog / (departures - arrivals)) seconds; null if it never is.
    """
    growth = _difference(earlier.unfinished, later.unfinished)
    arrivals = _difference(earlier.arrived, later.arrived)
    departures = _difference(earlier.departed, later.departed)
    if growth is not None:
        if arrivals is None and departures is not None:
            arrivals = growth + departures
        if departures is None and arrivals is not None:
            departures = arrivals - growth
    # A counter that went back was reset between the looks.
    if (arrivals is not None and arrivals < 0) or (departures is not None and departures < 0):
        arrivals = departures = growth = None
    drain = None
    if backlog == 0:
        drain = 0.0
    elif backlog is not None and growth is not None and growth < 0:
        drain = round(backlog * seconds / -growth, 1)
    return {
        "sample_seconds": round(seconds, 3),
        "arrivals_per_second": _per_second(arrivals, seconds),
        "departures_per_second": _per_second(departures, seconds),
        "growth_per_second": _per_second(growth, seconds),
        "drain_seconds": drain,
    }


def _difference(earlier: Optional[int], later: Optional[int]) -> Optional[int]:
    return None if earlier is None or later is None else later - earlier


def _per_second(count: Optional[int], seconds: float) -> Optional[float]:
    return None if count is None or seconds <= 0 else round(count / seconds, 3)
