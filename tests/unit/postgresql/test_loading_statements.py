"""What the statements and comments of a dump are about."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading import statements as about
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import knows_restrict
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.toc import Entry, entry_from


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ("-- Name: orders; Type: TABLE; Schema: public; Owner: shop", Entry("TABLE", "orders", "public", "shop")),
        (
            "-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: shop\r",
            Entry("TABLE DATA", "orders", "public", "shop"),
        ),
        (
            "-- Statistics for Name: orders; Type: STATISTICS DATA; Schema: public; Owner: -",
            Entry("STATISTICS DATA", "orders", "public", "-"),
        ),
        ("-- Name: hstore; Type: EXTENSION; Schema: -; Owner: -", Entry("EXTENSION", "hstore", None, "-")),
        ("-- Name: BLOBS; Type: BLOBS; Schema: -; Owner: ", Entry("BLOBS", "BLOBS", None, None)),
        (
            "-- Name: big; Type: INDEX; Schema: public; Owner: shop; Tablespace: fast",
            Entry("INDEX", "big", "public", "shop"),
        ),
        (
            "-- Name: a; Type: TABLE; b; Type: FK CONSTRAINT; Schema: Billing Office; Owner: shop",
            Entry("FK CONSTRAINT", "a; Type: TABLE; b", "Billing Office", "shop"),
        ),
        ("-- PostgreSQL database dump complete", None),
        ("-- Name: nothing", None),
    ],
    ids=["table", "data", "statistics", "no schema", "no owner", "tablespace", "odd name", "marker", "other"],
)
def test_entries(line: str, entry: Entry | None) -> None:
    assert entry_from(line) == entry


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"SET client_encoding = 'UTF8';", "client_encoding"),
        (b"SET SESSION statement_timeout TO 0;", "statement_timeout"),
        (b"SELECT pg_catalog.set_config('search_path', '', false);", "search_path"),
        (b"SET SESSION AUTHORIZATION 'shop';", "session authorization"),
        (b"RESET SESSION AUTHORIZATION;", "session authorization"),
        (b"SET plpgsql.extra_warnings = 'all';", "plpgsql.extra_warnings"),
        (b"SET LOCAL x = 1;", None),
        (b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;", None),
        (b"SELECT pg_catalog.setval('public.s', 1, true);", None),
    ],
)
def test_settings(text: bytes, name: str | None) -> None:
    assert about.setting(text) == name


@pytest.mark.parametrize(
    ("text", "tables", "is_alone"),
    [
        (b"CREATE INDEX i ON public.t USING btree (a);", ["public.t"], False),
        (b'CREATE UNIQUE INDEX "I x" ON ONLY "S p"."T" USING gist (a);', ['"S p"."T"'], False),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);", ["public.t"], True),
        (
            b"ALTER TABLE ONLY public.a\n    ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES public.b(id) MATCH FULL;",
            ["public.a", "public.b"],
            True,
        ),
        (b"REFRESH MATERIALIZED VIEW public.m;", ["public.m"], True),
        (b"CREATE TRIGGER x AFTER INSERT ON public.t EXECUTE FUNCTION f();", [], True),
    ],
    ids=["index", "quoted", "key", "foreign key", "view", "other"],
)
def test_tables_that_are_worked_on(text: bytes, tables: list[str], is_alone: bool) -> None:
    assert about.changed_tables(text) == (tables, is_alone)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (
            b'ALTER TABLE ONLY public.t\n    ADD CONSTRAINT "t pkey" PRIMARY KEY (id, "b c");',
            (
                b'CREATE UNIQUE INDEX "t pkey" ON public.t USING btree (id, "b c");',
                b'ALTER TABLE ONLY public.t ADD CONSTRAINT "t pkey" PRIMARY KEY USING INDEX "t pkey";',
            ),
        ),
        (
            b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_key UNIQUE (a);",
            (
                b"CREATE UNIQUE INDEX t_key ON public.t USING btree (a);",
                b"ALTER TABLE ONLY public.t ADD CONSTRAINT t_key UNIQUE USING INDEX t_key;",
            ),
        ),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_key UNIQUE (a) INCLUDE (b);", None),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_key UNIQUE NULLS NOT DISTINCT (a);", None),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_key UNIQUE (a) DEFERRABLE INITIALLY DEFERRED;", None),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (a) WITH (fillfactor='70');", None),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id, valid WITHOUT OVERLAPS);", None),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT x EXCLUDE USING gist (a WITH =);", None),
    ],
    ids=["primary", "unique", "include", "nulls", "deferrable", "storage", "periods", "exclusion"],
)
def test_keys_in_two_steps(text: bytes, steps: tuple[bytes, bytes] | None) -> None:
    assert about.key_in_two_steps(text) == steps


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (b"\\connect shop", "shop"),
        (b'\\connect "Shop ""1"""', 'Shop "1"'),
        (b"\\connect -reuse-previous=on \"dbname='o\\'clock'\"", "o'clock"),
        (b"\\c shop", "shop"),
        (b"\\copy t from x", None),
        (b"\\restrict abc", None),
    ],
)
def test_connect_lines(command: bytes, name: str | None) -> None:
    assert about.connected_database(command) == name


