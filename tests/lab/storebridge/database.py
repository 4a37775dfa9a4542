"""Fill a PostgreSQL server: rows by COPY, bulk by generate_series, faults by really making them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from lab.postgresql import PostgresServer
from lab.sizes import factor_of
from lab.storebridge import generator
from lab.storebridge.generator import Figures, figures_of

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

DATABASE = "storebridge"
APPLICATION_ROLE = "storebridge_app"
MONITOR_ROLE = "runbook_monitor"

PRODUCTS = 3_000
AUDIT_ROWS = 30_000
UNUSED_INDEX = "idx_audit_logs_detail"
INVALID_INDEX = "idx_registrations_naver_product"


def populate_postgresql(
    server: PostgresServer,
    scenario: str = "healthy",
    size: str | int = "small",
    seed: int = 1,
    now: datetime | None = None,
    cascade: bool | None = None,
) -> dict[str, int]:
    """Make the database (unless it is there) and fill it; the number of rows by table.

    ``cascade`` chooses how job_items hang on jobs: the degraded scenario has ON DELETE CASCADE, with which an
    archiving of jobs deletes the items with them.
    """
    figures_of(scenario)  # a scenario that does not exist is said before anything is made
    moment = now or datetime.now(timezone.utc).replace(microsecond=0)
    _make_database(server)
    connection = server.connect(DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET ROLE {APPLICATION_ROLE}")
            # One transaction for everything is faster, and a failure leaves nothing behind.
            cursor.execute("BEGIN")
            cursor.execute(_sql("schema.sql"))
        counts = _rows(connection, scenario, factor_of(size), seed, moment)
        with connection.cursor() as cursor:
            cursor.execute(_sql("indexes.sql"))
            on_delete = "ON DELETE CASCADE" if (scenario == "degraded" if cascade is None else cascade) else ""
            cursor.execute(
                "ALTER TABLE job_items ADD CONSTRAINT job_items_job_id_fkey "
                f"FOREIGN KEY (job_id) REFERENCES jobs (id) {on_delete}"
            )
            cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {MONITOR_ROLE}")
            cursor.execute(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {MONITOR_ROLE}")
            cursor.execute("COMMIT")
            if scenario == "degraded":
                _make_faults(cursor)
        # A session hands its counters over late, and VACUUM's own count at once: in one session rows would count twice.
        connection.close()
        server.execute("VACUUM (ANALYZE)", db=DATABASE)
        connection = server.connect(DATABASE)
        _use_indexes(connection)
        _finish(server, connection)
    finally:
        connection.close()
    return counts


def _sql(name: str) -> str:
    return files("lab.storebridge").joinpath(name).read_text(encoding="utf-8")


def _make_database(server: PostgresServer) -> None:
    """The database and its roles, for tests that start a bare server; ``lab up`` has made them already."""
    present = {row[0] for row in server.query("SELECT rolname FROM pg_roles")}
    for role in (APPLICATION_ROLE, MONITOR_ROLE):
        if role not in present:
            server.execute(f"CREATE ROLE {role} LOGIN")
    if MONITOR_ROLE not in present:
        server.execute(f"GRANT pg_monitor TO {MONITOR_ROLE}")
    if not server.query("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)):
        server.execute(f"CREATE DATABASE {DATABASE} OWNER {APPLICATION_ROLE}")


def _rows(connection: Connection, scenario: str, factor: int, seed: int, now: datetime) -> dict[str, int]:
    products = PRODUCTS * factor
    identifiers = [generator.product_id(seed, number) for number in range(products)]
    registrations = generator.registrations(scenario, seed, now, products)
    jobs = generator.jobs(scenario, seed, now)
    items = list(generator.job_items(jobs, seed, products))
    categories, words, defaults = generator.mappings(seed)
    with connection.cursor() as cursor:
        _copy(cursor, "products", _product_columns(), _product_rows(identifiers, seed, now))
        _copy(
            cursor,
            "product_registrations",
            (
                *("product_id", "state", "error_code", "error_message"),
                *("naver_product_id", "attempts", "created_at", "updated_at"),
            ),
            (
                (
                    identifiers[row.product],
                    row.state,
                    row.error_code,
                    row.error_message,
                    row.naver_product_id,
                    row.attempts,
                    row.created_at,
                    row.updated_at,
                )
                for row in registrations
            ),
        )
        _copy(
            cursor,
            "jobs",
            ("id", "type", "status", "created_at", "completed_at"),
            ((row.id, row.type, row.status, row.created_at, row.completed_at) for row in jobs),
        )
        _copy(
            cursor,
            "job_items",
            ("id", "job_id", "product_id", "status", "error"),
            ((row.id, row.job, identifiers[row.product], row.status, row.error) for row in items),
        )
        _copy(cursor, "category_mappings", ("domeggook_category", "naver_category", "active"), categories)
        _copy(cursor, "forbidden_words", ("word", "replacement"), words)
        _copy(cursor, "attribute_defaults", ("category", "attr", "value"), defaults)
        audit = _audit_rows(cursor, figures_of(scenario), AUDIT_ROWS * factor, seed, now)
        # Identity columns do not notice rows that bring their number along.
        cursor.execute("SELECT setval('job_items_id_seq', (SELECT max(id) FROM job_items))")
    return {
        "products": products,
        "registrations": len(registrations),
        "jobs": len(jobs),
        "job items": len(items),
        "audit rows": audit,
    }


def _product_columns() -> tuple[str, ...]:
    return ("id", "domeggook_item_id", "name", "category_id", "price", "status", "created_at", "updated_at")


def _product_rows(identifiers: Sequence[Any], seed: int, now: datetime) -> Iterable[tuple[Any, ...]]:
    chance = generator.stream(seed, "products")
    for number, identifier in enumerate(identifiers):
        created = now - timedelta(seconds=chance.randrange(86_400, 200 * 86_400))
        status = chance.choices(("ACTIVE", "SOLD_OUT", "DELETED"), (90, 8, 2))[0]
        adjective, noun = (
            chance.choice(("무선", "접이식", "대용량", "휴대용")),
            chance.choice(("선풍기", "우산", "의자")),
        )
        price = chance.randrange(1_000, 90_000, 10)
        category = f"DC{chance.randrange(120):04}"
        name = f"{adjective} {noun} {number}"
        yield (identifier, f"DG{100_000 + number}", name, category, price, status, created, created)


def _audit_rows(cursor: Any, figures: Figures, count: int, seed: int, now: datetime) -> int:
    """Evenly over the days that are kept, and a hundred on the oldest day."""
    insert = """
        INSERT INTO audit_logs (actor, action, target, detail, created_at)
        SELECT actor, action, 'product/' || n %% 3000,
               format(
                   '{"request":"%%s","session":"%%s","actor":"%%s","action":"%%s","before":{"state":"MANUAL_REVIEW",'
                   '"category":"DC%%s","assignee":null,"attributes":{"origin":null,"warranty":null}},"after":{"state":'
                   '"PENDING","category":"DC%%s","assignee":"%%s","attributes":{"origin":"KR","warranty":"1 year"}},'
                   '"client":{"address":"10.20.%%s.%%s","agent":"Mozilla/5.0 (X11; Linux) storebridge-console"}}',
                   md5(%(seed)s || n), n %% 977, actor, action, n %% 120, n %% 119, actor, n %% 4, n %% 250),
               %(now)s - make_interval(secs => %(age)s)
        FROM generate_series(1, %(count)s) AS n,
             LATERAL (SELECT 'operator' || n %% 7 AS actor) AS who,
             LATERAL (SELECT (ARRAY['login', 'retry', 'mapping.update', 'review.approve', 'export'])[1 + n %% 5]
                      AS action) AS what
    """
    oldest = min(figures.audit_days, generator.AUDIT_KEPT_DAYS - 1)
    common = {"seed": str(seed), "now": now}
    evenly = insert.replace("%(age)s", "%(days)s * 86400.0 * n / %(count)s")
    cursor.execute(evenly, {**common, "days": oldest, "count": count})
    cursor.execute(insert, {**common, "age": figures.audit_days * 86_400.0, "count": 100})
    return count + 100


def _copy(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO("".join(copy_line(row) for row in rows))
    cursor.copy_expert(f"COPY {table} ({', '.join(columns)}) FROM STDIN", text)


def copy_line(row: Sequence[Any]) -> str:
    """A line of COPY's text format (the manual's page on COPY, "Text Format")."""
    return "\t".join(_copy_value(value) for value in row) + "\n"


def _copy_value(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _make_faults(cursor: Any) -> None:
    """What went wrong in the degraded scenario, done for real. Needs to be outside a transaction block."""
    import psycopg2

    cursor.execute(f"CREATE INDEX {UNUSED_INDEX} ON audit_logs (detail)")
    # Two shops got the same number, so the unique index cannot be built and stays behind, invalid.
    cursor.execute(
        """
        UPDATE product_registrations SET naver_product_id = '7000000001'
        WHERE id IN (SELECT id FROM product_registrations WHERE state = 'COMPLETED' ORDER BY id LIMIT 2)
        """
    )
    try:
        cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {INVALID_INDEX} ON product_registrations (naver_product_id)")
    except psycopg2.errors.UniqueViolation:
        return
    raise AssertionError(f"{INVALID_INDEX} should not have been built")


def _use_indexes(connection: Connection) -> None:
    """What the application does all day: its indexes are in use, but for those that the scenario says are not."""
    statements = (
        "SELECT count(*) FROM products WHERE created_at > now() - interval '1 day'",
        "SELECT count(*) FROM products WHERE category_id = 'DC0007'",
        "SELECT count(*) FROM product_registrations WHERE product_id = '00000000-0000-0000-0000-000000000000'",
        "SELECT count(*) FROM product_registrations WHERE state = 'FAILED' AND created_at > now() - interval '1 hour'",
        "SELECT count(*) FROM jobs WHERE status = 'RUNNING' AND completed_at IS NULL",
        "SELECT count(*) FROM job_items WHERE job_id = '00000000-0000-0000-0000-000000000000'",
        "SELECT count(*) FROM job_items WHERE product_id = '00000000-0000-0000-0000-000000000000'",
        "SELECT count(*) FROM audit_logs WHERE created_at > now() - interval '1 hour'",
        """SELECT count(*) FROM "MixedCase" WHERE "Name" = 'name 1'""",
        "SELECT count(*) FROM products WHERE id = '00000000-0000-0000-0000-000000000000'",
        "SELECT count(*) FROM jobs WHERE id = '00000000-0000-0000-0000-000000000000'",
    )
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        for statement in statements:
            cursor.execute(statement)
        cursor.execute("RESET enable_seqscan")


def _finish(server: PostgresServer, connection: Connection) -> None:
    """From a fast load to a server as one runs it: nothing that the checks would rightly call dangerous."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_stat_statements'")
        available = cursor.fetchone()
        cursor.execute("SHOW shared_preload_libraries")
        [preloaded] = cursor.fetchone() or ("",)
        if available and "pg_stat_statements" in preloaded:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
            # The load itself is not what the application does.
            cursor.execute("SELECT pg_stat_statements_reset()")
        # With it, maintenance measures how full an index is instead of guessing.
        cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'pgstattuple'")
        if cursor.fetchone():
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            cursor.execute(f"ALTER SYSTEM SET {setting} = on")
        cursor.execute("SELECT pg_reload_conf()")
