"""What all servers of the lab have in common: a directory, a port, a process, a start and a stop."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

from lab import process
from lab.errors import LabError
from lab.ports import LOOPBACK, free_port
from lab.process import Identity
from lab.users import Account, scratch_directory

ATTEMPTS = 6
ADDRESS_IN_USE = ("address already in use", "Address already in use", "Address in use")


class Server:
    """A server process of the lab.

    ``base`` is the directory for its files; without one a temporary directory is made, and removed at the
    end of the ``with`` block. ``stop()`` leaves the files, so a ``start()`` continues where it was.
    ``detached`` servers outlive the process that started them.
    """

    label: ClassVar[str] = "server"
    ladder: ClassVar[process.Ladder] = process.POLITE
    start_seconds: ClassVar[float] = 60.0

    def __init__(
        self,
        base: Path | None = None,
        *,
        account: Account | None = None,
        detached: bool = False,
        on_spawn: Callable[[Server], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.host = LOOPBACK
        self.port = 0
        self.account = account
        self.detached = detached
        self.environment = environment or {}
        self._on_spawn = on_spawn
        self._temporary = base is None
        self.base = scratch_directory("rbl-", account) if base is None else Path(base).absolute()
        self.base.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None

    # --- what a kind of server defines
    def _prepare(self) -> None:
        """Before the first attempt: files that do not depend on the port."""

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process for ``self.port``."""
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def _after_start(self) -> None:
        """Once it answers."""

    # --- what everyone uses
    @property
    def log(self) -> Path:
        return self.base / f"{self.label.lower()}.log"

    @property
    def identity(self) -> Identity | None:
        return self._identity

    @property
    def pid(self) -> int | None:
        return self._identity.pid if self._identity else None

    @property
    def running(self) -> bool:
        return self._identity is not None and self._identity.alive()

    def log_tail(self, lines: int = 15) -> str:
        return process.tail(self.log, lines)

    def start(self) -> Self:
        """Start it and wait until it answers; a second start keeps files and, when it is still free, the port."""
        if self.running:
            return self
        self._prepare()
        for attempt in range(ATTEMPTS):
            if attempt or not self.port:
                self.port = free_port(self.host)
            if self._attempt():
                self._after_start()
                return self
        raise LabError(f"{self.label}: no free port was found in {ATTEMPTS} attempts.")

    def _attempt(self) -> bool:
        """True when the server answers, False when somebody else had taken the port."""
        mark = self.log.stat().st_size if self.log.exists() else 0
        child = self._spawn()
        self._process = child
        self._identity = Identity.of(child.pid)
        if self._on_spawn is not None:
            self._on_spawn(self)
        answered = process.wait_until(lambda: child.poll() is not None or self._is_ready(), self.start_seconds, 0.03)
        if answered and child.poll() is None:
            return True
        since = self.log.read_bytes()[mark:].decode(errors="replace") if self.log.exists() else ""
        ended = child.poll()
        self.stop()
        if ended is not None and any(phrase in since for phrase in ADDRESS_IN_USE):
            return False
        waited = f"did not answer within {self.start_seconds:.0f} seconds"
        how = waited if ended is None else f"ended with code {ended}"
        last = "\n".join(since.splitlines()[-15:]) or "(the log is empty)"
        raise LabError(f"{self.label} {how}. The end of {self.log}:\n{last}")

    def stop(self) -> None:
        """Stop the process; the files stay."""
        if self._identity is not None:
            process.stop(self._identity, self.ladder, self._process)
        if self._process is not None:
            self._process.poll()
        self._identity = None
        self._process = None

    def kill(self) -> None:
        """End it the hard way, as a crash or the kernel's memory killer would."""
        if self._identity is not None:
            process.stop(self._identity, ((signal.SIGKILL, 5.0),), self._process)
        self._identity = None
        self._process = None

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def remove(self) -> None:
        """Stop it and delete its files."""
        self.stop()
        shutil.rmtree(self.base, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        if self._temporary:
            self.remove()
        else:
            self.stop()
