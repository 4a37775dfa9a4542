"""postgresql_query_info on every major version: figures that rules can judge, and what must not get through."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from lab.postgresql import PostgresServer

Result = dict[str, Any]
RunModule = Callable[..., Result]

SCHEMA = """
    CREATE TABLE registrations (id bigserial PRIMARY KEY, state text NOT NULL, created_at timestamptz NOT NULL);
    CREATE TABLE empty (LIKE registrations);
    CREATE SCHEMA sales;
    CREATE TABLE sales.orders (id int, note text);
    INSERT INTO sales.orders SELECT g, 'note ' || g FROM generate_series(1, 25) g;
"""


@dataclass
class Database:
    server: PostgresServer
    name: str
    run_module: RunModule

    def run(self, *queries: Result, login: Result | None = None, **options: Any) -> Result:
        arguments = {**(login or self.server.login(self.name)), "queries": list(queries), **options}
        return self.run_module("postgresql_query_info", arguments)

    def psql(self, statement: str) -> str:
        return self.server.psql(statement, db=self.name)


@pytest.fixture
def database(postgresql_by_major: PostgresServer, database_by_major: str, run_module: RunModule) -> Database:
    postgresql_by_major.execute(SCHEMA, db=database_by_major)
    return Database(postgresql_by_major, database_by_major, run_module)


@pytest.fixture
def one(postgresql_server: PostgresServer, postgresql_database: str, run_module: RunModule) -> Database:
    """The preferred server only, for what does not depend on the version."""
    postgresql_server.execute(SCHEMA, db=postgresql_database)
    return Database(postgresql_server, postgresql_database, run_module)


@pytest.fixture
def reader(one: Database) -> Iterator[Result]:
    """A login that may connect and nothing else."""
    name = f"reader_{os.urandom(4).hex()}"
    one.server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'only me @:/%'")
    yield one.server.login(one.name, user=name, password="only me @:/%")
    one.server.execute(f"DROP OWNED BY {name}", db=one.name)
    one.server.execute(f"DROP ROLE {name}")


def test_figures(database: Database) -> None:
    sql = """
        SELECT 3 AS whole, round(200.0 / 3, 2) AS number, sum(v) AS total, 'NaN'::float8 AS nan, NULL AS missing,
               true AS yes, '{1,2}'::int[] AS list, '{"a": [1.5, null]}'::jsonb AS document,
               timestamptz '2026-01-31 09:00:00+09' AS moment, timestamp '2026-01-31 09:00' AS local,
               date '2026-01-31' AS day, interval '1 hour 30 s' AS duration, 'x'::text AS text
          FROM (VALUES (1::bigint), (9007199254740993)) AS t (v);
    """
    result = database.run({"name": "figures", "sql": sql, "single_row": True})
    assert (result["changed"], result["available"], result["reason"], result["skipped_sections"]) == (
        False,
        True,
        None,
        [],
    )
    figures = result["queries"]["figures"]
    duration = figures.pop("duration_seconds")
    assert 0 <= duration < 60
    row = {
        "whole": 3,
        "number": 66.67,
        "total": 9007199254740994,
        "nan": None,
        "missing": None,
        "yes": True,
        "list": [1, 2],
        "document": {"a": [1.5, None]},
        "moment": "2026-01-31T00:00:00Z",
        "local": "2026-01-31T09:00:00",
        "day": "2026-01-31",
        "duration": 3630.0,
        "text": "x",
    }
    assert figures == {
        "available": True,
        "reason": None,
        "row": row,
        "rows": [row],
        "row_count": 1,
        "truncated": False,
    }


def test_one_failure_does_not_lose_the_others(database: Database) -> None:
    result = database.run(
        {"name": "before", "sql": "SELECT count(*) AS n FROM sales.orders", "single_row": True},
        {"name": "typo", "sql": "SELECT * FROM order"},
        {"name": "gone", "sql": "SELECT * FROM nowhere"},
        {"name": "slow", "sql": "SELECT pg_sleep(30)"},
        {"name": "next_id", "sql": "SELECT nextval('registrations_id_seq')"},
        {"name": "locks", "sql": "SELECT * FROM sales.orders FOR UPDATE"},
        {"name": "deletes", "sql": "WITH d AS (DELETE FROM sales.orders RETURNING *) SELECT * FROM d"},
        {"name": "creates", "sql": "SELECT * INTO copied FROM sales.orders"},
        {"name": "many", "sql": "SELECT id FROM sales.orders", "single_row": True},
        {"name": "twice", "sql": "SELECT 1 AS a, 2 AS a"},
        {"name": "after", "sql": "SELECT 1 AS n", "single_row": True},
        statement_timeout=0.3,
    )
    assert result["available"] is True
    assert [name for name, query in result["queries"].items() if query["available"]] == ["before", "after"]
    assert result["queries"]["before"]["row"] == {"n": 25}
    assert result["queries"]["after"]["row"] == {"n": 1}
    skipped = {
        entry["section"].removeprefix("queries."): (entry["reason"], entry["remedy"])
        for entry in result["skipped_sections"]
    }
    assert skipped["gone"] == (
        'Query gone failed: relation "nowhere" does not exist.',
        "Create the relation or correct its name or the search path.",
    )
    assert skipped["slow"] == (
        "Query slow failed: canceling statement due to statement timeout.",
        "Raise statement_timeout or make the statement cheaper.",
    )
    assert skipped["next_id"] == (
        "Query next_id failed: cannot execute nextval() in a read-only transaction.",
        "Only read; the transaction is read-only.",
    )
    assert skipped["locks"][0] == "Query locks failed: cannot execute SELECT FOR UPDATE in a read-only transaction."
    assert skipped["many"] == (
        "Query many failed: it returned more than the single row it should have.",
        "Aggregate to one row, or remove single_row.",
    )
    assert skipped["twice"][0] == 'Query twice failed: the result has more than one column named "a".'
    assert set(skipped) == {"typo", "gone", "slow", "next_id", "locks", "deletes", "creates", "many", "twice"}
    for name in skipped:
        query = result["queries"][name]
        assert (query["row"], query["rows"], query["row_count"]) == (None, None, None), "unknown, never empty"
        assert query["reason"] == skipped[name][0]
    assert database.psql("SELECT count(*), to_regclass('copied') IS NULL FROM sales.orders") == "25|t"
    assert database.psql("SELECT is_called FROM registrations_id_seq") == "f"


def test_the_day_begins_where_the_business_is(database: Database) -> None:
    """The manual's CURRENT_DATE follows the session; at 08:30 in Seoul a server in UTC is a day behind."""
    database.psql("""
        INSERT INTO registrations (state, created_at) VALUES
            ('COMPLETED', '2026-01-30 00:00:00+09'), ('COMPLETED', '2026-01-30 23:59:59+09'),
            ('COMPLETED', '2026-01-30 18:00:00+09'), ('FAILED', '2026-01-30 08:00:00+09'),
            ('PENDING', '2026-01-30 12:00:00+09'),
            ('COMPLETED', '2026-01-29 23:59:59+09'), ('FAILED', '2026-01-31 00:00:00+09')
    """)
    query = {
        "name": "yesterday",
        "single_row": True,
        "sql": """
            SELECT count(*) FILTER (WHERE state = 'COMPLETED') AS completed,
                   count(*) FILTER (WHERE state = 'FAILED') AS failed
              FROM registrations
             WHERE created_at >= date_trunc('day', %(reference_time)s) - interval '1 day'
               AND created_at < date_trunc('day', %(reference_time)s)
        """,
    }
    morning = "2026-01-31T08:30:00+09:00"
    seoul = database.run(query, timezone="Asia/Seoul", reference_time=morning)
    utc = database.run(query, reference_time=morning)
    assert seoul["queries"]["yesterday"]["row"] == {"completed": 3, "failed": 1}
    assert utc["queries"]["yesterday"]["row"] == {"completed": 2, "failed": 1}, "the manual's answer"


