# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which sessions are meant: the module's options as conditions of one statement. Pure.

The same conditions choose the sessions and, in the statement that acts, make sure that they still hold. They name the
columns of C(s), which statements.py provides.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

# The option's spelling and the server's.
STATES = {
    "active": "active",
    "idle": "idle",
    "idle_in_transaction": "idle in transaction",
    "idle_in_transaction_aborted": "idle in transaction (aborted)",
    "fastpath_function_call": "fastpath function call",
    "disabled": "disabled",
}
RUNNING = ("active", "fastpath function call")
CANCELED, TERMINATED = "canceled", "terminated"
LOCAL = "local"
# What backup programs call their sessions. pg_basebackup and pg_receivewal are walsenders, which are never touched.
BACKUP_APPLICATIONS = ("pg_dump", "pg_dumpall", "pg_restore", "pgBackRest*", "barman*", "wal-g*", "pg_rman*")

# What a condition is about. A login without pg_read_all_stats sees VISIBLE columns of all sessions. What is about the
# ACTIVITY of a session is different after its statement was canceled.
VISIBLE, LOGIN, ACTIVITY = "visible", "login", "activity"

_LONGEST_WAIT = 3600.0


@dataclass(frozen=True)
class Condition:
    """One criterion as SQL."""

    option: str
    sql: str
    about: str


@dataclass(frozen=True)
class Request:
    """What the task asks for, checked."""

    state: str
    conditions: tuple[Condition, ...]
    parameters: Mapping[str, Any]
    max_sessions: int
    cancel_wait: float
    terminate_wait: float
    needs_query_id: bool
    wants_blockers: bool

    def where(self, *abouts: str) -> str:
        """The conditions about these things, all of them if none is named, as one SQL expression."""
        chosen = [each.sql for each in self.conditions if not abouts or each.about in abouts]
        return " AND ".join(f"({each})" for each in chosen) or "true"


def request_from(options: Mapping[str, Any]) -> Request:
    """The request of the module's options; what is empty is not given.

    Raises:
        InvalidOption: something that cannot work, or nothing that narrows the choice, before anything is touched.

    """
    state: str = options["state"]
    session_states: Sequence[str] = options["session_state"] or ()
    _check_numbers(options)
    conditions, parameters = _criteria(options)
    if not conditions:
        raise InvalidOption(
            "state",
            state,
            "together with what narrows the choice: min_state_age, min_transaction_age, min_query_age, application, "
            "user, database, client, blocking, pids or query_id. Not every session, or every idle one, is at fault",
        )
    _check_states(state, session_states, options)
    if session_states:
        conditions.append(Condition("session_state", "s.state = ANY (%(states)s::text[])", ACTIVITY))
        parameters["states"] = [STATES[each] for each in session_states]
    if state == CANCELED:
        # Whoever runs nothing has nothing to cancel. Those idle in a transaction are chosen to be refused by name.
        conditions.append(Condition("state", "s.state = ANY (%(cancelable)s::text[])", ACTIVITY))
        parameters["cancelable"] = [*RUNNING, STATES["idle_in_transaction"]]
        parameters["running"] = list(RUNNING)
    parameters.update(
        allow_superusers=options["allow_superusers"],
        **{name: [like(each) for each in options[name] or ()] for name in _PROTECTIONS},
    )
    return Request(
        state=state,
        conditions=tuple(conditions),
        parameters=parameters,
        max_sessions=options["max_sessions"],
        cancel_wait=options["cancel_wait"],
        terminate_wait=options["terminate_wait"],
        needs_query_id=bool(options["query_id"]),
        wants_blockers=bool(options["blocking"] or options["min_blocked"]),
    )


_PROTECTIONS = ("protect_users", "protect_applications", "protect_databases")


