"""postgresql_retention against real servers: what is due goes, whole and proven, and what would go wrong is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lab.postgresql import PostgresServer

Result = dict[str, Any]
RunModule = Callable[..., Result]

NOW = "2026-06-01T00:00:00Z"

SHOP = """
    CREATE TYPE public.mood AS ENUM ('fine', 'bad');
    CREATE TABLE public.events (
        id bigint PRIMARY KEY, status text NOT NULL, created_at timestamptz, amount numeric(12, 2), note varchar(40),
        document json, details jsonb, mood public.mood, tags text[], raw bytea, ratio float8, day date, at timestamp,
        doubled bigint GENERATED ALWAYS AS (id * 2) STORED);
    CREATE INDEX ON public.events (created_at, id);
    CREATE TABLE public.events_archive (LIKE public.events INCLUDING INDEXES);
    ALTER TABLE public.events_archive ADD COLUMN archived_at timestamptz DEFAULT now();
    INSERT INTO public.events (id, status, created_at, amount, note, document, details, mood, tags, raw, ratio, day, at)
    SELECT g, CASE WHEN g %% 10 = 0 THEN 'FAILED' ELSE 'COMPLETED' END,
           -- Many rows share a moment, and a batch ends among them.
           CASE WHEN g %% 50 = 1 THEN NULL
                ELSE timestamptz '2026-01-01 00:00+00' + (g / 700) * interval '10 days' END,
           g / 3.0, 'row ' || g, E'{"b": 1,\\n "a": [1, 2]}', '{"k": "v"}', (ARRAY['fine', 'bad'])[1 + g %% 2]::mood,
           ARRAY['x', NULL, 'a,b'], decode('00ff', 'hex'), CASE WHEN g %% 7 = 0 THEN 'NaN' ELSE random() END,
           date '2020-01-01' + g, timestamp '2020-01-01' + g * interval '1 s'
    FROM generate_series(1, 10000) g;
    ANALYZE;