def test_an_empty_day_is_not_silent(database: Database) -> None:
    """The manual's GROUP BY gives no row for an empty day: psql prints nothing and exits with 0."""
    manual = "SELECT state, count(*) AS n FROM empty GROUP BY state"
    assert database.psql(manual) == ""
    rate = (
        "SELECT round(100.0 * count(*) FILTER (WHERE state = 'COMPLETED') / nullif(count(*), 0), 2) AS percent "
        "FROM empty"
    )
    result = database.run(
        {"name": "manual", "sql": manual, "single_row": True}, {"name": "rate", "sql": rate, "single_row": True}
    )
    assert result["queries"]["manual"]["row"] is None
    assert result["queries"]["manual"]["row_count"] == 0
    assert result["queries"]["rate"]["row"] == {"percent": None}


def test_the_limit_is_said(database: Database) -> None:
    query = {"name": "orders", "sql": "SELECT id FROM sales.orders ORDER BY id -- newest last"}
    cut = database.run(query, max_rows=10)["queries"]["orders"]
    assert (len(cut["rows"]), cut["row_count"], cut["truncated"]) == (10, None, True)
    exact = database.run(query, max_rows=25)["queries"]["orders"]
    assert (len(exact["rows"]), exact["row_count"], exact["truncated"]) == (25, 25, False)
    assert [row["id"] for row in exact["rows"]] == list(range(1, 26))


def test_parameters_are_bound(database: Database) -> None:
    hostile = "x'; DROP TABLE sales.orders; --"
    result = database.run(
        {
            "name": "bound",
            "single_row": True,
            "sql": "SELECT %(text)s::text AS text, %(list)s::int[] AS list, %(none)s::int AS none, %(yes)s AS yes, "
            "7 % 4 AS rest, 'a%' LIKE 'a\\%' AS pattern",
            "parameters": {"text": hostile, "list": [1, 2], "none": None, "yes": True},
        }
    )
    assert result["queries"]["bound"]["row"] == {
        "text": hostile,
        "list": [1, 2],
        "none": None,
        "yes": True,
        "rest": 3,
        "pattern": True,
    }
    assert database.psql("SELECT count(*) FROM sales.orders") == "25"


