# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The course of a value over past runs, as one small inline SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

WIDTH = 104
HEIGHT = 28
_PADDING = 4.0
Point = tuple[float, float]


def strokes(values: Sequence[float | None]) -> list[list[Point]]:
    """The line's pieces as points inside the picture; a run without a value leaves a gap, it is not drawn as zero."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < 2:
        return []
    low, high = min(known), max(known)
    # A flat course is drawn in the middle, not along the bottom.
    span = (high - low) or 1.0
    offset = 0.0 if high > low else 0.5
    step = (WIDTH - 2 * _PADDING) / (len(values) - 1)
    pieces: list[list[Point]] = [[]]
    for position, value in enumerate(values):
        if value is None or not math.isfinite(value):
            pieces.append([])
            continue
        share = (value - low) / span + offset
        pieces[-1].append((_PADDING + position * step, HEIGHT - _PADDING - share * (HEIGHT - 2 * _PADDING)))
    return [piece for piece in pieces if piece]


def sparkline_svg(values: Sequence[float | None], severity: str, label: str) -> str:
    """The sparkline, oldest run left, this run right; empty text with fewer than two values."""
    pieces = strokes(values)
    if not pieces:
        return ""
    parts = [
        f'<svg class="spark" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="{html.escape(label)}">'
    ]
    for piece in pieces:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
        if len(piece) > 1:
            floor = f"{piece[-1][0]:.1f},{HEIGHT} {piece[0][0]:.1f},{HEIGHT}"
            parts.append(f'<polygon class="spark-area spark-{severity}" points="{path} {floor}"/>')
            parts.append(f'<polyline class="spark-line spark-{severity}" points="{path}"/>')
        else:
            parts.append(
                f'<circle class="spark-dot spark-{severity}" cx="{piece[0][0]:.1f}" cy="{piece[0][1]:.1f}" r="1.5"/>'
            )
    x, y = pieces[-1][-1]
    if values and values[-1] is not None:
        parts.append(f'<circle class="spark-end spark-{severity}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    parts.append("</svg>")
    return "".join(parts)


def runs_svg(runs: Sequence[Mapping[str, int]]) -> str:
    """The findings that were not ok in each run as stacked columns, oldest run left; runs without any get a foot."""
    column, gap, height = 9.0, 3.0, 46.0
    tallest = max((sum(run[severity] for severity in _BAD) for run in runs), default=0) or 1
    width = len(runs) * (column + gap) - gap
    last = runs[-1]
    bad = sum(last[severity] for severity in _BAD)
    label = f"Findings that were not ok in the last {len(runs)} runs; in this run {bad}"
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    parts = [f'<svg {size} role="img" aria-label="{label}">']
    for at, run in enumerate(runs):
        x, top = at * (column + gap), height
        for severity in _BAD:
            if run[severity]:
                tall = max(2.0, run[severity] / tallest * (height - 2))
                top -= tall
                parts.append(
                    f'<rect class="run-{severity}" x="{x:g}" y="{top:.1f}" width="{column:g}" height="{tall:.1f}"/>'
                )
        if top == height:
            parts.append(f'<rect class="run-none" x="{x:g}" y="{height - 2:g}" width="{column:g}" height="2"/>')
    parts.append("</svg>")
    return "".join(parts)


_BAD = ("critical", "warning", "unknown")
