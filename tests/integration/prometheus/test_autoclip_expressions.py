"""AutoClip's expressions beside those of its manual, on the same data."""

from __future__ import annotations

from pathlib import Path

import yaml
from lab.autoclip.metrics import metrics_text
from lab.play import REPOSITORY
from lab.promtool import rounded, sample, unit_test

INVENTORY = REPOSITORY / "inventories" / "autoclip" / "group_vars" / "prometheus" / "check_metrics.yml"
CONTENT = yaml.safe_load(INVENTORY.read_text(encoding="utf-8"))
OURS = {each["name"]: each["query"] for each in CONTENT["check_metrics_queries"]}
WEEKLY = {each["name"]: each["query"] for each in CONTENT["review_weekly_metrics_queries"]}
# As the manual has them (4.2).
MANUAL_P95 = 'histogram_quantile(0.95, rate(http_request_duration_seconds_bucket{service="autoclip-api"}[5m]))'
MANUAL_ERRORS = (
    'sum(rate(http_requests_total{service="autoclip-api",status=~"5.."}[5m]))'
    ' / sum(rate(http_requests_total{service="autoclip-api"}[5m])) * 100'
)
MANUAL_SUCCESS = (
    'sum(rate(content_generation_total{status="success"}[1h])) / sum(rate(content_generation_total[1h])) * 100'
)
MANUAL_MEAN = "avg(content_generation_duration_seconds)"
API = 'service="autoclip-api"'


def requests(**counts: str) -> dict[str, str]:
    """Counters of two pods by status; of another service's nothing may be counted."""
    ours = {
        f'http_requests_total{{{API},pod="{pod}",status="{status[1:]}"}}': values
        for pod in ("a", "b")
        for status, values in counts.items()
    }
    return {**ours, 'http_requests_total{service="other",status="500"}': "0+900x20"}


def test_requests_and_errors(tmp_path: Path) -> None:
    expected = {
        rounded(OURS["error_percent"]): [sample("{}", "1")],
        rounded(OURS["requests_per_minute"]): [sample("{}", "600")],
    }
    assert unit_test(tmp_path, requests(s200="0+297x20", s500="0+3x20"), expected) == ""
    # Without an error the manual has no figure, which is the same as no data; ours is zero.
    expected = {MANUAL_ERRORS: [], OURS["error_percent"]: [sample("{}", "0")]}
    assert unit_test(tmp_path, requests(s200="0+297x20"), expected) == ""


def test_a_quantile_is_of_all_pods(tmp_path: Path) -> None:
    """A pod that answers one request in a hundred, slowly, is an alarm of its own in the manual's."""
    buckets = {"a": {"0.5": 99, "4": 99, "+Inf": 99}, "b": {"0.5": 0, "4": 1, "+Inf": 1}}
    series = {
        f'http_request_duration_seconds_bucket{{{API},le="{edge}",pod="{pod}"}}': f"0+{count}x20"
        for pod, edges in buckets.items()
        for edge, count in edges.items()
    }
    labels = [f'{{{API},pod="{pod}"}}' for pod in ("a", "b")]
    expected = {
        rounded(MANUAL_P95): [sample(labels[0], "0.475"), sample(labels[1], "3.825")],
        rounded(OURS["latency_p95"]): [sample("{}", "0.479798")],
    }
    assert unit_test(tmp_path, series, expected) == ""


def test_contents(tmp_path: Path) -> None:
    series = {
        'content_generation_total{status="success"}': "0+9x20",
        'content_generation_total{status="failed"}': "0+1x20",
        "content_generation_duration_seconds_sum": "0+850x20",
        "content_generation_duration_seconds_count": "0+10x20",
        'bull_waiting_count{queue="content-generation",pod="a"}': "7+0x20",
        'nginx_ingress_controller_nginx_process_connections{state="active",pod="a"}': "20+0x20",
        'nginx_ingress_controller_nginx_process_connections{state="active",pod="b"}': "21+0x20",
    }
    expected = {
        rounded(OURS["content_success_percent"]): [sample("{}", "90")],
        rounded(OURS["content_mean_seconds"]): [sample("{}", "85")],
        # A histogram has no series of that name: the manual's mean is nothing.
        MANUAL_MEAN: [],
        OURS["jobs_waiting"]: [sample("{}", "7")],
        OURS["open_connections"]: [sample("{}", "41")],
    }
    assert unit_test(tmp_path, series, expected) == ""
    # At night nothing ends: NaN, which no threshold crosses. Ours is not judged then, because none ended.
    idle = dict.fromkeys(series, "7+0x20")
    expected = {
        f"({MANUAL_SUCCESS}) < 95 or ({MANUAL_SUCCESS}) >= 95": [],
        OURS["content_ended"]: [sample("{}", "0")],
    }
    assert unit_test(tmp_path, idle, expected) == ""


def test_the_week_by_the_sla(tmp_path: Path) -> None:
    """Without a week before there is no change: no figure, and not zero."""
    buckets = {f'http_request_duration_seconds_bucket{{{API},le="{edge}"}}': "0+10x20" for edge in ("0.5", "+Inf")}
    expected = {
        rounded(WEEKLY["error_percent_week"]): [sample("{}", "1")],
        rounded(WEEKLY["latency_p95_week"]): [sample("{}", "0.475")],
        WEEKLY["requests_change_percent"]: [],
        WEEKLY["latency_change_percent"]: [],
    }
    assert unit_test(tmp_path, {**requests(s200="0+297x20", s500="0+3x20"), **buckets}, expected) == ""


def test_the_exporter_of_the_lab_has_every_series() -> None:
    page = metrics_text("degraded", 1_767_225_600.0)
    for name in ("http_requests_total", "_seconds_bucket", "content_generation_total", "_duration_seconds_count"):
        assert name in page
