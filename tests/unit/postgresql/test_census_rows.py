"""Which statements read the rows, and what becomes of their answers."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.reading import tables_to_read, with_rows
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.relations import Relations
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.rows import (
    SMALL_BYTES,
    ContentColumn,
    ReadRows,
    ReadTable,
    batches,
    outcome_of,
    statement,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.sequences import (
    fed_columns,
    split_last,
    with_ends,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.watermarks import iso_value

TABLE = ReadTable("public.t", "public", "t", [ContentColumn("b"), ContentColumn("a", "xml")], 10, [("a", False)])
NULL = "'\x01NULL 2f6c1a54-7d0e-4c0b-9a55-0c9b5d1f3e77\x01'"


def text_of(composed: Any) -> str:
    """What is sent, for names and numbers that need no connection to be quoted."""
    parts = getattr(composed, "seq", None)
    if parts is not None:
        return "".join(text_of(each) for each in parts)
    if hasattr(composed, "strings"):
        return ".".join(f'"{each}"' for each in composed.strings)
    wrapped = composed.wrapped if hasattr(composed, "wrapped") else composed.string
    return f"'{wrapped}'" if hasattr(composed, "wrapped") and isinstance(wrapped, str) else str(wrapped)


def test_a_statement_over_one_table() -> None:
    assert text_of(statement([TABLE])) == (
        "SELECT 0::int AS number, count(*) AS rows, "
        f'sum(hashtextextended(coalesce(t."b"::text, {NULL}) COLLATE "C", '
        f'hashtextextended(coalesce(xml_out(t."a")::text, {NULL}) COLLATE "C", hashint8extended(0, 0)))) AS digest, '
        'ARRAY[max("a")::numeric]::numeric[] AS ends FROM ONLY "public"."t" t '
    )


def test_a_statement_that_only_counts() -> None:
    counted = ReadTable("public.t", "public", "t", None, condition="WHERE {x} LIKE 'a%'")
    assert text_of(statement([counted])) == (
        "SELECT 0::int AS number, count(*) AS rows, NULL::numeric AS digest, ARRAY[]::numeric[] AS ends "
        'FROM ONLY "public"."t" t WHERE {x} LIKE \'a%\''
    )


def test_the_order_of_columns_does_not_matter() -> None:
    columns = [ContentColumn("a"), ContentColumn("B"), ContentColumn("c", "char"), ContentColumn("d", "public.out")]
    one = ReadTable("t", "s", "t", columns)
    other = ReadTable("t", "s", "t", columns[::-1])
    assert text_of(statement([one])) == text_of(statement([other]))
    assert 't."c"::int::text' in text_of(statement([one]))
    assert 'public.out(t."d")::text' in text_of(statement([one]))


def test_wide_tables_have_several_chains_and_empty_ones_one() -> None:
    wide = ReadTable("t", "s", "t", [ContentColumn(f"c{number}") for number in range(250)])
    assert text_of(statement([wide])).count("hashint8extended") == 3
    none = ReadTable("t", "s", "t", [])
    assert "sum(hashint8extended(0, 0)) AS digest" in text_of(statement([none]))


def test_the_largest_first_and_the_small_together() -> None:
    tables = [ReadTable(f"t{number:03}", "s", "t", None, size) for number, size in enumerate([5, 10**9, 0, 10**6, 7])]
    assert [[each.key for each in batch] for batch in batches(tables)] == [["t001"], ["t003"], ["t004", "t000", "t002"]]
    assert batches([]) == []
    many = [ReadTable(f"t{number:04}", "s", "t", None, 100) for number in range(130)]
    assert [len(batch) for batch in batches(many)] == [60, 60, 10]
    middling = [ReadTable(f"t{number:04}", "s", "t", None, SMALL_BYTES) for number in range(40)]
    assert [len(batch) for batch in batches(middling)] == [16, 16, 8]


def test_digests_are_counted_round_a_clock() -> None:
    row = {"rows": 3, "digest": -1, "ends": [7]}
    assert outcome_of(row, TABLE) == ReadRows(3, 2**64 - 1, [7])
    assert outcome_of({"rows": 0, "digest": None, "ends": [None]}, TABLE) == ReadRows(0, 0, [None])
    assert outcome_of({"rows": 2, "digest": None, "ends": None}, ReadTable("t", "s", "t", None)).digest is None


def entry(kind: str = "table", root: str | None = None, parent: str | None = None) -> dict[str, Any]:
    return {
        "kind": kind, "root": root, "parent": parent, "bytes": 5, "persistence": "permanent", "rows": None,
        "digest": None,
    }  # fmt: skip


def made() -> Relations:
    tables = {
        "s.whole": entry("partitioned table"),
        "s.part": entry("partitioned table", "s.whole", "s.whole"),
        "s.leaf1": entry("partition", "s.whole", "s.part"),
        "s.leaf2": entry("partition", "s.whole", "s.whole"),
        "s.far": entry("foreign table"),
        "s.view": entry("materialized view"),
        "s.pad": {**entry(), "persistence": "unlogged"},
    }
    rows = {name: {"oid": n, "schema": "s", "name": name[2:], "condition": None} for n, name in enumerate(tables)}
    generated = {"name": "g", "special": "", "generated": "s"}
    columns = {n: [{"name": "id", "special": "", "generated": ""}, generated] for n in range(len(tables))}
    return Relations(tables, {}, rows, columns)


SEQUENCES = {
    "s.up": {"increment": 1, "cycle": False, "feeds": ["s.whole.id"], "last_value": 5, "is_called": True},
    "s.down": {"increment": -1, "cycle": False, "feeds": ["s.pad.id"], "last_value": 5, "is_called": True},
}


def test_what_is_read() -> None:
    read = tables_to_read(made(), SEQUENCES, digests=True, in_recovery=False)
    assert [each.key for each in read] == ["s.leaf1", "s.leaf2", "s.pad"]
    assert read[0].columns == [ContentColumn("id")]
    assert [each.ends for each in read] == [[("id", False)], [("id", False)], [("id", True)]]
    assert [each.key for each in tables_to_read(made(), {}, digests=False, in_recovery=True)] == ["s.leaf1", "s.leaf2"]


def test_partitioned_tables_are_the_sum_of_their_leaves() -> None:
    read = {
        "s.leaf1": ReadRows(3, 2**64 - 1, [40]),
        "s.leaf2": ReadRows(4, 3, [90]),
        "s.pad": ReadRows(1, 9, [-7]),
    }
    tables, sequences = with_rows(made(), SEQUENCES, read)
    found = {name: (each["rows"], each["digest"]) for name, each in tables.items()}
    assert found == {
        "s.whole": (7, "0000000000000002"),
        "s.part": (3, "ffffffffffffffff"),
        "s.leaf1": (3, "ffffffffffffffff"),
        "s.leaf2": (4, "0000000000000003"),
        "s.far": (None, None),
        "s.view": (None, None),
        "s.pad": (1, "0000000000000009"),
    }
    assert {name: each["max"] for name, each in sequences.items()} == {"s.up": 90, "s.down": -7}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("public.orders.id", ("public.orders", "id")),
        ('public."A.b"."C ""d"" e"', ('public."A.b"', 'C "d" e')),
        ('"x"."y".z', ('"x"."y"', "z")),
        ('a.b.""""', ("a.b", '"')),
    ],
    ids=["plain", "quoted", "quoted table", "a quote"],
)
def test_the_last_part_of_a_name(name: str, expected: tuple[str, str]) -> None:
    assert split_last(name) == expected


def test_columns_that_sequences_feed() -> None:
    assert fed_columns(SEQUENCES) == {"s.whole": [("id", False)], "s.pad": [("id", True)]}
    assert with_ends(SEQUENCES, [])["s.up"]["max"] is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31 14:00:00.5+00", "2026-01-31T14:00:00.5Z"),
        ("2026-01-31 14:00:00", "2026-01-31T14:00:00"),
        ("2026-01-31", "2026-01-31"),
        ("12026-01-31", "12026-01-31"),
        ("42", "42"),
        ("0044-03-15 BC", "0044-03-15 BC"),
    ],
)
def test_moments_in_iso_8601(text: str, expected: str) -> None:
    assert iso_value(text) == expected
