"""redis_backup and redis_backup_verify against real servers, real queues, and everything that can go wrong."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from lab.process import descendants
from lab.redis import RedisServer, binaries
from lab.redis_backups import (
    PASSWORD,
    backup_options,
    backups_in,
    changing_commands,
    eventually,
    manifest_of,
    queue,
    result_of,
    run_limited,
    start_module,
)
from lab.s3 import S3Server

ModuleRunner = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module", params=sorted(binaries()))
def any_shop(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """One server of each version with two databases and a queue with several states."""
    with RedisServer(binary=request.param, password=PASSWORD, settings={"repl-diskless-sync-delay": 0}) as server:
        fill(server)
        yield server


@pytest.fixture(scope="module")
def shop() -> Iterator[RedisServer]:
    """The same on the preferred version, for the tests of what can go wrong."""
    with RedisServer(password=PASSWORD) as server:
        fill(server)
        yield server


def fill(server: RedisServer) -> None:
    jobs = [{"name": "letter", "data": {"number": number}} for number in range(20)]
    later = [{"name": "later", "opts": {"delay": 3_600_000}} for number in range(3)]
    bad = [{"name": "bad", "data": {"fail": "no such address"}} for number in range(2)]
    mail = queue(server)
    mail.ask("add", jobs=[*bad, {"name": "good"}])
    mail.ask("drainByWork")
    mail.ask("add", jobs=[*jobs, *later])
    with server.client(db=3) as client, client.pipeline() as pipe:
        for number in range(500):
            pipe.set(f"page:{number}", "x" * 50)
        pipe.set(b"\xff\xfe", b"\x80\x81")
        pipe.execute()


STATES = {"waiting": [20, 20], "delayed": [3, 3], "failed": [2, 2], "completed": [1, 1]}


def states_of(manifest: dict[str, Any], name: str = "mail") -> dict[str, Any]:
    [found] = [each for each in manifest["queues"] if each["name"] == name]
    return {state: limits for state, limits in found["states"].items() if limits != [0, 0]}


# --- the main path, on every version


@pytest.mark.parametrize("method", ["file", "stream"])
def test_a_backup_is_proven_and_holds_what_the_server_has(
    run_module: ModuleRunner, any_shop: RedisServer, tmp_path: Path, method: str
) -> None:
    options = backup_options(any_shop, tmp_path / "kept", method=method)
    before = changing_commands(any_shop)
    check = run_module("redis_backup", options, check_mode=True, diff=True)
    assert check["changed"]
    assert check["after"] is None
    assert changing_commands(any_shop) == before
    assert not (tmp_path / "kept").exists()

    real = run_module("redis_backup", options, diff=True)
    assert real["changed"], real
    assert real["actions"] == check["actions"]
    assert [each["action"] for each in real["actions"]] == ["save", "copy", "verify"]
    backup = real["backup"]
    assert backup["verification"]["verdict"] == "verified"
    assert backup["verification"]["level"] == "queues"
    path = Path(backup["path"])
    assert backups_in(tmp_path / "kept") == [path.name, f"{path.name}.manifest.json"]
    assert [oct(each.stat().st_mode & 0o777) for each in (path, Path(backup["manifest"]))] == ["0o600", "0o600"]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == backup["sha256"] == manifest_of(path)["sha256"]
    # What redis-cli and the library say.
    keys = {each["db"]: each["keys"] for each in backup["databases"]}
    client = any_shop.client()
    assert keys == {0: [client.dbsize()] * 2, 3: [501, 501]}
    assert states_of(manifest_of(path)) == STATES
    assert {state: count for state, count in queue(any_shop).ask("counts").items() if count} == {
        state: limits[0] for state, limits in STATES.items()
    }
    used = client.info("commandstats")
    assert "cmdstat_save" not in used
    assert "cmdstat_keys" not in used
    assert PASSWORD not in json.dumps([check["backup"], real["backup"], manifest_of(path)])

    if method == "stream":
        return
    young = run_module("redis_backup", {**options, "max_age": "1h"})
    assert not young["changed"]
    assert young["actions"] == []
    assert young["after"]["path"] == str(path)
    again = run_module("redis_backup", options)
    assert again["changed"]
    assert len(backups_in(tmp_path / "kept")) == 4
    proven = run_module(
        "redis_backup_verify",
        {"directory": str(tmp_path / "kept"), "name": "shop", "max_age": "1h", "server_binary": str(any_shop.binary)},
    )
    assert proven["verdict"] == "verified", proven
    assert proven["backup"] == again["backup"]["path"]
    assert proven["changed"] is False
    live = run_module("redis_backup_verify", {**any_shop.login(), "path": str(path), "against": "live"})
    assert live["verdict"] == "verified", live


def test_keys_that_expire_are_counted_to_the_key(run_module: ModuleRunner, tmp_path: Path) -> None:
    with RedisServer() as server:
        client = server.client()
        with client.pipeline() as pipe:
            pipe.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
            for number in range(200):
                pipe.set(f"session:{number}", "x", px=1)
            pipe.execute()
        assert client.dbsize() == 200
        # Looking for queues would delete those that SCAN comes across.
        taken = run_module("redis_backup", backup_options(server, tmp_path, queue_counts=False))
        assert taken["backup"]["databases"] == [{"db": 0, "keys": [200, 200], "expires": 200}]
        # A server that lives deletes them, and that is no loss.
        client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        eventually(lambda: client.dbsize() == 0, "expired keys are deleted")
        options = {**server.login(), "path": taken["backup"]["path"], "against": "live", "queue_counts": False}
        live = run_module("redis_backup_verify", options)
        assert live["verdict"] == "verified"


# --- under way: others save, rewrite, and kill


@pytest.fixture
def slow() -> Iterator[RedisServer]:
    """A server whose children take a second and more: they pause after every key."""
    with RedisServer(settings={"rdb-key-save-delay": 800}) as server:
        client = server.client()
        with client.pipeline() as pipe:
            for number in range(1500):
                pipe.set(f"page:{number}", number)
            pipe.execute()
        yield server


def in_progress(server: RedisServer, name: str = "rdb_bgsave_in_progress") -> bool:
    return bool(server.client().info("persistence")[name])


@pytest.mark.parametrize(
    ("command", "flag"), [("BGSAVE", "rdb_bgsave_in_progress"), ("BGREWRITEAOF", "aof_rewrite_in_progress")]
)
def test_what_others_began_is_waited_for_and_ours_holds_what_came_since(
    run_module: ModuleRunner, slow: RedisServer, tmp_path: Path, command: str, flag: str
) -> None:
    client = slow.client()
    client.execute_command(command)
    eventually(lambda: in_progress(slow, flag), command)
    client.set("after", "the others began")
    taken = run_module("redis_backup", backup_options(slow, tmp_path))
    assert taken["changed"], taken
    assert taken["backup"]["databases"] == [{"db": 0, "keys": [1501, 1501], "expires": 0}]
    assert client.info("stats")["total_forks"] == 2


def test_a_save_that_takes_too_long_is_not_copied(run_module: ModuleRunner, slow: RedisServer, tmp_path: Path) -> None:
    slow.client().config_set("rdb-key-save-delay", 4000)
    late = run_module("redis_backup", backup_options(slow, tmp_path, save_timeout=0.3))
    assert late["failed"]
    assert "is not done after 0.3 s (save_timeout). It goes on by itself; nothing was copied." in late["msg"]
    assert backups_in(tmp_path) == []
    busy = run_module("redis_backup", backup_options(slow, tmp_path, save_timeout=0.3))
    assert "has been busy with a save that others began for 0.3 s (save_timeout)" in busy["msg"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, "failed (rdb_last_bgsave_status: err)"),
        # As FLUSHALL and SHUTDOWN do: the status stays ok, before, during and afterwards.
        (signal.SIGUSR1, "ended without replacing"),
    ],
    ids=["SIGKILL", "SIGUSR1"],
)
def test_a_child_that_is_killed_gives_no_backup(
    slow: RedisServer, tmp_path: Path, number: signal.Signals, message: str
) -> None:
    running = start_module("redis_backup", backup_options(slow, tmp_path))
    eventually(lambda: in_progress(slow), "BGSAVE")
    assert slow.client().info("persistence")["rdb_last_bgsave_status"] == "ok", "what a naive check believes"
    [child] = descendants(slow.pid or 0)
    child.send(number)
    result = result_of(running)
    assert result["failed"]
    assert message in result["msg"]
    assert backups_in(tmp_path) == []


def test_two_saves_within_a_second(run_module: ModuleRunner, shop: RedisServer, tmp_path: Path) -> None:
    """LASTSAVE cannot tell them apart; the file's identity does."""
    client = shop.client(db=3)

    def save_and_wait() -> int:
        forks = client.info("stats")["total_forks"]
        client.bgsave()
        eventually(lambda: not in_progress(shop) and client.info("stats")["total_forks"] > forks, "save")
        return int(client.info("persistence")["rdb_last_save_time"])

    eventually(lambda: save_and_wait() == save_and_wait(), "LASTSAVE is the same after two saves")
    client.set("between", "1")
    taken = run_module("redis_backup", backup_options(shop, tmp_path))
    client.delete("between")
    assert [each["keys"] for each in taken["backup"]["databases"] if each["db"] == 3] == [[502, 502]]


