# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server that is backed up: whether it may be, what we may do there, and where its files are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.rdb import HEADER_BYTES, read_header
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.request import FILE, BackupRequest
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import Command, RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.endpoint import Endpoint
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import Refusal


def needed_commands(request: BackupRequest) -> list[Command]:
    """Harmless samples of the commands without which the method cannot work."""
    if request.method == FILE and not (request.data_directory and request.dbfilename):
        return [("CONFIG", "GET", "dir")]
    return []


def check_permissions(client: RedisClient, request: BackupRequest) -> None:
    """Raise Unavailable for what the ACL would deny later, where the server can tell beforehand (ACL DRYRUN, 7.0)."""
    commands: Sequence[Command] = [("BGSAVE",)] if request.method == FILE else [("SYNC",), ("REPLCONF", "capa", "eof")]
    missing = []
    for command in commands:
        reply = client.ask("ACL", "DRYRUN", client.user, *command)
        if isinstance(reply, bytes) and reply != b"OK":
            missing.append(f"+{str(command[0]).lower()}")
    if missing:
        rules = " ".join(missing)
        raise Unavailable(
            f"User {client.user!r} lacks permissions at Redis {client.where}: {rules}. "
            f"Grant: ACL SETUSER {client.user} {rules}"
        )


def check_role(endpoint: Endpoint, request: BackupRequest) -> None:
    """Raise Refused where a backup would be of something old, or of a part."""
    info = endpoint.info
    if endpoint.role == "replica" and info.get("master_link_status") != "up":
        raise Refused(
            f"{endpoint.where} is a replica that has lost its master "
            f"{info.get('master_host')}:{info.get('master_port')}: "
            "what it holds is old. Nothing was touched. Repair the replication, or back up the master."
        )
    if info.get("redis_mode") == "cluster" and request.queues:
        raise Refused(
            f"{endpoint.where} is a node of a Redis Cluster and holds only some keys of each queue. Back up every node "
            "with queue_counts=false."
        )


def dump_file(client: RedisClient, request: BackupRequest) -> Path:
    """Where the server's dump file is, as seen from here; raises Refused when it is out of reach."""
    directory = request.data_directory or _setting(client, "dir")
    name = request.dbfilename or _setting(client, "dbfilename")
    if not name:
        raise Refused(f"{client.where} has no name for dumps (dbfilename is empty). Set one, or use method=stream.")
    if not os.access(directory, os.R_OK | os.X_OK):
        raise Refused(
            f"The data directory {directory} of {client.where} cannot be read here. Run this on the server's host as "
            "a user who may, name the place where a container's volume is mounted with data_directory, or use "
            "method=stream."
        )
    return Path(directory) / name


def last_dump(path: Path) -> tuple[int | None, int | None]:
    """Bytes of the last dump, and the server's memory when it was written; None where nobody knows."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return size, read_header(stream.read(HEADER_BYTES)).used_memory_bytes
    except (OSError, Damaged):
        return None, None


def is_append_only(endpoint: Endpoint) -> bool | None:
    """Whether the server keeps an append-only file."""
    enabled = endpoint.info.get("aof_enabled")
    return None if enabled is None else enabled == "1"


def _setting(client: RedisClient, name: str) -> str:
    reply = client.ask("CONFIG", "GET", name)
    if isinstance(reply, Refusal) or len(reply) < 2:
        option = "data_directory" if name == "dir" else name
        raise Refused(
            f"{client.where} does not say where its files are (CONFIG GET {name}). Set {option}, or use method=stream."
        )
    return os.fsdecode(reply[1])
