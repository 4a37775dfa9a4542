"""Policies as they are written, and what is refused before anything is touched."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import yaml

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.options import retention_argument_spec
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.pace import (
    Pace,
    PaceOptions,
    batches,
    pace_options,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.partitions import upper_bound
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import (
    Condition,
    TableName,
    parse_policies,
    parse_table,
)

module = importlib.import_module("ansible_collections.runbook.ops.plugins.modules.postgresql_retention")


def policy(**more: Any) -> dict[str, Any]:
    given = {"name": "jobs", "table": "public.jobs", "column": "at", "keep": "90 days", "action": "purge", **more}
    return {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("text", "table", "quoted"),
    [
        ("public.jobs", TableName("public", "jobs"), "public.jobs"),
        ("jobs", TableName("public", "jobs"), "public.jobs"),
        ("Sales.MixedCase", TableName("Sales", "MixedCase"), '"Sales"."MixedCase"'),
        ('"Sales"."Mixed.Case"', TableName("Sales", "Mixed.Case"), '"Sales"."Mixed.Case"'),
        ('x."a ""b"""', TableName("x", 'a "b"'), 'x."a ""b"""'),
    ],
)
def test_tables(text: str, table: TableName, quoted: str) -> None:
    assert parse_table(text, "table") == table
    assert table.quoted == quoted


@pytest.mark.parametrize("text", ["", ".jobs", "a.b.c", 'a."b', "a.", 'a"b'])
def test_what_is_no_table(text: str) -> None:
    with pytest.raises(InvalidOption):
        parse_table(text, "table")


REFUSED = [
    (policy(name="a b"), "policies[].name: 'a b' is not accepted."),
    (policy(action="archive"), "policies[jobs].archive_table: '' is not accepted."),
    (policy(archive_table="public.x"), "policies[jobs].archive_table: 'public.x' is not accepted."),
    (policy(action="archive", archive_table="jobs"), "policies[jobs].archive_table: 'public.jobs' is not accepted."),
    (policy(action="export"), "policies[jobs].export: '' is not accepted."),
    (policy(export={"directory": "/x"}), "policies[jobs].export: '/x' is not accepted."),
    (policy(action="export", export={"directory": "/x", "bucket": "b"}), "policies[jobs].export: '/x' is not"),
    (policy(children=[{"table": "public.jobs"}]), "policies[jobs].children: ['public.jobs', 'public.jobs'] is not"),
    (
        policy(children=[{"table": "items", "action": "archive"}]),
        "policies[jobs].children[public.items].archive_table:",
    ),
    (policy(children=[{"table": "items", "action": "export"}]), "policies[jobs].export: '' is not accepted."),
    (policy(action="detach", where=[{"column": "a", "operator": "is null"}]), "policies[jobs].action: 'detach' is"),
    (policy(max_rows=0), "policies[jobs].max_rows: 0 is not accepted."),
    (policy(column_timezone="Asia/Soul"), "timezone: 'Asia/Soul' is not accepted."),
    (policy(where=[{"column": "a", "operator": "in", "value": []}]), "policies[jobs].where[a]: [] is not accepted."),
    (policy(where=[{"column": "a", "operator": "in", "value": "x"}]), "policies[jobs].where[a]: 'x' is not accepted."),
    (policy(where=[{"column": "a", "operator": "=", "value": None}]), "policies[jobs].where[a]: None is not accepted."),
    (policy(where=[{"column": "a", "operator": "=", "value": {}}]), "policies[jobs].where[a]: {} is not accepted."),
    (policy(where=[{"column": "a", "operator": "is null", "value": 1}]), "policies[jobs].where[a]: 1 is not accepted."),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[each[1][:60] for each in REFUSED])
