# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting an unpacked cluster and having it replay WAL, in a server that nobody else reaches."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed, first_words, run
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.server import ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.settings import Setting
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

AUTO_CONF = "postgresql.auto.conf"
_UNREACHED = "recovery ended before configured recovery target was reached"
_TOO_EARLY = "requested recovery stop point is before consistent recovery point"
_WAL_MISSING = re.compile(
    r"WAL ends before (?:end of online backup|consistent recovery point)|could not locate required checkpoint record|"
    r"could not find redo location"
)
# What must not be in a copy that is started: another server's life, and orders to follow somebody.
_STALE = ("postmaster.pid", "postmaster.opts", "standby.signal", "recovery.signal", "recovery.done")
_STATE = """
SELECT pg_is_in_recovery() AS is_in_recovery,
       pg_last_wal_replay_lsn()::text AS lsn,
       pg_last_xact_replay_timestamp() AS last_commit_at,
       pg_walfile_name(pg_current_wal_lsn()) AS wal_file
"""
_PROOF = """
SELECT name, setting FROM pg_settings
WHERE name IN ('archive_mode', 'archive_command', 'listen_addresses', 'primary_conninfo', 'primary_slot_name')
ORDER BY name
"""
_STOP_SECONDS = 3600.0
_LOG_CHARACTERS = 20_000


class Unreached(RunbookError):
    """The WAL ends before the moment that was asked for."""


class TooEarly(RunbookError):
    """The moment lies before the end of the backup."""


class WalMissing(RunbookError):
    """The WAL that makes the backup consistent is not there."""


@dataclass
class Target:
    """Where a cluster is unpacked to.

    Args:
        data: Its data directory, which exists and is empty.
        tablespaces: The new directory of each tablespace, by its number; each exists and is empty.
        owner: User and group that everything is given to; None leaves it ours.

    """

    data: Path
    tablespaces: Mapping[str, Path] = field(default_factory=dict)
    owner: Optional[tuple[int, int]] = None

    def give(self, path: Path) -> None:
        """Make the owner its owner."""
        if self.owner is not None and os.geteuid() == 0:
            os.chown(path, *self.owner, follow_symlinks=False)


@dataclass(frozen=True)
class Feed:
    """Where a recovering server's WAL comes from.

    Args:
        command: Its C(restore_command).
        problem: Asked, when it does not start, for what made that impossible; None when nobody knows.
        served: How many segments were handed over; None when nobody counts.

    """

    command: str
    problem: Callable[[], Optional[RunbookError]] = lambda: None
    served: Callable[[], Optional[int]] = lambda: None


