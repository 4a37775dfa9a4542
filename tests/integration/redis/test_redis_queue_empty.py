"""redis_queue empties queues of Bull and BullMQ: nothing of the jobs is left, and everything else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lab.bull_work import DEFAULTS, Work, jobs
from lab.cut_proxy import CutProxy
from lab.node import LIBRARIES, NodeQueue
from lab.paths import BUILD
from lab.process import wait_until
from lab.redis import RedisServer
from lab.redis_cluster import RedisCluster
from lab.written import writes

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.run import control_queue

FLOWS = ("bullmq3", "bullmq4", "bullmq5", "bullmq6")
# The keys that are there as long as something is in them.
STATES = ("wait", "prioritized", "priority", "delayed", "failed", "completed", "waiting-children", "marker")
# The states of the libraries, by ours.
THEIRS = {
    "waiting": ("waiting", "paused", "prioritized"),
    "delayed": ("delayed",),
    "blocked": ("waiting-children",),
    "failed": ("failed",),
    "completed": ("completed",),
}


def empty(work: Work, *states: str, quiet: bool = True, **options: Any) -> dict[str, Any]:
    """Check mode, which writes nothing and foresees the run, and the run; C(quiet): nobody else writes."""
    wanted = {"states": list(states) or ["waiting"], **options}
    foreseen = work.foreseen("empty", quiet=quiet, **wanted)
    done = work.module("empty", **wanted)
    assert not foreseen.get("failed"), foreseen
    assert not done.get("failed"), done
    for name in ("changed", "actions", "removed", "ghosts", "kept", "before", "diff"):
        assert done[name] == foreseen[name], name
    return done


def refused(work: Work, *states: str, state: str = "empty", **options: Any) -> str:
    """The message of a run that a guard ends with nothing touched, in check mode too."""
    before, keys = writes(work.server), work.keys()
    wanted = {"states": list(states) or ["waiting"], **options}
    failures = [work.module(state, check_mode=check_mode, **wanted) for check_mode in (True, False)]
    assert [each["failed"] for each in failures] == [True, True], failures
    assert failures[0]["msg"] == failures[1]["msg"]
    assert (writes(work.server), work.keys()) == (before, keys)
    return str(failures[0]["msg"])


@pytest.fixture(params=LIBRARIES)
def work(request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path) -> Work:
    return Work(redis_server, request.param, tmp_path)


@pytest.fixture
def modern(redis_server: RedisServer, tmp_path: Path) -> Work:
    return Work(redis_server, "bullmq5", tmp_path)


def fill(work: Work) -> dict[str, set[str]]:
    """Some jobs in every state, the active one's worker to be started: their ids by state."""
    steps: list[dict[str, Any]] = [
        {"command": "add", "jobs": [*jobs(3, fail="no paper"), *jobs(4, 10)]},
        {"command": "drainByWork"},
        {"command": "add", "jobs": jobs(1, 20, milliseconds=600_000)},
    ]
    finished = work.node.ask("batch", steps=steps)
    return {"failed": set(finished[0][:3]), "completed": set(finished[0][3:]), "active": set(finished[2])}


def fill_more(work: Work) -> dict[str, set[str]]:
    steps: list[dict[str, Any]] = [
        {"command": "add", "jobs": [*jobs(3, 30), *jobs(2, 40, opts={"priority": 5})]},
        {"command": "add", "jobs": jobs(3, 50, opts={"delay": 3_600_000})},
        {"command": "scheduler"},
        {"command": "add", "queue": "other", "jobs": jobs(2, 60)},
    ]
    if work.library in FLOWS:
        child = {"name": "part", "queueName": "parts", "data": {"n": 71}}
        steps.append(
            {"command": "flow", "flow": {"name": "whole", "queueName": "mail", "data": {}, "children": [child]}}
        )
    added = work.node.ask("batch", steps=steps)
    ids = {"waiting": set(added[0]), "delayed": set(added[1])}
    if work.library in FLOWS:
        ids["blocked"] = {added[4]["parent"]}
    work.node.ask("log", ids=[each for state in ids.values() for each in state])
    return ids


