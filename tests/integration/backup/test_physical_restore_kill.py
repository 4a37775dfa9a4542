"""Proofs and restores of base backups, killed whenever: nothing half-restored stays, and the next run comes through."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab.killing import kill_after, module_killed_before, usual_seconds
from lab.physical import Shop, eventually, leftovers, running, shop
from lab.users import scratch_directory

ModuleRunner = Callable[..., dict[str, Any]]
KILLS = 20


@pytest.fixture(scope="module")
def made(run_module: ModuleRunner) -> Iterator[Shop]:
    """A base backup of a cluster with a tablespace, and a little WAL behind it."""
    with shop() as one:
        old = scratch_directory("rbl-space-", one.server.account)
        one.server.execute(f"CREATE TABLESPACE fast LOCATION '{old}'")
        one.server.execute("CREATE TABLE hot TABLESPACE fast AS SELECT generate_series(1, 1000) AS id")
        taken = run_module("postgresql_backup", one.backup_options())
        assert taken["changed"], taken
        one.insert(1)
        one.switch()
        yield one
        shutil.rmtree(old)


@pytest.fixture
def target(made: Shop) -> Iterator[Path]:
    """The directory that the new data directory and its tablespace are to lie in."""
    place = scratch_directory("rbl-target-", made.server.account)
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def restore_options(made: Shop, target: Path) -> dict[str, Any]:
    [[old]] = made.server.query("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'fast'")
    spaces = {str(old): str(target / "fast")}
    return made.restore_options("unused", "latest", tablespaces=spaces) | {"data_directory": str(target / "main")}


def is_whole(target: Path) -> bool:
    """Whether the cluster has its place; where it has not, there is nothing that a server could be started with."""
    data = target / "main"
    if (data / "PG_VERSION").exists():
        assert (data / "runbook-restored.json").exists()
        assert not (data / "recovery.signal").exists()
        [link] = (data / "pg_tblspc").iterdir()
        assert link.readlink() == target / "fast"
        assert any(link.glob("PG_*/*/*"))
        return True
    assert not data.exists() or not any(data.iterdir())
    return False


def test_a_proof_that_is_killed_leaves_nothing_and_proves_nothing(run_module: ModuleRunner, made: Shop) -> None:
    chance = random.Random(64)
    options = made.verify_options(level="semantics", must_see=[{"query": "SELECT 1 FROM hot"}])
    usual = usual_seconds(lambda: run_module("postgresql_backup_verify", {**options, "record": False}))
    for number in range(KILLS):
        kill_after(usual * 0.95 * (number + chance.random()) / KILLS, "postgresql_backup_verify", options)
        eventually(lambda: leftovers(made.place) == [], "the scratch server's directory is gone")
        records = list(made.repository.glob("*.verified.json"))
        # It came to its end, or says nothing.
        assert [json.loads(path.read_bytes())["verdict"] for path in records] in ([], ["verified"])
        for path in records:
            path.unlink()
    assert run_module("postgresql_backup_verify", options)["verdict"] == "verified"
    assert leftovers(made.place) == []


def test_a_restore_that_is_killed_is_there_as_a_whole_or_not_at_all(
    run_module: ModuleRunner, made: Shop, target: Path
) -> None:
    chance = random.Random(65)
    options = restore_options(made, target)
    usual = usual_seconds(lambda: run_module("postgresql_restore", options))
    for number in range(KILLS):
        # Every second time over a data directory that is there, and empty.
        for each in target.iterdir():
            shutil.rmtree(each)
        if number % 2:
            (target / "main").mkdir()
        kill_after(usual * (number + chance.random()) / KILLS, "postgresql_restore", options)
        eventually(lambda: not list(target.glob("runbook-scratch-*")), "the scratch place is gone")
        was_whole = is_whole(target)
        if number % 5 == 4:
            again = run_module("postgresql_restore", options)
            assert again.get("changed") is not was_whole, again
            assert is_whole(target)
            assert sorted(path.name for path in target.iterdir()) == ["fast", "main"]
    with running(made.server, target / "main") as started:
        assert started.psql("SELECT count(*) FROM hot") == "1000"


@pytest.mark.parametrize(
    ("place", "step", "in_place"),
    [
        pytest.param("fast", 1, set(), id="before the tablespace's rename"),
        pytest.param("main", 1, {"fast"}, id="between the renames"),
        pytest.param("fast", 2, {"fast", "main"}, id="after the last one"),
    ],
)
def test_a_restore_that_is_killed_among_its_renames(
    run_module: ModuleRunner, made: Shop, target: Path, place: str, step: int, in_place: set[str]
) -> None:
    options = restore_options(made, target)
    assert module_killed_before("postgresql_restore", options, step, [target / place])
    eventually(lambda: not list(target.glob("runbook-scratch-*")), "the scratch place is gone")
    assert {path.name for path in target.iterdir() if path.name[0] != "."} == in_place
    assert is_whole(target) is ("main" in in_place)
    before = sorted(target.iterdir())
    planned = run_module("postgresql_restore", options, check_mode=True)
    assert sorted(target.iterdir()) == before
    done = run_module("postgresql_restore", options)
    assert done["actions"] == planned["actions"]
    assert done["changed"] is ("main" not in in_place)
    cleared = [each["object"] for each in done["actions"] if each["action"] == "clear"]
    waited = [str(target / ".main.runbook-waiting")]
    assert cleared == ([] if "main" in in_place else [str(target / name) for name in sorted(in_place)] + waited)
    assert sorted(path.name for path in target.iterdir()) == ["fast", "main"]
    assert not list(target.rglob("runbook-placing.json"))
    with running(made.server, target / "main") as started:
        assert started.psql("SELECT count(*) FROM hot") == "1000"
