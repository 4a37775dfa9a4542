"""backup_copy between real directories and buckets: what arrives, what is refused, what a killed run leaves."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
from lab.copied_backups import NOW, PATTERN, UTC, Place, copying, data_of, moment_of, name_of
from lab.planted_backups import bytes_of, plant_backup, plant_record
from lab.s3 import S3Server
from lab.s3_faults import Fault, S3Faults

pytestmark = pytest.mark.xdist_group("backup")

RunModule = Callable[..., dict[str, Any]]
MakeBucket = Callable[..., str]
Make = Callable[[str, str], Place]


PAIRS = [
    ("directory", "bucket"), ("versioned", "directory"), ("bucket", "versioned"), ("versioned", "versioned"),
    ("directory", "directory"),
]  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
def test_check_real_check_real(run_module: RunModule, make: Make, pair: tuple[str, str]) -> None:
    source, target = make(pair[0], "first"), make(pair[1], "second")
    plant_backup(source.options, name_of(2), moment_of(2))
    # Larger than one part of an upload.
    plant_backup(source.options, name_of(1), moment_of(1), size=17 * 1024 * 1024)
    plant_backup(source.options, name_of(0), moment_of(0), members=3)
    plant_record(source.options, name_of(1))
    before = source.digests()
    options = copying(source, target)

    planned = run_module("backup_copy", options, check_mode=True, diff=True)
    assert target.digests() == {}
    assert (planned["changed"], planned["after"]) == (True, None)
    assert [(each["action"], each["object"], each["proven"]) for each in planned["actions"]] == [
        ("copy", name_of(1), True), ("copy", name_of(0), False),
    ]  # fmt: skip
    assert planned["diff"] == {"before": "", "after": f"{name_of(1)}\n{name_of(0)}\n"}

    done = run_module("backup_copy", options)
    assert done["actions"] == planned["actions"]
    assert (done["changed"], done["refused"], done["before"]["due_count"]) == (True, [], 2)
    assert done["after"] == {"count": 2, "newest": name_of(0), "due_count": 0}
    assert source.digests() == before
    wanted = {name: value for name, value in data_of(before).items() if not name.startswith(name_of(2))}
    assert data_of(target.digests()) == wanted
    assert not [name for name in target.digests() if name.endswith((".pending.json", ".partial"))]
    if pair == ("directory", "directory"):
        # Nothing says where it lies, so that the manifest is the same to the byte.
        assert target.digests()[f"{name_of(0)}.manifest.json"] == before[f"{name_of(0)}.manifest.json"]

    seen = run_module("backup_info", {**target.options, "name_pattern": PATTERN, "reference_time": NOW})["inventory"]
    assert (seen["count"], seen["newest_verified"]["name"]) == (2, name_of(1))
    assert seen["newest"]["inspected"]["verdict"].startswith("whole: SHA-256 of 4 files")

    for check_mode in (True, False):
        again = run_module("backup_copy", options, check_mode=check_mode)
        assert (again["changed"], again["actions"]) == (False, [])


def test_a_proof_that_came_later(run_module: RunModule, make: Make) -> None:
    """The nightly order is back up, copy, verify: the next copy brings the proof along."""
    source, target = make("directory", "first"), make("versioned", "second")
    plant_backup(source.options, name_of(0), moment_of(0), members=2)
    run_module("backup_copy", copying(source, target))
    plant_record(source.options, name_of(0))
    planned = run_module("backup_copy", copying(source, target), check_mode=True)
    done = run_module("backup_copy", copying(source, target))
    assert done["actions"] == planned["actions"]
    assert [(each["action"], each["proven"]) for each in done["actions"]] == [("prove", True)]
    info = {**target.options, "name_pattern": PATTERN, "reference_time": NOW}
    assert run_module("backup_info", info)["inventory"]["newest_verified"]["name"] == name_of(0)
    assert run_module("backup_copy", copying(source, target))["changed"] is False


def test_a_record_that_says_bad_does_not_travel_and_one_there_stays(run_module: RunModule, make: Make) -> None:
    source, target = make("directory", "first"), make("directory", "second")
    plant_backup(source.options, name_of(0), moment_of(0))
    plant_record(source.options, name_of(0), "failed")
    run_module("backup_copy", copying(source, target))
    assert f"{name_of(0)}.verified.json" not in target.digests()
    plant_record(target.options, name_of(0), "failed")
    plant_record(source.options, name_of(0))
    assert run_module("backup_copy", copying(source, target))["changed"] is False


def test_a_proof_is_not_taken_over_for_bytes_that_decayed(run_module: RunModule, make: Make) -> None:
    source, target = make("directory", "first"), make("directory", "second")
    plant_backup(source.options, name_of(0), moment_of(0))
    run_module("backup_copy", copying(source, target))
    assert target.directory is not None
    path = target.directory / name_of(0)
    path.write_bytes(bytes(reversed(path.read_bytes())))
    plant_record(source.options, name_of(0))
    found = run_module("backup_copy", copying(source, target))
    assert found["failed"] is True
    assert f"{path} does not have the SHA-256 that its manifest says: this copy is damaged." in found["msg"]
    assert f"{name_of(0)}.verified.json" not in target.digests()


def test_a_damaged_original_is_not_copied_and_the_others_are(run_module: RunModule, make: Make) -> None:
    source, target = make("directory", "first"), make("bucket", "second")
    for back in (0, 1, 2):
        plant_backup(source.options, name_of(back), moment_of(back))
    assert source.directory is not None
    (source.directory / name_of(1)).write_bytes(bytes(1000))
    (source.directory / name_of(2)).write_bytes(b"short")
    options = copying(source, target, newest=3)
    found = run_module("backup_copy", options)
    assert found["failed"] is True
    assert [(each["object"], each["reason"]) for each in found["refused"]] == [
        (name_of(2), f"it cannot be copied: {source.directory / name_of(2)} has 5 bytes, and the manifest of "
                     f"{name_of(2)} says 1000 bytes"),
        (name_of(1), f"it was not copied: {source.directory / name_of(1)} does not have the SHA-256 that its manifest "
                     "says: the backup itself is damaged. Verify it, and take another one"),
    ]  # fmt: skip
    assert [each["object"] for each in found["actions"]] == [name_of(0)]
    assert [name for name in target.digests() if name.endswith(".manifest.json")] == [f"{name_of(0)}.manifest.json"]
    reported = run_module("backup_copy", {**options, "on_refusal": "report"})
    assert (reported.get("failed", False), len(reported["refused"])) == (False, 2)


def test_files_that_were_lost_there_come_back(run_module: RunModule, make: Make) -> None:
    source, target = make("directory", "first"), make("directory", "second")
    plant_backup(source.options, name_of(0), moment_of(0), members=3)
    run_module("backup_copy", copying(source, target))
    assert target.directory is not None
    (target.directory / name_of(0) / "1001.dat.gz").unlink()
    (target.directory / name_of(0) / "1002.dat.gz").write_bytes(b"cut")
    kept = (target.directory / name_of(0) / "toc.dat").stat().st_ino
    planned = run_module("backup_copy", copying(source, target), check_mode=True)
    done = run_module("backup_copy", copying(source, target))
    assert done["actions"] == planned["actions"]
    assert done["actions"][0]["reason"] == "of its 5 files there, 2 are missing or have another size"
    assert target.digests() == source.digests()
    assert (target.directory / name_of(0) / "toc.dat").stat().st_ino == kept, "what was whole stayed"


def test_what_is_not_ours_is_left_alone(run_module: RunModule, make: Make) -> None:
    source, target = make("directory", "first"), make("directory", "second")
    for back in (0, 1):
        plant_backup(source.options, name_of(back), moment_of(back))
    assert target.directory is not None
    target.directory.mkdir()
    (target.directory / name_of(0)).write_bytes(b"somebody else's")
    plant_backup(target.options, name_of(1), moment_of(1), size=7)
    before = target.digests()
    for check_mode in (True, False):
        found = run_module("backup_copy", {**copying(source, target), "on_refusal": "report"}, check_mode=check_mode)
        assert [(each["object"], each["reason"]) for each in found["refused"]] == [
            (name_of(1), "another backup of that name lies there, taken 2026-01-30T02:00:00Z"),
            (name_of(0), f"{name_of(0)} lies there without a manifest, and no note says that a copy was begun"),
        ]
        assert found["changed"] is False
    assert target.digests() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"newest": 0}, "newest: 0 is not accepted. Accepted: a number above 0."),
        ({"name_pattern": "shop"}, "name_pattern: 'shop' is not accepted."),
        ({"names": ["shop-20260101"]}, "{source}/shop-20260101 is no published backup. Nothing was copied."),
        ({"name_pattern": "bank-%Y%m%d"}, "There is no published backup in {source} that follows bank-%Y%m%d."),
        ({"destination": {"repository": "{source}"}}, "destination.repository: '{source}' is not accepted."),
        ({"destination": {"repository": "second"}}, "repository: 'second' is not accepted."),
        ({"window": ["10:00-11:00"]}, "Nothing was copied: it is Sat 09:00 in UTC, outside the window (10:00-11:00)."),
    ],
    ids=["newest", "pattern", "name", "none", "itself", "relative", "window"],
)
def test_refusals(run_module: RunModule, make: Make, more: dict[str, Any], message: str) -> None:
    source, target = make("directory", "first"), make("directory", "second")
    plant_backup(source.options, name_of(0), moment_of(0))
    told = json.loads(json.dumps(more).replace("{source}", str(source.directory)))
    for check_mode in (True, False):
        found = run_module("backup_copy", copying(source, target, **told), check_mode=check_mode)
        assert found["msg"].startswith(message.replace("{source}", str(source.directory))), found
        assert target.directory is not None and not target.directory.exists()


def test_an_empty_source(run_module: RunModule, make: Make) -> None:
    source, target = make("directory", "first"), make("directory", "second")
    assert run_module("backup_copy", copying(source, target))["msg"].startswith("There is no published backup in ")


FAULTS: dict[str, Fault] = {
    "the first word is refused": Fault(methods=["PUT"], status=403),
    "a part is refused": Fault(methods=["PUT"], query="partNumber=2", status=403),
    "a part is cut": Fault(methods=["PUT"], query="partNumber=1", cut="request", after_bytes=100_000),
    "the end is refused": Fault(methods=["POST"], query="uploadId", status=500),
    "the end is done and nobody hears of it": Fault(methods=["POST"], query="uploadId", cut="done"),
    "it cannot be read again": Fault(f"second/{name_of(0)}", methods=["GET"], status=403),
    "globals are refused": Fault("*.globals.sql", methods=["PUT"], status=403),
    "the manifest is refused": Fault("*.manifest.json", methods=["PUT"], status=503),
    "the manifest cannot be read": Fault("*.manifest.json", methods=["GET"], skip=0, status=500),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_breaks_has_no_half_copy_and_the_next_run_completes_it(
    run_module: RunModule, make: Make, store: S3Server, fault: str
) -> None:
    source, target = make("directory", "first"), make("bucket", "second")
    plant_backup(source.options, name_of(0), moment_of(0), size=33 * 1024 * 1024)
    with S3Faults(store, FAULTS[fault]) as broken:
        through = Place({**target.options, **broken.login()}, store=store)
        told = run_module("backup_copy", copying(source, through))
    assert told.get("failed") is True, told
    assert store.secret_key not in json.dumps(told)
    info = {**target.options, "name_pattern": PATTERN, "reference_time": NOW}
    assert run_module("backup_info", info)["inventory"]["verified_count"] == 0
    after = run_module("backup_copy", copying(source, target))
    assert after["changed"], after
    assert data_of(target.digests()) == data_of(source.digests())
    assert f"{name_of(0)}.pending.json" not in target.digests()
    assert run_module("backup_copy", copying(source, target))["changed"] is False


def test_what_is_left_of_a_copy_whose_original_is_gone_goes(run_module: RunModule, make: Make, store: S3Server) -> None:
    source, target = make("directory", "first"), make("bucket", "second")
    plant_backup(source.options, name_of(1), moment_of(1), members=2)
    with S3Faults(store, Fault("*.globals.sql", methods=["PUT"], status=403)) as broken:
        through = Place({**target.options, **broken.login()}, store=store)
        assert run_module("backup_copy", copying(source, through))["failed"] is True
    assert f"{name_of(1)}/toc.dat" in target.digests()
    assert source.directory is not None
    for path in source.directory.glob(f"{name_of(1)}*.json"):
        path.unlink()
    plant_backup(source.options, name_of(0), moment_of(0))
    planned = run_module("backup_copy", copying(source, target), check_mode=True)
    done = run_module("backup_copy", copying(source, target))
    assert done["actions"] == planned["actions"]
    assert [(each["action"], each["object"]) for each in done["actions"]] == [
        ("remove", name_of(1)), ("copy", name_of(0)),
    ]  # fmt: skip
    assert {name for name in target.digests() if name.startswith(name_of(1))} == set()


def test_a_writer_of_another_host(run_module: RunModule, make: Make) -> None:
    source, target = make("directory", "first"), make("directory", "second")
    plant_backup(source.options, name_of(0), moment_of(0))
    assert target.directory is not None
    target.directory.mkdir()
    now = dt.datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    note = {"kind": "pending", "host": "another", "pid": 1, "started_at": now}
    (target.directory / f"{name_of(0)}.pending.json").write_text(json.dumps(note), encoding="utf-8")
    (target.directory / name_of(0)).write_bytes(bytes_of("half", 500))
    found = run_module("backup_copy", copying(source, target))
    assert "another host is writing it there, or did so a short while ago" in found["msg"]
    assert (target.directory / name_of(0)).stat().st_size == 500