def test_each_state_is_emptied_with_every_key_and_nothing_else_is_touched(work: Work) -> None:
    ids = fill(work)
    with work.worker():
        assert wait_until(lambda: 20 in work.executed(), 30)
        ids.update(fill_more(work))
        (active,) = ids.pop("active")
        held = {work.key(active), work.key(f"{active}:lock"), work.key("active")}
        foreign = {key for key in work.keys("*") if not key.startswith("bull:mail:")}

        with work.server.client() as client:
            waiting = client.lrange(work.key("wait"), 0, -1)
        where = "waiting" if any(each.startswith(b"repeat:") for each in waiting) else "delayed"

        def is_of(key: str, identifiers: set[str]) -> bool:
            return key.removeprefix("bull:mail:").partition(":")[0] in identifiers

        counts = work.node.ask("counts")
        for state in [*ids, "everything"]:
            before = work.keys()
            wanted = [*ids] if state == "everything" else [state]
            done = empty(work, *wanted, quiet=False)
            after = work.keys()
            if state == "everything":
                assert (done["changed"], done["removed"], done["actions"]) == (False, {}, [])
                continue
            left = work.node.ask("counts")
            removed = {key for key in before if is_of(key, ids[state])}
            assert len({key for key in removed if key.endswith(":logs")}) == (
                len(ids[state]) if state in ("waiting", "delayed", "blocked") else 0
            )
            assert done["removed"] == {state: len(ids[state])}
            # The keys of the states themselves vanish with their last member.
            assert before - after - removed <= {work.key(each) for each in STATES}
            assert not {key for key in after if is_of(key, ids[state])}
            # The next job of the schedule stays; it is delayed, or waits if it is due at once.
            scheduled = 1 if state == where else 0
            assert [entry["jobs"] for entry in done["kept"]] == [1] * scheduled
            assert sum(left.get(name, 0) for name in THEIRS[state]) == scheduled
            assert {name: left[name] for name in left if name not in THEIRS[state]}.items() <= counts.items()
            counts = left
            assert held <= after
            assert foreign <= after
        assert {work.key("id"), work.key("repeat")} <= work.keys()
    # The crashed worker's job is of no concern; new jobs are executed, each once.
    work.node.ask("batch", steps=[{"command": "add", "jobs": jobs(5, 80)}])
    with work.worker(concurrency=2):
        assert wait_until(lambda: set(range(80, 85)) <= set(work.executed()), 30)
    assert sorted(each for each in work.executed() if each is not None and each >= 80) == list(range(80, 85))


def test_the_schedule_goes_on(work: Work) -> None:
    work.node.ask("batch", steps=[{"command": "scheduler", "every": 1000}, {"command": "add", "jobs": jobs(2)}])
    done = empty(work, "waiting", "delayed")
    assert done["removed"] == {"waiting": 2}
    (kept,) = done["kept"]
    assert (kept["jobs"], kept["reason"]) == (1, "it carries a schedule on: without it, the schedule ends")
    with work.worker():
        assert wait_until(lambda: len(work.executed()) >= 2, 30)


