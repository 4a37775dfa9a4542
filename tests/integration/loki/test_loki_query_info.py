"""Counts and samples from a Loki that keeps its limits; curl is the second opinion."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from lab.http_stub import HttpStub, Reply
from lab.loki import Entry, LogStore, entry, loki_routes

ModuleRunner = Callable[..., dict[str, Any]]
NOW = datetime(2026, 1, 30, 0, 0, tzinfo=timezone.utc)
ALL = '{job=~"shop-(web|worker)"}'


def lines() -> Iterator[Entry]:
    def at(seconds: float) -> datetime:
        return NOW - timedelta(seconds=seconds)

    for number in range(250):
        yield entry(
            at(number * 10 + 1),
            f"{at(number * 10 + 1).isoformat()} ERROR Rate Limit exceeded for item {number}",
            job="shop-web",
        )
    for number in range(30):
        yield entry(at(number * 60 + 2), f"WARNING rate limit exceeded for item {number}", job="shop-worker")
    yield entry(
        at(5), "ERROR Naver API 503 for kim@example.com, Authorization: Bearer s3cret-token-1", job="shop-worker"
    )
    yield entry(at(6), 'ERROR Naver API responded 502: {"password": "hunter2"}', job="shop-web")
    yield entry(at(7), "INFO Naver API 200 in 5123 ms", job="shop-web")
    yield entry(at(7200), "ERROR Rate limit exceeded long ago", job="shop-web")
    yield entry(at(-30), "ERROR Rate limit exceeded in a moment", job="shop-web")


@pytest.fixture(scope="module")
def loki() -> Iterator[HttpStub]:
    with HttpStub(loki_routes(LogStore(list(lines())))) as stub:
        yield stub


@pytest.fixture
def ask(loki: HttpStub, run_module: ModuleRunner) -> Callable[..., dict[str, Any]]:
    def run(*queries: dict[str, Any], **options: Any) -> dict[str, Any]:
        args = {"url": loki.url, "queries": list(queries), "reference_time": "2026-01-30T09:00:00+09:00", **options}
        result = run_module("loki_query_info", args)
        assert "msg" not in result, result["msg"]
        return result

    return run


def curl(loki: HttpStub, path: str, **parameters: str) -> Any:
    encoded = [part for name, value in parameters.items() for part in ("--data-urlencode", f"{name}={value}")]
    completed = subprocess.run(
        ["curl", "-s", "--noproxy", "*", "-G", f"{loki.url}/loki/api/v1/{path}", *encoded],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(completed.stdout)["data"]["result"]


def epoch(moment: datetime) -> str:
    return str(int(moment.timestamp()))


def test_the_manuals_way_stops_at_a_hundred_lines_without_a_word(loki: HttpStub, ask: Any) -> None:
    # Its command for one job, case-sensitive, as it is written there.
    seen = curl(
        loki,
        "query_range",
        query='{job="shop-web"} |= "ERROR"',
        start=epoch(NOW - timedelta(hours=1)),
        end=epoch(NOW),
    )
    assert sum(len(stream["values"]) for stream in seen) == 100
    result = ask({"name": "q", "query": '{job="shop-web"} |= "ERROR"'}, limit=100)
    [facts] = result["queries"]
    assert (facts["count"], facts["read_count"], facts["truncated"]) == (251, 100, True)
    [counted] = curl(loki, "query", query='sum(count_over_time({job="shop-web"} |= "ERROR" [1h]))', time=epoch(NOW))
    assert counted["value"][1] == "251"


def test_every_job_and_any_case(ask: Any) -> None:
    query = {"name": "q", "query": f"{ALL} |~ `(?i)rate limit exceeded`", "by": "job"}
    [facts] = ask(query)["queries"]
    assert (facts["count"], facts["groups_count"]) == (280, 2)
    assert facts["groups"] == [{"value": "shop-web", "count": 250}, {"value": "shop-worker", "count": 30}]
    # Neither what is older than the window nor what comes after it.
    assert (facts["window_start"], facts["window_end"], facts["window_seconds"]) == (
        "2026-01-29T23:00:00Z",
        "2026-01-30T00:00:00Z",
        3600,
    )
    [message, other] = facts["top"]
    assert (message["message"], message["count"]) == ("ERROR Rate Limit exceeded for item <n>", 250)
    assert (other["message"], other["count"]) == ("WARNING rate limit exceeded for item <n>", 30)


def test_a_class_of_statuses_is_a_pattern(ask: Any) -> None:
    words = {"name": "words", "query": f'{ALL} |= "Naver API 5xx"'}
    pattern = {"name": "pattern", "query": f"{ALL} |~ `(?i)naver api\\D{{0,20}}5\\d\\d\\b`"}
    assert ask(words, pattern)["values"] == {"words": 0, "pattern": 2}


def test_nothing_personal_in_samples(ask: Any) -> None:
    result = ask({"name": "q", "query": f'{ALL} |= "Naver API"', "samples": 5})
    assert [each["line"] for each in result["queries"][0]["samples"]] == [
        "ERROR Naver API 503 for <hidden>, Authorization: <hidden> <hidden>",
        'ERROR Naver API responded 502: {"password": <hidden>}',
        "INFO Naver API 200 in 5123 ms",
    ]
    newest = result["queries"][0]["samples"][0]
    assert (newest["at"], newest["labels"]) == ("2026-01-29T23:59:55Z", {"job": "shop-worker"})
    text = json.dumps(result)
    assert [word for word in ("kim@example.com", "s3cret-token-1", "hunter2") if word in text] == []


@pytest.mark.parametrize(
    ("query", "more", "count", "reason"),
    [
        ('{job="shop-web"} |= "no such words"', {}, 0, None),
        # A wrong name and a broken shipper look like health to a search for words.
        (
            '{job="shop-wbe"} |= "ERROR"',
            {},
            None,
            'no line at all from {job="shop-wbe"} in 1 h: the selector is wrong, or its logs do not arrive',
        ),
        ('{job="shop-wbe"} |= "ERROR"', {"allow_silence": True}, 0, None),
        (
            '{job="shop-web"} |= "ERROR"',
            {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:05:00Z"},
            None,
            'no line at all from {job="shop-web"} in 5 min: the selector is wrong, or its logs do not arrive',
        ),
        ('{job="shop-web"} |= "ERROR"', {"since": "3h"}, 252, None),
    ],
)
def test_nothing_found_and_nothing_there(
    ask: Any, query: str, more: dict[str, Any], count: int | None, reason: str | None
) -> None:
    result = ask({"name": "q", "query": query, **more})
    assert result["values"] == {"q": count}
    assert (result["queries"][0]["reason"], result["queries"][0]["known"]) == (reason, reason is None)
    assert [each["section"] for each in result["skipped_sections"]] == ([] if reason is None else ["q"])


def test_sources(ask: Any) -> None:
    result = ask(
        sources=[
            {"name": "web", "selector": '{job="shop-web"}'},
            {"name": "worker", "selector": '{job="shop-worker"}', "since": "2m"},
            {"name": "beat", "selector": '{job="shop-beat"}'},
        ]
    )
    assert [(each["name"], each["lines_count"], each["window_seconds"]) for each in result["sources"]] == [
        ("web", 252, 3600),
        ("worker", 3, 120),
        ("beat", 0, 3600),
    ]
    assert (result["queries"], result["values"]) == ([], {})


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ('{job="shop-web"} |= ', "parse error at line 1, col "),
        ('{job=~".*"} |= "x"', "parse error : queries require at least one regexp or equality matcher"),
        ('{job="shop-web"} |~ `(`', "parse error : error parsing regexp: "),
    ],
)
def test_one_bad_query_leaves_the_others_alone(ask: Any, query: str, reason: str) -> None:
    result = ask({"name": "bad", "query": query}, {"name": "good", "query": '{job="shop-web"} |= "INFO"'})
    assert result["values"] == {"bad": None, "good": 1}
    assert result["queries"][0]["reason"].startswith(reason)


def test_the_count_stands_when_lines_cannot_be_read(run_module: ModuleRunner) -> None:
    routes = dict(loki_routes(LogStore(list(lines()))))
    routes["/loki/api/v1/query_range"] = Reply(500, "too many outstanding requests")
    with HttpStub(routes) as stub:
        args = {
            "url": stub.url,
            "queries": [{"name": "q", "query": '{job="shop-web"}'}],
            "reference_time": "2026-01-30T00:00:00Z",
        }
        result = run_module("loki_query_info", args)
    assert result["values"] == {"q": 252}
    assert (result["queries"][0]["samples"], result["queries"][0]["truncated"]) == ([], True)
    assert [(each["section"], each["reason"]) for each in result["skipped_sections"]] == [
        ("q.samples", "status 500: too many outstanding requests")
    ]


@pytest.mark.parametrize(("tenant", "available"), [("shop", True), ("other", False), ("", False)])
def test_tenants(run_module: ModuleRunner, tenant: str, available: bool) -> None:
    with HttpStub(loki_routes(LogStore(list(lines())), tenant="shop")) as stub:
        args = {
            "url": stub.url,
            "tenant": tenant,
            "queries": [{"name": "q", "query": '{job="shop-web"}', "since": "30d"}],
        }
        result = run_module("loki_query_info", args)
    assert result["available"] is available
    if not available:
        assert result["reason"] == (
            f"Loki at {stub.url} does not let us in (status 401, no org id). "
            "Correct bearer_token, or url_username and url_password."
        )


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(401, "Unauthorized"), "does not let us in (status 401, Unauthorized)"),
        (Reply(502, "<html>Bad Gateway</html>"), "is not available (status 502)"),
        (Reply(200, "<html>"), "is not Loki's API (status 200, text/plain)"),
        (Reply(hang=True), "no complete answer from "),
        (Reply(200, b"{" * 50, drip=(1, 0.2)), "no complete answer from "),
    ],
)
def test_not_available_is_data(run_module: ModuleRunner, reply: Reply, reason: str) -> None:
    with HttpStub({"*": reply}) as stub:
        args = {"url": stub.url, "timeout": 1, "queries": [{"name": "q", "query": '{job="a"}'}]}
        result = run_module("loki_query_info", args)
    assert (result["available"], "failed" in result) == (False, False)
    assert reason in result["reason"]
    assert (result["values"], result["queries"], result["sources"]) == ({}, [], [])


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"resultType": "matrix", "result": []},
        {"resultType": "vector", "result": [{"metric": {}, "value": [1, "NaN"]}]},
        {"resultType": "vector", "result": [{}]},
        {"resultType": "vector", "result": None},
    ],
)
def test_odd_answers_are_unknown(run_module: ModuleRunner, data: Any) -> None:
    with HttpStub({"*": {"status": "success", "data": data}}) as stub:
        result = run_module("loki_query_info", {"url": stub.url, "queries": [{"name": "q", "query": '{job="a"}'}]})
    assert result["values"] == {"q": None}
    assert result["queries"][0]["reason"].startswith("the answer to a count ")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "queries: [] is not accepted. Accepted: at least one query, or one of sources."),
        (
            {"queries": [{"name": "q", "query": '{a="b"}'}], "limit": 5001},
            "limit: 5001 is not accepted. Accepted: 1 to 5000.",
        ),
        ({"queries": [{"name": "q", "query": '{a="b"}'}], "top": 0}, "top: 0 is not accepted. Accepted: 1 to 100."),
        (
            {"queries": [{"name": "q", "query": '{a="b"}'}], "tenant": "a\nb"},
            "tenant: 'the value of X-Scope-OrgID' is not accepted. Accepted: text of one line without control "
            "characters, in Latin-1.",
        ),
    ],
)
def test_bad_options(run_module: ModuleRunner, args: dict[str, Any], message: str) -> None:
    result = run_module("loki_query_info", {"url": "http://127.0.0.1:1", **args})
    assert (result["failed"], result["msg"]) == (True, message)


def test_logclis_environment_and_secrets(
    loki: HttpStub, run_module: ModuleRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ADDR": loki.url, "USERNAME": "me", "PASSWORD": "l0ki-secret", "ORG_ID": "shop"}.items():
        monkeypatch.setenv(f"LOKI_{name}", value)
    args = {"queries": [{"name": "q", "query": '{job="shop-web"}'}], "reference_time": "2026-01-30T00:00:00Z"}
    result = run_module("loki_query_info", args, check_mode=True)
    assert (result["values"], result["changed"]) == ({"q": 252}, False)
    headers = loki.requests[-1].headers
    assert (headers["authorization"], headers["x-scope-orgid"]) == ("Basic bWU6bDBraS1zZWNyZXQ=", "shop")
    assert "l0ki-secret" not in json.dumps(result)
    # A tenant is no secret: its name in a result is not blotted out.
    assert result["invocation"]["module_args"]["tenant"] == "shop"