"""
ROWS = 10000
# Before 2026-03-03: the first seven steps of ten days, of those that are COMPLETED and have a date.
DUE = "created_at < timestamptz '2026-03-03 00:00+00' AND status = 'COMPLETED'"


@dataclass
class Shop:
    server: PostgresServer
    name: str
    run_module: RunModule
    login: Result = field(default_factory=dict)

    def run(self, *policies: Result, check_mode: bool = False, diff: bool = False, **options: Any) -> Result:
        arguments = {
            **self.server.login(self.name),
            "policies": list(policies),
            "reference_time": NOW,
            **self.login,
            **options,
        }
        return self.run_module("postgresql_retention", arguments, check_mode=check_mode, diff=diff)

    def psql(self, statement: str) -> str:
        return self.server.psql(statement, db=self.name)

    def execute(self, statement: str) -> None:
        self.server.execute(statement, db=self.name)

    def count(self, table: str, condition: str = "true") -> int:
        return int(self.psql(f"SELECT count(*) FROM {table} WHERE {condition}"))


def archive(**more: Any) -> Result:
    return {
        "name": "events",
        "table": "public.events",
        "column": "created_at",
        "keep": "90 days",
        "where": [{"column": "status", "value": "COMPLETED"}],
        "action": "archive",
        "archive_table": "public.events_archive",
        **more,
    }


COLUMNS = "id, status, created_at, amount, note, document::text, details, mood, tags, raw, ratio, day, at, doubled"


@pytest.fixture
def shop(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> Shop:
    """On every major version."""
    postgresql_by_major.execute(SHOP.replace("%%", "%"), db=database_by_major)
    return Shop(postgresql_by_major, database_by_major, run_module)


@pytest.fixture
def one(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Shop:
    """On the preferred version, for what does not depend on it."""
    postgresql_server.execute(SHOP.replace("%%", "%"), db=postgresql_database)
    return Shop(postgresql_server, postgresql_database, run_module)


def test_archive(shop: Shop) -> None:
    shop.execute("CREATE TABLE public.original AS SELECT * FROM public.events")
    due = shop.count("public.events", DUE)
    assert due > 2000
    predicted = shop.run(archive(), check_mode=True, diff=True)
    assert (predicted["changed"], predicted["after"], predicted["refused"]) == (True, None, [])
    assert predicted["diff"] == {"before": f"events: {due} due rows\n", "after": "events: 0 due rows\n"}
    assert shop.count("public.events") == ROWS
    assert shop.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'runbook_ops'") == "0"

    done = shop.run(archive(), batch_rows=300)
    assert done["changed"], done
    assert [{**each, "batches": 0} for each in done["actions"]] == [
        {**each, "batches": 0} for each in predicted["actions"]
    ]
    [policy] = done["policies"]
    assert (policy["rows"], policy["remaining"], policy["proof"][0]["proven"]) == (due, 0, True)
    assert policy["proof"][0]["archived"] == due
    assert policy["proof"][0]["digest"] == policy["proof"][0]["archived_digest"]
    assert done["before"]["events"]["rows_due"] == due
    assert done["after"]["events"]["rows_due"] == 0
    assert [each["done"] for each in done["vacuumed"]] == [True]

    # By another tool: every row is once in one of both tables, with all its columns.
    assert shop.count("public.events_archive") == due
    assert shop.count("public.events", DUE) == 0
    difference = f"""
        WITH whole AS (SELECT {COLUMNS} FROM public.events UNION ALL SELECT {COLUMNS} FROM public.events_archive)
        SELECT count(*) FROM (
            (SELECT md5(o::text) FROM (SELECT {COLUMNS} FROM public.original) o
             EXCEPT ALL SELECT md5(b::text) FROM whole b)
            UNION ALL
            (SELECT md5(b::text) FROM whole b
             EXCEPT ALL SELECT md5(o::text) FROM (SELECT {COLUMNS} FROM public.original) o)) x
    """
    assert shop.psql(difference) == "0"
    assert shop.psql("SELECT state, rows, remaining FROM runbook_ops.retention_ledger") == f"done|{due}|0"

    again = shop.run(archive(), check_mode=True)
    assert (again["changed"], again["actions"]) == (False, [])
    again = shop.run(archive())
    assert (again["changed"], again["actions"], again["policies"]) == (False, [], [])


def test_purge(shop: Shop) -> None:
    policy = archive(action="purge", archive_table=None)
    due = shop.count("public.events", DUE)
    done = shop.run(policy)
    assert (done["policies"][0]["rows"], shop.count("public.events")) == (due, ROWS - due)
    assert shop.run(policy)["changed"] is False


# --- children
ORDERS = """
    CREATE TABLE public."Orders" ("Id" bigint PRIMARY KEY, "closedAt" timestamptz NOT NULL, note text);
    CREATE INDEX ON public."Orders" ("closedAt");
    CREATE TABLE public.lines (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES public."Orders" {on_delete},
                               text text);
    CREATE INDEX ON public.lines (order_id);
    CREATE TABLE public.line_notes (line_id bigint REFERENCES public.lines {on_delete}, n int, text text,
                                    PRIMARY KEY (line_id, n));
    CREATE TABLE public."Orders_archive" (LIKE public."Orders" INCLUDING INDEXES);
    CREATE TABLE public.lines_archive (LIKE public.lines INCLUDING INDEXES);
    CREATE TABLE public.line_notes_archive (LIKE public.line_notes INCLUDING INDEXES);
    INSERT INTO public."Orders" SELECT g, timestamptz '2026-01-01 00:00+00' + g * interval '2 hours', 'o' || g
    FROM generate_series(1, 2000) g;
    INSERT INTO public.lines SELECT g, 1 + g / 3, 'l' || g FROM generate_series(1, 5900) g;
    INSERT INTO public.line_notes SELECT g / 2, g % 2, 'n' || g FROM generate_series(2, 11000) g;
    ANALYZE;
