"""What pgBackRest says of the faults that its repositories and restores can have."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.faults import damage
from lab.faults.mistakes import MISTAKES, copy_database, make_mistake
from lab.faults.rivals import PGBACKREST, TEXT_ONLY, Answer
from lab.faults.shop import make_shop
from lab.faults.small_disk import small_disk
from lab.postgresql import PostgresServer
from lab.process import clean_environment, run_as
from lab.users import give, scratch_directory

STANZA = "shop"
WHOLE, PORTABLE = "shop", "portable_shop"
LONG_AGO = "2020-01-01 00:00:00+00"
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
        deadline = time.monotonic() + 30
        while self.server.query("SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'")[0][0]:
            if time.monotonic() > deadline:
                raise LabError("The WAL was not archived within 30 seconds.")
            time.sleep(0.05)

    def postgres(self, data: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the server program on another data directory, until it ends by itself."""
        program = self.server.installation.bin / "postgres"
        return run_as(self.server.account, [program, "-D", data, *options], timeout=60)

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


def answers_of_repositories(backrest: PgBackRest) -> dict[int, Answer]:
    """Faults of files in a repository, each in a copy of its own, asked with C(verify)."""
    found: dict[int, Answer] = {}

    def broken(number: int, repository: Path) -> None:
        found[number] = reported(backrest.verify(repository))

    for number in (1, 5, 38, 37):
        repository = backrest.copy(number)
        file = backrest.data_file(repository)
        if number == 1:
            damage.cut(file)
        elif number == 5:
            damage.flip(file)
        elif number == 38:
            file.write_bytes(gzip.compress(b"something else", mtime=0))
        else:
            # The account of the repository is not root: it is refused.
            file.chmod(0)
        broken(number, repository)
    for number in (29, 30):
        repository = backrest.copy(number)
        segment = backrest.segments(repository)[-2]
        if number == 29:
            segment.unlink()
        else:
            # The file is whole, and so is its compression: what is in it is not.
            content = bytearray(gzip.decompress(segment.read_bytes()))
            content[5000] ^= 0x10
            segment.write_bytes(gzip.compress(content, compresslevel=1, mtime=0))
        broken(number, repository)
    return found


def answers_of_restores(backrest: PgBackRest) -> dict[int, Answer]:
    """Restores to moments that cannot be reached, into the production, onto a full disk; and what a copy does."""
    found: dict[int, Answer] = {}
    ahead = backrest.now + dt.timedelta(days=30)
    targets = {31: f"{ahead:%Y-%m-%d %H:%M:%S}+00", 32: LONG_AGO, 33: f"{ahead:%Y-%m-%d %H:%M:%S}"}
    for number, target in targets.items():
        data = backrest.place / f"data-{number}"
        backrest.make(data)
        found[number] = backrest.run(
            "restore", f"--pg1-path={data}", "--type=time", f"--target={target}", "--target-action=promote"
        ).answer()
    data = backrest.place / "data-31"
    setting = backrest.postgres(data, "-C", "archive_mode").stdout.strip()
    found[42] = Answer(PGBACKREST, "restore", f"exit 0, archive_mode = {setting}", setting != "on")
    if not found[31].objected:
        started = backrest.postgres(data, "-c", "listen_addresses=", "-c", f"unix_socket_directories={backrest.place}")
        found[31] = Answer(
            PGBACKREST,
            "restore",
            f"{found[31].status}, then the server does not start (exit {started.returncode})",
            started.returncode != 0,
            started.stderr,
        )
    found[43] = backrest.run("restore", f"--pg1-path={backrest.server.data}").answer()
    with small_disk(backrest.place / "small", 8 * 2**20, backrest.server.account) as small:
        found[44] = backrest.run("restore", f"--pg1-path={small}").answer()
    return found


