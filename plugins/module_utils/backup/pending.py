# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note that an artefact is being written, which tells a half-written one from somebody else's file.

A file without a manifest may be somebody else's. So whoever writes leaves a note before the first byte, and takes it
away after the manifest: what has a note and no manifest was ours.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import PENDING_SUFFIX
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError

# A writer of another host that has not come to an end by then is dead.
_DEAD_AFTER = dt.timedelta(days=1)


def pending_name(artefact: str) -> str:
    """Where the note about an artefact lies."""
    return artefact + PENDING_SUFFIX


def leave_note(depot: Depot, artefact: str) -> None:
    """Note that an artefact is being written here; raises RunbookError when the place cannot be written to."""
    note = {"kind": "pending", "host": socket.gethostname(), "pid": os.getpid(), "started_at": iso(utc_now())}
    depot.put(pending_name(artefact), (json.dumps(note, sort_keys=True) + "\n").encode("ascii"))


def is_dead(note: Optional[bytes]) -> bool:
    """Whether the writer of a note is gone: here for certain, if the lock is ours; elsewhere after a day."""
    try:
        found = json.loads(note or b"")
        return bool(
            found["host"] == socket.gethostname() or utc_now() - parse_moment(found["started_at"]) > _DEAD_AFTER
        )
    except (ValueError, KeyError, TypeError, AttributeError, RunbookError):
        return True
