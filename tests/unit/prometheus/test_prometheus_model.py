"""What Prometheus' answers mean."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.prometheus.model import (
    labels_text,
    number,
    parse_scrape_moment,
    read_answer,
    read_targets,
)
from ansible_collections.runbook.ops.plugins.module_utils.prometheus.plan import Query, Window

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)
ONE = Query("q", "up", many=False, labels=None, window=None)
MANY = Query("q", "up", many=True, labels=None, window=None)
FILTER = Query("q", "up == 0", many=True, labels=None, window=None, allow_empty=True)
RANGE = Query("q", "up", many=False, labels=None, window=Window(NOW - dt.timedelta(hours=1), NOW, 60))

NOTHING = "no series matches: the metric is not collected, its target is down, or a label is wrong"
NAN = "NaN: nothing to divide by, or no observation in the window"


def vector(*values: str, **labels: str) -> dict[str, Any]:
    result = [{"metric": {**labels, "n": str(each)}, "value": [1.0, text]} for each, text in enumerate(values)]
    return {"resultType": "vector", "result": result}


def matrix(*values: str) -> dict[str, Any]:
    return {"resultType": "matrix", "result": [{"metric": {}, "values": [[i, text] for i, text in enumerate(values)]}]}


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("0", 0, None),
        ("42", 42, None),
        ("0.0125", 0.0125, None),
        ("1e+06", 1000000, None),
        ("-3", -3, None),
        ("9007199254740993", 9007199254740992.0, None),
        ("NaN", None, NAN),
        ("+Inf", None, "+Inf: a division by zero, or a histogram whose largest bucket is too small"),
        ("-Inf", None, "-Inf: a division by zero"),
        ("x", None, "the value is 'x', not a number"),
    ],
)
def test_number(text: str, value: float | None, reason: str | None) -> None:
    assert number(text) == (value, reason)
    assert type(number(text)[0]) is type(value)


@pytest.mark.parametrize(
    ("query", "data", "value", "reason"),
    [
        (ONE, vector("7"), 7, None),
        (ONE, {"resultType": "scalar", "result": [1.0, "0.5"]}, 0.5, None),
        (ONE, vector("NaN"), None, NAN),
        (ONE, vector(), None, NOTHING),
        (
            ONE,
            vector("1", "2", "3", "4", "5", job="a"),
            None,
            '5 series where one is expected ({job="a", n="0"}, {job="a", n="1"}, {job="a", n="2"} and 2 more): '
            "aggregate them, or set series to many",
        ),
        (
            ONE,
            matrix("1"),
            None,
            "the expression gives a range of points: wrap it, as in rate(…[5m]), or set start for a range query",
        ),
        (ONE, {"resultType": "string", "result": [1, "x"]}, None, "the expression gives a string, not numbers"),
        (ONE, {}, None, "the expression gives a None, not numbers"),
        (
            ONE,
            {"resultType": "vector", "result": [{"metric": {}, "histogram": [1, {}]}]},
            None,
            "the series are native histograms: take histogram_quantile() or histogram_sum() of them",
        ),
        (MANY, vector(), None, NOTHING),
        (FILTER, vector(), None, None),
        (RANGE, {"resultType": "matrix", "result": []}, None, NOTHING.replace("matches", "matches in the window")),
        (RANGE, matrix("1", "NaN"), None, NAN),
    ],
)
def test_read_answer(query: Query, data: dict[str, Any], value: float | None, reason: str | None) -> None:
    facts = read_answer(query, data, 10)
    assert (facts["value"], facts["reason"]) == (value, reason)


def test_many_series_largest_first_and_cut_with_a_word() -> None:
    facts = read_answer(MANY, vector("1", "NaN", "30", "2", job="a"), 3)
    assert [each["value"] for each in facts["series"]] == [30, 2, 1]
    assert (facts["series_count"], facts["truncated"], facts["reason"]) == (4, True, None)
    assert facts["series"][0] == {"name": "job=a, n=2", "labels": {"job": "a", "n": "2"}, "value": 30, "reason": None}
    last = read_answer(MANY, vector("1", "NaN"), 5)["series"][-1]
    assert (last["value"], last["reason"]) == (None, NAN)


def test_no_list_is_not_an_empty_list() -> None:
    # An empty list is judged "all of them are ok".
    assert "series" not in read_answer(MANY, vector(), 5)
    assert read_answer(FILTER, vector(), 5)["series"] == []


def test_wanted_labels() -> None:
    query = Query("q", "up", many=True, labels=("job", "zone"), window=None)
    [series] = read_answer(query, vector("1", job="a", __name__="up"), 5)["series"]
    assert (series["labels"], series["name"]) == ({"job": "a", "zone": ""}, "job=a, zone=")


def test_statistics_leave_out_what_is_no_number_and_say_so() -> None:
    facts = read_answer(RANGE, matrix("1", "NaN", "4"), 5)
    assert facts["value"] == 4
    assert facts["statistics"] == {
        "first": 1,
        "last": 4,
        "minimum": 1,
        "maximum": 4,
        "average": 2.5,
        "points_count": 3,
        "unknown_count": 1,
    }


def test_labels_text() -> None:
    assert labels_text({"__name__": "up", "job": "a", "b": "c"}) == 'up{b="c", job="a"}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-30T23:59:00.123456789Z", dt.datetime(2026, 1, 30, 23, 59, tzinfo=dt.timezone.utc)),
        ("2026-01-31T08:59:00+09:00", dt.datetime(2026, 1, 30, 23, 59, tzinfo=dt.timezone.utc)),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_scrape_moment(text: str, expected: dt.datetime | None) -> None:
    assert parse_scrape_moment(text) == expected


def target(job: str, instance: str, health: str, **more: Any) -> dict[str, Any]:
    base = {"labels": {"job": job, "instance": instance}, "health": health, "scrapeUrl": f"http://{instance}/metrics"}
    return {**base, "lastScrape": "2026-01-30T23:59:00Z", "lastScrapeDuration": 0.01, "lastError": "", **more}


def test_targets_those_in_trouble_first() -> None:
    data = {
        "activeTargets": [
            target("b", "h1", "up"),
            target("a", "h2", "down", lastError='Get "http://u:hunter2@h2/metrics": dial tcp: connection refused'),
            target("a", "h3", "unknown", lastScrape="0001-01-01T00:00:00Z", lastError=""),
            target("a", "h4", "up", scrapeUrl="http://u:p@h4/probe?token=t"),
        ]
    }
    facts = read_targets(data, NOW, 10)
    assert [each["instance"] for each in facts["instances"]] == ["h2", "h3", "h4", "h1"]
    assert {key: facts[key] for key in facts if key.endswith("_count")} == {
        "total_count": 4,
        "up_count": 2,
        "down_count": 1,
        "unknown_count": 1,
        "jobs_count": 2,
    }
    assert facts["jobs"][0] == {"job": "a", "up_count": 1, "down_count": 1, "total_count": 3}
    down, never, up, _ignored = facts["instances"]
    assert down["last_error"] == 'Get "http://<hidden>@h2/metrics": dial tcp: connection refused'
    assert (never["last_scrape"], never["last_scrape_age_seconds"], never["scrape_seconds"]) == (None, None, None)
    assert (up["last_scrape_age_seconds"], up["scrape_url"]) == (60.0, "http://********@h4/probe?token=********")
    assert facts["truncated"] is False


def test_a_cut_list_of_targets_keeps_the_counts() -> None:
    facts = read_targets({"activeTargets": [target("a", f"h{i}", "up") for i in range(5)]}, NOW, 2)
    assert (facts["total_count"], len(facts["instances"]), facts["truncated"]) == (5, 2, True)
    assert read_targets({}, NOW, 2)["total_count"] == 0