def answers_of_writing(backrest: PgBackRest) -> dict[int, Answer]:
    """Backups that are killed, that find the disk full, or another cluster; another key; retention."""
    found = {8: _killed(backrest)}
    with small_disk(backrest.place / "full", 2 * 2**20, backrest.server.account) as full:
        option = f"--repo1-path={full}"
        backrest.run("stanza-create", option)
        found[9] = backrest.run("backup", option, "--type=full", "--no-archive-check").answer()
    with PostgresServer(fresh=True) as other:
        found[11] = backrest.run(
            "backup",
            f"--pg1-path={other.data}",
            f"--pg1-port={other.port}",
            f"--pg1-socket-path={other.socket_dir}",
            "--type=full",
            PGPASSWORD=other.password,
        ).answer()
    encrypted = backrest.place / "encrypted"
    backrest.make(encrypted)
    options = (f"--repo1-path={encrypted}", "--repo1-cipher-type=aes-256-cbc")
    created = backrest.run("stanza-create", *options, PGBACKREST_REPO1_CIPHER_PASS="the right one")
    if created.code:
        raise LabError(f"pgbackrest stanza-create failed: {created.words}")
    found[39] = reported(backrest.run("verify", *options, PGBACKREST_REPO1_CIPHER_PASS="another one"))
    return found


def _killed(backrest: PgBackRest) -> Answer:
    """Killed with SIGKILL while it copies."""
    before = {path.name for path in backrest.repository.glob(f"backup/{STANZA}/*F")}
    account = backrest.server.account
    with subprocess.Popen(
        backrest.command("backup", "--type=full"),
        env=backrest.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        user=account.uid if account else None,
        group=account.gid if account else None,
        start_new_session=True,
    ) as running:
        while running.poll() is None:
            new = [path for path in backrest.repository.glob(f"backup/{STANZA}/*F") if path.name not in before]
            if any(path.rglob("*.gz") for path in new):
                os.killpg(running.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
    [stanza] = json.loads(backrest.run("info", "--output=json", "--log-level-console=warn").words)
    listed = {each["label"] for each in stanza["backup"]}
    return Answer(PGBACKREST, "info", "not listed" if listed == before else "listed", listed == before)


def answers_of_content(backrest: PgBackRest) -> dict[int, Answer]:
    """What went wrong inside the database, planted side by side in one cluster; a damaged page; newer failures."""
    numbers = [10, *MISTAKES]
    backrest.server.execute("CREATE DATABASE empty_shop TEMPLATE template0")
    for number in MISTAKES:
        copy_database(backrest.server, WHOLE, f"mistake_{number}")
        make_mistake(backrest.server, f"mistake_{number}", number)
    backup = backrest.run("backup", "--type=full")
    verified = backrest.verify(backrest.repository)
    worst = backup if backup.code else verified
    found = {number: reported(worst) for number in numbers}

    repository = backrest.copy(40)
    good = min(repository.glob(f"backup/{STANZA}/*F"))
    damage.flip(backrest.data_file(repository))
    expired = backrest.run("expire", f"--repo1-path={repository}", "--repo1-retention-full=1")
    found[40] = expired.answer(
        objected=good.exists(),
        status=f"exit {expired.code}, the last good backup is {'kept' if good.exists() else 'deleted'}",
    )

    [(path,)] = backrest.server.query("SELECT pg_relation_filepath('public.order_lines')", db=WHOLE)
    backrest.server.execute("CHECKPOINT")
    damage.ruined_page(backrest.server.data / path, 2)
    found[41] = reported(backrest.run("backup", "--type=full"), re.compile("invalid page checksum"))
    return found


def ask_pgbackrest(now: dt.datetime) -> dict[int, Answer]:
    """All of it; takes about half a minute."""
    account = PostgresServer(fresh=True).account
    place = scratch_directory("rbl-br-", account)
    try:
        backrest = PgBackRest(place, now)
        with backrest.running():
            healthy = reported(backrest.verify(backrest.repository))
            check = backrest.run("check").answer()
            return {
                45: check if check.objected else healthy,
                **answers_of_repositories(backrest),
                **answers_of_restores(backrest),
                **answers_of_writing(backrest),
                **answers_of_content(backrest),
            }
    finally:
        shutil.rmtree(place, ignore_errors=True)