def test_a_second_run_at_the_same_time_is_refused(run_module: ModuleRunner, slow: RedisServer, tmp_path: Path) -> None:
    running = start_module("redis_backup", backup_options(slow, tmp_path))
    eventually(lambda: in_progress(slow), "BGSAVE")
    # It holds its lock for as long as the second run takes to come, however slow the machine is.
    running.send_signal(signal.SIGSTOP)
    second = run_module("redis_backup", backup_options(slow, tmp_path))
    running.send_signal(signal.SIGCONT)
    assert second["msg"] == (f"Another run is backing up shop to {tmp_path}. Wait for it to end, then run this again.")
    assert result_of(running)["backup"]["verification"]["verdict"] == "verified"


def test_an_interrupted_run_leaves_no_file_and_no_server(slow: RedisServer, tmp_path: Path) -> None:
    running = start_module("redis_backup", backup_options(slow, tmp_path))
    eventually(lambda: in_progress(slow), "BGSAVE")
    running.send_signal(signal.SIGTERM)
    result = result_of(running)
    assert result["msg"] == "Stopped by signal SIGTERM"
    assert backups_in(tmp_path) == []


def test_save_stops_the_server_and_ours_does_not(run_module: ModuleRunner, slow: RedisServer, tmp_path: Path) -> None:
    """The manual's SAVE holds every client up for as long as it writes: each of 1,500 keys takes 800 us here."""
    client = slow.client(socket_timeout=60)
    taken = run_module("redis_backup", backup_options(slow, tmp_path))
    assert taken["backup"]["verification"]["verdict"] == "verified"
    ours = client.info("commandstats")
    assert "cmdstat_save" not in ours
    longest = max(each["usec"] / each["calls"] for each in ours.values())
    client.save()
    manual = client.info("commandstats")["cmdstat_save"]["usec"]
    assert manual >= 1500 * 800
    assert longest < manual


