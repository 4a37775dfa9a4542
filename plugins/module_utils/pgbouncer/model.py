# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The console's answers as facts. Pure.

Columns come and go with the versions (1.16 to 1.24), so each is read by its name, and what is absent is None.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.options import CONSOLE
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import percent

Row = Mapping[str, Any]
Rows = Optional[Sequence[Row]]
Facts = dict[str, Any]
Quiet = Optional[dict[tuple[str, str], Facts]]

NOBODY: Facts = {"quiet": 0, "longest": 0.0}

_TEXTS = ("pool_mode", "auth_type", "listen_addr", "ignore_startup_parameters", "server_reset_query")
# With the names of facts, which say the unit.
_NUMBERS = {
    "listen_port": "listen_port",
    "max_client_conn": "max_client_conn",
    "default_pool_size": "default_pool_size",
    "min_pool_size": "min_pool_size",
    "reserve_pool_size": "reserve_pool_size",
    "max_db_connections": "max_db_connections",
    "max_user_connections": "max_user_connections",
    "max_prepared_statements": "max_prepared_statements",
    "reserve_pool_timeout": "reserve_pool_timeout_seconds",
    "query_wait_timeout": "query_wait_timeout_seconds",
    "query_timeout": "query_timeout_seconds",
    "client_idle_timeout": "client_idle_timeout_seconds",
    "idle_transaction_timeout": "idle_transaction_timeout_seconds",
    "server_idle_timeout": "server_idle_timeout_seconds",
    "server_lifetime": "server_lifetime_seconds",
    "server_connect_timeout": "server_connect_timeout_seconds",
    "server_login_retry": "server_login_retry_seconds",
    "stats_period": "stats_period_seconds",
}
# Ways to let everybody in who knows a name, or not even that.
_OPEN = ("any", "trust")
_SERVER_STATES = {
    "active": "sv_active",
    "active_cancel": "sv_active_cancel",
    "being_canceled": "sv_being_canceled",
    "idle": "sv_idle",
    "used": "sv_used",
    "tested": "sv_tested",
    "login": "sv_login",
}