def test_search_path(one: Database) -> None:
    query = {"name": "n", "sql": "SELECT count(*) AS n FROM orders", "single_row": True}
    assert one.run(query)["queries"]["n"]["available"] is False
    assert one.run(query, search_path=["sales"])["queries"]["n"]["row"] == {"n": 25}
    one.psql(f"ALTER DATABASE {one.name} SET search_path = sales")
    assert one.run(query)["queries"]["n"]["row"] == {"n": 25}, "the database's own path"


def test_no_privilege_is_unknown_with_the_grant(one: Database, reader: Result) -> None:
    one.psql("REVOKE ALL ON SCHEMA sales FROM PUBLIC")
    queries = [
        {"name": "table", "sql": "SELECT count(*) FROM registrations"},
        {"name": "schema", "sql": "SELECT count(*) FROM sales.orders"},
        {"name": "fine", "sql": "SELECT 1 AS a"},
    ]
    result = one.run(*queries, login=reader)
    user = reader["login_user"]
    assert result["skipped_sections"] == [
        {
            "section": "queries.table",
            "reason": "Query table failed: permission denied for table registrations.",
            "remedy": f"GRANT SELECT ON registrations TO {user};",
        },
        {
            "section": "queries.schema",
            "reason": "Query schema failed: permission denied for schema sales.",
            "remedy": f"GRANT USAGE ON SCHEMA sales TO {user};",
        },
    ]
    assert result["queries"]["fine"]["rows"] == [{"a": 1}]
    for entry in result["skipped_sections"]:
        one.psql(entry["remedy"])
    one.psql(f"GRANT SELECT ON sales.orders TO {user}")
    assert one.run(*queries, login=reader)["skipped_sections"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": []}, "queries: [] is not accepted. Accepted: at least one query."),
        (
            {"queries": [{"name": "a", "sql": "SELECT 1; COMMIT; DROP TABLE sales.orders"}]},
            "queries.a.sql: 'SELECT 1; COMMIT; DROP TABLE sales.orders' is not accepted. Accepted: one query; the "
            "statement consists of several statements. Make each of them a query of its own.",
        ),
        ({"timezone": "+09:00"}, "timezone: '+09:00' is not accepted. Accepted: the name of a time zone, such as"),
        ({"timezone": "Asia/Nowhere"}, "timezone: 'Asia/Nowhere' is not accepted. Accepted: a time zone the server"),
        ({"reference_time": "2026-01-31T09:00:00"}, "reference_time: '2026-01-31T09:00:00' is not accepted."),
        ({"max_rows": 0}, "max_rows: 0 is not accepted. Accepted: a number from 1 to 10000."),
        ({"statement_timeout": 0}, "statement_timeout: 0.0 is not accepted."),
        ({"login_port": 99999}, "login_port: 99999 is not accepted. Accepted: a port from 1 to 65535."),
        ({"connect_timeout": 0}, "connect_timeout: 0 is not accepted. Accepted: at least 1 second."),
    ],
)
def test_bad_options_are_refused(one: Database, options: Result, message: str) -> None:
    result = one.run_module(
        "postgresql_query_info",
        {**one.server.login(one.name), "queries": [{"name": "a", "sql": "SELECT 1 AS a"}], **options},
    )
    assert result["failed"] is True
    assert message in result["msg"]
    assert one.psql("SELECT count(*) FROM sales.orders") == "25"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"login_port": 1}, "connection refused"),
        ({"login_password": "wr@ng:/%é"}, "the password of this user was not accepted"),
        ({"login_db": "nowhere"}, "there is no such database"),
        ({"login_host": "nowhere.invalid"}, "the host name cannot be resolved"),
    ],
)
def test_unavailable_is_data(one: Database, wrong: Result, reason: str) -> None:
    result = one.run({"name": "a", "sql": "SELECT 1 AS a"}, login={**one.server.login(one.name), **wrong})
    assert result.get("failed") is not True
    assert (result["available"], result["queries"], result["skipped_sections"]) == (False, {}, [])
    assert reason in result["reason"]
    for secret in (one.server.password, wrong.get("login_password")):
        assert secret is None or secret not in json.dumps(result, ensure_ascii=False)


def test_check_mode_gives_the_same(one: Database) -> None:
    query = {"name": "a", "sql": "SELECT count(*) AS n FROM sales.orders"}
    arguments = {**one.server.login(one.name), "queries": [query]}
    real = one.run_module("postgresql_query_info", arguments)
    check = one.run_module("postgresql_query_info", arguments, check_mode=True)
    assert real["queries"]["a"]["rows"] == check["queries"]["a"]["rows"] == [{"n": 25}]
    assert real["changed"] is check["changed"] is False
