# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manifest says of a cluster that was copied: whose it is, and the WAL that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.basebackup import (
    BACKUP_MANIFEST,
    read_backup_manifest,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.source import Source
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import (
    segment_name,
    show_lsn,
    wal_range,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation


def physical_facts(
    source: Source, staging: Path, installation: Installation, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The part C(physical) of a manifest, from the server and what pg_basebackup wrote; raises RunbookError."""
    try:
        listed = read_backup_manifest((staging / BACKUP_MANIFEST).read_bytes())
        start, stop, timeline = wal_range(listed)
    except (OSError, Damaged) as error:
        raise RunbookError(f"pg_basebackup left no usable backup_manifest ({error}). No backup was taken.") from None
    size = source.wal_segment_bytes
    return {
        "system_identifier": source.system_identifier,
        "server_version": source.version,
        "server_version_num": source.version_num,
        "client_version": installation.version,
        "superuser": source.superuser,
        "timeline": timeline,
        "start_lsn": show_lsn(start),
        "stop_lsn": show_lsn(stop),
        "wal_segment_bytes": size,
        "wal_segments": [
            segment_name(timeline, number, size) for number in range(start // size, max(stop - 1, start) // size + 1)
        ],
        "wal_method": options["wal_method"],
        "checksums": source.checksums,
        "from_standby": source.is_standby,
        "cluster_bytes": sum(each["Size"] for each in listed["Files"]),
        "files": len(listed["Files"]),
        "tablespaces": [dict(each) for each in source.tablespaces],
        "label": options["label"],
    }
