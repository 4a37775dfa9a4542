# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of an artefact before it is read: whether it is there, and how old it is."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, parse_moment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import DUMP
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.folder import Folder
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import DECODE, FRESH
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.proof import Proof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head, Reading
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import REQUIRED

# Storage classes whose objects have to be asked for hours before they can be read.
_COLD = ("GLACIER", "DEEP_ARCHIVE")


def look(proof: Proof) -> None:
    """Everything that can be known without reading it; raises Ended where there is nothing to read."""
    subject, report = proof.subject, proof.report
    if subject.problem is not None:
        proof.end(report.undecided, "unreadable", subject.problem)
    if subject.stat is None:
        _absent(proof)
    stat = subject.stat
    if stat is not None and stat.storage_class in _COLD:
        proof.end(
            report.undecided,
            "unreadable",
            f"{subject.address} lies in cold storage ({stat.storage_class}); it has to be fetched from there first",
        )
    if subject.manifest_problem is not None:
        proof.end(report.undecided, "manifest_unreadable", subject.manifest_problem)
    manifest = subject.manifest
    if manifest is None and proof.policy == REQUIRED:
        proof.end(
            report.failed,
            "no_manifest",
            f"{subject.address} has no manifest: whatever wrote it did not come to its end",
        )
    if subject.size == 0:
        proof.end(report.failed, "empty_artefact", f"{subject.address} is empty")
    if manifest is not None and manifest.method != DUMP:
        proof.end(
            report.undecided,
            "manifest_unreadable",
            f"{subject.address} is a physical backup: prove it with method {manifest.method}",
        )
    _fresh(proof)


def _absent(proof: Proof) -> None:
    subject, report = proof.subject, proof.report
    with proof.guarded("unreadable"):
        version = subject.depot.recoverable(subject.name)
        if version is None:
            proof.end(report.failed, "no_artefact", f"{subject.address} does not exist")
        proof.end(
            report.failed,
            "object_deleted",
            f"{subject.address} was deleted; version {version} is still there and can be brought back",
            found=version,
        )


def _fresh(proof: Proof) -> None:
    manifest = proof.subject.manifest
    if manifest is not None:
        proof.taken_at = parse_moment(manifest.taken_at)
        _check_age(proof, "taken")
        _pass(proof)
    elif not proof.report.wants(DECODE):
        # Otherwise its beginning is read together with the rest.
        with proof.guarded("unreadable"):
            try:
                tell_head(proof, _begin(proof))
            except Undecided as error:
                if proof.oldest is not None:
                    raise
                proof.report.leave_open(f"when it was taken: {error.message}")
                _pass(proof)


def tell_head(proof: Proof, head: Head) -> Head:
    """What the beginning says: what it is, and, where there is no manifest, when it was written."""
    proof.kind = head.kind
    if proof.subject.manifest is None:
        _tell_moment(proof, head)
        _pass(proof)
    return head


def _pass(proof: Proof) -> None:
    proof.report.passed(FRESH, f"taken at {iso(proof.taken_at)}" if proof.taken_at else "it is there")


def _tell_moment(proof: Proof, head: Head) -> None:
    proof.taken_at = head.written_at(proof.request.zone)
    if proof.taken_at is not None:
        _check_age(proof, "written, by its own header,")
    elif proof.oldest is not None and not proof.request.watermarks:
        proof.report.undecided("stale", "nothing in it says when it was taken")
    elif proof.oldest is None:
        proof.report.leave_open("when it was taken: its header does not say")


def _check_age(proof: Proof, how: str) -> None:
    if proof.oldest is not None and proof.taken_at is not None and proof.taken_at < proof.oldest:
        proof.report.failed(
            "stale",
            f"it was {how} at {proof.taken_at:%Y-%m-%d %H:%M:%S} UTC, which is too long ago",
            expected=iso(proof.oldest),
            found=iso(proof.taken_at),
        )


def _begin(proof: Proof) -> Head:
    """The beginning alone, for its header."""
    if proof.subject.is_directory:
        return Folder(proof.subject, proof.progress).begin()
    return Reading(proof.subject, proof.request.decryption, proof.progress).begin()
