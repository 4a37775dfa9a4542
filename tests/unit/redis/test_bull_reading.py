"""Bull and BullMQ without a server: candidates, replies, states, workers, samples."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.queues.model import QueueFacts
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.absent import explain_absence
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.family import library_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.jobs import oldest, seconds_of, share, slices
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import Library, Signs
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.look import (
    HELD_BACK,
    Cutoffs,
    Look,
    look_commands,
    look_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.naming import QueueKeys
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.orphans import is_job
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.search import (
    MOST_BY_PREFIX,
    MOST_FOREIGN,
    Candidates,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.states import (
    count_jobs,
    n8n_note,
    read_switches,
    states_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.workers import base_of, workers_from

KEYS = QueueKeys(b"bull", b"mail")
BULL = Library("bull", None, None, "")


def bullmq(major: int | None) -> Library:
    return Library("bullmq", major, None, "")


# --- which keys


@pytest.mark.parametrize(
    ("prefix", "names", "expected"),
    [
        (None, [b"bull:a:meta", b"bull:a:id", b"bull:b:id"], [(b"bull", b"a"), (b"bull", b"b")]),
        (None, [b"bull:a:b:meta", b"{bull}:q:id"], [(b"bull", b"a:b"), (b"{bull}", b"q")]),
        (None, [b"bull:1", b"bull:mail:17", b"id", b":id", b"bull::id", b"meta"], []),
        (b"my:app", [b"my:app:q:meta", b"my:other:meta", b"my:app:meta"], [(b"my:app", b"q")]),
        (None, [b"bull:\xff*:id"], [(b"bull", b"\xff*")]),
    ],
)
def test_candidates(prefix: bytes | None, names: list[bytes], expected: list[tuple[bytes, bytes]]) -> None:
    candidates = Candidates(prefix)
    candidates.look(names)
    assert [(keys.prefix, keys.queue) for keys in candidates.all()] == expected
    assert candidates.notes() == []


def test_candidates_of_others_are_bounded() -> None:
    candidates = Candidates(None)
    candidates.look([b"user:%d:id" % number for number in range(MOST_BY_PREFIX + 5)])
    candidates.look([b"bull:%d:id" % number for number in range(MOST_FOREIGN + 1)])
    candidates.look([b"user:1:meta", b"tenant:q:id"])
    assert len(candidates.all()) == MOST_BY_PREFIX + MOST_FOREIGN + 2
    assert candidates.notes() == [
        "5 more keys like user:*:id or user:*:meta not taken for queues without a look; if they are Bull's, set "
        "key_prefix"
    ]
    candidates.look([b"t%d:q:id" % number for number in range(MOST_FOREIGN)])
    assert candidates.notes()[0].startswith("1001 more keys like *:*:id or *:*:meta")
    # With the prefix that was asked for there are no others.
    asked = Candidates(b"user")
    asked.look([b"user:%d:id" % number for number in range(MOST_BY_PREFIX + 5)])
    assert len(asked.all()) == MOST_BY_PREFIX + 5


# --- what the replies say


def reply(command: tuple[Any, ...], store: dict[tuple[str, bytes], Any]) -> Any:
    name, key = str(command[0]), bytes(command[1])
    empty: dict[str, Any] = {"TYPE": b"none", "LINDEX": None, "GETRANGE": b"", "PTTL": -2}
    if name == "HMGET":
        return store.get((name, key), [None] * (len(command) - 2))[: len(command) - 2]
    return store.get((name, key), empty.get(name, 0))


def look_of(store: dict[tuple[str, str], Any], failed_since: int | None = None) -> Look:
    commands = look_commands(KEYS, Cutoffs(1_700_000_000_000, failed_since))
    known = {(name, KEYS.key(suffix)): value for (name, suffix), value in store.items()}
    return look_from(KEYS, [reply(command, known) for command in commands])


def facts_of(look: Look, library: Library) -> QueueFacts:
    facts = QueueFacts("mail", library.system)
    count_jobs(facts, look, library)
    read_switches(facts, look, library)
    return facts


def test_delayed_jobs_are_overdue_some_seconds_after_their_time() -> None:
    commands = look_commands(KEYS, Cutoffs(1_700_000_000_000, 1_690_000_000_000))
    assert ("ZCOUNT", b"bull:mail:delayed", "-inf", 1_699_999_990_000 * 4096) in commands
    assert commands[-1] == ("ZCOUNT", b"bull:mail:failed", 1_690_000_000_000, "+inf")


@pytest.mark.parametrize(
    ("library", "states"),
    [
        (BULL, {"active", "completed", "delayed", "failed", "paused", "waiting"}),
        (bullmq(3), {"active", "completed", "delayed", "failed", "paused", "waiting", "waiting-children"}),
        (
            bullmq(5),
            {"active", "completed", "delayed", "failed", "paused", "prioritized", "waiting", "waiting-children"},
        ),
        (bullmq(6), {"active", "completed", "delayed", "failed", "prioritized", "waiting", "waiting-children"}),
    ],
)
def test_states(library: Library, states: set[str]) -> None:
    assert set(states_of(library)) == states
    assert set(states_of(bullmq(None))) == set(states_of(bullmq(5)))


@pytest.mark.parametrize(
    ("library", "store", "waiting", "states"),
    [
        (BULL, {("LLEN", "wait"): 3, ("LLEN", "paused"): 2}, 5, {"waiting": 3, "paused": 2}),
        (
            bullmq(5),
            {("LLEN", "wait"): 3, ("ZCARD", "prioritized"): 4},
            7,
            {"waiting": 3, "paused": 0, "prioritized": 4},
        ),
        # The word that wakes a worker of BullMQ 4 up is no job; in Bull it is one's id.
        (bullmq(4), {("LLEN", "wait"): 1, ("LINDEX", "wait"): b"0:1700"}, 0, {"waiting": 0}),
        (BULL, {("LLEN", "wait"): 1, ("LINDEX", "wait"): b"0:1700"}, 1, {"waiting": 1}),
        # BullMQ 6 has no such state, but an earlier version may have left jobs in it.
        (bullmq(6), {("LLEN", "wait"): 1, ("LLEN", "paused"): 2}, 3, {"waiting": 1, "paused": 2}),
    ],
)
def test_counts(library: Library, store: dict[tuple[str, str], Any], waiting: int, states: dict[str, int]) -> None:
    facts = facts_of(look_of(store), library)
    assert facts.counts["waiting"] == waiting
    assert {state: facts.states[state] for state in states} == states


def test_a_key_of_another_type_is_not_counted() -> None:
    wrong = Refusal("LLEN", "WRONGTYPE", "Operation against a key", "bull:mail:wait")
    facts = facts_of(look_of({("LLEN", "wait"): wrong, ("LLEN", "active"): 1}), BULL)
    assert (facts.counts["waiting"], facts.states["waiting"], facts.backlog) == (None, None, None)
    assert facts.notes == [
        "key bull:mail:wait is not what Bull keeps there, so its jobs cannot be counted; a job with the id 'wait' "
        "overwrites it"
    ]


def test_failures_within_a_time() -> None:
    facts = facts_of(look_of({("ZCARD", "failed"): 9, ("ZCOUNT", "failed"): 2}, failed_since=1), bullmq(5))
    assert (facts.counts["failed"], facts.states["failed"]) == (2, 9)


PAUSED = [b"1", None, None, None]


@pytest.mark.parametrize(
    ("library", "store", "paused", "notes"),
    [
        (BULL, {}, False, []),
        (BULL, {("TYPE", "meta-paused"): b"string", ("HMGET", "meta"): PAUSED}, True, []),
        (
            BULL,
            {("HMGET", "meta"): PAUSED},
            False,
            ["meta says that it is paused, but Bull's workers look at meta-paused, which is not there"],
        ),
        (bullmq(5), {("HMGET", "meta"): PAUSED, ("LLEN", "wait"): 1}, True, []),
        (
            bullmq(4),
            {("HMGET", "meta"): PAUSED, ("LLEN", "wait"): 1},
            True,
            ["it is paused, but 1 job in wait: workers of BullMQ 4 still fetch them"],
        ),
        (
            bullmq(6),
            {("HMGET", "meta"): PAUSED, ("LLEN", "paused"): 2},
            True,
            ["2 jobs in the list 'paused', from where no worker fetches until the queue is resumed"],
        ),
        (
            bullmq(5),
            {("HMGET", "meta"): [None, b"3", b"10", b"1000"]},
            False,
            [
                "at most 3 jobs run at once, over all workers (meta.concurrency)",
                "at most 10 jobs start in 1000 ms (meta.max, meta.duration)",
            ],
        ),
        (
            bullmq(5),
            {("PTTL", "limiter"): 1500, ("GETRANGE", "limiter"): b"4"},
            False,
            ["a rate limiter counts 4 jobs, for another 1.5 s"],
        ),
        (
            bullmq(5),
            {("PTTL", "limiter"): 90_000, ("GETRANGE", "limiter"): str(HELD_BACK).encode()},
            False,
            ["a worker has asked for a pause of all for another 90 s (rate limit)"],
        ),
    ],
)
def test_switches(library: Library, store: dict[tuple[str, str], Any], paused: bool, notes: list[str]) -> None:
    facts = facts_of(look_of(store), library)
    assert (facts.paused, facts.notes) == (paused, notes)


@pytest.mark.parametrize(
    ("types", "store", "asked_for", "system"),
    [
        ({"id": "string"}, {("GETRANGE", "id"): b"7"}, True, "bull"),
        # Somebody's user:17:id.
        ({"id": "string"}, {("GETRANGE", "id"): b"7"}, False, None),
        ({"id": "string"}, {("GETRANGE", "id"): b"7", ("LLEN", "wait"): 1}, False, "bull"),
        ({"id": "string"}, {("GETRANGE", "id"): b"no number"}, True, None),
        ({"meta": "string"}, {}, True, None),
        ({"meta": "hash", "events": "stream"}, {}, False, "bullmq"),
        ({}, {}, True, None),
        # A job of Bull with the id "id" has overwritten what tells.
        ({"id": "hash"}, {("LLEN", "wait"): 1}, True, "bull"),
        ({"id": "hash"}, {("LLEN", "wait"): 1}, False, None),
        ({"meta-paused": "string"}, {}, True, "bull"),
    ],
)
def test_what_is_a_queue(
    types: dict[str, str], store: dict[tuple[str, str], Any], asked_for: bool, system: str | None
) -> None:
    look = look_of(store)
    look.signs = Signs(types)
    library = library_of(look, asked_for)
    assert (library.system if library else None) == system


@pytest.mark.parametrize(
    ("library", "queue", "expected"), [(BULL, b"jobs", True), (BULL, b"mail", False), (bullmq(5), b"jobs", False)]
)
def test_n8n(library: Library, queue: bytes, expected: bool) -> None:
    assert bool(n8n_note(Look(QueueKeys(b"bull", queue), Signs({})), library)) is expected


# --- jobs


@pytest.mark.parametrize(
    ("length", "wanted", "ranges"),
    [
        (0, 10, []),
        (10, 0, []),
        (3, 10, [(0, 2)]),
        (10, 10, [(0, 9)]),
        (100, 1, [(99, 99)]),
        (100, 2, [(0, 0), (99, 99)]),
        (100, 6, [(0, 1), (34, 34), (66, 66), (98, 99)]),
    ],
)
def test_slices(length: int, wanted: int, ranges: list[tuple[int, int]]) -> None:
    assert slices(length, wanted) == ranges


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 5, 7, 10, 100, 1000])
def test_a_sample_has_the_size_that_was_asked_for(wanted: int) -> None:
    for length in (wanted + 1, wanted * 2, 10**6):
        positions = [place for first, last in slices(length, wanted) for place in range(first, last + 1)]
        assert len(positions) == len(set(positions)) == wanted
        assert sorted(positions) == positions
        assert positions[-1] == length - 1


@pytest.mark.parametrize(
    ("most", "together", "queues", "each"),
    [
        (1000, 20_000, 0, 1000),
        (1000, 20_000, 20, 1000),
        (1000, 20_000, 40, 500),
        (50_000, 20_000, 1, 50_000),
        (9, 20, 99, 1),
    ],
)
def test_share(most: int, together: int, queues: int, each: int) -> None:
    assert share(most, together, queues) == each


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"1700000000000", 1.7e9),
        (b"1.7e12", 1.7e9),
        (None, None),
        (b"", None),
        (b"nan", None),
        (b"inf", None),
        (b"-5", None),
        (b"0", None),
        (b"1e300", None),
        (b"tomorrow", None),
    ],
)
def test_seconds_of(value: bytes | None, seconds: float | None) -> None:
    assert seconds_of(value) == seconds


def test_oldest() -> None:
    assert oldest([None, 90.0, 95.0], 100.0) == 10.0
    assert oldest([110.0], 100.0) == 0.0
    assert oldest([None], 100.0) is None


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [
        (b"17", True),
        (b"my:id", True),
        (b"repeat:every-hour:1700000000000", True),
        (b"repeat:0123abcd:1700000000000", True),
        (b"repeat:every-hour", False),
        (b"repeat", False),
        (b"meta", False),
        (b"waiting-children", False),
        (b"17:lock", False),
        (b"17:logs", False),
        (b"17:dependencies", False),
        (b"17:processed", False),
        (b"de:abc", False),
        (b"metrics:failed:data", False),
        (b"limiter:group", False),
    ],
)
def test_is_job(suffix: bytes, expected: bool) -> None:
    assert is_job(suffix) is expected


# --- workers


def client(name: str, command: str, db: int = 0) -> str:
    return f"id=7 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=8 name={name} age=1 flags=b db={db} cmd={command} user=x"


MAIL = "bull:" + base64.b64encode(b"mail").decode()
ODD = "my:app:" + base64.b64encode("a:b 큐".encode()).decode()


@pytest.mark.parametrize(
    ("name", "base"),
    [
        (MAIL, b"bull:mail:"),
        (MAIL + ":w:first:w:x", b"bull:mail:"),
        (ODD, "my:app:a:b 큐:".encode()),
        (MAIL + ":qe", None),
        ("", None),
        ("celery", None),
        ("sidekiq:x", None),
        ("bull:", None),
        (":bWFpbA==", None),
    ],
)
def test_names_of_connections(name: str, base: bytes | None) -> None:
    assert base_of(name) == base


@pytest.mark.parametrize(
    ("lines", "system", "count"),
    [
        ([client(MAIL, "bzpopmin"), client(MAIL + ":w:two", "evalsha")], "bullmq", 2),
        # A producer of Bull 3 has the same name.
        ([client(MAIL, "evalsha"), client(MAIL, "brpoplpush")], "bull", 1),
        ([client(MAIL, "brpoplpush", db=1)], "bull", 0),
        ([], "bullmq", 0),
        ([client("", "bzpopmin")], "bullmq", None),
        ([client("", "bzpopmin"), client(MAIL, "bzpopmin")], "bullmq", 1),
        # Celery's and RQ's.
        ([client("", "brpop"), client("", "blpop")], "bullmq", 0),
        (["nonsense", ""], "bullmq", 0),
    ],
)
def test_workers(lines: list[str], system: str, count: int | None) -> None:
    assert workers_from("\n".join(lines), 0).of(KEYS.base, system) == count


# --- absent


ENDPOINT = Endpoint("redis:6379", 0, {"db0": "keys=5"}, dbsize=5)
BASE = (
    "Queue 'mail' of BullMQ does not exist in database 0 of redis:6379: "
    "there is neither bull:mail:meta nor bull:mail:id."
)


@pytest.mark.parametrize(
    ("there", "more"),
    [
        ({}, "No queue of Bull or BullMQ was found."),
        ({QueueKeys(b"bull", b"post"): bullmq(5)}, "Queues with key prefix 'bull': post."),
        (
            {QueueKeys(b"shop", b"mail"): BULL, QueueKeys(b"eu", b"x"): BULL},
            "Queue 'mail' of Bull is there with key prefix 'shop'. "
            "There are queues with key prefix 'eu', 'shop'; set key_prefix.",
        ),
        (
            {KEYS: BULL},
            "Queue 'mail' of Bull is there with key prefix 'bull'. Queues with key prefix 'bull': mail.",
        ),
    ],
)
def test_why_a_queue_is_missing(there: dict[QueueKeys, Library], more: str) -> None:
    queue = QueueFacts("mail", "bullmq", "bull", raw=b"mail", raw_prefix=b"bull", exists=False)
    assert explain_absence(queue, there, ENDPOINT, None) == f"{BASE} {more}"
