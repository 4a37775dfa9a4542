"""What a running lab is made of, on disk: ``state.json`` in its directory.

It is written before the first server starts and after every one, so that ``down`` knows all of them even when
``up`` was killed in the middle. Every process carries the lab's directory in its environment besides, for the
moment between a start and the writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.process import Identity

FILE = "state.json"
VERSION = 1
# The variable that every process of a lab carries; its value is the lab's directory.
MARK = "RUNBOOK_LAB_DIRECTORY"


@dataclass
class Member:
    """One process of a lab."""

    name: str
    identity: Identity
    address: str = ""
    log: str = ""
    signals: list[str] = field(default_factory=lambda: ["SIGTERM"])


@dataclass
class State:
    """A lab. ``phase`` is "starting" until everything is populated, then "running"."""

    directory: Path
    system: str
    scenario: str
    size: str
    seed: int
    created_at: str
    builder: Identity
    phase: str = "starting"
    summary: dict[str, str] = field(default_factory=dict)
    members: list[Member] = field(default_factory=list)
    extra_directories: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def save(self) -> None:
        """Write it, whole or not at all."""
        content = {key: value for key, value in vars(self).items() if not key.startswith("_")}
        content.update(
            version=VERSION,
            directory=str(self.directory),
            builder=asdict(self.builder),
            members=[asdict(member) for member in self.members],
        )
        partial = self.directory / f"{FILE}.partial"
        write_private(partial, json.dumps(content, indent=2) + "\n")
        partial.rename(self.directory / FILE)

    def add(self, member: Member, extra_directories: list[Path]) -> None:
        """Record a process, or what is now known about it; threads may do this at once."""
        with self._lock:
            self.members = [each for each in self.members if each.name != member.name] + [member]
            for each in extra_directories:
                if str(each) not in self.extra_directories:
                    self.extra_directories.append(str(each))
            self.save()

    def set(self, **changes: Any) -> None:
        with self._lock:
            for key, value in changes.items():
                setattr(self, key, value)
            self.save()

    @property
    def alive(self) -> list[Member]:
        return [member for member in self.members if member.identity.alive()]

    @property
    def dead(self) -> list[Member]:
        return [member for member in self.members if not member.identity.alive()]

    @property
    def complete(self) -> bool:
        """Whether everything was started and still runs."""
        return self.phase == "running" and not self.dead


def load(directory: Path) -> State | None:
    """The state of the lab in a directory; None when there is none."""
    path = directory / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        remedy = f"Remove {directory} when nothing of it runs any more."
        raise LabError(f"{path} cannot be read ({error}). {remedy}") from error
    if not isinstance(content, dict) or content.pop("version", None) != VERSION:
        remedy = "Stop that lab with the version it came from."
        raise LabError(f"{path} was written by another version of the lab. {remedy}")
    content["directory"] = directory
    content["builder"] = Identity(**content["builder"])
    content["members"] = [
        Member(**{**member, "identity": Identity(**member["identity"])}) for member in content["members"]
    ]
    return State(**content)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(text)


class Busy(LabError):
    """Another process works on the same lab."""


@contextlib.contextmanager
def claim(directory: Path, *, wait: bool = False) -> Iterator[None]:
    """Nobody else starts or stops the lab in this directory meanwhile; the claim ends with the process."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = directory.parent / f".{directory.name}.lock"
    with path.open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise Busy(f"{holder} is at work on the lab in {directory}. Wait until it has finished.") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()}")
        lock.flush()
        yield
        lock.truncate(0)
