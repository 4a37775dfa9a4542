"""The manual's expressions and ours, on the same data: promtool's rule tests, and a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.play import REPOSITORY
from lab.promtool import rounded, sample, unit_test

INVENTORY = REPOSITORY / "inventories" / "storebridge" / "group_vars" / "prometheus" / "check_metrics.yml"
NOW = "2026-01-30T00:00:00Z"

# As the manual has them (panels 1, 3 and 6 of its dashboard).
MANUAL_REQUEST_RATE = "rate(http_requests_total[5m])"
MANUAL_ERROR_RATE = 'rate(http_requests_total{status=~"5.."}[5m]) / rate(http_requests_total[5m])'
MANUAL_LIMITER = 'storebridge_rate_limit_remaining{api_name="naver"}'


def ours(variable: str = "check_metrics_queries") -> dict[str, str]:
    content = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
    limit = str(content["__storebridge_naver_limit"])
    return {each["name"]: each["query"].replace("{{ __storebridge_naver_limit }}", limit) for each in content[variable]}


# 600 requests a minute from two pods; one in a hundred fails.
TRAFFIC = {
    'http_requests_total{status="200",pod="a"}': "0+297x20",
    'http_requests_total{status="200",pod="b"}': "0+297x20",
    'http_requests_total{status="500",pod="a"}': "0+3x20",
    'http_requests_total{status="500",pod="b"}': "0+3x20",
}
IDLE = dict.fromkeys(TRAFFIC, "7+0x20")
FLAWLESS = {name: values for name, values in TRAFFIC.items() if "200" in name}


def test_error_rate_while_one_request_in_a_hundred_fails(tmp_path: Path) -> None:
    expected = {
        # Every 5xx series is divided by itself: always 100 %.
        MANUAL_ERROR_RATE: [sample('{status="500",pod="a"}', "1"), sample('{status="500",pod="b"}', "1")],
        rounded(ours()["error_percent"]): [sample("{}", "1")],
    }
    assert unit_test(tmp_path, TRAFFIC, expected) == ""


def test_error_rate_without_errors(tmp_path: Path) -> None:
    # The manual's expression has no series then, which looks the same as no data; ours is zero.
    expected = {MANUAL_ERROR_RATE: [], ours()["error_percent"]: [sample("{}", "0")]}
    assert unit_test(tmp_path, FLAWLESS, expected) == ""


def test_error_rate_without_requests(tmp_path: Path) -> None:
    # Nothing to divide by: NaN, which no threshold ever crosses. The module calls it unknown.
    for expression, series in ((MANUAL_ERROR_RATE, "2"), (ours()["error_percent"], "1")):
        expected = {
            f"count({expression})": [sample("{}", series)],
            f"({expression}) > 0.01 or ({expression}) <= 0.01": [],
        }
        assert unit_test(tmp_path, IDLE, expected) == ""


def test_request_rate_is_that_of_all_series_together(tmp_path: Path) -> None:
    busy = {name: values.replace("297", "17820").replace("+3x", "+180x") for name, values in TRAFFIC.items()}
    expected = {
        # 600 requests a second, and no single series is above 500.
        MANUAL_REQUEST_RATE: [
            sample('{status="200",pod="a"}', "297"),
            sample('{status="200",pod="b"}', "297"),
            sample('{status="500",pod="a"}', "3"),
            sample('{status="500",pod="b"}', "3"),
        ],
        f"{MANUAL_REQUEST_RATE} > 500": [],
        ours()["request_rate"]: [sample("{}", "600")],
        f"{ours()['request_rate']} > 500": [sample("{}", "600")],
    }
    assert unit_test(tmp_path, busy, expected) == ""


def test_latency_is_a_quantile_of_all_pods(tmp_path: Path) -> None:
    # 95 of 100 requests take up to a second, the rest up to 4.
    buckets = {"1": 95, "4": 100, "+Inf": 100}
    series = {
        f'http_request_duration_seconds_bucket{{le="{edge}",pod="{pod}"}}': f"0+{count}x20"
        for edge, count in buckets.items()
        for pod in ("a", "b")
    }
    # The manual asks for a series that a histogram does not have.
    expected = {rounded(ours()["latency_p95"]): [sample("{}", "1")], "http_request_duration_seconds": []}
    assert unit_test(tmp_path, series, expected) == ""


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        # 18 of 120 calls are left: 15 %. The manual's "< 10" is silent until 8 %, and for a limit of 2 always true.
        ({"remaining": "18"}, "15"),
        ({"remaining": "18", "limit": "90"}, "20"),
        ({"remaining": "1", "limit": "2"}, "50"),
    ],
)
def test_the_limiter_is_a_share(tmp_path: Path, series: dict[str, str], expected: str) -> None:
    given = {f'storebridge_rate_limit_{name}{{api_name="naver"}}': f"{value}+0x20" for name, value in series.items()}
    wanted = {ours()["naver_limit_percent"]: [sample("{}", expected)]}
    assert unit_test(tmp_path, given, wanted) == ""
    alarms = unit_test(tmp_path, given, {f"{MANUAL_LIMITER} < 10": []})
    assert bool(alarms) is (float(series["remaining"]) < 10)


@pytest.mark.parametrize(("value", "expected"), [("0.925", ["92.5"]), ("1", ["100"]), ("92.5", [])])
def test_a_success_rate_that_is_no_share_is_unknown(tmp_path: Path, value: str, expected: list[str]) -> None:
    samples = [sample("{}", each) for each in expected]
    series = {"storebridge_registration_success_rate": f"{value}+0x20"}
    assert unit_test(tmp_path, series, {ours()["success_percent"]: samples}) == ""


# --- the real server says the same


def test_the_real_server(past: Any, run_module: Any) -> None:
    queries = [{"name": "manual", "query": MANUAL_ERROR_RATE, "series": "many", "labels": ["status"]}]
    queries += [{"name": name, "query": query} for name, query in ours().items()]
    args = {"url": past.url, "targets": False, "reference_time": NOW, "queries": queries}
    result = run_module("prometheus_query_info", args)
    assert [each["value"] for each in result["series"]["manual"]] == [1]
    values = result["values"]
    assert values["error_percent"] == pytest.approx(0.5, abs=1e-6)
    assert values["request_rate"] == pytest.approx(100 / 3600, rel=1e-6)
    # 80 of 100 take up to a second, the 95th lies in the middle of the ten up to 5 s.
    assert values["latency_p95"] == pytest.approx(4.0625, abs=1e-4)
    assert values["latency_p50"] < 0.5 < values["latency_p99"]
    assert (values["success_percent"], values["queue_depth"], values["naver_limit_percent"]) == (75, 5500, 15)


def test_week_over_week(past: Any, run_module: Any) -> None:
    queries = [{"name": name, "query": query} for name, query in ours("review_weekly_metrics_queries").items()]
    args = {"url": past.url, "targets": False, "reference_time": NOW, "queries": queries}
    values = run_module("prometheus_query_info", args)["values"]
    assert values["latency_p95_last_week"] == pytest.approx(0.92, abs=0.02)
    assert values["latency_p95_week"] == pytest.approx(4.06, abs=0.02)
    assert values["latency_change_percent"] == pytest.approx(342, abs=5)
    assert values["error_percent_week"] == pytest.approx(0.5, abs=0.01)
    assert values["error_difference_percent"] == pytest.approx(0.0, abs=0.01)
    assert values["success_percent_week"] == pytest.approx(75, abs=0.5)
    assert values["success_difference_percent"] == pytest.approx(-20, abs=0.5)
