"""A copy against its original, and a backup against the one before, with the exact words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare import compare
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import (
    Census,
    Scope,
    Watermark,
    census_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.regressions import regressions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.weaknesses import weaknesses

Mapping = dict[str, Any]
Change = Callable[[Mapping], object]


def table(name: str, rows: int | None = 100, **more: Any) -> Mapping:
    return {
        "schema": name.split(".", maxsplit=1)[0],
        "kind": "table",
        "rows": rows,
        "digest": f"{rows or 0:016x}",
        "bytes": 8192,
        "owner": "app",
        "acl": {"reader": "r"},
        "column_acl": {},
        "persistence": "permanent",
        "columns": {"id": "bigint not null", "note": "text default 'x'"},
        "order": "o",
        "definition": "d",
        "inherits": False,
        "populated": True,
        "rls": "disabled",
        "root": None,
        "parent": None,
        "is_extension_member": False,
        "disabled_constraint_triggers": 0,
        "disabled_partition_triggers": 0,
        **more,
    }


def part(table_name: str, **more: Any) -> Mapping:
    return {"schema": table_name.split(".", maxsplit=1)[0], "table": table_name, "definition": "d", **more}


def whole() -> Mapping:
    """A database as a manifest describes it."""
    partitioned = {"root": "public.events", "parent": "public.events", "kind": "partition"}
    return {
        "format": 1,
        "database": {
            "name": "shop",
            "encoding": "UTF8",
            "collate": "en_US.UTF-8",
            "ctype": "en_US.UTF-8",
            "locale": None,
            "locale_provider": "libc",
            "size_bytes": 10**9,
        },
        "server": {
            "version_num": 150018,
            "system_identifier": "7000000000000000001",
            "lsn": "1/A0000000",
            "timeline": 1,
            "in_recovery": False,
        },
        "taken_at": "2026-01-31T00:00:00.000000Z",
        "schemas": {"public": {"owner": "pg_database_owner", "acl": {}}, "billing": {"owner": "app", "acl": {}}},
        "tables": {
            "public.orders": table("public.orders", 1000),
            "public.customers": table("public.customers", 100),
            "public.tiny": table("public.tiny", 4),
            "billing.invoices": table("billing.invoices", 500),
            "public.events": table("public.events", 60, kind="partitioned table"),
            "public.events_1": table("public.events_1", 40, **partitioned),
            "public.events_2": table("public.events_2", 20, **partitioned),
            "public.totals": table("public.totals", None, kind="materialized view", text="t"),
            "public.pad": table("public.pad", 3, persistence="unlogged"),
        },
        "sequences": {
            "public.orders_id_seq": {
                "schema": "public",
                "owner": "app",
                "acl": {},
                "last_value": 1000,
                "is_called": True,
                "increment": 1,
                "cycle": False,
                "definition": "d",
                "owned_by": "public.orders.id",
                "feeds": ["public.orders.id"],
                "max": 1000,
            }
        },
        "large_objects": {"count": 2, "bytes": 9, "digest": "00000000000000aa"},
        "extensions": {"hstore": {"version": "1.8", "schema": "public"}},
        "constraints": {
            "public.orders.fk": part("public.orders", kind="foreign key", validated=True, valid=True),
            "billing.invoices.pk": part("billing.invoices", kind="primary key", validated=True, valid=True),
        },
        "indexes": {
            "public.orders.by_time": part("public.orders", valid=True, is_partitioned=False),
            "public.orders.failed": part("public.orders", valid=False, is_partitioned=False),
        },
        "triggers": {"public.orders.touch": part("public.orders", enabled="enabled")},
        "policies": {"public.orders.own": part("public.orders", roles=["app"])},
        "rules": {},
        "views": {
            "public.paid": {
                "schema": "public", "owner": "app", "acl": {}, "column_acl": {}, "definition": "d", "text": "t",
            }
        },
        "functions": {
            "public.touch()": {
                "schema": "public", "kind": "function", "owner": "app", "acl": {"public": "X"}, "definition": "d",
                "text": None,
            }
        },
        "types": {"public.mood": {"schema": "public", "kind": "enum", "owner": "app", "acl": {}, "definition": "d"}},
        "publications": {},
        "subscriptions": {},
        "event_triggers": {},
        "default_privileges": {},
        "others": {},
        "collations": {"default": {"recorded": "2.36", "actual": "2.36"}},
        "roles": ["app", "reader"],
        "watermarks": {"public.orders.created_at": "2026-01-30T23:59:00Z"},
        "notes": [],
    }  # fmt: skip


def changed(*changes: Change) -> Census:
    mapping = copy.deepcopy(whole())
    for each in changes:
        each(mapping)
    return census_from(mapping)


def put(path: str, value: Any) -> Change:
    """Set what lies at a path of keys, separated by slashes; None as the last key's value removes nothing."""

    def change(mapping: Mapping) -> None:
        *keys, last = path.split("|")
        for key in keys:
            mapping = mapping[key]
        mapping[last] = value

    return change


