"""Sessions that stay open while the lab runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

LEAKING = "storebridge-worker-batch"
POOLED = {"healthy": {"storebridge-web": 4}, "degraded": {"storebridge-web": 8, "storebridge-worker-normal": 4}}


def hold_sessions(
    login: Mapping[str, Any], superuser_login: Mapping[str, Any], scenario: str = "healthy"
) -> list[Connection]:
    """Pooled idle sessions; in the degraded scenario also a transaction left open, and an idle superuser.

    What is changed after that transaction began leaves dead rows that no VACUUM can remove as long as it is open.

    The connections must be kept: a connection that is forgotten is closed.
    """
    held = []
    for application, count in POOLED[scenario].items():
        for _ignored in range(count):
            connection = _connect(login, application)
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            held.append(connection)
    if scenario == "degraded":
        leaking = _connect(login, LEAKING)
        with leaking.cursor() as cursor:
            # It holds a row, as a worker does that lost its way between two steps.
            cursor.execute("UPDATE jobs SET status = status WHERE id = (SELECT id FROM jobs ORDER BY id LIMIT 1)")
        superuser = _connect(superuser_login, "psql")
        superuser.autocommit = True
        with superuser.cursor() as cursor:
            cursor.execute("SELECT 1")
        held += [leaking, superuser]
        # A session hands its figures to the statistics when it ends.
        writer = _connect(login, "storebridge-web")
        with writer, writer.cursor() as cursor:
            cursor.execute("UPDATE audit_logs SET action = action WHERE id % 2 = 0")
        writer.close()
    return held


def _connect(login: Mapping[str, Any], application: str) -> Connection:
    import psycopg2

    return psycopg2.connect(
        host=login["login_host"],
        port=login["login_port"],
        user=login["login_user"],
        password=login["login_password"],
        dbname=login["login_db"],
        application_name=application,
        connect_timeout=10,
    )
