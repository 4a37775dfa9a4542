# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a server keeps people waiting: on the way to it, in its commands, and when it stood still. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.redis.info import integer, number, parse_pairs

_PERCENTILES = "latency_percentiles_usec_"


def ping_facts(seconds: Sequence[float]) -> dict[str, Any]:
    """Round trips of PING as seen from where the module runs."""

    def milliseconds(value: float) -> float:
        return round(value * 1000, 3)

    return {
        "samples_count": len(seconds),
        "ping_min_milliseconds": milliseconds(min(seconds)) if seconds else None,
        "ping_median_milliseconds": milliseconds(statistics.median(seconds)) if seconds else None,
        "ping_max_milliseconds": milliseconds(max(seconds)) if seconds else None,
    }


def event_facts(
    events: Optional[Sequence[tuple[str, float, float, float]]],
    server_time: Optional[float],
    config: Mapping[str, str],
) -> dict[str, Any]:
    """What the server's latency monitor has seen (LATENCY LATEST), the longest first.

    A monitor that is off has seen nothing, which is not the same as nothing having happened: C(events) is then null.
    """
    threshold = integer(config, "latency-monitor-threshold")
    facts: dict[str, Any] = {
        "monitor_threshold_milliseconds": threshold or None,
        "monitored": None if threshold is None else threshold > 0,
        "events": None,
    }
    if events is None or (not events and not threshold):
        return facts
    facts["events"] = [
        {
            "event": name,
            "last_age_seconds": None if server_time is None else max(0, round(server_time - at)),
            "last_milliseconds": latest,
            "longest_milliseconds": longest,
        }
        for name, at, latest, longest in sorted(events, key=lambda event: (-event[3], event[0]))
    ]
    return facts


def command_facts(info: Mapping[str, str], top: int = 10) -> list[dict[str, Any]]:
    """The commands that take longest in one call of a hundred, since the counters were reset; from Redis 7.0 on."""
    found: list[tuple[float, str, dict[str, Any]]] = []
    for name, text in info.items():
        if name.startswith(_PERCENTILES):
            pairs = parse_pairs(text)
            command = name[len(_PERCENTILES) :]
            entry = {
                "command": command.upper().replace("|", " "),
                "calls_total": integer(parse_pairs(info.get(f"cmdstat_{command}", "")), "calls"),
                "p50_milliseconds": _milliseconds(pairs, "p50"),
                "p99_milliseconds": _milliseconds(pairs, "p99"),
                "p999_milliseconds": _milliseconds(pairs, "p99.9"),
            }
            found.append((-(number(pairs, "p99") or 0.0), command, entry))
    return [entry for _rank, _command, entry in sorted(found, key=lambda each: each[:2])[:top]]


def _milliseconds(pairs: Mapping[str, str], name: str) -> Optional[float]:
    micros = number(pairs, name)
    return None if micros is None else round(micros / 1000, 3)
