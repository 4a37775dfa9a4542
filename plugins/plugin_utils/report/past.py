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
    """What earlier runs knew.

    Rounds differ: the evening one looks at less than the morning one. So a rule on a host is compared with the newest
    run that judged it, and a run that did not is no gap in its course.
    """

    def __init__(self, history: Sequence[Run], ordered: Sequence[Finding], zone: dt.tzinfo) -> None:
        self._zone = zone
        self._runs = list(history)
        self._judged = [
            {(str(entry["id"]), str(entry.get("host") or "")) for entry in run["findings"]} for run in history
        ]
        self._entries = [{identity(entry): entry for entry in run["findings"]} for run in history]
        now = {(str(finding["id"]), str(finding.get("host") or "")) for finding in ordered}
        last: dict[tuple[str, str], int] = {}
        for at, judged in enumerate(self._judged):
            last.update(dict.fromkeys(judged & now, at))
        self._newest = max(last.values(), default=None)
        # The run before, put together from the newest run of each rule on each host.
        self._last = {
            key: entry
            for at in set(last.values())
            for key, entry in self._entries[at].items()
            if last.get(key[:2]) == at
        }
        self._last_counts = Counter(str(entry.get("severity")) for entry in self._last.values())
        self.previous = "" if self._newest is None else self._moment(self._newest)
        # Only runs that looked at about the same can stand beside each other in one chart.
        self.counts = [
            Counter(str(entry.get("severity")) for entry in run["findings"])
            for run, judged in zip(self._runs, self._judged, strict=True)
            if len(judged & now) * 2 > max(len(now), len(judged))
        ][-SPARK_RUNS:]

    def _moment(self, at: int) -> str:
        moment = moment_or_none(self._runs[at]["measured_at"])
        return show_moment(moment, self._zone).local if moment else ""

    def change(self, severity: str, count: int) -> int | None:
        """How many findings more than before; None without an earlier run."""
        return None if self._newest is None else count - self._last_counts[severity]

    def is_fresh(self, finding: Finding) -> bool:
        """Not ok now, and not of this severity before."""
        if self._newest is None or finding["severity"] == "ok":
            return False
        before = self._last.get(identity(finding))
        return before is None or before.get("severity") != finding["severity"]

    def gone(self, ordered: Sequence[Finding]) -> tuple[Gone, ...]:
        """What is no longer complained of, where the same rule was judged now: a silent host has solved nothing."""
        now = {identity(finding) for finding in ordered if finding["severity"] != "ok"}
        judged = {identity(finding)[:2] for finding in ordered if finding["severity"] != "unknown"}
        gone = [
            Gone(str(entry["severity"]), key[1], key[2], key[0])
            for key, entry in self._last.items()
            if entry.get("severity") not in (None, "ok") and key not in now and key[:2] in judged
        ]
        return tuple(
            sorted(gone, key=lambda item: (RANK.get(item.severity, len(RANK)), item.host, item.rule, item.object))
        )

    def trend(self, finding: Finding) -> Trend | None:
        """The course of a finding's value over the runs that judged its rule; None without an earlier value."""
        key = identity(finding)
        points = [
            (at, number_or_none(self._entries[at].get(key, {}).get("value")))
            for at, judged in enumerate(self._judged)
            if key[:2] in judged
        ][-SPARK_RUNS:]
        while points and points[0][1] is None:
            points.pop(0)
        values = [value for _at, value in points]
        if not values or (number_or_none(finding.get("value")) is None and len(values) < 2):
            return None
        values.append(number_or_none(finding.get("value")))
        unit = finding.get("unit")
        start, end = values[0], values[-1]
        runs = f"{len(values)} runs"
        since = " ".join(self._moment(points[0][0]).split()[1:3])
        if start is None or end is None:
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
