"""The role as a user runs it, with StoreBridge's patterns."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from lab.http_stub import HttpStub
from lab.loki import Entry, LogStore, entry, loki_routes
from lab.play import REPOSITORY, RoleRun, run_role

STOREBRIDGE = {"group": "logs", "host": "storebridge-loki", "inventories": [REPOSITORY / "inventories" / "storebridge"]}
NOW = datetime(2026, 1, 30, 0, 0, tzinfo=timezone.utc)
JOBS = ("web", "worker-normal", "worker-batch", "beat")


def repeated(count: int, job: str, line: str) -> Iterator[Entry]:
    for number in range(count):
        yield entry(NOW - timedelta(seconds=3 + number), line.replace("{n}", str(number)), job=f"storebridge-{job}")


def calm() -> list[Entry]:
    return [
        *(each for job in JOBS for each in repeated(5, job, "INFO all is well")),
        *repeated(3, "worker-normal", "WARNING Rate limit exceeded for Naver API"),
        *repeated(9, "web", "INFO error budget: 99.5 % left"),
    ]


def check(directory: Path, entries: list[Entry], *arguments: str, **variables: Any) -> RoleRun:
    with HttpStub(loki_routes(LogStore(entries))) as stub:
        given = {"loki_url": stub.url, "runbook_reference_time": "2026-01-30T00:00:00Z", **variables}
        return run_role(directory, "check_logs", given, *arguments, **STOREBRIDGE)


def test_healthy(tmp_path: Path) -> None:
    run = check(tmp_path, calm())
    assert run.of("critical", "warning", "unknown") == []
    assert run.finding("logs.rate_limit")["value"] == 3
    assert run.finding("logs.other_errors")["value"] == 0
    assert {"logs.query", "logs.matches"} & {each["id"] for each in run.findings} == set()


def test_degraded(tmp_path: Path) -> None:
    entries = [
        *calm(),
        # In the workers and in lower case: the manual reads the web server only, for "ERROR".
        *repeated(140, "worker-batch", "error rate limit exceeded for item {n}"),
        *repeated(2, "worker-normal", "ERROR Database connection failed: timeout for user app"),
        *repeated(7, "worker-normal", "ERROR Naver API 503 for item {n}"),
        *repeated(25, "beat", "CRITICAL schedule {n} lost"),
    ]
    run = check(tmp_path, entries)
    assert run.of("critical") == [("logs.rate_limit", "")]
    assert run.of("warning") == [
        ("logs.database_connection", ""),
        ("logs.naver_5xx", ""),
        ("logs.other_errors", ""),
    ]
    assert run.of("unknown") == []
    facts = {each["name"]: each for each in run.facts["queries"]}
    assert facts["rate_limit"]["count"] == 143
    assert facts["other_errors"]["top"][0]["message"] == "CRITICAL schedule <n> lost"


def test_a_job_that_does_not_log_is_noticed(tmp_path: Path) -> None:
    run = check(tmp_path, [each for each in calm() if dict(each.labels)["job"] != "storebridge-beat"])
    assert run.of("warning") == [("logs.source", "beat")]
    assert run.finding("logs.source", "beat")["summary"] == 'no line of {job="storebridge-beat"} arrived in 1h'


def test_no_logs_at_all_is_unknown_and_not_ok(tmp_path: Path) -> None:
    run = check(tmp_path, [])
    assert {rule for rule, _ignored in run.of("unknown")} == {
        "logs.database_connection",
        "logs.redis_timeout",
        "logs.rate_limit",
        "logs.naver_5xx",
        "logs.other_errors",
    }
    assert len(run.of("warning")) == len(JOBS)
    assert "no line at all from" in run.finding("logs.rate_limit")["summary"]


def test_down_is_one_finding(tmp_path: Path) -> None:
    run = run_role(tmp_path, "check_logs", {"loki_url": "http://127.0.0.1:1"}, **STOREBRIDGE)
    assert run.of("critical", "warning") == [("logs.available", "")]
    assert run.of("unknown") == [("logs.not_judged", "")]


def test_no_address_is_unknown_and_not_ok(tmp_path: Path) -> None:
    run = run_role(tmp_path, "check_logs", {"loki_url": ""}, **STOREBRIDGE)
    assert [(each["severity"], each["summary"]) for each in run.findings] == [
        ("unknown", "not measured: no Loki server is configured; Set check_logs_url (loki_url in the inventory)")
    ]


def test_patterns_without_rules_of_their_own(tmp_path: Path) -> None:
    with HttpStub(loki_routes(LogStore(calm()))) as stub:
        variables = {
            "loki_url": stub.url,
            "runbook_reference_time": "2026-01-30T00:00:00Z",
            "check_logs_queries": [
                {"name": "limit", "query": '{job="storebridge-worker-normal"} |~ "(?i)rate limit"'},
                {"name": "quiet", "query": '{job="storebridge-web"} |= "nothing"'},
                {"name": "wrong", "query": '{job="storebridge-nowhere"} |= "x"'},
            ],
        }
        run = run_role(tmp_path, "check_logs", variables)
    assert run.of("warning") == [("logs.query", "wrong"), ("logs.matches", "limit")]
    assert run.finding("logs.matches", "limit")["summary"] == (
        "3 lines in 1h, most of them like: WARNING Rate limit exceeded for Naver API"
    )
    assert run.of("critical", "unknown") == []


@pytest.mark.parametrize("direct", [True, False], ids=["in the controller", "sent"])
def test_check_mode_and_no_secret_at_any_verbosity(tmp_path: Path, direct: bool) -> None:
    entries = [*calm(), *repeated(60, "web", "ERROR Rate limit exceeded for kim@example.com token=t0ken-in-a-line")]
    run = check(tmp_path, entries, "--check", "-vvvv", loki_bearer_token="l0ki-bearer-secret", runbook_direct=direct)
    assert run.of("warning") == [("logs.rate_limit", "")]
    for secret in ("l0ki-bearer-secret", "kim@example.com", "t0ken-in-a-line"):
        assert secret not in run.output


def test_nothing_to_look_for_fails_with_one_sentence(tmp_path: Path) -> None:
    run = run_role(tmp_path, "check_logs", {"loki_url": "http://127.0.0.1:1"}, expect=2)
    assert "check_logs_queries and check_logs_sources are empty. Name what to look for." in run.output
