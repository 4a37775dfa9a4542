"""Giving a cluster with tablespaces its place, killed before every single step, and what the next run makes of it."""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lab.killing import killed_before

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.placing import (
    JOURNAL,
    clear,
    leftovers,
    put_in_place,
    settle,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.account import choose_account

ACCOUNT = choose_account()
HEAD = """
from pathlib import Path
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.placing import clear, put_in_place
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.account import choose_account
"""


class Ground:
    """A cluster with two tablespaces that is finished, and the places that it is to get."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "main"
        self.spaces = [root / "fast", root / "disk" / "slow"]
        (root / "disk").mkdir(parents=True)

    @property
    def sources(self) -> dict[Path, Path]:
        return {self.root / "scratch" / path.name: path for path in self.spaces}

    def build(self) -> Path:
        data = self.root / "scratch" / "data"
        for each in (data, *self.sources):
            (each / "base").mkdir(parents=True)
            (each / "base" / "1").write_text("rows", encoding="ascii")
            (each / "VERSION").write_text("15", encoding="ascii")
        return data

    def killed(self, number: int) -> bool:
        """Build it, and be killed before the n-th step of giving it its place; the scratch place is removed then."""
        pairs = {str(source): str(path) for source, path in self.sources.items()}
        call = f"put_in_place(Path({str(self.build())!r}), Path({str(self.data)!r}), "
        code = HEAD + call + f"{{Path(a): Path(b) for a, b in {pairs!r}.items()}})"
        was_killed = killed_before(code, number, [self.root])
        shutil.rmtree(self.root / "scratch", ignore_errors=True)
        return was_killed

    def names(self) -> set[str]:
        """Everything there is but what the cluster itself is made of."""
        found = {path.relative_to(self.root).as_posix() for path in self.root.rglob("*")}
        return {name for name in found if not name.endswith(("/base", "/base/1", "/VERSION"))} - {"disk", "scratch"}

    def is_whole(self) -> bool:
        return all((path / "base" / "1").exists() for path in (self.data, *self.spaces))


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path / "ground")


def test_killed_before_every_step_it_is_there_as_a_whole_or_the_next_run_takes_it_away(tmp_path: Path) -> None:
    outcomes = []
    for number in itertools.count(1):
        ground = Ground(tmp_path / str(number))
        # As an operator may have made it beforehand.
        ground.data.mkdir()
        was_killed = ground.killed(number)
        if any(ground.data.iterdir()):
            assert ground.is_whole()
            assert leftovers(ground.root, ACCOUNT) == []
            settle(ground.data)
            outcomes.append("there")
            assert ground.names() == {"main", "fast", "disk/slow"}
        else:
            left = clear(ground.root, ACCOUNT)
            outcomes.append(f"{len(left)} left, {sum(len(each.tablespaces) for each in left)} in place")
            assert ground.names() <= {"main"}
            assert ground.killed(0) is False
            assert ground.is_whole()
        if not was_killed:
            break
    # Before each of the renames, and after the last one.
    assert set(outcomes) == {"0 left, 0 in place", *(f"1 left, {count} in place" for count in range(3)), "there"}


def last_rename(root: Path) -> int:
    """The number of the step that gives the data directory its place."""
    for number in itertools.count(1):
        ground = Ground(root / str(number))
        ground.killed(number)
        if all(path.exists() for path in ground.spaces):
            return number
    raise AssertionError


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> int:
    return last_rename(tmp_path_factory.mktemp("steps"))


def waiting(ground: Ground, step: int) -> Path:
    """Both tablespaces are in place, and the data directory waits: where."""
    assert ground.killed(step)
    assert all(path.exists() for path in ground.spaces)
    assert not ground.data.exists()
    return ground.root / ".main.runbook-waiting"


def test_taking_it_away_may_be_killed_as_well(tmp_path: Path, step: int) -> None:
    for number in itertools.count(1):
        ground = Ground(tmp_path / str(number))
        waiting(ground, step)
        code = HEAD + f"clear(Path({str(ground.root)!r}), choose_account())"
        was_killed = killed_before(code, number, [ground.root])
        clear(ground.root, ACCOUNT)
        assert {path for path in ground.names() if any((ground.root / path).iterdir())} == set()
        if not was_killed:
            break
    assert number > 3
    assert ground.killed(0) is False
    assert ground.is_whole()


def test_somebody_elses_directory_of_the_same_name_stays(ground: Ground, step: int) -> None:
    waiting(ground, step)
    shutil.rmtree(ground.spaces[0])
    ground.spaces[0].mkdir()
    (ground.spaces[0] / "precious").touch()
    [left] = clear(ground.root, ACCOUNT)
    assert left.tablespaces == (ground.spaces[1],)
    assert ground.names() == {"fast", "fast/precious"}


def test_a_run_that_goes_on_is_left_alone(ground: Ground, step: int) -> None:
    descriptor = os.open(waiting(ground, step), os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert clear(ground.root, ACCOUNT) == []
    os.close(descriptor)
    assert len(clear(ground.root, ACCOUNT)) == 1


def test_what_somebody_works_in_is_not_taken_away(ground: Ground, step: int) -> None:
    place = waiting(ground, step)
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=place, stdin=subprocess.PIPE) as process:
        with pytest.raises(Refused) as caught:
            clear(ground.root, ACCOUNT)
        process.communicate(b"\n")
    assert caught.value.message == (
        f"A restore that was killed left {place}, and processes work in it. Nothing was touched. End them, or move it "
        "away, and run this again."
    )
    assert place.exists()


def test_a_place_that_was_taken_meanwhile_undoes_everything(ground: Ground) -> None:
    data = ground.build()
    ground.data.mkdir()
    (ground.data / "somebody").touch()
    with pytest.raises(RunbookError) as caught:
        put_in_place(data, ground.data, ground.sources)
    assert caught.value.message.startswith(f"Cannot put in place {ground.data}: Directory not empty")
    assert ground.names() == {"main", "main/somebody"}


def test_without_tablespaces_one_rename_does_it(ground: Ground) -> None:
    put_in_place(ground.build(), ground.data, {})
    assert not (ground.data / JOURNAL).exists()
    assert ground.names() - {"scratch/fast", "scratch/slow"} == {"main"}
