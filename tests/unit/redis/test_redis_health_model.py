"""A server's health from its own words."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.collect import slow_command
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.latency import ping_facts
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.model import (
    SlowCommand,
    Snapshot,
    clients_facts,
    cluster_facts,
    config_facts,
    eviction_risk,
    exposed,
    health,
    hit_facts,
    memory_facts,
    notes,
    persistence_facts,
    persistence_kind,
    replication_facts,
    server_facts,
    slowlog_facts,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.health.report import wishes_from
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import (
    databases_of,
    integer,
    loading_reason,
    number,
    parse_info,
    percent,
    version_of,
)

MEGABYTE = 1024 * 1024


def test_parse_info() -> None:
    reply = (
        b"# Server\r\nredis_version:7.0.15\r\nos:Linux: 6\r\n\r\n# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=1500\r\n"
    )
    values = parse_info(reply)
    assert values == {"redis_version": "7.0.15", "os": "Linux: 6", "db0": "keys=2,expires=1,avg_ttl=1500"}
    assert databases_of(values) == [{"db": 0, "keys": 2, "expires": 1, "avg_ttl_seconds": 1.5}]


def test_parse_info_survives_foreign_bytes() -> None:
    assert parse_info(b"executable:/tmp/\xff\r\n") == {"executable": "/tmp/\ufffd"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [({"x": "7"}, 7), ({"x": "-1"}, -1), ({"x": "7.5"}, None), ({"x": ""}, None), ({}, None)],
)
def test_integer(values: dict[str, str], expected: int | None) -> None:
    assert integer(values, "x") == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1.5", 1.5), ("nan", None), ("-nan", None), ("inf", None), ("?", None)]
)
def test_number_is_never_nan(text: str, expected: float | None) -> None:
    assert number({"x": text}, "x") == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"), [(1, 3, 33.33), (0, 5, 0.0), (0, 0, None), (None, 5, None), (5, None, None)]
)
def test_percent(part: float | None, whole: float | None, expected: float | None) -> None:
    assert percent(part, whole) == expected


def test_a_fork_names_its_own_version() -> None:
    assert version_of({"redis_version": "7.2.4", "valkey_version": "8.1.1"}) == "8.1.1"


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"used_memory": "50", "maxmemory": "200"}, {"limited": True, "maxmemory_bytes": 200, "used_percent": 25.0}),
        # Buffers of replicas and of the AOF do not count for eviction.
        (
            {"used_memory": "50", "maxmemory": "200", "mem_not_counted_for_evict": "10"},
            {"limited": True, "used_percent": 20.0},
        ),
        ({"used_memory": "50", "maxmemory": "0"}, {"limited": False, "maxmemory_bytes": None, "used_percent": None}),
        ({}, {"limited": None, "used_percent": None, "used_bytes": None, "fragmentation_meaningful": None}),
        (
            {"used_memory": "916288", "mem_fragmentation_ratio": "7.85"},
            {"fragmentation_meaningful": False, "fragmentation_ratio": None},
        ),
        (
            {"used_memory": str(100 * MEGABYTE), "mem_fragmentation_ratio": "1.62"},
            {"fragmentation_meaningful": True, "fragmentation_ratio": 1.62},
        ),
        ({"used_memory_rss": "30", "total_system_memory": "120"}, {"system_percent": 25.0}),
    ],
)
def test_memory(info: dict[str, str], expected: dict[str, Any]) -> None:
    facts = memory_facts(info)
    assert {name: facts[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("info", "config", "percent_used"),
    [
        ({"connected_clients": "50", "maxclients": "200"}, {}, 25.0),
        ({"connected_clients": "50"}, {"maxclients": "100"}, 50.0),
        ({"connected_clients": "50"}, {}, None),
    ],
)
def test_clients(info: dict[str, str], config: dict[str, str], percent_used: float | None) -> None:
    assert clients_facts(info, config)["used_percent"] == percent_used


@pytest.mark.parametrize(
    ("info", "config", "expected"),
    [
        # The status reads ok before there has been any snapshot.
        (
            {
                "rdb_last_bgsave_status": "ok",
                "rdb_last_save_time": "900",
                "rdb_last_bgsave_time_sec": "-1",
                "rdb_changes_since_last_save": "5",
                "aof_enabled": "0",
            },
            {"save": "3600 1"},
            {
                "rdb_saved_since_start": False,
                "rdb_last_save_age_seconds": 100,
                "rdb_unsaved_seconds": 100,
                "kind": "rdb",
            },
        ),
        (
            {"rdb_last_save_time": "900", "rdb_changes_since_last_save": "0", "rdb_last_bgsave_time_sec": "2"},
            {"save": "3600 1"},
            {"rdb_saved_since_start": True, "rdb_unsaved_seconds": 0, "rdb_last_duration_seconds": 2, "kind": None},
        ),
        (
            {"rdb_last_save_time": "900", "rdb_changes_since_last_save": "5", "aof_enabled": "0"},
            {"save": ""},
            {"rdb_enabled": False, "rdb_unsaved_seconds": None, "kind": "none"},
        ),
        ({"aof_enabled": "1"}, {}, {"rdb_enabled": None, "kind": "aof", "aof_enabled": True}),
        ({}, {}, {"kind": None, "rdb_unsaved_seconds": None, "rdb_last_status": None, "loading": None}),
    ],
)
def test_persistence(info: dict[str, str], config: dict[str, str], expected: dict[str, Any]) -> None:
    facts = persistence_facts(Snapshot(info=info, config=config, server_time=1000.0))
    assert {name: facts[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("pings", "refusal", "refused"),
    [([0.001], None, False), ([0.001], "Redis is configured to save", True), ([], None, None)],
)
def test_writes_refused(pings: list[float], refusal: str | None, refused: bool | None) -> None:
    facts = persistence_facts(Snapshot(ping_seconds=pings, write_refusal=refusal))
    assert (facts["writes_refused"], facts["writes_refused_reason"]) == (refused, refusal)


@pytest.mark.parametrize(
    ("rdb", "aof", "kind"),
    [
        (True, True, "rdb+aof"),
        (False, True, "aof"),
        (None, True, "aof"),
        (True, False, "rdb"),
        (False, False, "none"),
        (None, False, None),
        (False, None, None),
    ],
)
def test_persistence_kind(rdb: bool | None, aof: bool | None, kind: str | None) -> None:
    assert persistence_kind(rdb, aof) == kind


def test_a_masters_replicas() -> None:
    facts = replication_facts(
        {
            "role": "master",
            "connected_slaves": "1",
            "master_repl_offset": "500",
            "slave0": "ip=10.0.0.2,port=6379,state=online,offset=480,lag=1",
            "slave_read_only": "1",
        }
    )
    assert facts["role"] == "master"
    assert facts["replicas"] == [{"address": "10.0.0.2:6379", "state": "online", "lag_seconds": 1, "lag_bytes": 20}]
    assert (facts["master"], facts["lag_seconds"], facts["link_status"]) == (None, None, None)


def test_a_replica_without_its_master() -> None:
    facts = replication_facts(
        {
            "role": "slave",
            "master_host": "10.0.0.1",
            "master_port": "6379",
            "master_link_status": "down",
            "master_last_io_seconds_ago": "-1",
            "master_link_down_since_seconds": "42",
        }
    )
    assert (facts["role"], facts["master"], facts["link_status"]) == ("replica", "10.0.0.1:6379", "down")
    assert (facts["lag_seconds"], facts["link_down_seconds"]) == (None, 42)


@pytest.mark.parametrize(
    ("info", "later", "hit_percent", "basis"),
    [
        ({"keyspace_hits": "80", "keyspace_misses": "20"}, None, 80.0, "lifetime"),
        ({"keyspace_hits": "0", "keyspace_misses": "0"}, None, None, "lifetime"),
        # Good for years, bad now: only the difference shows it.
        (
            {"keyspace_hits": "999900", "keyspace_misses": "100"},
            {"keyspace_hits": "999910", "keyspace_misses": "130"},
            25.0,
            "sample",
        ),
        (
            {"keyspace_hits": "9", "keyspace_misses": "1"},
            {"keyspace_hits": "9", "keyspace_misses": "1"},
            None,
            "sample",
        ),
        ({"keyspace_hits": "9", "keyspace_misses": "1"}, {"keyspace_hits": "0", "keyspace_misses": "0"}, None, None),
        ({}, None, None, None),
    ],
)
def test_hits(info: dict[str, str], later: dict[str, str] | None, hit_percent: float | None, basis: str | None) -> None:
    facts = hit_facts(info, later)
    assert (facts["hit_percent"], facts["hit_basis"]) == (hit_percent, basis)


def test_slow_commands_lose_their_arguments() -> None:
    entry = [7, 1700000000, 1500000, [b"SET", b"customer:7", b"4111111111111111"], b"10.0.0.9:555", b""]
    assert slow_command(entry) == SlowCommand("SET", 1.5, 1700000000.0)
    entry[3] = [b"CONFIG", b"SET", b"requirepass", b"hunter2"]
    assert slow_command(entry).command == "CONFIG SET"


def test_slowlog() -> None:
    now = 1_000_000.0
    entries = [
        SlowCommand("KEYS", 2.5, now - 60),
        SlowCommand("KEYS", 0.5, now - 30),
        SlowCommand("EVAL", 9.0, now - 90000),
    ]
    snapshot = Snapshot(
        config={"slowlog-log-slower-than": "10000"}, server_time=now, slowlog_length=50, slowlog=entries
    )
    facts = slowlog_facts(snapshot)
    assert facts["slowest_last_day_seconds"] == 2.5
    assert (facts["last_day_count"], facts["entries_read"], facts["length"], facts["truncated"]) == (2, 3, 50, True)
    assert facts["threshold_seconds"] == 0.01
    assert facts["commands"] == [
        {"command": "EVAL", "count": 1, "slowest_seconds": 9.0, "last_age_seconds": 90000},
        {"command": "KEYS", "count": 2, "slowest_seconds": 2.5, "last_age_seconds": 30},
    ]


@pytest.mark.parametrize(
    ("config", "slowlog", "slowest"),
    [
        ({"slowlog-log-slower-than": "10000"}, [], 0.0),
        # A log that is switched off, or that we may not read, says nothing.
        ({"slowlog-log-slower-than": "-1"}, [], None),
        ({}, None, None),
    ],
)
def test_no_slow_commands(config: dict[str, str], slowlog: list[SlowCommand] | None, slowest: float | None) -> None:
    assert slowlog_facts(Snapshot(config=config, slowlog=slowlog))["slowest_last_day_seconds"] == slowest


@pytest.mark.parametrize(
    ("policy", "maxmemory", "queues", "risk"),
    [
        ("allkeys-lru", "100", True, "any"),
        ("allkeys-lru", "100", False, "none"),
        ("allkeys-lru", "0", True, "none"),
        ("volatile-ttl", "100", True, "expiring"),
        ("noeviction", "100", True, "none"),
    ],
)
def test_eviction_risk(policy: str, maxmemory: str, queues: bool, risk: str) -> None:
    assert eviction_risk({"maxmemory_policy": policy, "maxmemory": maxmemory}, queues) == risk


def test_eviction_risk_is_unknown_without_info() -> None:
    assert eviction_risk({}, True) is None


@pytest.mark.parametrize(
    ("auth", "bind", "protected", "open_to_all"),
    [
        (False, "* -::*", False, True),
        (False, "127.0.0.1 -::1", False, False),
        (False, "* -::*", True, False),
        (False, "", False, True),
        (False, "10.0.0.5", False, True),
        (True, "*", False, False),
        (True, None, None, False),
        (None, "*", False, None),
        (False, None, None, None),
    ],
)
def test_exposed(auth: bool | None, bind: str | None, protected: bool | None, open_to_all: bool | None) -> None:
    assert exposed(auth, bind, protected) is open_to_all


@pytest.mark.parametrize(
    ("info", "keys", "kind", "present", "lost"),
    [
        ({"cmdstat_brpop": "calls=7,usec=3"}, [], "none", True, True),
        ({"cmdstat_bzpopmin": "calls=7,usec=3"}, [], "aof", True, False),
        ({"redis_version": "7"}, ["_kombu.binding.celery"], "none", True, True),
        ({"redis_version": "7"}, [], "none", False, False),
        ({"redis_version": "7"}, [], None, False, None),
        ({}, [], "none", None, None),
    ],
)
def test_queues_and_persistence(
    info: dict[str, str], keys: list[str], kind: str | None, present: bool | None, lost: bool | None
) -> None:
    facts = config_facts(Snapshot(info=info, queue_keys=keys), kind)
    assert (facts["queues_present"], facts["jobs_not_persisted"]) == (present, lost)


def test_a_node_of_a_cluster() -> None:
    said = {
        **{"cluster_state": "fail", "cluster_slots_assigned": "16380", "cluster_slots_ok": "10000"},
        **{"cluster_slots_pfail": "380", "cluster_slots_fail": "6000", "cluster_known_nodes": "6", "cluster_size": "3"},
    }
    assert cluster_facts({"cluster_enabled": "1"}, said) == {
        "enabled": True,
        "state": "fail",
        "slots_assigned_count": 16380,
        "slots_ok_count": 10000,
        "slots_suspected_count": 380,
        "slots_failed_count": 6000,
        "slots_unserved_count": 4,
        "nodes_count": 6,
        "primaries_count": 3,
    }


@pytest.mark.parametrize(("info", "enabled"), [({"cluster_enabled": "0"}, False), ({}, None)])
def test_no_cluster(info: dict[str, str], enabled: bool | None) -> None:
    facts = cluster_facts(info, {})
    assert facts.pop("enabled") is enabled
    assert set(facts.values()) == {None}


@pytest.mark.parametrize(
    ("cluster", "primaries"),
    [({"cluster_size": "3"}, " with 3 primaries"), ({"cluster_size": "1"}, " with 1 primary"), ({}, "")],
)
def test_the_figures_are_one_nodes(cluster: dict[str, str], primaries: str) -> None:
    snapshot = Snapshot(info={"cluster_enabled": "1"}, cluster=cluster, where="r:1")
    assert notes(snapshot) == [
        f"r:1 is one node of a Redis Cluster{primaries}; apart from section cluster the figures are its own. "
        "Measure every node."
    ]
    assert notes(Snapshot(info={"cluster_enabled": "0"})) == []


def test_latency() -> None:
    assert ping_facts([0.001, 0.009, 0.002]) == {
        "samples_count": 3,
        "ping_min_milliseconds": 1.0,
        "ping_median_milliseconds": 2.0,
        "ping_max_milliseconds": 9.0,
    }
    assert ping_facts([])["ping_median_milliseconds"] is None


def test_clock_skew_has_no_sign() -> None:
    assert server_facts(Snapshot(server_time=1000.0, local_time=1061.5))["clock_skew_seconds"] == 61.5
    assert server_facts(Snapshot(server_time=1000.0))["clock_skew_seconds"] is None


def test_nothing_readable_is_all_unknown_and_never_zero() -> None:
    def leaves(value: Any) -> Any:
        if isinstance(value, dict):
            for each in value.values():
                yield from leaves(each)
        elif not isinstance(value, list):
            yield value

    facts = health(Snapshot())
    facts["latency"].pop("samples_count")
    assert set(leaves(facts)) == {None}


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        (
            {"loading_loaded_perc": "37.42", "loading_eta_seconds": "12"},
            "Redis at r:1 is still loading its data set (37 %, about 12 s left) and answers nothing yet.",
        ),
        ({}, "Redis at r:1 is still loading its data set and answers nothing yet."),
    ],
)
def test_loading(info: dict[str, str], sentence: str) -> None:
    assert loading_reason("r:1", info) == sentence


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("slowlog_entries", -1, "slowlog_entries: -1 is not accepted. Accepted: a number from 0 to 10000."),
        ("ping_samples", 0, "ping_samples: 0 is not accepted. Accepted: a number from 1 to 100."),
        ("sample_seconds", 301.0, "sample_seconds: 301.0 is not accepted. Accepted: a number from 0 to 300."),
    ],
)
def test_bad_wishes(name: str, value: float, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        wishes_from({"slowlog_entries": 1, "ping_samples": 1, "sample_seconds": 0.0, name: value})
    assert caught.value.message == message
