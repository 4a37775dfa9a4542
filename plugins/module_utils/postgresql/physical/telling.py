# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a physical backup's proof can find, at which level it shows, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.findings import Report
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.levels import (
    BYTES,
    CONSISTENCY,
    DECODE,
    FRESH,
    LEVEL_OF,
    RESTORE,
    SEMANTICS,
)

_NEW_BACKUP = "Take a new base backup now: only what is after it can be reached again."
# code -> level and next step. What dumps have, too, is told as for dumps.
_OWN: Mapping[str, tuple[str, str]] = {
    "wal_gap": (
        DECODE,
        f"{_NEW_BACKUP} Then find out why the segments are missing: the archive_command, or who deletes there.",
    ),
    "wal_invalid": (
        DECODE,
        f"{_NEW_BACKUP} Then look at the archive's disk, or at an archive_command that copies in place.",
    ),
    "wal_unreadable": (DECODE, "Correct the access to wal_archive, and run this again."),
    "archiver_failing": (FRESH, "Read the server's log for the archive_command's own words, and correct it."),
    "target_unreached": (RESTORE, "Choose an earlier moment, or target_time=latest."),
    "target_before_backup": (RESTORE, "Choose an older backup, or a later moment."),
    "recovery_ended_early": (RESTORE, f"{_NEW_BACKUP} Replaying stopped before the end of the archive."),
    "archive_mode_on": (RESTORE, "Do not start this copy by hand: it would archive over the production's WAL."),
    "must_see": (SEMANTICS, "The backup, or the WAL behind it, does not hold what it should. Look at the window."),
    "must_not_see": (SEMANTICS, "Choose an earlier moment."),
    "question_error": (SEMANTICS, "Correct the query, and run this again."),
    "pgbackrest_error": (BYTES, "Read pgBackRest's own words, correct that, and take a full backup."),
    "pgbackrest_unknown": (BYTES, "Look at the stanza and the configuration, and run this again."),
    "checksums_off": (CONSISTENCY, "Enable data checksums in the source (pg_checksums --enable, stopped)."),
}


def failed(report: Report, code: str, message: str, object_: str = "", **about: object) -> None:
    """The backup is bad."""
    report.failed(code, message, object_=object_, **_where(code), **about)


def undecided(report: Report, code: str, message: str, object_: str = "", **about: object) -> None:
    """It cannot be told."""
    report.undecided(code, message, object_=object_, **_where(code), **about)


def noted(report: Report, code: str, message: str, object_: str = "") -> None:
    """Something that does not change the verdict."""
    report.noted(code, message, object_=object_, **_where(code))


def _where(code: str) -> dict[str, str]:
    if code in _OWN:
        level, remedy = _OWN[code]
        return {"level": level, "remedy": remedy}
    if code not in LEVEL_OF:
        return {"level": RESTORE}
    return {}