def test_what_cannot_work(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_policies([given])
    assert refused.value.message.startswith(message)


def test_names_are_unique() -> None:
    with pytest.raises(InvalidOption, match="a name that only one policy has"):
        parse_policies([policy(), policy(table="other")])


def test_conditions_and_children() -> None:
    [parsed] = parse_policies(
        [
            policy(
                where=[
                    {"column": "read", "operator": "=", "value": True},
                    {"column": "n", "operator": "in", "value": [1, 2.5, "x"]},
                    {"column": "gone", "operator": "is not null"},
                ],
                children=[{"table": "items", "references": {"job": "id"}}],
            )
        ]
    )
    assert parsed.where == (
        Condition("read", "=", ("true",)),
        Condition("n", "in", ("1", "2.5", "x")),
        Condition("gone", "is not null"),
    )
    assert (parsed.children[0].action, parsed.children[0].references) == ("purge", (("job", "id"),))
    assert parsed.destroys


@pytest.mark.parametrize(
    ("bound", "upper"),
    [
        ("FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')", "2026-02-01"),
        ("FOR VALUES FROM (MINVALUE) TO ('2026-02-01 00:00:00+00', 5)", "2026-02-01 00:00:00+00"),
        ("FOR VALUES FROM ('2026-01-01') TO (MAXVALUE)", None),
        ("FOR VALUES IN ('a')", None),
        ("DEFAULT", None),
    ],
)
def test_upper_bounds(bound: str, upper: str | None) -> None:
    assert upper_bound(bound) == upper


# --- pace
def options(**more: Any) -> PaceOptions:
    given: dict[str, Any] = dict.fromkeys(("batch_rows", "batch_seconds", "pause_ratio", "max_rows_per_second"))
    return pace_options({"throttle": "off", "max_batch_rows": 20000, **given, **more})


def test_size_follows_time_in_small_steps() -> None:
    pace = Pace(options(batch_rows=1000, batch_seconds=1.0))
    assert pace.took(1000, 0.01) == 0
    assert pace.size == 1200
    for _turn in range(40):
        pace.took(pace.size, pace.size / 5000)
    assert 4500 <= pace.size <= 5500
    before = pace.size
    pace.took(before, 60.0)
    assert before / 1.2 - 1 <= pace.size < before


def test_batch_that_is_in_the_way_is_divided_down_to_the_row() -> None:
    pace = Pace(options(batch_rows=1000))
    sizes = []
    while pace.divide():
        sizes.append(pace.size)
    assert sizes == [500, 250, 125, 62, 31, 15, 7, 3, 1]
    pace.passed()
    after = []
    for _turn in range(6):
        after.append(pace.size)
        pace.took(pace.size, 0.001)
    assert after == [2, 8, 32, 128, 512, 1000]


def test_rests() -> None:
    assert Pace(options(pause_ratio=4.0)).took(100, 0.5) == 2.0
    assert Pace(options(max_rows_per_second=100.0)).took(100, 0.25) == 0.75
    assert options(throttle="gentle").pause_ratio > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_seconds": 0.0}, "batch_seconds: 0.0 is not accepted."),
        ({"pause_ratio": -1.0}, "pause_ratio: -1.0 is not accepted."),
        ({"max_batch_rows": 0}, "max_batch_rows: 0 is not accepted."),
        ({"batch_rows": 0}, "batch_rows: 0 is not accepted."),
        ({"max_rows_per_second": 0.0}, "max_rows_per_second: 0.0 is not accepted."),
    ],
)
def test_pace_that_cannot_be_kept(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        options(**wrong)
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize(("rows", "count"), [(0, 0), (1, 1), (1000, 1), (1001, 2), (2200, 2), (100000, 15)])
def test_estimate_of_batches(rows: int, count: int) -> None:
    assert batches(rows, options(batch_rows=1000, max_batch_rows=10000)) == pytest.approx(count, abs=6)


# --- documentation
def compare(documented: dict[str, Any], spec: dict[str, Any], path: str) -> None:
    assert set(documented) == set(spec), path
    for name, option in spec.items():
        told = documented[name]
        for key in ("type", "elements", "default", "choices", "required"):
            assert told.get(key) == option.get(key) or (key == "required" and not option.get(key)), (
                f"{path}.{name}.{key}"
            )
        if "options" in option:
            compare(told["suboptions"], option["options"], f"{path}.{name}")


def test_options_are_documented_as_they_are() -> None:
    compare(yaml.safe_load(module.DOCUMENTATION)["options"], retention_argument_spec(), "")
