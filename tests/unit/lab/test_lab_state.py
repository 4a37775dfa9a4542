"""A lab's state on disk: what is written comes back, and processes are known again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lab.errors import LabError
from lab.process import Identity
from lab.state import FILE, Busy, Member, State, claim, load, write_private


def a_state(directory: Path, **changes: object) -> State:
    values = {
        "directory": directory,
        "system": "storebridge",
        "scenario": "healthy",
        "size": "small",
        "seed": 1,
        "created_at": "2025-10-16T00:00:00+00:00",
        "builder": Identity.of(os.getpid()),
    }
    return State(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def gone() -> Identity:
    """A process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = Identity.of(child.pid)
    child.wait()
    return identity


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    state = a_state(tmp_path, summary={"redis": "Redis 7"})
    state.add(Member("redis", Identity.of(os.getpid()), "127.0.0.1:1", "/log", ["SIGTERM"]), [Path("/tmp/extra")])
    assert load(tmp_path) == state
    assert load(tmp_path / "elsewhere") is None


def test_a_member_is_replaced_when_more_is_known_about_it(tmp_path: Path) -> None:
    state = a_state(tmp_path)
    myself = Identity.of(os.getpid())
    state.add(Member("redis", myself), [])
    state.add(Member("redis", myself, "127.0.0.1:6379"), [])
    assert [(member.name, member.address) for member in state.members] == [("redis", "127.0.0.1:6379")]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    a_state(tmp_path).save()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_open_to_all_is_closed_when_it_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    path.chmod(0o644)
    write_private(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "was written by another version of the lab"),
        (json.dumps({"version": 99}), "was written by another version of the lab"),
    ],
)
def test_a_state_that_is_not_ours_is_refused_in_words(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(LabError, match=message):
        load(tmp_path)


def test_it_is_complete_when_it_runs_and_every_member_lives(tmp_path: Path, gone: Identity) -> None:
    alive = Member("alive", Identity.of(os.getpid()))
    assert not a_state(tmp_path, members=[alive]).complete
    assert a_state(tmp_path, members=[alive], phase="running").complete
    broken = a_state(tmp_path, members=[alive, Member("gone", gone)], phase="running")
    assert not broken.complete
    assert [member.name for member in broken.dead] == ["gone"]


def test_a_number_that_was_used_again_is_another_process() -> None:
    myself = Identity.of(os.getpid())
    assert myself.alive()
    assert not replace(myself, started=myself.started + 1).alive()
    assert not replace(myself, boot="another boot").alive()


def test_a_signal_never_reaches_another_process_of_that_number() -> None:
    impostor = replace(Identity.of(os.getpid()), started=1)
    assert impostor.send(9) is False


def test_a_process_that_ended_but_was_not_collected_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = Identity.of(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not identity.alive()
    child.wait()


def test_a_claimed_lab_is_busy_for_others_and_free_afterwards(tmp_path: Path) -> None:
    directory = tmp_path / "lab"
    message = f"process {os.getpid()} is at work on the lab in {directory}. Wait until it has finished."
    with claim(directory), pytest.raises(Busy, match=re.escape(message)), claim(directory):
        pass
    with claim(directory):
        pass
