"""What the modules document is what they return: every figure, and no other."""

from __future__ import annotations

from typing import Any

import yaml

from ansible_collections.runbook.ops.plugins.module_utils.redis.health.config_reading import read_config_file
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import SlowCommand, Snapshot, health
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.plan import Key, Plan, planned
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.change.request import request_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.keys.groups.model import Grouping, GroupRequest, Sampled
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.modules import redis_health_info, redis_key, redis_key_info


def names(documented: dict[str, Any]) -> set[str]:
    return set(documented["contains"])


def test_redis_health_info() -> None:
    documented = yaml.safe_load(redis_health_info.RETURN)
    sections = documented["health"]["contains"]
    found = health(Snapshot(info={"redis_version": "7.0.0"}, slowlog=[SlowCommand("KEYS", 1.0, 0.0)]))
    assert set(sections) == set(found)
    assert {section: names(sections[section]) for section in sections} == {
        section: set(figures) for section, figures in found.items()
    }
    assert names(documented["config_file"]) == set(read_config_file(None, Settings(), {}, {}).facts)


def test_the_groups_of_redis_key_info() -> None:
    documented = yaml.safe_load(redis_key_info.RETURN)["groups"]
    grouping = Grouping(GroupRequest())
    grouping.add(Sampled(b"a:1", "string", 10, -1))
    facts = {**grouping.facts(1, exact=True), "unreadable_count": 0, "note": None}
    assert names(documented) == set(facts)
    assert names(documented["contains"]["entries"]) == set(facts["entries"][0])


def test_redis_key() -> None:
    documented = yaml.safe_load(redis_key.RETURN)
    defaults = {name: spec.get("default") for name, spec in redis_key.argument_spec().items()}
    request = request_from({**defaults, "state": "absent", "pattern": ["a:*"]})
    plan = Plan()
    plan.take(Key(b"a:1", "string", -1, request.patterns[0]), request)
    plan.protect(Key(b"a:2", "string", -1, request.patterns[0]), "a queue's")
    result = planned(plan, request, {}, "default")
    beside = {"endpoint", "notes", "skipped_sections", "slowest_step_seconds"}
    # Ansible documents changed itself.
    assert set(documented) == set(result) - {"changed"} | beside
    assert names(documented["actions"]) == set(result["actions"][0])
    assert names(documented["protected"]) == set(result["protected"][0])
    assert names(documented["before"]) == names(documented["after"]) == set(result["before"])
    assert names(documented["outcomes"]) == set(result["outcomes"])