@pytest.mark.parametrize("library", FLOWS)
def test_a_parent_is_not_left_waiting_for_a_removed_child(
    library: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    work = Work(redis_server, library, tmp_path, "parts")
    child = {"name": "part", "queueName": "parts", "data": {"n": 1}}
    inner = {"name": "inner", "queueName": "parts", "data": {"n": 2}, "children": [{**child, "data": {"n": 3}}]}
    flow = {"name": "whole", "queueName": "mail", "data": {"n": 0}, "children": [child, inner]}
    work.node.ask("batch", steps=[{"command": "flow", "flow": flow}, {"command": "add", "jobs": jobs(2, 10)}])
    done = empty(work, "waiting", "blocked")
    # The inner parent is a child itself: its parent waits for it, so its own child stays, too.
    assert done["removed"] == {"waiting": 2}
    assert sorted((entry["state"], entry["jobs"]) for entry in done["kept"]) == [("blocked", 1), ("waiting", 2)]
    whole = Work(redis_server, library, tmp_path, "mail")
    assert empty(whole, "blocked")["removed"] == {"blocked": 1}
    done = empty(work, "waiting", "blocked")
    assert done["removed"] == {"blocked": 1, "waiting": 2}
    assert done["kept"] == []
    assert work.keys("bull:parts:*:*") == set()
    # Children whose parent is gone are executed like any other job.
    made = work.node.ask("flow", flow=flow)
    assert empty(whole, "blocked")["removed"] == {"blocked": 1}
    counts = work.node.ask("drainByWork")
    assert (sorted(work.executed()), counts["completed"], counts["failed"]) == ([1, 2, 3], 3, 0)
    assert len(made["children"]) == 2


@pytest.mark.parametrize("library", ["bull4", "bullmq5", "bullmq6"])
def test_a_removed_job_may_be_added_again(library: str, redis_server: RedisServer, tmp_path: Path) -> None:
    work = Work(redis_server, library, tmp_path)
    option = "debounce" if library == "bull4" else "deduplication"
    once = jobs(1, opts={option: {"id": "monthly", "ttl": 3_600_000}})
    work.node.ask("batch", steps=[{"command": "add", "jobs": once}, {"command": "add", "jobs": once}])
    assert len(work.keys("bull:mail:de:*")) == 1
    assert empty(work)["removed"] == {"waiting": 1}
    assert work.keys("bull:mail:de:*") == set()
    work.node.ask("add", jobs=once)
    work.node.ask("drainByWork")
    assert work.executed() == [0]


def test_ghosts_go_and_are_counted(work: Work) -> None:
    ids = work.node.ask("add", jobs=[*jobs(4), *jobs(2, 10, opts={"delay": 3_600_000})])
    work.server.cli("DEL", work.key(ids[1]), work.key(ids[4]))
    done = empty(work, "waiting", "delayed")
    assert (done["removed"], done["ghosts"]) == ({"delayed": 2, "waiting": 4}, 2)


def test_a_paused_queue_is_emptied_and_stays_paused(work: Work) -> None:
    work.node.ask("batch", steps=[{"command": "add", "jobs": jobs(5)}, {"command": "pause"}])
    done = empty(work)
    assert (done["removed"], done["paused"]) == ({"waiting": 5}, True)
    assert work.node.ask("isPaused") is True


def test_limit_takes_those_that_would_be_executed_first(work: Work) -> None:
    work.node.ask("add", jobs=jobs(8))
    assert empty(work, limit=3, batch_size=2)["removed"] == {"waiting": 3}
    work.node.ask("drainByWork")
    assert work.executed() == [3, 4, 5, 6, 7]


def test_only_old_enough_ones_go(modern: Work) -> None:
    steps = [{"command": "add", "jobs": jobs(4, fail="no paper")}, {"command": "drainByWork"}]
    ids = modern.node.ask("batch", steps=steps)[0]
    with modern.server.client() as client:
        for number, each in enumerate(ids[:3]):
            client.zincrby(modern.key("failed"), -86_400_000 * (number + 1), each)
    assert empty(modern, "failed", min_age="2d", max_jobs=2)["removed"] == {"failed": 2}
    assert set(modern.server.cli("ZRANGE", modern.key("failed"), 0, -1).split()) == {ids[0], ids[3]}
    assert "is not known, so min_age cannot be kept" in refused(modern, min_age="1d")


# --- the manual's own commands


def test_deleting_the_list_leaves_the_jobs_behind(modern: Work) -> None:
    modern.node.ask("add", jobs=[*jobs(4), *jobs(2, 10, opts={"priority": 3}), *jobs(2, 20, opts={"delay": 3_600_000})])
    modern.server.cli("DEL", modern.key("wait"))
    # The data of all eight are still there, and four of them belong to no state any more.
    assert len(modern.data()) == 8
    assert empty(modern, "waiting", "delayed")["removed"] == {"delayed": 2, "waiting": 2}
    assert len(modern.data()) == 4


def test_deleting_by_pattern_takes_lock_settings_and_schedules_from_a_live_worker(modern: Work) -> None:
    modern.node.ask(
        "batch", steps=[{"command": "add", "jobs": jobs(1, milliseconds=600_000)}, {"command": "scheduler"}]
    )
    own = {modern.key(each) for each in ("1:lock", "meta", "repeat", "active")}
    with modern.worker():
        assert wait_until(lambda: modern.executed() == [0], 30)
        modern.node.ask("add", jobs=jobs(3, 10))
        empty(modern, "waiting", "delayed", quiet=False)
        assert own <= modern.keys()
        cli = f"redis-cli -p {modern.server.port}"
        pattern = subprocess.run(
            f"{cli} --scan --pattern 'bull:mail:*' | xargs {cli} DEL", shell=True, capture_output=True, check=True
        )
        assert int(pattern.stdout) > len(own)
        assert not own & modern.keys()


@pytest.mark.parametrize("library", ["bull3", "bull4"])
def test_bulls_own_way_searches_all_keys(library: str, redis_server: RedisServer, tmp_path: Path) -> None:
    work = Work(redis_server, library, tmp_path)

    def searches() -> int:
        return int(work.server.client().info("commandstats").get("cmdstat_keys", {}).get("calls", 0))

    filled = [*jobs(2), *jobs(2, 10, opts={"delay": 3_600_000})]
    before = searches()
    work.node.ask("batch", steps=[{"command": "add", "jobs": filled}, {"command": "drain"}])
    assert searches() == before + 1
    # It deletes the delayed set, and leaves the data of its jobs.
    assert len(work.data()) == 2
    work.server.client().flushall()
    work.node.ask("add", jobs=filled)
    empty(work, "waiting", "delayed")
    assert searches() == before + 1
    assert work.keys() == {work.key("id")}


# --- guards


def test_more_than_allowed_is_not_begun(modern: Work) -> None:
    modern.node.ask("add", jobs=jobs(5))
    assert refused(modern, max_jobs=4) == (
        "5 jobs of queue mail (waiting) would be removed, more than max_jobs (4). Nothing was touched. Raise max_jobs "
        "if they are really to go, or remove some of them with limit."
    )
    assert empty(modern, max_jobs=4, limit=4)["removed"] == {"waiting": 4}


def test_outside_the_window_nothing_is_removed(modern: Work) -> None:
    modern.node.ask("add", jobs=jobs(1))
    options = {"window": ["Sun 02:00-06:00"], "reference_time": "2026-06-03T12:00:00Z"}
    assert refused(modern, **options) == (
        "Queue mail was not emptied: it is Wed 12:00 in UTC, outside the window (Sun 02:00-06:00). Run it within the "
        "window."
    )
    assert "was not paused: it is Wed" in refused(modern, state="paused", **options)


@pytest.mark.parametrize(
    ("states", "reason"),
    [("active", "Active jobs are with workers"), ("retrying", "among the delayed ones")],
)
def test_states_that_are_never_emptied(modern: Work, states: str, reason: str) -> None:
    modern.node.ask("add", jobs=jobs(1))
    assert reason in refused(modern, states)


@pytest.mark.parametrize("state", ["paused", "resumed", "empty"])
def test_a_queue_that_is_not_there_is_an_error_that_says_where_it_was_looked_for(modern: Work, state: str) -> None:
    message = refused(modern, state=state)
    assert f"no Bull or BullMQ queue bull:mail in database 0 of 127.0.0.1:{modern.server.port}" in message
    assert "neither bull:mail:meta nor bull:mail:id exists" in message


def test_jobs_of_nobody_knows_which_library_need_to_be_told(modern: Work) -> None:
    modern.node.ask("add", jobs=jobs(2))
    modern.server.cli("DEL", *(modern.key(each) for each in ("meta", "id", "events", "marker")))
    assert "Say it with system (bull or bullmq) and library_version" in refused(modern)
    assert empty(modern, system="bullmq", library_version="5.81.5")["removed"] == {"waiting": 2}


def test_traces_of_both_libraries_need_to_be_told_apart(modern: Work) -> None:
    modern.node.ask("add", jobs=jobs(2))
    modern.server.cli("SET", modern.key("meta-paused"), 1)
    assert "may be a queue of BullMQ or Bull. Say whose it is with system." in refused(modern)
    assert "its meta says BullMQ 5" in refused(modern, system="bull")
    assert empty(modern, system="bullmq")["removed"] == {"waiting": 2}


def test_a_job_that_overwrites_a_state_is_named(work: Work) -> None:
    work.node.ask("add", jobs=[{"data": {"n": 1}, "opts": {"jobId": "failed"}}, *jobs(1)])
    message = refused(work, "failed")
    assert "bull:mail:failed is of type hash, not zset; a job with the id 'failed' overwrites it" in message
    # Its entry in wait would take the key along.
    done = empty(work, "waiting")
    assert done["removed"] == {"waiting": 1}
    assert [entry["examples"] for entry in done["kept"]] == [["failed"]]


def test_what_a_worker_holds_stays_wherever_it_is_listed(modern: Work) -> None:
    ids = modern.node.ask("add", jobs=[*jobs(2), *jobs(2, 10, opts={"delay": 3_600_000})])
    with modern.server.client() as client:
        client.set(modern.key(f"{ids[0]}:lock"), "token", px=600_000)
        client.rpush(modern.key("active"), ids[2])
    done = empty(modern, "waiting", "delayed")
    assert done["removed"] == {"delayed": 1, "waiting": 1}
    assert {entry["reason"]: entry["examples"] for entry in done["kept"]} == {
        "it is among the active jobs, too": [ids[2]],
        "a worker holds its lock": [ids[0]],
    }


def test_a_replica_is_refused_by_name(modern: Work) -> None:
    modern.node.ask("add", jobs=jobs(1))
    with RedisServer(settings={"replicaof": f"127.0.0.1 {modern.server.port}"}) as replica:
        assert wait_until(lambda: replica.client().info("replication")["master_link_status"] == "up", 30)
        there = Work(replica, "bullmq5", modern.directory)
        message = there.module("empty")["msg"]
    assert message == (
        f"127.0.0.1:{replica.port} is a replica; nothing is changed there. Connect to its master, "
        f"127.0.0.1:{modern.server.port}."
    )


# The last one is not UTF-8; Ansible itself cannot log it, so it does not come through a process.
@pytest.mark.parametrize("name", ["a:b", "a*", "a[b]", "a?c", "a\\b", "b\udcff"])
def test_a_name_is_never_a_pattern(name: str, redis_server: RedisServer) -> None:
    NodeQueue("bull4", redis_server.port, "plain").ask("add", jobs=jobs(3))
    raw = name.encode("utf-8", "surrogateescape")
    with redis_server.client() as client:
        for key in list(client.scan_iter()):
            for other in (raw, b"axb", b"abc"):
                client.copy(key, key.replace(b"plain", other))
        options = {**DEFAULTS, **redis_server.login(), "queue": name, "state": "empty"}
        assert control_queue(options, check_mode=True)["removed"] == {"waiting": 3}
        assert control_queue(options, check_mode=False)["removed"] == {"waiting": 3}
        assert client.exists(*(b"bull:" + raw + suffix for suffix in (b":wait", b":1", b":2", b":3"))) == 0
        assert client.llen("bull:plain:wait") == client.llen("bull:axb:wait") == client.llen("bull:abc:wait") == 3


def test_missing_permissions_are_named_before_anything_is_touched(modern: Work) -> None:
    modern.node.ask("add", jobs=jobs(3))
    modern.server.cli("ACL", "SETUSER", "clerk", "on", ">pw", "~bull:*", "+@all", "-unlink", "-lrem")
    login = {"login_user": "clerk", "login_password": "pw"}
    message = refused(modern, **login)
    assert message.endswith("Grant: ACL SETUSER clerk +lrem +unlink")
    modern.server.cli("ACL", "SETUSER", "clerk", "+unlink", "+lrem")
    assert empty(modern, **login)["removed"] == {"waiting": 3}
    # A queue that may not be seen is not one that is not there.
    modern.node.ask("add", jobs=jobs(3))
    modern.server.cli("ACL", "SETUSER", "clerk", "resetkeys", "~celery*", "~_kombu*", "~rq:*", "~runbook.ops")
    assert "the ACL does not grant ~bull:mail:meta" in refused(modern, **login)
    assert "ACL SETUSER clerk ~bull:mail:" in refused(modern, system="bullmq", **login)
    modern.server.cli("ACL", "DELUSER", "clerk")


def test_a_full_server_can_be_paused_and_emptied(tmp_path: Path) -> None:
    with RedisServer() as server:
        for library in ("bull4", "bullmq5"):
            work = Work(server, library, tmp_path, library)
            work.node.ask("add", jobs=[*jobs(50), *jobs(3, 60, opts={"jobId": "x", "delay": 3_600_000})])
            with server.client() as client:
                client.set(work.key("2:lock"), "token")
                client.config_set("maxmemory", 1)
                assert work.module("paused")["after"]["paused"] is True
                assert work.module("resumed")["after"]["paused"] is False
                done = work.module("empty", states=["waiting", "delayed"])
                assert (done["removed"], len(done["kept"])) == ({"delayed": 1, "waiting": 49}, 1)
                client.config_set("maxmemory", 0)


# --- interruptions


def start_emptying(work: Work, **options: Any) -> subprocess.Popen[str]:
    arguments = work.arguments("empty", max_jobs=100_000, **options)
    process = subprocess.Popen(
        [sys.executable, "-m", "ansible_collections.runbook.ops.plugins.modules.redis_queue"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BUILD / "collections")},
    )
    assert process.stdin
    process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    process.stdin.close()
    process.stdin = None
    return process


