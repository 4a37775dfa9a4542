"""What redis_queue accepts, whose queue it takes one for, what it leaves alone, and what it says. No server."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.bull.library import Signs
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.bull_identity import (
    identify,
    parse_version,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.bull_keeping import (
    BUSY,
    EXPECTED,
    LOCKED,
    ODD,
    OWN,
    SCHEDULE,
    WHY,
    Entry,
    Removal,
    why_kept,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.request import request_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.queue.control.result import result_of
from ansible_collections.runbook.ops.plugins.modules import redis_queue

DEFAULTS = {name: each.get("default") for name, each in redis_queue.argument_spec().items()}


def request(**options: Any) -> Any:
    return request_from({**DEFAULTS, "queue": "mail", "state": "empty", **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queue": ""}, "queue: '' is not accepted. Accepted: the name of a queue."),
        ({"max_jobs": 0}, "max_jobs: 0 is not accepted. Accepted: a number of at least 1."),
        ({"limit": 0}, "limit: 0 is not accepted. Accepted: a number of at least 1."),
        ({"batch_size": 101}, "batch_size: 101 is not accepted. Accepted: a number from 1 to 100."),
        ({"wait_active": "1m"}, "wait_active: '1m' is not accepted. Accepted: only with state paused."),
        ({"state": "paused", "limit": 3}, "limit: 3 is not accepted. Accepted: only with state empty."),
        ({"states": []}, "states: [] is not accepted. Accepted: at least one state."),
        ({"separator": ""}, "separator: '' is not accepted. Accepted: at least one character."),
        (
            {"min_age": "soon"},
            "min_age: 'soon' is not accepted. Accepted: a whole number of seconds, or amounts with w, d, h, m, s, "
            "largest first, such as 1h30m or 7d.",
        ),
        (
            {"priority_steps": [3, 0]},
            "priority_steps: [3, 0] is not accepted. Accepted: numbers from 0 upwards, each larger than the one "
            "before.",
        ),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as error:
        request(**options)
    assert error.value.message == message


def test_active_jobs_are_never_removed() -> None:
    with pytest.raises(Refused, match=r"^Active jobs are with workers, .* their library puts jobs back"):
        request(states=["waiting", "active"])


def test_what_is_asked() -> None:
    asked = request(states=["completed", "waiting", "waiting"], min_age="2h", key_prefix="{bull}", system="bull")
    assert (asked.states, asked.system, asked.target.prefix) == (("waiting", "completed"), "bull", b"{bull}")
    assert (asked.target.options["min_age"], asked.target.options["priority_steps"]) == (7200, (0, 3, 6, 9))
    assert request(state="paused", wait_active="5m").wait_active == 300


BULL = Signs({"id": "string", "meta-paused": "string"})
FIVE = Signs({"meta": "hash", "events": "stream"}, version="bullmq:5.81.5")
SOME = Signs({"meta": "hash", "events": "stream"})
BOTH = Signs({"events": "stream", "meta-paused": "string"})
NONE = Signs({})


@pytest.mark.parametrize(
    ("signs", "system", "version", "expected"),
    [
        (BULL, None, None, ("bull", None)),
        (BULL, None, "4.16.5", ("bull", 4)),
        (BULL, "bullmq", "3", ("bullmq", 3)),
        (FIVE, None, None, ("bullmq", 5)),
        (FIVE, None, "5", ("bullmq", 5)),
        (FIVE, "bullmq", None, ("bullmq", 5)),
        (SOME, None, None, ("bullmq", None)),
        (SOME, None, "4.2.0", ("bullmq", 4)),
        (SOME, "bull", "4", ("bull", 4)),
        (BOTH, "bull", None, ("bull", None)),
        (BOTH, "bullmq", "3", ("bullmq", 3)),
        (NONE, None, None, None),
        (NONE, None, "4", None),
        (NONE, "bullmq", None, None),
        (NONE, "bullmq", "v6.7.0", ("bullmq", 6)),
        (NONE, "bull", None, ("bull", None)),
    ],
)
def test_whose_queue_it_is(signs: Signs, system: str | None, version: str | None, expected: Any) -> None:
    found = identify("bull:mail", signs, system=system, version=version)
    assert (found and (found.system, found.major)) == expected


@pytest.mark.parametrize(
    ("signs", "system", "version", "message"),
    [
        (
            BOTH,
            None,
            None,
            "bull:mail has keys of Bull (meta-paused) and of BullMQ (it has events and does not name its ",
        ),
        (FIVE, "bull", None, "bull:mail is not a queue of Bull: its meta says BullMQ 5.81.5."),
        (FIVE, None, "4", "bull:mail says that it is BullMQ 5.81.5, the task that it is 4. Correct library_version."),
    ],
)
def test_contradictions(signs: Signs, system: str | None, version: str | None, message: str) -> None:
    with pytest.raises(Refused) as error:
        identify("bull:mail", signs, system=system, version=version)
    assert error.value.message.startswith(message)


@pytest.mark.parametrize("text", ["five", "", "5.", "2.1", "7.0.0", "5;", "٥"])
def test_versions_that_do_not_exist(text: str) -> None:
    with pytest.raises(InvalidOption, match="the version of Bull"):
        parse_version(text)


def test_bull_has_no_sixth_version() -> None:
    with pytest.raises(InvalidOption, match=r"a version of bull: 3, 4\.$"):
        identify("bull:mail", BULL, system="bull", version="6")


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (Entry(b"17"), None),
        (Entry(b"17", kind="none"), None),
        (Entry(b"17", kind="none", expected=True, scheduled=True), None),
        (Entry(b"meta"), OWN),
        (Entry(b"repeat:nightly", is_schedule=True), OWN),
        (Entry(b"17", busy=True, locked=True), BUSY),
        (Entry(b"17", kind="string"), ODD),
        (Entry(b"17", kind="unknown"), ODD),
        (Entry(b"17", locked=True), LOCKED),
        (Entry(b"repeat:nightly:1", scheduled=True), SCHEDULE),
        (Entry(b"17", parent=b"bull:whole:1", expected=True), EXPECTED),
    ],
)
def test_what_stays(entry: Entry, kind: str | None) -> None:
    assert why_kept(entry) == kind


def test_what_stays_is_counted_by_reason_with_few_examples() -> None:
    removal = Removal()
    removal.take("waiting", [Entry(b"1"), Entry(b"2", kind="none")])
    for number in range(7):
        removal.keep("delayed", LOCKED, b"%d\xff" % number)
    assert (removal.jobs, removal.ghosts, removal.total) == ({"waiting": 2}, 1, 2)
    (kept,) = removal.kept()
    assert (kept["state"], kept["reason"], kept["jobs"]) == ("delayed", WHY[LOCKED][0], 7)
    assert kept["examples"] == ["0\\xff", "1\\xff", "2\\xff", "3\\xff", "4\\xff"]


def test_the_result_of_check_mode_foretells_the_figures() -> None:
    found = {"library": "BullMQ 5.81.5", "paused": False, "counts": {"waiting": 7, "failed": 2, "blocked": None}}
    result = result_of(
        request(),
        found,
        system="bullmq",
        actions=[{"action": "remove", "queue": "mail", "state": "waiting", "jobs": 5}],
        removed={"waiting": 5, "failed": 0},
    )
    assert (result["changed"], result["after"], result["removed"]) == (True, None, {"waiting": 5})
    assert result["diff"] == {
        "before": "paused: false\nwaiting: 7\nfailed: 2\n",
        "after": "paused: false\nwaiting: 2\nfailed: 2\n",
    }
    paused = result_of(request(state="paused"), found, system="bullmq", actions=[{"action": "pause", "queue": "mail"}])
    assert (paused["paused"], paused["before"]["paused"]) == (True, False)
    unknown = result_of(request(), {**found, "paused": None}, system="celery", actions=())
    assert unknown["diff"]["after"].startswith("paused: unknown\n")
