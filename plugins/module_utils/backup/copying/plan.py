# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is to be done about one backup in the repository that copies go to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.copying.sheet import (
    Sheet,
    is_same_backup,
    says_the_same,
)

# A copy is made, an interrupted or damaged one completed, a manifest that says more since is taken over, the record of
# a proof is taken over, what is left of a copy whose original is gone is removed; or nothing is due.
COPY, COMPLETE, UPDATE, PROVE, REMOVE = "copy", "complete", "update", "prove", "remove"
SAME, REFUSE = "same", "refuse"


@dataclass(frozen=True)
class There:
    """What lies in the other repository under the name of a backup.

    Args:
        manifest: What the manifest there says; None without one.
        problem: Why the manifest there cannot be used.
        sizes: The bytes of each file of the backup; None for one that is not there.
        has_note: Whether a note says that it is being written there.
        is_alive: Whether whoever wrote that note may still be at work.
        has_record: Whether a record of a verification is there that is about it as it lies there.

    """

    manifest: Optional[Sheet] = None
    problem: str = ""
    sizes: Optional[Mapping[str, Optional[int]]] = None
    has_note: bool = False
    is_alive: bool = False
    has_record: bool = False


@dataclass(frozen=True)
class Decision:
    """What is to be done, and why; C(remedy) where it is refused."""

    what: str
    reason: str
    remedy: str = ""


def decide(sheet: Sheet, there: There, *, is_proven: bool) -> Decision:
    """What is to be done about a backup.

    Args:
        sheet: The backup, by its manifest.
        there: What lies where its copy belongs.
        is_proven: Whether a record says that the backup is good, as it lies in the first repository.

    """
    if there.is_alive:
        return Decision(REFUSE, "another host is writing it there, or did so a short while ago", "Wait for its end.")
    if there.problem:
        return Decision(REFUSE, there.problem, "Look at what lies there, and move it away.")
    if there.manifest is None:
        return _without_manifest(there)
    if not is_same_backup(sheet, there.manifest):
        return Decision(
            REFUSE,
            f"another backup of that name lies there, taken {there.manifest.taken_at}",
            "Copy each system's backups to a place of their own.",
        )
    sizes = there.sizes or {}
    wrong = [piece.name for piece in sheet.pieces if sizes.get(piece.name) != piece.bytes]
    if wrong:
        return Decision(
            COMPLETE, f"of its {len(sheet.pieces)} files there, {len(wrong)} are missing or have another size"
        )
    if there.has_note:
        return Decision(COMPLETE, "an earlier copy was interrupted")
    if not says_the_same(sheet, there.manifest):
        return Decision(UPDATE, "its manifest says more than that of the copy")
    if is_proven and not there.has_record:
        return Decision(PROVE, "the backup was proven since; its copy is read again for the same record")
    return Decision(SAME, "the same lies there")


def _without_manifest(there: There) -> Decision:
    if there.has_note:
        return Decision(COMPLETE, "an earlier copy was interrupted")
    found = [name for name, size in (there.sizes or {}).items() if size is not None]
    if found:
        return Decision(
            REFUSE,
            f"{found[0]} lies there without a manifest, and no note says that a copy was begun",
            "Look whose it is, and move it away.",
        )
    return Decision(COPY, "it is not there")
