"""Incidents of Redis and its queues, answered over a degraded StockBoom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lab.node import NodeQueue
from lab.running import Running
from lab.stockboom import queues
from redis import Redis

pytestmark = pytest.mark.xdist_group("stockboom")

HOST = "stockboom-redis"
APPLIED = ("-e", "incident_response_apply=true", "-e", "confirm=stockboom")


@pytest.fixture
def login(stockboom_to_change: Running) -> dict[str, Any]:
    found = stockboom_to_change.hosts[HOST]
    return {"port": found["redis_login_port"], "password": found["redis_login_password"]}


def respond(play: Any, lab: Running, place: Path, incident: str, *arguments: str) -> tuple[Any, dict[str, Any]]:
    """Answer an incident: the run, and the record that it left."""
    known = set((place / "runbook-incidents").glob("*"))
    run = play(
        lab, "respond_incident", "-e", f"incident={incident}", "-e", '{"incident_response_sample_seconds": 1}',
        "-e", f"respond_incident_destination={place / 'report'}", *arguments,
    )  # fmt: skip
    assert run.returncode == 0, run.output
    [folder] = set((place / "runbook-incidents").glob("*")) - known
    assert (folder / f"evidence-{HOST}.json").stat().st_size > 100
    assert not [secret for secret in lab.secrets() for path in folder.iterdir() if secret in path.read_text()]
    record: dict[str, Any] = json.loads((folder / f"timeline-{HOST}.json").read_text(encoding="utf-8"))
    return run, {**record, "told": (folder / f"timeline-{HOST}.md").read_text(encoding="utf-8")}


def found(record: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["id"], each["object"]) for each in record["found"] if each["severity"] != "ok"}


def test_incidents_of_queues(stockboom_to_change: Running, login: dict[str, Any], play: Any, tmp_path: Path) -> None:
    lab = stockboom_to_change
    orders = NodeQueue(queues.LIBRARY, queue=queues.EXECUTION, **login)
    collection = NodeQueue(queues.LIBRARY, queue=queues.COLLECTION, **login)

    # Jobs pile up: what is paused is resumed, once it is asked for.
    run, record = respond(play, lab, tmp_path, "queue_backlog")
    assert ("incident.unconsumed", queues.COLLECTION) in found(record)
    assert ("incident.paused", queues.EXECUTION) in found(record)
    assert ("incident.stalled", queues.EXECUTION) in found(record)
    assert "Carry it out with -e incident_response_apply=true -e confirm=stockboom" in run.output
    assert orders.ask("isPaused") is True
    _run, record = respond(play, lab, tmp_path, "queue_backlog", *APPLIED)
    assert orders.ask("isPaused") is False
    assert [(each["id"], each["object"], each["outcome"]) for each in record["compared"] if each["outcome"] != "same"]
    assert "resume trade-execution: done" in record["told"]
    _run, record = respond(play, lab, tmp_path, "queue_backlog", *APPLIED)
    assert record["remedy"]["changed"] is False

    # Jobs fail: three of the most frequent reason, as this system's inventory says.
    _run, record = respond(play, lab, tmp_path, "job_failures", *APPLIED)
    assert ("incident.failed", queues.COLLECTION) in found(record)
    assert ("incident.eviction", "") in found(record)
    [action] = record["remedy"]["actions"]
    assert (action["queue"], action["count"]) == (queues.COLLECTION, 3)
    assert "access token expired" in action["reason"]
    assert collection.ask("counts")["failed"] == 357

    # An API limits us: the queue that runs into it pauses, the others go on.
    _run, record = respond(play, lab, tmp_path, "rate_limit", *APPLIED)
    assert [each["id"] for each in record["found"] if each["severity"] == "critical"] == ["incident.limited"]
    assert collection.ask("isPaused") is True
    assert orders.ask("isPaused") is False


def test_redis_without_memory_and_redis_down(
    stockboom_to_change: Running, login: dict[str, Any], play: Any, tmp_path: Path
) -> None:
    lab = stockboom_to_change
    with Redis(**login, decode_responses=True) as client:
        before = {name for name in client.scan_iter(count=1000) if not name.startswith("cache:")}
        cached = sum(1 for name in client.scan_iter("cache:*", count=1000) if name)
        assert cached > 100
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 1)
        # It answers a PING, as the manual asks, and takes no job.
        assert client.ping() is True
        _run, record = respond(play, lab, tmp_path, "redis_down")
        assert ("incident.memory", "") in found(record)
        assert record["remedy"]["actions"][0]["count"] == cached
        _run, record = respond(play, lab, tmp_path, "redis_down", *APPLIED)
        assert record["remedy"]["changed"] is True
        left = set(client.scan_iter(count=1000))
        # What keeps BullMQ from looking for stalled jobs too often ends by itself.
        assert {name for name in before ^ left if not name.endswith(":stalled-check")} == set()
        client.config_set("maxmemory", 0)
    _run, record = respond(play, lab, tmp_path, "redis_down", "-e", "redis_login_port=1")
    assert found(record) >= {("incident.available", "")}
    assert record["remedy"]["actions"] == []
