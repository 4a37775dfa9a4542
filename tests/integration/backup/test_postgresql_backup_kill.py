"""Killing, cutting, refusing: what looks like a backup is one, and the next run leaves nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.backup_database import DATABASE, build_backup_database
from lab.backup_runs import backup_options, names_in, sha256_of, whole
from lab.postgresql import PostgresServer
from lab.process import descendants
from lab.redis_backups import eventually, result_of, start_module
from lab.s3 import S3Server
from lab.s3_faults import Fault, S3Faults

ModuleRunner = Callable[..., dict[str, Any]]
KILLS = 20
OURS = "application_name LIKE 'runbook.ops postgresql_backup%'"
# One rule for all formats: a run removes what runs of its own rule left.
RULE = {"name_pattern": "shop-%Y%m%d-%H%M%S"}
PLAIN = {"format": "plain", **RULE}
DIRECTORY = {"format": "directory", "jobs": 2, **RULE}


@pytest.fixture(scope="module")
def shop() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        build_backup_database(server, 45)
        yield server


@pytest.fixture(scope="module")
def recipient(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("age") / "key.txt"
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    told = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True)
    return told.stdout.strip()


def moment(number: int) -> str:
    """Every run has a name of its own, and those of the last ones come last."""
    return f"2026-01-31T00:{number:02}:00Z"


def seconds_of(run: Callable[[], dict[str, Any]]) -> float:
    began = time.monotonic()
    assert run()["changed"]
    return time.monotonic() - began


def kill_child(module: subprocess.Popen[str], name: str, patience: float) -> None:
    """Kill a program of the module's as soon as it is there, and a moment has passed."""
    until = time.monotonic() + 240
    while module.poll() is None and time.monotonic() < until:
        for each in descendants(module.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{each.pid}/comm").read_text(encoding="ascii").strip() == name:
                    time.sleep(patience)
                    os.kill(each.pid, signal.SIGKILL)
                    return
        time.sleep(0.005)


def end_sessions(server: PostgresServer, program: str, module: subprocess.Popen[str], patience: float) -> None:
    """End pg_dump's session, or those that count."""
    which = "query LIKE 'COPY%'" if program == "pg_dump" else "query NOT LIKE 'COPY%' AND state <> 'idle'"
    statement = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {OURS} AND {which}"
    until = time.monotonic() + 240
    while module.poll() is None and time.monotonic() < until:
        if server.query(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS} AND {which}")[0][0]:
            time.sleep(patience)
            server.query(statement)
            return


def nothing_is_left(server: PostgresServer, place: Path) -> None:
    """Only files of whole backups, and no session."""
    kept = whole(place)
    for name in names_in(place):
        assert any(name.startswith(each) for each in kept), f"{name} was left"
        assert ".partial" not in name
        assert not name.endswith(".pending.json")
    assert server.query(f"SELECT pid, query FROM pg_stat_activity WHERE {OURS}") == []
    assert server.query("SELECT slot_name FROM pg_replication_slots") == []


def test_twenty_kills_leave_a_directory_with_whole_backups_only(
    run_module: ModuleRunner, shop: PostgresServer, tmp_path: Path, recipient: str
) -> None:
    chance = random.Random(61)
    encryption = {"method": "age", "recipients": [recipient]}
    kinds: list[dict[str, Any]] = [RULE, {**PLAIN, "encryption": encryption}, DIRECTORY]
    usual = seconds_of(
        lambda: run_module("postgresql_backup", backup_options(shop, tmp_path, **{**RULE, "reference_time": moment(0)}))
    )
    outcomes = []
    for number in range(1, KILLS + 1):
        how = ("module", "pg_dump", "age", "dump session", "census session")[number % 5]
        kind = kinds[1] if how == "age" else kinds[number % 3]
        module = start_module(
            "postgresql_backup", backup_options(shop, tmp_path, **{**kind, "reference_time": moment(number)})
        )
        patience = chance.random() * usual / 3
        if how == "module":
            time.sleep(chance.random() * usual)
            module.kill()
            module.wait()
        elif how in ("pg_dump", "age"):
            kill_child(module, how, patience)
        else:
            end_sessions(shop, "pg_dump" if how == "dump session" else "census", module, patience)
        if how == "module":
            module.communicate()
        else:
            told = result_of(module)
            outcomes.append(bool(told.get("failed")))
            assert told.get("failed") or told["changed"]
            nothing_is_left(shop, tmp_path)
        whole(tmp_path)
    assert any(outcomes), "some of them hit"
    last = run_module("postgresql_backup", backup_options(shop, tmp_path, **{**RULE, "reference_time": moment(59)}))
    assert last["changed"], last
    nothing_is_left(shop, tmp_path)


def whole_objects(store: S3Server, bucket: str) -> list[str]:
    """The artefacts of a bucket that have a manifest, each compared with it."""
    client = store.client()
    found = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for each in page.get("Contents", []):
            if not each["Key"].endswith(".manifest.json"):
                continue
            name = each["Key"].removesuffix(".manifest.json")
            manifest = json.loads(client.get_object(Bucket=bucket, Key=each["Key"])["Body"].read())
            parts = {f"{name}/{part}": entry["sha256"] for part, entry in manifest["members"].items()}
            for key, digest in (parts or {name: manifest["sha256"]}).items():
                assert sha256_of(client.get_object(Bucket=bucket, Key=key)["Body"].read()) == digest, key
            found.append(name)
    return found


FAULTS: dict[str, Fault] = {
    "the first word is refused": Fault(methods=["PUT"], status=403),
    "a part is refused": Fault(methods=["PUT"], query="partNumber=2", status=403),
    "a part breaks": Fault(methods=["PUT"], query="partNumber=1", status=500),
    "a part is cut": Fault(methods=["PUT"], query="partNumber=2", cut="request", after_bytes=100_000),
    "a part is cut off before its answer": Fault(methods=["PUT"], query="partNumber=1", cut="done"),
    "the end is refused": Fault(methods=["POST"], query="uploadId", status=500),
    "the end is done and nobody hears of it": Fault(methods=["POST"], query="uploadId", cut="done"),
    "globals are refused": Fault("*.globals.sql", methods=["PUT"], status=403),
    "the manifest is refused": Fault("*.manifest.json", methods=["PUT"], status=503),
    "the manifest is written and nobody hears of it": Fault("*.manifest.json", methods=["PUT"], cut="done"),
    "the manifest cannot be read": Fault("*.manifest.json", methods=["GET"], skip=0, status=500),
    "nothing can be deleted": Fault("*.globals.sql", methods=["PUT"], status=403),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_breaks_never_has_half_a_backup(
    run_module: ModuleRunner, shop: PostgresServer, store: S3Server, make_bucket: Callable[..., str], fault: str
) -> None:
    bucket = make_bucket()
    more = [Fault(methods=["DELETE"], status=403)] if fault == "nothing can be deleted" else []
    with S3Faults(store, FAULTS[fault], *more) as broken:
        told = run_module("postgresql_backup", backup_options(shop, f"s3://{bucket}", **{**broken.login(), **PLAIN}))
        assert told.get("failed") is True, told
        assert store.secret_key not in json.dumps(told["msg"])
    left = store.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    if fault != "nothing can be deleted":
        assert left == []
        assert "Uploads" not in store.client().list_multipart_uploads(Bucket=bucket)
        return
    assert left, "it could not take anything along"
    assert whole_objects(store, bucket) == []
    options = backup_options(shop, f"s3://{bucket}", **{**store.login(), **PLAIN, "reference_time": moment(1)})
    after = run_module("postgresql_backup", options)
    assert after["changed"], after
    assert after["notes"] == ["Removed what a run that was killed had left: shop-20260131-000000."]
    objects_are_whole(store, bucket)


def objects_are_whole(store: S3Server, bucket: str) -> None:
    client = store.client()
    kept = whole_objects(store, bucket)
    for each in client.list_objects_v2(Bucket=bucket)["Contents"]:
        assert each["Key"].startswith(tuple(kept)), f"{each['Key']} was left"
        assert not each["Key"].endswith(".pending.json")
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def test_twenty_kills_leave_a_bucket_with_whole_backups_only(
    run_module: ModuleRunner, shop: PostgresServer, store: S3Server, make_bucket: Callable[..., str], tmp_path: Path
) -> None:
    chance = random.Random(62)
    bucket = make_bucket("Enabled")

    def options(number: int) -> dict[str, Any]:
        kind = DIRECTORY if number % 4 == 3 else PLAIN
        more = {**store.login(), **kind, "work_directory": str(tmp_path), "reference_time": moment(number)}
        return backup_options(shop, f"s3://{bucket}", **more)

    usual = seconds_of(lambda: run_module("postgresql_backup", options(0)))
    for number in range(1, KILLS + 1):
        module = start_module("postgresql_backup", options(number))
        time.sleep(usual * (0.2 + 0.8 * chance.random()))
        module.kill()
        module.communicate()
    last = run_module("postgresql_backup", options(60 - 4))
    assert last["changed"], last
    objects_are_whole(store, bucket)
    assert list(tmp_path.iterdir()) == []
    eventually(lambda: shop.query(f"SELECT pid FROM pg_stat_activity WHERE {OURS}") == [], "no session of ours goes on")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_run_that_is_asked_to_end_takes_everything_along(
    shop: PostgresServer, tmp_path: Path, number: signal.Signals
) -> None:
    place = tmp_path / "kept"
    connection = shop.connect(DATABASE, autocommit=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE public.products IN ACCESS EXCLUSIVE MODE")
        module = start_module("postgresql_backup", backup_options(shop, place))
        eventually(lambda: shop.query(f"SELECT count(*) FROM pg_stat_activity WHERE {OURS}")[0][0] > 1, "it is at work")
        module.send_signal(number)
        told = result_of(module)
    finally:
        connection.close()
    assert told["failed"] is True
    assert told["msg"] == f"Stopped by signal {number.name}"
    assert names_in(place) == []
    assert shop.query(f"SELECT pid FROM pg_stat_activity WHERE {OURS}") == []
