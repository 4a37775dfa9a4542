# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why an index that is due is not rebuilt. Pure: every test takes what is known and gives a refusal or None."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import Headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.leftovers import quoted
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.reindex.model import Index

# PostgreSQL 14.4: "Prevent possible corruption of indexes created or rebuilt with the CONCURRENTLY option".
CORRUPTING_VERSIONS = range(140000, 140004)
# The new index beside the old one, with room for the sort, and the same again in WAL until it is recycled.
_COPY_FACTOR = 1.2
_WAL_FACTOR = 1.0

DATA_DIRECTORY = 0


@dataclass(frozen=True)
class Surroundings:
    """What is going on in the database besides.

    C(free) has the room by tablespace, 0 being the data directory, where WAL goes.
    """

    user: str
    version_num: int
    database_tablespace: int
    max_wait_seconds: float
    allow_unknown_disk: bool
    transactions: Sequence[Mapping[str, Any]]
    builders: Sequence[Mapping[str, Any]]
    free: Callable[[int], Headroom]


def refusal(index: Index, around: Surroundings) -> Refusal | None:
    """The first thing in the way of a rebuild of this index; None when nothing is."""
    for test in (_unsupported, _forbidden, _at_work, _waits, _no_room):
        found = test(index, around)
        if found is not None:
            return found
    return None


def _unsupported(index: Index, _around: Surroundings) -> Refusal | None:
    reason = remedy = None
    if index.kind == "I":
        reason = "it is the index of a partitioned table and holds nothing itself"
        remedy = f"Name the indexes of the partitions: {', '.join(index.leaves) or 'there are none'}."
    elif index.is_temporary:
        reason, remedy = "it is an index of a session's temporary table", "It goes away with the session."
    elif index.is_catalog:
        reason = (
            "REINDEX CONCURRENTLY does not work on system catalogs, and a plain REINDEX would stop the whole database"
        )
        remedy = "If it is corrupt, plan an outage and use reindexdb --system."
    elif index.is_exclusion:
        reason = "REINDEX CONCURRENTLY does not support the index of an exclusion constraint"
        remedy = (
            "In a window in which nobody writes to the table: "
            f"REINDEX INDEX {quoted(index.schema, index.name)}; it locks writers out, and most readers."
        )
    elif not index.is_valid:
        reason = (
            "it is invalid: a CREATE INDEX CONCURRENTLY of a user failed, and only the user knows whether it is wanted"
        )
        name = quoted(index.schema, index.name)
        remedy = f"REINDEX INDEX CONCURRENTLY {name}; or DROP INDEX CONCURRENTLY {name};"
    elif index.is_locked:
        reason = "another session has locked it or its table exclusively, so it cannot even be measured"
        remedy = "Run the task again when that session is done; postgresql_health_info shows who it is."
    return None if reason is None else Refusal(index.label, reason, remedy or "")


def _forbidden(index: Index, around: Surroundings) -> Refusal | None:
    if not index.may_rebuild:
        table = quoted(index.schema, index.table)
        grant = f"GRANT {index.owner} TO {around.user};"
        if around.version_num >= 170000:
            grant = f"GRANT MAINTAIN ON TABLE {table} TO {around.user}; or {grant}"
        return Refusal(index.label, f"the role may not rebuild it; its table belongs to {index.owner}", grant)
    if not index.may_name:
        schema = quoted(index.schema, "").rsplit(".", 1)[0]
        return Refusal(
            index.label,
            f"the role may not use the schema {index.schema}",
            f"GRANT USAGE ON SCHEMA {schema} TO {around.user};",
        )
    return None


def _at_work(index: Index, around: Surroundings) -> Refusal | None:
    for each in around.builders:
        if each["table_oid"] == index.table_oid:
            return Refusal(
                index.label,
                f"process {each['pid']} is building an index of table {index.table_label} at this moment",
                "Run the task again when that is done.",
            )
        if each["table_oid"] is None:
            return Refusal(
                index.label,
                f"process {each['pid']} is building an index in this database, and the role may not see of which table",
                f"GRANT pg_read_all_stats TO {around.user}; or run the task again when that is done.",
            )
    return None


def _waits(index: Index, around: Surroundings) -> Refusal | None:
    for each in around.transactions:
        holds = bool({index.oid, index.table_oid} & set(each["relations"]))
        if not each["has_snapshot"] and not holds:
            continue
        opened = f"has been open for {each['seconds']:.0f} seconds and REINDEX CONCURRENTLY would wait for its end"
        if each["pid"] is None:
            return Refusal(
                index.label,
                f"the prepared transaction {each['gid']!r} of {each['user']} {opened}",
                f"COMMIT PREPARED '{each['gid']}'; or ROLLBACK PREPARED '{each['gid']}'; as its coordinator says.",
            )
        who = ", ".join(str(part) for part in (each["user"], each["application"], each["state"]) if part)
        return Refusal(
            index.label,
            f"the transaction of process {each['pid']} ({who}) {opened}",
            "End it in the application, wait for it, or raise max_wait_seconds.",
        )
    return None


def _no_room(index: Index, around: Surroundings) -> Refusal | None:
    tablespace = index.tablespace or around.database_tablespace
    place = DATA_DIRECTORY if around.free(tablespace) == around.free(DATA_DIRECTORY) else tablespace
    copy, wal = round(_COPY_FACTOR * index.size_bytes), round(_WAL_FACTOR * index.size_bytes)
    needs = {DATA_DIRECTORY: wal}
    needs[place] = needs.get(place, 0) + copy
    for where, need in needs.items():
        room = around.free(where)
        if room.free_bytes is None:
            if not around.allow_unknown_disk:
                return Refusal(
                    index.label,
                    f"the room on the server's disk is {room.source}; the rebuild needs {need} bytes for a while",
                    "Set disk_free_bytes to the free bytes of the server's disk, or allow_unknown_disk to true.",
                )
        elif room.free_bytes < need:
            return Refusal(
                index.label,
                f"the rebuild needs {need} bytes for a while (a new copy and its WAL) and only {room.free_bytes} are "
                f"free, {room.source}",
                "Make room, or rebuild it after others have become smaller.",
            )
    return None


def why_not_this_server(version_num: int) -> Optional[tuple[str, str]]:
    """Reason and remedy for a server on which CONCURRENTLY corrupts indexes; None for all others."""
    if version_num not in CORRUPTING_VERSIONS:
        return None
    return (
        f"PostgreSQL 14.{version_num % 10000} corrupts indexes that are built or rebuilt with CONCURRENTLY while rows "
        "are updated",
        "Update to 14.4 or later, then run the task again. What was built with CONCURRENTLY before may be "
        "corrupt; check it with pg_amcheck --heapallindexed.",
    )
