"""AutoClip's PgBouncer, and the clients before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# As many as the pool has, and those that come too late.
HOLDING, WAITING = 2, 3


def pooler_options(scenario: str = "healthy") -> dict[str, Any]:
    """The degraded one pools sessions, so that whoever came first keeps a connection, and has a small pool."""
    if scenario == "healthy":
        return {"pool_mode": "transaction", "settings": {"default_pool_size": 20, "max_client_conn": 200}}
    # Clients wait as long as the lab runs.
    return {"pool_mode": "session", "settings": {"default_pool_size": HOLDING, "query_wait_timeout": 86400}}


def hold_clients(login: Mapping[str, Any], scenario: str = "healthy") -> list[Any]:
    """In the degraded scenario clients that hold all connections and idle, and clients that wait for one.

    The connections must be kept: a connection that is forgotten is closed.
    """
    import psycopg2
    from psycopg2.extras import wait_select

    if scenario == "healthy":
        return []
    options = {
        "host": login["login_host"],
        "port": login["login_port"],
        "user": login["login_user"],
        "password": login["login_password"],
        "dbname": login["login_db"],
    }
    held = []
    for _ignored in range(HOLDING):
        connection = psycopg2.connect(**options)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        held.append(connection)
    for _ignored in range(WAITING):
        connection = psycopg2.connect(**options, async_=True)
        wait_select(connection)
        # Sent, and answered by nobody.
        connection.cursor().execute("SELECT 1")
        held.append(connection)
    return held
