# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value drawn against its ladder: geometry first (pure numbers), then one small inline SVG."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

WIDTH = 220
HEIGHT = 37
_TRACK_TOP = 7
_TRACK_HEIGHT = 11
# A zone that exists is never thinner than this share of the axis, else "> 0" would show no ok zone at all.
_SLIVER = 0.06
# A value beyond this many times the last step would press the ladder into a corner: it is shown at the edge.
_FAR = 3.0
# Labels nearer to each other than this share of the axis are anchored away from each other.
_NEAR = 0.34


@dataclass(frozen=True)
class Limit:
    """One step of a ladder in the unit of the value: C(operator) is one of C(> >= < <=), C(label) how it is written."""

    operator: str
    number: float
    label: str

    @property
    def rising(self) -> bool:
        """Whether larger values are worse."""
        return self.operator.startswith(">")


@dataclass(frozen=True)
class Zone:
    """A stretch of the axis, in shares of it (0 to 1)."""

    severity: str
    start: float
    end: float


@dataclass(frozen=True)
class Tick:
    """A step of the ladder on the axis; C(anchor) is how its label is placed."""

    severity: str
    position: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Bar:
    """What is drawn. C(marker) is None when nothing was measured; C(beyond) says that the value lies off the axis."""

    zones: tuple[Zone, ...]
    ticks: tuple[Tick, ...]
    marker: float | None
    beyond: bool


def ladder_bar(value: float | None, unit: str | None, warning: Limit | None, critical: Limit | None) -> Bar | None:
    """The geometry of a value on its ladder, or None where there is nothing to draw.

    Nothing is drawn without a step, or when the two steps point in different directions.
    """
    steps = [(severity, limit) for severity, limit in (("warning", warning), ("critical", critical)) if limit]
    if not steps or len({limit.rising for _severity, limit in steps}) > 1:
        return None
    if not all(math.isfinite(limit.number) for _severity, limit in steps):
        return None
    if value is not None and not math.isfinite(value):
        value = None
    numbers = [limit.number for _severity, limit in steps]
    low, high = _axis(value, unit, numbers)

    def share(number: float) -> float:
        return min(1.0, max(0.0, (number - low) / (high - low)))

    rising = steps[0][1].rising
    positions = [(severity, share(limit.number), limit.label) for severity, limit in steps]
    beyond = value is not None and not low <= value <= high
    return Bar(
        zones=_zones(positions, rising),
        ticks=_ticks(positions),
        marker=None if value is None else share(value),
        beyond=beyond,
    )


def _axis(value: float | None, unit: str | None, numbers: list[float]) -> tuple[float, float]:
    """Where the axis begins and ends: at zero where that is honest, a little past the last step, past the value."""
    lowest, highest = min(numbers), max(numbers)
    natural = {"percent": 100.0, "ratio": 1.0}.get(unit or "")
    inside = natural is not None and lowest >= 0 and highest <= natural and (value is None or 0 <= value <= natural)
    # An error rate of 1 and 5 % on an axis to 100 % would be a smudge in the corner.
    if natural is not None and inside and max(highest, value or 0.0) >= natural * 0.35:
        low, high = 0.0, natural
    else:
        low = 0.0 if lowest >= 0 else lowest * 1.4
        high = highest * 1.5 if highest > 0 else 0.0
        # Against a step at zero no value is far: there is no ladder that it could crush.
        reach = max(abs(lowest), abs(highest)) * _FAR or math.inf
        if value is not None and value > high:
            high = value * 1.15 if value <= reach else max(high, reach * 0.7)
        if value is not None and value < low:
            low = value * 1.15 if -value <= reach else min(low, -reach * 0.7)
    if high <= low:
        high = low + 1.0
    # Room for the outermost zones, so that each of them can be seen.
    span = high - low
    if lowest - low < span * _SLIVER:
        low = lowest - span * _SLIVER
    if high - highest < span * _SLIVER:
        high = highest + span * _SLIVER
    return low, high


def _zones(positions: list[tuple[str, float, str]], rising: bool) -> tuple[Zone, ...]:
    ordered = positions if rising else [(severity, 1 - share, label) for severity, share, label in positions]
    zones = []
    edge, severity = 0.0, "ok"
    for following, share, _label in ordered:
        start = max(edge, share)
        if start > edge:
            zones.append(Zone(severity, edge, start))
        edge, severity = start, following
    zones.append(Zone(severity, edge, 1.0))
    return tuple(zones) if rising else tuple(Zone(zone.severity, 1 - zone.end, 1 - zone.start) for zone in zones[::-1])


def _ticks(positions: list[tuple[str, float, str]]) -> tuple[Tick, ...]:
    ordered = sorted(positions, key=lambda position: position[1])
    if len(ordered) == 2 and ordered[1][1] - ordered[0][1] < _NEAR:
        anchors = ["end", "start"] if ordered[0][1] > 0.2 else ["start", "start"]
    else:
        anchors = [
            "start" if share < 0.12 else "end" if share > 0.88 else "middle" for _severity, share, _label in ordered
        ]
    # Two steps at the same place carry one label, the worse one's.
    if len(ordered) == 2 and ordered[1][1] - ordered[0][1] < 0.02:
        ordered, anchors = ordered[1:], ["middle"]
    return tuple(
        Tick(severity, share, label, anchor) for (severity, share, label), anchor in zip(ordered, anchors, strict=True)
    )


def bar_svg(drawn: Bar, severity: str, label: str) -> str:
    """The bar as inline SVG; colours come from the page's style sheet. C(label) is read to people who cannot see it."""

    def x(share: float) -> str:
        return f"{share * WIDTH:.1f}"

    middle = _TRACK_TOP + _TRACK_HEIGHT / 2
    parts = [
        f'<svg class="bar{"" if drawn.marker is not None else " bar-unmeasured"}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{html.escape(label)}">',
        '<g class="track">',
        *(
            f'<rect class="zone zone-{zone.severity}" x="{x(zone.start)}" y="{_TRACK_TOP}" '
            f'width="{x(zone.end - zone.start)}" height="{_TRACK_HEIGHT}"/>'
            for zone in drawn.zones
        ),
        "</g>",
    ]
    for tick in drawn.ticks:
        parts.append(
            f'<line class="tick tick-{tick.severity}" x1="{x(tick.position)}" x2="{x(tick.position)}" '
            f'y1="{_TRACK_TOP - 2}" y2="{_TRACK_TOP + _TRACK_HEIGHT + 3}"/>'
            f'<text class="tick-label" x="{x(tick.position)}" y="{HEIGHT - 4}" text-anchor="{tick.anchor}">'
            f"{html.escape(tick.label)}</text>"
        )
    if drawn.marker is None:
        parts.append(f'<line class="unmeasured" x1="2" x2="{WIDTH - 2}" y1="{middle}" y2="{middle}"/>')
    else:
        at = min(max(drawn.marker * WIDTH, 6.0), WIDTH - 6.0)
        parts.append(
            f'<line class="reach reach-{severity}" x1="1.5" x2="{at:.1f}" y1="{middle}" y2="{middle}"/>'
            + (
                f'<path class="marker marker-{severity}" d="M{at - 5:.1f} {middle - 6} l9 6 l-9 6 z"/>'
                if drawn.beyond and drawn.marker > 0.5
                else f'<circle class="marker marker-{severity}" cx="{at:.1f}" cy="{middle}" r="5.5"/>'
            )
        )
    parts.append("</svg>")
    return "".join(parts)
