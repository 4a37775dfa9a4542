"""Probes are checked before anything is sent, and summed up afterwards."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.http.certificate import Certificate
from ansible_collections.runbook.ops.plugins.module_utils.http.probes import (
    Probe,
    Sample,
    credentials_origin,
    figures,
    plan_probes,
    skipped_values,
    summarise,
    unavailable_reason,
)

NOW = dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)


def options(**given: Any) -> dict[str, Any]:
    defaults = {
        "name": "p",
        "url": None,
        "path": None,
        "query": None,
        "method": "GET",
        "headers": None,
        "body": None,
        "expected_status": [200],
        "json": None,
        "samples": 1,
        "timeout": None,
        "follow_redirects": "none",
    }
    return {**defaults, **given}


def plan(*items: dict[str, Any], base_url: str | None = "https://h/api") -> list[Probe]:
    return plan_probes({"probes": list(items), "base_url": base_url}, 10.0)


def test_plan() -> None:
    [probe] = plan(
        options(
            path="/v1/jobs", query={"after": "a+b", "n": 1}, json=[{"path": "pagination.total"}], timeout=2, samples=3
        )
    )
    assert probe.url.text == "https://h/api/v1/jobs?after=a%2Bb&n=1"
    assert probe.json == ({"path": "pagination.total", "name": "total", "type": "number"},)
    assert (probe.timeout, probe.samples, probe.is_tls) == (2.0, 3, True)
    assert "secret" not in repr(plan(options(path="/", headers={"X-Key": "secret"}))[0])


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "probes: [] is not accepted. Accepted: at least one probe."),
        ([options()], "probes[p]: 'neither url nor path' is not accepted. Accepted: one of them."),
        ([options(url="http://h", path="/")], "probes[p]: 'both url and path' is not accepted. Accepted: one of them."),
        (
            [options(name="a.b", path="/")],
            "probes.name: 'a.b' is not accepted. Accepted: letters, digits, underscores and dashes.",
        ),
        (
            [options(path="/"), options(path="/x")],
            "probes.name: 'p' is not accepted. Accepted: a name that no other probe has.",
        ),
        ([options(path="/", samples=0)], "probes[p].samples: 0 is not accepted. Accepted: 1 to 100."),
        ([options(path="/", samples=101)], "probes[p].samples: 101 is not accepted. Accepted: 1 to 100."),
        (
            [options(path="/", timeout=0)],
            "probes[p].timeout: 0 is not accepted. Accepted: seconds above 0 and up to 600.",
        ),
        (
            [options(path="/", expected_status=[])],
            "probes[p].expected_status: [] is not accepted. Accepted: statuses from 100 to 599.",
        ),
        (
            [options(path="/", expected_status=[200, 999])],
            "probes[p].expected_status: [200, 999] is not accepted. Accepted: statuses from 100 to 599.",
        ),
        (
            [options(path="/", body="x")],
            "probes[p].method: 'GET' is not accepted. Accepted: POST when there is a body.",
        ),
        (
            [options(path="/", json=[{"path": "a..b"}])],
            "probes[p].json.path: 'a..b' is not accepted. Accepted: a dotted path such as pagination.total or "
            "items.0.count.",
        ),
        (
            [options(path="/", headers={"X-Key": "a\nb"})],
            "probes[p].headers: 'the value of X-Key' is not accepted. Accepted: text of one line without control "
            "characters, in Latin-1.",
        ),
    ],
)
def test_plan_refuses(items: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        plan(*items)
    assert caught.value.message == message


def test_a_path_needs_a_server() -> None:
    with pytest.raises(InvalidOption) as caught:
        plan(options(path="/x"), base_url=None)
    assert caught.value.message == (
        "probes[p].path: '/x' is not accepted. Accepted: a path when base_url is given, else a url."
    )


def test_credentials_have_one_server() -> None:
    two = plan(options(name="a", url="https://a/"), options(name="b", url="https://b/"), base_url=None)
    with pytest.raises(InvalidOption, match="the server that the credentials are for"):
        credentials_origin(two, None)
    assert credentials_origin(two, "https://c/x") == ("https", "c", 443)
    assert credentials_origin(two[:1], None) == ("https", "a", 443)


GOOD = Sample(200, total_seconds=0.2, dns_seconds=0.1, first_byte_seconds=0.05, body=b'{"n": 7}', size_bytes=8)
BAD = Sample(500, total_seconds=0.4, body=b'{"message": "database is locked", "n": 9}', size_bytes=40)
SILENT = Sample(None, total_seconds=1.0, failure="no complete answer from h:443 within 1 s.", timed_out=True)
HALF = Sample(200, total_seconds=1.0, failure="the answer of h:443 broke off in the middle.")
CUT = Sample(200, total_seconds=0.1, body=b'{"n": 7', is_truncated=True)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (
            [GOOD],
            {"ok": True, "reason": None, "status": 200, "values": {"n": 7}, "reachable": True, "failed_count": 0},
        ),
        (
            [GOOD, BAD],
            {
                "ok": False,
                "reason": "1 of 2 requests failed: status 500 instead of 200: database is locked",
                "status": 500,
                "failed_percent": 50.0,
                "answered_count": 2,
                "values": {"n": None},
                "value_reasons": {"n": "status 500 instead of 200: database is locked"},
            },
        ),
        (
            [SILENT, SILENT],
            {
                "ok": False,
                "reason": "2 of 2 requests failed: no complete answer from h:443 within 1 s.",
                "status": None,
                "reachable": False,
                "answered_count": 0,
                "body_kind": None,
                "size_bytes": None,
            },
        ),
        (
            [HALF],
            {"ok": False, "reachable": True, "status": 200, "answered_count": 0, "body_kind": None, "size_bytes": None},
        ),
        (
            [CUT],
            {
                "ok": True,
                "body_kind": "truncated",
                "body_truncated": True,
                "values": {"n": None},
                "value_reasons": {"n": "the body is larger than max_body_bytes"},
            },
        ),
    ],
)
def test_summarise(samples: list[Sample], expected: dict[str, Any]) -> None:
    [probe] = plan(options(path="/x?token=abc", json=[{"path": "n"}], samples=2))
    facts = summarise(probe, samples, NOW)
    assert {key: facts[key] for key in expected} == expected
    assert facts["url"] == "https://h/api/x?token=********"
    assert facts["endpoint"] == "https://h/api/x"
    assert facts["samples_count"] == len(samples)


def test_times_without_an_answer_are_null() -> None:
    [probe] = plan(options(path="/"))
    facts = summarise(probe, [SILENT], NOW)
    assert set(facts["latency"].values()) == {None}
    assert (facts["dns_seconds"], facts["total_seconds"]) == (None, 1.0)


def test_a_refused_certificate_still_has_its_dates() -> None:
    [probe] = plan(options(path="/"))
    certificate = Certificate(NOW - dt.timedelta(days=90), NOW - dt.timedelta(days=3), "h", "CA")
    facts = summarise(probe, [Sample(None, failure="expired", certificate=certificate)], NOW)
    assert (facts["tls_days_left"], facts["tls_not_after"]) == (-3.0, "2026-01-28T00:00:00Z")


def test_figures_and_skipped_name_the_probe() -> None:
    [probe] = plan(options(path="/", json=[{"path": "n"}, {"path": "a.b", "name": "other"}]))
    facts = [summarise(probe, [GOOD], NOW)]
    assert figures(facts) == [
        {"id": "p.n", "probe": "p", "name": "n", "value": 7, "known": True, "reason": None, "probe_ok": True},
        {
            "id": "p.other",
            "probe": "p",
            "name": "other",
            "value": None,
            "known": False,
            "reason": "a is missing in the answer",
            "probe_ok": True,
        },
    ]
    assert skipped_values(facts) == [
        {
            "section": "p",
            "reason": "a is missing in the answer",
            "remedy": "Ask for the address with curl -i and correct the service, the token or the probe",
        }
    ]


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([], None),
        ([[GOOD], [SILENT]], None),
        ([[HALF]], None),
        ([[SILENT, SILENT]], "No probe got an answer: no complete answer from h:443 within 1 s."),
        (
            [[SILENT], [Sample(None, failure="refused.")]],
            "No probe got an answer: no complete answer from h:443 within 1 s. "
            "The other probes failed for 1 more reasons.",
        ),
    ],
)
def test_down_means_that_nothing_answers(samples: list[list[Sample]], reason: str | None) -> None:
    assert unavailable_reason(samples) == reason
