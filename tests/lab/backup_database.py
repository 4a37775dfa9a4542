"""A database worth a backup: StoreBridge's tables, as large as wanted, and one of everything that a dump may lose."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lab.postgresql import PostgresServer
from lab.storebridge.database import DATABASE, populate_postgresql

__all__ = ["DATABASE", "Built", "build_backup_database", "megabytes_wanted"]

# The size of the measurements in the documentation.
USUAL_MEGABYTES = 1700
_ENVIRONMENT = "RUNBOOK_BENCH_MEGABYTES"
_BATCH = 20_000
# Two rows of the history for one of the items, as the application writes them.
_AUDIT = """
INSERT INTO public.audit_logs (actor, action, target, detail, created_at)
SELECT 'operator' || n % 7, (ARRAY['login', 'retry', 'mapping.update', 'review.approve', 'export'])[1 + n % 5],
       'product/' || n % 3000,
       format('{"request":"%s","session":"%s","before":{"state":"MANUAL_REVIEW","category":"DC%s","assignee":null,'
              '"attributes":{"origin":null,"warranty":null}},"after":{"state":"PENDING","category":"DC%s",'
              '"attributes":{"origin":"KR","warranty":"1 year"}},"client":{"address":"10.20.%s.%s",'
              '"agent":"Mozilla/5.0 (X11; Linux) storebridge-console"}}',
              n * 7919 % 1000003, n % 977, n % 120, n % 119, n % 4, n % 250),
       timestamptz '2026-01-01' + n * interval '1 second'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_ITEMS = """
INSERT INTO public.job_items (job_id, product_id, status, error)
SELECT (SELECT id FROM public.jobs ORDER BY id LIMIT 1), md5(n::text)::uuid, 'COMPLETED',
       CASE WHEN n % 50 = 0 THEN 'Naver API answered 503 for item DG' || n END
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
"""
_FEATURES = """
CREATE SCHEMA "Billing Office";
CREATE TYPE "Billing Office".state AS ENUM ('open', 'paid');
CREATE DOMAIN "Billing Office".amount AS numeric(14, 4) CHECK (VALUE >= 0);
CREATE TABLE "Billing Office"."Invoices" (
    id bigserial PRIMARY KEY,
    state "Billing Office".state NOT NULL DEFAULT 'open',
    net "Billing Office".amount NOT NULL,
    gross numeric GENERATED ALWAYS AS (net * 1.19) STORED,
    document bytea, tags text[], extra jsonb, valid tstzrange, height float8,
    issued_at timestamptz NOT NULL DEFAULT timestamptz '2026-03-29 01:30+00'
);
INSERT INTO "Billing Office"."Invoices" (net, document, tags, extra, valid, height)
SELECT n * 1.25, decode(md5(n::text), 'hex'), ARRAY['a', E'tab\\t', NULL, '"q"'], jsonb_build_object('n', n, 'ü', NULL),
       tstzrange(timestamptz '2026-01-01' + n * interval '1 hour', NULL), n / 3.0
FROM generate_series(1, 1000) AS n;
CREATE TABLE public.measurements (at timestamptz NOT NULL, sensor int NOT NULL, value float8) PARTITION BY RANGE (at);
CREATE TABLE public.measurements_2025 PARTITION OF public.measurements
    FOR VALUES FROM ('2025-01-01 00:00+00') TO ('2026-01-01 00:00+00');
CREATE TABLE public.measurements_rest PARTITION OF public.measurements DEFAULT;
INSERT INTO public.measurements
SELECT timestamptz '2025-12-30 00:00+00' + n * interval '1 hour', n % 5, n / 7.0 FROM generate_series(1, 200) AS n;
CREATE UNLOGGED TABLE public.sessions_cache (key text PRIMARY KEY, value text);
INSERT INTO public.sessions_cache SELECT 'k' || n, md5(n::text) FROM generate_series(1, 100) AS n;
CREATE MATERIALIZED VIEW public.jobs_by_status AS SELECT status, count(*) FROM public.jobs GROUP BY status;
CREATE MATERIALIZED VIEW public.not_yet AS SELECT 1 AS one WITH NO DATA;
CREATE VIEW public.open_jobs AS SELECT * FROM public.jobs WHERE status <> 'COMPLETED';
CREATE SEQUENCE public.ticket INCREMENT BY 10 START 100;
SELECT nextval('public.ticket'), nextval('public.ticket');
CREATE SEQUENCE public.unused;
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER products_touch BEFORE UPDATE ON public.products FOR EACH ROW EXECUTE FUNCTION public.touch();
CREATE TABLE public.tenants (id int PRIMARY KEY, owner text NOT NULL);
INSERT INTO public.tenants SELECT n, 'tenant' || n % 3 FROM generate_series(1, 50) AS n;
ALTER TABLE public.tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.tenants USING (owner = current_user);
ALTER TABLE public.job_items ADD CONSTRAINT job_items_status_known
    CHECK (status IN ('COMPLETED', 'FAILED', 'PENDING', 'RUNNING', 'QUEUED', 'SKIPPED', 'CANCELLED')) NOT VALID;
SELECT lo_from_bytea(0, convert_to(repeat('scan ' || n || ' ', 200), 'UTF8')) FROM generate_series(1, 5) AS n;
COMMENT ON TABLE public.products IS 'what is sold; "quoted" and ''quoted''';
"""


@dataclass(frozen=True)
class Built:
    """The database that was made, and its size."""

    server: PostgresServer
    database: str
    bytes: int

    def login(self, **more: object) -> dict[str, object]:
        """The connection options of the collection's modules."""
        return {**self.server.login(self.database), **more}


def build_backup_database(server: PostgresServer, megabytes: int | None = None, *, features: bool = True) -> Built:
    """Make StoreBridge's database on a server, and rows until it has at least so many megabytes, all deterministic.

    ``features`` adds one of everything that dumps and comparisons stumble over: large objects, partitions, unlogged
    and empty tables, policies, triggers, names that need quotes, sequences nobody owns, constraints not validated.
    """
    populate_postgresql(server)
    if features:
        with server.connect(DATABASE) as connection, connection.cursor() as cursor:
            cursor.execute(_FEATURES)
        connection.close()
    first = 1
    while (size := _bytes(server)) < (megabytes or 0) * 1_000_000:
        for statement, share in ((_AUDIT, 1.0), (_ITEMS, 0.5)):
            # Nothing is bound: a percent sign in the text stands for itself.
            text = statement.replace("%(first)s", str(first)).replace("%(last)s", str(first + int(_BATCH * share) - 1))
            server.execute(text, db=DATABASE)
        first += _BATCH
    server.execute("VACUUM (ANALYZE)", db=DATABASE)
    return Built(server, DATABASE, size)


def megabytes_wanted(usual: int = USUAL_MEGABYTES) -> int:
    """How large a benchmark's database shall be: RUNBOOK_BENCH_MEGABYTES, or the usual size."""
    return int(os.environ.get(_ENVIRONMENT) or usual)


def _bytes(server: PostgresServer) -> int:
    return int(server.query("SELECT pg_database_size(%s)", (DATABASE,))[0][0])
