"""inspect_queues, retry_jobs and operate_queues as the person on call runs them, over a StockBoom on real BullMQ."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab.node import QUEUE_SCRIPT, NodeQueue, start
from lab.running import Running
from lab.stockboom import queues
from lab.stockboom.conditions import REDIS
from redis import Redis

pytestmark = pytest.mark.xdist_group("stockboom")

HOST = "stockboom-redis"
# Which commands a look may send, beside those of the client of this test.
WRITES = {
    "eval",
    "evalsha",
    "fcall",
    "del",
    "unlink",
    "lpush",
    "rpush",
    "zadd",
    "zrem",
    "hset",
    "hdel",
    "rename",
    "set",
}
QUICKLY = '{"queue_operations_watch_interval": 1}'


def login(lab: Running) -> dict[str, Any]:
    found = lab.hosts[HOST]
    return {"port": found["redis_login_port"], "password": found["redis_login_password"]}


def library(lab: Running, queue: str = queues.COLLECTION) -> NodeQueue:
    """The queue as its own library sees it."""
    return NodeQueue(queues.LIBRARY, queue=queue, **login(lab))


@contextmanager
def client(lab: Running) -> Iterator[Any]:
    with Redis(host=lab.hosts[HOST]["redis_login_host"], decode_responses=True, **login(lab)) as made:
        yield made


def writes(lab: Running) -> Counter[str]:
    with client(lab) as redis:
        stats = redis.info("commandstats")
    return Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()})


@contextmanager
def nothing_written(lab: Running) -> Iterator[None]:
    """What happens meanwhile makes the server carry out no writing command."""
    before = writes(lab)
    yield
    assert {name for name in writes(lab) - before if name in WRITES} == set()


@contextmanager
def worker(lab: Running, place: Path, **arguments: Any) -> Iterator[Path]:
    """A live worker of data-collection: the file with one line for every job it begins."""
    began = place / "began.jsonl"
    began.touch()
    given = {**library(lab).common, "command": "work", "log": str(began), "concurrency": 10, **arguments}
    process = start(QUEUE_SCRIPT, given, place / "worker.log")
    try:
        yield began
    finally:
        process.terminate()
        process.wait(timeout=300)


def begun(path: Path) -> Counter[str]:
    return Counter(str(json.loads(line)["id"]) for line in path.read_text(encoding="utf-8").splitlines())


def printed_command(output: str) -> list[str]:
    """The first command that puts jobs back, as a shell reads what was printed."""
    lines = output.splitlines()
    begin = next(at for at, line in enumerate(lines) if "runbook.ops.retry_jobs" in line)
    command: list[str] = []
    for line in lines[begin:]:
        command.append(line.strip().removesuffix("\\"))
        if not line.endswith("\\"):
            break
    return shlex.split(" ".join(command))


def test_inspect_shows_the_failing_reason_on_top_and_the_command_to_repair_it(
    stockboom: Running, play: Any, tmp_path: Path
) -> None:
    with nothing_written(stockboom):
        run = play(stockboom, "inspect_queues", "-vvvv", "-e", f"inspect_queues_destination={tmp_path / 'report'}")
    assert run.returncode == 0, run.output
    table = run.output[run.output.index("WHY JOBS FAIL") :]
    first = table.splitlines()[2]
    assert first.split()[:4] == ["240", "data-collection:", "KIS", "API"]
    assert table.index("access token expired") < table.index("Too Many Requests") < table.index("QUEUE ")
    assert "jobs wait and no worker fetches any" in table
    planted = {(each["finding_id"], each["object"]) for each in REDIS if each["finding_id"].startswith("queue.")}
    assert planted == {(finding["id"], finding["object"]) for finding in run.bad()}
    assert [finding["id"] for finding in run.findings() if finding["severity"] == "unknown"] == []
    assert not [secret for secret in stockboom.secrets() if secret in run.output]
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert page.index("Why jobs fail") < page.index("access token expired") < page.index('class="queue-table"')
    # The command is fit to be copied, and finds exactly these jobs.
    command = printed_command(table)
    assert command[:2] == ["ansible-playbook", "runbook.ops.retry_jobs"]
    extra = [command[at + 1] for at, word in enumerate(command) if word == "-e"]
    with nothing_written(stockboom):
        again = play(
            stockboom, "retry_jobs", *(word for each in extra for word in ("-e", each)), "--check", "-e",
            f"retry_jobs_destination={tmp_path / 'retry'}", folder="retry",
        )  # fmt: skip
    assert again.returncode == 0, again.output
    planned = [line for line in again.output.splitlines() if line.startswith("PLANNED  ")]
    assert len(planned) == 3, again.output  # The heading, the first ten, and the others.


def test_one_queue_by_name_and_one_that_is_not_there(stockboom: Running, play: Any) -> None:
    run = play(stockboom, "inspect_queues", "-e", "queue=notification", "-e", "seconds=0")
    assert run.returncode == 0, run.output
    assert "notification (bullmq)" in run.output
    assert "data-collection" not in run.output
    run = play(stockboom, "inspect_queues", "-e", "queue=data-colection", "-e", "seconds=0")
    assert run.returncode == 0, run.output
    [missing] = [line for line in run.output.splitlines() if "does not exist" in line][:1]
    assert "data-colection" in missing


def retry(play: Any, lab: Running, place: Path, *arguments: str) -> Any:
    return play(
        lab, "retry_jobs", "-e", f"queue={queues.COLLECTION}", "-e", 'reason="*token expired*"', "-e", QUICKLY,
        "-e", "watch=2s", "-e", f"retry_jobs_destination={place / 'report'}", *arguments,
    )  # fmt: skip


def test_retry_without_consent_changes_nothing(stockboom: Running, play: Any, tmp_path: Path) -> None:
    with nothing_written(stockboom):
        run = retry(play, stockboom, tmp_path)
    assert run.returncode != 0
    assert "confirm with -e confirm=stockboom" in " ".join(run.output.split())


def test_a_cause_that_is_not_mended_costs_ten_jobs_and_no_more(
    stockboom_to_change: Running, play: Any, tmp_path: Path
) -> None:
    lab = stockboom_to_change
    with worker(lab, tmp_path) as began:
        run = retry(play, lab, tmp_path, "-e", "confirm=stockboom")
    assert run.returncode == 0, run.output
    [gate] = [finding for finding in run.bad() if finding["id"] == "queue_operations.gate"]
    assert (gate["severity"], gate["object"]) == ("critical", "the first 10")
    assert "10 jobs have failed since the stage began" in gate["summary"]
    failed = [job for job, times in begun(began).items() if times]
    with client(lab) as redis:
        assert redis.zcard("bull:data-collection:failed") == 360
        reasons = Counter(redis.hget(f"bull:data-collection:{job}", "failedReason") for job in failed)
    assert sum("token expired" in str(reason) for reason in reasons.elements()) == 10
    assert [change["action"] for change in run.changes()] == ["retry"]


def test_a_mended_cause_is_tried_with_ten_and_then_the_others_run_once_each(
    stockboom_to_change: Running, play: Any, tmp_path: Path
) -> None:
    lab = stockboom_to_change
    with client(lab) as redis:
        failed = set(redis.zrange("bull:data-collection:failed", 0, -1))
        expired = {
            job for job in failed if "token expired" in redis.hget(f"bull:data-collection:{job}", "failedReason")
        }
    assert len(expired) == 240
    with worker(lab, tmp_path, healed=True) as began:
        run = retry(play, lab, tmp_path, "-e", "confirm=stockboom")
        assert run.returncode == 0, run.output
        bad, changes = run.bad(), run.changes()
        second = retry(play, lab, tmp_path, "-e", "confirm=stockboom")
    assert bad == []
    assert [figure for change in changes for figure in change["figures"] if figure["name"] == "failed"] == [
        {"name": "failed", "before": 360, "after": 350, "unit": "count"},
        {"name": "failed", "before": 350, "after": 120, "unit": "count"},
    ]
    assert second.returncode == 0, second.output
    assert second.changed_hosts() == set()
    library(lab).ask("drainByWork", healed=True)
    with client(lab) as redis:
        assert redis.zcard("bull:data-collection:failed") == 120
        done = set(redis.zrange("bull:data-collection:completed", 0, -1))
    assert expired <= done
    assert max(begun(began).values()) == 1


PLANS = {
    "throttle": [{"name": "collection pauses", "pause": {"queue": queues.COLLECTION}}],
    "resume": [
        {
            "name": "collection goes on",
            "resume": {"queue": queues.COLLECTION},
            "watch": "2s",
            "undo": {"pause": {"queue": queues.COLLECTION}},
        },
        {"name": "a mark", "command": ["touch", "PLACE/mark"]},
    ],
}


def operate(play: Any, lab: Running, place: Path, plan: str, *arguments: str) -> Any:
    plans = json.loads(json.dumps(PLANS).replace("PLACE", str(place)))
    return play(
        lab, "operate_queues", "-e", f"plan={plan}", "-e", json.dumps({"queue_operations_plans": plans}), "-e", QUICKLY,
        "-e", f"operate_queues_destination={place / 'report'}", *arguments,
    )  # fmt: skip


def test_plans_are_checked_carried_out_and_undone_when_the_gate_closes(
    stockboom_to_change: Running, play: Any, tmp_path: Path
) -> None:
    lab = stockboom_to_change
    with nothing_written(lab):
        run = operate(play, lab, tmp_path, "throttle", "--check")
    assert [(change["status"], change["action"], change["object"]) for change in run.changes()] in ([], [
        ("planned", "pause", queues.COLLECTION)
    ])  # fmt: skip
    assert "PLANNED      pause data-collection" in run.output
    run = operate(play, lab, tmp_path, "throttle", "-e", "confirm=stockboom")
    assert run.returncode == 0, run.output
    assert library(lab).ask("isPaused") is True
    assert operate(play, lab, tmp_path, "throttle", "-e", "confirm=stockboom").changed_hosts() == set()
    # Jobs fail as soon as the queue goes on: back to where the stage began, and the next one is not begun.
    library(lab).ask("add", jobs=[{"name": "collect-price", "data": {"fail": "KIS API 429 Too Many Requests"}}] * 20)
    with worker(lab, tmp_path):
        run = operate(play, lab, tmp_path, "resume", "-e", "confirm=stockboom")
    assert [(finding["id"], finding["object"]) for finding in run.bad()] == [
        ("queue_operations.gate", "collection goes on")
    ]
    assert library(lab).ask("isPaused") is True
    assert not (tmp_path / "mark").exists()
    assert [change["action"] for change in run.changes()] == ["resume", "pause"]
    # With a cause that is mended, all of it.
    with worker(lab, tmp_path, healed=True):
        run = operate(play, lab, tmp_path, "resume", "-e", "confirm=stockboom")
    assert run.bad() == []
    assert library(lab).ask("isPaused") is False
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-e", "plan=trottle"], "There is no plan trottle: name a plan with -e plan=<name> (resume, throttle)"),
        (["-e", '{"queue_operations_stages": [{"name": "both", "pause": {"queue": "a"}, "resume": {"queue": "a"}}]}'],
         "A stage does exactly one of pause, resume, empty, retry, park, unpark, command"),
        (["-e", '{"queue_operations_stages": [{"pause": {"queue": "a"}, "watch": "soon"}]}'], "soon"),
        (["-e", '{"queue_operations_watch_interval": 900}'],
         "queue_operations_watch_interval: 900 is not accepted. Accepted: more than 0 and at most 300 seconds."),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_out_is_refused_first(
    stockboom: Running, play: Any, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with nothing_written(stockboom):
        run = operate(play, stockboom, tmp_path, "throttle", "-e", "confirm=stockboom", *arguments)
    assert run.returncode != 0
    assert message in " ".join(run.output.split())