# --- full disks


def test_a_disk_without_room_is_refused_beforehand(run_module: ModuleRunner, shop: RedisServer, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(small)], check=True)
    try:
        before = changing_commands(shop)
        refused = run_module("redis_backup", backup_options(shop, small))
        assert refused["msg"].startswith(f"{small} has 8 KiB free, and the backup needs up to ")
        assert refused["msg"].endswith("Nothing was touched. Make room, or choose another place.")
        assert changing_commands(shop) == before
        assert backups_in(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(shop: RedisServer, tmp_path: Path) -> None:
    result = run_limited("redis_backup", backup_options(shop, tmp_path), file_bytes=8192)
    assert result["failed"]
    assert "Cannot write" in result["msg"]
    assert "File too large" in result["msg"]
    assert backups_in(tmp_path) == []


def test_a_full_disk_of_the_server(run_module: ModuleRunner, tmp_path: Path) -> None:
    with RedisServer() as server:
        client = server.client()
        client.set("large", os.urandom(100_000))
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=10000:"], check=True)
        result = run_module("redis_backup", backup_options(server, tmp_path))
        assert "failed (rdb_last_bgsave_status: err): its disk is full, or the child was killed" in result["msg"]
        assert backups_in(tmp_path) == []


# --- who may, and where


def test_guards(run_module: ModuleRunner, shop: RedisServer, tmp_path: Path) -> None:
    options = backup_options(shop, tmp_path)
    before = changing_commands(shop)
    window = {"window": ["Sun 02:00-03:00"], "reference_time": "2026-01-28T12:00:00Z"}
    refused = run_module("redis_backup", {**options, **window})
    assert refused["msg"] == (
        "No backup was taken: it is Wed 12:00 in UTC, outside the window (Sun 02:00-03:00). Run it within the window."
    )
    assert [each["action"] for each in refused["actions"]] == ["save", "copy", "verify"]
    away = run_module("redis_backup", {**options, "data_directory": str(tmp_path / "nowhere")})
    assert f"The data directory {tmp_path / 'nowhere'} of {shop.host}:{shop.port} cannot be read here." in away["msg"]
    assert "use method=stream" in away["msg"]
    assert changing_commands(shop) == before
    # Somebody else's directory: only the save shows it.
    other = tmp_path / "other"
    other.mkdir()
    wrong = run_module("redis_backup", {**options, "data_directory": str(other)})
    assert "or this is not the file of that server: check data_directory" in wrong["msg"]
    assert backups_in(tmp_path) == ["other"]


@pytest.mark.parametrize(
    ("option", "value", "accepted"),
    [
        ("name", "../shop", "letters, digits, dots, dashes and underscores, such as storebridge"),
        ("copy_on_write_percent", 101, "a number from 0 to 100"),
        ("save_timeout", 0, "a number of seconds greater than 0"),
        ("verify_timeout", -1, "a number of seconds greater than 0"),
        ("max_age", "soon", "a whole number of seconds"),
        ("dbfilename", "a/b", "a file's name without a directory"),
        ("prefix", "redis/", "together with bucket"),
        ("server_binary", "/bin/true", "a redis-server or valkey-server"),
    ],
)
def test_bad_options_are_named(
    run_module: ModuleRunner, shop: RedisServer, tmp_path: Path, option: str, value: object, accepted: str
) -> None:
    result = run_module("redis_backup", backup_options(shop, tmp_path, **{option: value}))
    assert result["msg"].startswith(f"{option}: ")
    assert f"is not accepted. Accepted: {accepted}" in result["msg"]


def test_missing_permissions_are_named_before_anything(
    run_module: ModuleRunner, shop: RedisServer, tmp_path: Path
) -> None:
    client = shop.client()
    client.execute_command(
        "ACL", "SETUSER", "clerk", "on", ">let me in", "~*", "&*", "+@all", "-bgsave", "-sync", "-replconf"
    )
    login = {"login_user": "clerk", "login_password": "let me in"}
    try:
        for method, missing in (("file", "+bgsave"), ("stream", "+sync +replconf")):
            result = run_module("redis_backup", {**backup_options(shop, tmp_path, method=method), **login})
            assert result["msg"].endswith(f"Grant: ACL SETUSER clerk {missing}"), result
        # Where the server may not be asked either, its own refusal is told.
        client.execute_command("ACL", "SETUSER", "clerk", "-acl")
        for method, told in (("file", "the ACL does not grant +bgsave"), ("stream", "The server refused SYNC: NOPERM")):
            result = run_module("redis_backup", {**backup_options(shop, tmp_path, method=method), **login})
            assert told in result["msg"], result
        assert backups_in(tmp_path) == []
    finally:
        client.execute_command("ACL", "DELUSER", "clerk")


def test_a_replica_without_its_master_is_refused_and_with_it_is_fine(run_module: ModuleRunner, tmp_path: Path) -> None:
    with RedisServer(settings={"repl-diskless-sync-delay": 0}) as master:
        master.client().set("a", "1")
        with RedisServer(settings={"replicaof": f"{master.host} {master.port}"}) as replica:
            client = replica.client()
            eventually(lambda: client.info("replication")["master_link_status"] == "up", "replication")
            taken = run_module("redis_backup", backup_options(replica, tmp_path))
            assert taken["backup"]["role"] == "replica"
            assert taken["backup"]["databases"] == [{"db": 0, "keys": [1, 1], "expires": 0}]
            master.kill()
            eventually(lambda: client.info("replication")["master_link_status"] == "down", "the link is down")
            refused = run_module("redis_backup", backup_options(replica, tmp_path))
            assert f"is a replica that has lost its master {master.host}:{master.port}" in refused["msg"]


# --- tampered backups


@pytest.fixture(scope="module")
def proven(shop: RedisServer, run_module: ModuleRunner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    taken = run_module("redis_backup", backup_options(shop, tmp_path_factory.mktemp("proven")))
    return Path(taken["backup"]["path"])


def copy_of(backup: Path, directory: Path) -> Path:
    copied = directory / backup.name
    shutil.copy(backup, copied)
    shutil.copy(f"{backup}.manifest.json", f"{copied}.manifest.json")
    return copied


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(bytes(data))


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def make_newer(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"REDIS00", b"REDIS99", 1))


def make_valkeys(path: Path) -> None:
    path.write_bytes(b"VALKEY080" + path.read_bytes()[9:])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_text(path: Path) -> None:
    path.write_bytes(b"-- not a dump at all --")


def say_newer_writer(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\x067.0.15", b"\x069.0.15", 1))


@pytest.mark.parametrize(
    ("tamper", "with_manifest", "without"),
    [
        (truncate, ("failed", "format"), ("failed", "bytes")),
        (flip, ("failed", "format"), ("failed", "bytes")),
        (lengthen, ("failed", "format"), None),
        (make_newer, ("failed", "format"), ("error", "bytes")),
        (make_valkeys, ("error", "fresh"), ("error", "fresh")),
        (say_newer_writer, ("error", "fresh"), ("error", "fresh")),
        (empty, ("failed", None), ("failed", None)),
        (replace_by_text, ("failed", "fresh"), ("failed", "fresh")),
        (Path.unlink, ("failed", None), ("failed", None)),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_tampered_backups_are_refused(
    run_module: ModuleRunner,
    proven: Path,
    tmp_path: Path,
    tamper: Callable[[Path], None],
    with_manifest: tuple[str, str | None],
    without: tuple[str, str | None] | None,
) -> None:
    copied = copy_of(proven, tmp_path)
    tamper(copied)
    result = run_module("redis_backup_verify", {"path": str(copied)})
    assert result["failed"]
    assert (result["verdict"], result["level"]) == with_manifest, result
    if without is not None:
        Path(f"{copied}.manifest.json").unlink()
        alone = run_module("redis_backup_verify", {"path": str(copied), "level": "loads", "on_failure": "report"})
        assert "failed" not in alone
        assert (alone["verdict"], alone["level"]) == without, alone


def doctor(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    place = Path(f"{path}.manifest.json")
    manifest = json.loads(place.read_text(encoding="utf-8"))
    change(manifest)
    place.write_text(json.dumps(manifest), encoding="utf-8")


def more_keys(manifest: dict[str, Any]) -> None:
    manifest["databases"][1]["keys"] = [502, 502]


def another_database(manifest: dict[str, Any]) -> None:
    manifest["databases"].append({"db": 5, "keys": [7, 9], "expires": 0})


def more_jobs(manifest: dict[str, Any]) -> None:
    manifest["queues"][0]["states"]["waiting"] = [21, 25]


def another_queue(manifest: dict[str, Any]) -> None:
    manifest["queues"].append({**manifest["queues"][0], "name": "lost"})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (more_keys, "counts: database 3 holds 501 keys, 502 were expected"),
        (another_database, "counts: database 5 holds 0 keys, 7 to 9 were expected"),
        (more_jobs, "queues: bullmq queue bull:mail in database 0 has 20 waiting, 21 to 25 were expected"),
        (another_queue, "queues: bullmq queue bull:lost in database 0 is missing"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_backup_that_lacks_something_fails(
    run_module: ModuleRunner, proven: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    copied = copy_of(proven, tmp_path)
    doctor(copied, change)
    result = run_module("redis_backup_verify", {"path": str(copied)})
    assert result["verdict"] == "failed"
    assert result["reason"] == reason


def test_old_and_undocumented_backups(run_module: ModuleRunner, proven: Path, tmp_path: Path) -> None:
    copied = copy_of(proven, tmp_path)
    doctor(copied, lambda manifest: manifest.update(taken_at="2026-01-01T00:00:00Z"))
    old = run_module("redis_backup_verify", {"path": str(copied), "max_age": "26h"})
    assert old["reason"] == "fresh: it was taken at 2026-01-01 00:00:00 UTC, which is too long ago"
    Path(f"{copied}.manifest.json").write_text("{}", encoding="utf-8")
    odd = run_module("redis_backup_verify", {"path": str(copied)})
    assert odd["verdict"] == "error"
    assert "is damaged: it is not a manifest as this collection writes it" in odd["reason"]
    Path(f"{copied}.manifest.json").unlink()
    alone = run_module("redis_backup_verify", {"path": str(copied)})
    assert alone["reason"] == "bytes: there is no manifest beside it, so nothing says what it must be"
    none = run_module("redis_backup_verify", {"directory": str(tmp_path), "name": "other"})
    assert none["msg"].startswith(f"There is no backup other-<moment>.rdb in {tmp_path}.")


def test_without_checksums_only_the_manifest_sees_a_flipped_byte(run_module: ModuleRunner, tmp_path: Path) -> None:
    with RedisServer(settings={"rdbchecksum": False}) as server:
        server.client().set("balance", "1000000 " * 20)
        server.client().config_set("rdbcompression", "no")
        taken = run_module("redis_backup", backup_options(server, tmp_path))
        path = Path(taken["backup"]["path"])
        assert any("rdbchecksum no" in note for note in taken["notes"])
        path.write_bytes(path.read_bytes().replace(b"1000000", b"9000000", 1))
        tool = subprocess.run(["redis-check-rdb", path], executable=server.binary, capture_output=True, check=False)
        assert tool.returncode == 0, "what the tool alone believes"
        loads = run_module("redis_backup_verify", {"path": str(path), "level": "check", "on_failure": "report"})
        assert loads["reason"].startswith("bytes: its SHA-256 is ")


def test_a_pipe_hides_what_the_tool_says(proven: Path, tmp_path: Path) -> None:
    """The manual's check at its best: redis-check-rdb, with its output to a log."""
    copied = copy_of(proven, tmp_path)
    truncate(copied)
    plain = subprocess.run(["redis-check-rdb", copied], capture_output=True, check=False)
    piped = subprocess.run(["sh", "-c", f"redis-check-rdb '{copied}' | tail -1"], capture_output=True, check=False)
    assert (plain.returncode, piped.returncode) == (1, 0)


# --- buckets


def test_a_copy_in_a_bucket(run_module: ModuleRunner, tmp_path: Path, s3_server: S3Server, bucket: str) -> None:
    with RedisServer() as server:
        client = server.client()
        for number in range(20):
            client.set(f"picture:{number}", os.urandom(1024 * 1024))
        options = backup_options(
            server, tmp_path, bucket=bucket, prefix="redis", s3=s3_server.login(), max_age="1h", queue_counts=False
        )
        check = run_module("redis_backup", options, check_mode=True)
        store = s3_server.client()
        assert store.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
        taken = run_module("redis_backup", options)
        assert taken["actions"] == check["actions"], taken
        path = Path(taken["backup"]["path"])
        assert [each["address"] for each in taken["backup"]["objects"]] == [
            f"s3://{bucket}/redis/{path.name}",
            f"s3://{bucket}/redis/{path.name}.manifest.json",
        ]
        there = store.get_object(Bucket=bucket, Key=f"redis/{path.name}")
        assert there["Metadata"] == {"sha256": taken["backup"]["sha256"]}
        assert hashlib.sha256(there["Body"].read()).hexdigest() == taken["backup"]["sha256"]
        assert path.stat().st_size > 16 * 1024 * 1024, "more than one part"
        assert "-" in there["ETag"], "it was uploaded in parts"
        assert not store.list_multipart_uploads(Bucket=bucket).get("Uploads")
        assert not run_module("redis_backup", options)["changed"]
        # Another bucket has no copy yet.
        lost = run_module("redis_backup", {**options, "bucket": f"{bucket}-none"})
        assert lost["failed"]
        assert s3_server.secret_key not in json.dumps(lost)
        assert len(backups_in(tmp_path)) == 4, "the backup itself is kept"


def test_a_client_that_does_not_exist_is_no_server(run_module: ModuleRunner, tmp_path: Path) -> None:
    result = run_module("redis_backup", {"name": "shop", "dest": str(tmp_path), "login_port": 1})
    assert "refuses the connection: nothing listens there" in result["msg"]
    with pytest.raises(redis.exceptions.ConnectionError):
        redis.Redis(port=1).ping()
