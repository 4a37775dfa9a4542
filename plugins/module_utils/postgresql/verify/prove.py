# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving one artefact, from a look at it to the inventory's own questions to a restored copy."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import DUMP
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import knows_restrict
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.consistency import check_consistency
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import UNCHECKED, code_of, decode
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.folder import Folder
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    BYTES,
    CONSISTENCY,
    DECODE,
    FRESH,
    LEVEL_OF,
    RESTORE,
    SEMANTICS,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Following, Head, Reading
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import FAIL, REQUIRED, Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.restoring import (
    make_roles,
    report_problems,
    restore,
    restore_globals,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.roles import missing_roles, read_globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.semantics import (
    as_of,
    census_of,
    check_identity,
    check_minimum,
    check_watermarks,
    compare_with_manifest,
    compare_with_previous,
    scope_of,
    tell_weaknesses,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.staging import Staging
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.subject import Subject
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import (
    Target,
    fitting_client,
    missing_extensions,
    scratch_target,
)

# Storage classes whose objects have to be asked for hours before they can be read.
_COLD = ("GLACIER", "DEEP_ARCHIVE")
# Compressions inside an archive that carry a checksum of the content.
_CHECKED = ("gzip",)


@dataclass(frozen=True)
class Previous:
    """The verified artefact before: what it holds, and its bytes' digest."""

    name: str
    census: Optional[Census]
    sha256: Optional[str]


class _Ended(Exception):
    """There is no point in going on."""


class Proof:
    """One artefact and what comes of proving it. C(run) does it; nothing but Stopped, Refused, InvalidOption is raised.

    Args:
        subject: The artefact.
        request: What is asked.
        progress: Where to show it.
        manifest: Whether it must have a manifest: C(required) or C(optional).
        previous: The verified artefact before it.
        staging: The server to restore into, if not a private one.

    """

    def __init__(
        self,
        subject: Subject,
        request: Request,
        progress: Progress,
        *,
        manifest: str,
        previous: Optional[Previous] = None,
        staging: Optional[Staging] = None,
    ) -> None:
        self.subject = subject
        self.report = Report(request.level, request.accept)
        self.seconds: dict[str, float] = {}
        self.found: Optional[Census] = None
        self.target: Optional[dict[str, Any]] = None
        self.taken_at: Optional[dt.datetime] = None
        self.sha256: Optional[str] = None
        self.blocks: tuple[str, ...] = ()
        self.members: dict[str, str] = {}
        self.kind: Optional[str] = None
        self.read_bytes = 0
        self.content_bytes = 0
        self._request = request
        self._progress = progress
        self._manifest = manifest
        self._previous = previous
        self._staging = staging
        self._globals: Optional[str] = None
        self._follower = Following(progress, subject)
        self._oldest = None if request.max_age is None else request.now - dt.timedelta(seconds=request.max_age)

    def run(self) -> None:
        """Look at everything up to the wanted level."""
        with contextlib.suppress(_Ended):
            with self._timed("look"):
                self._look()
                self._fresh()
            if not self.report.wants(BYTES):
                return
            with self._guarded("unreadable"):
                self._globals = read_globals(self.subject, self._request.decryption, self.report)
            if self.subject.is_directory:
                self._folder()
            else:
                self._file()

    # --- before anything is read
    def _look(self) -> None:
        subject, report = self.subject, self.report
        if subject.problem is not None:
            self._end(report.undecided, "unreadable", subject.problem)
        if subject.stat is None:
            self._absent()
        stat = subject.stat
        if stat is not None and stat.storage_class in _COLD:
            self._end(
                report.undecided,
                "unreadable",
                f"{subject.address} lies in cold storage ({stat.storage_class}); it has to be fetched from there first",
            )
        if subject.manifest_problem is not None:
            self._end(report.undecided, "manifest_unreadable", subject.manifest_problem)
        manifest = subject.manifest
        if manifest is None and self._manifest == REQUIRED:
            self._end(
                report.failed,
                "no_manifest",
                f"{subject.address} has no manifest: whatever wrote it did not come to its end",
            )
        if subject.size == 0:
            self._end(report.failed, "empty_artefact", f"{subject.address} is empty")
        if manifest is not None and manifest.method != DUMP:
            self._end(
                report.undecided,
                "manifest_unreadable",
                f"{subject.address} is a physical backup: prove it with method {manifest.method}",
            )

    def _absent(self) -> None:
        subject, report = self.subject, self.report
        with self._guarded("unreadable"):
            version = subject.depot.recoverable(subject.name)
            if version is None:
                self._end(report.failed, "no_artefact", f"{subject.address} does not exist")
            self._end(
                report.failed,
                "object_deleted",
                f"{subject.address} was deleted; version {version} is still there and can be brought back",
                found=version,
            )

    def _fresh(self) -> None:
        manifest = self.subject.manifest
        if manifest is not None:
            self.taken_at = parse_moment(manifest.taken_at)
            self._check_age("taken")
        elif not self.report.wants(BYTES):
            with self._guarded("unreadable"):
                self._head_moment(self._begin())
        else:
            # The dump's own header says it, and that is read now.
            return
        self.report.passed(FRESH, f"taken at {iso(self.taken_at)}" if self.taken_at else "it is there")

    def _head_moment(self, head: Head) -> None:
        """The moment of an artefact without a manifest, as its header has it."""
        if self.subject.manifest is not None:
            return
        self.taken_at = head.written_at(self._request.zone)
        if self.taken_at is not None:
            self._check_age("written, by its own header,")
        elif self._oldest is not None and not self._request.watermarks:
            self.report.undecided("stale", "nothing in it says when it was taken")
        elif self._oldest is None:
            self.report.leave_open("when it was taken: its header does not say")

    def _check_age(self, how: str) -> None:
        if self._oldest is not None and self.taken_at is not None and self.taken_at < self._oldest:
            self.report.failed(
                "stale",
                f"it was {how} at {self.taken_at:%Y-%m-%d %H:%M:%S} UTC, which is too long ago",
                expected=iso(self._oldest),
                found=iso(self.taken_at),
            )

    def _begin(self) -> Head:
        """The beginning alone, for its header."""
        if self.subject.is_directory:
            return Folder(self.subject, self._progress).begin()
        return Reading(self.subject, self._request.decryption, self._progress).begin()

    # --- one file
    def _file(self) -> None:
        subject, report = self.subject, self.report
        if self._is_of_another_size():
            return
        reading = Reading(subject, self._request.decryption, self._progress)
        try:
            if report.wants(DECODE):
                with contextlib.suppress(_Ended), self._guarded("unreadable"):
                    with self._timed("read"):
                        head = reading.begin()
                        self.kind = head.kind
                        self._head_moment(head)
                        report.passed(FRESH, f"taken at {iso(self.taken_at)}" if self.taken_at else "it is there")
                    with self._guarded("restore_error"):
                        reading.follower = self._follower
                        self._use(head, reading.chunks, None)
            with self._timed("read"), self._guarded("unreadable", DECODE):
                reading.drain()
        finally:
            self.read_bytes = reading.hashes.bytes
            self.content_bytes = reading.bytes_out
        self.blocks = reading.hashes.blocks
        self._compare_digest(reading.hashes.sha256, reading.hashes.bytes)
        self._unchecked(reading)
        self._repeats(reading.head)

    def _unchecked(self, reading: Reading) -> None:
        """What a format without a checksum leaves open."""
        head = reading.head
        if self.subject.digest is not None or head is None or reading.layers:
            return
        if head.kind != "plain" and head.compression in _CHECKED:
            return
        self.report.leave_open(UNCHECKED)

    def _repeats(self, head: Optional[Head]) -> None:
        """Whether it is the previous backup under another name."""
        previous, report = self._previous, self.report
        if previous is None or previous.sha256 is None or previous.sha256 != self.sha256 or not report.wants(SEMANTICS):
            return
        if any(each.code == "watermark_repeats" for each in report.findings):
            return
        message = f"it is, byte for byte, {previous.name} under another name"
        # An archive has the moment in it, a manifest too; the plain dump of a database at rest has not.
        is_dated = self.subject.manifest is not None or (head is not None and head.kind != "plain")
        (report.failed if is_dated else report.noted)(
            "watermark_repeats", message, object_=previous.name, found=self.sha256
        )

    def _is_of_another_size(self) -> bool:
        manifest, subject = self.subject.manifest, self.subject
        if manifest is None or subject.size == manifest.bytes:
            return False
        if self._is_another_version():
            self._replaced(f"it has {subject.size} bytes instead of {manifest.bytes}", manifest.bytes, subject.size)
        else:
            self.report.failed(
                "size_mismatch",
                f"it has {subject.size} bytes, and its manifest says {manifest.bytes}",
                expected=manifest.bytes,
                found=subject.size,
            )
        return True

    def _is_another_version(self) -> bool:
        manifest, stat = self.subject.manifest, self.subject.stat
        return bool(manifest and stat and manifest.version_id and stat.version_id != manifest.version_id)

    def _replaced(self, how: str, expected: Any, found: Any) -> None:
        manifest, stat = self.subject.manifest, self.subject.stat
        written = manifest.version_id if manifest else None
        now = stat.version_id if stat else None
        self.report.failed(
            "digest_mismatch",
            f"something else was written over it: {how}; the backup is version {written}, and the current one is {now}",
            expected=expected,
            found=found,
            remedy=f"Bring version {written} back, and find out who writes to this repository.",
        )

    def _compare_digest(self, sha256: str, size: int) -> None:
        """The hash wins over everything that was concluded from the bytes."""
        report, expected = self.report, self.subject.digest
        self.sha256 = sha256
        if any(each.code == "unreadable" for each in report.findings):
            return
        if expected is None:
            if report.seen.wanted == BYTES:
                report.undecided("no_digest", "nothing says which SHA-256 it must have")
            else:
                report.skipped(BYTES, f"{size} bytes read; nothing says which SHA-256 they must have")
                report.leave_open("that its bytes are those that were written: nobody noted their SHA-256")
            return
        if sha256 == expected:
            report.passed(BYTES, f"{size} bytes, SHA-256 as noted")
            if self._is_another_version():
                report.noted("object_replaced", "it was written again, with the same bytes, since its manifest")
            return
        because = next((each.message for each in report.ordered() if each.level in (DECODE, RESTORE)), None)
        report.forget_from(DECODE)
        if self._is_another_version():
            self._replaced("its SHA-256 is another one", expected, sha256)
            return
        report.failed(
            "digest_mismatch",
            f"its SHA-256 is {sha256}, and {expected} was noted when it was written"
            + (f"; what that leads to: {because}" if because else ""),
            expected=expected,
            found=sha256,
        )

    # --- a directory
    def _folder(self) -> None:
        subject, report = self.subject, self.report
        manifest = subject.manifest
        if manifest is not None and (missing := sorted(set(manifest.members) - set(subject.members))):
            for name in missing:
                report.failed("size_mismatch", f"its file {name} is not there", object_=name, expected=name)
            return
        folder = Folder(subject, self._progress)
        with contextlib.suppress(_Ended), self._guarded("unreadable", DECODE), contextlib.ExitStack() as stack:
            head: Optional[Head] = None
            if report.wants(DECODE):
                with self._timed("read"):
                    head = folder.begin()
                    self.kind = head.kind
                    self._head_moment(head)
                    report.passed(FRESH, f"taken at {iso(self.taken_at)}" if self.taken_at else "it is there")
            with self._timed("read"):
                path = stack.enter_context(folder.local(self._request.scratch_directory))
            self.members, self.read_bytes = folder.digests, folder.bytes
            self._compare_members(folder)
            if head is not None and report.is_clean(BYTES):
                with self._timed("read"):
                    report.passed(DECODE, folder.decode())
                self._use(head, lambda: iter(()), path)
        if subject.digest is None and folder.head is not None and folder.head.compression not in _CHECKED:
            report.leave_open(UNCHECKED)

    def _compare_members(self, folder: Folder) -> None:
        manifest = self.subject.manifest
        if manifest is None or not manifest.members:
            self._compare_digest(folder.sha256, folder.bytes)
            return
        self.sha256 = folder.sha256
        for name, part in manifest.members.items():
            if folder.digests.get(name) != part.sha256:
                self.report.failed(
                    "digest_mismatch",
                    f"its file {name} has SHA-256 {folder.digests.get(name)}, and the manifest says {part.sha256}",
                    object_=name,
                    expected=part.sha256,
                    found=folder.digests.get(name),
                )
        self.report.passed(BYTES, f"{folder.bytes} bytes in {len(folder.digests)} files, SHA-256 as noted")

    # --- what is inside
    def _use(self, head: Head, chunks: Callable[[], Iterator[bytes]], directory: Optional[Path]) -> None:
        """Restore it, or, where that is not wanted or not possible, decode it."""
        report, request = self.report, self._request
        if report.wants(RESTORE) and (head.kind in ("plain", "custom", "tar") or directory is not None):
            with contextlib.ExitStack() as stack:
                try:
                    with self._timed("server"):
                        target = stack.enter_context(self._target(head))
                        self._check_target(target, head)
                except (Stopped, InvalidOption, Refused):
                    raise
                except RunbookError as error:
                    report.error(error, "restore_error")
                if report.is_clean(RESTORE):
                    self._restore(target, head, chunks, directory)
                    return
        if directory is not None:
            return
        self._follower.phase("decode", unit="bytes")
        with self._timed("read"):
            detail = decode(chunks(), head, lambda: fitting_client(request, head))
        report.passed(DECODE, detail)

    def _target(self, head: Head) -> contextlib.AbstractContextManager[Target]:
        if self._staging is not None:
            return self._staging.target(head, self.subject.census)
        return scratch_target(self._request, head, self.subject.census, self.subject.size, self._progress)

    def _check_target(self, target: Target, head: Head) -> None:
        self.target = target.as_dict()
        if head.is_restricted and not knows_restrict(target.installation.version_num):
            self.report.noted(
                "client_too_old",
                f"psql {target.installation.version} of this host does not know the dump's \\restrict lines: to "
                "restore it by hand takes a newer one",
            )
        for note in target.notes:
            self.report.leave_open(note)
        with connect(target.options, statement_timeout_seconds=60) as session:
            for name in missing_extensions(session, self.subject.census):
                self.report.undecided(
                    "extension_missing",
                    f"the database has the extension {name}, which PostgreSQL {target.installation.version} of this "
                    "host does not have",
                    object_=name,
                )

    def _restore(
        self, target: Target, head: Head, chunks: Callable[[], Iterator[bytes]], directory: Optional[Path]
    ) -> None:
        report, request = self.report, self._request
        with self._timed("restore"):
            self._roles(target)
            # Of a directory nobody else tells how much of it was read.
            progress = self._follower if directory is None else self._progress
            loaded = restore(target, chunks(), head.kind, jobs=request.jobs, progress=progress, directory=directory)
        for phase, seconds in loaded.seconds.items():
            self.seconds[f"restore_{phase}"] = round(seconds, 3)
        # Of an empty database the dump is as it should be; that there is nothing in it is told below.
        is_empty = self.subject.census is not None and not self.subject.census.tables
        report_problems(
            [each for each in loaded.problems if not (is_empty and each.code == "empty_artefact")],
            report,
            ignore_roles=self._ignores_roles(target),
            owns_server=target.throwaway,
        )
        report.passed(DECODE, f"read to its end while it was restored, {loaded.bytes} bytes")
        report.passed(
            RESTORE,
            f"{target.kind} server {target.installation.version} takes all of it, {len(loaded.tables)} tables with "
            f"{sum(loaded.tables.values())} rows",
        )
        if report.wants(SEMANTICS) and report.is_clean(DECODE) and report.is_clean(RESTORE):
            self._semantics(target, head, head.database or next(iter(loaded.databases), None))
        if report.wants(CONSISTENCY) and report.is_clean(SEMANTICS) and report.is_clean(RESTORE):
            with self._timed("consistency"), self._guarded("assertion_error", CONSISTENCY):
                check_consistency(target, request, report, self._progress)
                asked = bool(request.amcheck) + len(request.assertions)
                if asked:
                    report.passed(CONSISTENCY, f"{asked} checks hold")
                else:
                    report.undecided("assertion_error", "there is nothing to check: no assertions, and no amcheck")

    def _ignores_roles(self, target: Target) -> bool:
        return self._request.ignore_roles or not target.restores_roles

    def _roles(self, target: Target) -> None:
        """Make the roles that the dump names: from the globals, and where those are not enough, empty ones."""
        if not target.restores_roles:
            return
        expected = self.subject.census
        if self._globals is not None:
            restore_globals(target, self._globals, self.report, self._progress)
        if expected is None:
            return
        missing = missing_roles(expected.roles, self._globals or "")
        if self._globals is not None and not self._request.ignore_roles and self.report.wants(SEMANTICS):
            for name in missing:
                self.report.failed(
                    "role_missing",
                    f"the database gives rights to the role {name}, which the globals do not make",
                    object_=name,
                    level=SEMANTICS,
                )
        # Whatever became of them is said already; the rest of the backup is to be proven, too.
        make_roles(target, missing)

    def _semantics(self, target: Target, head: Head, named: Optional[str]) -> None:
        report, request, subject = self.report, self._request, self.subject
        expected = subject.census
        with self._timed("census"), self._guarded("restore_error", SEMANTICS):
            self._progress.phase("compare", subject.name)
            found = census_of(target, expected, request.watermarks, scope_of(subject), request.jobs, self._progress)
            if expected is None:
                found = as_of(found, taken_at=self.taken_at, major=head.dumped_from)
            self.found = found
            check_identity(request.database, request.system_identifier, expected, named, report)
            proven_by = []
            if report.is_clean(SEMANTICS) and self._previous is not None and self._previous.census is not None:
                compare_with_previous(
                    self._previous.census,
                    self._previous.name,
                    expected or found,
                    report,
                    request.volume_percent,
                )
                proven_by.append(f"not less than {self._previous.name}")
            if expected is not None:
                compare_with_manifest(
                    expected,
                    found,
                    report,
                    ignore_roles=self._ignores_roles(target) or self._globals is None,
                    same_locale=target.same_locale,
                    left_out=tuple(subject.manifest.dump.get("exclude_table_data") or ()) if subject.manifest else (),
                )
                proven_by.append("as the database was in the dump's own snapshot")
            if request.minimum or not found.tables:
                check_minimum(request.minimum, found, report)
                proven_by.append("not below the minimum")
            # An index that is invalid in the original is not in its dump.
            tell_weaknesses(expected or found, report, fails=request.weaknesses == FAIL)
            if request.watermarks:
                check_watermarks(request.watermarks, found, self._oldest, report)
            self._conclude(proven_by, found)

    def _conclude(self, proven_by: list[str], found: Census) -> None:
        report = self.report
        if self.subject.census is None:
            report.leave_open("that nothing is missing in it: nobody counted what the database held")
            if self._request.assertions and report.wants(CONSISTENCY):
                proven_by.append("by its assertions")
        if proven_by:
            report.passed(SEMANTICS, f"{len(found.tables)} tables with {found.row_count} rows: {', '.join(proven_by)}")
        elif report.is_clean(SEMANTICS):
            report.undecided(
                "no_manifest",
                f"{self.subject.address} can be restored, but nothing says what must be in it: it has no manifest, no "
                "verified backup is before it, and no minimum was given",
            )

    # --- how it goes
    def _end(self, tell: Callable[..., None], code: str, message: str, **about: Any) -> None:
        tell(code, message, **about)
        raise _Ended

    @contextlib.contextmanager
    def _guarded(self, code: str, level: Optional[str] = None) -> Iterator[None]:
        """Put what is raised into the report, and end there; C(code) and C(level) are for what says no better."""
        try:
            yield
        except (Stopped, InvalidOption, Refused):
            raise
        except Damaged as error:
            known = code_of(error)
            self.report.failed(known if known in LEVEL_OF else "restore_failed", error.message)
            raise _Ended from None
        except RunbookError as error:
            known = str(error.details.get("code"))
            if known in LEVEL_OF:
                self.report.undecided(known, error.message)
            else:
                self.report.undecided(code, error.message, level=level)
            raise _Ended from None

    @contextlib.contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = round(self.seconds.get(phase, 0.0) + time.monotonic() - began, 3)
