"""Names and chains of WAL, what pgBackRest says, settings of a copy: pure, with exact messages."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.basebackup import check_options
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.destination import moment_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.answers import (
    parse_tablespaces,
    parse_verify,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.settings_file import without_recovery
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.wal import (
    Branch,
    chain,
    first_page,
    names_from,
    parse_history,
    parse_lsn,
    parse_segment,
    segment_name,
    show_lsn,
    wal_range,
)

MIB = 1024 * 1024
SIZE = 16 * MIB


@pytest.mark.parametrize(
    ("text", "position"), [("0/0", 0), ("0/3000148", 0x3000148), ("1/0", 1 << 32), ("A/FF000000", 0xAFF000000)]
)
def test_positions(text: str, position: int) -> None:
    assert parse_lsn(text) == position
    assert show_lsn(position) == text


@pytest.mark.parametrize(
    ("timeline", "number", "size", "name"),
    [
        (1, 1, SIZE, "000000010000000000000001"),
        (1, 255, SIZE, "0000000100000000000000FF"),
        (1, 256, SIZE, "000000010000000100000000"),
        (10, 64, 64 * MIB, "0000000A0000000100000000"),
        (1, 4096, MIB, "000000010000000100000000"),
    ],
)
def test_names_of_segments(timeline: int, number: int, size: int, name: str) -> None:
    assert segment_name(timeline, number, size) == name
    assert parse_segment(name, size) == (timeline, number)


def test_what_an_archive_holds_by_name() -> None:
    names = names_from(
        {
            "000000010000000000000001": 1,
            "0000000100000000/000000010000000000000002.gz": 1,
            "000000010000000000000003-65fe440816f99aea09641c71a3c68a96b0781a23.zst": 1,
            "000000010000000000000004.partial": 1,
            "000000010000000000000002.00000028.backup": 1,
            "00000002.history": 1,
            ".000000010000000000000005.tmp": 1,
            "000000010000000000000006.tmp": 1,
            "archive.info": 1,
        }
    )
    assert sorted(names.segments) == [
        "000000010000000000000001",
        "000000010000000000000002",
        "000000010000000000000003",
    ]
    assert names.segments["000000010000000000000002"] == "0000000100000000/000000010000000000000002.gz"
    assert list(names.partial) == ["000000010000000000000004"]
    assert names.histories == {2: "00000002.history"}
    assert names.timelines() == [1, 2]


def archive(*segments: tuple[int, int]) -> Any:
    return names_from({segment_name(timeline, number, SIZE): SIZE for timeline, number in segments}, SIZE)


@pytest.mark.parametrize(
    ("segments", "way", "expected", "gaps"),
    [
        ([(1, 3), (1, 4)], [Branch(1, 0)], 2, []),
        ([(1, 2), (1, 3), (1, 4)], [Branch(1, 0)], 2, []),
        ([(1, 3), (1, 5)], [Branch(1, 0)], 3, ["000000010000000000000004"]),
        ([(1, 3), (1, 6)], [Branch(1, 0)], 4, ["000000010000000000000004 to 000000010000000000000005 (2 segments)"]),
        ([(1, 4)], [Branch(1, 0)], 2, ["000000010000000000000003"]),
        ([(1, 2)], [Branch(1, 0)], 0, []),
        # The segment where a timeline branches off is the new one's.
        ([(1, 3), (2, 4), (2, 5)], [Branch(1, 0, 4 * SIZE + 99), Branch(2, 4 * SIZE + 99)], 3, []),
        (
            [(1, 3), (1, 4), (2, 5)],
            [Branch(1, 0, 4 * SIZE + 9), Branch(2, 4 * SIZE + 9)],
            3,
            ["000000020000000000000004"],
        ),
        # Segments of a branch that was left say nothing.
        ([(1, 3), (1, 9), (2, 4)], [Branch(1, 0, 4 * SIZE), Branch(2, 4 * SIZE)], 2, []),
        # Its history is there, its first segment is not.
        ([(1, 3)], [Branch(1, 0, 4 * SIZE), Branch(2, 4 * SIZE)], 2, ["000000020000000000000004"]),
    ],
    ids=["whole", "older", "hole", "holes", "start", "nothing", "branch", "no-branch", "left", "history-only"],
)
def test_chains(segments: list[tuple[int, int]], way: list[Branch], expected: int, gaps: list[str]) -> None:
    found = chain(archive(*segments), 3 * SIZE + 40, way)
    assert len(found.pieces) == expected
    assert [str(each) for each in found.gaps] == gaps
    assert all(piece.is_there for piece in found.whole.pieces)
    assert found.reaches(3 * SIZE + 41) == ((1, 3) in segments)


def test_histories() -> None:
    text = "1\t0/4000099\tno recovery target specified\n\n2\t0/9000000\tbefore 2026-01-31\n"
    assert parse_history(text, 3) == [Branch(1, 0, 0x4000099), Branch(2, 0x4000099, 0x9000000), Branch(3, 0x9000000)]
    with pytest.raises(Damaged, match="the history file of timeline 3 cannot be read: 'x y'"):
        parse_history("x y", 3)


def header(info: int, size: int) -> bytes:
    return struct.pack("<HHIQIIQII", 0xD110, info, 1, 0, 0, 0, 7123456789, size, 8192)


def test_first_pages() -> None:
    assert first_page(header(2, SIZE)) == ("7123456789", SIZE)
    for bad in (b"", header(0, SIZE), header(2, SIZE + 1), header(2, 0), b"\x1f\x8b" + bytes(62)):
        with pytest.raises(Damaged):
            first_page(bad)


def test_the_wal_of_a_backup() -> None:
    one = {"Timeline": 1, "Start-LSN": "0/3000028", "End-LSN": "0/4000000"}
    two = {"Timeline": 2, "Start-LSN": "0/4000000", "End-LSN": "0/5000100"}
    assert wal_range({"WAL-Ranges": [two, one]}) == (0x3000028, 0x5000100, 2)
    with pytest.raises(Damaged):
        wal_range({"WAL-Ranges": []})


def test_settings_of_a_copy_neither_recover_nor_follow_nor_archive() -> None:
    before = "\n".join(
        [
            "# Do not edit",
            "restore_command = 'cp x y'",
            "recovery_target_time='2026-01-31'",
            "Primary_Conninfo = 'host=a password=b'",
            "archive_mode = 'always'",
            "work_mem = '4MB'",
            "archive_timeout = '60'",
        ]
    )
    assert without_recovery(before).splitlines() == [
        "# Do not edit",
        "work_mem = '4MB'",
        "archive_timeout = '60'",
        "archive_mode = 'off'",
    ]


VERIFY = """stanza: shop
status: error
  archiveId: 15-1, total WAL checked: 6, total valid WAL: 5
    missing: 0, checksum invalid: 1, size invalid: 0, other: 0
  backup: 20261128-145624F, status: invalid, total files checked: 965, total valid files: 964
    checksum invalid: 1
  backup: 20261128-145624F_20261128-145627I, status: valid, total files checked: 967, total valid files: 967
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""


