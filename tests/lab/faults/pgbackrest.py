"""A server whose WAL goes to a repository of pgBackRest's, and copies of the repository to break."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.faults.rivals import PGBACKREST, TEXT_ONLY, Answer
from lab.faults.shop import make_shop
from lab.postgresql import PostgresServer
from lab.process import clean_environment, run_as
from lab.users import give

STANZA = "shop"
WHOLE = "shop"
# What verify prints when something is wrong; it ends with 0 all the same.
_WRONG = re.compile(r"status: error|status: invalid|(?:missing|invalid|other): [1-9]|WARN|ERROR")


@dataclass(frozen=True)
class Run:
    """One run of pgBackRest."""

    command: str
    code: int
    words: str

    def answer(self, *, objected: bool | None = None, status: str = "") -> Answer:
        """By its exit status, unless it is told otherwise."""
        verdict = self.code != 0 if objected is None else objected
        return Answer(PGBACKREST, self.command, status or f"exit {self.code}", verdict, self.words)


class PgBackRest:
    """A server whose WAL goes to a repository, a healthy full backup in it, and copies of the repository to break."""

    def __init__(self, place: Path, now: dt.datetime) -> None:
        program = shutil.which("pgbackrest")
        if program is None:
            raise LabError("pgbackrest is not installed (Debian, Ubuntu: apt-get install pgbackrest).")
        self.program = program
        self.place = place
        self.now = now
        self.config = place / "pgbackrest.conf"
        self.repository = place / "repository"
        self.server = PostgresServer(
            settings={
                "archive_mode": True,
                "archive_command": f"{program} --config={self.config} --stanza={STANZA} archive-push %p",
                "wal_level": "replica",
                "max_wal_senders": 4,
            },
            # pgBackRest would take two servers made from one template for the same.
            fresh=True,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        self.make(self.repository)
        # The archiver starts with the server.
        self._configure()
        with self.server:
            self._configure()
            make_shop(self.server, WHOLE, now=self.now)
            self._must("stanza-create")
            self._must("backup", "--type=full")
            self._write_wal()
            yield

    def make(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        give(directory, self.server.account)

    def _configure(self) -> None:
        self.config.write_text(
            "[global]\n"
            f"repo1-path={self.repository}\nlog-path={self.place}\nlock-path={self.place / 'lock'}\n"
            f"spool-path={self.place / 'spool'}\n"
            # Without it every failure is tried again after fifteen seconds.
            "job-retry=0\n"
            "log-level-console=info\nlog-level-file=off\ncompress-type=gz\ncompress-level=1\nstart-fast=y\n"
            "repo1-retention-full=9\narchive-timeout=10\n"
            f"[{STANZA}]\npg1-path={self.server.data}\npg1-port={self.server.port or 5432}\n"
            f"pg1-socket-path={self.server.socket_dir}\npg1-user={self.server.superuser}\n",
            encoding="utf-8",
        )
        give(self.config, self.server.account)

    def command(self, name: str, *options: str) -> list[str]:
        return [self.program, f"--config={self.config}", f"--stanza={STANZA}", *options, name]

    def environment(self, **extra: str) -> dict[str, str]:
        return clean_environment({"PGPASSWORD": self.server.password, **extra})

    def run(self, name: str, *options: str, **extra: str) -> Run:
        done = run_as(self.server.account, self.command(name, *options), env=self.environment(**extra))
        return Run(name, done.returncode, f"{done.stdout}\n{done.stderr}".strip())

    def _must(self, name: str, *options: str) -> Run:
        done = self.run(name, *options)
        if done.code:
            raise LabError(f"pgbackrest {name} failed: {done.words[-1500:]}")
        return done

    def _write_wal(self) -> None:
        """Three segments after the backup, archived."""
        for _round in range(3):
            self.server.execute("CREATE TABLE IF NOT EXISTS noise (text text)", db=WHOLE)
            self.server.execute("INSERT INTO noise SELECT md5(g::text) FROM generate_series(1, 1000) g", db=WHOLE)
            self.server.execute("SELECT pg_switch_wal()")
        deadline = time.monotonic() + 240
        while self.server.query("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'")[0][0]:
            if time.monotonic() > deadline:
                raise LabError("The WAL was not archived within 30 seconds.")
            time.sleep(0.05)

    def postgres(self, data: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the server program on another data directory, until it ends by itself."""
        program = self.server.installation.bin / "postgres"
        return run_as(self.server.account, [program, "-D", data, *options], timeout=300)

    # --- copies of the repository
    def copy(self, number: int) -> Path:
        target = self.place / f"repository-{number:02d}"
        done = run_as(self.server.account, ["cp", "-a", "--reflink=auto", self.repository, target])
        if done.returncode:
            raise LabError(f"The repository could not be copied: {done.stderr.strip()}")
        return target

    def verify(self, repository: Path) -> Run:
        return self.run("verify", f"--repo1-path={repository}", "--output=text", "--verbose")

    def data_file(self, repository: Path) -> Path:
        """The largest file of the newest backup: a table."""
        newest = max(repository.glob(f"backup/{STANZA}/*F"))
        return max(newest.rglob("*.gz"), key=lambda path: path.stat().st_size)

    def segments(self, repository: Path) -> list[Path]:
        """The archived WAL segments, oldest first."""
        return sorted(path for path in repository.glob(f"archive/{STANZA}/*/*/*.gz") if ".backup" not in path.name)


def reported(run: Run, wrong: re.Pattern[str] = _WRONG) -> Answer:
    """By its exit status, and by what it prints when that is 0."""
    if run.code == 0 and wrong.search(run.words):
        return run.answer(objected=False, status=TEXT_ONLY)
    return run.answer()
