"""What the command line accepts and says, without starting anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lab import cli, up
from lab.errors import MissingServer
from lab.process import Identity
from lab.state import FILE, Member, State
from lab.systems import STOCKBOOM, STOREBRIDGE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up"], "the following arguments are required: system"),
        (["up", "storebridge", "--size", "0"], "'0' is not a size: small, medium, large, or a number (times small)"),
        (["up", "storebridge", "--size", "huge"], "'huge' is not a size"),
        (["up", "storebridge", "--scenario", "broken"], "invalid choice: 'broken'"),
        (["up", "elsewhere"], "invalid choice: 'elsewhere'"),
    ],
)
def test_what_it_does_not_accept(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_down_asks_which_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["down"]) == 1
    assert capsys.readouterr().err == "lab: Which one? Name a system, a --directory, or --all.\n"


@pytest.mark.parametrize("command", ["down", "status"])
def test_nothing_runs(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main([command, "storebridge", "--directory", str(tmp_path / "none")])
    assert code == {"down": 0, "status": 3}[command]
    assert capsys.readouterr().out == f"Nothing runs in {tmp_path / 'none'}.\n"


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    for command in ("up", "down"):
        cli.main([command, "storebridge", "--directory", str(tmp_path)])
    assert (tmp_path / "precious.txt").read_text() == "mine"
    assert capsys.readouterr().err == (
        f"lab: {tmp_path} holds files that are not a lab's. Name an empty or a new directory.\n"
    )


def test_a_running_lab_of_another_kind_is_not_touched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    myself = Identity.of(os.getpid())
    members = [Member("redis", myself, "127.0.0.1:1")]
    State(tmp_path, "storebridge", "degraded", "small", 7, "2025-10-16", myself, "running", members=members).save()
    assert cli.main(["up", "storebridge", "--directory", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"lab: In {tmp_path} runs storebridge, degraded, size small, seed 7. "
        f"Stop it first (python -m lab down storebridge --directory {tmp_path}) or name another --directory.\n"
    )
    arguments = ["up", "storebridge", "--directory", str(tmp_path), "--scenario", "degraded", "--size", "small"]
    assert cli.main([*arguments, "--seed", "7"]) == 0
    assert f"StoreBridge runs already in {tmp_path} (degraded, since 2025-10-16)." in capsys.readouterr().out
    assert (tmp_path / FILE).exists()


def test_everything_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        raise MissingServer(f"No {name} server was found. Install it.")

    monkeypatch.setattr(up, "default_installation", lambda: missing("PostgreSQL"))
    monkeypatch.setattr(up, "default_binary", lambda: missing("Redis"))
    monkeypatch.setattr(up, "LIBRARIES", {"no_such_library": "no-such-library[extra]"})
    with pytest.raises(MissingServer) as raised:
        up.check_prerequisites(up.Options(STOREBRIDGE, tmp_path))
    first, second, third = str(raised.value).splitlines()
    assert first.startswith("Python libraries are missing. Install them: ")
    assert first.endswith(" -m pip install no-such-library[extra]")
    assert (second, third) == (
        "No PostgreSQL server was found. Install it.",
        "No Redis server was found. Install it.",
    )


def test_a_system_with_queues_of_node_needs_its_libraries(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing() -> None:
        raise MissingServer("The queue libraries are installed with npm. Install the package 'npm'.")

    monkeypatch.setattr(up.node, "installed", missing)
    with pytest.raises(MissingServer, match="installed with npm"):
        up.check_prerequisites(up.Options(STOCKBOOM, tmp_path))
    up.check_prerequisites(up.Options(STOREBRIDGE, tmp_path))
