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
from pathlib import Path

from lab.errors import LabError
from lab.faults import damage
from lab.faults.mistakes import MISTAKES, copy_database, make_mistake
from lab.faults.pgbackrest import STANZA, WHOLE, PgBackRest, reported
from lab.faults.rivals import PGBACKREST, Answer
from lab.faults.small_disk import small_disk
from lab.postgresql import PostgresServer
from lab.users import ordinary_account, scratch_directory

LONG_AGO = "2020-01-01 00:00:00+00"


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
    place = scratch_directory("rbl-br-", ordinary_account())
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
