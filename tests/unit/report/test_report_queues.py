"""Queues in the report: the failing reason on top, and a command that is safe to copy whatever a job's error says."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.plugin_utils.rendering.widths import width
from ansible_collections.runbook.ops.plugins.plugin_utils.report.queue_view import queue_view, retry_command
from ansible_collections.runbook.ops.plugins.plugin_utils.report.terminal import terminal_lines
from ansible_collections.runbook.ops.plugins.plugin_utils.report.wording import command_pieces

TOKEN = {
    "reason": "KIS API <n>: access token expired",
    "count": 1100,
    "example": "KIS API 401: access token expired",
    "example_ids": ["12", "17"],
    "first_at": "2026-01-31T00:15:00Z",
    "last_at": "2026-01-31T02:15:00Z",
}
TIMEOUT = {"reason": "Timeout after <n>ms", "count": 140, "example": "Timeout after 30ms", "example_ids": []}


def queue(name: str = "batch", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "system": "bullmq",
        "library_version": "5.81.5",
        "prefix": "bull",
        "exists": True,
        "paused": False,
        "counts": {"waiting": 12, "active": 3, "delayed": 4, "blocked": 1, "retrying": None, "failed": 0},
        "backlog": 15,
        "oldest_age_seconds": 35.0,
        "oldest_age_exact": True,
        "rate": None,
        "failures": [],
        **changes,
    }


def facts(*queues: dict[str, Any], **more: Any) -> dict[str, Any]:
    measured = {"queues": list(queues), "failures": [], **more}
    return {"stockboom-redis": {"runbook.ops.redis_queue_info": measured, "runbook.ops.redis_health_info": {"x": 1}}}


def test_without_queues_there_is_no_section() -> None:
    assert queue_view({}) is None
    assert queue_view(facts()) is None
    assert queue_view({"host": {"runbook.ops.redis_health_info": {"queues": [queue()]}}}) is None


def test_the_most_frequent_reason_of_all_hosts_is_on_top() -> None:
    view = queue_view(facts(queue("a", failures=[TIMEOUT]), queue("b", failures=[TOKEN])))
    assert view is not None
    assert [(line.queue, line.count) for line in view.failures] == [("b", "1,100"), ("a", "140")]
    assert view.failures[0].when == "from 2026-01-31 00:15 to 2026-01-31 02:15 UTC"
    assert view.failures[0].ids == "12, 17"
    assert view.failures[1].when == ""


def test_failures_without_a_queue_have_no_command() -> None:
    view = queue_view(facts(queue("normal", system="celery"), failures=[TOKEN]))
    assert view is not None
    assert [(line.queue, line.command) for line in view.failures] == [("(queue not known)", "")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("12", "3", "5", "0", "35s", "", "")),
        ({"counts": {}}, ("?", "?", "?", "?", "35s", "", "")),
        ({"oldest_age_exact": False, "oldest_age_seconds": 7400.0}, ("12", "3", "5", "0", "≥ 2h3m", "", "")),
        ({"oldest_age_seconds": None}, ("12", "3", "5", "0", "-", "", "")),
        (
            {"rate": {"arrivals_per_second": 2.0, "departures_per_second": 1.5, "growth_per_second": 0.5}},
            ("12", "3", "5", "0", "35s", "120 / 90", "never: it grows"),
        ),
        (
            {"rate": {"arrivals_per_second": 0.0, "departures_per_second": 0.0, "growth_per_second": 0.0}},
            ("12", "3", "5", "0", "35s", "0 / 0", "never: it stands"),
        ),
        (
            {"rate": {"arrivals_per_second": None, "departures_per_second": 1.0, "drain_seconds": 90.0}},
            ("12", "3", "5", "0", "35s", "? / 60", "1m30s"),
        ),
        (
            {"rate": {"arrivals_per_second": 1.0, "departures_per_second": 1.0, "drain_seconds": 0.0}},
            ("12", "3", "5", "0", "35s", "60 / 60", "empty"),
        ),
    ],
)
def test_figures(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    view = queue_view(facts(queue(**changes)))
    assert view is not None
    (line,) = view.queues
    assert (line.waiting, line.active, line.later, line.failed, line.oldest, line.rate, line.drained) == expected


@pytest.mark.parametrize(
    ("changes", "marks"),
    [
        ({}, []),
        ({"paused": True}, [("warning", "paused")]),
        ({"unconsumed": True}, [("critical", "jobs wait and no worker fetches any")]),
        ({"stalled": 3}, [("warning", "3 stalled: no worker works on them any more")]),
        ({"ghosts": 2, "overdue": None}, [("warning", "2 without data: they would run empty")]),
        (
            {"exists": False, "reason": "Queue 'x' does not exist", "stalled": 3},
            [("critical", "does not exist: Queue 'x' does not exist")],
        ),
    ],
)
def test_marks(changes: dict[str, Any], marks: list[tuple[str, str]]) -> None:
    view = queue_view(facts(queue(**changes)))
    assert view is not None
    assert list(view.queues[0].marks) == marks


@pytest.mark.parametrize(
    ("reason", "pattern"),
    [
        ("KIS API <n>: access token expired", "KIS API ?n?: access token expired*"),
        ("x'; rm -rf / #", "x?? rm -rf / ?*"),
        ("{{ lookup('pipe', 'id') }}", "?? lookup??pipe?, ?id?? ??*"),
        ('say "no" $(id) `id` \\', "say ?no? ??id? ?id? ?*"),
        ("한글 오류", "?? ??*"),
        ("cut…", "cut*"),
    ],
)
def test_a_command_holds_nothing_that_a_shell_or_a_template_reads(reason: str, pattern: str) -> None:
    command = retry_command("stockboom-redis", queue("data-collection"), reason, ["inventories/stockboom"])
    if not pattern.strip("?* "):
        assert command == ""
        return
    words = shlex.split(command)
    assert words[:4] == ["ansible-playbook", "runbook.ops.retry_jobs", "-i", "inventories/stockboom"]
    # As Ansible reads it: key=value with quotes.
    assert words[-1] == f'reason="{pattern}"'
    assert yaml.safe_load(words[-1].removeprefix("reason=")) == pattern
    assert not set("{}$`\\;") & set(command)


@pytest.mark.parametrize(
    ("host", "changes", "inventories", "wanted"),
    [
        ("h", {}, [], "ansible-playbook runbook.ops.retry_jobs -e targets=h -e queue=batch -e system=bullmq"),
        ("h", {"prefix": "{bull}"}, [], "-e queue=batch -e system=bullmq -e 'reason"),
        ("h", {"prefix": "shop"}, [], "-e key_prefix=shop"),
        ("h", {"name": "a b"}, [], ""),
        ("h h", {}, [], ""),
        # One inventory whose name is odd: better none than half of them.
        ("h", {}, ["a b", "c"], "ansible-playbook runbook.ops.retry_jobs -e targets=h"),
    ],
)
def test_names_that_are_not_fit_for_a_command(
    host: str, changes: dict[str, Any], inventories: list[str], wanted: str
) -> None:
    command = retry_command(host, queue(**changes), "boom", inventories)
    assert wanted in command if wanted else command == ""


def test_the_terminal_keeps_to_its_width_and_commands_can_be_copied() -> None:
    view = queue_view(
        facts(
            queue("data-collection", failures=[TOKEN], unconsumed=True, counts={"waiting": 1840, "failed": 1100}),
            queue("trade-execution", paused=True),
            queue("한국어-이름이-아주-아주-긴-큐의-이름입니다-정말로"),
        ),
        ["inventories/stockboom"],
    )
    lines = terminal_lines(
        [], title="StockBoom", moment="now", paths={}, columns=80, paint=lambda text, _colour: text, queues=view
    )
    assert all(width(line) <= 80 for line in lines), [line for line in lines if width(line) > 80]
    text = "\n".join(lines)
    assert text.index("WHY JOBS FAIL") < text.index("1,100  data-collection: KIS API <n>: access token expired")
    assert text.index("access token expired") < text.index("QUEUE ")
    assert "    jobs wait and no worker fetches any" in lines
    begin = next(at for at, line in enumerate(lines) if "retry_jobs" in line)
    command: list[str] = []
    for line in lines[begin:]:
        command.append(line.strip().removesuffix("\\").strip())
        if not line.endswith("\\"):
            break
    assert shlex.split(" ".join(command))[-1] == 'reason="KIS API ?n?: access token expired*"'


def test_more_than_fits_is_counted() -> None:
    many = [queue(f"q{number}", failures=[{**TIMEOUT, "reason": f"r{number}"}]) for number in range(70)]
    view = queue_view(facts(*many))
    assert view is not None
    assert (len(view.queues), view.queues_left_out, len(view.failures), view.failures_left_out) == (60, 10, 20, 50)


def test_quotes_stay_with_what_they_hold() -> None:
    assert command_pieces("""a -e 'b="c d"' --check""") == ["a", """-e 'b="c d"'""", "--check"]
