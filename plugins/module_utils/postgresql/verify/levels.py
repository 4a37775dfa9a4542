# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The levels of a PostgreSQL backup's proof, and what each kind of finding belongs to. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import Verification

# fresh        it is there, has content, and was taken recently enough, by what it holds
# bytes        size and SHA-256 are those that the writer saw
# decode       it can be decrypted, decompressed and read to its end
# restore      a server takes all of it without an error
# semantics    the restored copy holds what the database held in the dump's own snapshot
# consistency  indexes and tables fit each other, and the inventory's own SQL says what it should
FRESH, BYTES, DECODE, RESTORE, SEMANTICS, CONSISTENCY = LEVELS = (
    "fresh",
    "bytes",
    "decode",
    "restore",
    "semantics",
    "consistency",
)

# code -> level of the finding. What can show at several levels is put where it is met first.
LEVEL_OF: Mapping[str, str] = {
    "no_artefact": FRESH,
    "object_deleted": FRESH,
    "empty_artefact": FRESH,
    "stale": FRESH,
    "object_replaced": BYTES,
    "size_mismatch": BYTES,
    "digest_mismatch": BYTES,
    "no_digest": BYTES,
    "unreadable": BYTES,
    "globals_missing": BYTES,
    "no_key": DECODE,
    "decode_failed": DECODE,
    "decode_truncated": DECODE,
    "marker_missing": DECODE,
    "no_space": RESTORE,
    "server_too_old": RESTORE,
    "client_too_old": RESTORE,
    "restore_failed": RESTORE,
    "restore_error": RESTORE,
    "extension_missing": RESTORE,
    "preload_missing": RESTORE,
    "role_missing": RESTORE,
    "no_manifest": SEMANTICS,
    "manifest_unreadable": SEMANTICS,
    "below_minimum": SEMANTICS,
    "identity_mismatch": SEMANTICS,
    "structure_missing": SEMANTICS,
    "structure_differs": SEMANTICS,
    "structure_regression": SEMANTICS,
    "row_count_mismatch": SEMANTICS,
    "content_mismatch": SEMANTICS,
    "volume_regression": SEMANTICS,
    "watermark_repeats": SEMANTICS,
    "large_objects_missing": SEMANTICS,
    "encoding_mismatch": SEMANTICS,
    "collation_version": SEMANTICS,
    "sequence_behind": SEMANTICS,
    "constraint_not_validated": SEMANTICS,
    "matview_unpopulated": SEMANTICS,
    "page_corruption": CONSISTENCY,
    "assertion_failed": CONSISTENCY,
    "assertion_error": CONSISTENCY,
}

# What can be as it should be, though it is not as it is most of the time: for people to accept, object by object.
ACCEPTABLE = frozenset(
    {
        "constraint_not_validated",
        "encoding_mismatch",
        "matview_unpopulated",
        "role_missing",
        "sequence_behind",
        "structure_differs",
        "structure_regression",
        "volume_regression",
        "watermark_repeats",
    }
)


def verification(wanted: str = SEMANTICS) -> Verification:
    """An empty verification that goes as far as C(wanted)."""
    return Verification(LEVELS, wanted)


def reaches(level: str | None, wanted: str) -> bool:
    """Whether a proof that came to a level is at least as far as a wanted one."""
    return level in LEVELS and LEVELS.index(level) >= LEVELS.index(wanted)
