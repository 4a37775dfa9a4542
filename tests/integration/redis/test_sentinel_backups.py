"""The roles backup and restore with a master that sentinels name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.errors import LabError
from lab.play import RoleRun, run_role
from lab.redis_backups import manifest_of, queue
from lab.redis_sentinel import NAME, SentinelTrio

PASSWORD = "master pässwört"
SECRET = "s3ntinel pässwört"
CONFIRMED = ("-e", "confirm=shop")


@pytest.fixture
def trio() -> Iterator[SentinelTrio]:
    # Nobody takes over while the master is stopped for its restore.
    with SentinelTrio(password=PASSWORD, sentinel_password=SECRET, down_after_milliseconds=600_000) as running:
        yield running


def play(role: str, directory: Path, trio: SentinelTrio, *arguments: str, **more: Any) -> RoleRun:
    variables = {
        "runbook_system": "shop",
        "redis_sentinels": [sentinel.address for sentinel in trio.sentinels],
        "redis_sentinel_master": NAME,
        "redis_sentinel_password": SECRET,
        "redis_login_password": PASSWORD,
        f"{role}_redis_directory": str(directory / "kept"),
        f"{role}_redis_options": {"server_binary": str(trio.master.binary)},
        **more,
    }
    return run_role(directory, role, variables, *arguments)


def test_the_master_that_sentinels_name_is_backed_up_and_restored(
    run_module: Callable[..., dict[str, Any]], trio: SentinelTrio, tmp_path: Path
) -> None:
    master = trio.master
    queue(master).ask("add", jobs=[{"name": "letter"}] * 3)
    master.cli("SET", "held", "by the backup")
    run = play("backup", tmp_path, trio, *CONFIRMED, "-vvv")
    assert run.of("warning", "critical", "unknown") == [], run.output
    assert SECRET not in run.output and PASSWORD not in run.output
    backup = run.facts["redis"]["backup"]["path"]
    assert manifest_of(backup)["address"].endswith(f":{master.port}")
    assert manifest_of(backup)["role"] == "master"

    master.cli("SET", "held", "later")
    configuration = str(master.base / "redis.conf")
    stop = ["env", f"REDISCLI_AUTH={PASSWORD}", "redis-cli", "-p", str(master.port), "shutdown", "nosave"]
    start = [str(master.binary), configuration, "--daemonize", "yes"]
    given = {
        "restore_redis_config_file": configuration, "restore_redis_stop_command": stop,
        "restore_redis_start_command": start, "restore_redis_start_seconds": 20,
    }  # fmt: skip
    check = play("restore", tmp_path, trio, "--check", **given)
    assert check.of("warning", "critical", "unknown") == [], check.output
    restored = play("restore", tmp_path, trio, *CONFIRMED, **given)
    try:
        assert restored.of("warning", "critical", "unknown") == [], restored.output
        assert restored.facts["redis"]["actions"] == check.facts["redis"]["actions"]
        assert master.cli("GET", "held") == "by the backup"
        assert restored.finding("restore.verified")["severity"] == "ok"

        # After a failover the restored server would become a replica, and lose what was restored.
        trio.fail_over()
        master.cli("SHUTDOWN", "NOSAVE")
        options = {**trio.login(), "path": backup, "config_file": configuration, "server_binary": str(master.binary)}
        refused = run_module("redis_restore", options)
        assert refused["msg"].startswith(f"A server answers at 127.0.0.1:{trio.master.port}."), refused
        for sentinel in trio.sentinels:
            sentinel.cli("SHUTDOWN")
        refused = run_module("redis_restore", options)
        assert "nobody knows whether another server has become the master" in refused["msg"]
    finally:
        # Started by a command of its own, it is no child of the lab's.
        with contextlib.suppress(LabError):
            master.cli("SHUTDOWN", "NOSAVE")
