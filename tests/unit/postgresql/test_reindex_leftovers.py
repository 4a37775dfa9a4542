"""Which invalid index is a leftover, which one somebody's own."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.leftovers import (
    original,
    refusal,
    sort_out,
)

LONG = "x" * 63


@pytest.mark.parametrize(
    ("name", "twins", "expected"),
    [
        pytest.param("a_ccnew", ["a"], "a", id="failed"),
        pytest.param("a_ccold", ["a"], "a", id="succeeded"),
        pytest.param("a_ccnew12", ["a", "b"], "a", id="the name was taken"),
        pytest.param("a_ccnew_ccnew", ["a_ccnew"], "a_ccnew", id="left over from a leftover"),
        pytest.param("a_ccnew", ["b"], None, id="another index with the same definition"),
        pytest.param("a_ccnew", [], None, id="no index with the same definition"),
        pytest.param("a_ccnew", ["ab"], None, id="a name that was not cut"),
        pytest.param(LONG[:57] + "_ccnew", [LONG], LONG, id="a name that was cut"),
        pytest.param(LONG[:56] + "_ccnew1", [LONG], LONG, id="a name that was cut, and numbered"),
        pytest.param("ä" * 28 + "_ccnew", ["ä" * 31], "ä" * 31, id="a name that was cut at a character's border"),
        pytest.param("a_ccnewish", ["a"], None, id="another suffix"),
        pytest.param("_ccnew", [""], None, id="nothing but the suffix"),
        pytest.param("a\nb_ccnew", ["a\nb"], "a\nb", id="a name of two lines"),
    ],
)
def test_original(name: str, twins: list[str], expected: str | None) -> None:
    assert original(name, twins) == expected


def row(**more: Any) -> dict[str, Any]:
    return {
        "oid": 1,
        "table_oid": 2,
        "schema": "public",
        "name": "i_ccnew",
        "table_schema": "public",
        "table_name": "t",
        "definition": "CREATE INDEX i_ccnew ON public.t USING btree (a)",
        "size_bytes": 8192,
        "may_drop": True,
        "may_name": True,
        "owner": "app",
        "worker": None,
        "twins": ["i"],
        **more,
    }


def test_sorted_out() -> None:
    rows = [
        row(),
        row(name="I old_ccold", twins=["I old"]),
        row(name="user_ccnew", twins=[]),
        row(name="building", worker=77, twins=[]),
    ]
    left, foreign = sort_out(rows)
    assert [(each.kind, each.label, each.of, each.text) for each in left] == [
        ("ccnew", "public.i_ccnew", "public.i", "DROP INDEX CONCURRENTLY public.i_ccnew"),
        ("ccold", "public.I old_ccold", "public.I old", 'DROP INDEX CONCURRENTLY public."I old_ccold"'),
    ]
    (own,) = foreign
    assert own == {
        "index": "public.user_ccnew",
        "table": "public.t",
        "size_bytes": 8192,
        "definition": "CREATE INDEX i_ccnew ON public.t USING btree (a)",
        "remedy": "A CREATE INDEX CONCURRENTLY failed: no query uses this index and every write maintains it. "
        "Finish it with REINDEX INDEX CONCURRENTLY public.user_ccnew; or remove it with DROP INDEX CONCURRENTLY "
        "public.user_ccnew;",
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, None),
        (
            {"worker": 42},
            Refusal(
                "public.i_ccnew",
                "process 42 may be building it at this moment",
                "Wait until its command has ended, and run the task again.",
            ),
        ),
        (
            {"may_drop": False},
            Refusal(
                "public.i_ccnew",
                "it is left over from a broken rebuild, and only the owner of its table may drop it",
                "GRANT app TO me; or, as the owner: DROP INDEX CONCURRENTLY public.i_ccnew;",
            ),
        ),
        (
            {"may_name": False, "schema": "pg_toast"},
            Refusal(
                "pg_toast.i_ccnew",
                "it is left over from a broken rebuild, and the role may not use the schema pg_toast",
                "As a superuser: DROP INDEX CONCURRENTLY pg_toast.i_ccnew;",
            ),
        ),
    ],
)
def test_refusal(more: dict[str, Any], expected: Refusal | None) -> None:
    (leftover,), _foreign = sort_out([row(**more)])
    assert refusal(leftover, "me") == expected
