"""The role as a user runs it, with StoreBridge's queries and ladders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from lab.http_stub import HttpStub, Reply
from lab.play import REPOSITORY, RoleRun, run_role

INVENTORY = REPOSITORY / "inventories" / "storebridge"
STOREBRIDGE = {"group": "prometheus", "host": "storebridge-prometheus", "inventories": [INVENTORY]}
NOW = "2026-01-30T00:00:00Z"


def answers(targets: list[dict[str, Any]] | None = None, **values: str) -> HttpStub:
    """A server that knows the values of StoreBridge's queries by their names."""
    content = yaml.safe_load((INVENTORY / "group_vars/prometheus/check_metrics.yml").read_text(encoding="utf-8"))
    names = {
        each["query"].replace("{{ __storebridge_naver_limit }}", "120"): each["name"]
        for each in content["check_metrics_queries"]
    }
    healthy = {
        "request_rate": "40",
        "error_percent": "0.2",
        "latency_p50": "0.2",
        "latency_p95": "0.9",
        "latency_p99": "1.5",
        "success_percent": "94",
        "queue_depth": "120",
        "naver_limit_percent": "70",
    }

    def query(request: Any) -> Reply:
        value = {**healthy, **values}[names[request.argument("query")]]
        result = [{"metric": {}, "value": [1, value]}] if value else []
        return Reply(200, {"status": "success", "data": {"resultType": "vector", "result": result}})

    up = {"labels": {"job": "web", "instance": "h:1"}, "health": "up", "lastScrape": "2026-01-29T23:59:50Z"}
    data = {"activeTargets": [up] if targets is None else targets}
    return HttpStub({"/api/v1/query": query, "/api/v1/targets": {"status": "success", "data": data}})


def check(directory: Path, url: str, *arguments: str, **variables: Any) -> RoleRun:
    given = {"prometheus_url": url, "runbook_reference_time": NOW, **variables}
    return run_role(directory, "check_metrics", given, *arguments, **STOREBRIDGE)


def test_healthy(tmp_path: Path) -> None:
    with answers() as server:
        run = check(tmp_path, server.url)
    assert run.of("critical", "warning", "unknown") == []
    assert run.finding("metrics.latency_p95")["ladder"] == {"warning": "> 2 s", "critical": "> 5 s"}
    assert run.finding("metrics.latency_p99")["value"] == 1.5
    # Every query has a rule of its own, so none is judged twice.
    assert "metrics.query" not in {each["id"] for each in run.findings}


def test_a_real_server_in_trouble(tmp_path: Path, past: Any) -> None:
    run = check(tmp_path, past.url)
    assert sorted(run.of("critical")) == [("metrics.queue_depth", ""), ("metrics.target_up", "gone 127.0.0.1:1")]
    assert sorted(run.of("warning")) == [
        ("metrics.latency_p95", ""),
        ("metrics.naver_limit", ""),
        ("metrics.success_rate", ""),
    ]
    assert run.of("unknown") == []
    down = run.finding("metrics.target_up", "gone 127.0.0.1:1")
    assert down["summary"].startswith("gone at 127.0.0.1:1 is down: Get ")
    assert run.finding("metrics.latency_p95")["summary"].startswith("95 of 100 requests take up to 4.06")


def test_the_weekly_review_on_a_real_server(tmp_path: Path, past: Any) -> None:
    run = check(
        tmp_path,
        past.url,
        check_metrics_queries="{{ review_weekly_metrics_queries }}",
        check_metrics_extra_rules="{{ review_weekly_metrics_rules }}",
        check_metrics_targets=False,
    )
    assert run.of("critical") == [("metrics.latency_change", ""), ("metrics.success_change", "")]
    assert run.of("warning", "unknown") == []
    assert run.finding("metrics.error_change")["severity"] == "ok"
    assert "metrics.target_up" not in {each["id"] for each in run.findings}


def test_no_targets_is_not_all_targets_up(tmp_path: Path) -> None:
    with answers(targets=[]) as server:
        run = check(tmp_path, server.url)
    assert run.of("critical") == [("metrics.targets", "")]


def test_a_target_that_is_not_scraped_any_more(tmp_path: Path) -> None:
    stale = {"labels": {"job": "web", "instance": "h:1"}, "health": "up", "lastScrape": "2026-01-29T23:00:00Z"}
    with answers(targets=[stale]) as server:
        run = check(tmp_path, server.url)
    assert run.of("warning") == [("metrics.target_fresh", "web h:1")]


def test_down_is_one_finding(tmp_path: Path) -> None:
    run = check(tmp_path, "http://127.0.0.1:1")
    assert run.of("critical", "warning") == [("metrics.available", "")]
    assert run.of("unknown") == [("metrics.not_judged", "")]


def test_no_address_is_unknown_and_not_ok(tmp_path: Path) -> None:
    run = check(tmp_path, "")
    assert [(each["severity"], each["summary"]) for each in run.findings] == [
        (
            "unknown",
            "not measured: no Prometheus server is configured; Set check_metrics_url (prometheus_url in the inventory)",
        )
    ]


def test_a_query_that_no_rule_judges_is_not_passed_over(tmp_path: Path) -> None:
    answer = {"status": "success", "data": {"resultType": "vector", "result": []}}
    with HttpStub({"/api/v1/query": answer}) as server:
        variables = {
            "prometheus_url": server.url,
            "check_metrics_targets": False,
            "check_metrics_queries": [{"name": "a", "query": "a"}, {"name": "b", "query": "b", "series": "many"}],
            "check_metrics_extra_rules": [
                {"id": "metrics.b", "each": "series.b", "value": "value", "warning": "> 1", "unit": "count"}
            ],
        }
        run = run_role(tmp_path, "check_metrics", variables)
    assert run.of("warning", "critical") == [("metrics.query", "a")]
    assert run.finding("metrics.query")["summary"].startswith("a is unknown: no series matches")
    # No list is unknown; an empty one would have been "all ok".
    assert run.of("unknown") == [("metrics.b", "")]


@pytest.mark.parametrize("direct", [True, False], ids=["in the controller", "sent"])
def test_check_mode_and_no_secret_at_any_verbosity(tmp_path: Path, direct: bool) -> None:
    with answers() as server:
        login = {"prometheus_username": "me", "prometheus_password": "pr0m-secret", "runbook_direct": direct}
        run = check(tmp_path, server.url, "--check", "-vvvv", **login)
        assert {request.headers["authorization"] for request in server.requests} == {"Basic bWU6cHIwbS1zZWNyZXQ="}
    assert run.of("critical", "warning", "unknown") == []
    assert "pr0m-secret" not in run.output
    assert "bWU6cHIwbS1zZWNyZXQ=" not in run.output


def test_nothing_to_ask_for_fails_with_one_sentence(tmp_path: Path) -> None:
    variables = {"prometheus_url": "http://127.0.0.1:1", "check_metrics_targets": False}
    run = run_role(tmp_path, "check_metrics", variables, expect=2)
    assert "check_metrics_queries is empty and check_metrics_targets is false." in run.output
