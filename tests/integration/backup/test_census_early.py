"""Large tables are read while indexes are made: with the same outcome, and never instead of what is there later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab.postgresql import PostgresServer

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.counting import ReadBefore
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.early import EarlyReader
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census, Scope
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.take import open_snapshot, take_census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.load import load
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import installations

BIG = "public.big"
ROWS = 150_000
# About 13 MB, and one that is read in a moment.
FILLED = f"""
CREATE TABLE public.big (id bigserial PRIMARY KEY, at timestamptz NOT NULL, note text);
INSERT INTO public.big (at, note) SELECT timestamptz '2026-01-01' + n * interval '1 second', md5(n::text)
FROM generate_series(1, {ROWS}) AS n;
CREATE INDEX big_at ON public.big (at);
CREATE TABLE public.small (id int PRIMARY KEY);
INSERT INTO public.small SELECT generate_series(1, 100);
"""
DUMP = b"""--
-- PostgreSQL database dump
--
SET client_encoding = 'UTF8';
--
-- Name: t; Type: TABLE; Schema: public; Owner: postgres
--
CREATE TABLE public.t (id integer NOT NULL);
--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: postgres
--
COPY public.t (id) FROM stdin;
1
2
\\.
--
-- Name: t t_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--
ALTER TABLE ONLY public.t
    ADD CONSTRAINT t_pkey PRIMARY KEY (id);
%s
--
-- PostgreSQL database dump complete
--
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer(15) as started:
        yield started


@pytest.fixture
def options(server: PostgresServer, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Login options of a database of the test's own."""
    database = request.node.name.partition("[")[0][-60:]
    server.execute(f'DROP DATABASE IF EXISTS "{database}"')
    server.execute(f'CREATE DATABASE "{database}"')
    return server.login(database)


def reader(options: dict[str, Any]) -> EarlyReader:
    return EarlyReader(options, digests=True, scope=Scope(), parallel_workers=1)


def census(options: dict[str, Any], known: ReadBefore | None = None) -> Census:
    with open_snapshot(options) as (session, _snapshot):
        return take_census(session, digests=True, known=known)


def test_what_was_read_early_is_what_the_census_reads(server: PostgresServer, options: dict[str, Any]) -> None:
    server.psql(FILLED, db=options["login_db"])
    with reader(options) as early:
        early.begin()
        known = early.end()
    assert list(known) == [BIG]
    table, rows = known[BIG]
    counted = server.query("SELECT count(*), max(id) FROM public.big", db=options["login_db"])
    assert [(rows.rows, *rows.ends)] == counted
    # That it is taken over shows with a digest that nobody computes.
    marked = {BIG: (table, type(rows)(rows.rows, 0xABC, rows.ends))}
    assert census(options, marked).tables[BIG]["digest"] == "0000000000000abc"
    plain, helped = census(options), census(options, known)
    assert helped.tables == plain.tables
    assert helped.sequences == plain.sequences


def test_another_table_under_the_name_is_read_anew(server: PostgresServer, options: dict[str, Any]) -> None:
    server.psql(FILLED, db=options["login_db"])
    with reader(options) as early:
        early.begin()
        known = early.end()
        server.psql("ALTER TABLE public.big ADD COLUMN more int DEFAULT 7", db=options["login_db"])
        assert census(options, known).tables[BIG] == census(options).tables[BIG]


def test_rows_that_came_later_are_read_by_a_second_beginning(server: PostgresServer, options: dict[str, Any]) -> None:
    server.psql(FILLED, db=options["login_db"])
    with reader(options) as early:
        early.begin()
        server.psql("UPDATE public.big SET note = 'other' WHERE id = 7", db=options["login_db"])
        early.begin()
        assert census(options, early.end()).tables[BIG] == census(options).tables[BIG]


def test_a_server_that_is_gone_gives_nothing() -> None:
    with reader({"login_host": "127.0.0.1", "login_port": 1, "login_user": "postgres", "login_db": "x"}) as early:
        early.begin()
        assert early.end() == {}


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        (b"", True),
        (b"CREATE INDEX t_id ON public.t USING btree (id);", True),
        (b"INSERT INTO public.t VALUES (3);", False),
        (b"DELETE FROM public.t WHERE id = 1;", False),
    ],
    ids=["keys", "an index", "rows after it", "rows deleted after it"],
)
def test_the_loader_says_when_rows_are_there_only_if_they_stay(
    options: dict[str, Any], more: bytes, is_told: bool
) -> None:
    told: list[Census] = []
    loaded = load(
        options,
        iter([DUMP % more]),
        "plain",
        installation=installations(None, "pg_restore")[0],
        jobs=2,
        progress=Progress(),
        on_rows_loaded=lambda: told.append(census(options)),
    )
    assert not loaded.problems
    assert [each.tables["public.t"]["digest"] for each in told] == (
        [census(options).tables["public.t"]["digest"]] if is_told else []
    )
