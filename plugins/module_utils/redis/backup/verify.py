# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving a backup: from its first bytes to a server that has loaded a copy of it."""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import Verification
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.files import (
    copy_file,
    free_bytes,
    hash_file,
    private_directory,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import (
    Census,
    count_queues,
    info_of,
    keys_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import (
    differing_databases,
    differing_queues,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.headroom import (
    check_disk,
    memory_here,
    missing_memory,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.levels import LEVELS, verification
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.manifest import Manifest
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.program import (
    Program,
    check_tool,
    find_program,
    is_older,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.rdb import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    Header,
    is_checksummed,
    read_header,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.scratch import KEEPS_EXPIRED, ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.redis.connection import connect_server
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings
from ansible_collections.runbook.ops.plugins.module_utils.redis.scan import Budget, budget_argument_spec, budget_from

_MOST_NAMED = 5
SCRATCH_PREFIX = "runbook-redis-"
NO_CHECKSUM = (
    "The server writes no checksum (rdbchecksum no): a flipped byte between its memory and this copy cannot be seen. "
    "From here on the SHA-256 guards it."
)


@dataclass(frozen=True)
class Workshop:
    """Where and with what backups are loaded for proof. Times are in seconds."""

    binary: Optional[str] = None
    directory: Optional[str] = None
    seconds: float = 600.0
    arguments: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)

    def program(self) -> Program:
        """The server program; raises InvalidOption or RunbookError."""
        return find_program(self.binary)

    @property
    def place(self) -> Path:
        """The directory in which the private one is made."""
        return Path(self.directory or tempfile.gettempdir())


def workshop_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of every module that loads backups; the doc fragment C(redis.workshop) says the same."""
    return {
        # A proof may take longer than a look.
        **budget_argument_spec(),
        "max_keys": {"type": "int", "default": 10_000_000, "no_log": False},
        "max_seconds": {"type": "float", "default": 60.0},
        "server_binary": {"type": "path"},
        "server_arguments": {"type": "list", "elements": "str", "default": []},
        "scratch_directory": {"type": "path"},
        "verify_timeout": {"type": "float", "default": 600.0},
        "queue_counts": {"type": "bool", "default": True},
    }


def workshop_from(params: Mapping[str, Any]) -> Workshop:
    """Check those options; raises InvalidOption."""
    if not params["verify_timeout"] > 0:
        raise InvalidOption("verify_timeout", params["verify_timeout"], "a number of seconds greater than 0")
    directory = params["scratch_directory"]
    if directory and not Path(directory).is_dir():
        raise InvalidOption("scratch_directory", directory, "a directory that exists on the host")
    return Workshop(
        binary=params["server_binary"] or None,
        directory=directory or None,
        seconds=params["verify_timeout"],
        arguments=tuple(params["server_arguments"]),
        budget=budget_from(params),
    )


class Verifier:
    """One backup and what its manifest says; C(run) gives the verification, C(found) what the loaded copy holds."""

    def __init__(
        self, path: Path, manifest: Optional[Manifest], workshop: Workshop, progress: Progress, *, queues: bool
    ) -> None:
        self._path = path
        self._manifest = manifest
        self._workshop = workshop
        self._progress = progress
        self._queues = queues
        self._program: Optional[Program] = None
        self.header: Optional[Header] = None
        self.sha256: Optional[str] = None
        self.bytes: Optional[int] = None
        self.found: Optional[Census] = None

    def run(self, wanted: str, oldest: Optional[dt.datetime] = None) -> Verification:
        """Look at everything up to a level; C(oldest) is the moment before which a backup is too old."""
        seen = verification(wanted)
        with contextlib.suppress(_Ended):
            self._exists(seen)
            self._fresh(seen, oldest)
            self._format(seen)
            self._bytes(seen)
            self._check(seen)
            if LEVELS.index(wanted) >= LEVELS.index("loads"):
                self._load(seen, wanted)
        return seen

    def _exists(self, seen: Verification) -> None:
        with _at(seen, "exists"):
            try:
                with self._path.open("rb") as stream:
                    data = stream.read(HEADER_BYTES)
            except FileNotFoundError:
                raise Damaged(f"{self._path} does not exist") from None
            except OSError as error:
                raise Undecided(f"{self._path} cannot be read: {error.strerror or error}") from None
            if not data:
                raise Damaged(f"{self._path} is empty")
            seen.passed("exists")

    def _fresh(self, seen: Verification, oldest: Optional[dt.datetime]) -> None:
        if oldest is None:
            seen.skipped("fresh", "no age was given")
            return
        with _at(seen, "fresh"):
            created = self._manifest.taken_at if self._manifest else self._read_header().created
            if created is None:
                raise Undecided("neither a manifest nor the file says when it was taken")
            taken = dt.datetime.fromtimestamp(created, dt.timezone.utc)
            if taken < oldest:
                raise Damaged(f"it was taken at {taken:%Y-%m-%d %H:%M:%S} UTC, which is too long ago")
            seen.passed("fresh", f"taken at {taken:%Y-%m-%d %H:%M:%S} UTC")

    def _read_header(self) -> Header:
        if self.header is None:
            with self._path.open("rb") as stream:
                self.header = read_header(stream.read(HEADER_BYTES))
        return self.header

    def _format(self, seen: Verification) -> None:
        with _at(seen, "format"):
            header = self._read_header()
            self._program = program = self._workshop.program()
            if header.flavour == program.flavour and header.version and is_older(program.version, header.version):
                raise Undecided(
                    f"it was written by {header.writer}, which is newer than {program.label} of this host. Name a "
                    "server_binary of at least that version"
                )
            if header.is_valkeys_own and program.flavour != "valkey":
                raise Undecided(
                    f"it was written by {header.writer} in a format that {program.label} does not read. Name a "
                    "valkey-server as server_binary"
                )
            seen.passed("format", f"RDB format {header.format}, written by {header.writer}")

    def _bytes(self, seen: Verification) -> None:
        with _at(seen, "bytes"):
            self._progress.phase("hash", str(self._path), total=self._path.stat().st_size, unit="bytes")
            self.bytes, self.sha256 = hash_file(self._path, self._progress)
            if self._manifest is None:
                if LEVELS.index(seen.wanted) < LEVELS.index("counts"):
                    seen.skipped("bytes", "there is no manifest to compare with")
                    return
                raise Undecided("there is no manifest beside it, so nothing says what it must be")
            if self.bytes != self._manifest.bytes:
                raise Damaged(f"it has {self.bytes} bytes, its manifest says {self._manifest.bytes}")
            if self.sha256 != self._manifest.sha256:
                raise Damaged(f"its SHA-256 is {self.sha256}, its manifest says {self._manifest.sha256}")
            seen.passed("bytes", f"{self.bytes} bytes, SHA-256 as in the manifest")

    def _check(self, seen: Verification) -> None:
        with _at(seen, "check"):
            header, program = self._read_header(), self._known_program()
            self._progress.phase("check", str(self._path))
            done = check_tool(program, "rdb", self._path, self._workshop.seconds)
            text = done.stdout + done.stderr
            if "Can't handle RDB format version" in text:
                raise Undecided(
                    f"its format {header.format} is newer than {program.label} reads. Name a newer server_binary"
                )
            if done.returncode != 0:
                raise Damaged(f"redis-check-rdb of {program.label} says: {_complaint(text)}")
            if "RDB looks OK" not in text:
                raise Undecided(f"redis-check-rdb of {program.label} says nothing that is known")
            with self._path.open("rb") as stream:
                stream.seek(-CHECKSUM_BYTES, 2)
                checksummed = is_checksummed(header, stream.read(CHECKSUM_BYTES))
            if not checksummed:
                seen.notes.append(NO_CHECKSUM)
            seen.passed("check", "checksum right" if checksummed else "readable to its end, without a checksum")

    def _known_program(self) -> Program:
        if self._program is None:
            self._program = self._workshop.program()
        return self._program

    def _load(self, seen: Verification, wanted: str) -> None:
        with _at(seen, "loads"):
            size, place = self._path.stat().st_size, self._workshop.place
            # What a value takes in memory is a small multiple of what it takes in the file, where nobody says better.
            needed = self._read_header().used_memory_bytes or 4 * size
            if short := missing_memory(needed, memory_here()):
                raise Undecided(short)
            check_disk(str(place), free_bytes(place), size, "the copy that is loaded")
            with private_directory(SCRATCH_PREFIX, place) as directory:
                self._progress.phase("copy", str(directory), total=size, unit="bytes")
                digest = copy_file(self._path, directory / "dump.rdb", self._progress)[1]
                if digest != self.sha256:
                    raise Undecided("it changed while it was read. Is something else writing to it?")
                arguments = [
                    "--dbfilename",
                    "dump.rdb",
                    "--appendonly",
                    "no",
                    *KEEPS_EXPIRED,
                    *self._workshop.arguments,
                ]
                self._progress.phase("load", str(self._path))
                program = self._known_program()
                with ScratchServer(program, directory, arguments, self._workshop.seconds, self._progress) as server:
                    seen.passed("loads", f"{program.label} loads it")
                    self._compare(seen, wanted, server.settings)

    def _compare(self, seen: Verification, wanted: str, settings: Settings) -> None:
        if self._manifest is None and LEVELS.index(wanted) < LEVELS.index("counts"):
            return
        self._progress.phase("compare", str(self._path))
        self.found = compare(
            seen, self._manifest, settings, self._workshop.budget, queues=self._queues, keeps_expired=True
        )


def compare_live(
    manifest: Optional[Manifest], settings: Settings, budget: Budget, *, queues: bool
) -> tuple[Verification, Optional[Census]]:
    """Whether a server that was restored holds what the manifest says; nobody must have worked on it meanwhile."""
    seen = verification()
    for level in LEVELS[: LEVELS.index("counts")]:
        seen.skipped(level, "a live server is compared")
    census = None
    with contextlib.suppress(_Ended):
        census = compare(seen, manifest, settings, budget, queues=queues, keeps_expired=False)
    return seen, census


def compare(
    seen: Verification,
    manifest: Optional[Manifest],
    settings: Settings,
    budget: Budget,
    *,
    queues: bool,
    keeps_expired: bool,
) -> Census:
    """Compare a server with a manifest, as the levels C(counts) and C(queues): what it holds.

    Raises the family of RunbookError that C(_at) puts into the verification.
    """
    if manifest is None:
        with _at(seen, "counts"):
            raise Undecided("there is no manifest, so nothing says what it must hold")
    figures = manifest.figures
    with _at(seen, "counts"):
        with connect_server(settings) as client:
            census = Census(*keys_of(info_of(client)))
        wrong = differing_databases(figures, census, keeps_expired=keeps_expired)
        if wrong:
            raise Damaged(_listed(wrong))
        total = sum(census.keys.values())
        seen.passed("counts", f"{total} keys in {len(census.keys)} databases, as the server had")
    with _at(seen, "queues"):
        if not queues:
            seen.skipped("queues", "not asked for (queue_counts)")
        elif not figures.has_queues:
            raise Undecided("the manifest has no figures of queues, because the backup was taken without them")
        else:
            census.queues = count_queues(settings, sorted(census.keys), budget, manifest.counted_at)
            wrong = differing_queues(figures, census)
            if wrong:
                raise Damaged(_listed(wrong))
            seen.passed("queues", f"{len(census.queues)} queues, as the server had")
    return census


class _Ended(Exception):
    """A level did not hold; everything after it is not looked at."""


@contextlib.contextmanager
def _at(seen: Verification, level: str) -> Iterator[None]:
    """Put what goes wrong at a level into the verification and end it there."""
    try:
        yield
    except (Stopped, InvalidOption):
        raise
    except Damaged as error:
        seen.failed(level, error.message)
        raise _Ended from None
    except RunbookError as error:
        seen.undecided(level, error.message)
        raise _Ended from None
    except OSError as error:
        seen.undecided(level, f"{error.filename or 'a file'}: {error.strerror or error}")
        raise _Ended from None


def _complaint(text: str) -> str:
    """The lines in which the tool says what is wrong, without its offsets."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if "RDB ERROR" in line or "rror" in line or "Unexpected" in line or "rong" in line]
    chosen = wrong or lines[-1:]
    return "; ".join(
        dict.fromkeys(line.replace("--- RDB ERROR DETECTED ---", "RDB error detected") for line in chosen[:3])
    )


def _listed(wrong: list[str]) -> str:
    more = f" (and {len(wrong) - _MOST_NAMED} more)" if len(wrong) > _MOST_NAMED else ""
    return "; ".join(wrong[:_MOST_NAMED]) + more