def number(value: Any) -> int | float | None:
    """A number of an answer, which older versions give as text; None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return value
    try:
        found = float(str(value))
    except ValueError:
        return None
    return int(found) if found.is_integer() else found


def first(row: Row, *names: str) -> int | float | None:
    """The number of the first column there is; some were renamed."""
    return next((number(row[name]) for name in names if name in row), None)


def total(values: Iterable[int | float | None]) -> int | float | None:
    """Their sum; None if one is unknown."""
    found = list(values)
    return None if any(value is None for value in found) else sum(value for value in found if value is not None)


def limit(value: int | float | None) -> int | float | None:
    """A limit; 0 says that there is none."""
    return value or None


def version(rows: Rows) -> Facts:
    """C(PgBouncer 1.18.0) with its number, 11800."""
    text = str(next(iter(rows[0].values()))) if rows else None
    words = (text or "").replace("-", " ").split()
    parts = [int(part) for word in words for part in word.split(".") if word[:1].isdigit() and part.isdigit()]
    known = len(parts) >= 2
    return {
        "version": text,
        "version_num": parts[0] * 10000 + parts[1] * 100 + (parts[2] if len(parts) > 2 else 0) if known else None,
    }


def config(rows: Rows) -> Facts | None:
    """The settings that matter for pools; a setting that this version does not have is None."""
    if rows is None:
        return None
    values = {str(row["key"]): row.get("value") for row in rows}
    facts: Facts = {name: values.get(name) for name in _TEXTS}
    facts.update({fact: number(values.get(name)) for name, fact in _NUMBERS.items()})
    facts["accepts_anybody"] = None if facts["auth_type"] is None else facts["auth_type"] in _OPEN
    several = values.get("so_reuseport")
    facts["is_one_of_several"] = None if several is None else number(several) == 1
    return facts


def databases(rows: Rows) -> list[Facts] | None:
    """The databases behind it, the console apart."""
    if rows is None:
        return None
    found = []
    for row in rows:
        if row.get("name") == CONSOLE:
            continue
        declared = first(row, "max_connections")
        most = limit(declared)
        current = first(row, "current_connections")
        paused, disabled = first(row, "paused"), first(row, "disabled")
        found.append(
            {
                "name": row.get("name"),
                # Without a host it goes through a Unix socket.
                "host": row.get("host"),
                "port": first(row, "port"),
                "database": row.get("database"),
                "forced_user": row.get("force_user"),
                "pool_size": first(row, "pool_size"),
                "min_pool_size": first(row, "min_pool_size"),
                "reserve_pool_size": first(row, "reserve_pool_size", "reserve_pool"),
                "pool_mode": row.get("pool_mode"),
                "max_connections": most,
                "has_limit": None if declared is None else most is not None,
                "current_connections": current,
                "connections_percent": percent(current, most),
                "max_client_connections": limit(first(row, "max_client_connections")),
                "current_client_connections": first(row, "current_client_connections"),
                "is_paused": None if paused is None else bool(paused),
                "is_disabled": None if disabled is None else bool(disabled),
            }
        )
    return found


def pools(rows: Rows, known: Optional[Sequence[Facts]], users: Rows, clients: Quiet) -> Optional[list[Facts]]:
    """The pools, one for each pair of database and user, with the size each may grow to."""
    if rows is None:
        return None
    sizes = {each["name"]: each for each in known or ()}
    own = {str(row.get("name")): limit(first(row, "pool_size")) for row in users or ()}
    found = []
    for row in rows:
        database, user = str(row.get("database")), str(row.get("user"))
        if database != CONSOLE:
            quiet = None if clients is None else clients.get((database, user), NOBODY)
            found.append(_pool(row, sizes.get(database, {}), own.get(user), quiet))
    return found


def _pool(row: Row, database: Row, own_size: int | float | None, clients: Facts | None) -> Facts:
    servers = {name: first(row, column) for name, column in _SERVER_STATES.items() if column in row}
    open_now = total(servers.values()) if servers else None
    # A user's own size goes before its database's (1.24).
    size = own_size if own_size is not None else database.get("pool_size")
    reserve = database.get("reserve_pool_size")
    waiting = first(row, "cl_waiting")
    return {
        "database": row.get("database"),
        "user": row.get("user"),
        "pool_mode": row.get("pool_mode"),
        "clients_active": first(row, "cl_active"),
        "clients_waiting": waiting,
        # One column until 1.17, two from 1.18.
        "clients_cancelling": total(
            first(row, name)
            for name in ("cl_cancel_req", "cl_active_cancel_req", "cl_waiting_cancel_req")
            if name in row
        ),
        "max_wait_seconds": _micro(first(row, "maxwait"), first(row, "maxwait_us")),
        "servers": {name: servers.get(name) for name in _SERVER_STATES},
        "server_count": open_now,
        "size": size,
        "reserve": reserve,
        "most": total((size, reserve)),
        "used_percent": percent(servers.get("active"), size),
        "is_full": None if open_now is None or size is None else open_now >= size,
        "clients_quiet": None if clients is None else clients["quiet"],
        "quiet_percent": None if clients is None else percent(clients["quiet"], size),
        "quiet_longest_seconds": None if clients is None else clients["longest"],
    }


def _micro(whole: int | float | None, micro: int | float | None) -> float | None:
    return None if whole is None else round(whole + (micro or 0) / 1e6, 6)


def _moment(value: Any) -> dt.datetime | None:
    # Its own time zone, of which the name only is told: good for differences.
    try:
        return dt.datetime.strptime(str(value)[:19], "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None


def quiet_clients(rows: Rows, quiet_after: float) -> Quiet:
    """By database and user: clients that hold a server connection and have asked for nothing since.

    Such a client idles (in session pooling, or in a transaction), or waits for one long statement: the console does not
    tell them apart. Ages count from the newest request of all, which is the one that asks for them.
    """
    if rows is None:
        return None
    moments = [_moment(row.get("request_time")) for row in rows]
    now = max((moment for moment in moments if moment is not None), default=None)
    found: dict[tuple[str, str], Facts] = {}
    for row, moment in zip(rows, moments):
        entry = found.setdefault((str(row.get("database")), str(row.get("user"))), dict(NOBODY))
        if now is None or moment is None or not row.get("link"):
            continue
        age = (now - moment).total_seconds()
        entry["longest"] = max(entry["longest"], age)
        if age >= quiet_after:
            entry["quiet"] += 1
    return found


def applications(rows: Rows, top: int) -> list[Facts] | None:
    """Who the clients are, by the name they gave (1.18), or by their address."""
    if rows is None:
        return None
    counts: Counter[tuple[str, str]] = Counter()
    waiting: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.get("database") == CONSOLE:
            continue
        who = (str(row.get("application_name") or ""), str(row.get("addr") or ""))
        counts[who] += 1
        waiting[who] += "waiting" in str(row.get("state"))
    return [
        {"name": name or None, "address": address, "clients": count, "waiting": waiting[name, address]}
        for (name, address), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:top]
    ]
