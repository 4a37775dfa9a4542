# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which indexes, that a person decided to drop, are proven to serve nobody. Pure.

An index that the primary never scanned may carry the reports of a standby: scans are counted where they happen. And
counters that began yesterday say nothing about the end of the month. So a drop needs the word of every standby, and
statistics of some age everywhere; an invalid index serves no query anywhere and needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption

Facts = Mapping[str, Any]
_DAY = 86400


def plan_index_drops(
    approved: Sequence[str],
    primary: Facts,
    standbys: Sequence[Facts] = (),
    *,
    definitions: Sequence[Mapping[str, str]] = (),
    min_statistics_age_seconds: float = 14 * _DAY,
) -> dict[str, Any]:
    """Hold the approved names against what was measured.

    Args:
        approved: C(schema.index) names that a person decided to drop.
        primary: Result of C(postgresql_health_info) with the sections C(indexes) and C(replication), of the primary.
        standbys: The same of every standby.
        definitions: The statements that make the indexes, as C({name, definition}), so that a drop can be undone.
        min_statistics_age_seconds: Since when, at least, every server must have counted scans.

    Returns:
        C(actions), C(refused) ({object, reason, remedy}) and C(changed), as changing modules return them.

    Raises:
        InvalidOption: a name without its schema.

    """
    for name in approved:
        if str(name).count(".") < 1:
            raise InvalidOption("approved", name, "names with their schema, such as public.idx_orders_note")
    indexes = _indexes(primary)
    found = _by_name(indexes)
    statements = {each["name"]: each["definition"] for each in definitions}
    actions: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    for name in dict.fromkeys(str(each) for each in approved):
        if name not in found:
            # Not there any more is done already; there and in use was never up for dropping.
            if name in _in_use(indexes):
                refused.append(_refusal(name, "it is in use or carries a constraint", "Take it off the list."))
            elif indexes.get("truncated"):
                refused.append(_refusal(name, "the list of indexes was cut before it", "Raise top and run again."))
            continue
        kind, index = found[name]
        reason = _why_not(kind, index, indexes, standbys, min_statistics_age_seconds)
        if reason:
            refused.append(_refusal(name, *reason))
        else:
            actions.append({**_action(kind, index, len(standbys)), "undo": statements.get(name)})
    return {"changed": bool(actions), "actions": actions, "refused": refused}


def _indexes(facts: Facts) -> Facts:
    health = facts.get("health") or {}
    indexes = health.get("indexes")
    return indexes if isinstance(indexes, Mapping) else {}


def _full(index: Facts) -> str:
    return f"{index['schema']}.{index['name']}"


def _by_name(indexes: Facts) -> dict[str, tuple[str, Facts]]:
    unused = {_full(each): ("unused", each) for each in indexes.get("unused") or ()}
    invalid = {_full(each): ("invalid", each) for each in indexes.get("invalid") or ()}
    return {**unused, **invalid}


def _in_use(indexes: Facts) -> set[str]:
    return {_full(each) for each in indexes.get("largest") or ()}


def _why_not(
    kind: str, index: Facts, indexes: Facts, standbys: Sequence[Facts], min_age: float
) -> tuple[str, str] | None:
    """Why this index stays, as reason and remedy."""
    if kind == "invalid":
        if index.get("is_building") is not False:
            return "it is being built, or that could not be seen", "Wait until the build is done, or GRANT pg_monitor."
        return None
    streaming = indexes.get("standby_count")
    if streaming is None:
        return "nobody knows whether standbys use it", "GRANT pg_monitor, so that standbys are seen."
    if streaming > len(standbys):
        return (
            f"{streaming} standbys follow this server and {len(standbys)} were asked whether they use it",
            "Name every standby in postgresql_maintenance_standbys.",
        )
    for each in standbys:
        if not each.get("available"):
            return f"a standby could not be asked: {each.get('reason')}", "Ask again when it is back."
    for facts in (indexes, *(_indexes(each) for each in standbys)):
        age = facts.get("stats_age_seconds")
        if age is None or age < min_age:
            since = facts.get("stats_since") or "an unknown moment"
            return (
                f"scans are counted only since {since} on one of the servers",
                f"Wait until the statistics are {min_age / _DAY:g} days old.",
            )
    for each in standbys:
        if _full(index) not in {_full(unused) for unused in _indexes(each).get("unused") or ()}:
            return "a standby uses it", "Take it off the list."
    return None


def _refusal(name: str, reason: str, remedy: str) -> dict[str, str]:
    return {"object": name, "reason": reason, "remedy": remedy}


def _action(kind: str, index: Facts, standbys: int) -> dict[str, Any]:
    servers = f"the primary and {standbys} standby{'s' if standbys != 1 else ''}" if standbys else "any server"
    reason = "invalid: a failed build that no query can use" if kind == "invalid" else f"never scanned on {servers}"
    return {
        "schema": index["schema"],
        "index": index["name"],
        "table": index["table"],
        "reason": reason,
        "size_bytes_before": index["size_bytes"],
        "size_bytes_after": 0,
    }
