# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scratch server is set to: everything for loading fast, nothing for keeping, nothing for others. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

Setting = Union[str, int, bool]

_MIB = 1024 * 1024
# What was asked for is never more than the least machine needs, so that a proof of a large database takes no more
# memory than that of a small one. More buys nothing: rows pass by once, through a small ring of buffers, the system
# keeps the files in the memory that nobody uses, and sorting in two steps is as fast as in one (measured).
_MOST_BUFFERS = 64 * _MIB
_MOST_WORK = 64 * _MIB
_LEAST = 16 * _MIB

# Nobody else reaches it, and nothing it does leaves it. These win over everything.
PRIVATE: dict[str, Setting] = {
    "listen_addresses": "",
    "port": 5432,
    "unix_socket_permissions": "0700",
    "ssl": False,
    "archive_mode": False,
    "archive_command": "",
    "logging_collector": False,
    "log_destination": "stderr",
    "external_pid_file": "",
    "cluster_name": "runbook-scratch",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "max_logical_replication_workers": 0,
    "hot_standby_feedback": False,
    "primary_conninfo": "",
    "primary_slot_name": "",
    "synchronous_standby_names": "",
}
# It is thrown away afterwards: a crash may take everything.
CARELESS: dict[str, Setting] = {
    "fsync": False,
    "full_page_writes": False,
    "synchronous_commit": False,
    "wal_init_zero": False,
    "wal_recycle": False,
    "checkpoint_timeout": "1d",
    "bgwriter_lru_maxpages": 0,
    # Until a commit is flushed, whoever reads its rows leaves their pages as they are, and writes none of them again
    # (SetHintBits in heapam_visibility.c).
    "wal_writer_delay": "10s",
}
LOADING: dict[str, Setting] = {
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "autovacuum": False,
    "jit": False,
    "max_locks_per_transaction": 512,
    "max_connections": 40,
    "huge_pages": False,
    "log_min_messages": "warning",
    "lc_messages": "C",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}

_CONTROLLED = {
    "max_connections setting": "max_connections",
    "max_worker_processes setting": "max_worker_processes",
    "max_wal_senders setting": "max_wal_senders",
    "max_prepared_xacts setting": "max_prepared_transactions",
    "max_locks_per_xact setting": "max_locks_per_transaction",
}
_AT_LEAST = {"max_connections": 40, "max_worker_processes": 8}


def tuned(memory_bytes: int, processors: int, free_bytes: int, *, is_copy: bool = False) -> dict[str, Setting]:
    """The settings for so much available memory, so many processors and so much free space.

    Args:
        memory_bytes: What may be used, by the system's figures and the limits of the control group.
        processors: How many may be used.
        free_bytes: What the disk has.
        is_copy: Whether the server is to start from a physical copy. It must then write WAL as its origin did.

    """
    settings = {**LOADING, **CARELESS}
    if is_copy:
        for name in ("wal_level", "max_wal_senders", "max_locks_per_transaction", "max_connections"):
            del settings[name]
    processors = max(1, processors)
    settings["shared_buffers"] = _kilobytes(_between(_LEAST, memory_bytes // 8, _MOST_BUFFERS))
    settings["maintenance_work_mem"] = _kilobytes(
        _between(_LEAST, memory_bytes // (6 * processors), _MOST_WORK // processors)
    )
    settings["work_mem"] = _kilobytes(_between(4 * _MIB, memory_bytes // (32 * processors), 32 * _MIB))
    settings["max_wal_size"] = f"{_between(256 * _MIB, free_bytes // 8, 64 * 1024 * _MIB) // _MIB}MB"
    settings["wal_buffers"] = "16MB"
    settings["max_worker_processes"] = processors + 4
    settings["max_parallel_workers"] = processors
    settings["max_parallel_maintenance_workers"] = max(0, processors - 1)
    return settings


def demanded(control_data: str) -> dict[str, Setting]:
    """The settings of a cluster by the words of pg_controldata; its recovery needs at least as much.

    Sources: C(pg_controldata.c), whose words are plain with C(LC_ALL=C); C(CheckRequiredParameterValues) in C(xlog.c).
    """
    found: dict[str, Setting] = {}
    for line in control_data.splitlines():
        label, _separator, value = line.partition(":")
        name = _CONTROLLED.get(label.strip())
        if name is not None:
            found[name] = max(int(value), _AT_LEAST.get(name, 0))
    return found


def configuration(settings: Mapping[str, Setting]) -> str:
    """The text of a configuration file."""
    return "".join(f"{name} = {_quoted(value)}\n" for name, value in settings.items())


def words(value: Setting) -> str:
    """A value as it stands behind C(-c name=)."""
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def _quoted(value: Setting) -> str:
    return "'" + words(value).replace("\\", "\\\\").replace("'", "''") + "'"


def _between(least: int, wanted: int, most: int) -> int:
    return max(least, min(wanted, most))


def _kilobytes(size: int) -> str:
    return f"{size // 1024}kB"
