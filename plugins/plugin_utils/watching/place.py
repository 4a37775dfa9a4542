# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The private directory of one watched run, on the machine where the module works.

It holds the module's progress file with its two neighbours (see C(module_utils/common/progress.py)) and the job file
in which Ansible's asynchronous wrapper keeps the result. Everything is gone when the directory is.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import PLACE_PREFIX

# What the wrapper writes while the module runs is shorter than this.
_HEAD = 400
_FILE = "progress"
_GONE = "directory-is-gone"
Execute = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True)
class Look:
    """What was seen in a place.

    Args:
        state: The module's progress; None before it has written any.
        stage: C(gone) when the directory is, C(empty) before the module was started, C(running), or C(ended) when it
            has given its result.
        alive: Whether the module's process is there; None while its number is not known.

    """

    state: dict[str, Any] | None
    stage: str
    alive: bool | None = None


class Place(ABC):
    """A directory that only the module's account can enter."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.progress_path = f"{directory}/{_FILE}"

    @abstractmethod
    def look(self) -> Look:
        """Read what is there, and give a sign of life."""

    @abstractmethod
    def stop(self, reason: str) -> None:
        """Ask the module to end at the next safe place."""

    @abstractmethod
    def result(self) -> dict[str, Any]:
        """The module's bare result once it has ended; empty when it cannot be read."""

    @abstractmethod
    def abandon(self) -> None:
        """Take the sign of life away: the module then ends, and removes the directory itself."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the directory with all that is in it."""


class LocalPlace(Place):
    """A directory of this machine and account, read directly."""

    @classmethod
    def make(cls, base: str) -> LocalPlace:
        """Make it below C(base), which may begin with a tilde, or where temporary files go."""
        error: OSError | None = None
        for folder in (Path(base).expanduser(), Path(tempfile.gettempdir())):
            directory = folder / _name()
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                directory.mkdir(mode=0o700)
            except OSError as refused:
                error = error or refused
                continue
            (directory / f"{_FILE}.watch").touch()
            return cls(str(directory))
        raise AnsibleConnectionFailure(f"Cannot make a directory for the module's progress: {error}")

    def look(self) -> Look:
        """Read what is there, and give a sign of life."""
        directory = Path(self.directory)
        with contextlib.suppress(OSError):
            os.utime(directory / f"{_FILE}.watch")
        if not directory.is_dir():
            return Look(None, "gone")
        # Whether it is alive is asked first: a process that ends in between has left its result.
        state = _json(_read(Path(self.progress_path)))
        alive = _is_alive((state or {}).get("pid"))
        job = self._job()
        return Look(state, _stage(_read(job, _HEAD) if job is not None else ""), alive)

    def stop(self, reason: str) -> None:
        """Ask the module to end at the next safe place."""
        partial = Path(f"{self.progress_path}.stopping")
        with contextlib.suppress(OSError):
            partial.write_text(reason, encoding="utf-8")
            partial.replace(f"{self.progress_path}.stop")

    def result(self) -> dict[str, Any]:
        """The module's bare result; empty when it cannot be read."""
        job = self._job()
        return (_json(_read(job)) if job is not None else None) or {}

    def abandon(self) -> None:
        """Take the sign of life away."""
        Path(f"{self.progress_path}.watch").unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _job(self) -> Path | None:
        return next((each for each in Path(self.directory).glob("j*") if each.suffix != ".tmp"), None)


class RemotePlace(Place):
    """A directory of another machine or account, read by small commands: one for each look."""

    def __init__(self, directory: str, execute: Execute) -> None:
        super().__init__(directory)
        self._execute = execute
        self._pid = 0

    @classmethod
    def make(cls, base: str, execute: Execute) -> RemotePlace:
        """Make it below C(base), an absolute path, or where temporary files go."""
        name = _name()
        folders = " ".join(shlex.quote(each) for each in (base, "/var/tmp", "/tmp"))  # noqa: S108  # Private inside.
        answer = execute(
            f"umask 077; for base in {folders}; do "
            f'if mkdir -p "$base" 2>/dev/null && mkdir "$base/{name}" 2>/dev/null && : > "$base/{name}/{_FILE}.watch"; '
            f'then echo "$base/{name}"; exit 0; fi; done; exit 1'
        )
        lines = [line for line in str(answer.get("stdout", "")).splitlines() if line.endswith(name)]
        if answer.get("rc") != 0 or not lines:
            raise AnsibleConnectionFailure(
                f"Cannot make a directory for the module's progress below {base}: {answer.get('stderr', '')}"
            )
        return cls(lines[-1], execute)

    def look(self) -> Look:
        """Read what is there, and give a sign of life."""
        answer = self._run(
            f"touch -c {_FILE}.watch; "
            f"if kill -0 {self._pid or '$$'} 2>/dev/null; then echo alive:yes; else echo alive:no; fi; "
            f"printf 'progress:%s\\n' \"$(cat {_FILE} 2>/dev/null)\"; "
            f'for job in j*[0-9]; do printf \'job:%s\\n\' "$(head -c {_HEAD} "$job" 2>/dev/null)"; done'
        )
        if _GONE in str(answer.get("stdout", "")):
            return Look(None, "gone")
        seen = dict(line.split(":", 1) for line in str(answer.get("stdout", "")).splitlines() if ":" in line)
        state = _json(seen.get("progress", ""))
        alive = seen.get("alive") == "yes" if self._pid else None
        pid = (state or {}).get("pid")
        self._pid = pid if isinstance(pid, int) else 0
        return Look(state, _stage(seen.get("job", "")), alive)

    def stop(self, reason: str) -> None:
        """Ask the module to end at the next safe place."""
        self._run(f"printf %s {shlex.quote(reason)} > {_FILE}.stopping && mv -f {_FILE}.stopping {_FILE}.stop")

    def result(self) -> dict[str, Any]:
        """The module's bare result; empty when it cannot be read."""
        return _json(str(self._run("cat j*[0-9]").get("stdout", ""))) or {}

    def abandon(self) -> None:
        """Take the sign of life away."""
        self._run(f"rm -f {_FILE}.watch")

    def remove(self) -> None:
        """Remove the directory."""
        self._execute(f"rm -rf {shlex.quote(self.directory)}")

    def _run(self, command: str) -> Mapping[str, Any]:
        there = shlex.quote(self.directory)
        answer = self._execute(f"if cd {there} 2>/dev/null; then {command}; else echo {_GONE}; fi")
        if answer.get("rc") != 0:
            raise AnsibleConnectionFailure(
                f"Cannot read the module's progress in {self.directory}: {answer.get('stderr', '')}"
            )
        return answer


def _name() -> str:
    return f"{PLACE_PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(8)}"


def _read(path: Path, most: int = -1) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(most)
    except OSError:
        return ""


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _stage(head: str) -> str:
    """What a job file, or its beginning, says: it holds the wrapper's note that it has started, then the result."""
    if not head:
        return "empty"
    found = _json(head)
    return "running" if found is not None and found.get("started") and not found.get("finished") else "ended"


def _is_alive(pid: Any) -> bool | None:
    if not isinstance(pid, int) or pid <= 0:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
