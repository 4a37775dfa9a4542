"""StoreBridge's API, logs, metrics, tasks and planted conditions."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml
from lab.http_stub import HttpStub
from lab.storebridge import generator, lab_variables, loki, metrics, queues
from lab.storebridge.conditions import CONDITIONS, TRAPS, conditions
from lab.storebridge.http_routes import http_routes

REPOSITORY = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 3, 2, 0, 15, tzinfo=timezone.utc)


# --- API
@pytest.fixture(scope="module")
def api():
    with HttpStub(http_routes("degraded", NOW, token="planted-token")) as stub:
        yield stub


def ask(stub, path, method="GET", body=None, token="planted-token", **query):
    request = urllib.request.Request(
        f"{stub.url}{path}?{urlencode(query)}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **({"Content-Type": "application/json"} if body is not None else {}),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_health_needs_no_token_and_everything_else_does(api):
    assert ask(api, "/health", token=None)[1]["status"] == "ok"
    for token in (None, "wrong"):
        status, body = ask(api, "/v1/manual-review", token=token)
        assert (status, body["error"]) == (401, "unauthorized")
        assert "pagination" not in body


def test_totals_agree_with_the_rows(api):
    assert ask(api, "/v1/manual-review", page_size=1)[1]["pagination"] == {
        "page": 1,
        "page_size": 1,
        "total": 100,
        "total_pages": 100,
    }
    today = generator.seoul(generator.business_date(NOW))
    yesterday = [
        job
        for job in generator.jobs("degraded", 1, NOW)
        if today - timedelta(days=1) <= job.created_at < today and job.status == "COMPLETED"
    ]
    window = {"created_after": (today - timedelta(days=1)).isoformat(), "created_before": today.isoformat()}
    assert ask(api, "/v1/jobs", status="COMPLETED", **window)[1]["pagination"]["total"] == len(yesterday)
    # Without an upper bound today's are among them.
    open_ended = ask(api, "/v1/jobs", status="COMPLETED", created_after=window["created_after"])[1]
    assert open_ended["pagination"]["total"] > len(yesterday)
    # A date alone means midnight in Seoul.
    days = {"created_after": "2026-03-01", "created_before": "2026-03-02"}
    assert ask(api, "/v1/jobs", status="COMPLETED", **days)[1]["pagination"]["total"] == len(yesterday)


def test_pages(api):
    seen = []
    for page in range(1, 6):
        seen += [item["created_at"] for item in ask(api, "/v1/manual-review", page=page, page_size=25)[1]["items"]]
    assert len(seen) == 100
    assert seen == sorted(seen)
    assert ask(api, "/v1/manual-review", page=99)[1]["items"] == []


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/v1/jobs", {"created_after": "yesterday"}, "created_after is no moment: yesterday"),
        ("/v1/jobs", {"created_before": "2026-03-01T00:00:00"}, "created_before has no timezone: 2026-03-01T00:00:00"),
        ("/v1/jobs", {"page": "x"}, "page and page_size are numbers"),
        ("/v1/jobs", {"page_size": 101}, "page begins at 1, and page_size is 1 to 100"),
    ],
)
def test_bad_questions(api, path, query, message):
    assert ask(api, path, **query) == (400, {"error": "bad request", "message": message})


def test_products(api):
    identifier = str(generator.product_id(1, 5))
    assert ask(api, f"/v1/products/{identifier}")[1]["domeggook_item_id"] == "DG100005"
    assert ask(api, "/v1/products/none")[0] == 404
    assert ask(api, f"/v1/products/{identifier}/retry", "POST")[0] == 202
    assert ask(api, "/v1/products/validate", "POST", {"domeggook_item_id": "DG123456"})[1]["valid"] is True
    assert ask(api, "/v1/products/validate", "POST", {"domeggook_item_id": "x"})[1]["valid"] is False
    assert ask(api, "/v1/products/validate", "POST", {})[0] == 422
    # As the manual's curl sends it.
    assert ask(api, "/v1/products/validate", "POST")[0] == 415


# --- logs
def counted(scenario, start, pattern):
    return sum(re.search(pattern, entry.line) is not None for entry in loki.lines(scenario, start, start + 3_600))


@pytest.mark.parametrize("start", [1_772_400_000.0, 1_772_412_345.6, 1_800_000_000.25])
def test_any_hour_has_as_many_lines_of_a_kind(start):
    assert counted("degraded", start, "(?i)rate limit exceeded") in (143, 144, 145)
    assert counted("healthy", start, "(?i)rate limit exceeded") == 3
    # Case matters to the manual's search, which therefore sees fewer.
    assert counted("degraded", start, "Rate limit exceeded") == 120
    assert counted("degraded", start, r"Naver API 5\d\d") == 3
    assert counted("healthy", start, r"Naver API 5\d\d") == 2
    jobs = Counter(dict(entry.labels)["job"] for entry in loki.lines("healthy", start, start + 3_600))
    assert set(jobs) == {"storebridge-web", "storebridge-worker-normal", "storebridge-worker-batch", "storebridge-beat"}


def test_windows_join_without_gap_or_overlap():
    def moments(start, end):
        return Counter(entry.nanoseconds for entry in loki.lines("degraded", start, end))

    assert moments(1_000, 2_000.5) + moments(2_000.5, 5_000) == moments(1_000, 5_000)


def test_loki_honours_the_limit():
    with HttpStub(loki.loki_routes("degraded")) as stub:
        query = '{job=~".+"} |~ `(?i)rate limit exceeded`'
        answer = ask(stub, "/loki/api/v1/query", query=f"sum(count_over_time({query} [1h]))")[1]
        assert int(answer["data"]["result"][0]["value"][1]) in (143, 144, 145)
        for limit, expected in ((None, 100), (130, 130)):
            answer = ask(stub, "/loki/api/v1/query_range", query=query, **({"limit": limit} if limit else {}))[1]
            assert sum(len(stream["values"]) for stream in answer["data"]["result"]) == expected


# --- metrics
def series(text):
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")
    }


@pytest.mark.parametrize("scenario", ["healthy", "degraded"])
def test_metrics_are_inside_their_ladders(scenario):
    at = NOW.timestamp()
    before, after = (series(metrics.metrics_text(scenario, moment)) for moment in (at - 300, at))
    grown = {name: after[name] - before[name] for name in after}
    total = sum(value for name, value in grown.items() if name.startswith("http_requests_total"))
    errors = sum(value for name, value in grown.items() if 'status="5' in name)
    assert 0 < 100 * errors / total < 1
    assert grown['http_request_duration_seconds_bucket{le="1"}'] / total > 0.95
    assert after["storebridge_registration_success_rate"] > 0.85
    assert sum(value for name, value in after.items() if name.startswith("storebridge_queue_depth")) < 1_000
    left = after['storebridge_rate_limit_remaining{api_name="naver"}']
    assert left / after['storebridge_rate_limit_limit{api_name="naver"}'] > 0.2


def test_counters_and_buckets_only_grow():
    texts = [series(metrics.metrics_text("healthy", NOW.timestamp() + step)) for step in (0, 0.5, 1, 60)]
    for earlier, later in zip(texts, texts[1:]):
        assert all(later[name] >= earlier[name] for name in later if "http_request" in name)
    buckets = [value for name, value in texts[0].items() if "_bucket" in name]
    assert buckets == sorted(buckets)
    assert buckets[-1] == texts[0]["http_request_duration_seconds_count"]


def test_the_past_fits_to_the_present():
    text = metrics.metrics_history("healthy", NOW, {"job": "storebridge", "instance": "h:1"})
    assert text.endswith("# EOF\n")
    samples = [line for line in text.splitlines() if line.startswith('http_requests_total{status="200"')]
    assert all('job="storebridge",instance="h:1"' in line for line in samples)
    moments = [int(line.rsplit(" ", 1)[1]) for line in samples]
    assert moments == sorted(moments)
    assert NOW.timestamp() - moments[0] > 14 * 86_400
    now = series(metrics.metrics_text("healthy", NOW.timestamp()))['http_requests_total{status="200"}']
    assert float(samples[-1].split(" ")[1]) < now


def test_targets():
    assert metrics.scrape_targets("healthy", "h:1") == {"storebridge": ["h:1"]}
    assert metrics.scrape_targets("degraded", "h:1") == {"storebridge": ["h:1"], "storebridge-worker": ["127.0.0.1:1"]}


# --- tasks
def test_plans_of_celery():
    degraded, healthy = queues.plan("degraded", 1), queues.plan("healthy", 1)
    assert degraded.waiting_in("normal") == {0: 40, 3: 25, 6: 15, 9: 10}
    assert degraded.waiting_in("batch") == {0: 60, 9: 20}
    assert (len(degraded.failing), len(degraded.delayed), len(degraded.held)) == (14, 5, 6)
    assert not degraded.worker_stays
    assert healthy.worker_stays
    assert not healthy.held
    # Nothing may run twice: every delay is shorter than the visibility timeout.
    delays = [each.countdown for each in (*degraded.delayed, *healthy.delayed)]
    assert all(delay < queues.VISIBILITY_TIMEOUT for delay in delays)
    assert queues.plan("degraded", 1) == degraded != queues.plan("degraded", 2)


# --- conditions
def rule_ids():
    """Every rule that roles and the inventory have."""
    found = set()
    for pattern in ("roles/*/defaults/main.yml", "inventories/storebridge/group_vars/*/*.yml"):
        for path in REPOSITORY.glob(pattern):
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
            for value in content.values():
                if isinstance(value, list):
                    found |= {each["id"] for each in value if isinstance(each, dict) and "id" in each}
    return found


def test_every_condition_names_a_rule_that_exists():
    assert {condition["finding_id"] for condition in CONDITIONS} <= rule_ids()


def test_conditions_are_told_apart():
    keys = [condition["key"] for condition in CONDITIONS]
    places = [(condition["finding_id"], condition["object"]) for condition in CONDITIONS]
    assert len(set(keys)) == len(keys)
    assert len(set(places)) == len(places)
    assert all(condition["description"] for condition in CONDITIONS)
    assert not set(keys) & set(TRAPS)


def test_conditions_follow_the_calendar():
    names = {condition["key"]: condition["object"] for condition in conditions(NOW)}
    assert names["backup_empty"] == "storebridge-20260301.sql.gz"
    assert names["backup_unfinished"] == "storebridge-20260228.sql.gz"


def test_the_labs_variables_are_asked_for_by_the_inventory():
    text = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "inventories").rglob("*.yml"))
    assert [name for name in lab_variables() if name not in text] == []