@pytest.mark.parametrize("way", ["kill", "terminate"])
def test_an_interrupted_run_leaves_whole_jobs_and_goes_on(modern: Work, way: str) -> None:
    modern.node.ask("add", jobs=jobs(1))
    with modern.server.client() as client, client.pipeline(transaction=False) as pipe:
        for number in range(10, 20_010):
            pipe.hset(modern.key(str(number)), mapping={"name": "job", "data": "{}", "timestamp": 1, "opts": "{}"})
            pipe.lpush(modern.key("wait"), number)
        pipe.execute()
        process = start_emptying(modern, batch_size=1)
        assert wait_until(lambda: client.llen(modern.key("wait")) < 19_900, 30, pause=0.001)
        getattr(process, way)()
        output, error = process.communicate(timeout=300)
        left = client.llen(modern.key("wait"))
        assert 0 < left < 20_000, error
        # As many jobs with data as there are entries.
        assert len(modern.data()) == left
        if way == "terminate":
            result = json.loads(output)
            assert result["msg"] == (
                f"Stopped by signal SIGTERM. By then {20_001 - left} jobs of queue mail had been removed with all "
                "keys; what is left is whole. Run the task again: it goes on from there."
            )
            assert result["removed"]["waiting"] == 20_001 - left
    assert modern.module("empty", max_jobs=100_000)["removed"] == {"waiting": left}
    assert modern.keys("bull:mail:[0-9]*") == set()