"""


def orders(**more: Any) -> Result:
    return {
        "name": "orders",
        "table": "public.Orders",
        "column": "closedAt",
        "keep": "90 days",
        "action": "archive",
        "archive_table": "public.Orders_archive",
        "children": [
            {"table": "public.line_notes", "archive_table": "public.line_notes_archive"},
            {"table": "public.lines", "archive_table": "public.lines_archive"},
        ],
        **more,
    }


ORDER_DUE = """o."closedAt" < timestamptz '2026-03-03 00:00+00'"""
DUE_COUNTS = {
    '"Orders"': f'SELECT count(*) FROM public."Orders" o WHERE {ORDER_DUE}',
    "lines": f'SELECT count(*) FROM public.lines l JOIN public."Orders" o ON o."Id" = l.order_id WHERE {ORDER_DUE}',
    "line_notes": "SELECT count(*) FROM public.line_notes n JOIN public.lines l ON l.id = n.line_id "
    f'JOIN public."Orders" o ON o."Id" = l.order_id WHERE {ORDER_DUE}',
}


def due_counts(shop: Shop) -> list[int]:
    return [int(shop.psql(statement)) for statement in DUE_COUNTS.values()]


@pytest.mark.parametrize("on_delete", ["", "ON DELETE CASCADE", "ON DELETE RESTRICT"])
def test_children_go_first_and_whole(shop: Shop, on_delete: str) -> None:
    shop.execute(ORDERS.format(on_delete=on_delete))
    due = due_counts(shop)
    assert min(due) > 500
    totals = [shop.count(f"public.{name}") for name in DUE_COUNTS]
    predicted = shop.run(orders(), check_mode=True)
    [action] = [each for each in predicted["actions"] if each["action"] == "archive"]
    assert action["rows"] == due[0]
    assert {each["object"]: each["rows"] for each in action["children"]} == {
        "public.lines": due[1],
        "public.line_notes": due[2],
    }
    done = shop.run(orders(), batch_rows=70)
    assert done["actions"] == shop_actions(predicted, done)
    [policy] = done["policies"]
    assert policy["rows"] == due[0]
    assert policy["child_rows"] == {"public.lines": due[1], "public.line_notes": due[2]}
    left = [total - moved for total, moved in zip(totals, due, strict=True)]
    assert [shop.count(f"public.{name}") for name in DUE_COUNTS] == left
    assert [
        shop.count(f"public.{name[:-1] + '_archive' + name[-1] if name[-1] == chr(34) else name + '_archive'}")
        for name in DUE_COUNTS
    ] == due
    assert shop.psql("SELECT rows, child_rows FROM runbook_ops.retention_ledger") == f"{due[0]}|{due[1] + due[2]}"
    assert shop.run(orders())["changed"] is False


def shop_actions(predicted: Result, done: Result) -> list[Result]:
    """The predicted actions, with the estimate of batches of the real run, whose first batch was another."""
    return [
        {**each, "batches": other["batches"]} if "batches" in each else each
        for each, other in zip(predicted["actions"], done["actions"], strict=True)
    ]


def test_manual_archiving_loses_the_items_of_a_cascade(one: Shop) -> None:
    one.execute(ORDERS.format(on_delete="ON DELETE CASCADE"))
    items = due_counts(one)[1]
    refused = one.run(orders(children=[]), on_refusal="report")
    assert refused["changed"] is False
    assert refused["refused"] == [
        {
            "object": "orders: public.Orders",
            "reason": "foreign key lines_order_id_fkey of public.lines deletes its rows together with ours "
            "(ON DELETE CASCADE), unarchived, and it is not declared",
            "remedy": "Declare public.lines in children, with what happens to its rows.",
        }
    ]
    # The manual's statements, as they are there.
    before = one.count("public.lines")
    one.execute(
        f"""
        BEGIN;
        INSERT INTO public."Orders_archive" SELECT * FROM public."Orders" o WHERE {ORDER_DUE};
        DELETE FROM public."Orders" o WHERE {ORDER_DUE};
        COMMIT;
        """
    )
    assert before - one.count("public.lines") == items
    assert one.count("public.lines_archive") == 0


# --- going on after an interruption
def test_unfinished_job_is_finished_under_its_own_cutoff(one: Shop) -> None:
    """The run is stopped by a limit it cannot meet; a day later it is taken up, and then the new day's rows go."""
    blocker = one.server.connect(one.name, autocommit=False)
    waiter = one.server.connect(one.name)
    with blocker.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(1)")
        thread = threading.Thread(target=lambda: waiter.cursor().execute("SELECT pg_advisory_xact_lock(1)"))
        thread.start()
        deadline = time.monotonic() + 240
        while one.psql("SELECT count(*) FROM pg_locks WHERE NOT granted") != "1":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        stopped = one.run(archive(), max_lock_waiters=0, max_pause_seconds=0)
        blocker.rollback()
        thread.join()
    blocker.close()
    waiter.close()
    assert stopped["failed"]
    assert stopped["msg"].startswith(
        "Stopped after waiting 0 seconds because 1 sessions wait for locks (max_lock_waiters: 0). What was moved is "
        "whole and noted in the ledger. Run the task again"
    )
    assert stopped["actions"][1]["rows"] > 2000
    assert one.psql("SELECT state, cutoff FROM runbook_ops.retention_ledger") == "running|2026-03-03 00:00:00+00"

    later = {"reference_time": "2026-06-25T00:00:00Z"}
    predicted = one.run(archive(), check_mode=True, **later)
    assert [(each["cutoff"], each["resumes"]) for each in predicted["actions"]] == [
        ("2026-03-03 00:00:00+00", True),
        ("2026-03-27 00:00:00+00", False),
    ]
    done = one.run(archive(), **later)
    assert done["actions"] == predicted["actions"], done
    assert one.psql(
        "SELECT string_agg(state || ' ' || cutoff, ', ' ORDER BY job) FROM runbook_ops.retention_ledger"
    ) == ("done 2026-03-03 00:00:00+00, done 2026-03-27 00:00:00+00")
    assert done["policies"][0]["rows"] == sum(each["rows"] for each in predicted["actions"])
    assert one.count("public.events", "created_at < '2026-03-27' AND status = 'COMPLETED'") == 0


