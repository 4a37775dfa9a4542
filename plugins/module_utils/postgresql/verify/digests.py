# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bytes of an artefact against what its writer saw; they win over everything that was concluded from them."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import UNCHECKED
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.folder import Folder
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    BYTES,
    DECODE,
    RESTORE,
    SEMANTICS,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.proof import Proof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head, Reading

# Compressions inside an archive that carry a checksum of the content.
CHECKED = ("gzip",)


def is_of_another_size(proof: Proof) -> bool:
    """Whether it has another size than was written, which is a finding without reading a byte of it."""
    manifest, subject = proof.subject.manifest, proof.subject
    if manifest is None or subject.size == manifest.bytes:
        return False
    if _is_another_version(proof):
        _replaced(proof, f"it has {subject.size} bytes instead of {manifest.bytes}", manifest.bytes, subject.size)
    else:
        proof.report.failed(
            "size_mismatch",
            f"it has {subject.size} bytes, and its manifest says {manifest.bytes}",
            expected=manifest.bytes,
            found=subject.size,
        )
    return True


def compare_digest(proof: Proof, sha256: str, size: int) -> None:
    """The hash wins over everything that was concluded from the bytes."""
    report, expected = proof.report, proof.subject.digest
    proof.sha256 = sha256
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
        if _is_another_version(proof):
            report.noted("object_replaced", "it was written again, with the same bytes, since its manifest")
        return
    because = next((each.message for each in report.ordered() if each.level in (DECODE, RESTORE)), None)
    report.forget_from(DECODE)
    if _is_another_version(proof):
        _replaced(proof, "its SHA-256 is another one", expected, sha256)
        return
    report.failed(
        "digest_mismatch",
        f"its SHA-256 is {sha256}, and {expected} was noted when it was written"
        + (f"; what that leads to: {because}" if because else ""),
        expected=expected,
        found=sha256,
    )


def compare_members(proof: Proof, folder: Folder) -> None:
    """The same, file by file."""
    manifest = proof.subject.manifest
    if manifest is None or not manifest.members:
        compare_digest(proof, folder.sha256, folder.bytes)
        return
    proof.sha256 = folder.sha256
    for name, part in manifest.members.items():
        if folder.digests.get(name) != part.sha256:
            proof.report.failed(
                "digest_mismatch",
                f"its file {name} has SHA-256 {folder.digests.get(name)}, and the manifest says {part.sha256}",
                object_=name,
                expected=part.sha256,
                found=folder.digests.get(name),
            )
    proof.report.passed(BYTES, f"{folder.bytes} bytes in {len(folder.digests)} files, SHA-256 as noted")


def leave_unchecked(proof: Proof, reading: Reading) -> None:
    """What a format without a checksum leaves open."""
    head = reading.head
    if not proof.report.is_good:
        return
    if proof.subject.digest is not None or head is None or reading.layers:
        return
    if head.kind != "plain" and head.compression in CHECKED:
        return
    proof.report.leave_open(UNCHECKED)


def check_repeat(proof: Proof, head: Optional[Head]) -> None:
    """Whether it is the previous backup under another name."""
    previous, report = proof.previous, proof.report
    if previous is None or previous.sha256 is None or previous.sha256 != proof.sha256 or not report.wants(SEMANTICS):
        return
    if any(each.code == "watermark_repeats" for each in report.findings):
        return
    message = f"it is, byte for byte, {previous.name} under another name"
    # An archive has the moment in it, a manifest too; the plain dump of a database at rest has not.
    is_dated = proof.subject.manifest is not None or (head is not None and head.kind != "plain")
    (report.failed if is_dated else report.noted)(
        "watermark_repeats", message, object_=previous.name, found=proof.sha256
    )


def _is_another_version(proof: Proof) -> bool:
    manifest, stat = proof.subject.manifest, proof.subject.stat
    return bool(manifest and stat and manifest.version_id and stat.version_id != manifest.version_id)


def _replaced(proof: Proof, how: str, expected: Any, found: Any) -> None:
    manifest, stat = proof.subject.manifest, proof.subject.stat
    written = manifest.version_id if manifest else None
    now = stat.version_id if stat else None
    proof.report.failed(
        "digest_mismatch",
        f"something else was written over it: {how}; the backup is version {written}, and the current one is {now}",
        expected=expected,
        found=found,
        remedy=f"Bring version {written} back, and find out who writes to this repository.",
    )