@dataclass(frozen=True)
class Moment:
    """Where recovery ends: at a moment, or, without one, at the end of the WAL."""

    at: Optional[dt.datetime] = None
    inclusive: bool = True
    timeline: str = "latest"

    def settings(self) -> dict[str, Setting]:
        """For the server."""
        given: dict[str, Setting] = {"recovery_target_timeline": self.timeline, "recovery_target_action": "promote"}
        if self.at is not None:
            given["recovery_target_time"] = self.at.astimezone(dt.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f+00")
            given["recovery_target_inclusive"] = self.inclusive
        return given


@dataclass
class Recovered:
    """A server that has recovered and takes writes; C(proof) is what it says of being private."""

    server: ScratchServer
    superuser: str
    lsn: Optional[str]
    last_commit_at: Optional[dt.datetime]
    timeline: int
    seconds: float
    proof: dict[str, str] = field(default_factory=dict)

    def connect(self, database: str = "postgres", *, read_only: bool = True) -> Session:
        """A session of its superuser."""
        return self.server.connect(database, read_only=read_only)

    def options(self, database: str) -> dict[str, Any]:
        """Login options of its superuser."""
        return {**self.server.options, "login_db": database}

    def shut_down(self) -> None:
        """End it in order, everything written; raises RunbookError."""
        installation, place = self.server.installation, self.server.place
        argv = [installation.program("pg_ctl"), "stop", "-D", str(self.server.data_directory), "-m", "fast", "-w"]
        try:
            run([*argv, "-t", str(int(_STOP_SECONDS))], seconds=_STOP_SECONDS + 5, account=place.account.ids, cwd="/")
        except ChildFailed as error:
            raise RunbookError(f"The recovered server does not shut down: {first_words(error.words)}") from None


def prepare(target: Target, place: ScratchPlace) -> None:
    """Make an unpacked cluster one that recovers and obeys nobody else; its settings file goes aside.

    The file C(postgresql.auto.conf) would win over the settings that keep a scratch server private.
    """
    data = target.data
    with explained("prepare", data):
        # The server would make links to the old places from it, where a live server may have its data.
        (data / "tablespace_map").unlink(missing_ok=True)
        for oid, path in target.tablespaces.items():
            _link(data / "pg_tblspc" / oid, path, place)
        for name in _STALE:
            (data / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (data / AUTO_CONF).rename(place.directory / AUTO_CONF)
        signal = data / "recovery.signal"
        signal.touch(mode=0o600)
        place.give(signal)


def _link(link: Path, path: Path, place: ScratchPlace) -> None:
    if link.is_symlink():
        link.unlink()
    elif link.is_dir():
        link.rmdir()
    link.symlink_to(path)
    place.give(link)


@contextlib.contextmanager
def recovered(
    installation: Installation,
    place: ScratchPlace,
    data: Path,
    *,
    superuser: str,
    feed: Feed,
    moment: Moment,
    progress: Progress,
    preload: tuple[str, ...] = (),
) -> Iterator[Recovered]:
    """A recovered server for as long as the block runs.

    Args:
        installation: Of the cluster's major version.
        place: The scratch place that C(data) lies in.
        data: The unpacked cluster, after C(prepare).
        superuser: The name of its superuser.
        feed: Where its WAL comes from.
        moment: Where recovery ends.
        progress: Told while it replays.
        preload: Libraries that it loads at its start.

    Raises:
        Unreached: the WAL ends before the moment.
        TooEarly: the moment lies before the backup's end.
        WalMissing: the WAL that makes it consistent is missing.
        Damaged: the WAL cannot be read.
        Undecided: it does not start for another reason.

    """
    settings: dict[str, Setting] = {"restore_command": feed.command, "hot_standby": False, **moment.settings()}
    server = ScratchServer(
        installation,
        place=place,
        progress=progress,
        settings=settings,
        data_directory=data,
        preload=preload,
        start_seconds=None,
        superuser=superuser,
        on_wait=lambda: progress.at(feed.served() or 0),
    )
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(server)
        except Undecided as error:
            raise _explained(error, server, feed.problem()) from None
        with server.connect(read_only=True) as session:
            state = session.query(_STATE)[0]
            proof = {row["name"]: row["setting"] for row in session.query(_PROOF)}
        if state["is_in_recovery"]:
            raise Undecided("the recovered server still follows somebody")
        yield Recovered(
            server=server,
            superuser=superuser,
            lsn=state["lsn"],
            last_commit_at=state["last_commit_at"],
            timeline=int(state["wal_file"][:8], 16),
            seconds=round(time.monotonic() - began, 3),
            proof=proof,
        )


def _explained(error: Undecided, server: ScratchServer, problem: Optional[RunbookError]) -> RunbookError:
    words = _log(server)
    if problem is not None:
        return problem if isinstance(problem, (Damaged, Undecided)) else Undecided(problem.message)
    if _UNREACHED in words:
        return Unreached("the WAL ends before the moment that was asked for")
    if _TOO_EARLY in words:
        return TooEarly("the moment lies before the end of the backup, which can only be brought forward")
    if _WAL_MISSING.search(words):
        return WalMissing(f"the WAL that makes the backup consistent is missing: {server.log_words()}")
    return error


def _log(server: ScratchServer) -> str:
    """The end of the server's log: whoever knocks while it recovers adds lines of no interest."""
    with contextlib.suppress(OSError):
        return (server.place.directory / "log").read_text(encoding="utf-8", errors="replace")[-_LOG_CHARACTERS:]
    return ""
