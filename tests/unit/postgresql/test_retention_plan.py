"""Decisions from catalog rows alone."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.catalog import (
    Column,
    Index,
    Leaf,
    Missing,
    Reference,
    Relation,
    Role,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.plan import Decision, decide
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.retention.policy import TableName, parse_policies

ROLE = Role("ops", "ops", "shop", "shop", creates_schemas=True, version_num=150000, encoding="UTF8")
MEBIBYTE = 1024 * 1024


def column(name: str, base: str = "int8", **more: Any) -> Column:
    given = {
        "is_builtin": True,
        "type_kind": "b",
        "not_null": True,
        "is_generated": False,
        "has_default": False,
        **more,
    }
    return Column(name=name, type=more.pop("type", base), base=base, **{k: v for k, v in given.items() if k != "type"})


def index(*columns: str, **more: Any) -> Index:
    given = {"is_primary": False, "is_unique": False, "is_valid": True, "is_partial": False, "method": "btree", **more}
    return Index(name="_".join(columns), columns=columns, **given)


COLUMNS = (column("id"), column("at", "timestamptz"), column("status", "text", not_null=False))
PRIMARY = index("id", is_primary=True, is_unique=True)


def relation(name: str = "jobs", *, oid: int = 1, size: int = 100 * MEBIBYTE, **more: Any) -> Relation:
    table = TableName("public", name)
    given: dict[str, Any] = {
        "kind": "r",
        "persistence": "p",
        "hides_rows": False,
        "has_rules": False,
        "tablespace": 0,
        "uses_schema": True,
        "may_select": True,
        "may_delete": True,
        "may_insert": True,
        "may_lock": True,
        "owns": True,
        "owner": "owner",
        "columns": COLUMNS,
        "indexes": (PRIMARY, index("at", "id")),
        "leaves": (Leaf(oid, table, "r", 1000.0, size),),
        **more,
    }
    return Relation(oid=oid, table=table, **given)


def decided(*relations: Relation, **policy: Any) -> Decision:
    given = {"name": "p", "table": "jobs", "column": "at", "keep": "90 days", "action": "purge", **policy}
    [parsed] = parse_policies([given])
    known = {each.table: each for each in relations}
    return decide(parsed, lambda table: known.get(table, Missing(table)), ROLE)


def reason(decision: Decision) -> str:
    [refusal] = decision.refusals
    assert decision.plan is None
    return refusal.reason


def test_plan() -> None:
    plan = decided(relation()).plan
    assert plan is not None
    assert (plan.key, plan.key_types, plan.order, plan.column_type) == (("id",), ("int8",), ("at", "id"), "timestamptz")


@pytest.mark.parametrize(
    ("indexes", "where", "accepted"),
    [
        ((PRIMARY, index("at")), [], True),
        ((PRIMARY, index("status", "at")), [], False),
        ((PRIMARY, index("status", "at")), [{"column": "status", "operator": "=", "value": "x"}], True),
        ((PRIMARY, index("status", "at")), [{"column": "status", "operator": "!=", "value": "x"}], False),
        ((PRIMARY, index("at", is_partial=True)), [], False),
        ((PRIMARY, index("at", is_valid=False)), [], False),
        ((PRIMARY, index("at", method="brin")), [], False),
        ((PRIMARY,), [], False),
    ],
)
def test_index_on_the_cutoff_column(indexes: tuple[Index, ...], where: list[Any], accepted: bool) -> None:
    found = decided(relation(indexes=indexes), where=where)
    assert (found.plan is not None) == accepted
    assert decided(relation(indexes=indexes, size=MEBIBYTE), where=where).plan is not None
    assert decided(relation(indexes=indexes), where=where, allow_sequential=True).plan is not None


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        (PRIMARY, True),
        (index("id", is_unique=True), True),
        (index("id"), False),
        (index("status", is_unique=True), False),
        (index("id", is_unique=True, is_partial=True), False),
        (index("id", is_unique=True, is_valid=False), False),
    ],
)
def test_key(key: Index, accepted: bool) -> None:
    found = decided(relation(indexes=(key, index("at"))))
    assert (found.plan is not None) == accepted
    if not accepted:
        assert reason(found).startswith("it has no primary key (nor a unique index over NOT NULL)")


def test_key_that_is_asked_for() -> None:
    both = (PRIMARY, index("id", "at", is_unique=True))
    plan = decided(relation(indexes=both, size=0), key=["at", "id"]).plan
    assert plan is not None
    assert plan.order == ("at", "id")
    assert "on (status)" in reason(decided(relation(size=0), key=["status"]))


def test_key_of_an_extensions_type() -> None:
    columns = (column("id", "citext", is_builtin=False), *COLUMNS[1:])
    assert reason(decided(relation(columns=columns))) == "key column id is of type citext, which an extension orders"


def reference(on_delete: str, name: str = "fk") -> Reference:
    return Reference(name, TableName("public", "items"), 2, "r", 1, on_delete, ("job_id",), ("id",))


def items(**more: Any) -> Relation:
    columns = (column("id"), column("job_id"))
    given: dict[str, Any] = {"columns": columns, "indexes": (PRIMARY, index("job_id")), **more}
    return relation("items", oid=2, **given)


@pytest.mark.parametrize(
    ("on_delete", "said"),
    [("c", "deletes its rows together with ours"), ("n", "empties its reference"), ("d", "changes its reference")],
)
def test_undeclared_references(on_delete: str, said: str) -> None:
    assert said in reason(decided(relation(references=(reference(on_delete),)), items()))


@pytest.mark.parametrize("on_delete", ["a", "r"])
def test_references_that_only_keep_rows_are_probed(on_delete: str) -> None:
    plan = decided(relation(references=(reference(on_delete),)), items()).plan
    assert plan is not None
    assert [(probe.node, probe.reference.name) for probe in plan.probes] == [(0, "fk")]


def test_declared_children_are_nodes_and_nothing_to_probe() -> None:
    plan = decided(relation(references=(reference("c"),)), items(), children=[{"table": "items"}]).plan
    assert plan is not None
    assert plan.probes == ()
    assert [(node.table.name, node.parent, node.link) for node in plan.nodes] == [
        ("jobs", None, ()),
        ("items", 0, (("job_id", "id"),)),
    ]


def test_second_foreign_key_of_a_declared_child_counts_too() -> None:
    other = Reference("other", TableName("public", "items"), 2, "r", 1, "c", ("other_id",), ("id",))
    jobs = relation(references=(reference("c"), other))
    children = [{"table": "items"}]
    several = decided(jobs, items(), children=children).refusals[0].reason
    assert several == "it has several foreign keys to choose from (fk, other)"
    named = [{"table": "items", "foreign_key": "fk"}]
    assert reason(decided(jobs, items(), children=named)).startswith("foreign key other of public.items deletes")


def test_child_without_index() -> None:
    found = decided(relation(references=(reference("c"),)), items(indexes=(PRIMARY,)), children=[{"table": "items"}])
    assert reason(found) == "no index supports its foreign key: every deleted row would read the whole table"
    assert found.refusals[0].remedy == ("CREATE INDEX CONCURRENTLY ON public.items (job_id); Or set allow_sequential.")


def test_missing_privileges() -> None:
    found = decided(relation(may_delete=False, may_lock=False, uses_schema=False))
    assert found.grants == ["GRANT USAGE ON SCHEMA public TO ops;", "GRANT DELETE ON public.jobs TO ops;"]
    assert found.plan is not None
    assert not found.plan.locks
    # Parents have to be locked.
    jobs = relation(references=(reference("c"),), may_lock=False)
    assert decided(jobs, items(), children=[{"table": "items"}]).grants == ["GRANT UPDATE (id) ON public.jobs TO ops;"]


@pytest.mark.parametrize(
    ("policy", "accepted"),
    [
        ({"action": "purge"}, False),
        ({"action": "export", "export": {"directory": "/x"}}, True),
        ({"action": "export", "export": {"directory": "/x"}, "children": [{"table": "items"}]}, True),
        (
            {
                "action": "export",
                "export": {"directory": "/x"},
                "children": [{"table": "items", "action": "purge"}],
            },
            False,
        ),
    ],
)
def test_what_must_be_archived(policy: dict[str, Any], accepted: bool) -> None:
    jobs = relation(references=(reference("c"),)) if "children" in policy else relation()
    found = decided(jobs, items(), require_archive=True, **policy)
    assert (found.plan is not None) == accepted
    if not accepted:
        assert reason(found).startswith("require_archive is set")
