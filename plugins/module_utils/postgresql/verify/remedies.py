# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do about each kind of finding. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import ERROR

_OLDER = "Use an older verified backup, and take a new one now."
_SOURCE = "Look at the source database; until that is settled keep the older backups."
REMEDIES: Mapping[str, str] = {
    "no_artefact": "Look at the job that writes backups, its name_pattern and its timezone, and take a backup now.",
    "object_deleted": "Bring the version back by removing the delete marker, and find out who deleted it.",
    "empty_artefact": "Look at the job that wrote it: its dump failed and nobody noticed. Take a backup now.",
    "stale": "Look at the job that writes backups and at what it dumps, and take a backup now.",
    "object_replaced": "Read the version that the manifest names, and find out who writes to this repository.",
    "size_mismatch": _OLDER,
    "digest_mismatch": f"{_OLDER} Look at the disk or the store, and at who may write to it.",
    "no_digest": "Write backups with runbook.ops.postgresql_backup, or put a .sha256 file beside them.",
    "unreadable": "Correct the access, the connection or the storage class, and run this again.",
    "globals_missing": "Take a new backup; until then get the roles with pg_dumpall --globals-only.",
    "no_key": "Give the private key of the recovery side in decryption; without it there is no backup.",
    "decode_failed": _OLDER,
    "decode_truncated": _OLDER,
    "marker_missing": _OLDER,
    "no_space": "Name a scratch_directory with more room, and run this again.",
    "server_too_old": "Install that version of PostgreSQL on the host, or name its directory in bin_directory.",
    "client_too_old": "Install a newer postgresql-client on the host, or name its directory in bin_directory.",
    "restore_failed": _OLDER,
    "restore_error": "Correct what the message names, and run this again.",
    "extension_missing": "Take a new backup from the right database.",
    "preload_missing": "Name the extension's library in preload; on a staging server, in shared_preload_libraries.",
    "role_missing": "Back up the roles with the database (globals), or set ignore_roles where they are kept elsewhere.",
    "no_manifest": (
        "Write backups with runbook.ops.postgresql_backup, or say what must be in them with minimum or assertions."
    ),
    "manifest_unreadable": "Look at the manifest in the repository, and take a new backup.",
    "below_minimum": f"{_OLDER} Look at which database the job dumps.",
    "identity_mismatch": "Look at which database on which server the job dumps.",
    "structure_missing": "Look at what the job leaves out, and take a new backup.",
    "structure_regression": _SOURCE,
    "structure_differs": _SOURCE,
    "row_count_mismatch": "Look at what the job leaves out, and take a new backup.",
    "content_mismatch": f"{_OLDER} The data was changed after the dump: find out by whom.",
    "volume_regression": _SOURCE,
    "watermark_repeats": "Look at the job that writes backups: it publishes what it published before.",
    "large_objects_missing": "Dump large objects, too (pg_dump --large-objects), and take a new backup.",
    "encoding_mismatch": "Restore into a database of the original's encoding and locale.",
    "collation_version": (
        "Rebuild the indexes on text in the source (runbook.ops.postgresql_reindex), then ALTER DATABASE … REFRESH "
        "COLLATION VERSION."
    ),
    "sequence_behind": "Set the sequence to its column's maximum in the source, and after every restore.",
    "constraint_not_validated": "Correct the rows that break it in the source, then VALIDATE CONSTRAINT.",
    "matview_unpopulated": "REFRESH MATERIALIZED VIEW in the source, and after every restore.",
    "page_corruption": "Look at the source with amcheck and pg_checksums, and keep the older backups.",
    "assertion_failed": _SOURCE,
    "assertion_error": "Correct the assertion's SQL or raise its timeout.",
}
# The same word can be about this host instead of about the backup.
_HERE: Mapping[str, str] = {
    "extension_missing": "Install the extension's package for that version of PostgreSQL on this host.",
    "globals_missing": "Correct the access to the globals beside the backup, and run this again.",
    "restore_failed": "Correct what the message names, and run this again.",
    "stale": "Name a watermark, or write backups with runbook.ops.postgresql_backup, which notes the moment.",
}


def remedy_for(code: str, outcome: str) -> str:
    """The next step for the person on call."""
    if outcome == ERROR and code in _HERE:
        return _HERE[code]
    return REMEDIES.get(code, "Read the message.")
