"""Killing postgresql_backup_verify whenever: nothing stays, and nothing says that it was verified."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.faults.shop import NAME, make_shop
from lab.postgresql import PostgresServer
from lab.redis_backups import eventually, start_module
from lab.users import ordinary_account, scratch_directory

ModuleRunner = Callable[..., dict[str, Any]]
KILLS = 20
PATTERN = "shop-%Y%m%d-%H%M%S.dump"


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory, run_module: ModuleRunner) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("verify-kill") / "repository"
    with PostgresServer() as server:
        make_shop(server, now=dt.datetime.now(dt.timezone.utc))
        result = run_module(
            "postgresql_backup", {**server.login(NAME), "repository": str(place), "name_pattern": PATTERN}
        )
        assert result.get("changed"), result
    yield place


@pytest.fixture
def scratch() -> Iterator[Path]:
    place = scratch_directory("rbl-verify-kill-", ordinary_account())
    yield place
    shutil.rmtree(place)


def processes_below(place: Path) -> list[str]:
    """Processes that work in a directory below a place."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                where = str((process / "cwd").readlink())
            except OSError:
                continue
            if where.startswith(f"{place}/"):
                found.append(process.name)
    return found


def options_of(repository: Path, scratch: Path, **more: Any) -> dict[str, Any]:
    return {
        "repository": str(repository),
        "name_pattern": PATTERN,
        "scratch_directory": str(scratch),
        "level": "consistency",
        "on_failure": "report",
        **more,
    }


def verdicts(repository: Path) -> list[str]:
    return [json.loads(path.read_text())["verdict"] for path in repository.glob("*.verified.json")]


def strangers(repository: Path) -> list[str]:
    """What is neither the backup nor the lock of a run."""
    return [each.name for each in repository.iterdir() if not each.name.startswith("shop-") and each.name[0] != "."]


def databases_of_ours(staging: PostgresServer) -> int:
    return len(staging.query("SELECT 1 FROM pg_database WHERE datname LIKE 'runbook%'"))


def test_twenty_kills_leave_nothing(run_module: ModuleRunner, taken: Path, scratch: Path) -> None:
    chance = random.Random(20)
    began = time.monotonic()
    assert run_module("postgresql_backup_verify", options_of(taken, scratch))["verdict"] == "verified"
    usual = time.monotonic() - began
    for path in taken.glob("*.verified.json"):
        path.unlink()
    for number in range(KILLS):
        module = start_module("postgresql_backup_verify", options_of(taken, scratch))
        time.sleep(usual * 0.9 * chance.random())
        module.send_signal((signal.SIGKILL, signal.SIGTERM)[number % 4 == 3])
        module.communicate(timeout=300)
        # The record is the last that a proof writes: one that is there is of a proof that came to its end.
        assert verdicts(taken) in ([], ["verified"])
        for path in taken.glob("*.verified.json"):
            assert json.loads(path.read_text())["level"] == "consistency"
            path.unlink()
        eventually(lambda: not list(scratch.iterdir()), "the scratch server's directory is gone")
        assert processes_below(scratch) == []
        assert strangers(taken) == []
    assert run_module("postgresql_backup_verify", options_of(taken, scratch))["verdict"] == "verified"


def test_kills_leave_no_database_on_a_staging_server(run_module: ModuleRunner, taken: Path, scratch: Path) -> None:
    chance = random.Random(21)
    with PostgresServer(fresh=True) as staging:
        before = staging.query("SELECT datname FROM pg_database ORDER BY 1")
        options = options_of(taken, scratch, staging=staging.login(), force=True, record=False)
        began = time.monotonic()
        assert run_module("postgresql_backup_verify", options)["verdict"] == "verified"
        usual = time.monotonic() - began
        made = 0
        for number in range(KILLS // 2):
            module = start_module("postgresql_backup_verify", options)
            if number % 2:
                time.sleep(usual * chance.random())
            else:
                while module.poll() is None and not databases_of_ours(staging):
                    time.sleep(0.005)
                time.sleep(0.2 * chance.random())
            made += databases_of_ours(staging)
            module.send_signal((signal.SIGKILL, signal.SIGTERM)[number % 4 == 3])
            module.communicate(timeout=300)
            eventually(
                lambda: staging.query("SELECT datname FROM pg_database ORDER BY 1") == before, "the database is gone"
            )
            eventually(
                lambda: (
                    staging.query("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'runbook.ops%'") == []
                ),
                "nobody of ours is logged in",
            )
        assert made, "a kill met a database"
        # A login is nowhere to be seen while it works.
        module = start_module("postgresql_backup_verify", options)
        while module.poll() is None:
            for process in Path("/proc").iterdir():
                if process.name.isdigit() and int(process.name) != os.getpid():
                    for name in ("cmdline", "environ"):
                        try:
                            assert staging.password.encode() not in (process / name).read_bytes()
                        except OSError:
                            continue
        module.communicate(timeout=300)
