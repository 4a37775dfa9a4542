# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster brought to a moment: in a private place first, recovered and asked, then given its name."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, free_bytes, sync_directory
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.common.stopwatch import stopwatch
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.destination import Destination
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.placing import clear, put_in_place
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.questions import Answer, ask
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import (
    AUTO_CONF,
    Feed,
    Moment,
    Recovered,
    Target,
    prepare,
    recovered,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.settings_file import without_recovery
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.preload import preload_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

# In the new data directory: what it is, so that a second run sees that there is nothing to do.
MARKER = "runbook-restored.json"
# Room for a cluster beside its size: what replaying writes.
ROOM = 1.2


@dataclass
class Building:
    """How a cluster comes about, whatever its backup's kind.

    Args:
        installation: Of the cluster's major version.
        superuser: The name of its superuser.
        moment: Where recovery ends.
        params: With the questions.
        fill: Puts the cluster into empty directories.
        feed: Gives WAL, for as long as its block runs.
        segments: How many segments of it there are; None when nobody knows.

    """

    installation: Installation
    superuser: str
    moment: Moment
    params: Mapping[str, Any]
    fill: Callable[[Target], None]
    feed: Callable[[ScratchPlace, Target], contextlib.AbstractContextManager[Feed]]
    segments: Optional[int] = None


@dataclass
class Built:
    """What came of it."""

    lsn: Optional[str]
    last_commit_at: Any
    timeline: int
    proof: dict[str, str]
    answers: list[Answer]
    seconds: dict[str, float]
    has_configuration: bool
    superuser: str = "postgres"


def check_room(destination: Destination, cluster_bytes: int) -> None:
    """Raise Undecided (code no_space) unless the cluster fits where it is going."""
    needed = int(cluster_bytes * ROOM)
    free = free_bytes(destination.data.parent) + sum(each.bytes for each in destination.leftovers)
    if free < needed:
        raise Undecided(
            f"The cluster needs about {needed} bytes in {destination.data.parent}, and {free} are free there. "
            "Nothing was "
            "touched. Free some, or name a place on a larger disk",
            code="no_space",
        )


def build(building: Building, destination: Destination, marker: Mapping[str, Any], progress: Progress) -> Built:
    """Build a cluster and give it its place.

    Until then it lies in a directory named C(runbook-scratch-…) beside, which disappears with this process: a run that
    is killed leaves nothing that could be taken for a server.

    Raises:
        Unreached, WalMissing, Damaged, Undecided: it could not be recovered.
        RunbookError: it does not answer as it should; nothing was put in place.

    """
    seconds: dict[str, float] = {}
    clear(destination.data.parent, destination.account)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(ScratchPlace(destination.data.parent, account=destination.account.name))
        spaces = {}
        for oid, path in destination.tablespaces.items():
            # A tablespace is often on a disk of its own: it is built there, too.
            beside = (
                place
                if path.parent == destination.data.parent
                else stack.enter_context(ScratchPlace(path.parent, account=destination.account.name))
            )
            spaces[oid] = beside.subdirectory(f"tablespace-{oid}")
        target = Target(place.subdirectory("data"), spaces, place.account.ids)
        with stopwatch(seconds, "copy"):
            building.fill(target)
        prepare(target, place)
        with building.feed(place, target) as feed, stopwatch(seconds, "replay"):
            progress.phase("replay", str(destination.data), total=building.segments, unit="segments")
            state = stack.enter_context(
                recovered(
                    building.installation,
                    place,
                    target.data,
                    superuser=building.superuser,
                    feed=feed,
                    moment=building.moment,
                    progress=progress,
                    preload=preload_from(building.params.get("preload") or ()),
                )
            )
        with stopwatch(seconds, "check"):
            progress.phase("check", str(destination.data))
            answers = ask(state, building.params)
            wrong = [each for each in answers if not each.holds]
            if wrong:
                raise RunbookError(
                    f"The cluster was recovered to {state.lsn}, and {wrong[0].problem}. It was not kept. Choose "
                    "another "
                    "moment.",
                    answers=[each.as_dict() for each in answers],
                    last_commit_at=None if state.last_commit_at is None else state.last_commit_at.isoformat(),
                )
        with stopwatch(seconds, "place"):
            progress.phase("place", str(destination.data))
            state.shut_down()
            has_configuration = _finish(place, target, state, marker)
            _relink(target, destination)
            for path in [*spaces.values(), target.data]:
                _sync(path, progress)
            put_in_place(
                target.data,
                destination.data,
                {spaces[oid]: path for oid, path in destination.tablespaces.items()},
                place.give,
            )
    return Built(
        state.lsn,
        state.last_commit_at,
        state.timeline,
        state.proof,
        answers,
        seconds,
        has_configuration,
        building.superuser,
    )


def _relink(target: Target, destination: Destination) -> None:
    with explained("link tablespaces in", target.data):
        for oid, path in destination.tablespaces.items():
            link = target.data / "pg_tblspc" / oid
            link.unlink()
            link.symlink_to(path)
            if os.geteuid() == 0:
                os.chown(link, *destination.account.ids, follow_symlinks=False)


def _finish(place: ScratchPlace, target: Target, state: Recovered, marker: Mapping[str, Any]) -> bool:
    """Bring its settings back without what made it recover, and write down what it is."""
    data = target.data
    with explained("finish", data):
        aside = place.directory / AUTO_CONF
        if aside.exists():
            text = without_recovery(aside.read_text(encoding="utf-8", errors="surrogateescape"))
            (data / AUTO_CONF).write_text(text, encoding="utf-8", errors="surrogateescape")
            (data / AUTO_CONF).chmod(0o600)
            place.give(data / AUTO_CONF)
        for name in ("recovery.signal", "recovery.done", "backup_label.old", "tablespace_map.old", "postmaster.opts"):
            (data / name).unlink(missing_ok=True)
        note = data / MARKER
        note.write_text(
            json.dumps({**marker, "lsn": state.lsn, "timeline": state.timeline}, indent=1, sort_keys=True) + "\n",
            encoding="utf-8",
        )
        note.chmod(0o600)
        place.give(note)
        return (data / "postgresql.conf").exists()


def _sync(root: Path, progress: Progress) -> None:
    """Flush everything: the server that recovered did not wait for the disk."""
    with explained("flush", root):
        for directory, _directories, files in os.walk(root):
            for name in files:
                path = Path(directory) / name
                if path.is_symlink():
                    continue
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            sync_directory(Path(directory))
            progress.check()
