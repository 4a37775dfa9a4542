"""Base backups that are killed whenever: what looks like a backup is one, and the next run leaves nothing else."""

from __future__ import annotations

import json
import random
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.backup_runs import names_in, sha256_of, whole
from lab.killing import kill_after, module_killed_before, usual_seconds
from lab.physical import PATTERN, Shop, codes, eventually, leftovers, shop
from lab.redis_backups import result_of, start_module
from lab.s3 import S3Server

ModuleRunner = Callable[..., dict[str, Any]]
KILLS = 20


@pytest.fixture(scope="module")
def made() -> Iterator[Shop]:
    with shop() as one:
        yield one


@pytest.fixture(autouse=True)
def temporary(made: Shop, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where modules of this test, and of no other, make what is only for a while."""
    place = Path(tempfile.mkdtemp(prefix="tmp-", dir=made.place))
    place.chmod(0o1777)
    monkeypatch.setenv("TMPDIR", str(place))
    return place


def scratch(temporary: Path) -> list[str]:
    """What is there and of ours.

    Python tries a directory out with a file of eight letters before it makes anything there; a process that is killed
    in that moment leaves it, and nobody can know whose it is.
    """
    probe = re.compile(r"[a-z0-9_]{8}")
    left = (path for path in temporary.iterdir() if not path.name.endswith(".lock"))
    return [path.name for path in left if not (probe.fullmatch(path.name) and path.is_file())]


def moment(number: int) -> str:
    """Every run has a name of its own."""
    return f"2026-01-31T00:{number:02}:00Z"


def kill_backup_after(made: Shop, options: dict[str, Any], seconds: float) -> None:
    """Nothing of it goes on here, nor in the server."""
    kill_after(seconds, "postgresql_backup", options)
    eventually(lambda: made.server.psql("SELECT count(*) FROM pg_replication_slots") == "0", "its slot is gone")


def nothing_else_is_left(made: Shop, place: Path, temporary: Path) -> None:
    """Only files of whole backups, no scratch place, no session."""
    kept = whole(place)
    assert {name.split("/")[0].removesuffix(".manifest.json") for name in names_in(place)} == set(kept)
    assert [path.name for path in place.iterdir() if path.is_dir() and path.name not in kept] == []
    eventually(lambda: leftovers(temporary) == [], "scratch places are gone")
    assert scratch(temporary) == []
    left = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'runbook.ops%' OR backend_type = 'walsender'"
    )
    eventually(lambda: made.server.psql(left) == "0", "no session of ours goes on")


def test_twenty_kills_leave_a_directory_with_whole_backups_only(
    run_module: ModuleRunner, made: Shop, tmp_path: Path, temporary: Path
) -> None:
    chance = random.Random(62)

    def options(number: int) -> dict[str, Any]:
        return made.backup_options(repository=str(tmp_path), reference_time=moment(number))

    usual = usual_seconds(lambda: run_module("postgresql_backup", options(0)))
    for number in range(1, KILLS + 1):
        kill_backup_after(made, options(number), usual * (number - chance.random()) / KILLS)
        whole(tmp_path)
    assert run_module("postgresql_backup", options(59))["changed"]
    nothing_else_is_left(made, tmp_path, temporary)


def objects_are_whole(store: S3Server, bucket: str) -> None:
    """Every object belongs to a backup with a manifest and is as that says, and nothing is half uploaded."""
    client = store.client()
    listed = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    expected = set()
    for key in listed:
        if key.endswith(".manifest.json"):
            name = key.removesuffix(".manifest.json")
            members = json.loads(client.get_object(Bucket=bucket, Key=key)["Body"].read())["members"]
            expected |= {key, *(f"{name}/{each}" for each in members)}
            for each, part in members.items():
                body = client.get_object(Bucket=bucket, Key=f"{name}/{each}")["Body"].read()
                assert sha256_of(body) == part["sha256"], each
    assert set(listed) == expected
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_twenty_kills_leave_a_bucket_with_whole_backups_only(
    run_module: ModuleRunner, made: Shop, store: S3Server, make_bucket: Callable[..., str], temporary: Path
) -> None:
    chance = random.Random(63)
    bucket = make_bucket("Enabled")

    def options(number: int) -> dict[str, Any]:
        # Not compressed, so that it is uploaded in parts.
        more = {"basebackup": {"compression": "none"}, "reference_time": moment(number)}
        return made.backup_options(repository=f"s3://{bucket}", **store.login(), **more)

    usual = usual_seconds(lambda: run_module("postgresql_backup", options(0)))
    for number in range(1, KILLS + 1):
        kill_backup_after(made, options(number), usual * (number - chance.random()) / KILLS)
    last = run_module("postgresql_backup", options(59))
    assert last["changed"], last
    objects_are_whole(store, bucket)
    eventually(lambda: leftovers(temporary) == [], "scratch places are gone")
    assert scratch(temporary) == []


@pytest.mark.parametrize(
    ("place", "step", "is_backup"),
    [
        pytest.param("base-20260131T000000", 1, False, id="before its note has its name"),
        pytest.param("base-20260131T000000", 2, False, id="before its directory has its name"),
        pytest.param(".base-20260131T000000.manifest.json", 1, False, id="before it has its manifest"),
        pytest.param("base-20260131T000000.pending.json", 2, True, id="before its note is taken away"),
    ],
)
def test_a_backup_that_is_killed_at_its_last_steps(
    run_module: ModuleRunner, made: Shop, tmp_path: Path, temporary: Path, place: str, step: int, is_backup: bool
) -> None:
    options = made.backup_options(repository=str(tmp_path), reference_time=moment(0))
    assert module_killed_before("postgresql_backup", options, step, [tmp_path / place])
    assert bool(whole(tmp_path)) is is_backup
    verify = made.verify_options(repository=str(tmp_path), level="bytes", record=False)
    assert codes(run_module("postgresql_backup_verify", verify)) == ([] if is_backup else ["no_artefact"])
    told = run_module("backup_info", {"repository": str(tmp_path), "name_pattern": PATTERN})
    assert [each["manifest"] is not None for each in told["artefacts"]] in ([[True]] if is_backup else [[], [False]])
    # The same name once more, and another one: both find what was left.
    again = {**options, "reference_time": moment(1 if is_backup else 0)}
    planned = run_module("postgresql_backup", again, check_mode=True)
    assert planned["changed"], planned
    done = run_module("postgresql_backup", again)
    assert done["changed"], done
    removed = "Removed what a run that was killed had left: base-20260131T000000."
    assert (removed in done["notes"]) is not is_backup
    nothing_else_is_left(made, tmp_path, temporary)


def test_a_stopped_backup_says_so_and_cleans_up(made: Shop, tmp_path: Path, temporary: Path) -> None:
    options = made.backup_options(repository=str(tmp_path), basebackup={"max_rate": "2M"})
    process = start_module("postgresql_backup", options)
    eventually(lambda: leftovers(tmp_path) != [], "it copies")
    process.send_signal(signal.SIGTERM)
    told = result_of(process)
    assert told["failed"]
    assert "Stopped by signal SIGTERM" in told["msg"]
    nothing_else_is_left(made, tmp_path, temporary)
