"""Whether a VACUUM would be in vain: a case table over holders and tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.vacuum.horizon import (
    CATALOG,
    DATA,
    SHARED,
    Checkpoint,
    Horizon,
    age_futile,
    horizon,
    rows_futile,
)

NOW = dt.datetime(2026, 1, 31, 9, 0, tzinfo=dt.timezone.utc)


def ago(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(seconds=seconds)


def holder(kind: str = "session", **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": kind, "pid": 7, "database": "shop", "user": "app", "application": "api", "state": "idle in transaction",
        "name": None, "xid_age": 100, "since": ago(7200), "backend_type": "client backend", "now": NOW,
        "held_since": ago(600),
    }  # fmt: skip
    row.update(more)
    return {"data_xid_age": row["xid_age"], **row}


def slot(**more: Any) -> dict[str, Any]:
    return holder("replication slot", name="gone", held_since=None, backend_type=None, **more)


def standby(**more: Any) -> dict[str, Any]:
    named = {"database": None, "application": "replica", "held_since": None, "backend_type": "walsender"}
    return holder("standby", **{**named, **more})


def found(*rows: dict[str, Any], checkpoint: Checkpoint | None = None) -> Horizon:
    return horizon(rows, "shop", checkpoint, sees_all=True)


@pytest.mark.parametrize(
    ("row", "data", "catalog", "shared"),
    [
        (holder(), 100, 100, 100),
        (holder(database="other"), None, None, 100),
        (holder(database=None), None, None, 100),
        (holder("prepared transaction", name="a"), 100, 100, 100),
        (holder("prepared transaction", name="a", database="other"), None, None, 100),
        (standby(), 100, 100, 100),
        (standby(database="other"), None, None, 100),
        (slot(), 100, 100, 100),
        (slot(database="other", data_xid_age=None), None, 100, 100),
        (slot(xid_age=500, data_xid_age=20), 20, 500, 500),
    ],
)
def test_whom_a_table_has_to_wait_for(
    row: dict[str, Any], data: int | None, catalog: int | None, shared: int | None
) -> None:
    where = found(row)
    ages = [each.xid_age if (each := where.holder(scope)) else None for scope in (DATA, CATALOG, SHARED)]
    assert ages == [data, catalog, shared]


def test_the_oldest_decides_and_the_stubborn_one_is_named() -> None:
    prepared = holder("prepared transaction", name="order 1", held_since=ago(5000))
    where = found(holder(xid_age=3), holder(held_since=ago(60)), prepared)
    oldest = where.holder(DATA)
    assert oldest is not None
    assert (oldest.label, oldest.xid_age, oldest.since) == ("prepared transaction order 1", 100, ago(5000))
    assert oldest.as_dict() == {
        "kind": "prepared transaction", "name": "order 1", "pid": 7, "database": "shop", "user": "app",
        "application": "api", "xid_age": 100, "held_since": "2026-01-31T07:36:40Z",
        "fix": "In database shop: COMMIT PREPARED or ROLLBACK PREPARED 'order 1'.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("row", "checkpoint", "since", "is_assumed"),
    [
        (holder(), None, ago(600), False),
        (holder(), Checkpoint(ago(1000), 99), ago(1000), False),
        (holder(), Checkpoint(ago(1000), 100), ago(600), False),
        (holder(), Checkpoint(ago(30), 50), ago(600), False),
        (slot(), None, ago(60), True),
        (slot(), Checkpoint(ago(1000), 100), ago(60), True),
        (slot(), Checkpoint(ago(1000), 99), ago(1000), False),
        (standby(), Checkpoint(ago(20), 99), ago(20), False),
    ],
)
def test_since_when(row: dict[str, Any], checkpoint: Checkpoint | None, since: dt.datetime, is_assumed: bool) -> None:
    oldest = found(row, checkpoint=checkpoint).holder(DATA)
    assert oldest is not None
    assert (oldest.since, oldest.is_assumed) == (since, is_assumed)


SESSION = "session pid 7 (api on shop)"


@pytest.mark.parametrize(
    ("row", "xid_age", "last_vacuum", "max_age", "why"),
    [
        # Everything in the table is younger than what the holder may see, or just as old.
        (holder(), 100, None, 0, f"nothing in it is older than what {SESSION} may still see"),
        (holder(), 50, ago(9000), 0, f"nothing in it is older than what {SESSION} may still see"),
        (holder(), 101, None, 0, None),
        # It was there at the last VACUUM, or it was not.
        (
            holder(), 5000, ago(300), 0,
            "the last VACUUM, at 2026-01-31T08:55:00Z, removed what could be, and "
            f"{SESSION} has been there since 2026-01-31T08:50:00Z",
        ),
        (holder(), 5000, ago(601), 0, None),
        # Nobody knows since when; a minute is taken for granted.
        (
            standby(), 5000, ago(30), 0,
            "the last VACUUM, at 2026-01-31T08:59:30Z, removed what could be, and "
            "standby replica (pid 7) is still there",
        ),
        (standby(), 5000, ago(61), 0, None),
        # The policy.
        (holder(), 5000, ago(900), 599, f"{SESSION} has held it back for 600 s (max_holder_age is 599 s)"),
        (holder(), 5000, ago(900), 601, None),
        (standby(), 5000, ago(900), 10, None),
    ],
)  # fmt: skip
def test_in_vain_for_rows(
    row: dict[str, Any], xid_age: int, last_vacuum: dt.datetime | None, max_age: float, why: str | None
) -> None:
    futile = rows_futile(found(row), DATA, xid_age=xid_age, last_vacuum=last_vacuum, max_holder_age=max_age)
    assert (futile.why if futile else None) == why
    if futile and row["kind"] == "session":
        assert futile.remedy == (
            "End its transaction in the application, or terminate the session. Then run the task again."
        )


@pytest.mark.parametrize(("due", "futile"), [(99, True), (100, True), (101, False)])
def test_in_vain_for_an_age(due: float, futile: bool) -> None:
    found_futile = age_futile(found(holder()), DATA, due)
    assert (found_futile is not None) is futile
    if found_futile:
        assert found_futile.why == f"{SESSION} keeps it at an age of 100 at least"


def test_nobody_holds_anything() -> None:
    where = found()
    assert (where.holder(DATA), where.now) == (None, None)
    assert rows_futile(where, DATA, xid_age=0, last_vacuum=NOW, max_holder_age=1) is None
    assert age_futile(where, DATA, 0) is None
