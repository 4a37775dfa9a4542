# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving one artefact, from a look at it to the inventory's own questions to a restored copy."""

from __future__ import annotations

import contextlib
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.decode import UNCHECKED
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.digests import (
    CHECKED,
    check_repeat,
    compare_digest,
    compare_members,
    is_of_another_size,
    leave_unchecked,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.folder import Folder
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.inside import use
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    BYTES,
    DECODE,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.look import look, tell_head
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.proof import Ended, Proof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head, Reading
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.roles import read_globals


def prove(proof: Proof) -> None:
    """Look at everything up to the wanted level; what comes of it is in C(proof.report).

    Raises:
        Stopped: somebody wants the end.
        InvalidOption: C(bin_directory) or another place cannot be used.

    """
    with contextlib.suppress(Ended):
        with proof.timed("look"):
            look(proof)
        if not proof.report.wants(BYTES):
            return
        with proof.guarded("unreadable"):
            proof.globals = read_globals(proof.subject, proof.request.decryption, proof.report)
        if proof.subject.is_directory:
            _folder(proof)
        else:
            _file(proof)


def _file(proof: Proof) -> None:
    """One file, in one pass."""
    subject, report = proof.subject, proof.report
    if is_of_another_size(proof):
        return
    reading = Reading(subject, proof.request.decryption, proof.progress)
    try:
        if report.wants(DECODE):
            with contextlib.suppress(Ended), proof.guarded("unreadable"):
                with proof.timed("read"):
                    head = tell_head(proof, reading.begin())
                with proof.guarded("restore_error"):
                    reading.follower = proof.follower
                    use(proof, head, reading.chunks, None)
        with proof.timed("read"), proof.guarded("unreadable", DECODE):
            reading.drain()
    finally:
        proof.read_bytes = reading.hashes.bytes
        proof.content_bytes = reading.bytes_out
    proof.blocks = reading.hashes.blocks
    compare_digest(proof, reading.hashes.sha256, reading.hashes.bytes)
    leave_unchecked(proof, reading)
    check_repeat(proof, reading.head)


def _folder(proof: Proof) -> None:
    """A directory of files."""
    subject, report = proof.subject, proof.report
    manifest = subject.manifest
    if manifest is not None and (missing := sorted(set(manifest.members) - set(subject.members))):
        for name in missing:
            report.failed("size_mismatch", f"its file {name} is not there", object_=name, expected=name)
        return
    folder = Folder(subject, proof.progress)
    with contextlib.suppress(Ended), proof.guarded("unreadable", DECODE), contextlib.ExitStack() as stack:
        head: Optional[Head] = None
        if report.wants(DECODE):
            with proof.timed("read"):
                head = tell_head(proof, folder.begin())
        with proof.timed("read"):
            path = stack.enter_context(folder.local(proof.request.scratch_directory))
        proof.members, proof.read_bytes = folder.digests, folder.bytes
        compare_members(proof, folder)
        if head is not None and report.is_clean(BYTES):
            with proof.timed("read"):
                report.passed(DECODE, folder.decode())
            use(proof, head, lambda: iter(()), path)
    if subject.digest is None and folder.head is not None and folder.head.compression not in CHECKED:
        report.leave_open(UNCHECKED)