def test_changed_policy_does_not_take_up_the_job(one: Shop) -> None:
    one.run(archive())
    one.execute("UPDATE runbook_ops.retention_ledger SET state = 'running', last_key = ARRAY['2026-02-01', '1']")
    one.execute("INSERT INTO public.events (id, status, created_at) VALUES (77777, 'FAILED', '2026-01-02')")
    done = one.run(archive(where=[{"column": "status", "operator": "in", "value": ["COMPLETED", "FAILED"]}]))
    assert [each["action"] for each in done["actions"]] == ["abandon", "archive"]
    assert not done["actions"][1]["resumes"]
    assert one.psql("SELECT string_agg(state, ',' ORDER BY job) FROM runbook_ops.retention_ledger") == "abandoned,done"
    assert one.count("public.events", "created_at < '2026-03-03' AND status <> 'COMPLETED'") == 0


def test_timestamp_alone_loses_ties_and_the_key_does_not(one: Shop) -> None:
    """The usual keyset by time: seven hundred rows share a moment, and a batch ends among them."""
    one.execute("CREATE TABLE public.copy AS SELECT * FROM public.events")
    one.execute(
        """
        DO $$
        DECLARE last timestamptz := '-infinity'; here timestamptz[];
        BEGIN
            LOOP
                SELECT array_agg(created_at) INTO here FROM (
                    SELECT created_at FROM public.copy WHERE created_at > last AND created_at < '2026-03-03 00:00+00'
                       AND status = 'COMPLETED' ORDER BY created_at LIMIT 1000) x;
                EXIT WHEN here IS NULL;
                DELETE FROM public.copy WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM public.copy WHERE created_at > last AND created_at < '2026-03-03 00:00+00'
                       AND status = 'COMPLETED' ORDER BY created_at LIMIT 1000));
                last := here[cardinality(here)];
            END LOOP;
        END $$
        """
    )
    assert one.count("public.copy", DUE) > 500
    one.run(archive(), batch_rows=1000, max_batch_rows=1000)
    assert one.count("public.events", DUE) == 0


