# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings file of a copy, C(postgresql.auto.conf), without what would make it recover again or follow. Pure."""

from __future__ import annotations

import re

# Settings of recovery and of following: another server's past.
_DROPPED = re.compile(
    r"\s*(?:restore_command|recovery_target\w*|recovery_end_command|archive_cleanup_command|primary_conninfo|"
    r"primary_slot_name|promote_trigger_file)\s*(?:=|\s)",
    re.IGNORECASE,
)


def without_recovery(text: str) -> str:
    """The same settings but for those of recovery, and with archiving off until somebody decides otherwise.

    A restored cluster with its origin's C(archive_command) would write a second history into the same archive.
    """
    kept = [
        line
        for line in text.splitlines()
        if not _DROPPED.match(line) and not re.match(r"\s*archive_mode\s*(?:=|\s)", line, re.IGNORECASE)
    ]
    return "\n".join([*kept, "archive_mode = 'off'"]) + "\n"
