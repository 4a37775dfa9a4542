"""The pure parts of Redis backups: headers, figures and their ranges, frames of a stream, verdicts, names, guards."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.backup.verdict import Verification
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import Census, QueueId
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.figures import (
    Changes,
    Figures,
    between,
    differing_databases,
    differing_queues,
    exact,
    figures_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.headroom import (
    Memory,
    check_disk,
    check_fork,
    expected_bytes,
    missing_memory,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.levels import LEVELS, verification
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.manifest import parse_manifest, written
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.moment import (
    changes_around_save,
    changes_between,
    has_forked,
    is_busy,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.program import is_older
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.publish import is_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.rdb import is_checksummed, read_header
from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.stream import Frame

# As the servers write them.
REDIS_7 = (
    b"REDIS0010\xfa\tredis-ver\x067.0.15\xfa\nredis-bits\xc0@\xfa\x05ctime\xc2w\xb5\nk\xfa\x08used-mem\xc2X\xd1\x14\x00"
    b"\xfa\x08aof-base\xc0\x00\xfe\x00\xfbH\xfdA,\x00\x04k161\x14vvvv"
)
VALKEY_9 = b"VALKEY080\xfa\nvalkey-ver\x059.1.2\xfa\nredis-bits\xc0@\xfa\x05ctime\xc2\x8e\xb5\nk\xfe\x00"


def test_headers() -> None:
    redis = read_header(REDIS_7)
    assert (redis.format, redis.writer, redis.flavour) == (10, "Redis 7.0.15", "redis")
    assert (redis.created, redis.used_memory_bytes, redis.is_valkeys_own) == (1795863927, 1364312, False)
    valkey = read_header(VALKEY_9)
    assert (valkey.format, valkey.writer, valkey.is_valkeys_own) == (80, "Valkey 9.1.2", True)
    assert (valkey.used_memory_bytes, valkey.created) == (None, 1795863950)
    assert read_header(b"REDIS0003\xfe\x00").writer == "Redis (unknown version)"


@pytest.mark.parametrize("cut", range(9, len(REDIS_7)))
def test_a_header_that_ends_anywhere_is_no_crash(cut: int) -> None:
    assert read_header(REDIS_7[:cut]).format == 10


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "this is no RDB file: it is empty"),
        (b"redis0010", "this is no RDB file: it begins with b'redis0010'"),
        (b"REDIS001", "this is no RDB file: it begins with b'REDIS001'"),
        (b"$EOF:abc", "this is no RDB file: it begins with b'$EOF:abc'"),
    ],
    ids=["empty", "lower case", "short", "framed"],
)
def test_what_is_no_header(data: bytes, message: str) -> None:
    with pytest.raises(Damaged) as caught:
        read_header(data)
    assert caught.value.message == message


def test_a_checksum_of_zeros_is_none() -> None:
    header = read_header(REDIS_7)
    assert is_checksummed(header, b"\0\0\0\0\0\0\0\1")
    assert not is_checksummed(header, bytes(8))
    assert not is_checksummed(header, b"\1\1")
    assert not is_checksummed(read_header(b"REDIS0003"), b"\1" * 8)


MAIL = QueueId(0, "bullmq", "bull", "mail")


def looks(before: int, after: int) -> tuple[Census, Census]:
    return (
        Census({0: before}, {0: 1}, {MAIL: {"waiting": before}}),
        Census({0: after}, {0: 2}, {MAIL: {"waiting": after}}),
    )


@pytest.mark.parametrize(
    ("before", "after", "changes", "limits"),
    [
        (10, 10, Changes(), (10, 10)),
        # So many were added after the snapshot: it holds what there was before.
        (10, 15, Changes(0, 5), (10, 15)),
        # Something was done and undone.
        (10, 10, Changes(2, 3), (8, 12)),
        (10, 10, Changes(5, 0), (10, 10)),
        (2, 2, Changes(9, 9), (0, 11)),
        # A renamed list is one modification and moves all of it.
        (100, 0, Changes(1, 0), (0, 100)),
    ],
    ids=["at rest", "added after", "moved about", "only before", "not below zero", "renamed"],
)
def test_ranges_of_a_moment_between_two_looks(
    before: int, after: int, changes: Changes, limits: tuple[int, int]
) -> None:
    figures = between(*looks(before, after), changes, has_queues=True)
    assert figures.queues[MAIL]["waiting"] == limits
    assert figures.keys == {0: (min(before, after), max(before, after))}
    assert figures.expires == {0: 2}


def test_what_appears_or_goes_between_two_looks_may_be_there_or_not() -> None:
    figures = between(Census(), looks(4, 4)[1], Changes(0, 4), has_queues=True)
    assert figures.queues == {MAIL: {"waiting": (0, 4)}}
    assert figures.keys == {0: (0, 4)}


FIGURES = Figures({0: (10, 12), 3: (5, 5)}, {0: 4, 3: 0}, {MAIL: {"waiting": (3, 3), "failed": (0, 2)}})


@pytest.mark.parametrize(
    ("keys", "keeps_expired", "wrong"),
    [
        ({0: 10, 3: 5}, True, []),
        ({0: 12, 3: 5}, True, []),
        ({0: 9, 3: 5}, True, ["database 0 holds 9 keys, 10 to 12 were expected"]),
        ({0: 6, 3: 5}, False, []),
        ({0: 5, 3: 5}, False, ["database 0 holds 5 keys, 6 to 12 were expected"]),
        ({0: 10}, True, ["database 3 holds 0 keys, 5 were expected"]),
        ({0: 10, 3: 5, 7: 1}, True, ["database 7 holds 1 keys, 0 were expected"]),
    ],
    ids=["least", "most", "too few", "expired", "more than expired", "missing", "unexpected"],
)
def test_databases_of_a_copy(keys: dict[int, int], keeps_expired: bool, wrong: list[str]) -> None:
    assert differing_databases(FIGURES, Census(keys), keeps_expired=keeps_expired) == wrong


@pytest.mark.parametrize(
    ("queues", "wrong"),
    [
        ({MAIL: {"waiting": 3, "failed": 1}}, []),
        ({MAIL: {"waiting": 3}}, []),
        ({MAIL: {"waiting": 2}}, ["bullmq queue bull:mail in database 0 has 2 waiting, 3 were expected"]),
        (
            {MAIL: {"waiting": 3, "failed": 4}},
            ["bullmq queue bull:mail in database 0 has 4 failed, 0 to 2 were expected"],
        ),
        ({}, ["bullmq queue bull:mail in database 0 is missing"]),
        (
            {MAIL: {"waiting": 3}, QueueId(1, "celery", "", "normal"): {"waiting": 1}},
            ["celery queue normal in database 1 has 1 waiting, 0 were expected"],
        ),
    ],
    ids=["as expected", "none failed", "too few", "too many", "missing", "unexpected"],
)
def test_queues_of_a_copy(queues: dict[QueueId, dict[str, int]], wrong: list[str]) -> None:
    assert differing_queues(FIGURES, Census(queues=queues)) == wrong


def test_figures_and_manifests_are_read_as_they_are_written() -> None:
    assert figures_from(FIGURES.as_dict()) == FIGURES
    without = exact(Census({0: 1}, {0: 0}), has_queues=False)
    assert without.as_dict()["queues"] is None
    assert figures_from(without.as_dict()) == without
    entry = {
        "bytes": 3,
        "sha256": "ab",
        "taken_at": "2026-01-31T00:15:00Z",
        "counted_at": "2026-01-31T00:14:59Z",
        "verification": {"verdict": "verified"},
    }
    manifest = parse_manifest(written(entry, FIGURES), "m")
    assert (manifest.bytes, manifest.sha256, manifest.verdict) == (3, "ab", "verified")
    assert manifest.figures == FIGURES
    assert manifest.counted_at == datetime(2026, 1, 31, 0, 14, 59, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "m is damaged: it is not a manifest as this collection writes it"),
        (b"[]", "m is damaged: it is not a manifest as this collection writes it"),
        (b"{}", "m is damaged: it is not a manifest as this collection writes it"),
        (b'{"kind": "redis", "format": 1}', "m is damaged: it is not a manifest as this collection writes it"),
        (
            b'{"kind": "postgresql", "format": 1}',
            "m is a manifest of another kind or format than this collection writes for Redis",
        ),
        (
            b'{"kind": "redis", "format": 2}',
            "m is a manifest of another kind or format than this collection writes for Redis",
        ),
    ],
    ids=["empty", "list", "nothing", "cut", "of another", "of later"],
)
def test_what_is_no_manifest(data: bytes, message: str) -> None:
    with pytest.raises(Undecided) as caught:
        parse_manifest(data, "m")
    assert caught.value.message == message


def info(**values: object) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def dirty(count: int, **more: object) -> dict[str, str]:
    return info(rdb_changes_since_last_save=count, rdb_last_bgsave_status="ok", **more)


def test_changes_around_a_save() -> None:
    under_way = dirty(130, rdb_bgsave_in_progress=1)
    assert changes_around_save(dirty(90), dirty(100), dirty(101), under_way) == Changes(11, 30)
    # The save is done: the counter has lost what it was when it began.
    assert changes_around_save(dirty(90), dirty(100), dirty(100), dirty(30)) == Changes(10, 30)
    failed = {**dirty(130), "rdb_last_bgsave_status": "err"}
    assert changes_around_save(dirty(100), dirty(100), dirty(100), failed) == Changes(0, 30)


def test_changes_between_two_looks() -> None:
    first = dirty(10, rdb_last_save_time=5, total_commands_processed=100, expired_keys=1)
    assert changes_between(first, {**first, "rdb_changes_since_last_save": "14"}) == Changes(4, 4, 4)
    assert changes_between(first, {**first, "expired_keys": "3"}) == Changes(0, 0, 2)
    saved = {**first, "rdb_changes_since_last_save": "2", "rdb_last_save_time": "9", "total_commands_processed": "150"}
    assert changes_between(first, saved) == Changes(50, 50, 50)
    assert has_forked(info(total_forks=1), info(total_forks=2))
    assert not has_forked({}, {})


@pytest.mark.parametrize(
    ("values", "busy"),
    [
        (info(rdb_bgsave_in_progress=0, aof_rewrite_in_progress=0, aof_rewrite_scheduled=0), None),
        (info(rdb_bgsave_in_progress=1), "a save that others began"),
        (info(aof_rewrite_in_progress=1), "a rewrite of the append-only file"),
        (info(aof_rewrite_scheduled=1), "a rewrite of the append-only file"),
    ],
    ids=["quiet", "saving", "rewriting", "about to rewrite"],
)
def test_what_keeps_a_server_from_saving(values: dict[str, str], busy: str | None) -> None:
    assert is_busy(values) == busy


MARK = b"0123456789abcdef0123456789abcdef01234567"
BODY = b"REDIS0010" + bytes(range(256)) * 3


def framed(kind: str) -> bytes:
    if kind == "length":
        return b"\n\n$" + str(len(BODY)).encode() + b"\r\n" + BODY
    return b"\n$EOF:" + MARK + b"\r\n" + BODY + MARK


@pytest.mark.parametrize("kind", ["length", "mark"])
@pytest.mark.parametrize("size", [1, 2, 7, 39, 40, 41, 64, 10_000])
def test_frames_come_off_however_they_are_cut(kind: str, size: int) -> None:
    frame, data = Frame(), framed(kind)
    found = b"".join(frame.feed(data[start : start + size]) for start in range(0, len(data), size))
    assert found == BODY
    assert frame.complete
    assert frame.length == (len(BODY) if kind == "length" else None)


@pytest.mark.parametrize("kind", ["length", "mark"])
def test_a_stream_that_ends_early_is_not_complete(kind: str) -> None:
    frame = Frame()
    frame.feed(framed(kind)[:-1])
    assert not frame.complete


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"-NOPERM no permission\r\n",
            "The server refused SYNC: NOPERM no permission. Grant: +sync +replconf; where the service does not offer "
            "it, use its own snapshots, or method=file on the server's host.",
        ),
        (b"+OK\r\n", "The server's answer to SYNC is no snapshot. Is this a Redis server?"),
        (b"x" * 1000, "The server's answer to SYNC is no snapshot. Is this a Redis server?"),
    ],
    ids=["refused", "another answer", "endless line"],
)
def test_answers_that_are_no_snapshot(data: bytes, message: str) -> None:
    with pytest.raises(RunbookError) as caught:
        Frame().feed(data)
    assert caught.value.message == message


def seen(*outcomes: str, wanted: str = "queues") -> Verification:
    made = verification(wanted)
    for level, outcome in zip(LEVELS, outcomes, strict=False):
        getattr(made, outcome)(level, "why")
    return made


@pytest.mark.parametrize(
    ("verification", "verdict", "level", "reason"),
    [
        (seen(*["passed"] * 8), "verified", "queues", None),
        (seen("passed", "skipped", *["passed"] * 6), "verified", "queues", None),
        (seen(*["passed"] * 6, wanted="loads"), "verified", "loads", None),
        (seen(*["passed"] * 6), "error", "loads", "it was not looked at"),
        (seen("passed", "skipped", "failed"), "failed", "fresh", "format: why"),
        (seen("passed", "skipped", "undecided"), "error", "fresh", "format: why"),
        (seen("failed"), "failed", None, "exists: why"),
        (verification(), "error", None, "it was not looked at"),
    ],
    ids=["all", "without an age", "as far as wanted", "not far enough", "bad", "unknown", "missing", "nothing"],
)
def test_verdicts(verification: Verification, verdict: str, level: str | None, reason: str | None) -> None:
    assert (verification.verdict, verification.level, verification.reason) == (verdict, level, reason)
    json.dumps(verification.as_dict())


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("shop-20260131T001500Z.rdb", "shop", True),
        ("shop-eu-20260131T001500Z.rdb", "shop", False),
        ("shop-eu-20260131T001500Z.rdb", "shop-eu", True),
        ("shop-20260131T001500Z.rdb.manifest.json", "shop", False),
        ("shop-20260131.rdb", "shop", False),
        ("shop-2026013100150000.rdb", "shop", False),
        (".shop.partial", "shop", False),
    ],
)
def test_names_of_backups(file: str, name: str, expected: bool) -> None:
    assert is_of(file, name) is expected


@pytest.mark.parametrize(
    ("version", "other", "expected"),
    [("6.2.14", "7.0.15", True), ("7.0.15", "7.0.15", False), ("7.0.9", "7.0.15", True), ("10.0.0", "9.1.2", False)],
)
def test_versions_are_compared_by_their_numbers(version: str, other: str, expected: bool) -> None:
    assert is_older(version, other) is expected


MIB = 1024 * 1024


def test_a_fork_that_could_cost_the_server_its_memory() -> None:
    used = info(used_memory_rss=1000 * MIB)
    assert check_fork(used, Memory(2000 * MIB, 1), 50) is None
    assert check_fork(used, Memory(None), 100) is None
    note = check_fork(used, Memory(600 * MIB, 0), 50)
    assert note is not None
    assert note.startswith("vm.overcommit_memory is 0 and less memory is free than the server uses")
    with pytest.raises(Refused) as caught:
        check_fork(used, Memory(400 * MIB, 1), 50)
    assert caught.value.message.startswith(
        "The server uses 1000.0 MiB and only 400.0 MiB of memory are free. While a snapshot is taken, what is "
        "written to is copied; 50 % (copy_on_write_percent) would be 500.0 MiB, and the kernel may kill the server. "
        "Nothing was touched."
    )


def test_room_on_disks_and_in_memory() -> None:
    check_disk("/srv", 100, 100, "the backup")
    with pytest.raises(Refused) as caught:
        check_disk("/srv", 5 * MIB, 3 * 1024 * MIB, "the backup")
    assert caught.value.message == (
        "/srv has 5.0 MiB free, and the backup needs up to 3.0 GiB. Nothing was touched. Make room, or choose another "
        "place."
    )
    assert missing_memory(100 * MIB, Memory(None)) is None
    assert missing_memory(100 * MIB, Memory(200 * MIB)) is None
    assert missing_memory(100 * MIB, Memory(120 * MIB)) == (
        "loading it takes about 132.0 MiB of memory and 120.0 MiB are free on this host. Verify it on another host"
    )


@pytest.mark.parametrize(
    ("values", "last", "expected"),
    [
        (info(used_memory=1000, used_memory_dataset=400), (None, None), 440),
        (info(used_memory=1000), (None, None), 1100),
        (info(used_memory=1000), (100, 1000), 110),
        (info(used_memory=2000), (100, 1000), 220),
        (info(used_memory=500), (100, 1000), 110),
    ],
    ids=["by the data set", "by the memory", "by the last", "grown", "shrunk"],
)
def test_how_large_the_next_dump_is_going_to_be(values: dict[str, str], last: tuple[Any, Any], expected: int) -> None:
    assert expected_bytes(values, *last) == pytest.approx(expected, abs=1)


def test_the_docs_say_what_the_levels_are() -> None:
    text = Path(__file__).parents[3].joinpath("plugins/modules/redis_backup_verify.py").read_text(encoding="utf-8")
    assert f"choices: [{', '.join(LEVELS[2:])}]" in text
