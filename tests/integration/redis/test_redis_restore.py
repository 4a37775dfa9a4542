"""redis_restore: what the manual does beside what works, under load, on every version; and everything it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.node import NodeQueue
from lab.redis import RedisServer, binaries
from lab.redis_backups import DEADLINE, PASSWORD, backup_options, eventually, queue

ModuleRunner = Callable[..., dict[str, Any]]


def restore_options(server: RedisServer, dest: Path, **more: Any) -> dict[str, Any]:
    return {
        **server.login(),
        "name": "shop",
        "directory": str(dest),
        "config_file": str(server.base / "redis.conf"),
        "server_binary": str(server.binary),
        **more,
    }


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def content_of(directory: Path) -> dict[str, bytes]:
    """Every file below a directory that is data, with its content."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.suffix not in (".log", ".conf")
    }


# --- F33: what the manual does


@pytest.mark.parametrize("kind", sorted(binaries()))
def test_the_manuals_restore_does_not_restore_and_ours_does(
    run_module: ModuleRunner, tmp_path: Path, kind: str
) -> None:
    """Stop, copy dump.rdb, start: with appendonly yes the copied file is never read (ST-62)."""
    with RedisServer(binary=kind, settings={"appendonly": True}) as server:
        client = server.client()
        client.set("sentinel", "what the backup holds")
        taken = run_module("redis_backup", backup_options(server, tmp_path, queue_counts=False))
        backup = Path(taken["backup"]["path"])
        client.set("sentinel", "what came later")
        server.stop()

        shutil.copy(backup, server.base / "dump.rdb")
        server.start()
        assert server.cli("GET", "sentinel") == "what came later", "the manual's restore: nothing has happened"
        server.stop()

        shutil.copy(backup, server.base / "dump.rdb")
        for each in ("appendonlydir", "appendonly.aof"):
            place = server.base / each
            if place.exists():
                place.rename(tmp_path / each)
        server.start()
        assert server.cli("DBSIZE") == "0", "with the append-only file removed: everything is gone, without an error"
        server.stop()

        options = restore_options(server, tmp_path, queue_counts=False)
        before = content_of(server.base)
        check = run_module("redis_restore", options, check_mode=True, diff=True)
        assert check["changed"], check
        assert check["after"] is None
        assert content_of(server.base) == before
        real = run_module("redis_restore", options, diff=True)
        assert real["changed"], real
        assert (real["actions"], real["before"]) == (check["actions"], check["before"])
        assert real["append_only"] is True
        for each in real["moved"]:
            assert Path(each["to"]).exists()
        again = run_module("redis_restore", options)
        assert again["changed"] is False
        assert again["actions"] == []

        server.start()
        assert server.cli("GET", "sentinel") == "what the backup holds"
        live = {**server.login(), "path": str(backup), "against": "live", "queue_counts": False}
        assert run_module("redis_backup_verify", live)["verdict"] == "verified"
        client = server.client()
        client.set("written", "after the restore")
        server.restart()
        assert server.cli("GET", "written") == "after the restore", "the append-only file goes on as before"
        server.stop()

        for command in real["undo"]:
            subprocess.run(command, check=True)
        server.start()
        assert server.cli("DBSIZE") == "0", "as it was before the restore"


# --- under load


