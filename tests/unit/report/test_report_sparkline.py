"""The sparkline: gaps stay gaps, flat stays in the middle."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from ansible_collections.runbook.ops.plugins.plugin_utils.report.sparkline import (
    HEIGHT,
    WIDTH,
    runs_svg,
    sparkline_svg,
    strokes,
)


@pytest.mark.parametrize(
    ("values", "pieces"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([1], [], id="one value is no course"),
        pytest.param([None, 1, None], [], id="one known value is no course"),
        pytest.param([1, 2, 3], [3], id="a line"),
        pytest.param([1, 2, None, 3], [2, 1], id="a gap"),
        pytest.param([1, float("nan"), 3], [1, 1], id="NaN is a gap"),
        pytest.param([None, 1, 2], [2], id="begins late"),
    ],
)
def test_pieces(values: list[float | None], pieces: list[int]) -> None:
    assert [len(piece) for piece in strokes(values)] == pieces


def test_scale_and_direction() -> None:
    ((first, last),) = strokes([10, 20])
    assert first == (4.0, HEIGHT - 4.0)
    assert last == (WIDTH - 4.0, 4.0)


def test_flat_is_drawn_in_the_middle() -> None:
    ((first, last),) = strokes([7, 7])
    assert first[1] == last[1] == HEIGHT / 2


def test_the_picture_is_xml_and_says_what_it_shows() -> None:
    picture = ET.fromstring(sparkline_svg([1, None, 2, 3], "critical", 'from "1" to <3>'))
    assert picture.attrib["aria-label"] == 'from "1" to <3>'
    assert sparkline_svg([None, 1], "ok", "x") == ""


def test_no_end_point_when_this_run_has_no_value() -> None:
    assert "spark-end" in sparkline_svg([1, 2], "ok", "x")
    assert "spark-end" not in sparkline_svg([1, 2, None], "unknown", "x")


def test_columns_of_runs() -> None:
    none = {"critical": 0, "warning": 0, "unknown": 0, "ok": 9}
    picture = ET.fromstring(runs_svg([none, {**none, "critical": 1, "unknown": 3}]))
    assert [rect.attrib["class"] for rect in picture] == ["run-none", "run-critical", "run-unknown"]
    assert "in this run 4" in picture.attrib["aria-label"]
