# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_dump as a stream: its arguments, what it says, and the chain of programs that its output goes through."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    CHUNK_BYTES,
    Child,
    ChildFailed,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.compression import (
    NONE,
    archive_argument,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

# As much as a pipe may hold: the program that writes does not wait for every turn of ours.
_PIPE_BYTES = 1024 * 1024
_F_SETPIPE_SZ = 1031
_TURN_SECONDS = 0.5

# What pg_dump and the server say, and what to do about it. First match wins.
_REMEDIES = (
    ("due to lock timeout", "Another session holds a lock that excludes reading. Find it, or raise lock_timeout."),
    (
        "conflict with recovery",
        "The standby had to go on with its recovery. Set hot_standby_feedback=on or raise "
        "max_standby_streaming_delay there, or dump the primary.",
    ),
    ("permission denied", "Grant what is missing to the login, such as pg_read_all_data."),
    ("row-level security", "ALTER ROLE … BYPASSRLS, or use a superuser."),
    ("terminating connection", "Somebody ended its session, or the server was stopped. Run the task again."),
    ("server closed the connection", "The server ended, or the network between. Read the server log, run it again."),
    ("No space left on device", "Make room, and run the task again."),
    ("server version mismatch", "Install the client of the server's version, or name it in bin_directory."),
)


class ContentHash:
    """Bytes and SHA-256 of what passes by."""

    def __init__(self) -> None:
        self.bytes = 0
        self._digest = hashlib.sha256()

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Pass chunks on."""
        for chunk in chunks:
            self.bytes += len(chunk)
            self._digest.update(chunk)
            yield chunk

    @property
    def sha256(self) -> str:
        """Of everything so far."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Plan:
    """How one dump is taken: C(zstd_argv) is the program that compresses, where pg_dump itself does not."""

    installation: Installation
    compression: str
    zstd_argv: tuple[str, ...] = ()

    @property
    def is_compressed(self) -> bool:
        """Whether fewer bytes than rows are expected."""
        return self.compression != NONE


def dump_argv(request: Request, plan: Plan, snapshot: str, target: Optional[Path] = None) -> list[str]:
    """pg_dump's arguments; nothing among them is a secret. The database is named in its environment."""
    inside = NONE if plan.zstd_argv else plan.compression
    return [
        plan.installation.program("pg_dump"),
        f"--format={request.format}",
        archive_argument(inside, request.level, plan.installation),
        f"--snapshot={snapshot}",
        "--no-password",
        f"--lock-wait-timeout={round(request.lock_seconds * 1000)}",
        *request.selection.argv(),
        *([f"--jobs={request.jobs}"] if request.is_directory else []),
        *([f"--file={target}"] if target is not None else []),
    ]


class Chain:
    """Programs one after the other, each fed by the one before. Enter it from the main thread.

    Args:
        first: The program at the beginning, with its environment.
        others: The programs that follow, each with its environment.
        watched: The hash of what goes into the last one; None when nobody wants it.

    """

    def __init__(
        self,
        first: tuple[Sequence[str], Mapping[str, str]],
        others: Sequence[tuple[Sequence[str], Mapping[str, str]]] = (),
        watched: Optional[ContentHash] = None,
    ) -> None:
        self._programs = [first, *others]
        self._watched = watched
        self._children: list[Child] = []
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Chain:
        with contextlib.ExitStack() as stack:
            for number, (argv, environment) in enumerate(self._programs):
                child = stack.enter_context(
                    Child(argv, environment=environment, stdin=subprocess.PIPE if number else subprocess.DEVNULL)
                )
                widen(child.stdout)
                self._children.append(child)
            self._stack = stack.pop_all()
        for before, after in zip(self._children, self._children[1:]):
            chunks = before.chunks()
            if self._watched is not None and after is self._children[-1]:
                chunks = self._watched.watch(chunks)
            after.feed(chunks)
        return self

    def __exit__(self, *_details: object) -> None:
        self._stack.close()

    def drain(self, take: Callable[[bytes], None], turn: Callable[[], None]) -> None:
        """Hand everything on, and then see how every program ended.

        Args:
            take: Gets each chunk.
            turn: Called about twice a second; what it raises ends everything.

        Raises:
            RunbookError: a program failed; the first in the chain is named, the others only followed it.

        """
        last = self._children[-1]
        stream = last.stdout
        try:
            while True:
                ready, _writable, _broken = select.select([stream], [], [], _TURN_SECONDS)
                turn()
                if ready:
                    chunk = stream.read1(CHUNK_BYTES)
                    if not chunk:
                        break
                    take(chunk)
            last.finish()
        except ChildFailed as error:
            raise explained(error) from None

    @property
    def words(self) -> str:
        """What the first program said beside its output."""
        return self._children[0].words


def watch_until_end(child: Child, turn: Callable[[], None]) -> None:
    """Wait for a program that writes by itself; see C(Chain.drain)."""
    while child.poll() is None:
        turn()
        with contextlib.suppress(OSError):
            # Nothing is written there: it becomes readable at the end.
            select.select([child.stdout], [], [], _TURN_SECONDS)
    try:
        child.finish()
    except ChildFailed as error:
        raise explained(error) from None


def explained(error: ChildFailed) -> RunbookError:
    """A program's failure with the next step."""
    remedy = next(
        (remedy for words, remedy in _REMEDIES if words in error.words), "Correct the cause, and run the task again."
    )
    return RunbookError(f"{error.message.rstrip('.')}. Nothing was published. {remedy}")


def warnings_of(words: str) -> list[str]:
    """What pg_dump said although it succeeded, one note each, without what follows from the line before."""
    lines = [line.split("pg_dump: ", 1)[-1] for line in words.splitlines() if line.startswith("pg_dump: warning")]
    return [f"pg_dump: {' '.join(line.split())}" for line in dict.fromkeys(lines)]


def widen(stream: object) -> None:
    """Let a pipe hold more, where the system allows it."""
    with contextlib.suppress(OSError, AttributeError):
        fcntl.fcntl(stream.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)  # type: ignore[attr-defined]


@contextlib.contextmanager
def private_files() -> Iterator[None]:
    """Files that programs make in this block are for their owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
