# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database behind PgBouncer held back and let go: plan, apply with a deadline, prove."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import (
    InvalidOption,
    RunbookError,
    Unavailable,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer import model
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.client import connect_console
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.model import Facts
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.options import CONSOLE
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

# Every state with its command, and with what it says of the database.
STATES: dict[str, tuple[str, str, bool]] = {
    "paused": ("PAUSE", "is_paused", True),
    "resumed": ("RESUME", "is_paused", False),
    "disabled": ("DISABLE", "is_disabled", True),
    "enabled": ("ENABLE", "is_disabled", False),
}
_ANSWER_SECONDS = 10.0


class _Overdue(Exception):
    """The deadline passed while clients were still at work."""


def plan(state: str, found: Mapping[str, Any]) -> list[str]:
    """The commands that lead from what was found to the state. Pure.

    A pause that a killed run left half done is begun again: the database is paused, and clients still work.
    """
    command, fact, wanted = STATES[state]
    if found[fact] != wanted or (state == "paused" and found["servers_active"] != 0):
        return [command]
    return []


def run(options: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result for its parameters."""
    _check(options)
    name, state = options["name"], options["state"]
    with connect_console(options, statement_timeout_seconds=_ANSWER_SECONDS) as session:
        _refuse_one_of_several(session, options)
        before = _look(session, name, may_be_idle=state == "resumed")
    commands = plan(state, before)
    command, fact, wanted = STATES[state]
    planned = {**before, fact: wanted}
    actions = [{"action": state, "database": name, "command": f"{each} {name}"} for each in commands]
    changed = before[fact] != wanted
    result = {
        "database": name,
        "diff": {"before": _told(before), "after": _told(planned)},
        "waited_seconds": 0.0,
    }
    if check_mode or not commands:
        return outcome(changed=changed, actions=actions, before=before, after=None if commands else before, **result)
    began = time.monotonic()
    changed = _apply(options, command, undo=changed) and changed
    result["waited_seconds"] = round(time.monotonic() - began, 3)
    actions = actions if changed or before[fact] is not None else []
    with connect_console(options, statement_timeout_seconds=_ANSWER_SECONDS) as session:
        after = _look(session, name, may_be_idle=state == "resumed")
    if after[fact] is not None and plan(state, after):
        raise RunbookError(
            f"{command} {name} was accepted, and the console does not say that the database is {state}. "
            "Somebody else may have changed it; look at SHOW DATABASES.",
            before=before,
            after=after,
        )
    return outcome(changed=changed, actions=actions, before=before, after=after, **result)


def _check(options: Mapping[str, Any]) -> None:
    if not options["name"].strip() or options["name"] == CONSOLE:
        raise InvalidOption("name", options["name"], "a database behind the pooler; the console is none")
    if not 1 <= options["timeout"] <= 600:
        raise InvalidOption("timeout", options["timeout"], "seconds from 1 to 600")


def _refuse_one_of_several(session: Session, options: Mapping[str, Any]) -> None:
    """Processes that share a port have a console each, and nobody chooses which one answers the next command."""
    settings = model.config(session.query("SHOW CONFIG")) or {}
    if settings.get("is_one_of_several") and not options["login_unix_socket"]:
        raise Refused(
            "Several PgBouncer processes share this port (so_reuseport is 1): a pause would reach one of them, and its "
            "resume perhaps another. Nothing was changed. Run the task for each of them, with its login_unix_socket."
        )


def _look(session: Session, name: str, *, may_be_idle: bool = False) -> Facts:
    """What the console says of the database.

    One that PgBouncer made by itself (the entry C(*)) leaves SHOW DATABASES with its last client, and keeps its pause:
    of such a one nothing is known, but it can be resumed.
    """
    databases = model.databases(session.query("SHOW DATABASES")) or []
    pools = model.pools(session.query("SHOW POOLS"), databases, None, None) or []
    for database in databases:
        if database["name"] == name:
            own = [pool for pool in pools if pool["database"] == name]
            return {
                "is_paused": database["is_paused"],
                "is_disabled": database["is_disabled"],
                "clients_waiting": model.total(pool["clients_waiting"] for pool in own),
                "servers_active": model.total(pool["servers"]["active"] for pool in own),
                "servers": model.total(pool["server_count"] for pool in own),
            }
    if may_be_idle:
        return dict.fromkeys(("is_paused", "is_disabled", "clients_waiting", "servers_active", "servers"))
    known = ", ".join(str(database["name"]) for database in databases) or "none is known yet"
    raise InvalidOption("name", name, f"a database that SHOW DATABASES lists ({known})")


def _told(found: Facts) -> str:
    return "".join(f"{name}: {str(found[name]).lower()}\n" for name in ("is_paused", "is_disabled"))


def _apply(options: Mapping[str, Any], command: str, *, undo: bool) -> bool:
    """Give the command, and say whether it did anything; a pause that does not come about in time is taken back."""
    name, timeout = options["name"], options["timeout"]
    try:
        return _give(options, command, undo=undo)
    except _Overdue:
        if not undo:
            raise RunbookError(
                f"Clients of {name} still work after {timeout:g} seconds. It was paused before and stays paused; "
                "end what they do, or resume it."
            ) from None
        _prove_resumed(options)
        raise RunbookError(
            f"Clients of {name} were still at work after {timeout:g} seconds, so it was resumed, and nobody waits. "
            "End their transactions (postgresql_session), or raise timeout. In session pooling a client keeps its "
            "connection until it leaves."
        ) from None
    except Unavailable as error:
        raise RunbookError(f"{command} {name}: {error.message} Run the task again; it goes on from there.") from None


def _prove_resumed(options: Mapping[str, Any]) -> None:
    with connect_console(options, statement_timeout_seconds=_ANSWER_SECONDS) as session:
        found = _look(session, options["name"])
    if found["is_paused"]:
        raise _still_paused(options["name"], "the console says so")


def _still_paused(name: str, reason: str) -> RunbookError:
    return RunbookError(
        f"{name} could not be resumed after a pause that took too long: {reason}. Its clients may still wait. Run the "
        f"task with state=resumed now, or give RESUME {name} on the console."
    )


def _give(options: Mapping[str, Any], command: str, *, undo: bool = False) -> bool:
    """Give one command; False where there was nothing to resume."""
    # In quotes, as the console reads names; it knows no bound values.
    quoted = '"' + options["name"].replace('"', '""') + '"'
    deadline = time.monotonic() + options["timeout"]
    with connect_console(
        options, statement_timeout_seconds=options["timeout"] + _ANSWER_SECONDS, read_only=False
    ) as session:

        def look_at_the_clock() -> None:
            if time.monotonic() < deadline:
                return
            # Clients first: the console answers neither the pause that is taken back nor a request to cancel it.
            if undo:
                try:
                    _give(options, "RESUME")
                except RunbookError as error:
                    session.close()
                    raise _still_paused(options["name"], error.message.rstrip(".")) from None
            session.close()
            raise _Overdue

        try:
            session.query(f"{command} {quoted}", on_wait=look_at_the_clock if command == "PAUSE" else None)
        except QueryError as error:
            if command == "RESUME" and "is not paused" in error.message:
                return False
            raise RunbookError(
                f"{command} {options['name']} was refused: {error.message.rstrip('.')}. "
                "It takes one of admin_users in pgbouncer.ini."
            ) from None
    return True