def test_what_is_left_out() -> None:
    assert about.is_of_database(b"CREATE DATABASE shop WITH TEMPLATE = template0 ENCODING = 'UTF8';")
    assert about.is_of_database(b"ALTER DATABASE shop OWNER TO shop;")
    assert not about.is_of_database(b"CREATE TABLE database (a int);")
    assert about.is_of_tablespace(b"CREATE TABLESPACE fast OWNER shop LOCATION '/fast';")
    assert about.is_of_tablespace(b"GRANT CREATE ON TABLESPACE fast TO shop;")
    assert about.is_of_role(b"CREATE ROLE shop;")
    assert about.is_of_role(b"GRANT pg_monitor TO shop WITH INHERIT TRUE GRANTED BY postgres;")
    assert not about.is_of_role(b"GRANT SELECT ON TABLE public.t TO shop;")
    assert not about.is_of_role(b"GRANT SELECT,INSERT ON TABLE public.t TO shop;")
    assert about.is_dropping(b"DROP TABLE IF EXISTS public.t;")
    assert about.is_dropping(b"ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS t_pkey;")
    assert not about.is_dropping(b"ALTER TABLE public.t ADD CONSTRAINT c CHECK (a <> ' DROP CONSTRAINT ');")
    assert about.created_encoding(b"CREATE DATABASE shop ENCODING = 'EUC_KR' LOCALE = 'C';") == "EUC_KR"
    assert about.created_encoding(b"CREATE TABLE t (a text DEFAULT ' ENCODING = ''X''');") is None


def test_other_facts() -> None:
    assert (
        about.copied_table(b'COPY "Billing Office"."Invoices" (id, "a b") FROM stdin;') == '"Billing Office"."Invoices"'
    )
    assert about.inserted_table(b"INSERT INTO public.t VALUES (1);") == "public.t"
    assert about.partitioned_table(b"CREATE TABLE public.m (\n    at date\n)\nPARTITION BY RANGE (at);") == "public.m"
    assert about.partitioned_table(b"CREATE TABLE public.m (\n    at date\n);") is None
    assert about.is_independent(b"SELECT pg_catalog.setval('public.s', 1, true);")
    assert about.is_independent(b"SELECT * FROM pg_catalog.pg_restore_relation_stats('version', 180000);")
    assert not about.is_independent(b"SELECT pg_catalog.lo_create('1');")
    assert about.version_in(b"-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)") == ("15.18", None)
    assert about.version_in(b"-- Dumped by pg_dump version 18.4") == (None, "18.4")


@pytest.mark.parametrize(
    ("version", "knows"),
    [
        (150013, False),
        (150014, True),
        (130021, False),
        (130022, True),
        (170005, False),
        (180000, True),
        (120022, False),
    ],
)
def test_which_psql_knows_restrict(version: int, knows: bool) -> None:
    assert knows_restrict(version) is knows


@pytest.mark.parametrize(
    ("text", "keeps"),
    [
        (b"CREATE UNIQUE INDEX a ON public.t USING btree (id);", True),
        (b"ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);", True),
        (b'ALTER TABLE "Odd Name"."T" ENABLE ROW LEVEL SECURITY;', True),
        (b"ALTER TABLE public.t CLUSTER ON a;", True),
        (b"CREATE TRIGGER t AFTER INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();", True),
        (b"CREATE POLICY own ON public.t USING (true);", True),
        (b"REFRESH MATERIALIZED VIEW public.m;", True),
        (b"GRANT SELECT ON TABLE public.t TO reader;", True),
        (b"SELECT pg_catalog.setval('public.s', 1, true);", True),
        (b"INSERT INTO public.t VALUES (1);", False),
        (b"DELETE FROM public.t;", False),
        (b"SELECT public.f();", False),
        (b"ALTER TABLE public.t ADD COLUMN more int DEFAULT 1;", False),
        (b"ALTER TABLE public.t ALTER COLUMN id TYPE bigint;", False),
        (b"CREATE TABLE public.more AS SELECT 1;", False),
        (b"DO $$ BEGIN DELETE FROM public.t; END $$;", False),
    ],
)
def test_what_keeps_all_rows(text: bytes, keeps: bool) -> None:
    assert about.keeps_rows(text) is keeps
