"""WAL archives that are whole, with holes, damaged, compressed; and the documented archive_command."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.physical import PATTERN, Shop, archive_command, codes, leftovers, shop
from lab.redis_backups import result_of, start_module
from lab.s3 import S3Server

ModuleRunner = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def history() -> Iterator[Shop]:
    """A base backup and four segments behind it."""
    with shop() as made:
        yield made


@pytest.fixture(scope="module")
def taken(run_module: ModuleRunner, history: Shop) -> str:
    name = run_module("postgresql_backup", history.backup_options())["backup"]["name"]
    for _number in range(4):
        history.insert(5)
        history.switch()
    return str(name)


@pytest.fixture
def copy(history: Shop, taken: str, tmp_path: Path) -> Path:
    """A copy of the archive that a test may spoil."""
    assert taken
    place = tmp_path / "wal"
    shutil.copytree(history.archive, place)
    return place


def verified(run_module: ModuleRunner, made: Shop, archive: Path, **more: Any) -> dict[str, Any]:
    options = made.verify_options(wal_archive=str(archive), level="decode", record=False, **more)
    return run_module("postgresql_backup_verify", options)


def names(archive: Path) -> list[str]:
    return sorted(path.name for path in archive.iterdir() if len(path.name) == 24)


def test_a_whole_archive_is_read_to_its_last_commit(run_module: ModuleRunner, history: Shop, copy: Path) -> None:
    proven = verified(run_module, history, copy)
    assert proven["verdict"] == "verified", proven["findings"]
    [artefact] = proven["artefacts"]
    last = history.server.query("SELECT max(id) FROM orders")[0][0]
    assert artefact["window"]["until"] >= history.committed_at(last).replace("+00:00", "Z")
    assert artefact["wal"]["last"] == names(copy)[-1]
    assert artefact["wal"]["segments"] >= 4


def test_29_a_missing_segment_is_a_gap_with_a_lost_window(run_module: ModuleRunner, history: Shop, copy: Path) -> None:
    gone = names(copy)[-3]
    (copy / gone).unlink()
    # What looks at the copy alone sees nothing.
    assert len(names(copy)) > 3
    proven = verified(run_module, history, copy)
    assert (proven["verdict"], codes(proven)) == ("failed", ["wal_gap"])
    [finding] = proven["findings"]
    assert finding["object"] == gone
    assert finding["message"].startswith(f"{gone} is missing in {copy}, and later segments are there. Moments from 2")
    assert finding["message"].endswith("are lost")
    [artefact] = proven["artefacts"]
    # Up to there it still leads.
    assert artefact["wal"]["gaps"] == [{"first": gone, "last": gone, "count": 1}]
    assert artefact["window"]["last_segment"] < gone


@pytest.mark.parametrize("damage", ["flip", "short", "zeros", "other"])
def test_30_a_damaged_segment_is_found_by_reading_it(
    run_module: ModuleRunner, history: Shop, copy: Path, damage: str
) -> None:
    bad = copy / names(copy)[-2]
    data = bytearray(bad.read_bytes())
    # In the middle of the records; behind the last one there are zeros.
    used = len(bytes(data).rstrip(b"\0"))
    if damage == "flip":
        # More than the padding between two records, which nobody reads.
        for at in range(used // 2, used // 2 + 16):
            data[at] ^= 0x01
    elif damage == "short":
        del data[used // 2 :]
    elif damage == "zeros":
        data[:] = bytes(len(data))
    else:
        data = bytearray((copy / names(copy)[-3]).read_bytes())
    bad.write_bytes(data)
    proven = verified(run_module, history, copy)
    assert (proven["verdict"], codes(proven)) == ("failed", ["wal_invalid"])
    assert proven["findings"][0]["object"] in (bad.name, names(copy)[-3])


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_segments_are_read_and_replayed(
    run_module: ModuleRunner, history: Shop, copy: Path, suffix: str
) -> None:
    for name in names(copy):
        path = copy / name
        if suffix == ".gz":
            path.with_name(name + suffix).write_bytes(gzip.compress(path.read_bytes(), 1))
            path.unlink()
        else:
            subprocess.run(["zstd", "-q", "--rm", path], check=True)
    last = history.server.query("SELECT max(id) FROM orders")[0][0]
    proven = run_module(
        "postgresql_backup_verify",
        history.verify_options(
            wal_archive=str(copy),
            level="semantics",
            record=False,
            must_see=[{"query": f"SELECT 1 FROM orders WHERE id = {last}"}],
        ),
    )
    assert proven["verdict"] == "verified", proven["findings"]
    # Cut off, it does not count as a segment that is there.
    bad = next(path for path in copy.iterdir() if path.name == names_of(copy, suffix)[-1])
    bad.write_bytes(bad.read_bytes()[:-200])
    proven = verified(run_module, history, copy)
    assert (proven["verdict"], codes(proven)) == ("failed", ["wal_invalid"])


def names_of(archive: Path, suffix: str) -> list[str]:
    return sorted(path.name for path in archive.iterdir() if path.name.endswith(suffix))


def test_an_archive_in_a_bucket_is_read_and_replayed_without_a_secret_in_sight(
    run_module: ModuleRunner, history: Shop, taken: str, s3_server: S3Server, bucket: str
) -> None:
    assert taken
    client = s3_server.client()
    for path in history.archive.iterdir():
        client.upload_file(str(path), bucket, f"wal/{path.name}")
    # The backups lie in a directory, their WAL in the store: one login for both, where there is one.
    last = history.server.query("SELECT max(id) FROM orders")[0][0]
    options = history.verify_options(
        **s3_server.login(),
        wal_archive=f"s3://{bucket}/wal",
        level="semantics",
        record=False,
        must_see=[{"query": f"SELECT 1 FROM orders WHERE id = {last}"}],
    )
    process = start_module("postgresql_backup_verify", options)
    shown = ""
    while process.poll() is None:
        for entry in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                with contextlib.suppress(OSError):
                    shown += (entry / name).read_text(encoding="utf-8", errors="replace")
        time.sleep(0.1)
    proven = result_of(process)
    assert proven["verdict"] == "verified", proven["findings"]
    assert s3_server.secret_key not in shown
    client.delete_object(Bucket=bucket, Key=f"wal/{history.segments()[-2]}")
    gone = run_module("postgresql_backup_verify", options)
    assert codes(gone)[-1] == "wal_gap"
    assert gone["verdict"] == "failed"


def test_a_backup_for_a_directory_can_be_encrypted(
    run_module: ModuleRunner, history: Shop, taken: str, tmp_path: Path
) -> None:
    assert taken
    key = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", key], check=True, capture_output=True, text=True).stdout.strip()
    repository = tmp_path / "sealed"
    sealed = {"encryption": {"method": "age", "recipients": [public]}, "repository": str(repository)}
    done = run_module("postgresql_backup", history.backup_options(**sealed))
    assert done["changed"], done
    names_there = sorted(path.name for path in (repository / done["backup"]["name"]).iterdir())
    assert names_there == ["backup_manifest.age", "base.tar.gz.age", "pg_wal.tar.gz.age"]
    assert leftovers(repository) == []
    options = history.verify_options(repository=str(repository), level="decode", wal_archive="")
    proven = run_module("postgresql_backup_verify", {**options, "decryption": {"identity_file": str(key)}})
    assert proven["verdict"] == "verified", proven["findings"]


def test_an_archive_of_another_cluster_or_without_segments_is_no_verdict(
    run_module: ModuleRunner, history: Shop, taken: str, tmp_path: Path
) -> None:
    assert taken
    empty = tmp_path / "empty"
    empty.mkdir()
    proven = verified(run_module, history, empty)
    assert (proven["verdict"], codes(proven)) == ("error", ["wal_unreadable"])
    alien = tmp_path / "alien"
    alien.mkdir()
    source = history.archive / history.segments()[-1]
    data = bytearray(source.read_bytes())
    data[24] ^= 0xFF
    (alien / source.name).write_bytes(data)
    proven = verified(run_module, history, alien)
    assert (proven["verdict"], codes(proven)) == ("error", ["identity_mismatch"])


# --- the documented archive_command


def archived(command: str, segment: Path) -> int:
    """Run the command as the server does; its exit status."""
    line = command.replace("%p", str(segment)).replace("%f", segment.name)
    return subprocess.run(["sh", "-c", line], check=False, capture_output=True).returncode


def test_the_documented_archive_command_never_overwrites_and_may_be_repeated(tmp_path: Path) -> None:
    archive, source = tmp_path / "wal", tmp_path / "pg_wal"
    archive.mkdir()
    source.mkdir()
    command = archive_command(archive)
    segment = source / "000000010000000000000001"
    segment.write_bytes(b"one" * 1000)
    assert archived(command, segment) == 0
    assert (archive / segment.name).read_bytes() == segment.read_bytes()
    # A crash between the copy and the answer has the server repeat it.
    assert archived(command, segment) == 0
    # Half a copy of a run that was killed is in nobody's way.
    (archive / f".{segment.name}.tmp").write_bytes(b"half")
    assert archived(command, segment) == 0
    segment.write_bytes(b"two" * 1000)
    assert archived(command, segment) != 0
    assert (archive / segment.name).read_bytes() == b"one" * 1000
    (archive / segment.name).unlink()
    assert archived(command, segment) == 0
    assert [path.name for path in archive.iterdir()] == [segment.name]
    # The manual's way takes the second one for the first.
    assert archived(f"cp %p {archive}/%f", source / segment.name) == 0
    segment.write_bytes(b"six" * 1000)
    assert archived(f"cp %p {archive}/%f", segment) == 0
    assert (archive / segment.name).read_bytes() == b"six" * 1000
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", full], check=True)
    try:
        segment.write_bytes(b"x" * 100_000)
        assert archived(archive_command(full), segment) != 0
        assert not (full / segment.name).exists()
    finally:
        subprocess.run(["umount", full], check=True)


# --- last, because it takes backups, which add to the archive


@pytest.mark.parametrize("level", ["decode", "semantics"])
def test_a_backup_with_a_gap_behind_it_stays_good_for_its_own_moment(
    run_module: ModuleRunner, history: Shop, copy: Path, taken: str, tmp_path: Path, level: str
) -> None:
    """The gap is told by everybody, and nobody deletes the backup for it; one with damaged files is deleted."""
    gone = names(copy)[-3]
    (copy / gone).unlink()
    repository = tmp_path / "repository"
    shutil.copytree(history.repository, repository)
    newer = run_module("postgresql_backup", history.backup_options(repository=str(repository)))["backup"]["name"]
    place = {"repository": str(repository), "wal_archive": str(copy), "level": level}
    asked = {"must_see": [{"query": "SELECT 1 FROM orders WHERE id = 1"}]} if level == "semantics" else {}
    for name, seen in {taken: ("failed", ["wal_gap"], True), newer: ("verified", [], True)}.items():
        # The newer one needs no WAL but its own: the archive does not go on behind the gap.
        options = history.verify_options(**place, name=name, **asked)
        proven = run_module("postgresql_backup_verify", options if name == taken else {**options, "wal_archive": ""})
        [artefact] = proven["artefacts"]
        assert (proven["verdict"], codes(proven), artefact["is_restorable"]) == seen, proven["findings"]
    series = {"repository": str(repository), "name_pattern": PATTERN}
    told = run_module("backup_info", series)
    [old] = [each["verified"] for each in told["artefacts"] if each["name"] == taken]
    assert (old["verdict"], old["is_proven"], old["is_restorable"]) == ("failed", False, True)
    assert f"{gone} is missing" in old["reason"]
    assert told["inventory"]["verified_count"] == 1
    pruned = run_module("backup_prune", {**series, "daily": 1, "min_keep": 2, "rpo": "1d"})
    assert pruned["actions"] == []
    [kept] = [each for each in pruned["kept"] if each["name"] == taken]
    assert kept["state"] == "good"
    assert kept["reasons"][-1].startswith(f"good for its own moment only (decode: {gone} is missing in {copy}")

    base = repository / taken / "base.tar.gz"
    data = bytearray(base.read_bytes())
    data[len(data) // 2] ^= 0x10
    base.write_bytes(data)
    bad = run_module("postgresql_backup_verify", history.verify_options(**place, name=taken))
    assert (bad["verdict"], bad["artefacts"][0]["is_restorable"]) == ("failed", False)
    pruned = run_module("backup_prune", {**series, "daily": 1, "min_keep": 2, "rpo": "1d"})
    assert [(each["object"], each["state"]) for each in pruned["actions"]] == [(taken, "bad")]
