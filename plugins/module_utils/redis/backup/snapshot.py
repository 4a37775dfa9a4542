# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot by BGSAVE, proven to be ours and finished, and copied from the server's data directory.

What does not prove it: C(rdb_last_bgsave_status) is C(ok) before any save and during one, and stays so when the child
is killed by SIGUSR1; LASTSAVE has the resolution of a second; C(rdb_saves) counts beginnings. What does: no save runs
any more, the last one went well, and the file was replaced by another since ours began.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, stream_to
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import (
    Census,
    QueueId,
    info_of,
    keys_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import Figures, between
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.moment import (
    changes_around_save,
    has_forked,
    is_busy,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.client import RedisClient
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import CommandRefused, Refusal
from ansible_collections.runbook.ops.plugins.module_utils.redis.info import flag, integer, parse_info

# Others may save, too; so often their save may come between ours and its copy.
_ATTEMPTS = 3
_POLL_SECONDS = 0.1

Queues = dict[QueueId, dict[str, int]]
QueueCounter = Callable[[dict[str, str]], Queues]


@dataclass
class Snapshot:
    """A snapshot in a file of ours. C(taken_at) is by the server's clock, epoch seconds."""

    bytes: int
    sha256: str
    taken_at: float
    figures: Figures = field(default_factory=Figures)


@dataclass(frozen=True)
class Identity:
    """Which file a name stands for at the moment: a save replaces it by another. All None: there is none."""

    inode: int | None = None
    modified_ns: int | None = None
    bytes: int | None = None


def identity_of(path: Path) -> Identity:
    """The identity of the file, read where the server writes it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return Identity()
    return Identity(status.st_ino, status.st_mtime_ns, status.st_size)


class _Busy(Exception):
    """Another child of the server was quicker."""


class Saver:
    """Snapshots of one server through its data directory."""

    def __init__(
        self, client: RedisClient, source: Path, count_queues: QueueCounter, seconds: float, progress: Progress
    ) -> None:
        """C(source) is the server's dump file as seen from here; C(count_queues) looks at the queues of databases."""
        self._client = client
        self._source = source
        self._count_queues = count_queues
        self._deadline = time.monotonic() + seconds
        self._seconds = seconds
        self._progress = progress

    def save_to(self, target: Path, *, has_queues: bool) -> Snapshot:
        """Take a snapshot and copy it.

        Raises:
            Refused: the server is kept busy by others until the time is over.
            RunbookError: the save failed.

        """
        attempts = 0
        while attempts < _ATTEMPTS:
            try:
                snapshot = self._try(target, has_queues)
            except _Busy:
                continue
            if snapshot is not None:
                return snapshot
            attempts += 1
        raise Refused(
            f"Others save on {self._client.where} so often that none of {_ATTEMPTS} snapshots could be copied before "
            "the next one replaced it. Look who calls BGSAVE, and at the save points (CONFIG GET save); then run "
            "this again."
        )

    def _try(self, target: Path, has_queues: bool) -> Snapshot | None:
        """A snapshot; None when another save came in between."""
        first = self._wait_until_quiet()
        queues_before = self._count_queues(first)
        before = identity_of(self._source)
        # One write: the server executes what it reads at once without others between, as a rule, and then the two
        # looks enclose exactly the fork. Where they do not, they differ, and the figures become ranges.
        at, now, at_end = self._begin()
        if has_forked(first, at):
            return None
        queues_after = self._count_queues(at_end)
        last = info_of(self._client)
        self._wait_until_saved(before)
        with explained("read", self._source):
            stream = self._source.open("rb")
        with stream:
            if has_forked(at_end, info_of(self._client)):
                return None  # What is open now may be the file of another save.
            size, digest = stream_to(stream, target, self._progress)
        changes = changes_around_save(first, at, at_end, last)
        figures = between(
            Census(*keys_of(at), queues_before), Census(*keys_of(at_end), queues_after), changes, has_queues=has_queues
        )
        return Snapshot(size, digest, now, figures)

    def _begin(self) -> tuple[dict[str, str], float, dict[str, str]]:
        """Send BGSAVE: INFO before, the server's time, INFO after; raises _Busy when another child was quicker."""
        at, now, reply, at_end = self._client.pipeline([("INFO",), ("TIME",), ("BGSAVE",), ("INFO",)])
        for each in (at, now, at_end):
            if isinstance(each, Refusal):
                raise CommandRefused(each)
        if isinstance(reply, Refusal):
            # "Background save already in progress", "Another child process is active (AOF?): can't BGSAVE right now".
            if "in progress" in reply.text or "is active" in reply.text:
                raise _Busy
            raise CommandRefused(reply)
        seconds, microseconds = now
        return parse_info(at), int(seconds) + int(microseconds) / 1e6, parse_info(at_end)

    def _wait_until_quiet(self) -> dict[str, str]:
        while True:
            info = info_of(self._client)
            busy = is_busy(info)
            if busy is None:
                return info
            if time.monotonic() > self._deadline:
                raise Refused(
                    f"{self._client.where} has been busy with {busy} for {self._seconds:g} s (save_timeout), and only "
                    "one can run at a time. Nothing was saved. Run this again later."
                )
            self._progress.wait(_POLL_SECONDS, f"waiting for {busy}")

    def _wait_until_saved(self, before: Identity) -> None:
        while True:
            info = info_of(self._client)
            if not flag(info, "rdb_bgsave_in_progress"):
                break
            if time.monotonic() > self._deadline:
                raise RunbookError(
                    f"The save on {self._client.where} is not done after {self._seconds:g} s (save_timeout). It goes "
                    "on by itself; nothing was copied. Raise save_timeout, or look at the disk and run this again."
                )
            done, total = (integer(info, f"current_save_keys_{name}") for name in ("processed", "total"))
            self._progress.at(done or 0, "saving", total=total or None)
            time.sleep(_POLL_SECONDS)
        if info.get("rdb_last_bgsave_status") != "ok":
            raise RunbookError(
                f"The save on {self._client.where} failed (rdb_last_bgsave_status: "
                f"{info.get('rdb_last_bgsave_status')}): its disk is full, or the child was killed, perhaps for lack "
                "of memory. Nothing was copied. The server's log says which; run this again when it is remedied."
            )
        if identity_of(self._source) == before:
            raise RunbookError(
                f"The save on {self._client.where} ended without replacing {self._source}. Either the child was "
                "killed (FLUSHALL and SHUTDOWN do that), or this is not the file of that server: check "
                "data_directory. Nothing was copied."
            )
