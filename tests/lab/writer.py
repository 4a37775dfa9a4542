"""An application that writes all the time: ``python -m lab.writer start|stop|running|stopped DIRECTORY``.

The directory holds ``login.json`` (keywords of psycopg2.connect) and ``statement.sql``, which gets a number. Every row
that was committed is written down in ``committed``, every failure in ``failures``, so that tests can tell what must be
there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab.process import Identity

PAUSE_SECONDS = 0.02
_WAIT_SECONDS = 240.0


class Writer:
    """The writer whose files are in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pid_file = directory / "pid"

    @classmethod
    def make(cls, directory: Path, login: dict[str, object], statement: str) -> Writer:
        """Lay its files down; it is not started yet."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in (("login.json", json.dumps(login)), ("statement.sql", statement)):
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
        return cls(directory)

    def command(self, verb: str) -> list[str]:
        """How an inventory calls it."""
        return [sys.executable, "-m", "lab.writer", verb, str(self.directory)]

    def entry(self, name: str) -> dict[str, object]:
        """Its entry in ``runbook_writers``."""
        return {"name": name, **{verb: self.command(verb) for verb in ("stop", "start", "stopped", "running")}}

    @property
    def committed(self) -> list[int]:
        """The numbers of the rows that were committed."""
        return [int(line) for line in self._lines("committed")]

    @property
    def failures(self) -> list[str]:
        return self._lines("failures")

    def _lines(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    @property
    def pid(self) -> int | None:
        """Its process, if it lives."""
        try:
            identity = Identity.of(int(self._pid_file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
        # One that has ended and was not collected yet is no writer any more.
        return identity.pid if identity.alive() else None

    def start(self) -> None:
        """Start it unless it runs; returns when it has written."""
        if self.pid is not None:
            return
        before = len(self._lines("committed"))
        with (self.directory / "log").open("ab") as log:
            subprocess.Popen(
                self.command("run"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + _WAIT_SECONDS
        while len(self._lines("committed")) == before:
            if time.monotonic() > deadline:
                raise SystemExit(f"the writer does not write: {(self.directory / 'log').read_text()[-500:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it; returns when it is gone."""
        pid = self.pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _WAIT_SECONDS
        while self.pid is not None:
            if time.monotonic() > deadline:
                raise SystemExit("the writer does not end")
            time.sleep(0.05)
        self._pid_file.unlink(missing_ok=True)

    def run(self) -> None:
        """Write until somebody ends it; a database that is away for a moment is tried again, as applications do."""
        import psycopg2

        ending = False

        def end(_number: int, _frame: object) -> None:
            nonlocal ending
            ending = True

        signal.signal(signal.SIGTERM, end)
        self._pid_file.write_text(str(os.getpid()), encoding="utf-8")
        login = json.loads((self.directory / "login.json").read_text(encoding="utf-8"))
        statement = (self.directory / "statement.sql").read_text(encoding="utf-8")
        number = max(self.committed, default=0)
        connection = None
        with (self.directory / "committed").open("a", buffering=1, encoding="utf-8") as committed:
            while not ending:
                number += 1
                try:
                    if connection is None:
                        connection = psycopg2.connect(**login, connect_timeout=3, application_name="shop")
                        connection.autocommit = True
                    with connection.cursor() as cursor:
                        cursor.execute(statement, {"number": number})
                    committed.write(f"{number}\n")
                except psycopg2.Error as error:
                    with (self.directory / "failures").open("a", encoding="utf-8") as failures:
                        failures.write(f"{time.time():.3f} {str(error).splitlines()[0]}\n")
                    with contextlib.suppress(psycopg2.Error):
                        if connection is not None:
                            connection.close()
                    connection = None
                time.sleep(PAUSE_SECONDS)


def main() -> int:
    """Carry out one verb."""
    verb, directory = sys.argv[1], Path(sys.argv[2])
    writer = Writer(directory)
    if verb == "running":
        return 0 if writer.pid is not None else 1
    if verb == "stopped":
        return 0 if writer.pid is None else 1
    {"start": writer.start, "stop": writer.stop, "run": writer.run}[verb]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
