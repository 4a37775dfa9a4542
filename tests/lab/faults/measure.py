"""One fresh measurement of what other tools say of the faults, in about a minute."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

from lab.errors import MissingServer
from lab.faults.cases import CASES
from lab.faults.dumps import Source
from lab.faults.exhibits import (
    BESIDE,
    CRAMPED,
    LIVE,
    LIVE_VALUE,
    OLDER_SERVER,
    PORTABLE,
    SEQUENCE,
    WITHOUT_EXTENSION,
    WITHOUT_ROLES,
    Exhibit,
    Exhibits,
)
from lab.faults.rival_pgbackrest import ask_pgbackrest
from lab.faults.rivals import Answer, Places, ask_module, ask_side_by_side
from lab.faults.shop import ROLES, make_roles
from lab.faults.small_disk import small_disk
from lab.installations import Installation, all_installations, default_installation
from lab.postgresql import PostgresServer
from lab.users import ordinary_account, scratch_directory

Answers = dict[int, list[Answer]]
# Room for a database; for less than half of the shop's dump.
TABLESPACE_BYTES, DUMPS_BYTES = 20_000_000, 65_536


def newer_installation() -> Installation:
    """A newer major than the usual one, with client programs and without the extensions of PostgreSQL's own."""
    usual = default_installation().major
    for each in sorted(all_installations(), key=lambda each: each.major):
        if each.major > usual and each.program("pg_dump") and not each.has_library("citext"):
            return each
    raise MissingServer(f"No PostgreSQL newer than {usual} with pg_dump was found.")


def programs_without_restrict() -> Path:
    r"""The directory of a psql from before August 2025, which does not know \restrict."""
    known_since = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}
    for each in all_installations():
        _major, _dot, minor = each.version.partition(".")
        if each.program("psql") and minor.isdigit() and int(minor) < known_since.get(each.major, 0):
            return each.bin
    raise MissingServer(r"No psql that is old enough to reject \restrict was found.")


def measure() -> Answers:
    """What every tool says of every case that it can be asked about."""
    now = dt.datetime.now(dt.timezone.utc)
    answers = measure_dumps(now)
    for number, answer in ask_pgbackrest(now).items():
        answers.setdefault(number, []).append(answer)
    return answers


def measure_dumps(now: dt.datetime) -> Answers:
    """The tools that look at dumps, take or restore them."""
    place = scratch_directory("rbl-faults-", ordinary_account())
    # The servers' account goes through it to a tablespace.
    place.chmod(0o755)
    try:
        with contextlib.ExitStack() as stack:
            usual = stack.enter_context(PostgresServer())
            bare = stack.enter_context(PostgresServer())
            cramped = stack.enter_context(PostgresServer())
            newer = stack.enter_context(PostgresServer(newer_installation()))
            make_roles(newer)
            disk = stack.enter_context(small_disk(place / "tablespace", TABLESPACE_BYTES, cramped.account))
            source = Source(usual)
            exhibits = Exhibits(source, Source(newer), cramped, place=place, disk=disk, now=now)
            exhibits.plant()
            made = {case.number: exhibit for case in CASES if (exhibit := exhibits.of(case.number))}
            made[9], written = full_disk(source, place)
            places = Places(
                {
                    BESIDE: usual,
                    WITHOUT_ROLES: bare,
                    WITHOUT_EXTENSION: newer,
                    OLDER_SERVER: usual,
                    CRAMPED: cramped,
                },
                programs_without_restrict(),
            )
            answers = ask_side_by_side(made, source, places)
            # The server could not write its last checkpoint, and would take its time to find out.
            (disk / "filler").unlink()
            answers[43] = [replace(each, status=each.status + harm(usual)) for each in answers[43]]
            answers[9].insert(0, written)
            answers[7].insert(0, unprivileged(source, place))
            return answers
    finally:
        shutil.rmtree(place, ignore_errors=True)


def harm(server: PostgresServer) -> str:
    """What a restore into the production did to it."""
    [[value]] = server.query(f"SELECT last_value FROM {SEQUENCE}", db=LIVE)
    return ", a sequence of the production was set back" if value < LIVE_VALUE else ""


def full_disk(source: Source, place: Path) -> tuple[Exhibit, Answer]:
    """postgresql_db writes a dump to a disk that is too small for it; what is left of it."""
    programs = Path(source.program("pg_dump")).parent
    with small_disk(place / "disk", DUMPS_BYTES) as disk:
        target = disk / "09.sql.gz"
        written = ask_module(source.server, programs, state="dump", name=PORTABLE, target=str(target))
        kept = Path(shutil.copy2(target, place / "09.sql.gz"))
    return Exhibit(zipped=kept, restored=kept), written


def unprivileged(source: Source, place: Path) -> Answer:
    """postgresql_db dumps as a role that may not read everything."""
    programs = Path(source.program("pg_dump")).parent
    return ask_module(
        source.server,
        programs,
        state="dump",
        name=PORTABLE,
        target=str(place / "07-module.sql.gz"),
        login_user=ROLES["reader"],
        login_password="not in any dump",
    )
