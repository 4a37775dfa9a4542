"""Fingerprints are equal where definitions are, and nowhere else."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.fingerprint import (
    fingerprint,
    normalized,
    privileges,
    shown,
)

SAME = {
    # What PostgreSQL shows before a dump and after its restore.
    "varchar in a list": (
        "((status)::text = ANY ((ARRAY['new'::character varying, 'paid'::character varying])::text[]))",
        "((status)::text = ANY (ARRAY[('new'::character varying)::text, ('paid'::character varying)::text]))",
    ),
    "types with parameters": ("(a)::numeric(10,2)", "a::numeric(12,3)"),
    "types of several words": ("'x'::timestamp(3) without time zone AND b", "'x' AND b"),
    "double precision": ("(a)::double precision + b", "a + b"),
    "types in a schema": ('(x)::public."My Type"[]', "x"),
    "spacing": ("a  =\n b", "(a = b)"),
    "none and empty": (None, ""),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_in_other_words(case: str) -> None:
    one, other = SAME[case]
    assert normalized(one) == normalized(other)


OTHER = {
    "another value": ("status = 'new'", "status = 'old'"),
    "case of a value": ("status = 'new'", "status = 'NEW'"),
    "spaces in a value": ("a = 'x  y'", "a = 'x y'"),
    "parentheses in a value": ("a = '(x)'", "a = 'x'"),
    "a cast in a value": ("a = 'b::text'", "a = 'b'"),
    "a quote in a value": ("a = 'it''s'", "a = 'its'"),
    "an escaped value": (r"a = E'\\'", r"a = E'\n'"),
    "another operator": ("a > 1", "a >= 1"),
    "another column": ('"A" = 1', "a = 1"),
    "and, or": ("a AND b", "a OR b"),
    "order": ("a - b", "b - a"),
}


@pytest.mark.parametrize("case", OTHER)
def test_something_else(case: str) -> None:
    one, other = OTHER[case]
    assert normalized(one) != normalized(other)


def test_lists_are_not_run_together() -> None:
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("a", None) != fingerprint("a", "")
    assert fingerprint("a") != fingerprint("a", None)
    assert fingerprint("-1:-") != fingerprint(None)
    assert fingerprint("a", 1) == fingerprint("a", "1")
    assert len(fingerprint()) == 16


def test_short_expressions_are_for_people() -> None:
    assert shown("nextval('public.orders_id_seq'::regclass)") == "nextval 'public.orders_id_seq'"
    assert shown("'" + "x" * 100 + "'").startswith("#")
    assert shown(None) == ""


@pytest.mark.parametrize(
    ("acl", "expected"),
    [
        (None, {}),
        ([], {}),
        (["owner=arwdDxt/owner"], {}),
        (["owner=arwdDxt/owner", "app=rw/owner", "=r/owner"], {"app": "rw", "public": "r"}),
        (["app=r/owner", "app=w*/other"], {"app": "rw*"}),
        (['"My ""Role"" = x"=r/owner'], {'My "Role" = x': "r"}),
        (["app=/owner"], {}),
        (["nonsense"], {}),
    ],
    ids=["none", "empty", "owner", "others", "two grantors", "quoted", "no rights", "nonsense"],
)
def test_privileges(acl: list[str] | None, expected: dict[str, str]) -> None:
    assert privileges(acl, "owner") == expected


def test_privileges_that_were_never_touched() -> None:
    assert privileges(None, "owner", default="X") == {"public": "X"}
    assert privileges(["owner=X/owner"], "owner", default="X") == {}
