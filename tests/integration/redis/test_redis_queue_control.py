"""redis_queue pauses and resumes queues of Bull and BullMQ: every version, live workers, the library as the judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab.bull_work import Work, jobs
from lab.node import LIBRARIES
from lab.process import wait_until
from lab.redis import RedisServer

Runner = Callable[..., dict[str, Any]]
# Their workers look at nothing but the list they fetch from.
BLIND = ("bull4", "bullmq3", "bullmq4")
# Their pause renames a list, each in a script of its own.
RENAMING = ("bull4", "bullmq4", "bullmq5")


def change(work: Work, state: str, **options: Any) -> dict[str, Any]:
    """Check mode, the run, and a second run that has nothing to do."""
    foreseen = work.module(state, check_mode=True)
    done = work.module(state, **options)
    assert not foreseen.get("failed"), foreseen
    assert not done.get("failed"), done
    for name in ("changed", "actions", "paused", "library", "system"):
        assert done[name] == foreseen[name], name
    assert done["before"]["paused"] == foreseen["before"]["paused"]
    assert foreseen["after"] is None
    again = work.module(state)
    assert (again["changed"], again["actions"], again["before"]["paused"]) == (False, [], state == "paused")
    return done


@pytest.fixture(params=LIBRARIES)
def work(request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path) -> Work:
    return Work(redis_server, request.param, tmp_path)


@pytest.fixture
def modern(redis_server: RedisServer, tmp_path: Path) -> Work:
    return Work(redis_server, "bullmq5", tmp_path)


def test_live_workers_stop_fetching_finish_what_they_have_and_are_woken(work: Work) -> None:
    work.node.ask("add", jobs=[*jobs(40, milliseconds=25), *jobs(1, 40, opts={"priority": 2})])
    with work.worker(concurrency=2):
        assert wait_until(lambda: len(work.executed()) >= 6, 30)
        paused = change(work, "paused", wait_active="30s")
        begun = work.executed()
        assert paused["changed"] is True
        assert paused["actions"] == [{"action": "pause", "queue": "mail"}]
        assert paused["after"]["counts"]["active"] == 0
        assert paused["after"]["counts"]["waiting"] == 41 - len(begun)
        added, is_paused, counts = work.node.ask(
            "batch", steps=[{"command": "add", "jobs": jobs(5, 41)}, {"command": "isPaused"}, {"command": "counts"}]
        )
        assert len(added) == 5
        assert is_paused is True
        assert counts["active"] == 0
        assert counts["waiting"] + counts.get("paused", 0) + counts.get("prioritized", 0) == 46 - len(begun)
        assert counts["completed"] == len(begun)
        # The library took half a second for that, in which a worker would have fetched the rest.
        assert work.executed() == begun
        resumed = change(work, "resumed")
        assert resumed["actions"] == [{"action": "resume", "queue": "mail"}]
        assert wait_until(lambda: len(work.executed()) >= 46, 30)
        assert wait_until(lambda: work.module("paused", check_mode=True)["before"]["counts"]["completed"] == 46, 30)
    assert sorted(work.executed()) == list(range(46))


@pytest.mark.parametrize("library", BLIND)
def test_the_flag_alone_stops_no_older_worker(library: str, redis_server: RedisServer, tmp_path: Path) -> None:
    work = Work(redis_server, library, tmp_path)
    work.node.ask("add", jobs=jobs(60, milliseconds=25))
    work.server.cli("HSET", work.key("meta"), "paused", 1)
    assert work.node.ask("isPaused") is True
    with work.worker():
        # It says that it is paused, and goes on.
        assert wait_until(lambda: len(work.executed()) >= 5, 30)
        found = work.module("paused", check_mode=True)
        assert (found["before"]["paused"], found["changed"]) == (False, True)
        done = change(work, "paused", wait_active="30s")
        begun = work.executed()
        assert done["after"]["counts"]["waiting"] == 60 - len(begun)
        assert work.node.ask("isPaused") is True
        assert work.executed() == begun


def test_the_library_and_the_module_undo_each_other(work: Work) -> None:
    work.node.ask("batch", steps=[{"command": "add", "jobs": jobs(6)}, {"command": "pause"}])
    assert work.module("paused")["changed"] is False
    assert change(work, "resumed")["before"]["counts"]["waiting"] == 6
    assert work.node.ask("isPaused") is False
    change(work, "paused")
    assert work.node.ask("batch", steps=[{"command": "resume"}, {"command": "isPaused"}]) == [True, False]
    assert work.module("resumed")["changed"] is False
    # Nothing was lost, doubled or put out of order on the way.
    work.node.ask("drainByWork")
    assert work.executed() == list(range(6))


def test_an_empty_queue_stays_paused_for_jobs_that_come(work: Work) -> None:
    work.node.ask("batch", steps=[{"command": "add", "jobs": jobs(1)}, {"command": "drainByWork"}])
    change(work, "paused")
    with work.worker():
        work.node.ask("add", jobs=[*jobs(1, 1), {"data": {"n": 2}, "opts": {"delay": 1}}])
        assert work.node.ask("counts")["completed"] == 1
        assert work.executed() == [0]
        change(work, "resumed")
        assert wait_until(lambda: len(work.executed()) == 3, 30)


def half_paused(work: Work) -> None:
    """Jobs in both lists, the older ones in 'paused': somebody took the flag away by hand."""
    work.node.ask("batch", steps=[{"command": "add", "jobs": jobs(3)}])
    work.server.cli("RENAME", work.key("wait"), work.key("paused"))
    work.node.ask("add", jobs=jobs(3, 3))
    assert [work.server.cli("LLEN", work.key(each)) for each in ("paused", "wait")] == ["3", "3"]


@pytest.mark.parametrize("way", ["resumed", "paused, then resumed"])
def test_jobs_in_both_lists_are_brought_together_in_their_order(work: Work, way: str) -> None:
    half_paused(work)
    found = work.module("resumed", check_mode=True)
    assert any("paused" in note for note in found["notes"])
    for state in way.split(", then "):
        assert work.module(state)["changed"] is True
    assert work.server.cli("EXISTS", work.key("paused")) == "0"
    work.node.ask("drainByWork")
    assert work.executed() == list(range(6))


@pytest.mark.parametrize("library", RENAMING)
def test_the_librarys_own_pause_loses_them(library: str, redis_server: RedisServer, tmp_path: Path) -> None:
    work = Work(redis_server, library, tmp_path)
    half_paused(work)
    counts = work.node.ask("batch", steps=[{"command": "pause"}, {"command": "counts"}])[1]
    # RENAME puts one list in the place of the other: three jobs are in no state any more.
    assert counts["paused"] + counts["waiting"] == 3


@pytest.mark.parametrize("library", RENAMING)
def test_jobs_that_were_left_in_wait_under_the_flag_are_older(
    library: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    work = Work(redis_server, library, tmp_path)
    work.node.ask("add", jobs=jobs(2500))
    # What an operator does by hand; Bull's producers look at meta-paused.
    work.server.cli("HSET", work.key("meta"), "paused", 1)
    if library == "bull4":
        work.server.cli("SET", work.key("meta-paused"), 1)
    work.node.ask("add", jobs=jobs(3, 2500))
    assert [work.server.cli("LLEN", work.key(each)) for each in ("paused", "wait")] == ["3", "2500"]
    change(work, "paused")
    assert [work.server.cli("LLEN", work.key(each)) for each in ("paused", "wait")] == ["2503", "0"]
    change(work, "resumed")
    work.node.ask("drainByWork", concurrency=1)
    assert work.executed() == list(range(2503))


def test_waiting_for_active_jobs_fails_with_how_many_are_left(modern: Work) -> None:
    modern.node.ask("add", jobs=jobs(3, milliseconds=600_000))
    with modern.worker(concurrency=2):
        assert wait_until(lambda: len(modern.executed()) == 2, 30)
        failure = modern.module("paused", wait_active="1s")
        assert failure["failed"] is True
        assert failure["msg"] == (
            "Still active in queue mail after 1 s: 2 jobs. The queue stays paused. Raise wait_active, or look at what "
            "they do; to go on without waiting, run it with state resumed."
        )
        assert (failure["changed"], failure["paused"], failure["after"]["counts"]["active"]) == (True, True, 2)
        # Nothing was to be changed this time, and it waits all the same.
        assert modern.module("paused", wait_active="1s")["msg"] == failure["msg"]
        assert modern.module("paused", wait_active="1s", check_mode=True)["changed"] is False


def test_the_module_as_ansible_runs_it(modern: Work, run_module: Runner) -> None:
    modern.node.ask("add", jobs=jobs(2))
    foreseen = run_module("redis_queue", modern.arguments("paused"), check_mode=True)
    done = run_module("redis_queue", modern.arguments("paused", wait_active="1m"))
    assert (foreseen["actions"], foreseen["diff"]) == (done["actions"], done["diff"])
    assert done["diff"]["after"].startswith("paused: true\nwaiting: 2\n")
    assert modern.node.ask("isPaused") is True
    # Shell variables of a role may be empty.
    assert run_module("redis_queue", modern.arguments("resumed", wait_active="", min_age="", key_prefix=""))["changed"]
    wrong = run_module("redis_queue", modern.arguments("resumed", wait_active="1m"))
    assert wrong["msg"] == "wait_active: '1m' is not accepted. Accepted: only with state paused."


def test_check_mode_writes_nothing(work: Work) -> None:
    work.node.ask("add", jobs=jobs(3))
    for state in ("paused", "resumed", "empty"):
        assert work.foreseen(state)["after"] is None
