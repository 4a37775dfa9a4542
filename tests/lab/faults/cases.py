"""The fault matrix: what goes wrong with backups, and what must be said of it.

The numbers are names: tests, findings and the page of the documentation use them.
"""

from __future__ import annotations

from dataclasses import dataclass

# About the backup: it is bad. Nothing can be said. A guard stopped the run. All is well.
FAILED, ERROR, REFUSED, VERIFIED = "failed", "error", "refused", "verified"


@dataclass(frozen=True)
class Case:
    """One fault: ``happened`` for people, ``code`` the finding that must appear, alone, with this ``verdict``.

    With the verdict ``verified`` the code is that of a finding that is noted: the backup is good, and something else
    should be known. No code: nothing is found, or a guard speaks that has no word for programs.
    """

    number: int
    name: str
    happened: str
    verdict: str
    code: str | None

    @property
    def id(self) -> str:
        return f"{self.number:02d}-{self.name}"


CASES: tuple[Case, ...] = (
    Case(1, "truncated-gzip", "half of a compressed dump is missing", FAILED, "decode_failed"),
    Case(2, "truncated-plain", "a plain dump ends in the middle of a table", FAILED, "marker_missing"),
    Case(3, "truncated-custom", "half of a custom-format dump is missing", FAILED, "decode_truncated"),
    Case(4, "truncated-tar", "half of a tar-format dump is missing", FAILED, "decode_truncated"),
    Case(5, "flipped-gzip", "a bit flipped in a compressed dump", FAILED, "decode_failed"),
    Case(
        6,
        "flipped-uncompressed",
        "a bit flipped in a custom-format dump without compression",
        FAILED,
        "digest_mismatch",
    ),
    Case(7, "unprivileged-pipeline", "pg_dump was not allowed to read, gzip succeeded", FAILED, "empty_artefact"),
    Case(8, "killed-dump", "pg_dump was killed half-way", FAILED, "no_manifest"),
    Case(9, "full-disk", "the disk was full when the dump was written", FAILED, None),
    Case(10, "empty-database", "the database was empty when it was dumped", FAILED, "below_minimum"),
    Case(11, "other-database", "another database was dumped", FAILED, "identity_mismatch"),
    Case(12, "wrong-schema", "only another schema was dumped", FAILED, "structure_missing"),
    Case(13, "excluded-rows", "the rows of a table were left out of the dump", FAILED, "row_count_mismatch"),
    Case(14, "dropped-table", "a table was dropped before the dump", FAILED, "structure_regression"),
    Case(15, "deleted-rows", "30 % of the rows were deleted before the dump", FAILED, "volume_regression"),
    Case(
        16, "changed-value", "one value was changed in the dump, and its SHA-256 recomputed", FAILED, "content_mismatch"
    ),
    Case(17, "no-globals", "the file with the roles is gone", FAILED, "globals_missing"),
    Case(18, "missing-roles", "the roles are missing where a plain dump is restored", FAILED, "role_missing"),
    Case(19, "missing-extension", "an extension is missing where the dump is restored", ERROR, "extension_missing"),
    Case(20, "no-large-objects", "a dump of one schema has no large objects", FAILED, "large_objects_missing"),
    Case(21, "other-encoding", "the database has another encoding and locale", FAILED, "encoding_mismatch"),
    Case(22, "other-collation", "text sorts by another version of the C library or ICU", VERIFIED, "collation_version"),
    Case(23, "older-server", "a dump of a newer server meets an older one", ERROR, "server_too_old"),
    Case(24, "older-psql", "an older psql does not know \\restrict", VERIFIED, "client_too_old"),
    Case(25, "sequence-behind", "a sequence was set back", FAILED, "sequence_behind"),
    Case(
        26,
        "orphans",
        "a row without its parent hides behind a foreign key that is NOT VALID",
        FAILED,
        "constraint_not_validated",
    ),
    Case(
        27, "structure-changed", "an index is invalid, a trigger disabled, a policy gone", FAILED, "structure_differs"
    ),
    Case(28, "unpopulated-view", "a materialized view has no content", FAILED, "matview_unpopulated"),
    Case(29, "wal-gap", "a WAL segment is missing from the archive", FAILED, "wal_gap"),
    Case(30, "wal-damaged", "a WAL segment in the archive is damaged", FAILED, "wal_invalid"),
    Case(31, "target-after-archive", "the moment to restore is after the archive's end", REFUSED, "target_unreached"),
    Case(
        32, "target-before-backup", "the moment to restore is before the backup's end", REFUSED, "target_before_backup"
    ),
    Case(33, "target-without-zone", "the moment to restore has no time zone", REFUSED, None),
    Case(34, "stale-latest", "the newest backup is a copy of one of ten days ago", FAILED, "stale"),
    Case(35, "repeated-backup", "yesterday's file lies there under today's name", FAILED, "watermark_repeats"),
    Case(36, "deleted-object", "the object was deleted; an older version is there", FAILED, "object_deleted"),
    Case(37, "unreadable", "the object may not be read, or lies in cold storage", ERROR, "unreadable"),
    Case(38, "overwritten", "something else was written over the backup", FAILED, "digest_mismatch"),
    Case(39, "no-key", "the host of the recovery has another key", ERROR, "no_key"),
    Case(
        40,
        "failures-newer",
        "every backup since the last good one has failed, for longer than the retention",
        REFUSED,
        None,
    ),
    Case(41, "page-corruption", "a page of a table or an index is damaged", FAILED, "page_corruption"),
    Case(42, "live-archiver", "the restored copy would write into the production's archive", VERIFIED, None),
    Case(
        43,
        "target-is-production",
        "the server to restore into is the production itself",
        REFUSED,
        "target_is_production",
    ),
    Case(44, "no-space", "there is too little room to restore into", ERROR, "no_space"),
    Case(45, "healthy", "nothing: the healthy control", VERIFIED, None),
)