def test_locked_rows_are_passed_over_and_swept_up(one: Shop) -> None:
    """Others hold a row until a while after the run has passed it: the sweep takes it."""
    holder = one.server.connect(one.name, autocommit=False)
    with holder.cursor() as cursor:
        cursor.execute("SELECT FROM public.events WHERE id = 702 FOR UPDATE")
        cursor.execute("SELECT FROM public.events WHERE id = 11 FOR UPDATE")
        timer = threading.Timer(3.0, holder.rollback)
        timer.start()
        done = one.run(archive(), batch_rows=400)
        timer.join()
    holder.close()
    assert done["policies"][0]["remaining"] in (0, 2)
    assert done["policies"][0]["proof"][0]["proven"]
    assert one.count("public.events", DUE) == done["policies"][0]["remaining"]


def test_names_that_need_quotes(one: Shop) -> None:
    one.execute(
        """
        CREATE SCHEMA "My %s Schema";
        CREATE TABLE "My %s Schema"."Odd.Näme" ("Key %" int PRIMARY KEY, "When?" date, "select" text);
        INSERT INTO "My %s Schema"."Odd.Näme" SELECT g, date '2026-01-01' + g, 'x' FROM generate_series(0, 99) g;
        CREATE TABLE "My %s Schema".archive (LIKE "My %s Schema"."Odd.Näme" INCLUDING INDEXES);
        """
    )
    policy = archive(
        table='"My %s Schema"."Odd.Näme"',
        column="When?",
        where=[{"column": "select", "value": "x"}, {"column": "Key %", "operator": "not in", "value": [3, "4"]}],
        archive_table='"My %s Schema".archive',
    )
    done = one.run(policy)
    assert not done.get("failed"), done
    assert one.psql('SELECT count(*) FROM "My %s Schema".archive') == "59"
    assert one.psql('SELECT max("When?") FROM "My %s Schema".archive') == "2026-03-02"


def test_column_without_time_zone(one: Shop) -> None:
    """Midnight in Seoul is 15:00 of the day before in UTC, and column_timezone says which of them a column holds."""
    one.execute("CREATE INDEX ON public.events (at)")
    seoul = {"reference_time": "2020-01-02T00:00:00+09:00", "timezone": "Asia/Seoul", "check_mode": True}
    policy = archive(action="purge", archive_table=None, column="at", keep="1d", where=[])
    assert one.run(policy, **seoul)["actions"] == []
    early = one.run({**policy, "keep": "9 hours"}, **seoul)["actions"]
    assert (early[1]["cutoff"], early[1]["rows"]) == ("2020-01-01 15:00:00", ROWS)
    utc = one.run({**policy, "keep": "1 hour", "column_timezone": "UTC"}, **seoul)["actions"]
    assert utc[1]["cutoff"] == "2020-01-01 14:00:00"


def test_pace_and_pauses(one: Shop) -> None:
    began = time.monotonic()
    # The rest is a multiple of what a batch takes, which on a machine with other work may be long.
    pace = {"throttle": "gentle", "pause_ratio": 2, "max_rows_per_second": 1000}
    done = one.run(archive(), batch_rows=100, max_batch_rows=100, **pace)
    rows = done["policies"][0]["rows"]
    assert rows / (time.monotonic() - began) <= 1000
    assert done["policies"][0]["batches"] >= rows / 100


def test_progress_is_told(one: Shop, tmp_path: Path) -> None:
    path = tmp_path / "progress"
    done = one.run(archive(), progress_path=str(path), vacuum=False)
    assert done["changed"]
    state = json.loads(path.read_text(encoding="utf-8"))
    assert (state["phase"], state["what"]) == ("prove", "public.events")