def drop(path: str) -> Change:
    def change(mapping: Mapping) -> None:
        *keys, last = path.split("|")
        for key in keys:
            mapping = mapping[key]
        del mapping[last]

    return change


ORIGINAL = changed()


def told(changes: list[Change], **options: Any) -> list[tuple[str, str]]:
    return [(each.code, each.detail) for each in compare(ORIGINAL, changed(*changes), **options)]


def test_a_whole_copy() -> None:
    assert compare(ORIGINAL, changed()) == []


def test_a_whole_copy_elsewhere() -> None:
    elsewhere = [
        put("database|name", "scratch"),
        put("database|size_bytes", 5),
        put("database|collate", "en_US.utf8"),
        put("server|system_identifier", "7000000000000000002"),
        put("server|version_num", 180004),
        put("server|lsn", "0/1"),
        put("taken_at", "2026-02-01T00:00:00.000000Z"),
        put("sequences|public.orders_id_seq|last_value", 1100),
        drop("indexes|public.orders.failed"),
        # Another major writes views otherwise, and has a privilege that the other has not.
        put("views|public.paid|text", "other"),
        put("tables|public.orders|acl", {"reader": "mr"}),
        put("tables|public.totals|text", "other"),
        put("watermarks", {}),
        put("collations", {}),
        put("tables|public.orders|bytes", 1),
    ]
    assert told(elsewhere) == []


