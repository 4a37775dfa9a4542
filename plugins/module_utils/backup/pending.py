# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The note that an artefact is being written, which tells a half-written one from somebody else's file.

A file without a manifest may be somebody else's. So whoever writes leaves a note before the first byte, and takes it
away after the manifest: what has a note and no manifest was ours.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.depot import Depot
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import (
    MANIFEST_SUFFIX,
    PENDING_SUFFIX,
    NamingRule,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.published import entry_names
from ansible_collections.runbook.ops.plugins.module_utils.backup.repository import Repository
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


@contextlib.contextmanager
def noted(depot: Depot, artefact: str, companions: Sequence[str] = ()) -> Iterator[None]:
    """Leave a note that an artefact is being written. It stays when the block fails and its traces cannot be removed.

    Args:
        depot: Where it is written.
        artefact: Its name.
        companions: The suffixes of what may lie beside it.

    Raises:
        RunbookError: the place cannot be written to.

    """
    leave_note(depot, artefact)
    try:
        yield
    except BaseException:
        with contextlib.suppress(RunbookError, OSError):
            _remove(depot, artefact, companions)
        raise
    depot.delete(pending_name(artefact))


def sweep(depot: Depot, repository: Repository, rule: NamingRule, companions: Sequence[str] = ()) -> list[str]:
    """Remove what killed runs left in a repository; only with its lock held. The names of what was removed."""
    removed = depot.sweep(
        lambda name: rule.artefact_of(name) is not None or bool(companions and rule.companion_of(name) is not None)
    )
    names = set(entry_names(repository, rule))
    for name in sorted(names):
        artefact = name[: -len(PENDING_SUFFIX)]
        if not name.endswith(PENDING_SUFFIX) or rule.period(artefact) is None or not is_dead(depot.get(name)):
            continue
        if artefact + MANIFEST_SUFFIX in names:
            # It was killed between its last two steps: everything is there.
            depot.delete(name)
        else:
            _remove(depot, artefact, companions)
            removed.append(artefact)
    return list(dict.fromkeys(removed))


def _remove(depot: Depot, artefact: str, companions: Sequence[str]) -> None:
    """Remove an unpublished artefact; its note last, so that being killed here is made good by the next run."""
    depot.delete(artefact + MANIFEST_SUFFIX)
    depot.delete(artefact)
    for suffix in companions:
        depot.delete(artefact + suffix)
    depot.delete(pending_name(artefact))


def is_dead(note: Optional[bytes]) -> bool:
    """Whether the writer of a note is gone: here for certain, if the lock is ours; elsewhere after a day."""
    try:
        found = json.loads(note or b"")
        return bool(
            found["host"] == socket.gethostname() or utc_now() - parse_moment(found["started_at"]) > _DEAD_AFTER
        )
    except (ValueError, KeyError, TypeError, AttributeError, RunbookError):
        return True
