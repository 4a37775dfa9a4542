"""The databases of the other systems: their tables and planted rows on any server, for what PostgreSQL's roles do.

StoreBridge's is made by its own package (``lab.storebridge``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from lab import solid_queue
from lab.postgresql import PostgresServer

SEOUL = ZoneInfo("Asia/Seoul")
MONITOR, MAINTENANCE = "runbook_monitor", "runbook_maintenance"


@dataclass(frozen=True)
class Database:
    """One system's: who owns its tables, its further roles with their attributes, and how it writes moments."""

    name: str
    owner: str
    roles: Mapping[str, str] = field(default_factory=dict)
    # Prisma and Rails write UTC into columns without a zone.
    has_zones: bool = True
    # Where row level security hides rows, and a count of the rest would look like a quiet day.
    passes_row_security: bool = False
    # The superuser makes a database in which several roles own something.
    made_by_owner: bool = True
    # Whether Solid Queue's tables are among the application's.
    solid_queue: bool = False


DATABASES = {
    "stockboom": Database("stockboom", "stockboom_app", has_zones=False),
    "autoclip": Database(
        "autoclip", "autoclip_app", roles={"autoclip_readonly": "LOGIN", "rdsadmin": "LOGIN SUPERUSER"}
    ),
    "duly": Database(
        "duly",
        # Supabase's role postgres is no superuser, unlike the lab's of that name, and passes by row level security.
        "duly_postgres",
        roles={
            "anon": "NOLOGIN",
            "authenticated": "NOLOGIN",
            "service_role": "NOLOGIN BYPASSRLS",
            "authenticator": "LOGIN NOINHERIT",
            "supabase_admin": "LOGIN SUPERUSER",
            "supabase_auth_admin": "LOGIN NOINHERIT CREATEROLE",
        },
        passes_row_security=True,
        made_by_owner=False,
    ),
    "excelapp": Database("excelapp_rails_production", "excelapp", has_zones=False, solid_queue=True),
}


def populate(server: PostgresServer, system: str, now: datetime | None = None, database: str | None = None) -> str:
    """Make a system's database with its roles, and fill it: its name.

    The same ``now`` gives the same rows. The role ``runbook_monitor`` may read them, ``runbook_maintenance`` owns them
    with the application's role; both have the server's password.
    """
    plan = DATABASES[system]
    moment = (now or datetime.now(timezone.utc)).astimezone(timezone.utc).replace(microsecond=0)
    name = database or plan.name
    _roles(server, plan)
    # ``lab up`` has made it already.
    if not server.query("SELECT FROM pg_database WHERE datname = %s", (name,)):
        server.execute(f'CREATE DATABASE "{name}" OWNER {plan.owner}')
    connection = server.connect(name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            if plan.made_by_owner:
                cursor.execute(f"SET ROLE {plan.owner}")
            cursor.execute(_sql(system, "schema.sql"))
            if plan.solid_queue:
                cursor.execute(solid_queue.schema())
            cursor.execute(_sql(system, "rows.sql"), _moments(moment, has_zones=plan.has_zones))
            cursor.execute("RESET ROLE")
            for schema in ("public", *(("auth",) if system == "duly" else ())):
                cursor.execute(f"GRANT USAGE ON SCHEMA {schema} TO {MONITOR}, {MAINTENANCE}")
                cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {MONITOR}")
                cursor.execute(f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {MONITOR}")
            cursor.execute("COMMIT")
    finally:
        connection.close()
    # In a session of its own: one that has just written hands its counters over late, and rows would count twice.
    server.execute("VACUUM (ANALYZE)", db=name)
    return name


def populate_for_lab(server: PostgresServer, system: str, now: datetime | None = None) -> str:
    """As ``populate``, with the extension that a server has which somebody watches: what was done."""
    name = populate(server, system, now)
    if server.installation.has_library("pg_stat_statements"):
        server.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements", db=name)
    return f"database {name}"


def _sql(system: str, name: str) -> str:
    return files(f"lab.{system}").joinpath(name).read_text(encoding="utf-8")


def _moments(now: datetime, *, has_zones: bool) -> dict[str, Any]:
    midnight = now.astimezone(SEOUL).replace(hour=0, minute=0, second=0).astimezone(timezone.utc)
    if has_zones:
        return {"now": now, "midnight": midnight}
    return {"now": now.replace(tzinfo=None), "midnight": midnight.replace(tzinfo=None)}


def _roles(server: PostgresServer, plan: Database) -> None:
    present = {row[0] for row in server.query("SELECT rolname FROM pg_roles")}
    wanted = {MONITOR: "LOGIN", MAINTENANCE: "LOGIN", plan.owner: "LOGIN", **plan.roles}
    for role, attributes in wanted.items():
        if role not in present:
            server.execute(f"CREATE ROLE {role} {attributes} PASSWORD %s", (server.password,))
    server.execute(f"GRANT pg_monitor TO {MONITOR}")
    server.execute(f"GRANT pg_monitor, pg_signal_backend, {plan.owner} TO {MAINTENANCE}")
    if plan.passes_row_security:
        for role in (MONITOR, MAINTENANCE):
            server.execute(f"ALTER ROLE {role} BYPASSRLS")
