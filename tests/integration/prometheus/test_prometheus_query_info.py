"""Queries against a real Prometheus; promtool is the second opinion."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from lab.http_stub import HttpStub, Reply

ModuleRunner = Callable[..., dict[str, Any]]
NOTHING = "no series matches: the metric is not collected, its target is down, or a label is wrong"


def promtool(url: str, expression: str) -> list[str]:
    """The values of an instant query as promtool prints them."""
    completed = subprocess.run(
        ["promtool", "query", "instant", url, expression], capture_output=True, text=True, check=True
    )
    return [line.split("=>")[1].split("@")[0].strip() for line in completed.stdout.splitlines() if "=>" in line]


@pytest.fixture
def ask(metrics: Any, run_module: ModuleRunner) -> Callable[..., dict[str, Any]]:
    def run(*queries: dict[str, Any], **options: Any) -> dict[str, Any]:
        result = run_module("prometheus_query_info", {"url": metrics.url, "queries": list(queries), **options})
        assert "msg" not in result, result["msg"]
        return result

    return run


@pytest.mark.parametrize(
    "expression",
    [
        "sum(queue_tasks)",
        'queue_tasks{queue="batch"}',
        "ratio",
        "big",
        "count(up)",
        "sum(up)",
        "0 - ratio",
        "sum(queue_tasks) / 0 > 1 or vector(7)",
    ],
)
def test_numbers_are_those_of_promtool(metrics: Any, ask: Any, expression: str) -> None:
    result = ask({"name": "q", "query": expression})
    [seen] = promtool(metrics.url, expression)
    assert result["values"]["q"] == float(seen) if "/ 0" not in expression else result["values"]["q"] is None
    assert result["available"] is True


@pytest.mark.parametrize(
    ("expression", "raw", "reason"),
    [
        # promtool and the API show these as if they were numbers; a threshold on them never fires.
        ("nothing", ["NaN"], "NaN: nothing to divide by, or no observation in the window"),
        ("sum(queue_tasks) * 0 / 0", ["NaN"], "NaN: nothing to divide by, or no observation in the window"),
        ("endless", ["+Inf"], "+Inf: a division by zero, or a histogram whose largest bucket is too small"),
        ("0 - endless", ["-Inf"], "-Inf: a division by zero"),
        ("no_such_metric", [], NOTHING),
        ('queue_tasks{queue="nope"}', [], NOTHING),
    ],
)
def test_what_is_no_number_is_unknown(metrics: Any, ask: Any, expression: str, raw: list[str], reason: str) -> None:
    assert promtool(metrics.url, expression) == raw
    result = ask({"name": "q", "query": expression}, targets=False)
    assert result["values"] == {"q": None}
    assert [each["reason"] for each in result["skipped_sections"]] == [reason]
    assert (result["queries"][0]["known"], result["queries"][0]["reason"]) == (False, reason)


def test_many_series_where_one_is_expected_are_named(ask: Any, metrics: Any) -> None:
    result = ask({"name": "q", "query": "queue_tasks"})
    instance = f'instance="127.0.0.1:{metrics.exporter.port}", job="app"'
    assert result["queries"][0]["reason"] == (
        f'2 series where one is expected (queue_tasks{{{instance}, queue="batch"}}, '
        f'queue_tasks{{{instance}, queue="normal"}}): aggregate them, or set series to many'
    )
    assert result["values"] == {"q": None}


def test_many_series(ask: Any) -> None:
    result = ask({"name": "q", "query": "queue_tasks", "series": "many", "labels": ["queue"]}, top=1)
    assert result["series"] == {
        "q": [{"name": "queue=batch", "labels": {"queue": "batch"}, "value": 30, "reason": None}]
    }
    assert (result["queries"][0]["series_count"], result["queries"][0]["truncated"]) == (2, True)
    assert result["values"] == {}


@pytest.mark.parametrize(("allow", "series", "known"), [(False, None, False), (True, [], True)])
def test_no_series_is_unknown_unless_it_is_good_news(ask: Any, allow: bool, series: Any, known: bool) -> None:
    query = {"name": "q", "query": "queue_tasks > 1000", "series": "many", "allow_empty": allow}
    result = ask(query)
    assert (result["series"], result["queries"][0]["known"]) == ({"q": series}, known)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("sum(", 'invalid parameter "query": 1:5: parse error: unclosed left parenthesis (bad_data)'),
        ("queue_tasks[5m]", "the expression gives a range of points"),
        ('"text"', "the expression gives a string, not numbers"),
        ("queue_tasks / on() queue_tasks", "found duplicate series for the match group {}"),
    ],
)
def test_one_bad_query_leaves_the_others_alone(ask: Any, expression: str, reason: str) -> None:
    result = ask({"name": "bad", "query": expression}, {"name": "good", "query": "ratio"})
    assert result["values"] == {"bad": None, "good": 0.0125}
    assert result["queries"][0]["reason"].startswith(reason)
    assert [each["section"] for each in result["skipped_sections"]] == ["bad"]


def test_targets(ask: Any, metrics: Any) -> None:
    targets = ask()["health"]["targets"]
    assert {key: targets[key] for key in ("total_count", "up_count", "down_count", "unknown_count")} == {
        "total_count": 2,
        "up_count": 1,
        "down_count": 1,
        "unknown_count": 0,
    }
    down, up = targets["instances"]
    assert (down["job"], down["instance"], down["health"], down["up"]) == ("gone", "127.0.0.1:1", "down", False)
    assert "connection refused" in down["last_error"]
    assert (up["health"], up["last_error"], up["last_scrape_age_seconds"] < 60) == ("up", None, True)
    # A different question gives the same answer: up is 0 for what is down.
    assert promtool(metrics.url, "up == 0") == ["0"]


def test_ranges(past: Any, run_module: ModuleRunner) -> None:
    args = {
        "url": past.url,
        "targets": False,
        "reference_time": "2026-01-30T00:00:00Z",
        "queries": [
            {"name": "days", "query": "storebridge_registration_success_rate", "start": "14d", "step": "1h"},
            {"name": "none", "query": "no_such_metric", "start": "1h"},
            {
                "name": "queues",
                "query": "storebridge_queue_depth",
                "start": "1h",
                "series": "many",
                "labels": ["queue"],
            },
        ],
    }
    result = run_module("prometheus_query_info", args)
    statistics = result["statistics"]["days"]
    assert {key: statistics[key] for key in ("first", "last", "minimum", "maximum", "unknown_count")} == {
        "first": 0.95,
        "last": 0.75,
        "minimum": 0.75,
        "maximum": 0.95,
        "unknown_count": 0,
    }
    assert statistics["points_count"] == 14 * 24 + 1
    assert statistics["average"] == pytest.approx(0.85, abs=0.001)
    assert (result["values"]["days"], result["values"]["none"], result["statistics"]["none"]) == (0.75, None, None)
    assert [(each["name"], each["statistics"]["maximum"]) for each in result["series"]["queues"]] == [
        ("queue=normal", 4000),
        ("queue=batch", 1500),
    ]


def test_instant_queries_at_a_moment(past: Any, run_module: ModuleRunner) -> None:
    query = {"name": "q", "query": "storebridge_registration_success_rate"}
    args = {"url": past.url, "queries": [query], "targets": False}
    at = [
        run_module("prometheus_query_info", {**args, "reference_time": moment})["values"]["q"]
        for moment in ("2026-01-30T00:00:00Z", "2026-01-20T09:00:00+09:00")
    ]
    assert at == [0.75, 0.95]
    # Now, long after: a series that ended is no series, and not its last value.
    assert run_module("prometheus_query_info", args)["values"]["q"] is None


def test_one_connection_for_everything(run_module: ModuleRunner) -> None:
    success = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "5"]}]}}
    ports = set()

    def answer(request: Any) -> Any:
        ports.add(request.headers["host"])
        return success

    with HttpStub({"*": answer}) as stub:
        accepted: list[Any] = []
        server = stub._server
        assert server is not None
        original = server.get_request

        def counting() -> Any:
            found = original()
            accepted.append(found[1])
            return found

        server.get_request = counting  # type: ignore[method-assign]
        queries = [{"name": f"q{number}", "query": f"vector({number})"} for number in range(20)]
        result = run_module("prometheus_query_info", {"url": stub.url, "queries": queries, "targets": False})
    assert set(result["values"].values()) == {5}
    assert len(stub.requests) == 20
    assert len(accepted) == 1


def test_warnings_are_passed_on(run_module: ModuleRunner) -> None:
    answer = {
        "status": "success",
        "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "5"]}]},
        "warnings": ["No StoreAPIs matched for this query"],
        "infos": ["PromQL info: metric might not be a counter"],
    }
    with HttpStub({"/api/v1/query": answer}) as stub:
        args = {"url": stub.url, "queries": [{"name": "q", "query": "x"}]}
        result = run_module("prometheus_query_info", args)
    assert result["api_warnings"] == ["q: No StoreAPIs matched for this query"]
    assert result["api_infos"] == ["q: PromQL info: metric might not be a counter"]
    assert (result["warnings_count"], result["values"]) == (1, {"q": 5})
    # A long-term store has no targets of its own.
    assert result["skipped_sections"] == [
        {
            "section": "targets",
            "reason": "this server has no /api/v1/targets",
            "remedy": "Give the login access to /api/v1/targets, or set targets to false",
        }
    ]
    assert result["health"] == {}


OK = {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "5"]}]}}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(401, "Unauthorized\n"), "does not let us in (status 401, Unauthorized). Correct bearer_token"),
        (Reply(403, {"error": "no"}), "does not let us in (status 403, no). Correct bearer_token"),
        (
            Reply(200, "<html>Grafana</html>", headers={"Content-Type": "text/html"}),
            "is not Prometheus's API (status 200, text/html)",
        ),
        (Reply(404, "404 page not found"), "is not Prometheus's API (status 404, text/plain)"),
        (Reply(503, "Service Unavailable"), "is not available (status 503, Service Unavailable)"),
        (Reply(302, headers={"Location": "/graph"}), "it redirects to "),
        (Reply(hang=True), "no complete answer from "),
        (Reply(200, '{"status": "success"', headers={"Content-Type": "application/json"}), "is not Prometheus's API"),
    ],
)
def test_not_available_is_data(run_module: ModuleRunner, reply: Reply, reason: str) -> None:
    with HttpStub({"*": reply}) as stub:
        args = {"url": stub.url, "timeout": 1, "queries": [{"name": "q", "query": "up"}]}
        result = run_module("prometheus_query_info", args)
    assert "failed" not in result
    assert (result["available"], result["changed"]) == (False, False)
    assert reason in result["reason"]
    assert (result["values"], result["queries"], result["health"], result["skipped_sections"]) == ({}, [], {}, [])


def test_nobody_there(run_module: ModuleRunner) -> None:
    result = run_module(
        "prometheus_query_info", {"url": "http://127.0.0.1:1", "queries": [{"name": "q", "query": "up"}]}
    )
    assert result["reason"] == (
        "Prometheus at http://127.0.0.1:1 is not available: 127.0.0.1:1 refused the connection: nothing listens there. "
        "Start the server or correct the URL."
    )


def test_a_slow_query_fails_alone_and_slow_servers_are_not_asked_for_ever(run_module: ModuleRunner) -> None:
    def answer(request: Any) -> Reply:
        return Reply(hang=True) if request.argument("query") == "slow" else Reply(200, OK)

    queries = [
        {"name": name, "query": name.rstrip("0123456789")} for name in ("a", "slow1", "b", "slow2", "slow3", "c")
    ]
    with HttpStub({"*": answer}) as stub:
        result = run_module(
            "prometheus_query_info", {"url": stub.url, "timeout": 0.5, "targets": False, "queries": queries}
        )
    assert result["available"] is True
    assert result["values"] == {"a": 5, "slow1": None, "b": 5, "slow2": None, "slow3": None, "c": None}
    assert result["queries"][1]["reason"].startswith("no complete answer from ")
    assert result["queries"][5]["reason"] == "not asked: 2 queries before got no answer in time"


def test_a_server_that_dies_in_between(run_module: ModuleRunner) -> None:
    with HttpStub({"*": [Reply(200, OK), Reply(reset=True), Reply(reset=True)]}) as stub:
        queries = [{"name": name, "query": "up"} for name in ("a", "b", "c")]
        result = run_module("prometheus_query_info", {"url": stub.url, "targets": False, "queries": queries})
    assert result["available"] is True
    assert result["values"] == {"a": 5, "b": None, "c": None}
    assert "closed the connection" in result["queries"][2]["reason"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"url": ""}, "url: '' is not accepted. Accepted: an absolute http:// or https:// URL with a host"),
        (
            {"url": "http://h", "targets": False},
            "queries: [] is not accepted. Accepted: at least one query, or targets.",
        ),
        ({"url": "http://h", "top": 0}, "top: 0 is not accepted. Accepted: 1 to 10000."),
        ({"url": "http://me:hunter2@h"}, "url: 'http://********@h' is not accepted."),
    ],
)
def test_bad_options(run_module: ModuleRunner, args: dict[str, Any], message: str) -> None:
    result = run_module("prometheus_query_info", args)
    assert result["failed"] is True
    assert result["msg"].startswith(message)
    assert "hunter2" not in json.dumps(result["msg"])


def test_the_environment_and_secrets(run_module: ModuleRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_BEARER_TOKEN", "fr0m-the-environment")
    echo = Reply(
        400, {"status": "error", "errorType": "bad_data", "error": "header Bearer fr0m-the-environment is odd"}
    )
    with HttpStub({"*": [Reply(200, OK), echo]}) as stub:
        monkeypatch.setenv("PROMETHEUS_URL", stub.url)
        queries = [{"name": "a", "query": "up"}, {"name": "b", "query": "up"}]
        result = run_module("prometheus_query_info", {"queries": queries, "targets": False})
        assert {request.bearer for request in stub.requests} == {"fr0m-the-environment"}
    assert result["values"] == {"a": 5, "b": None}
    assert "fr0m-the-environment" not in json.dumps(result)


@pytest.mark.parametrize("check_mode", [False, True])
def test_check_mode_is_the_same(ask: Any, run_module: ModuleRunner, metrics: Any, check_mode: bool) -> None:
    args = {"url": metrics.url, "queries": [{"name": "q", "query": "ratio"}]}
    result = run_module("prometheus_query_info", args, check_mode=check_mode)
    assert (result["changed"], result["values"]) == (False, {"q": 0.0125})
