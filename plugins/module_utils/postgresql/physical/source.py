# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server must offer before a base backup of it can be taken, asked before anything is touched."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, first_words, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

_NO_ENTRY = re.compile(r'no pg_hba\.conf entry for replication connection from host "([^"]+)", user "([^"]+)"')
_SETTINGS = """
SELECT current_setting('wal_level') AS wal_level,
       current_setting('max_wal_senders')::int AS max_wal_senders,
       current_setting('max_replication_slots')::int AS max_replication_slots,
       current_setting('archive_mode') AS archive_mode,
       current_setting('server_version') AS server_version,
       current_setting('data_checksums') AS data_checksums,
       (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size') AS wal_segment_bytes,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender') AS wal_senders,
       (SELECT count(*) FROM pg_replication_slots) AS slots,
       (SELECT rolname FROM pg_roles WHERE oid = 10) AS superuser,
       (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_replicate,
       current_user AS login_user,
       pg_is_in_recovery() AS is_standby
"""
_TABLESPACES = """
SELECT oid::text AS oid, spcname AS name, pg_tablespace_location(oid) AS location
FROM pg_tablespace WHERE pg_tablespace_location(oid) <> '' ORDER BY oid
"""


_ARCHIVER = """
SELECT failed_count, last_failed_wal, last_failed_time, last_archived_time,
       last_failed_time IS NOT NULL
       AND (last_archived_time IS NULL OR last_failed_time > last_archived_time) AS is_failing
FROM pg_stat_archiver
"""
# Files with this suffix wait for the archive_command. Only pg_monitor may look.
_WAITING = "SELECT count(*) AS waiting FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"
_MANY_WAITING = 10


@dataclass(frozen=True)
class Source:
    """The server that is copied. C(bytes) is None when we may not ask for it."""

    version_num: int
    version: str
    system_identifier: str
    timeline: int
    wal_segment_bytes: int
    superuser: str
    is_standby: bool
    archives: bool
    checksums: bool
    bytes: Optional[int]
    tablespaces: tuple[Mapping[str, Any], ...]


def look_at(
    session: Session, installation: Installation, environment: Mapping[str, str], wal_method: str
) -> tuple[Source, list[str]]:
    """The server, and what a reader must know.

    Raises:
        Refused: it cannot be backed up; the message says what to change.
        Unavailable: it does not let us in for replication.

    """
    found = session.query(_SETTINGS)[0]
    if not found["may_replicate"]:
        user = found["login_user"]
        raise Refused(
            f'The role "{user}" may not copy the cluster. Nothing was touched. As a superuser: '
            f'ALTER ROLE "{user}" REPLICATION; and allow it in pg_hba.conf: host replication "{user}" '
            "<address of this host>/32 scram-sha-256"
        )
    if found["wal_level"] == "minimal":
        raise Refused(
            "The server writes too little WAL for physical backups (wal_level is minimal). Nothing was touched. "
            "ALTER SYSTEM SET wal_level = 'replica'; ALTER SYSTEM SET max_wal_senders = 10; and restart it."
        )
    needed = 2 if wal_method == "stream" else 1
    free = found["max_wal_senders"] - found["wal_senders"]
    if free < needed:
        raise Refused(
            f"A base backup needs {needed} WAL senders and {max(free, 0)} of the server's {found['max_wal_senders']} "
            "(max_wal_senders) are free. Nothing was touched. Raise max_wal_senders (restart), or wait for another "
            "backup or standby to end" + ("; wal_method=fetch needs only one." if needed == 2 else ".")
        )
    if wal_method == "stream" and found["slots"] >= found["max_replication_slots"]:
        raise Refused(
            f"A base backup with wal_method=stream needs a temporary replication slot and all "
            f"{found['max_replication_slots']} (max_replication_slots) are taken. Nothing was touched. Drop one that "
            "nobody uses, raise max_replication_slots (restart), or use wal_method=fetch."
        )
    identifier, timeline = _identify(installation, environment)
    tablespaces = tuple(session.query(_TABLESPACES))
    notes = []
    size = _bytes(session)
    if size is None:
        notes.append(
            "The size of the cluster is not known beforehand, so that the room for it was not checked: "
            f'GRANT pg_read_all_stats TO "{found["login_user"]}" lets us ask.'
        )
    if found["archive_mode"] != "off":
        notes += _archiver(session)
    if found["is_standby"]:
        notes.append("The server is a standby: the backup is complete when its primary has written enough WAL.")
    return Source(
        version_num=session.server_version_num,
        version=found["server_version"],
        system_identifier=identifier,
        timeline=timeline,
        wal_segment_bytes=int(found["wal_segment_bytes"]),
        superuser=found["superuser"],
        is_standby=found["is_standby"],
        archives=found["archive_mode"] != "off",
        checksums=found["data_checksums"] == "on",
        bytes=size,
        tablespaces=tablespaces,
    ), notes


def _archiver(session: Session) -> list[str]:
    """What is wrong with the archiving that a later restore relies on."""
    found = session.query(_ARCHIVER)[0]
    notes = []
    if found["is_failing"]:
        notes.append(
            f"Archiving fails: {found['last_failed_wal']} could not be archived at "
            f"{found['last_failed_time']:%Y-%m-%dT%H:%M:%SZ}, and none was since. Until that is corrected no moment "
            "behind it can be reached. The server's log has the archive_command's own words."
        )
    with contextlib.suppress(QueryError):
        waiting = session.query(_WAITING)[0]["waiting"]
        if waiting > _MANY_WAITING:
            notes.append(f"{waiting} WAL segments wait to be archived: the archive is behind by so much.")
    return notes


def _identify(installation: Installation, environment: Mapping[str, str]) -> tuple[str, int]:
    """System identifier and timeline, asked over a replication connection, as the backup itself is."""
    argv = [installation.program("psql"), "-X", "-A", "-t", "-w", "-d", "replication=true", "-c", "IDENTIFY_SYSTEM"]
    try:
        answer = run(argv, environment=environment, seconds=30)
    except ChildFailed as error:
        said = first_words(error.words) or error.message
        if entry := _NO_ENTRY.search(error.words):
            address, user = entry.groups()
            kind, address = ("local", "") if address == "[local]" else ("host", f" {address}/{_bits(address)}")
            raise Unavailable(
                f"The server does not let {user} in for replication. Nothing was touched. Add to its pg_hba.conf, and "
                f'reload it (SELECT pg_reload_conf()): {kind} replication "{user}"{address} scram-sha-256'
            ) from None
        raise Unavailable(f"The server does not let us in for replication: {said}. Nothing was touched.") from None
    identifier, timeline, *_rest = answer.strip().split("|")
    return identifier, int(timeline)


def _bits(address: str) -> int:
    return 128 if ":" in address else 32


def _bytes(session: Session) -> int | None:
    try:
        return int(session.query("SELECT sum(pg_tablespace_size(oid))::bigint AS bytes FROM pg_tablespace")[0]["bytes"])
    except QueryError:
        return None