@pytest.mark.parametrize("kind", sorted(binaries()))
def test_a_backup_under_load_has_every_queue_and_a_worker_does_every_job_once(
    run_module: ModuleRunner, tmp_path: Path, kind: str
) -> None:
    libraries = {"mail": "bullmq5", "pictures": "bull4"}
    stop = tmp_path / "stop"
    with RedisServer(binary=kind, password=PASSWORD, settings={"appendonly": True}) as busy:
        producers = []
        for name, library in libraries.items():
            began = tmp_path / f"{name}.began"
            log = tmp_path / f"{name}.log"
            arguments = {"stop": str(stop), "began": str(began)}
            producers.append(queue(busy, name, library).producer(log, **arguments))
        writer = subprocess.Popen(
            [
                *("redis-benchmark", "-h", busy.host, "-p", str(busy.port), "-a", PASSWORD, "--dbnum", "4", "-q"),
                *("-t", "set,lpush,sadd", "-r", "50000", "-n", "100000000", "-c", "4"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for name in libraries:
                eventually((tmp_path / f"{name}.began").exists, f"{name} is produced")
            eventually(lambda: busy.client(db=4).dbsize() > 100, "the writer writes")
            taken = run_module("redis_backup", backup_options(busy, tmp_path / "kept"))
            assert taken.get("backup"), taken
            assert all(each.poll() is None for each in (*producers, writer)), "the load went on"
        finally:
            writer.terminate()
            writer.wait(DEADLINE)
            stop.touch()
            for each in producers:
                each.wait(DEADLINE)
        assert busy.client().info("commandstats").get("cmdstat_save") is None
    assert taken["backup"]["verification"]["verdict"] == "verified"
    states = {each["name"]: each["states"] for each in taken["backup"]["queues"]}
    held = {name: states[name]["waiting"][0] for name in libraries}
    assert all(held.values())
    assert all(
        held[name] <= int((tmp_path / f"{name}.log").read_text(encoding="utf-8").splitlines()[-1]) for name in libraries
    )

    with RedisServer(binary=kind, password=PASSWORD, settings={"appendonly": True}) as server:
        server.client().set("old", "data of the server before")
        server.stop()
        restored = run_module("redis_restore", restore_options(server, tmp_path / "kept"))
        assert restored["changed"], restored
        assert PASSWORD not in json.dumps({**restored, "invocation": None})
        server.start()
        live = {**server.login(), "directory": str(tmp_path / "kept"), "name": "shop", "against": "live"}
        assert run_module("redis_backup_verify", live)["verdict"] == "verified"
        for name, library in libraries.items():
            mine = queue(server, name, library)
            assert mine.ask("counts")["waiting"] == held[name]
            log = tmp_path / f"{name}.done"
            mine.ask("drainByWork", log=str(log), concurrency=50)
            done = [json.loads(line)["id"] for line in log.read_text(encoding="utf-8").splitlines()]
            assert len(done) == len(set(done)) == held[name], "every job once"


# --- without an append-only file


@pytest.fixture(scope="module")
def kept(run_module: ModuleRunner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with one backup of the preferred version."""
    dest = tmp_path_factory.mktemp("kept")
    with RedisServer() as server:
        NodeQueue("bullmq5", server.port, "mail").ask("add", jobs=[{"name": "letter"}] * 5)
        server.client().set("sentinel", "what the backup holds")
        assert run_module("redis_backup", backup_options(server, dest))["changed"]
    return dest


@pytest.fixture
def stopped() -> Iterator[RedisServer]:
    """A server that has data and is stopped."""
    with RedisServer(settings={"save": "3600 1"}) as server:
        server.client().set("sentinel", "old")
        server.client().bgsave()
        eventually((server.base / "dump.rdb").exists, "dump.rdb")
        server.stop()
        yield server


def test_a_server_without_one_gets_the_dump_and_a_stale_file_goes_aside(
    run_module: ModuleRunner, kept: Path, stopped: RedisServer
) -> None:
    """An append-only file from former times would be read on the day on which somebody switches it on."""
    (stopped.base / "appendonlydir").mkdir()
    (stopped.base / "appendonly.aof").write_text("", encoding="utf-8")
    (stopped.base / "dump.rdb").chmod(0o640)
    result = run_module("redis_restore", restore_options(stopped, kept))
    assert result["append_only"] is False
    assert {Path(each["from"]).name for each in result["moved"]} == {"dump.rdb", "appendonlydir", "appendonly.aof"}
    assert [Path(each).name for each in result["placed"]] == ["dump.rdb"]
    assert oct((stopped.base / "dump.rdb").stat().st_mode & 0o777) == "0o640", "as the former one"
    assert not {"appendonlydir", "appendonly.aof"} & names_in(stopped.base)
    stopped.start()
    assert stopped.cli("GET", "sentinel") == "what the backup holds"
    assert queue(stopped).ask("counts")["waiting"] == 5


def test_owner_and_mode_follow_the_directory(run_module: ModuleRunner, kept: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o750)
    data.chmod(0o750)
    shutil.chown(data, "nobody", "nogroup")
    options = {"directory": str(kept), "name": "shop", "data_directory": str(data), "appendonly": True, "login_port": 1}
    result = run_module("redis_restore", options)
    assert result["changed"], result
    for path in data.rglob("*"):
        mode = oct(path.stat().st_mode & 0o777)
        assert (path.owner(), path.group(), mode) == ("nobody", "nogroup", "0o750" if path.is_dir() else "0o640"), path
    assert names_in(data) == {"dump.rdb", "appendonlydir", ".runbook-restore.json"}


# --- what is refused


def test_a_running_server_is_refused_however_it_shows(
    run_module: ModuleRunner, kept: Path, stopped: RedisServer, tmp_path: Path
) -> None:
    stopped.start()
    before = content_of(stopped.base)
    remedy = "Stop it first; nothing was touched."
    answers = run_module("redis_restore", restore_options(stopped, kept))
    assert answers["msg"] == f"A server answers at {stopped.host}:{stopped.port}. {remedy}"
    by_socket = {"login_unix_socket": str(stopped.socket), "data_directory": str(stopped.base), "appendonly": False}
    socket = run_module("redis_restore", {"directory": str(kept), "name": "shop", **by_socket})
    assert socket["msg"] == f"A server answers at {stopped.socket}. {remedy}"
    pidfile = tmp_path / "redis.pid"
    pidfile.write_text(str(stopped.pid), encoding="ascii")
    elsewhere = {"data_directory": str(tmp_path), "appendonly": False, "login_port": 1}
    named = run_module("redis_restore", {"directory": str(kept), "name": "shop", **elsewhere, "pidfile": str(pidfile)})
    assert named["msg"] == f"The server of {pidfile} runs as process {stopped.pid}. {remedy}"
    works = run_module(
        "redis_restore", {"directory": str(kept), "name": "shop", **elsewhere, "data_directory": str(stopped.base)}
    )
    assert works["msg"] == f"Process {stopped.pid} (redis-server) works in {stopped.base}. {remedy}"
    assert content_of(stopped.base) == before


def test_a_bad_backup_is_refused(run_module: ModuleRunner, kept: Path, stopped: RedisServer, tmp_path: Path) -> None:
    bad = shutil.copytree(kept, tmp_path / "bad")
    [path] = bad.glob("*.rdb")
    path.write_bytes(path.read_bytes()[:-30])
    before = content_of(stopped.base)
    result = run_module("redis_restore", restore_options(stopped, bad))
    assert result["msg"].startswith(f"{path} is not verified (failed): bytes: it has ")
    assert result["verification"]["verdict"] == "failed"
    Path(f"{path}.manifest.json").unlink()
    alone = run_module("redis_restore", restore_options(stopped, bad))
    assert "there is no manifest beside it, so nothing says what it must be" in alone["msg"]
    weak = run_module("redis_restore", restore_options(stopped, bad, level="loads"))
    assert "redis-check-rdb of Redis" in weak["msg"]
    assert content_of(stopped.base) == before


def test_a_replica_is_refused(run_module: ModuleRunner, kept: Path, stopped: RedisServer) -> None:
    configuration = stopped.base / "redis.conf"
    configuration.write_text(f"{configuration.read_text(encoding='utf-8')}replicaof 10.0.0.1 6379\n", encoding="utf-8")
    result = run_module("redis_restore", restore_options(stopped, kept))
    assert "configured as a replica of 10.0.0.1:6379: it would throw the restored data away" in result["msg"]


def test_a_window_holds_for_restores_too(run_module: ModuleRunner, kept: Path, stopped: RedisServer) -> None:
    closed = {"window": ["Sun 02:00-03:00"], "reference_time": "2026-01-28T12:00:00Z"}
    result = run_module("redis_restore", restore_options(stopped, kept, **closed))
    assert result["msg"].startswith("Nothing was restored: it is Wed 12:00 in UTC, outside the window")
    assert [each["action"] for each in result["actions"]] == ["move_aside", "place"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config_file": "/nowhere/redis.conf"}, "config_file: '/nowhere/redis.conf' is not accepted."),
        ({"config_file": None}, "data_directory: '' is not accepted."),
        ({"config_file": None, "data_directory": "/tmp"}, "appendonly: '' is not accepted."),
        ({"data_directory": "/nowhere"}, "data_directory: '/nowhere' is not accepted."),
        ({"dbfilename": "../dump.rdb"}, "dbfilename: '../dump.rdb' is not accepted."),
        ({"path": "/some.rdb"}, "path: '/some.rdb' is not accepted. Accepted: either path, or directory and name."),
        ({"name": None}, "path: '' is not accepted. Accepted: the path of a backup, or directory and name together."),
    ],
)
def test_bad_options_of_a_restore_are_named(
    run_module: ModuleRunner, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    configuration = tmp_path / "redis.conf"
    configuration.write_text(f"dir {tmp_path}\n", encoding="utf-8")
    options = {"name": "shop", "directory": str(tmp_path), "config_file": str(configuration)}
    result = run_module("redis_restore", {**options, **changes})
    assert result["msg"].startswith(message), result["msg"]


def test_a_full_disk_leaves_the_data_as_it_was(run_module: ModuleRunner, kept: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(data)], check=True)
    try:
        (data / "dump.rdb").write_bytes(b"old")
        options = {
            "directory": str(kept),
            "name": "shop",
            "data_directory": str(data),
            "appendonly": True,
            "login_port": 1,
        }
        result = run_module("redis_restore", options)
        assert "the rewrite failed. Look at the room on that disk. The server's data was not touched." in result["msg"]
        assert names_in(data) == {"dump.rdb"}
        (data / "more").write_bytes(b"more")
        result = run_module("redis_restore", options)
        assert f"{data} has 0 KiB free, and what is restored needs up to" in result["msg"], result
        (data / "more").unlink()
        assert names_in(data) == {"dump.rdb"}
        assert (data / "dump.rdb").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", str(data)], check=True)
