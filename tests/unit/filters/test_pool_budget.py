"""pool_budget: pools are configured per process, and a server has to serve their sum."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.runbook.ops.plugins.filter import pool_budget as documentation
from ansible_collections.runbook.ops.plugins.filter.pool_budget import pool_budget

# A server as installed: 100 connections, 3 of them for superusers.
INSTALLED: dict[str, Any] = {"max": 100, "usable": 97, "used": 0, "by_application": []}


def web(**more: Any) -> dict[str, Any]:
    return {"application": "web", "instances": 3, "pool_size": 10, "max_overflow": 20, **more}


def bouncer(**more: Any) -> dict[str, Any]:
    return {"pooler": "pgbouncer", "instances": 1, "pool_size": 20, **more}


def measured(**counts: int) -> dict[str, Any]:
    names = [{"name": name.replace("_", " ").strip(), "count": count} for name, count in counts.items()]
    return {**INSTALLED, "used": sum(counts.values()), "by_application": names}


@pytest.mark.parametrize(
    ("pools", "kept", "normal", "peak"),
    [
        ([], 0, 0, 0),
        ([web()], 30, 90, 90),
        # What the manual advises against exhausted connections.
        ([web(pool_size=20, max_overflow=40)], 60, 180, 180),
        ([web(surge_instances=1)], 30, 90, 120),
        ([web(instances_max=10)], 30, 90, 300),
        ([web(instances_max=10, surge_instances=3)], 30, 90, 390),
        # The ceiling counts only where it is one.
        ([web(instances_max=2)], 30, 90, 90),
        ([web(instances=0, instances_max=2)], 0, 0, 60),
        ([web(processes=4)], 120, 360, 360),
        # A prefork process does one thing at a time, however large its pool is.
        ([web(processes=4, concurrency=1)], 12, 12, 12),
        ([web(concurrency=16)], 30, 48, 48),
        ([web(concurrency=99)], 30, 90, 90),
        ([web(), web(application="worker", instances=4, processes=4, concurrency=1)], 46, 106, 106),
        # Numbers as templates and the environment give them.
        ([web(instances=" 3 ", pool_size="10")], 30, 90, 90),
        # Puma, 4 processes with 16 threads, and Rails with a pool for each thread.
        ([{"application": "puma", "instances": 1, "processes": 4, "pool_size": 16}], 64, 64, 64),
        # A pooler counts, and what goes through it does not.
        ([web(via="pgbouncer"), bouncer()], 20, 20, 20),
        ([web(via="pgbouncer"), web(application="batch"), bouncer()], 50, 110, 110),
        ([bouncer(reserve_pool_size=5)], 20, 25, 25),
        ([bouncer(reserve_pool_size=5, databases=2, users=3)], 120, 150, 150),
        ([bouncer(databases=2, users=3, max_db_connections=50)], 100, 100, 100),
        ([bouncer(instances=2, surge_instances=1, processes=2)], 80, 80, 120),
    ],
)
def test_the_sum(pools: list[dict[str, Any]], kept: int, normal: int, peak: int) -> None:
    found = pool_budget(pools, INSTALLED)
    assert (found["kept"], found["normal"], found["peak"]) == (kept, normal, peak)
    assert found["headroom"] == 97 - peak
    assert found["peak_percent"] == round(100 * peak / 97, 2)
    assert found["normal_percent"] == round(100 * normal / 97, 2)
    assert found["incomplete"] == found["skipped_sections"] == []


@pytest.mark.parametrize(
    ("pool", "missing"),
    [
        ({"application": "web"}, ["instances", "pool_size"]),
        ({"application": "web", "instances": 3}, ["pool_size"]),
        (web(instances=None), ["instances"]),
        (web(instances_max=None, max_overflow=None), ["instances_max", "max_overflow"]),
        (web(processes=None, concurrency=None), ["processes", "concurrency"]),
        (bouncer(max_db_connections=None), ["max_db_connections"]),
    ],
)
def test_a_number_that_is_missing_is_not_zero(pool: dict[str, Any], missing: list[str]) -> None:
    found = pool_budget([web(application="other"), pool], INSTALLED)
    names = ("kept", "normal", "peak", "normal_percent", "peak_percent", "headroom")
    assert [found[name] for name in names] == [None] * len(names)
    name = pool.get("application", "pgbouncer")
    assert found["incomplete"] == [{"name": name, "missing": missing}]
    assert found["skipped_sections"] == [
        {
            "section": "peak_percent",
            "reason": f"Numbers of these pools are not declared: {name} ({', '.join(missing)}).",
            "remedy": "Declare them in postgresql_pools.",
        }
    ]
    assert found["advice_text"] == ""
    assert [row["peak"] for row in found["list"]] == [90, None]
    assert found["list"][1]["missing"] == missing


def test_clients_of_a_pooler_may_be_unknown() -> None:
    found = pool_budget([web(via="pgbouncer", pool_size=None), bouncer()], INSTALLED)
    assert (found["peak"], found["list"][1]["clients_peak"]) == (20, None)
    assert found["incomplete"] == [{"name": "web", "missing": ["pool_size"]}]
    assert pool_budget([web(via="pgbouncer"), bouncer()], INSTALLED)["list"][1]["clients_peak"] == 90


@pytest.mark.parametrize("connections", [None, {}, {"usable": None, "max": 100}, {"usable": True}, "text", []])
def test_a_server_that_was_not_measured(connections: Any) -> None:
    found = pool_budget([web()], connections)
    assert found["peak"] == 90
    unknown = ("usable", "peak_percent", "headroom", "target", "undeclared", "undeclared_connections")
    assert [found[name] for name in unknown] == [None] * len(unknown)
    assert found["list"][0]["measured"] is None
    assert found["advice_text"] == ""


def test_a_row_says_how_its_sum_came_about() -> None:
    found = pool_budget([web(instances_max=5, surge_instances=1, processes=2)], measured(web=7))
    assert found["list"] == [
        {
            "name": "web",
            "kind": "application",
            "via": None,
            "instances": 3,
            "processes_at_peak": 12,
            "per_process": 30,
            "per_instance": 60,
            "kept": 60,
            "normal": 180,
            "peak": 360,
            "clients_peak": None,
            "measured": 7,
            "missing": [],
        }
    ]


# --- what nobody declared
def undeclared(pools: list[dict[str, Any]], connections: dict[str, Any], **more: Any) -> list[tuple[str, int]]:
    found = pool_budget(pools, connections, **more)
    assert found["undeclared_connections"] == sum(each["undeclared"] for each in found["undeclared"])
    return [(each["application"], each["undeclared"]) for each in found["undeclared"]]


@pytest.mark.parametrize(
    ("pools", "counts", "expected"),
    [
        ([web()], {"web": 90}, []),
        ([web()], {"web": 9, "report": 4}, [("report", 4)]),
        ([web()], {"report": 4, "cron": 4, "batch": 9}, [("batch", 9), ("cron", 4), ("report", 4)]),
        # More than it declares at the peak.
        ([web()], {"web": 95}, [("web", 5)]),
        ([web(surge_instances=1)], {"web": 95}, []),
        # A session without a name.
        ([web()], {"_": 6}, [("(no application_name)", 6)]),
        ([web(seen_as=[""])], {"_": 6}, []),
        # The declaration replaces the own name.
        ([web(seen_as=["puma: *"])], {"puma:_cluster_worker_0": 6, "web": 5}, [("web", 5)]),
        # Two pools of one name: together.
        ([web(seen_as=["app"]), web(application="worker", seen_as=["app"])], {"app": 181}, [("web, worker", 1)]),
        # Through a pooler the server sees the clients' names, and has the pooler's connections.
        ([web(via="pgbouncer"), bouncer()], {"web": 18, "pgbouncer": 2}, []),
        ([web(via="pgbouncer"), bouncer()], {"web": 25}, [("pgbouncer", 5)]),
        # How many would be too many is not known; who is nobody's is.
        ([web(instances=None)], {"web": 900, "report": 4}, [("report", 4)]),
    ],
)
def test_connections_that_nobody_declared(
    pools: list[dict[str, Any]], counts: dict[str, int], expected: list[tuple[str, int]]
) -> None:
    assert undeclared(pools, measured(**counts)) == expected


def test_people_and_backups_need_no_declaration() -> None:
    counts = measured(psql=2, pgdump=1, web=5, tool=9)
    assert undeclared([web()], counts, ignore=["psql", "pg*"]) == [("tool", 9)]
    # A declaration wins: people can be given their share.
    people = {"application": "people", "instances": 1, "pool_size": 1, "seen_as": ["psql"]}
    assert undeclared([web(), people], counts, ignore=["psql", "pg*", "tool"]) == [("people", 1)]


def test_the_share_of_undeclared_connections() -> None:
    [entry] = pool_budget([web()], measured(report=5))["undeclared"]
    assert entry == {"application": "report", "connections": 5, "declared": 0, "undeclared": 5, "usable_percent": 5.15}


def test_measured_is_null_where_pools_cannot_be_told_apart() -> None:
    pools = [web(seen_as=["app"]), web(application="worker", seen_as=["ap*"]), web(application="beat")]
    assert [row["measured"] for row in pool_budget(pools, measured(app=9, beat=1))["list"]] == [None, None, 1]
    behind = pool_budget([web(via="pgbouncer"), bouncer(), web(application="beat")], measured(web=9))["list"]
    assert [row["measured"] for row in behind] == [None, None, 0]


@pytest.mark.parametrize(("truncated", "complete"), [(True, False), (False, True)])
def test_a_list_that_was_cut_says_so(truncated: bool, complete: bool) -> None:
    assert pool_budget([web()], {**measured(web=1), "truncated": truncated})["is_undeclared_complete"] is complete
    assert pool_budget([web()], {**INSTALLED, "by_application": None})["is_undeclared_complete"] is None


# --- advice
WORKER = {"application": "worker", "instances": 4, "processes": 4, "pool_size": 10, "concurrency": 1}


@pytest.mark.parametrize(
    ("pools", "text", "fitting"),
    [
        ([web(instances=2)], "That fits within 80 %", None),
        ([web()], "These connections a process fit 80 %: web 25 instead of 30", 116),
        (
            [web(pool_size=20, max_overflow=40)],
            "These connections a process fit 80 %: web 25 instead of 60",
            228,
        ),
        # Processes that have one connection keep it.
        ([web(), WORKER], "These connections a process fit 80 %: web 20 instead of 30", 136),
        (
            [web(), WORKER, web(application="api")],
            "These connections a process fit 80 %: web 10 instead of 30, api 10 instead of 30",
            248,
        ),
        (
            [{**WORKER, "instances": 20}],
            "No pool size fits 77 connections (80 % of 97): there are 80 processes, and each needs one. "
            "Put a pooler before the server, or run fewer processes",
            103,
        ),
        (
            [bouncer(databases=10), web(via="pgbouncer")],
            "These connections a process fit 80 %: pgbouncer 77 instead of 200",
            253,
        ),
    ],
)
def test_advice(pools: list[dict[str, Any]], text: str, fitting: int | None) -> None:
    found = pool_budget(pools, INSTALLED)
    assert (found["advice_text"], found["fitting_max_connections"]) == (text, fitting)
    # The advice is true: with these sizes the pools fit, and with this max_connections as well.
    if found["advice"]:
        assert sum(each["processes_at_peak"] * each["fitting_per_process"] for each in found["advice"]) <= 77
    if fitting:
        assert pool_budget(pools, {"max": fitting, "usable": fitting - 3})["peak_percent"] <= 80
        assert pool_budget(pools, {"max": fitting - 1, "usable": fitting - 4})["peak_percent"] > 80


def test_the_target() -> None:
    assert pool_budget([web()], INSTALLED, target_percent=100)["advice_text"] == "That fits within 100 %"
    found = pool_budget([web()], INSTALLED, 50)
    assert (found["target"], found["target_percent"]) == (48, 50)
    assert found["advice_text"] == "These connections a process fit 50 %: web 16 instead of 30"


def test_the_formula_is_about_the_server() -> None:
    assert pool_budget([web()], INSTALLED)["formula"] is None
    assert pool_budget([web()], INSTALLED, cores=4, spindles=2)["formula"] == {
        "cores": 4,
        "spindles": 2,
        "working_connections": 10,
    }


# --- mistakes
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, INSTALLED), "pools: 5 is not accepted. Accepted: a list of pools, each a mapping."),
        (({}, INSTALLED), "pools: {} is not accepted. Accepted: a list of pools, each a mapping."),
        (
            ([5], INSTALLED),
            "pools[0]: 5 is not accepted. Accepted: a mapping with either application or pooler, the pool's name.",
        ),
        (
            ([{"application": "a", "pooler": "b"}], INSTALLED),
            "pools[0]: ['application', 'pooler'] is not accepted. "
            "Accepted: a mapping with either application or pooler, the pool's name.",
        ),
        (
            ([web(pool=5)], INSTALLED),
            "pools[0]: 'pool' is not accepted. Accepted: the keys application, via, seen_as, instances, instances_max, "
            "surge_instances, processes, pool_size, max_overflow, concurrency.",
        ),
        (
            ([bouncer(max_overflow=5)], INSTALLED),
            "pools[0]: 'max_overflow' is not accepted. Accepted: the keys pooler, seen_as, instances, instances_max, "
            "surge_instances, processes, pool_size, reserve_pool_size, databases, users, max_db_connections.",
        ),
        (
            ([web(max_overflow=-1)], INSTALLED),
            "pools[0].max_overflow: -1 is not accepted. Accepted: a whole number of at least 0.",
        ),
        (
            ([web(), web(application="b", pool_size=0)], INSTALLED),
            "pools[1].pool_size: 0 is not accepted. Accepted: a whole number of at least 1.",
        ),
        (
            ([web(instances=1.5)], INSTALLED),
            "pools[0].instances: 1.5 is not accepted. Accepted: a whole number of at least 0.",
        ),
        (
            ([web(instances=True)], INSTALLED),
            "pools[0].instances: True is not accepted. Accepted: a whole number of at least 0.",
        ),
        (
            ([web(instances="many")], INSTALLED),
            "pools[0].instances: 'many' is not accepted. Accepted: a whole number of at least 0.",
        ),
        (([web(application=" ")], INSTALLED), "pools[0].application: ' ' is not accepted. Accepted: a name."),
        (
            ([web(), web()], INSTALLED),
            "pools[1].application: 'web' is not accepted. Accepted: a name that no pool before it has.",
        ),
        (
            ([web(via="pgbouncer")], INSTALLED),
            "pools[0].via: 'pgbouncer' is not accepted. Accepted: the name of a declared pooler (none is declared).",
        ),
        (
            ([web(via="odyssey"), bouncer()], INSTALLED),
            "pools[0].via: 'odyssey' is not accepted. Accepted: the name of a declared pooler (pgbouncer).",
        ),
        (
            ([web(seen_as="web")], INSTALLED),
            "pools[0].seen_as: 'web' is not accepted. Accepted: a list of names, with * and ? as wildcards.",
        ),
        (
            ([], INSTALLED, 101),
            "target_percent: 101 is not accepted. Accepted: a whole number of 1 to 100.",
        ),
        (
            ([], INSTALLED, 80, "psql"),
            "ignore: 'psql' is not accepted. Accepted: a list of names, with * and ? as wildcards.",
        ),
        (([], INSTALLED, 80, [], -4), "cores: -4 is not accepted. Accepted: a whole number of at least 0."),
    ],
)
def test_what_cannot_be_meant(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        pool_budget(*arguments)
    assert str(error.value) == f"pool_budget: {message}"


def test_what_is_returned_is_documented() -> None:
    contents = yaml.safe_load(documentation.RETURN)["_value"]["contains"]
    found = pool_budget([web(via="pgbouncer"), bouncer(pool_size=200)], measured(report=5), cores=4)
    assert set(found) == set(contents)
    for name in ("list", "undeclared", "advice"):
        assert set(found[name][0]) == set(contents[name]["contains"]), name
    assert set(found["formula"]) == set(contents["formula"]["contains"])
    assert json.dumps(found)
