"""The roles backup and restore as a user runs them: consent, check mode, failures as findings, fences in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from lab.paths import REPOSITORY
from lab.play import RoleRun, run_role
from lab.redis import RedisServer
from lab.redis_backups import PASSWORD, backups_in, changing_commands, eventually, manifest_of, queue

CONFIRMED = ("-e", "confirm=shop")


def back_up(directory: Path, server: RedisServer, *arguments: str, expect: int = 0, **more: Any) -> RoleRun:
    login = {f"redis_{name}": value for name, value in server.login().items()}
    chosen = {f"backup_redis_{name}": value for name, value in more.items()}
    variables = {"runbook_system": "shop", "backup_redis_directory": str(directory / "kept"), **login, **chosen}
    return run_role(directory, "backup", variables, *arguments, expect=expect)


@pytest.fixture(scope="module")
def shop() -> Iterator[RedisServer]:
    with RedisServer(password=PASSWORD) as server:
        queue(server).ask("add", jobs=[{"name": "letter"}] * 7)
        yield server


def test_a_backup_needs_consent_and_check_mode_saves_nothing(shop: RedisServer, tmp_path: Path) -> None:
    before = changing_commands(shop)
    refused = back_up(tmp_path, shop, expect=2)
    assert (
        "This makes the servers of shop save their data. Look at what it would do with --check, then confirm with"
        in (" ".join(refused.output.split()))
    )
    check = back_up(tmp_path, shop, "--check")
    assert check.of("warning", "critical", "unknown") == []
    assert [each["action"] for each in check.facts["redis"]["actions"]] == ["save", "copy", "verify"]
    assert changing_commands(shop) == before
    assert backups_in(tmp_path / "kept") == []

    real = back_up(tmp_path, shop, *CONFIRMED)
    assert real.of("warning", "critical", "unknown") == []
    assert real.facts["redis"]["actions"] == check.facts["redis"]["actions"]
    path = real.facts["redis"]["backup"]["path"]
    assert manifest_of(path)["verification"]["verdict"] == "verified"
    assert real.finding("backup.verified")["severity"] == "ok"
    assert PASSWORD not in real.output
    again = back_up(tmp_path, shop, *CONFIRMED, max_age="1h")
    assert again.facts["redis"]["changed"] is False
    assert len(backups_in(tmp_path / "kept")) == 2


def test_a_backup_that_fails_is_one_critical_finding(shop: RedisServer, tmp_path: Path) -> None:
    run = back_up(tmp_path, shop, *CONFIRMED, login_port=1)
    assert run.of("warning", "critical", "unknown") == [("backup.failed", "redis")]
    assert "refuses the connection: nothing listens there" in run.finding("backup.failed", "redis")["summary"]
    unproven = back_up(tmp_path, shop, *CONFIRMED, options={"verify": False})
    assert unproven.of("critical") == [("backup.verified", "redis")]


# --- restore


class Stage:
    """A server that the role stops and starts by commands, and a log of what happened in which order."""

    def __init__(self, directory: Path, server: RedisServer) -> None:
        self.directory = directory
        self.server = server
        self.log = directory / "order"
        self.configuration = server.base / "redis.conf"

    def told(self, word: str, *command: str) -> list[str]:
        """A command that writes a word into the log before it does something."""
        return ["sh", "-c", f'echo {word} >> "$0" && exec "$@"', str(self.log), *(command or ("true",))]

    def order(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").split() if self.log.exists() else []

    def restore(self, *arguments: str, expect: int = 0, **more: Any) -> RoleRun:
        port = str(self.server.port)
        stop = self.told("stop", "redis-cli", "-p", port, "shutdown", "nosave")
        start = self.told("start", str(self.server.binary), str(self.configuration), "--daemonize", "yes")
        variables = {
            "runbook_system": "shop",
            **{f"redis_{name}": value for name, value in self.server.login().items()},
            "restore_redis_directory": str(self.directory / "kept"),
            "restore_redis_config_file": str(self.configuration),
            "restore_redis_stop_command": stop,
            "restore_redis_start_command": start,
            "restore_redis_fence_commands": [self.told("fence")],
            "restore_redis_unfence_commands": [self.told("unfence")],
            "restore_redis_start_seconds": 20,
            **{f"restore_redis_{name}": value for name, value in more.items()},
        }
        return run_role(self.directory, "restore", variables, *arguments, expect=expect)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with RedisServer(settings={"appendonly": True, "pidfile": ""}) as server:
        queue(server).ask("add", jobs=[{"name": "letter"}] * 7)
        server.client().set("sentinel", "what the backup holds")
        back_up(tmp_path, server, *CONFIRMED)
        server.client().set("sentinel", "what came later")
        queue(server).ask("drainByWork")
        yield Stage(tmp_path, server)
        with contextlib.suppress(redis.exceptions.RedisError):
            server.client().shutdown(nosave=True)


def test_a_restore_is_fenced_proven_and_in_order(stage: Stage) -> None:
    refused = stage.restore(expect=2)
    assert "This replaces data of shop by a backup." in " ".join(refused.output.split())
    check = stage.restore("--check")
    assert check.of("warning", "critical", "unknown") == []
    assert stage.order() == []
    assert stage.server.cli("GET", "sentinel") == "what came later"

    # As StockBoom declares it: without a configuration that can be read from here, in another's data directory.
    path = REPOSITORY / "inventories" / "stockboom" / "group_vars" / "redis" / "restore.yml"
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert given["restore_redis_options"]["appendonly"] is True
    options = {**given["restore_redis_options"], "data_directory": stage.server.client().config_get("dir")["dir"]}
    real = stage.restore(*CONFIRMED, config_file=given["restore_redis_config_file"], options=options)
    assert real.of("warning", "critical", "unknown") == [], real.output
    assert real.facts["redis"]["actions"] == check.facts["redis"]["actions"]
    assert stage.order() == ["fence", "stop", "start", "unfence"]
    assert stage.server.cli("GET", "sentinel") == "what the backup holds"
    assert queue(stage.server).ask("counts")["waiting"] == 7
    assert real.finding("restore.verified")["severity"] == "ok"
    assert [command[0] for command in real.facts["redis"]["undo"]] == ["mv"] * 4


def test_a_bad_backup_is_refused_while_everything_still_runs(stage: Stage) -> None:
    [path] = (stage.directory / "kept").glob("*.rdb")
    path.write_bytes(path.read_bytes()[:-9])
    run = stage.restore(*CONFIRMED)
    assert run.of("critical") == [("restore.failed", "redis")]
    assert "is not verified (failed)" in run.finding("restore.failed", "redis")["summary"]
    assert stage.order() == []
    assert stage.server.cli("GET", "sentinel") == "what came later"


def test_a_restore_that_cannot_be_done_gives_the_former_data_back(stage: Stage) -> None:
    """The server is told to stop and does not: somebody else's supervisor keeps it alive."""
    run = stage.restore(*CONFIRMED, stop_command=stage.told("stop"), start_command=stage.told("start"))
    assert run.of("critical") == [("restore.failed", "redis")]
    summary = run.finding("restore.failed", "redis")["summary"]
    assert "A server answers at" in summary
    assert summary.endswith("The server runs with its former data.")
    assert stage.order() == ["fence", "stop", "start", "unfence"]
    assert stage.server.cli("GET", "sentinel") == "what came later"


def test_what_is_not_proven_stays_behind_the_fence(stage: Stage) -> None:
    """Somebody writes between the start and the proof.

    ``redis-cli`` ends with 0 when a server that still loads refuses the command, so only the new length
    tells that something was written.
    """
    port = str(stage.server.port)
    script = (
        f"echo start >> '{stage.log}'; {stage.server.binary} {stage.configuration} --daemonize yes; "
        f"until redis-cli -p {port} rpush bull:mail:wait x | grep -qx '[0-9]*'; do sleep 0.1; done"
    )
    run = stage.restore(*CONFIRMED, start_command=["sh", "-c", script])
    assert run.of("critical") == [("restore.verified", "redis")]
    assert stage.order() == ["fence", "stop", "start"]
    eventually(lambda: stage.server.cli("PING") == "PONG", "the server runs")


def test_a_restore_needs_to_know_how_the_server_is_stopped(stage: Stage) -> None:
    run = stage.restore("--check", stop_command=[], start_command=[], expect=2)
    assert "either with restore_redis_unit or with both" in " ".join(run.output.split())
