"""What redis_key may touch and how it says so: pure code, exact words."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.plan import (
    Key,
    Plan,
    check_plan,
    planned,
    shown_group,
    to_measure,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.protect import (
    ancestors,
    own_reason,
    sidekiq_table,
    wished_reason,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import (
    KeyRequest,
    Pattern,
    glob,
    literal,
    literal_beginning,
    request_from,
)
from ansible_collections.runbook.ops.plugins.modules import redis_key


def request(**given: Any) -> KeyRequest:
    defaults = {name: spec.get("default") for name, spec in redis_key.argument_spec().items()}
    return request_from({**defaults, "state": "absent", **given})


ANYTHING = glob("pattern", b"*x*")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "pattern: [] is not accepted. Accepted: at least one name in keys, or one pattern."),
        ({"pattern": [""]}, "pattern: [''] is not accepted. Accepted: at least one name in keys, or one pattern."),
        *(
            (
                {"pattern": [wild]},
                f"pattern: {wild!r} is not accepted. Accepted: a pattern that spells out at least one letter or digit, "
                "such as cache:*.",
            )
            for wild in ("*", "**", "?*", "*:*", "[a-z]*", "[^x]*", "{*}", "*_*")
        ),
        (
            {"pattern": ["a:*"], "state": "expiring"},
            "ttl: None is not accepted. Accepted: with state=expiring a duration such as 1h.",
        ),
        ({"pattern": ["a:*"], "ttl": "1h"}, "ttl: '1h' is not accepted. Accepted: only with state=expiring."),
        (
            {"pattern": ["a:*"], "state": "expiring", "ttl": "soon"},
            "ttl: 'soon' is not accepted. Accepted: a whole number of seconds, or amounts with w, d, h, m, s, largest "
            "first, such as 1h30m or 7d.",
        ),
        (
            {"pattern": ["a:*"], "ttl_spread": 101},
            "ttl_spread: 101 is not accepted. Accepted: a number of percent from 0 to 100.",
        ),
        (
            {"pattern": ["a:*"], "max_affected": 0},
            "max_affected: 0 is not accepted. Accepted: a number from 1 to 10000000.",
        ),
        (
            {"pattern": ["a:*"], "limit": 1001},
            "limit: 1001 is not accepted. Accepted: a number from 1 to max_affected (1000).",
        ),
        (
            {"pattern": ["a:*"], "max_seconds": 0.0},
            "max_seconds: 0.0 is not accepted. Accepted: a number greater than 0.",
        ),
    ],
)
def test_options_that_cannot_work(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as failure:
        request(**given)
    assert failure.value.message == message


@pytest.mark.parametrize("pattern", ["cache:*", "*cart*", "\\*", "a", "키:*", "[ab]c*"])
def test_patterns_that_say_something(pattern: str) -> None:
    assert len(request(pattern=[pattern]).patterns) == 1


def test_an_exact_name_comes_before_a_pattern() -> None:
    asked = request(keys=["a:*"], pattern=["a:*", "a:*"])
    assert len(asked.patterns) == 1
    assert asked.pattern_of(b"a:*") == asked.keys[0]
    assert asked.pattern_of(b"a:1") == asked.patterns[0]
    assert asked.pattern_of(b"b") is None


@pytest.mark.parametrize(
    ("pattern", "spelled", "beginning"),
    [
        (b"cache:*", b"cache:", b"cache:"),
        (b"*:cart", b":cart", b""),
        (b"a\\*b*", b"a*b", b"a*b"),
        (b"a[xy]b?c", b"abc", b"a"),
    ],
)
def test_what_a_pattern_spells_out(pattern: bytes, spelled: bytes, beginning: bytes) -> None:
    assert (literal(pattern), literal_beginning(pattern)) == (spelled, beginning)


def test_times_to_live_are_spread_and_stay_the_same() -> None:
    asked = request(pattern=["a:*"], state="expiring", ttl="1000s", ttl_spread=20)
    given = [asked.ttl_milliseconds(f"a:{number}".encode()) for number in range(1000)]
    assert given == [asked.ttl_milliseconds(f"a:{number}".encode()) for number in range(1000)]
    assert 1_000_000 <= min(given) < 1_010_000
    assert 1_190_000 < max(given) <= 1_200_000
    even = request(pattern=["a:*"], state="expiring", ttl="1000s", ttl_spread=0)
    assert {even.ttl_milliseconds(f"a:{number}".encode()) for number in range(10)} == {1_000_000}


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (b"bull:mail:7", "Bull and BullMQ"),
        (b"{bull}:mail:7", "Bull and BullMQ"),
        (b"{bull-a}:mail:7", "Bull and BullMQ"),
        (b"bullet:1", None),
        (b"app:bull", None),
        (b"_kombu.binding.celery", "binding tables"),
        (b"shop-_kombu.binding.celery", "binding tables"),
        (b"_kombu.binding_permanent.x", "binding tables"),
        (b"unacked", "taken and not finished"),
        (b"shop:unacked_index", "taken and not finished"),
        (b"unacked_mutex", "taken and not finished"),
        (b"packed", None),
        (b"cache:unacked:1", None),
        (b"celery@host.celery.pidbox", "remote control"),
        (b"rq:job:1", "RQ"),
        (b"resque:queue:a", "Resque"),
        (b"dramatiq:default", "Dramatiq"),
        (b"arq:queue", "arq"),
        (b"queues:default", "Laravel"),
        (b"laravel_database_queues:default:reserved", "Laravel"),
        (b"celery-task-meta-1", "spell celery-task-meta-"),
        (b"app:celery-taskset-meta-1", "spell celery-task-meta-"),
        (b"cache:1", None),
        (b"bull:\nmail", "Bull and BullMQ"),
    ],
)
def test_names_of_queues(name: bytes, word: str | None) -> None:
    reason = own_reason(name, ANYTHING)
    assert (reason is None) if word is None else (reason is not None and word in reason)


def test_results_are_touched_when_they_are_meant() -> None:
    assert own_reason(b"celery-task-meta-1", glob("pattern", b"celery-task-meta-*")) is None
    assert own_reason(b"celery-task-meta-1", Pattern(b"celery-task-meta-1", exact=True)) is None
    assert own_reason(b"celery-task-meta-1", glob("pattern", b"celery-task-*")) is not None
    # Queues never are.
    assert own_reason(b"bull:a:1", glob("pattern", b"bull:a:*")) is not None


def test_wishes() -> None:
    assert wished_reason(b"a:1", (glob("protect", b"b*"), glob("protect", b"a:*"))) == "protect names it: a:*"
    assert wished_reason(b"c", (glob("protect", b"b*"),)) is None


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (b"queue:default", b"queues"),
        (b"app:queue:default", b"app:queues"),
        (b"retry", b"queues"),
        (b"app:dead", b"app:queues"),
        (b"stat:processed:2026-01-01", b"queues"),
        (b"host:12:0a1b2c", b"queues"),
        (b"host:12:0a1b2c:work", b"queues"),
        (b"retries", None),
        (b"queue", None),
        (b"statistics:1", None),
    ],
)
def test_names_that_may_be_sidekiqs(name: bytes, table: bytes | None) -> None:
    assert sidekiq_table(name) == table


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (b"plain", []),
        (b"a:b", []),
        (b"shop:mail:7", [(b"shop", b"mail")]),
        (b"shop:mail:7:lock", [(b"shop", b"mail"), (b"shop", b"mail:7")]),
        (b"a::b", [(b"a", b"")]),
    ],
)
def test_queues_that_a_key_could_belong_to(name: bytes, found: list[tuple[bytes, bytes]]) -> None:
    assert ancestors(name) == found


def test_a_name_of_colons_is_not_searched_without_end() -> None:
    assert len(ancestors(b"a" + b":a" * 1000)) == 8


@pytest.mark.parametrize(
    ("pattern", "name", "shown"),
    [
        (b"cache:*", b"cache:secret", "cache:"),
        (b"cache*", b"cachet:secret", "cachet:"),
        (b"s*", b"s3cr3t:x", "s*"),
        (b"*:cart", b"secret:cart", "*:cart"),
        (b"s*", b"secret", "s*"),
        (b"u7:*", b"u7:x", "u7:"),
        (b"a*", b"a" * 40 + b":x", "a*"),
    ],
)
def test_what_may_be_shown_of_a_name(pattern: bytes, name: bytes, shown: str) -> None:
    assert shown_group(name, glob("pattern", pattern)) == shown


def key(name: str, asked: KeyRequest, ttl: int = -1) -> Key:
    pattern = asked.pattern_of(name.encode())
    assert pattern is not None
    return Key(name.encode(), "string", ttl, pattern)


def filled(asked: KeyRequest, count: int) -> Plan:
    plan = Plan()
    for number in range(count):
        taken = key(f"a:{number}", asked, ttl=5000 if number % 2 else -1)
        plan.names[taken.pattern] = plan.names.get(taken.pattern, 0) + 1
        plan.take(taken, asked)
    return plan


def test_no_more_is_kept_than_may_be_touched() -> None:
    asked = request(pattern=["a:*"], max_affected=3)
    plan = filled(asked, 10)
    assert (len(plan.due), plan.figures()) == (3, {"matching": 10, "without_ttl": 5, "due": 10})
    asked = request(pattern=["a:*"], state="expiring", ttl="1h", limit=2)
    assert (len(filled(asked, 10).due), filled(asked, 10).due_count) == (2, 5)


def test_bytes_are_extrapolated_from_what_was_measured() -> None:
    asked = request(pattern=["a:*"])
    plan = filled(asked, 250)
    assert len(to_measure(plan.due)) == 100
    result = planned(plan, asked, dict.fromkeys(to_measure(plan.due), 80), "default")
    (action,) = result["actions"]
    assert (action["count"], action["bytes"], action["bytes_exact"]) == (250, 20_000, False)
    assert result["freed_bytes"] == 20_000
    unmeasured = planned(plan, asked, {}, "default")
    assert (unmeasured["actions"][0]["bytes"], unmeasured["freed_bytes"]) == (None, None)


def test_an_incomplete_plan_is_no_plan() -> None:
    asked = request(pattern=["a:*"])
    plan = filled(asked, 5)
    plan.complete, plan.incomplete_reason = False, "the scan stopped at max_keys (5) after 5 of 9 keys"
    with pytest.raises(Refused) as refusal:
        check_plan(plan, asked, planned(plan, asked, {}, "default"))
    assert refusal.value.message == (
        "Not all keys could be looked at, and nothing was touched: the scan stopped at max_keys (5) after 5 of 9 keys. "
        "Raise max_keys or max_seconds, or set limit to work on a part at a time."
    )
    assert refusal.value.details["changed"] is False
    limited = request(pattern=["a:*"], limit=5)
    check_plan(plan, limited, planned(plan, limited, {}, "default"))


def test_a_pattern_of_protected_keys_alone() -> None:
    asked = request(pattern=["a:*", "q:*"])
    plan = filled(asked, 2)
    for name in ("q:1", "q:2"):
        taken = key(name, asked)
        plan.names[taken.pattern] = plan.names.get(taken.pattern, 0) + 1
        plan.protect(taken, "it is the Celery queue q")
    with pytest.raises(Refused) as refusal:
        check_plan(plan, asked, planned(plan, asked, {}, "default"))
    assert refusal.value.message == (
        "Everything that the pattern 'q:*' means is protected, and nothing was touched: it is the Celery queue q. Jobs "
        "are removed with runbook.ops.redis_queue, which takes what belongs to them."
    )
    assert refusal.value.details["protected"] == [
        {"pattern": "q:*", "group": "q:", "count": 2, "reason": "it is the Celery queue q"}
    ]