def test_live_workers_meanwhile_execute_each_job_once_or_not_at_all(work: Work) -> None:
    work.node.ask("add", jobs=[*jobs(600, milliseconds=50), *jobs(100, 600, opts={"priority": 2})])
    with work.worker(concurrency=4):
        assert wait_until(lambda: len(work.executed()) >= 20, 30)
        done = work.module("empty", batch_size=10)
        assert not done.get("failed"), done
        assert wait_until(
            lambda: (
                sum(work.module("empty", check_mode=True)["before"]["counts"][each] for each in ("waiting", "active"))
                == 0
            ),
            30,
        )
    executed = work.executed()
    assert len(executed) == len(set(executed))
    # None was executed without its data, and none is in limbo.
    assert all(each is not None for each in executed)
    counts = work.node.ask("counts")
    assert (counts["completed"], counts["failed"]) == (len(executed), 0)
    assert done["removed"]["waiting"] + len(executed) == 700


def test_on_a_cluster_only_what_is_in_one_slot_is_touched() -> None:
    with RedisCluster(primaries=3, replicas=0) as cluster, cluster.client() as client:
        for prefix in ("bull", "{bull}"):
            client.hset(f"{prefix}:mail:meta", "version", "bullmq:5.81.5")
            for number in range(250):
                client.hset(f"{prefix}:mail:{number}", mapping={"name": "job", "data": "{}", "timestamp": 1})
                client.lpush(f"{prefix}:mail:wait", number)
        # Any of the nodes will do.
        options = {**DEFAULTS, **cluster.primaries[1].login(), "queue": "mail"}
        for state in ("paused", "resumed", "empty"):
            with pytest.raises(Refused, match="keys are in different slots"):
                control_queue({**options, "state": state}, check_mode=False)
        assert client.hgetall("bull:mail:meta") == {b"version": b"bullmq:5.81.5"}
        assert client.llen("bull:mail:wait") == 250
        options["key_prefix"] = "{bull}"
        assert control_queue({**options, "state": "paused"}, check_mode=False)["paused"] is True
        assert client.llen("{bull}:mail:paused") == 250
        assert control_queue({**options, "state": "resumed"}, check_mode=False)["paused"] is False
        assert client.zscore("{bull}:mail:marker", "0") == 0
        done = control_queue({**options, "state": "empty"}, check_mode=False)
        assert done["removed"] == {"waiting": 250}
        assert client.exists("{bull}:mail:wait") == client.exists("{bull}:mail:7") == 0
        assert client.llen("bull:mail:wait") == 250


