# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to become of the sessions that were found. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal, Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import quote_identifier
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import Row, moment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.sessions import session as shown_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.session_control.criteria import (
    CANCELED,
    RUNNING,
    Request,
)

_NAMED_IN_A_MESSAGE = 5


@dataclass(frozen=True)
class Plan:
    """The sessions to end, those that are left alone and why."""

    victims: tuple[Row, ...]
    protected: tuple[dict[str, Any], ...]
    refused: tuple[Refusal, ...]
    # How many sessions match and are not protected, whether they can be ended or not.
    matched_count: int

    def actions(self, request: Request) -> list[dict[str, Any]]:
        """What is done, in this order."""
        return [
            {
                "action": "cancel" if request.state == CANCELED else "terminate",
                "pid": row["pid"],
                "backend_started_at": moment(row["backend_start"]),
                "cancel_first": request.state != CANCELED and row["state"] in RUNNING,
            }
            for row in self.victims
        ]


def make_plan(rows: Sequence[Row], request: Request, *, login: str, roots: Sequence[Mapping[str, Any]] = ()) -> Plan:
    """The plan for the sessions that match.

    Args:
        rows: Those of the statement that looks for them.
        request: What was asked for.
        login: The role we are.
        roots: The roots of the lock trees as the section C(locks) of the health facts has them, if blockers are asked
            for: a prepared transaction holds locks and has no session that could be ended.

    """
    victims, protected, refused, hidden = [], [], [], []
    for row in rows:
        # Some protections are known of hidden sessions as well.
        if row["protection"] is not None:
            protected.append(protected_entry(row))
        elif row["is_hidden"]:
            hidden.append(row)
        elif (refusal := _refusal(row, request, login)) is not None:
            refused.append(refusal)
        else:
            victims.append(row)
    matched = len(victims) + len(refused)
    if hidden:
        refused.append(_hidden(hidden, login))
    refused += [_prepared(root) for root in roots if root["kind"] == "prepared_transaction"]
    return Plan(tuple(victims), tuple(protected), tuple(refused), matched)


def check_limit(plan: Plan, request: Request, result: Mapping[str, Any]) -> None:
    """Raise Refused, with the result so far, when more sessions match than the task may end.

    Nothing is cut: which ten of fifteen should go is nothing to guess.
    """
    if plan.matched_count <= request.max_sessions:
        return
    named = ", ".join(describe(row) for row in plan.victims[:_NAMED_IN_A_MESSAGE])
    more = len(plan.victims) - _NAMED_IN_A_MESSAGE
    rest = f", and {more} more" if more > 0 else ""
    raise Refused(
        f"{plan.matched_count} sessions match and max_sessions is {request.max_sessions}: {named}{rest}. "
        "Nothing was touched. Narrow the criteria, or raise max_sessions if all of them (sessions) shall end.",
        **result,
    )


def shown(row: Row) -> dict[str, Any]:
    """A session for people: as in the health facts, with how many it keeps waiting."""
    return {**shown_session(row), "blocked_count": row["blocked_count"]}


def describe(row: Row) -> str:
    """One session in a message, such as C(pid 7 (web, app@shop, idle in transaction for 20m))."""
    facts = shown_session(row)
    age = facts["query_age_seconds"] if row["state"] in RUNNING else facts["state_age_seconds"]
    lasting = f" for {spoken(age)}" if age is not None else ""
    return f"{name(row)[:-1]}, {row['state'] or 'state unknown'}{lasting})"


def name(row: Row) -> str:
    """One session as the object of a refusal, such as C(pid 7 (web, app@shop))."""
    return f"pid {row['pid']} ({row['application'] or 'no application name'}, {row['user']}@{row['database']})"


def spoken(seconds: float) -> str:
    """A duration in its two largest units, such as C(1h 5m)."""
    rest = int(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, rest = divmod(rest, size)
        if amount or parts:
            parts.append(f"{amount}{unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0")) or "0s"


def protected_entry(row: Row) -> dict[str, Any]:
    """A session that matches and is never ended, with the reason."""
    return {
        "pid": row["pid"],
        "database": row["database"],
        "user": row["user"],
        "application": row["application"],
        "backend_type": row["backend_type"],
        "reason": _protection(row),
    }


def may_not_signal(row: Row, login: str) -> Refusal:
    """Why the login may not end this session, and what would let it."""
    if row["is_superuser"]:
        return Refusal(
            name(row),
            f"it is a superuser's session, and {login} is none",
            "Let a superuser log in for it (login_user).",
        )
    return Refusal(
        name(row),
        f"{login} may not end sessions of {row['user']}",
        f"GRANT pg_signal_backend TO {quote_identifier(login)};",
    )


_BACKGROUND = {
    "autovacuum worker": "autovacuum gives way by itself to whoever waits for its lock",
    "walsender": "it sends WAL to a standby, a backup or a subscriber",
    "walreceiver": "it receives the primary's WAL",
    "logical replication launcher": "it belongs to logical replication",
    "logical replication worker": "it belongs to logical replication",
    "logical replication apply worker": "it belongs to logical replication",
    "logical replication parallel worker": "it belongs to logical replication",
    "logical replication tablesync worker": "it belongs to logical replication",
}
_PROTECTED_BY = {
    "runbook": "it belongs to runbook.ops itself",
    "application": "application {application} is protected (protect_applications)",
    "user": "user {user} is protected (protect_users)",
    "database": "database {database} is protected (protect_databases)",
    "superuser": "{user} is a superuser (allow_superusers)",
}


def _protection(row: Row) -> str:
    if row["protection"] != "background":
        return _PROTECTED_BY[row["protection"]].format_map(dict(row))
    if row["prevents_wraparound"]:
        return "autovacuum that prevents transaction id wraparound, without which all writes would stop"
    kind = row["backend_type"]
    if kind == "parallel worker":
        return f"a parallel worker of pid {row['leader_pid']}, with which it ends"
    why = _BACKGROUND.get(kind)
    return f"{kind}, a process of the server and no client" if why is None else f"{kind}: {why}"


def _refusal(row: Row, request: Request, login: str) -> Optional[Refusal]:
    if request.state == CANCELED and row["state"] not in RUNNING:
        return Refusal(
            name(row),
            f"it is {row['state']}: canceling ends a statement, and it runs none; its transaction would stay open",
            "Use state=terminated for it.",
        )
    return None if row["may_signal"] else may_not_signal(row, login)


def _hidden(rows: Sequence[Row], login: str) -> Refusal:
    users = sorted({row["user"] or "?" for row in rows})
    return Refusal(
        f"{len(rows)} sessions of {', '.join(users)}",
        f"the server does not show {login} what they do, so nobody knows whether they are meant",
        f"GRANT pg_read_all_stats TO {quote_identifier(login)};",
    )


def _prepared(root: Mapping[str, Any]) -> Refusal:
    gids = ", ".join(f"'{gid}'" for gid in root["gids"]) or "of an unknown name"
    return Refusal(
        f"prepared transaction {gids}",
        f"it keeps {root['blocked_count']} sessions waiting and has no session that could be ended",
        "Ask its transaction manager, then COMMIT PREPARED or ROLLBACK PREPARED it in its database.",
    )