CASES: dict[str, tuple[list[Change], list[tuple[str, str]]]] = {
    "table missing, with all that belongs to it": (
        [
            drop("tables|public.orders"),
            drop("constraints|public.orders.fk"),
            drop("indexes|public.orders.by_time"),
            drop("triggers|public.orders.touch"),
            drop("policies|public.orders.own"),
            drop("sequences|public.orders_id_seq"),
        ],
        [("structure_missing", "The table public.orders is missing.")],
    ),
    "schema missing": (
        [drop("schemas|billing"), drop("tables|billing.invoices"), drop("constraints|billing.invoices.pk")],
        [("structure_missing", "The schema billing is missing: 1 table with it.")],
    ),
    "partition missing": (
        [drop("tables|public.events_2"), put("tables|public.events|rows", 40)],
        [("structure_missing", "The partition public.events_2 is missing.")],
    ),
    "table too many": (
        [put("tables|public.more", table("public.more"))],
        [("structure_differs", "The table public.more is not in the original.")],
    ),
    "rows": (
        [put("tables|public.orders|rows", 999)],
        [
            (
                "row_count_mismatch",
                "The table public.orders has another number of rows: 1000 expected, 999 found.",
            )
        ],
    ),
    "rows of many tables": (
        [put(f"tables|{name}|rows", 0) for name in ("public.orders", "public.customers", "public.tiny", "public.pad")],
        [
            (
                "row_count_mismatch",
                "4 tables in schema public have another number of rows: public.orders (1000 expected, 0 found), "
                "public.customers (100 expected, 0 found), public.tiny (4 expected, 0 found) and 1 more.",
            )
        ],
    ),
    "content": (
        [put("tables|public.orders|digest", "0000000000000001")],
        [
            (
                "content_mismatch",
                "The table public.orders has other content: 1000 rows as expected, and in at least one of them a value "
                "is another.",
            )
        ],
    ),
    "content not asked for": ([put("tables|public.orders|digest", None)], []),
    "rows moved between partitions": (
        [
            put("tables|public.events_1|rows", 30),
            put("tables|public.events_2|rows", 30),
            put("tables|public.events_1|digest", "0000000000000001"),
        ],
        [],
    ),
    "rows of one partition": (
        [put("tables|public.events_1|rows", 30), put("tables|public.events|rows", 50)],
        [
            (
                "row_count_mismatch",
                "The partition public.events_1 has another number of rows: 40 expected, 30 found.",
            )
        ],
    ),
    "rows of several partitions": (
        [
            put("tables|public.events_1|rows", 30),
            put("tables|public.events_2|rows", 10),
            put("tables|public.events|rows", 40),
        ],
        [("row_count_mismatch", "The table public.events has another number of rows: 60 expected, 40 found.")],
    ),
    "column missing, and other content with it": (
        [put("tables|public.orders|columns", {"id": "bigint not null"}), put("tables|public.orders|digest", "1")],
        [("structure_differs", "The table public.orders has other columns: note is missing.")],
    ),
    "column of another type": (
        [put("tables|public.orders|columns|id", "integer not null"), put("tables|public.orders|digest", "1")],
        [
            (
                "structure_differs",
                "The table public.orders has other columns: id is integer not null instead of bigint not null.",
            )
        ],
    ),
    "column with another default, and other content": (
        [put("tables|public.orders|columns|note", "text"), put("tables|public.orders|digest", "1")],
        [
            (
                "structure_differs",
                "The table public.orders has other columns: note is text instead of text default 'x'.",
            ),
            (
                "content_mismatch",
                "The table public.orders has other content: 1000 rows as expected, and in at least one of them a value "
                "is another.",
            ),
        ],
    ),
    "columns in another order": (
        [put("tables|public.orders|order", "p")],
        [("structure_differs", "The table public.orders has its columns in another order.")],
    ),
    "something else under the name": (
        [put("tables|public.tiny|kind", "foreign table")],
        [("structure_differs", "The table public.tiny is something else: table expected, foreign table found.")],
    ),
    "not populated": (
        [put("tables|public.totals|populated", False)],
        [
            (
                "matview_unpopulated",
                "The materialized view public.totals is not populated: REFRESH MATERIALIZED VIEW failed or was left "
                "out.",
            )
        ],
    ),
    "row security": (
        [put("tables|public.orders|rls", "forced")],
        [
            (
                "structure_differs",
                "The table public.orders has another row security: disabled expected, forced found.",
            )
        ],
    ),
    "foreign keys not enforced": (
        [put("tables|public.orders|disabled_constraint_triggers", 2)],
        [
            (
                "structure_differs",
                "The table public.orders has other triggers disabled: 0 of the triggers that enforce its foreign keys "
                "were disabled, here 2.",
            )
        ],
    ),
    "owner": (
        [put("tables|public.orders|owner", "reader"), put("tables|public.orders|acl", {})],
        [("structure_differs", "The table public.orders has another owner: app expected, reader found.")],
    ),
    "privileges": (
        [put("functions|public.touch()|acl", {})],
        [("structure_differs", "The function public.touch() has other privileges: public=X expected, none found.")],
    ),
    "role missing": (
        [
            put("roles", ["app"]),
            put("tables|public.orders|acl", {}),
            put("tables|public.tiny|acl", {}),
        ],
        [("role_missing", "The role reader owns or is granted nothing in the copy.")],
    ),
    "extension missing": (
        [drop("extensions|hstore")],
        [("extension_missing", "The extension hstore is missing.")],
    ),
    "large objects missing": (
        [put("large_objects", {"count": 0, "bytes": 0, "digest": "0"})],
        [("large_objects_missing", "The large objects are missing: 2 expected, 0 found.")],
    ),
    "large objects changed": (
        [put("large_objects|digest", "0")],
        [("content_mismatch", "The large objects have other content: 9 bytes expected, 9 found.")],
    ),
    "encoding": (
        [put("database|encoding", "LATIN1"), put("tables|public.orders|digest", "1")],
        [
            (
                "encoding_mismatch",
                "The database shop has another encoding or locale: encoding UTF8 expected and LATIN1 found.",
            )
        ],
    ),
    "locale": (
        [put("database|collate", "C"), put("database|ctype", "POSIX")],
        [
            (
                "encoding_mismatch",
                "The database shop has another encoding or locale: sort order en_US.UTF-8 expected and C found, "
                "character classes en_US.UTF-8 expected and POSIX found.",
            )
        ],
    ),
    "sequence behind the original": (
        [put("sequences|public.orders_id_seq|is_called", False)],
        [
            (
                "sequence_behind",
                "The sequence public.orders_id_seq is behind: it gives 1000 next, and the original gives 1001.",
            )
        ],
    ),
    "sequence behind the column": (
        [put("sequences|public.orders_id_seq|max", 5000)],
        [
            (
                "sequence_behind",
                "The sequence public.orders_id_seq is behind: it gives 1001 next, and 5000 is taken in "
                "public.orders.id.",
            )
        ],
    ),
    "constraint not validated": (
        [put("constraints|public.orders.fk|validated", False)],
        [
            (
                "constraint_not_validated",
                "The constraint public.orders.fk is not validated: rows that break it may be there. ALTER TABLE … "
                "VALIDATE CONSTRAINT shows the first.",
            )
        ],
    ),
    "constraint missing": (
        [drop("constraints|public.orders.fk")],
        [("structure_differs", "The constraint public.orders.fk is missing.")],
    ),
    "index invalid": (
        [put("indexes|public.orders.by_time|valid", False)],
        [("structure_differs", "The index public.orders.by_time is invalid.")],
    ),
    "trigger disabled": (
        [put("triggers|public.orders.touch|enabled", "disabled")],
        [("structure_differs", "The trigger public.orders.touch is disabled: enabled in the original.")],
    ),
    "policy gone": (
        [drop("policies|public.orders.own")],
        [("structure_differs", "The policy public.orders.own is missing.")],
    ),
    "policy for others": (
        [put("policies|public.orders.own|roles", ["public"])],
        [("structure_differs", "The policy public.orders.own is for other roles: app expected, public found.")],
    ),
    "policy otherwise": (
        [put("policies|public.orders.own|definition", "e")],
        [("structure_differs", "The policy public.orders.own is defined otherwise.")],
    ),
    "view missing": ([drop("views|public.paid")], [("structure_missing", "The view public.paid is missing.")]),
    "view of other columns or tables": (
        [put("views|public.paid|definition", "e"), put("views|public.paid|text", "u")],
        [("structure_differs", "The view public.paid is defined otherwise.")],
    ),
    "function missing": (
        [drop("functions|public.touch()")],
        [("structure_missing", "The function public.touch() is missing.")],
    ),
    "type otherwise": (
        [put("types|public.mood|definition", "e")],
        [("structure_differs", "The enum public.mood is defined otherwise.")],
    ),
    "another database": (
        [put("tables", {f"public.t{number}": table("public.t") for number in range(5)})],
        [
            (
                "identity_mismatch",
                "The copy is of another database: it has 0 of the 9 tables of shop, and 5 others (public.t0, "
                "public.t1, public.t2, …).",
            )
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_is_told(case: str) -> None:
    changes, expected = CASES[case]
    assert told(changes) == expected


def test_nothing_at_all_is_no_other_database() -> None:
    found = compare(ORIGINAL, changed(put("tables", {})))
    assert "identity_mismatch" not in {each.code for each in found}
    assert found[0].count == 5
    assert found[0].detail == (
        "5 tables in schema public are missing: public.orders, public.customers, public.tiny and 2 more."
    )


def test_roles_that_were_left_out_on_purpose() -> None:
    changes = [
        put("roles", []),
        put("tables|public.orders|owner", "root"),
        put("tables|public.orders|acl", {}),
        put("policies|public.orders.own|roles", ["public"]),
    ]
    assert told(changes, ignore_roles=True) == []


def test_topics_that_are_left_out() -> None:
    changes = [
        put("tables|public.orders|rows", 1),
        put("large_objects|digest", "0"),
        put("large_objects|count", 0),
        drop("extensions|hstore"),
        put("database|encoding", "LATIN1"),
    ]
    assert told(changes, without=("content", "large_objects", "extensions", "locale")) == []


def test_what_says_something_about_the_server_is_noted() -> None:
    noted = [
        put("collations|default", {"recorded": "2.41", "actual": "2.41"}),
        put("extensions|hstore|version", "1.9"),
    ]
    found = compare(ORIGINAL, changed(*noted))
    assert [(each.code, each.noted, each.detail) for each in found] == [
        ("structure_differs", True, "The extension hstore has another version: 1.8 in the original, 1.9 here."),
        ("collation_version", True, "The collation default has another version: 2.36 in the original, 2.41 here."),
    ]


def test_what_may_be_the_same_in_other_words_is_noted() -> None:
    (one,) = compare(ORIGINAL, changed(put("views|public.paid|text", "u")))
    assert (one.code, one.noted, one.detail) == (
        "structure_differs",
        True,
        "The view public.paid is defined otherwise.",
    )
    valid = put("indexes|public.events.at", part("public.events", valid=True, is_partitioned=True))
    invalid = put("indexes|public.events.at", part("public.events", valid=False, is_partitioned=True))
    foreign = put("tables|public.events_2|kind", "foreign table")
    assert [each.noted for each in compare(changed(valid), changed(invalid))] == [False]
    assert [each.noted for each in compare(changed(valid, foreign), changed(invalid, foreign))] == [True]


def test_another_major_may_write_definitions_in_other_words() -> None:
    changes = [
        put("server|version_num", 180004),
        put("constraints|public.orders.fk|definition", "e"),
        put("tables|public.orders|columns|note", "text default 'X'"),
    ]
    assert [(each.object, each.noted) for each in compare(ORIGINAL, changed(*changes))] == [
        ("public.orders", True),
        ("public.orders.fk", True),
    ]
    changes.append(put("tables|public.orders|columns|id", "integer not null"))
    assert [(each.object, each.noted) for each in compare(ORIGINAL, changed(*changes))] == [
        ("public.orders", False),
        ("public.orders.fk", True),
    ]


def test_a_physical_copy() -> None:
    assert compare(ORIGINAL, changed(put("tables|public.pad|rows", 0)), physical=True) == []
    (one,) = compare(ORIGINAL, changed(put("collations|default|actual", "2.41")), physical=True)
    assert (one.code, one.noted) == ("collation_version", False)
    assert one.detail == (
        "The collation default has another version: 2.36 in the original, 2.41 here; every index over text has to be "
        "built anew."
    )
    (one,) = compare(ORIGINAL, changed(put("server|system_identifier", "8")), physical=True)
    assert one.code == "identity_mismatch"
    assert one.detail == "The copy is of another server: its system identifier is not the original's."


def test_sequences_that_count_downwards_and_round() -> None:
    down = [put("sequences|public.orders_id_seq|increment", -1), put("sequences|public.orders_id_seq|last_value", 50)]
    original = changed(*down, put("sequences|public.orders_id_seq|max", 50))
    ahead = changed(*down, put("sequences|public.orders_id_seq|last_value", 40))
    behind = changed(*down, put("sequences|public.orders_id_seq|last_value", 60))
    assert compare(original, ahead) == []
    assert [each.code for each in compare(original, behind)] == ["sequence_behind"]
    around = put("sequences|public.orders_id_seq|cycle", True)
    assert compare(changed(around), changed(around, put("sequences|public.orders_id_seq|last_value", 1))) == []


def test_what_the_original_did_to_itself_is_no_fault_of_the_copy() -> None:
    behind = put("sequences|public.orders_id_seq|max", 5000)
    assert compare(changed(behind), changed(behind)) == []
    assert [each.detail for each in weaknesses(changed(behind))] == [
        "The sequence public.orders_id_seq is behind: it gives 1001 next, and 5000 is taken in public.orders.id.",
        "The index public.orders.failed is invalid.",
    ]


# --- the backup before
LATER = [
    put("taken_at", "2026-02-01T00:00:00.000000Z"),
    put("server|lsn", "2/10000000"),
    put("watermarks", {"public.orders.created_at": "2026-01-31T23:59:00Z"}),
]

REGRESSIONS: dict[str, tuple[list[Change], list[tuple[str, str]]]] = {
    "a day later": (LATER, []),
    "the same once more": (
        [],
        [
            (
                "watermark_repeats",
                "The database shop is the previous backup once more: its snapshot is of 2026-01-31T00:00:00.000000Z, "
                "and the previous verified backup's of 2026-01-31T00:00:00.000000Z.",
            )
        ],
    ),
    "an older one": (
        [put("taken_at", "2026-01-30T00:00:00.000000Z")],
        [
            (
                "watermark_repeats",
                "The database shop is older than the previous verified backup: its snapshot is of "
                "2026-01-30T00:00:00.000000Z, and the previous verified backup's of 2026-01-31T00:00:00.000000Z.",
            )
        ],
    ),
    "content that stands still": (
        [*LATER, put("watermarks", {"public.orders.created_at": "2026-01-30T23:59:00Z"})],
        [
            (
                "watermark_repeats",
                "The database shop has nothing new: the newest public.orders.created_at is 2026-01-30T23:59:00Z, and "
                "was 2026-01-30T23:59:00Z before.",
            )
        ],
    ),
    "content of half a second later": (
        [*LATER, put("watermarks", {"public.orders.created_at": "2026-01-30T23:59:00.5Z"})],
        [],
    ),
    "WAL of before": (
        [*LATER, put("server|lsn", "1/9FFFFFFF")],
        [
            (
                "watermark_repeats",
                "The database shop is older than the previous verified backup: the server's WAL was at 1/9FFFFFFF, and "
                "at 1/A0000000 in the previous verified backup.",
            )
        ],
    ),
    "another database": (
        [*LATER, put("database|name", "test")],
        [
            (
                "identity_mismatch",
                "This is a backup of the database test, and the previous verified one is of shop.",
            )
        ],
    ),
    "another server": (
        [*LATER, put("server|system_identifier", "7")],
        [
            (
                "identity_mismatch",
                "This is a backup of shop on another server than the previous verified one (system identifier 7, and "
                "7000000000000000001 before). After a move, verify this one by itself first.",
            )
        ],
    ),
    "a new major": (
        [*LATER, put("server|system_identifier", "7"), put("server|version_num", 180004)],
        [],
    ),
    "a table gone": (
        [*LATER, drop("tables|public.customers")],
        [
            (
                "structure_regression",
                "The table public.customers was in the previous verified backup and is gone.",
            )
        ],
    ),
    "a schema gone": (
        [*LATER, drop("schemas|billing"), drop("tables|billing.invoices")],
        [
            ("structure_regression", "The schema billing was in the previous verified backup and is gone."),
        ],
    ),
    "an old partition dropped, as planned": (
        [*LATER, drop("tables|public.events_2"), put("tables|public.events|rows", 50)],
        [],
    ),
    "a third of the rows gone": (
        [*LATER, put("tables|public.customers|rows", 70)],
        [
            (
                "volume_regression",
                "The table public.customers has lost rows: 100 in the previous verified backup, 70 now (30 % fewer).",
            )
        ],
    ),
    "less than a third of the rows gone": ([*LATER, put("tables|public.customers|rows", 71)], []),
    "a small table empty": ([*LATER, put("tables|public.tiny|rows", 0)], []),
    "many rows gone": (
        [*LATER, put("tables|public.orders|rows", 100)],
        [
            (
                "volume_regression",
                "The table public.orders has lost rows: 1000 in the previous verified backup, 100 now (90 % fewer).",
            ),
            (
                "volume_regression",
                "The database shop has lost rows: 1667 in the previous verified backup, 767 now (54 % fewer).",
            ),
        ],
    ),
}


@pytest.mark.parametrize("case", REGRESSIONS)
def test_against_the_backup_before(case: str) -> None:
    changes, expected = REGRESSIONS[case]
    assert [(each.code, each.detail) for each in regressions(ORIGINAL, changed(*changes))] == expected


def test_how_much_may_be_gone() -> None:
    fewer = changed(*LATER, put("tables|public.customers|rows", 60))
    assert regressions(ORIGINAL, fewer, volume_percent=41) == []
    assert len(regressions(ORIGINAL, fewer, volume_percent=40)) == 1


# --- out of a manifest
BROKEN: dict[str, tuple[Any, str]] = {
    "nothing": (None, "The census is not a mapping, so nothing can be compared with it."),
    "another format": (
        {**whole(), "format": 2},
        "The census has format 2, and this version of the collection compares format 1 only. Verify with the version "
        "that wrote it, or take a new backup.",
    ),
    "a part missing": (
        {key: value for key, value in whole().items() if key != "tables"},
        "The census lacks 'tables', so nothing can be compared with it.",
    ),
    "a part of another kind": ({**whole(), "roles": "app"}, "The census holds a str as 'roles'."),
    "no version": ({**whole(), "server": {}}, "The census does not say which version its server had."),
}


@pytest.mark.parametrize("case", BROKEN)
def test_no_census(case: str) -> None:
    mapping, message = BROKEN[case]
    with pytest.raises(Undecided) as undecided:
        census_from(mapping)
    assert undecided.value.message == message


def test_figures_of_a_census() -> None:
    assert census_from(ORIGINAL.as_dict()) == ORIGINAL
    assert ORIGINAL.row_count == 1667
    assert ORIGINAL.major == 15
    assert Watermark("public", "Mixed Case", "at").name == 'public."Mixed Case".at'
    assert Scope(("a",)).covers("a")
    assert not Scope(("a",)).covers("b")
    assert not Scope((), ("b",)).covers("b")
    assert Scope((), ("b",)).whole