def like(glob: str) -> str:
    r"""A pattern with C(*) and C(?) as a LIKE pattern of SQL; everything else stands for itself."""
    escaped = glob.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _criteria(options: Mapping[str, Any]) -> tuple[list[Condition], dict[str, Any]]:
    found: list[Condition] = []
    parameters: dict[str, Any] = {}

    def add(option: str, sql: str, about: str, value: Any) -> None:
        found.append(Condition(option, sql, about))
        parameters[option] = value

    for option, sql in _AGES.items():
        if options[option]:
            add(option, sql, ACTIVITY, parse_seconds(options[option], option))
    if options["application"]:
        globs = [like(each) for each in options["application"]]
        add("application", "s.application LIKE ANY (%(application)s::text[])", VISIBLE, globs)
    if options["user"]:
        add("user", 's."user" = ANY (%(user)s::text[])', VISIBLE, list(options["user"]))
    if options["database"]:
        add("database", "s.database = ANY (%(database)s::text[])", VISIBLE, list(options["database"]))
    if options["pids"]:
        add("pids", "s.pid = ANY (%(pids)s::int[])", VISIBLE, [_pid(each) for each in options["pids"]])
    if options["client"]:
        networks = [_network(each) for each in options["client"]]
        parameters["client_local"] = None in networks
        add(
            "client",
            "s.client_addr <<= ANY (%(client)s::inet[]) OR (%(client_local)s AND s.client_port = -1)",
            LOGIN,
            [each for each in networks if each is not None],
        )
    if options["query_id"]:
        add("query_id", "s.query_id = %(query_id)s", ACTIVITY, _query_id(options["query_id"]))
    if options["blocking"] or options["min_blocked"]:
        add(
            "min_blocked",
            "s.blocked_count >= %(min_blocked)s AND NOT s.is_waiting",
            ACTIVITY,
            options["min_blocked"] or 1,
        )
    return found, parameters


# An age that the server does not know is no age. The age of a statement is that of one that runs: query_start of an
# idle session is when its last one began.
_AGES = {
    "min_state_age": "s.now - s.state_change >= make_interval(secs => %(min_state_age)s)",
    "min_transaction_age": "s.now - s.xact_start >= make_interval(secs => %(min_transaction_age)s)",
    "min_query_age": "s.state = 'active' AND s.now - s.query_start >= make_interval(secs => %(min_query_age)s)",
}


def _check_numbers(options: Mapping[str, Any]) -> None:
    if options["max_sessions"] < 1:
        raise InvalidOption("max_sessions", options["max_sessions"], "1 or more")
    if options["min_blocked"] is not None and options["min_blocked"] < 1:
        raise InvalidOption("min_blocked", options["min_blocked"], "1 or more")
    for name in ("cancel_wait", "terminate_wait"):
        if not 0 <= options[name] <= _LONGEST_WAIT:
            raise InvalidOption(name, options[name], f"0 to {_LONGEST_WAIT:g} seconds")


def _check_states(state: str, session_states: Sequence[str], options: Mapping[str, Any]) -> None:
    still = [each for each in session_states if STATES[each] not in RUNNING]
    if state == CANCELED and still:
        raise InvalidOption(
            "session_state",
            still[0],
            "active, since canceling ends a statement and such a session runs none; an open transaction stays open. "
            "Use state=terminated for it",
        )
    if session_states and options["min_query_age"] and "active" not in session_states:
        raise InvalidOption("session_state", list(session_states), "active, since min_query_age is about what runs")
    if session_states and options["min_transaction_age"] and set(session_states) == {"idle"}:
        raise InvalidOption("session_state", "idle", "a state with a transaction, since min_transaction_age is given")


def _pid(value: int) -> int:
    if not 1 <= value < 2**31:
        raise InvalidOption("pids", value, "process ids of the server")
    return value


def _network(text: str) -> Optional[str]:
    """An address or a network as the server reads it; None for sessions over the Unix domain socket."""
    if text == LOCAL:
        return None
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise InvalidOption("client", text, f"an address, a network such as 10.0.0.0/8, or {LOCAL}") from None


def _query_id(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 2**63
    if not -(2**63) <= number < 2**63:
        raise InvalidOption("query_id", text, "the number that pg_stat_activity and pg_stat_statements show")
    return number
