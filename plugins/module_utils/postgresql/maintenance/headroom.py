# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much room is left on the server's disk. SQL cannot say, so it is either declared or seen on the same host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session

# data_directory is for pg_read_all_settings only; the postmaster's file proves that the directory is this server's.
_PLACES = """
SELECT current_setting('data_directory', true) AS data_directory,
       floor(extract(epoch FROM pg_postmaster_start_time()))::bigint AS started,
       current_setting('port')::int AS port,
       coalesce((SELECT pg_tablespace_location(t.oid) FROM pg_tablespace t WHERE t.oid = %(tablespace)s::oid), '')
           AS location
"""
_READS_SETTINGS = "SELECT pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') AS yes"


@dataclass(frozen=True)
class Headroom:
    """Free bytes and where the figure comes from; C(free_bytes) is None when nobody knows."""

    free_bytes: Optional[int]
    source: str

    def as_dict(self) -> dict[str, Any]:
        """For the module's result."""
        return {"free_bytes": self.free_bytes, "source": self.source}


def disk_headroom(session: Session, options: Mapping[str, Any], tablespace: int = 0) -> Headroom:
    """The free bytes of the file system that holds a tablespace.

    Args:
        session: An open session.
        options: With C(disk_free_bytes), which is believed when it is given.
        tablespace: The oid of a tablespace; 0 and pg_default mean the data directory.

    """
    if options.get("disk_free_bytes") is not None:
        return Headroom(int(options["disk_free_bytes"]), "declared (disk_free_bytes)")
    if not session.query(_READS_SETTINGS)[0]["yes"]:
        return Headroom(None, "unknown: the role may not see data_directory (GRANT pg_read_all_settings)")
    row = session.query(_PLACES, {"tablespace": tablespace})[0]
    data = Path(row["data_directory"] or "/nonexistent")
    if not _is_this_server(data, row["port"], row["started"]):
        return Headroom(None, "unknown: the server's disk is not on this host (set disk_free_bytes)")
    place = Path(row["location"]) if row["location"] else data
    try:
        status = os.statvfs(place)
    except OSError as error:
        return Headroom(None, f"unknown: {place} cannot be read ({error.strerror})")
    return Headroom(status.f_bavail * status.f_frsize, f"measured in {place}")


def _is_this_server(data: Path, port: int, started: int) -> bool:
    """Whether the postmaster's file (pid, directory, start, port, …) names the server we talk to."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        # The file has the start of the postmaster, the function that of its accepting state: seconds later at most.
        return int(lines[3]) == port and abs(int(lines[2]) - started) <= 300
    except (OSError, ValueError, IndexError):
        return False