def test_what_verify_says() -> None:
    status, judged = parse_verify(VERIFY)
    assert status == "error"
    assert [(each.name, each.is_good) for each in judged] == [
        ("15-1", False),
        ("20261128-145624F", False),
        ("20261128-145624F_20261128-145627I", True),
    ]
    assert judged[1].problem == "1 of 965 files are bad (1 checksum invalid)"
    assert parse_verify("") == (None, [])


def test_tablespaces_of_a_backup_of_pgbackrest() -> None:
    text = '[backup:target]\npg_data={"path":"/d","type":"path"}\npg_tblspc/16385={"path":"/s","tablespace-id":"16385",'
    assert parse_tablespaces(text + '"tablespace-name":"fast","type":"link"}\n') == [
        {"oid": "16385", "name": "fast", "location": "/s"}
    ]


@pytest.mark.parametrize("rate", ["32k", "50M", "1024M", "100", ""])
def test_rates(rate: str) -> None:
    check_options({"max_rate": rate, "compression": "gzip"})


@pytest.mark.parametrize("rate", ["5", "1025M", "fast", "-1M", "50G"])
def test_rates_that_cannot_be(rate: str) -> None:
    with pytest.raises(InvalidOption, match=f"basebackup.max_rate: '{rate}' is not accepted. Accepted: 32k to 1024M"):
        check_options({"max_rate": rate, "compression": "gzip"})


def test_moments() -> None:
    found = moment_from({"target_time": "2026-01-31T09:00:00.123456+09:00", "target_inclusive": False})
    assert found.settings() == {
        "recovery_target_timeline": "latest",
        "recovery_target_action": "promote",
        "recovery_target_time": "2026-01-31 00:00:00.123456+00",
        "recovery_target_inclusive": False,
    }
    assert moment_from({"target_time": "latest"}).at is None
    with pytest.raises(InvalidOption, match="target_timeline: 'two' is not accepted"):
        moment_from({"target_time": "latest", "target_timeline": "two"})
