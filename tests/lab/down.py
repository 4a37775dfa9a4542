"""Stop a lab: its own processes and nothing else, then its files."""

from __future__ import annotations

import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import process
from lab.errors import LabError
from lab.state import FILE, MARK, Member, State, load

# How long each signal may take; the last one cannot be refused.
PATIENCE = 8.0


def tear_down(directory: Path, *, keep_files: bool = False) -> list[str]:
    """Stop everything that belongs to the lab in ``directory`` and remove its files: the names of what ran."""
    state = load(directory)
    stopped = _stop_members(state) if state else []
    # What was started but not written down any more: the environment names the lab it belongs to.
    for _ignored in range(5):
        strays = process.with_variable(MARK, str(directory))
        if not strays:
            break
        for stray in strays:
            process.stop(stray)
            stopped.append(f"process {stray.pid}")
    left = [each for each in process.with_variable(MARK, str(directory)) if each.alive()]
    if left or (state and state.alive):
        pids = {each.pid for each in left} | {each.identity.pid for each in (state.alive if state else [])}
        raise LabError(f"Processes {', '.join(map(str, sorted(pids)))} of the lab in {directory} could not be stopped.")
    if not keep_files:
        _remove_files(directory, state)
    return stopped


def _stop_members(state: State) -> list[str]:
    running = state.alive
    if running:
        with ThreadPoolExecutor(max_workers=len(running)) as pool:
            list(pool.map(_stop, running))
    return [member.name for member in running]


def _stop(member: Member) -> None:
    ladder = [(signal.Signals[name], PATIENCE) for name in member.signals]
    process.stop(member.identity, [*ladder, (signal.SIGKILL, PATIENCE)])


def _remove_files(directory: Path, state: State | None) -> None:
    for extra in state.extra_directories if state else ():
        shutil.rmtree(extra, ignore_errors=True)
    if state is not None or (directory / f"{FILE}.partial").exists():
        shutil.rmtree(directory, ignore_errors=True)
        if directory.exists():
            shutil.rmtree(directory)  # says what is in the way
