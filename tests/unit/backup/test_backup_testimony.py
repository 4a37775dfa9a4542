"""What manifests and records say for a backup, and when that counts for nothing."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.model import (
    Artefact,
    Clocks,
    Entry,
    Listing,
    artefact_facts,
    divergence,
    inventory,
    sort_out,
    taken_at,
)
from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.backup.rdb import CHECKED_BYTES, check, crc64
from ansible_collections.runbook.ops.plugins.module_utils.backup.record import Record, parse_record
from ansible_collections.runbook.ops.plugins.module_utils.backup.streams import Meter, Reader
from ansible_collections.runbook.ops.plugins.module_utils.backup.testimony import Told, standing_of, told_by

UTC = dt.timezone.utc
NOW = dt.datetime(2026, 1, 31, 9, tzinfo=UTC)
CLOCKS = Clocks(NOW, NamingRule("s-%Y%m%d.dump", zone("UTC")), dt.timedelta(hours=6), None)
STATE = {"etag": "e", "bytes": 100, "version_id": None}

POSTGRESQL = {
    "format": 1,
    "kind": "postgresql",
    "method": "dump",
    "name": "s-20260131.dump",
    "taken_at": "2026-01-31T02:00:00Z",
    "bytes": 100,
    "sha256": "ab" * 32,
    "encryption": {"method": "age", "recipients": ["age1xyz"]},
    "members": {"toc.dat": {"name": "toc.dat", "bytes": 60, "sha256": "cd" * 32}},
    "census": {
        "database": {"name": "shop"},
        "server": {"version_num": 150018},
        "tables": {"public.a": {"rows": 3}, "public.b": {"rows": 4}, "public.v": {"rows": None}},
    },
    "physical": None,
    "verification": None,
}
REDIS = {
    "format": 1,
    "kind": "redis",
    "name": "shop",
    "method": "file",
    "taken_at": "2026-01-31T02:00:00Z",
    "bytes": 100,
    "sha256": "ef" * 32,
    "version": "7.0.15",
    "databases": [{"db": 0, "keys": [5, 5]}, {"db": 3, "keys": [2, 2]}],
    "verification": {"verdict": "verified", "level": "queues", "wanted_level": "queues", "reason": None},
}


def told(manifest: dict[str, Any], **changes: Any) -> Told | None:
    return told_by(json.dumps({**manifest, **changes}).encode())


def record(verdict: str = "verified", **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "artefact": "s-20260131.dump",
        "size_bytes": 100,
        "sha256": "ab" * 32,
        "identity": STATE,
        "verdict": verdict,
        "level": "semantics",
        "wanted_level": "semantics",
        "reason": None,
        "verified_at": "2026-01-31T03:00:00Z",
    }
    return Record(**{**fields, **changes})


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (POSTGRESQL, {"kind": "postgresql", "method": "dump", "database": "shop", "server_version": "15.18",
                      "tables": 3, "rows": 7, "keys": None, "encrypted": True}),
        (REDIS, {"kind": "redis", "method": "file", "database": None, "server_version": "7.0.15", "tables": None,
                 "rows": None, "keys": 7, "encrypted": False}),
        # The keys were counted while the snapshot was under way: not exactly.
        ({**REDIS, "databases": [{"db": 0, "keys": [5, 6]}]}, {"keys": None}),
        ({"kind": "files", "taken_at": "2026-01-31T02:00:00+09:00", "files": 12, "bytes": 5},
         {"kind": "files", "files": 12, "bytes": 5, "taken_at": "2026-01-30T17:00:00Z"}),
        # A census taken without counting.
        ({**POSTGRESQL, "census": {"tables": {"public.a": {"rows": None}}}}, {"tables": 1, "rows": None}),
        ({**POSTGRESQL, "census": None}, {"tables": None, "rows": None, "database": None, "server_version": None}),
    ],
    ids=["postgresql", "redis", "redis-not-exact", "files", "no-rows", "no-census"],
)  # fmt: skip
def test_told(manifest: dict[str, Any], expected: dict[str, Any]) -> None:
    found = told(manifest)
    assert found is not None
    assert {name: found.facts()[name] for name in expected} == expected


@pytest.mark.parametrize(
    "data",
    [None, b"", b"not json", b"[]", b"{}", b'{"kind": "redis"}', b'{"kind": 1, "taken_at": "2026-01-31T02:00:00Z"}',
     b'{"kind": "redis", "taken_at": "yesterday"}', b'{"kind": "redis", "taken_at": "2026-01-31T02:00:00"}', b"\xff"],
)  # fmt: skip
def test_no_manifest(data: bytes | None) -> None:
    assert told_by(data) is None


@pytest.mark.parametrize(
    ("written", "manifest", "size", "state", "verdict", "is_current", "is_proven", "source"),
    [
        (record(), None, 100, STATE, "verified", True, True, "record"),
        (record("failed"), None, 100, STATE, "failed", True, False, "record"),
        (record("error"), None, 100, STATE, "error", True, False, "record"),
        # Written to since: another ETag, another size.
        (record(), None, 100, {**STATE, "etag": "f"}, "verified", False, False, "record"),
        (record(), None, 101, STATE, "verified", False, False, "record"),
        # A listing that does not tell versions.
        (record(identity={**STATE, "version_id": "v1"}), None, 100, {"etag": "e", "bytes": 100}, "verified", True, True,
         "record"),
        # Nothing is known of the artefact: unknown is not good.
        (record(), None, 100, None, "verified", None, False, "record"),
        (record(), None, None, None, "verified", None, False, "record"),
        # The proof in the manifest.
        (None, REDIS, 100, STATE, "verified", True, True, "manifest"),
        (None, REDIS, 99, STATE, "verified", False, False, "manifest"),
        # A later record wins over what the manifest said when it was written …
        (record("failed"), REDIS, 100, STATE, "failed", True, False, "record"),
        # … but not a record of something else that had the name.
        (record("failed", size_bytes=7), REDIS, 100, STATE, "verified", True, True, "manifest"),
        # Another version of the object has taken the name.
        (None, {**REDIS, "version_id": "v1"}, 100, {**STATE, "version_id": "v2"}, "verified", False, False, "manifest"),
    ],
)  # fmt: skip
def test_standing(
    written: Record | None,
    manifest: dict[str, Any] | None,
    size: int | None,
    state: dict[str, Any] | None,
    verdict: str,
    is_current: bool | None,
    is_proven: bool,
    source: str,
) -> None:
    found = standing_of(written, told(manifest) if manifest else None, size, state)
    assert found is not None
    assert (found.verdict, found.is_current, found.is_proven, found.source) == (verdict, is_current, is_proven, source)


def test_nothing_speaks_for_it() -> None:
    assert standing_of(None, None, 100, STATE) is None
    assert standing_of(None, told(POSTGRESQL), 100, STATE) is None
    assert standing_of(record("splendid"), None, 100, STATE) is None


def backup(day: int, manifest: dict[str, Any] | None = None, written: Record | None = None) -> Artefact:
    name = f"s-202601{day:02}.dump"
    made = Entry(name, 100, dt.datetime(2026, 1, day, 2, tzinfo=UTC), name, state=STATE)
    [artefact] = sort_out([made], CLOCKS.rule).artefacts
    artefact.told = told(manifest) if manifest else None
    artefact.record = written
    return artefact


@pytest.mark.parametrize(
    ("manifest", "source", "reason"),
    [
        (POSTGRESQL, "manifest", None),
        ({**POSTGRESQL, "name": "s-20260130.dump"}, "manifest", "its manifest is that of s-20260130.dump"),
        ({**POSTGRESQL, "taken_at": "2026-01-27T02:00:00Z"}, "manifest",
         "its manifest says that it was taken 2026-01-27T02:00:00Z, which its name does not"),
        # The manifest is about something else: it says nothing about this one's age.
        ({**POSTGRESQL, "bytes": 99}, "modified", "its manifest is about 99 bytes and it has 100"),
        # The name of a series of Redis backups is no name of an artefact.
        (REDIS, "manifest", None),
    ],
)  # fmt: skip
def test_manifests_tell_the_moment(manifest: dict[str, Any], source: str, reason: str | None) -> None:
    artefact = backup(31, manifest)
    assert taken_at(artefact, CLOCKS).source == source
    assert divergence(artefact, CLOCKS) == reason


@pytest.mark.parametrize(
    ("records", "newest_verified", "newest_failed", "failed_since", "unverified_since"),
    [
        ({31: "verified", 30: "verified"}, "s-20260131.dump", None, 0, 0),
        ({30: "verified"}, "s-20260130.dump", None, 0, 1),
        ({31: "failed", 30: "failed", 29: "verified"}, "s-20260129.dump", "s-20260131.dump", 2, 0),
        ({31: "failed", 30: "error"}, None, "s-20260131.dump", 1, 2),
        ({31: "verified", 30: "failed"}, "s-20260131.dump", "s-20260130.dump", 0, 0),
        ({}, None, None, 0, 3),
    ],
    ids=["all", "newest-open", "failures", "none-good", "old-failure", "nothing"],
)
def test_inventory(
    records: dict[int, str],
    newest_verified: str | None,
    newest_failed: str | None,
    failed_since: int,
    unverified_since: int,
) -> None:
    contents = sort_out([], CLOCKS.rule)
    for day in (29, 30, 31):
        contents.artefacts.append(backup(day, written=record(records[day]) if day in records else None))
    facts = inventory(
        contents, Listing([], True, None, None, None, []), CLOCKS,
        interval_seconds=86400, gap_window_seconds=86400, top=10,
    )  # fmt: skip
    assert (facts["newest_verified"] or {"name": None})["name"] == newest_verified
    assert (facts["newest_failed"] or {"name": None})["name"] == newest_failed
    assert (facts["failed_since_verified_count"], facts["unverified_since_verified_count"]) == (
        failed_since, unverified_since,
    )  # fmt: skip
    assert facts["verified_count"] + facts["unverified_count"] + facts["failed_verification_count"] == 3


def test_facts() -> None:
    facts = artefact_facts(backup(31, POSTGRESQL, record()), CLOCKS)
    assert facts["manifest"]["rows"] == 7
    assert facts["verified"] == {
        "verdict": "verified", "level": "semantics", "wanted_level": "semantics", "reason": None,
        "verified_at": "2026-01-31T03:00:00Z", "is_current": True, "is_proven": True, "is_restorable": True,
        "source": "record",
    }  # fmt: skip


# --- RDB files

HEAD = b"REDIS0010\xfa\x09redis-ver\x067.0.15"


def rdb(body: bytes = b"\xfe\x00", tail: bytes | None = None) -> bytes:
    content = HEAD + body + b"\xff"
    return content + (crc64(content).to_bytes(8, "little") if tail is None else tail)


def test_crc64_is_that_of_redis() -> None:
    # The check value in redis/src/crc64.c.
    assert crc64(b"123456789") == 0xE9C6D914C4B8D9CA


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (rdb(), "end mark found, checksum (CRC-64) verified"),
        (rdb(tail=bytes(8)), "end mark found; it carries no checksum (rdbchecksum no)"),
        (rdb()[:-12], "it ends without the end mark of an RDB file: it was cut off"),
        (rdb().replace(b"7.0.15", b"7.0.16"), "the checksum (CRC-64) does not match"),
        (b"REDIS0003\xfe\x00\xff", "end mark found; it carries no checksum (rdbchecksum no)"),
    ],
    ids=["whole", "no-checksum", "cut", "changed", "before-5"],
)
def test_rdb(data: bytes, outcome: str, step: int) -> None:
    chunks = iter([data[at : at + step] for at in range(0, len(data), step)])
    try:
        found = check(Reader(chunks), Meter(1 << 30, 60), is_decoded=False)
    except Damaged as error:
        found = error.message
    assert found == outcome


def test_large_rdb_is_left_to_those_who_can() -> None:
    data = rdb(bytes(CHECKED_BYTES), tail=b"checksum")
    chunks = [data[at : at + (1 << 20)] for at in range(0, len(data), 1 << 20)]
    with pytest.raises(
        Undecided, match=r"above 33554432 bytes are not computed here: prove it with redis_backup_verify"
    ):
        check(Reader(iter(chunks)), Meter(1 << 40, 60), is_decoded=False)
    # A compression's checksum has told already that nothing changed.
    assert check(Reader(iter(chunks)), Meter(1 << 40, 60), is_decoded=True) == "end mark found"


@pytest.mark.parametrize(
    ("written", "state", "is_restorable"),
    [
        (record(), STATE, True),
        (record("failed"), STATE, False),
        # Only the WAL behind it is bad.
        (record("failed", is_restorable=True), STATE, True),
        (record("failed", is_restorable=True), {**STATE, "etag": "f"}, False),
        (record("error", is_restorable=True), STATE, False),
    ],
)
def test_what_is_good_for_its_own_moment(written: Record, state: dict[str, Any], is_restorable: bool) -> None:
    standing = standing_of(parse_record(written.as_bytes()), None, 100, state)
    assert standing is not None
    assert standing.is_restorable is is_restorable
