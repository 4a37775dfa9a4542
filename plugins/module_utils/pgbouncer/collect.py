# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the console everything in one connection. What fails costs its own facts only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer import figures, model
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.client import connect_console
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.model import Facts, Rows
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

MOST_SECONDS = 60.0
# The commands with the facts that come from each. Pools first: they change while we look.
COMMANDS = {
    "pools": "pools",
    "clients": "clients",
    "databases": "databases",
    "stats": "stats",
    "lists": "totals.clients",
    "config": "config",
    "users": "pools",
    "version": "version",
}
_ONE_OF_SEVERAL = (
    "This PgBouncer shares its port with others (so_reuseport): these are the figures of the process that answered. "
    "Measure each by a port or a socket of its own."
)


def pgbouncer_info(options: Mapping[str, Any]) -> dict[str, Any]:
    """The module's result for its parameters; a pooler that is not available is part of it."""
    _check(options)
    result: dict[str, Any] = {
        "changed": False,
        "available": True,
        "reason": None,
        "measured_at": iso(utc_now()),
        "notes": [],
        "skipped_sections": [],
        "pooler": {},
    }
    try:
        with connect_console(options, statement_timeout_seconds=options["statement_timeout"]) as session:
            _measure(session, options, result)
    except Unavailable as error:
        result.update(available=False, reason=error.message, pooler={})
    return result


def _check(options: Mapping[str, Any]) -> None:
    if not 0 <= options["sample_seconds"] <= MOST_SECONDS:
        raise InvalidOption("sample_seconds", options["sample_seconds"], f"seconds from 0 to {MOST_SECONDS:g}")
    for name, least in (("quiet_after", 1), ("statement_timeout", 1), ("top", 0)):
        if options[name] < least:
            raise InvalidOption(name, options[name], f"at least {least}")


def _measure(session: Session, options: Mapping[str, Any], result: dict[str, Any]) -> None:
    began = time.monotonic()
    answers = {name: _ask(session, name, result) for name in COMMANDS}
    later: Rows = None
    seconds = None
    if options["sample_seconds"] and answers["stats"] is not None:
        # The second look is as far behind the first as we say, and as the clock measures.
        time.sleep(max(0.0, options["sample_seconds"] - (time.monotonic() - began)))
        seconds = time.monotonic() - began
        later = _ask(session, "stats", result)
    result["pooler"] = facts(answers, later, seconds, options)
    if (result["pooler"]["config"] or {}).get("is_one_of_several"):
        result["notes"].append(_ONE_OF_SEVERAL)


def _ask(session: Session, name: str, result: dict[str, Any]) -> Rows:
    try:
        return session.query(f"SHOW {name.upper()}")
    except QueryError as error:
        result["skipped_sections"].append(
            {
                "section": f"pooler.{COMMANDS[name]}",
                "reason": f"SHOW {name.upper()} failed: {error.message.rstrip('.')}",
                "remedy": "Add the user to stats_users in pgbouncer.ini, or install a newer PgBouncer.",
            }
        )
        return None


def facts(answers: Mapping[str, Rows], later: Rows, seconds: float | None, options: Mapping[str, Any]) -> Facts:
    """The facts of all answers. Pure."""
    settings = model.config(answers["config"])
    databases = model.databases(answers["databases"])
    quiet = model.quiet_clients(answers["clients"], options["quiet_after"])
    pools = model.pools(answers["pools"], databases, answers["users"], quiet)
    return {
        **model.version(answers["version"]),
        "config": settings,
        "databases": databases,
        "pools": pools,
        "clients": model.applications(answers["clients"], options["top"]),
        "stats": figures.stats(answers["stats"], later, seconds),
        "stats_seconds": round(seconds, 3) if seconds is not None else (settings or {}).get("stats_period_seconds"),
        "totals": figures.totals(answers["lists"], settings, databases, pools),
    }
