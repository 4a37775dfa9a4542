# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is inside an artefact: decoded, restored, compared, asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.early import EarlyReader
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import Loaded, knows_restrict
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.consistency import check_consistency
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import decode
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    CONSISTENCY,
    DECODE,
    RESTORE,
    SEMANTICS,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.proof import Proof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import FAIL
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.restoring import (
    make_roles,
    report_problems,
    restore,
    restore_globals,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.roles import missing_roles
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.semantics import (
    as_of,
    census_of,
    check_identity,
    check_minimum,
    check_watermarks,
    compare_with_manifest,
    compare_with_previous,
    early_reader,
    scope_of,
    tell_weaknesses,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import (
    Target,
    fitting_client,
    missing_extensions,
    scratch_target,
)


def use(proof: Proof, head: Head, chunks: Callable[[], Iterator[bytes]], directory: Optional[Path]) -> None:
    """Restore it, or, where that is not wanted or not possible, decode it."""
    report, request = proof.report, proof.request
    if report.wants(RESTORE) and (head.kind in ("plain", "custom", "tar") or directory is not None):
        with contextlib.ExitStack() as stack:
            try:
                with proof.timed("server"):
                    target = stack.enter_context(_target(proof, head))
                    _check_target(proof, target, head)
            except (Stopped, InvalidOption, Refused):
                raise
            except RunbookError as error:
                report.error(error, "restore_error")
            if report.is_clean(RESTORE):
                _restore(proof, target, head, chunks, directory)
                return
    if directory is not None:
        return
    proof.follower.phase("decode", unit="bytes")
    with proof.timed("read"):
        detail = decode(chunks(), head, lambda: fitting_client(request, head))
    report.passed(DECODE, detail)


def _target(proof: Proof, head: Head) -> contextlib.AbstractContextManager[Target]:
    if proof.staging is not None:
        return proof.staging.target(head, proof.subject.census)
    return scratch_target(proof.request, head, proof.subject.census, proof.subject.size, proof.progress)


def _check_target(proof: Proof, target: Target, head: Head) -> None:
    proof.target = target.as_dict()
    if head.is_restricted and not knows_restrict(target.installation.version_num):
        proof.report.noted(
            "client_too_old",
            f"psql {target.installation.version} of this host does not know the dump's \\restrict lines: to "
            "restore it by hand takes a newer one",
        )
    for note in target.notes:
        proof.report.leave_open(note)
    with connect(target.options, statement_timeout_seconds=60) as session:
        for name in missing_extensions(session, proof.subject.census):
            proof.report.undecided(
                "extension_missing",
                f"the database has the extension {name}, which PostgreSQL {target.installation.version} of this "
                "host does not have",
                object_=name,
            )


def _restore(
    proof: Proof, target: Target, head: Head, chunks: Callable[[], Iterator[bytes]], directory: Optional[Path]
) -> None:
    report, request = proof.report, proof.request
    with early_reader(target, proof.subject.census, scope_of(proof.subject), request.jobs) as early:
        loaded = _load(proof, target, head, chunks, directory, early)
        if report.wants(SEMANTICS) and report.is_clean(DECODE) and report.is_clean(RESTORE):
            _semantics(proof, target, head, head.database or next(iter(loaded.databases), None), early)
    if report.wants(CONSISTENCY) and report.is_clean(SEMANTICS) and report.is_clean(RESTORE):
        with proof.timed("consistency"), proof.guarded("assertion_error", CONSISTENCY):
            check_consistency(target, request, report, proof.progress)
            asked = bool(request.amcheck) + len(request.assertions)
            if asked:
                report.passed(CONSISTENCY, f"{asked} checks hold")
            else:
                report.undecided("assertion_error", "there is nothing to check: no assertions, and no amcheck")


def _load(
    proof: Proof,
    target: Target,
    head: Head,
    chunks: Callable[[], Iterator[bytes]],
    directory: Optional[Path],
    early: EarlyReader,
) -> Loaded:
    report, request = proof.report, proof.request
    with proof.timed("restore"):
        _roles(proof, target)
        loaded = restore(
            target,
            chunks(),
            head.kind,
            jobs=request.jobs,
            # Of a directory nobody else tells how much of it was read.
            progress=proof.follower if directory is None else proof.progress,
            directory=directory,
            on_rows_loaded=early.begin if report.wants(SEMANTICS) else lambda: None,
        )
    for phase, seconds in loaded.seconds.items():
        proof.seconds[f"restore_{phase}"] = round(seconds, 3)
    # Of an empty database the dump is as it should be; that there is nothing in it is told below.
    is_empty = proof.subject.census is not None and not proof.subject.census.tables
    report_problems(
        [each for each in loaded.problems if not (is_empty and each.code == "empty_artefact")],
        report,
        ignore_roles=_ignores_roles(proof, target),
        owns_server=target.throwaway,
    )
    report.passed(DECODE, f"read to its end while it was restored, {loaded.bytes} bytes")
    report.passed(
        RESTORE,
        f"{target.kind} server {target.installation.version} takes all of it, {len(loaded.tables)} tables with "
        f"{sum(loaded.tables.values())} rows",
    )
    return loaded


def _ignores_roles(proof: Proof, target: Target) -> bool:
    return proof.request.ignore_roles or not target.restores_roles


def _roles(proof: Proof, target: Target) -> None:
    """Make the roles that the dump names: from the globals, and where those are not enough, empty ones."""
    if not target.restores_roles:
        return
    expected = proof.subject.census
    if proof.globals is not None:
        restore_globals(target, proof.globals, proof.report, proof.progress)
    if expected is None:
        return
    missing = missing_roles(expected.roles, proof.globals or "")
    if proof.globals is not None and not proof.request.ignore_roles and proof.report.wants(SEMANTICS):
        for name in missing:
            proof.report.failed(
                "role_missing",
                f"the database gives rights to the role {name}, which the globals do not make",
                object_=name,
                level=SEMANTICS,
            )
    # Whatever became of them is said already; the rest of the backup is to be proven, too.
    make_roles(target, missing)


def _semantics(proof: Proof, target: Target, head: Head, named: Optional[str], early: EarlyReader) -> None:
    report, request, subject = proof.report, proof.request, proof.subject
    expected = subject.census
    with proof.timed("census"), proof.guarded("restore_error", SEMANTICS):
        proof.progress.phase("compare", subject.name)
        found = census_of(
            target,
            expected,
            request.watermarks,
            scope_of(subject),
            request.jobs,
            proof.progress,
            known=early.end(),
        )
        if expected is None:
            found = as_of(found, taken_at=proof.taken_at, major=head.dumped_from)
        proof.found = found
        check_identity(request.database, request.system_identifier, expected, named, report)
        proven_by = []
        if report.is_clean(SEMANTICS) and proof.previous is not None and proof.previous.census is not None:
            compare_with_previous(
                proof.previous.census,
                proof.previous.name,
                expected or found,
                report,
                request.volume_percent,
            )
            proven_by.append(f"not less than {proof.previous.name}")
        if expected is not None:
            compare_with_manifest(
                expected,
                found,
                report,
                ignore_roles=_ignores_roles(proof, target) or proof.globals is None,
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
            check_watermarks(request.watermarks, found, proof.oldest, report)
        _conclude(proof, proven_by, found)


def _conclude(proof: Proof, proven_by: list[str], found: Census) -> None:
    report = proof.report
    if proof.subject.census is None:
        report.leave_open("that nothing is missing in it: nobody counted what the database held")
        if proof.request.assertions and report.wants(CONSISTENCY):
            proven_by.append("by its assertions")
    if proven_by:
        report.passed(SEMANTICS, f"{len(found.tables)} tables with {found.row_count} rows: {', '.join(proven_by)}")
    elif report.is_clean(SEMANTICS):
        report.undecided(
            "no_manifest",
            f"{proof.subject.address} can be restored, but nothing says what must be in it: it has no manifest, no "
            "verified backup is before it, and no minimum was given",
        )
