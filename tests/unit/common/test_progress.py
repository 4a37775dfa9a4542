"""The module's side of progress: what it writes, and when it ends."""

from __future__ import annotations

import json
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import PLACE_PREFIX, Progress, Stopped

INTERRUPTED = "Stopped because the run was interrupted"
GONE = "Stopped because the controller that started it is gone"


class Clock:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def written(path: Path) -> dict[str, Any]:
    state = json.loads(path.read_text(encoding="utf-8"))
    assert state.pop("at") > 0
    assert state.pop("pid") == os.getpid()
    return state


def progress_in(folder: Path, clock: Clock, **more: Any) -> tuple[Progress, Path]:
    path = folder / "progress"
    return Progress(str(path), clock=clock, **more), path


def test_a_phase_is_written_at_once_and_then_now_and_then(tmp_path: Path) -> None:
    clock = Clock()
    progress, path = progress_in(tmp_path, clock)
    progress.phase("archive", "public.jobs", total=100, unit="rows")
    begun = {"phase": "archive", "what": "public.jobs", "total": 100, "unit": "rows", "done": 0, "note": ""}
    assert written(path) == {**begun, "seconds": 0.0}
    clock.now += 0.4
    progress.at(10)
    assert written(path)["done"] == 0
    clock.now += 0.2
    progress.advance(20, "waits for the standby")
    assert written(path) == {**begun, "done": 30, "note": "waits for the standby", "seconds": 0.6}
    clock.now += 0.1
    progress.at(100)
    assert written(path) == {**begun, "done": 100, "seconds": 0.7}
    clock.now += 1
    progress.at(120, total=200)
    assert written(path) == {**begun, "done": 120, "total": 200, "seconds": 1.7}
    assert [each.name for each in tmp_path.iterdir()] == ["progress"]


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Progress().stoppable() as progress:
        progress.phase("archive")
        progress.at(1)
        progress.check()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_does_not_end_the_work(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path / "missing" / "progress"), every=0)
    progress.phase("archive", total=3)
    progress.at(1)
    progress = Progress(str(tmp_path / "progress"), every=0)
    progress.phase("archive", total=10)
    progress.at(object())  # type: ignore[arg-type]  # What no JSON can hold.
    assert written(tmp_path / "progress")["done"] == 0


def test_numbers_of_drivers_are_numbers(tmp_path: Path) -> None:
    progress, path = progress_in(tmp_path, Clock(), every=0)
    progress.phase("archive", total=Decimal("10.5"))  # type: ignore[arg-type]  # numeric, as psycopg2 gives it.
    assert written(path)["total"] == 10.5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", INTERRUPTED),
        ("\n", INTERRUPTED),
        ("Stopped because the time is over\n", "Stopped because the time is over"),
    ],
)
def test_the_stop_file_ends_it(tmp_path: Path, text: str, reason: str) -> None:
    progress, path = progress_in(tmp_path, Clock())
    progress.phase("archive")
    (tmp_path / "progress.stop").write_text(text, encoding="utf-8")
    with pytest.raises(Stopped) as stopped:
        progress.at(1)
    assert stopped.value.message == reason
    assert stopped.value.details == {}
    assert path.exists()


def test_a_watcher_that_is_silent_for_too_long_ends_it(tmp_path: Path) -> None:
    clock = Clock()
    progress, _path = progress_in(tmp_path, clock, patience=60)
    watch = tmp_path / "progress.watch"
    watch.touch()
    # The file's own time does not matter: clocks differ, and are set.
    os.utime(watch, (1, 1))
    progress.phase("archive")
    for sign in range(2, 5):
        clock.now += 59
        progress.check()
        os.utime(watch, (sign, sign))
        progress.check()
    clock.now += 60
    progress.check()
    clock.now += 1
    with pytest.raises(Stopped) as stopped:
        progress.check()
    assert stopped.value.message == GONE


def test_a_watcher_that_takes_its_file_away_ends_it(tmp_path: Path) -> None:
    progress, _path = progress_in(tmp_path, Clock())
    watch = tmp_path / "progress.watch"
    progress.phase("archive")  # A path set by hand: nobody watches, and nobody needs to.
    watch.touch()
    progress.check()
    watch.unlink()
    with pytest.raises(Stopped, match=GONE):
        progress.check()


def test_a_watchers_directory_that_is_gone_ends_it(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path / f"{PLACE_PREFIX}x" / "progress"))
    with pytest.raises(Stopped, match=GONE):
        progress.phase("archive")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_end_it_at_the_next_safe_place(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    progress = Progress()
    steps = 0
    with pytest.raises(Stopped, match=f"^Stopped by signal {number.name}$"), progress.stoppable():
        progress.phase("archive")
        os.kill(os.getpid(), number)
        steps += 1
        progress.at(1)
        steps += 1
    assert steps == 1
    assert signal.getsignal(number) is before


def test_the_process_number_is_told_first(tmp_path: Path) -> None:
    progress, path = progress_in(tmp_path, Clock())
    with progress.stoppable():
        assert written(path) == {"seconds": 0.0}


def test_waiting_is_visible_and_stoppable(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path / "progress"), every=0)
    progress.phase("archive", total=4)
    progress.advance(2)
    progress.wait(0.001, "waits for the standby")
    state = written(tmp_path / "progress")
    assert (state["done"], state["note"]) == (2, "waits for the standby")
    (tmp_path / "progress.stop").touch()
    with pytest.raises(Stopped, match=INTERRUPTED):
        progress.wait(3600, "waits for the standby")


@pytest.mark.parametrize(("name", "left"), [(f"{PLACE_PREFIX}1", False), ("by-hand", True)])
def test_only_an_abandoned_watchers_directory_is_cleared_away(tmp_path: Path, name: str, left: bool) -> None:
    place = tmp_path / name
    place.mkdir()
    (place / "progress.watch").touch()
    (place / "something else").touch()
    clock = Clock()
    progress, _path = progress_in(place, clock, patience=1)
    with progress.stoppable():
        progress.phase("archive")
    assert place.exists()
    with pytest.raises(Stopped, match=GONE), progress.stoppable():
        clock.now += 2
        progress.check()
    assert place.exists() is left
