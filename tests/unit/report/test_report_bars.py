"""The ladder bar's geometry: which zones, where the marker, in which direction."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.report.bars import Limit, bar_svg, ladder_bar


def limit(text: str | None) -> Limit | None:
    if text is None:
        return None
    operator, number = text.split()
    return Limit(operator, float(number), number)


@pytest.mark.parametrize(
    ("value", "unit", "warning", "critical", "zones", "marker"),
    [
        pytest.param(
            93.8,
            "percent",
            "> 80",
            "> 90",
            [("ok", 0, 0.8), ("warning", 0.8, 0.9), ("critical", 0.9, 1)],
            0.938,
            id="rising percent on the whole axis",
        ),
        pytest.param(
            80,
            "percent",
            "< 85",
            "< 70",
            [("critical", 0, 0.7), ("warning", 0.7, 0.85), ("ok", 0.85, 1)],
            0.8,
            id="falling percent",
        ),
        pytest.param(0.5, "ratio", "> 0.8", None, [("ok", 0, 0.8), ("warning", 0.8, 1)], 0.5, id="one step only"),
        pytest.param(0.5, "ratio", None, "> 0.8", [("ok", 0, 0.8), ("critical", 0.8, 1)], 0.5, id="critical only"),
        pytest.param(
            3000,
            "count",
            "> 1000",
            "> 5000",
            [("ok", 0, 0.1333), ("warning", 0.1333, 0.6667), ("critical", 0.6667, 1)],
            0.4,
            id="axis ends past the last step",
        ),
        pytest.param(
            0.4,
            "percent",
            "> 1",
            "> 5",
            [("ok", 0, 0.1333), ("warning", 0.1333, 0.6667), ("critical", 0.6667, 1)],
            0.0533,
            id="a low percent ladder is not a smudge on an axis to 100",
        ),
        pytest.param(
            120,
            "percent",
            "> 80",
            "> 90",
            [("ok", 0, 0.5926), ("warning", 0.5926, 0.6667), ("critical", 0.6667, 1)],
            0.8889,
            id="over 100 percent",
        ),
        pytest.param(
            -5,
            "count",
            "> 0",
            None,
            [("ok", 0, 0.9434), ("warning", 0.9434, 1)],
            0.1231,
            id="a negative value",
        ),
        pytest.param(
            12,
            "count",
            "> 10",
            "> 10",
            [("ok", 0, 0.6667), ("critical", 0.6667, 1)],
            0.8,
            id="equal steps: the worse one",
        ),
    ],
)
def test_geometry(
    value: float, unit: str, warning: str | None, critical: str | None, zones: list[Any], marker: float
) -> None:
    drawn = ladder_bar(value, unit, limit(warning), limit(critical))
    assert drawn is not None
    assert [(zone.severity, round(zone.start, 4), round(zone.end, 4)) for zone in drawn.zones] == zones
    assert drawn.marker is not None
    assert round(drawn.marker, 4) == marker
    assert not drawn.beyond


def test_a_step_at_zero_leaves_an_ok_zone_that_can_be_seen() -> None:
    drawn = ladder_bar(0, "count", limit("> 0"), None)
    assert drawn is not None
    assert drawn.zones[0].severity == "ok"
    assert drawn.zones[0].end - drawn.zones[0].start >= 0.05


def test_a_value_far_beyond_stands_at_the_edge_and_does_not_crush_the_ladder() -> None:
    drawn = ladder_bar(10_000_000, "count", limit("> 1000"), limit("> 5000"))
    assert drawn is not None
    assert drawn.beyond
    assert drawn.marker == 1.0
    assert drawn.zones[-1].start >= 0.4
    assert "<path" in bar_svg(drawn, "critical", "far")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_was_not_measured_has_a_ladder_and_no_marker(value: float | None) -> None:
    drawn = ladder_bar(value, "count", limit("> 1000"), limit("> 5000"))
    assert drawn is not None
    assert drawn.marker is None
    svg = bar_svg(drawn, "unknown", "not measured")
    assert "marker" not in svg
    assert "unmeasured" in svg


@pytest.mark.parametrize(
    ("warning", "critical"),
    [
        pytest.param(None, None, id="no ladder"),
        pytest.param("> 5", "< 1", id="two directions"),
        pytest.param("> inf", None, id="no number"),
    ],
)
def test_nothing_to_draw(warning: str | None, critical: str | None) -> None:
    assert ladder_bar(3, "count", limit(warning), limit(critical)) is None


@pytest.mark.parametrize("value", [-1e9, -1, 0, 1e-9, 0.5, 1, 79, 99.99, 1e6, 1e300])
@pytest.mark.parametrize("unit", ["percent", "bytes", None])
@pytest.mark.parametrize(("warning", "critical"), [("> 80", "> 90"), ("< 85", "< 70"), ("> -5", "> 0"), (None, "< 1")])
def test_the_drawing_stays_inside(value: float, unit: str | None, warning: str | None, critical: str) -> None:
    drawn = ladder_bar(value, unit, limit(warning), limit(critical))
    assert drawn is not None
    assert drawn.zones[0].start == 0
    assert drawn.zones[-1].end == pytest.approx(1)
    for before, after in zip(drawn.zones, drawn.zones[1:]):
        assert before.end == pytest.approx(after.start)
    assert all(zone.end > zone.start for zone in drawn.zones)
    assert drawn.marker is not None
    assert 0 <= drawn.marker <= 1
    assert ET.fromstring(bar_svg(drawn, "ok", "a < b & c")).attrib["aria-label"] == "a < b & c"


def test_labels_do_not_lie_on_each_other() -> None:
    drawn = ladder_bar(93.8, "percent", limit("> 80"), limit("> 90"))
    assert drawn is not None
    assert [tick.anchor for tick in drawn.ticks] == ["end", "start"]
    assert [tick.label for tick in drawn.ticks] == ["80", "90"]
