"""The healthy database that every fault begins with."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from lab.postgresql import PostgresServer

NAME = "shop"
ROLES = {"owner": "shop_owner", "application": "shop_app", "reader": "shop_reader"}
# The content's own clock: the column that says how new a backup's data is.
WATERMARK = "public.orders.placed_at"
EXTENSION = "citext"
COLLATION = "korean"


def make_roles(server: PostgresServer) -> None:
    """The roles that own and use the shop; they are not in any dump of it."""
    for name in ROLES.values():
        server.execute(
            f"DO $$ BEGIN CREATE ROLE {name} LOGIN PASSWORD 'not in any dump'; "
            "EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        )


def make_shop(
    server: PostgresServer,
    name: str = NAME,
    *,
    now: dt.datetime,
    extension: bool = True,
    collation: bool = True,
    options: str = "",
) -> None:
    """Make a shop whose newest order is of ``now``; ``options`` go into CREATE DATABASE.

    ``extension`` makes a column of a type that an extension brings, ``collation`` one with a collation of ICU's.
    """
    make_roles(server)
    server.execute(f'CREATE DATABASE "{name}" TEMPLATE template0 {options}')
    text = Path(__file__).with_name("shop.sql").read_text(encoding="utf-8")
    for key, value in {**ROLES, "now": now.isoformat()}.items():
        text = text.replace(f"{{{key}}}", value)
    connection = server.connect(name)
    # A database in SQL_ASCII takes the bytes as they come; psycopg2 would send it nothing but ASCII.
    connection.set_client_encoding("UTF8")
    with connection, connection.cursor() as cursor:
        # psycopg2 takes several statements at once when there are no parameters.
        cursor.execute(text)
        if extension:
            cursor.execute(f"CREATE EXTENSION {EXTENSION}")
            cursor.execute("ALTER TABLE public.customers ALTER COLUMN email TYPE citext")
        if collation:
            cursor.execute(f"CREATE COLLATION public.{COLLATION} (provider = icu, locale = 'ko-KR')")
            cursor.execute(f"ALTER TABLE public.customers ALTER COLUMN note TYPE text COLLATE public.{COLLATION}")
    connection.close()
    # Statistics, so that no run of autovacuum changes anything in between.
    server.execute("ANALYZE", db=name)
