# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files held against what a database says was applied. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.migrations.files import KINDS, Migration, order


def applied_versions(text: str, kind: str) -> list[str]:
    """The versions in what a command wrote: one a line, or a table.

    Tables are those of C(supabase migration list) and C(rails db:migrate:status).

    Of Supabase's table the column C(Remote) counts, of Rails' the lines with C(up).

    Raises:
        InvalidOption: there is a line that is none of these. Half a list would make applied migrations pending.

    """
    found = []
    for line in text.splitlines():
        told = line.strip()
        if not told or re.fullmatch(r"[-─│|+=\s]+", told) or _is_heading(told):
            continue
        version = _version(told, kind)
        if version is None:
            raise InvalidOption("applied", told[:120], f"lines with one version each, as from: {KINDS[kind].query}")
        if version:
            found.append(version)
    return found


def _is_heading(told: str) -> bool:
    return bool(
        re.match(r"(?:local\b.*\bremote\b|status\s+migration id|database:|version$|migration_name$)", told, re.I)
    )


def _version(told: str, kind: str) -> Optional[str]:
    """The version; empty for one that is listed as not applied, None for anything else."""
    columns = [part.strip() for part in re.split(r"[│|]", told)]
    if kind == "supabase" and len(columns) >= 3:
        return columns[1] if columns[1] == "" or columns[1].isdigit() else None
    if kind == "rails":
        status = re.match(r"(up|down)\s+(\d+)\b", told)
        if status:
            return status[2] if status[1] == "up" else ""
    accepted = r"\d{8,}_\w+" if kind == "prisma" else r"\d+"
    return told if re.fullmatch(accepted, told) else None


def compare(files: Sequence[Migration], applied: Sequence[str], later: Optional[Sequence[Migration]]) -> dict[str, Any]:
    """What is pending, what the files do not know, and whether code and database go together.

    C(later) are the migrations of a newer release, which tell what those that the files do not know did.
    """
    known, done = {each.version for each in files}, set(applied)
    pending = [each for each in files if each.version not in done]
    newest = max((order(version) for version in done), default=None)
    told = {each.version: each for each in later or []}
    unknown = [told.get(version) or Migration(version, "", "", None) for version in sorted(done - known, key=order)]
    counts = Counter(each.version for each in files)
    verdict, reasons = compatible(unknown)
    forward, obstacles = compatible(pending)
    return {
        "files_count": len(files),
        "applied_count": len(done),
        "pending": [each.as_dict() for each in pending],
        "pending_count": len(pending),
        "destructive_count": sum(each.destructive is True for each in pending),
        "unreadable_count": sum(each.destructive is None for each in pending),
        "out_of_order": [each.version for each in pending if newest is not None and order(each.version) < newest],
        "duplicates": sorted(version for version, count in counts.items() if count > 1),
        "unknown_to_files": [each.as_dict() for each in unknown],
        "schema_compatible": verdict,
        "schema_reasons": reasons,
        "pending_compatible": forward,
        "pending_reasons": obstacles,
    }


def compatible(migrations: Sequence[Migration]) -> tuple[Optional[bool], list[str]]:
    """Whether code that does not know these migrations works with them, and why not, or why nobody knows."""
    verdicts = [each.destructive for each in migrations]
    reasons = []
    for each in migrations:
        for hazard in each.hazards or []:
            reasons.append(f"{each.version} {_WORDS[hazard.kind].format(hazard.target)}")
        if each.hazards is None:
            reasons.append(f"what {each.version} did is not known, because its file cannot be read here")
    if True in verdicts:
        return False, reasons
    return (None if None in verdicts else True), reasons


_WORDS = {
    "drop": "drops {}",
    "rename": "renames {}",
    "type": "changes the type of {}",
    "not_null": "lets {} be null no more, or adds it without a default",
    "truncate": "empties {}",
    "opaque": "runs code whose effect cannot be read off ({})",
}
