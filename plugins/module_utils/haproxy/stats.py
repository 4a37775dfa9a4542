# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What haproxy's stats socket says of servers, read. Pure."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Optional

READY, DRAIN, MAINT = "ready", "drain", "maint"
# srv_admin_state is a sum of flags (haproxy's management guide, "show servers state").
_MAINT_FLAGS = 0x01 | 0x02 | 0x04 | 0x20 | 0x40
_DRAIN_FLAGS = 0x08 | 0x10


@dataclass(frozen=True)
class Server:
    """One server of a backend."""

    backend: str
    name: str
    # What an administrator, or the configuration, wants of it.
    admin: str
    # What haproxy shows: UP, DOWN, DRAIN, MAINT, no check.
    status: str
    sessions: int
    queued: int

    @property
    def takes_traffic(self) -> bool:
        """Whether new clients are sent to it."""
        return self.admin == READY and self.status.upper().startswith(("UP", "NO CHECK"))

    @property
    def is_idle(self) -> bool:
        """Whether nobody is connected to it or waits for it."""
        return self.sessions == 0 and self.queued == 0

    def facts(self) -> dict[str, Any]:
        """For results."""
        return {"state": self.admin, "status": self.status, "sessions": self.sessions, "queued": self.queued}


def read_servers(state: str, stat: str) -> list[Server]:
    """The servers out of C(show servers state) and C(show stat)."""
    flags = {(row["be_name"], row["srv_name"]): int(row["srv_admin_state"]) for row in _state_rows(state)}
    found = []
    for row in _stat_rows(stat):
        key = (row["pxname"], row["svname"])
        if key in flags:
            found.append(
                Server(*key, admin_of(flags[key]), row["status"], int(row["scur"] or 0), int(row["qcur"] or 0))
            )
    return found


def admin_of(flags: int) -> str:
    """The administrative state of a server's flags."""
    if flags & _MAINT_FLAGS:
        return MAINT
    return DRAIN if flags & _DRAIN_FLAGS else READY


def find(servers: Iterable[Server], backend: str, name: str) -> Optional[Server]:
    """One server; None where there is none of that name."""
    return next((each for each in servers if (each.backend, each.name) == (backend, name)), None)


def others_with_traffic(servers: Iterable[Server], server: Server) -> int:
    """How many other servers of the backend take new clients."""
    return sum(each.takes_traffic for each in servers if each.backend == server.backend and each.name != server.name)


def _state_rows(text: str) -> Iterable[dict[str, str]]:
    header: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            header = line.lstrip("# ").split()
        elif header and len(line.split()) >= len(header):
            yield dict(zip(header, line.split()))


def _stat_rows(text: str) -> Iterable[dict[str, str]]:
    return csv.DictReader(text.lstrip("# ").splitlines())