@pytest.mark.parametrize("delivered", [True, False])
def test_a_step_whose_answer_is_lost_is_not_sent_again(modern: Work, delivered: bool) -> None:
    modern.node.ask("add", jobs=jobs(5))
    with CutProxy(modern.server.port, b"EVALSHA", delivered=delivered, occurrence=3) as proxy:
        lost = modern.module("empty", login_port=proxy.port, batch_size=2)
        assert lost["failed"] is True
        assert "Whether the last step (remove) was carried out is not known; it was not sent again" in lost["msg"]
        assert "By then 2 jobs of queue mail had been removed with all keys" in lost["msg"]
    left = int(modern.server.cli("LLEN", modern.key("wait")))
    assert (left, len(modern.data())) == ((1, 1) if delivered else (3, 3))
    assert modern.module("empty")["removed"] == {"waiting": left}


@pytest.mark.parametrize("library", ["bull4", "bullmq6"])
def test_every_version_of_the_server(server: RedisServer, library: str, tmp_path: Path) -> None:
    work = Work(server, library, tmp_path)
    ids = work.node.ask("add", jobs=[*jobs(4), *jobs(2, 10, opts={"delay": 3_600_000})])
    server.cli("SET", work.key(f"{ids[1]}:lock"), "token")
    for state in ("paused", "resumed"):
        assert work.module(state)["after"]["paused"] is (state == "paused")
    done = empty(work, "waiting", "delayed")
    assert (done["removed"], [each["examples"] for each in done["kept"]]) == ({"delayed": 2, "waiting": 3}, [[ids[1]]])
