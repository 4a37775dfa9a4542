"""The role as a user runs it, with rules of its own and with StoreBridge's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab.certificates import make_certificate
from lab.http_stub import HttpStub, Reply
from lab.play import REPOSITORY, RoleRun, run_role

TOKEN = "s3cret-api-token"
STOREBRIDGE = {"group": "http", "host": "storebridge-api", "inventories": [REPOSITORY / "inventories" / "storebridge"]}


def storebridge(jobs: Any = 12, reviews: Any = 7, health: Any = None) -> HttpStub:
    return HttpStub(
        {
            "/health": health or {"status": "ok"},
            "/v1/jobs": {"pagination": {"total": jobs}},
            "/v1/manual-review": {"pagination": {"total": reviews}},
        },
        token=TOKEN,
        open_paths=("/health",),
    )


def check(directory: Path, url: str, *arguments: str, token: str = TOKEN, **variables: Any) -> RoleRun:
    given = {"http_base_url": url, "http_bearer_token": token, **variables}
    return run_role(directory, "check_http", given, *arguments, **STOREBRIDGE)


def test_storebridge_is_well(tmp_path: Path) -> None:
    with storebridge() as api:
        run = check(tmp_path, api.url, runbook_reference_time="2026-01-31T00:30:00+09:00")
        [jobs] = [request for request in api.requests if request.path == "/v1/jobs"]
    assert run.of("critical", "warning", "unknown") == []
    assert run.finding("http.jobs_completed")["value"] == 12
    assert run.finding("http.manual_review")["summary"] == "7 registrations wait for manual review, as the API tells"
    # Half past midnight in Seoul: yesterday is the 30th there, and both of its ends are named, in UTC.
    assert (jobs.argument("created_after"), jobs.argument("created_before")) == (
        "2026-01-29T15:00:00Z",
        "2026-01-30T15:00:00Z",
    )
    assert (jobs.argument("status"), jobs.bearer) == ("COMPLETED", TOKEN)


def test_the_date_of_the_manual_is_another_day() -> None:
    # `date -d yesterday` on a server in UTC at the same moment (15:30 on the 30th) is the 29th.
    import subprocess

    said = subprocess.run(
        ["date", "-u", "-d", "2026-01-30 15:30 UTC yesterday", "+%Y-%m-%d"], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "2026-01-29"


@pytest.mark.parametrize(
    ("api", "bad", "unknown"),
    [
        # No job at all yesterday is worth a look.
        (storebridge(jobs=0), [("http.jobs_completed", "")], []),
        # An error body, a null and a missing number are unknown, never "not above 50".
        (storebridge(reviews=None), [], [("http.manual_review", "")]),
        (storebridge(reviews="many"), [], [("http.manual_review", "")]),
        (storebridge(health=Reply(503, {"message": "database is gone"})), [("http.health", "health")], []),
    ],
)
def test_storebridge_is_not_well(tmp_path: Path, api: HttpStub, bad: list[Any], unknown: list[Any]) -> None:
    with api:
        run = check(tmp_path, api.url)
    assert run.of("critical", "warning") == bad
    assert run.of("unknown") == unknown


def test_a_wrong_token_is_no_number(tmp_path: Path) -> None:
    with storebridge() as api:
        run = check(tmp_path, api.url, token="wrong-t0ken")
    assert run.of("critical") == [("http.status", "jobs_completed"), ("http.status", "manual_review")]
    assert run.of("unknown") == [("http.jobs_completed", ""), ("http.manual_review", "")]
    assert run.finding("http.manual_review")["summary"].startswith(
        "not measured: status 401 instead of 200: a valid bearer token is required"
    )
    assert run.finding("http.health")["severity"] == "ok"


def test_a_server_that_is_down_is_one_finding(tmp_path: Path) -> None:
    run = check(tmp_path, "http://127.0.0.1:1")
    assert run.of("critical", "warning") == [("http.available", "")]
    assert run.of("unknown") == [("http.not_judged", "")]
    down = run.finding("http.available")
    assert (down["priority"], down["summary"]) == (
        "P0",
        "No probe got an answer: 127.0.0.1:1 refused the connection: nothing listens there. "
        "Start the server or correct the URL.",
    )


def test_no_address_is_unknown_and_not_ok(tmp_path: Path) -> None:
    run = check(tmp_path, "")
    assert run.of("critical", "warning", "ok") == []
    assert [each["summary"] for each in run.findings] == [
        "not measured: no address is configured; Set check_http_base_url (http_base_url in the inventory)"
    ]


def test_ladders_for_latency_and_certificates(tmp_path: Path) -> None:
    with HttpStub({"/slow": Reply(200, "x", delay=0.4), "/": "x"}, tls=make_certificate(tmp_path, days=20)) as server:
        variables = {
            "http_base_url": server.url,
            "http_ca_path": server.ca_cert,
            "check_http_probes": [{"name": "slow", "path": "/slow"}, {"name": "fast", "path": "/"}],
            "check_http_rule_overrides": {"http.latency": {"where": "name == slow", "warning": "> 300 ms"}},
        }
        run = run_role(tmp_path, "check_http", variables)
    assert run.of("warning") == [("http.latency", "slow"), ("http.tls_days", "slow"), ("http.tls_days", "fast")]
    assert run.of("critical", "unknown") == []
    days = run.finding("http.tls_days", "fast")
    assert (days["value"], days["threshold"], days["ladder"]) == (20.0, "< 30", {"warning": "< 30", "critical": "< 7"})
    assert days["summary"].startswith("the certificate of localhost expires in 20")


def test_a_value_that_no_rule_judges_is_not_passed_over(tmp_path: Path) -> None:
    with HttpStub({"/": {"a": None, "b": 1}}) as server:
        probes = [{"name": "p", "path": "/", "json": [{"path": "a"}, {"path": "b"}]}]
        variables = {"http_base_url": server.url, "check_http_probes": probes}
        generic = run_role(tmp_path, "check_http", variables)
        rule = {"id": "http.a", "value": "values.p.a", "warning": "> 1", "unit": "count"}
        special = run_role(tmp_path, "check_http", {**variables, "check_http_extra_rules": [rule]})
    assert generic.of("warning", "unknown") == [("http.value", "p.a")]
    assert generic.finding("http.value")["summary"] == "p.a is unknown: a is null where a number is expected"
    # Said once: by the rule that judges it.
    assert special.of("warning", "unknown") == [("http.a", "")]


@pytest.mark.parametrize("direct", [True, False], ids=["in the controller", "sent"])
def test_check_mode_and_no_secret_at_any_verbosity(tmp_path: Path, direct: bool) -> None:
    with storebridge() as api:
        headers = {"X-Api-Key": "h3ader-secret"}
        run = check(tmp_path, api.url, "--check", "-vvvv", check_http_headers=headers, runbook_direct=direct)
        assert {request.headers["x-api-key"] for request in api.requests} == {"h3ader-secret"}
    assert run.of("critical", "warning", "unknown") == []
    for secret in (TOKEN, "h3ader-secret"):
        assert secret not in run.output


def test_bad_rules_and_probes_fail_with_one_sentence(tmp_path: Path) -> None:
    run = run_role(tmp_path, "check_http", {"check_http_probes": []}, expect=2)
    assert "check_http_probes is empty. Name the endpoints to probe." in run.output
    variables = {"http_base_url": "http://127.0.0.1:1", "check_http_probes": [{"name": "a", "path": "/", "samples": 0}]}
    run = run_role(tmp_path, "check_http", variables, expect=2)
    assert "probes[a].samples: 0 is not accepted. Accepted: 1 to 100." in run.output
    assert "Traceback" not in run.output
