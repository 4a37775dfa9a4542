"""What goes wrong inside a database, before anything is dumped."""

from __future__ import annotations

import contextlib

import psycopg2

from lab.postgresql import PostgresServer

# By the number of the case. A statement that starts with "!" is expected to fail, and leaves something behind.
MISTAKES: dict[int, tuple[str, ...]] = {
    14: ("DROP TABLE billing.invoices",),
    15: ("DELETE FROM public.order_lines WHERE order_id % 10 < 3",),
    22: ("UPDATE pg_collation SET collversion = '153.14' WHERE collname = 'korean'",),
    25: ("SELECT setval('public.orders_id_seq', 100)",),
    26: (
        "ALTER TABLE public.order_lines DROP CONSTRAINT order_lines_order_id_fkey",
        "INSERT INTO public.order_lines (order_id, line, title, quantity, price) VALUES (999999, 1, 'Orphan', 1, 1)",
        "ALTER TABLE public.order_lines ADD CONSTRAINT order_lines_order_id_fkey "
        "FOREIGN KEY (order_id) REFERENCES public.orders NOT VALID",
    ),
    27: (
        "DROP INDEX public.orders_by_moment",
        "!CREATE UNIQUE INDEX CONCURRENTLY orders_by_moment ON public.orders (store_id)",
        "ALTER TABLE public.orders DISABLE TRIGGER orders_touch",
        "DROP POLICY customers_of_the_store ON public.customers",
    ),
    28: ("REFRESH MATERIALIZED VIEW billing.daily_sales WITH NO DATA",),
}


def make_mistake(server: PostgresServer, database: str, number: int) -> None:
    """Do to a database what the case says."""
    for statement in MISTAKES[number]:
        if statement.startswith("!"):
            with contextlib.suppress(psycopg2.Error):
                server.execute(statement[1:], db=database)
                raise AssertionError(f"{statement[1:]} should have failed.")
        else:
            server.execute(statement, db=database)


def copy_database(server: PostgresServer, source: str, name: str, options: str = "") -> None:
    """A copy of a database that nobody is connected to."""
    server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{source}" {options}')
