# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs knew: what is new, what has gone, and how values developed."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence

from ansible_collections.runbook.ops.plugins.plugin_utils.findings import RANK, identity
from ansible_collections.runbook.ops.plugins.plugin_utils.judging.humanise import humanise
from ansible_collections.runbook.ops.plugins.plugin_utils.report.history import Run
from ansible_collections.runbook.ops.plugins.plugin_utils.report.model import Gone, Trend
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import Finding, moment_or_none, show_moment

# How many runs a sparkline spans.
SPARK_RUNS = 30


class Past:
    """What the runs before knew of a finding."""

    def __init__(self, history: Sequence[Run], zone: dt.tzinfo) -> None:
        self._runs = list(history)[-SPARK_RUNS:]
        self._zone = zone
        self._by_key: list[dict[tuple[str, str, str], Finding]] = [
            {identity(entry): entry for entry in run["findings"]} for run in self._runs
        ]
        self._last = self._by_key[-1] if self._by_key else {}
        self.counts = [Counter(str(entry.get("severity")) for entry in run["findings"]) for run in self._runs]
        self.previous = self._moment(-1) if self._runs else ""

    def _moment(self, at: int) -> str:
        moment = moment_or_none(self._runs[at]["measured_at"])
        return show_moment(moment, self._zone).local if moment else ""

    def change(self, severity: str, count: int) -> int | None:
        """How many findings more than in the run before; None without one."""
        return count - self.counts[-1][severity] if self.counts else None

    def is_fresh(self, finding: Finding) -> bool:
        """Not ok now, and not complained of in the same words in the run before."""
        if not self._runs or finding["severity"] == "ok":
            return False
        before = self._last.get(identity(finding))
        return before is None or before.get("severity") != finding["severity"]

    def gone(self, ordered: Sequence[Finding]) -> tuple[Gone, ...]:
        """What is no longer complained of, where the same rule was judged now: a silent host has solved nothing."""
        now = {identity(finding) for finding in ordered if finding["severity"] != "ok"}
        judged = {(finding["id"], finding["host"]) for finding in ordered if finding["severity"] != "unknown"}
        gone = [
            Gone(str(entry["severity"]), key[1], key[2], key[0])
            for key, entry in self._last.items()
            if entry.get("severity") not in (None, "ok") and key not in now and (key[0], key[1]) in judged
        ]
        return tuple(
            sorted(
                gone,
                key=lambda item: (
                    RANK.get(item.severity, len(RANK)),
                    item.host,
                    item.rule,
                    item.object,
                ),
            )
        )

    def trend(self, finding: Finding) -> Trend | None:
        """The course of a finding's value, None without an earlier value."""
        key = identity(finding)
        values = [number_or_none(entries[key].get("value")) if key in entries else None for entries in self._by_key]
        values.append(number_or_none(finding.get("value")))
        first = next((at for at, value in enumerate(values) if value is not None), None)
        known = [value for value in values if value is not None]
        if first is None or first == len(values) - 1 or len(known) < 2:
            return None
        values = values[first:]
        unit = finding.get("unit")
        start, end = known[0], values[-1]
        runs = f"{len(values)} runs"
        since = " ".join(self._moment(first).split()[1:3])
        if end is None:
            text = f"{runs} since {since}"
        elif end == start:
            text = f"unchanged over {runs}"
        else:
            sign = "+" if end > start else "−"
            # Percentages of a whole differ by points; "+10 %" would read as a tenth more.
            moved = humanise(abs(end - start), None if unit == "percent" else unit)
            text = f"{sign}{moved}{' points' if unit == 'percent' else ''} since {since}"
        label = f"Trend over {runs} since {since}: from {humanise(start, unit)} to {humanise(end, unit)}"
        return Trend(tuple(values), text, label)


def number_or_none(value: object) -> float | None:
    """A number as such; a flag is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
