"""Scratch servers: private, tuned, as an ordinary account, and gone afterwards, whatever happens."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.installations import client_program
from lab.installations import installations as lab_installations
from lab.users import ordinary_account, scratch_directory

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress, Stopped
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import PREFIX, ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.server import ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation, installations

KILLS = 20
PATIENCE_SECONDS = 120.0
# Starts a server, works in it, and tells when it is ready. Killed somewhere on the way.
VICTIM = """
import sys
from pathlib import Path
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.server import ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import installations
with ScratchServer(installations(sys.argv[2], "initdb")[0], place=Path(sys.argv[1]), progress=Progress()) as server:
    print(server.directory, flush=True)
    with server.connect() as session:
        session.query("CREATE TABLE public.t AS SELECT g, md5(g::text) FROM generate_series(1, 30000000) AS g")
"""

# The same as whoever runs it, or as an ordinary account when that is root; the interpreter must be one that it may run.
ORDINARY = """
import os, pwd, shutil, sys
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.server import ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import installations
if os.geteuid() == 0:
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    sys.executable = "/usr/bin/python3"
with ScratchServer(installations(sys.argv[1], "initdb")[0], progress=Progress()) as server:
    with server.connect() as session:
        print(server.place.account.uid, session.query("SELECT current_user::text AS name")[0]["name"], server.directory)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    made = scratch_directory("rbs-", ordinary_account())
    yield made
    assert not list(made.iterdir())
    made.rmdir()


def bin_of(major: int) -> str:
    return str(lab_installations()[major].bin)


def server_of(major: int) -> Installation:
    return installations(bin_of(major), "initdb")[0]


def psql(server: ScratchServer, statement: str) -> str:
    command = [str(client_program("psql")), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", statement]
    where = {"PGHOST": server.options["login_unix_socket"], "PGUSER": "postgres", "PGDATABASE": "postgres"}
    return subprocess.run(
        command, env={**os.environ, **where}, capture_output=True, text=True, check=True
    ).stdout.strip()


def workers_in(place: Path) -> list[str]:
    """Processes that work in a directory or were told of it."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                where = str((process / "cwd").readlink())
            except OSError:
                continue
            if str(place) in where or str(place) in words:
                found.append(f"{process.name} {words}")
    return found


def wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("major", [14, 15, 17, 18])
def test_it_is_private_and_leaves_nothing(place: Path, major: int) -> None:
    with ScratchServer(server_of(major), place=place, progress=Progress()) as server:
        asked = psql(
            server,
            "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN "
            "('archive_mode', 'autovacuum', 'data_checksums', 'fsync', 'listen_addresses', 'wal_level')",
        )
        assert (
            asked == "archive_mode=off autovacuum=off data_checksums=off fsync=off listen_addresses= wal_level=minimal"
        )
        assert server.proof["archive_mode"] == "off"
        assert psql(server, "SHOW server_version_num").startswith(str(major))
        account = ordinary_account()
        owner = account.uid if account else os.geteuid()
        assert {
            (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode))
            for path in (server.directory, server.data_directory)
        } == {(owner, 0o700)}
        pid = int((server.data_directory / "postmaster.pid").read_text().splitlines()[0])
        sockets = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
        assert f"pid={pid}," not in sockets
    assert workers_in(place) == []
    assert list(place.iterdir()) == []


def test_several_at_once_and_only_their_own_end(place: Path) -> None:
    with ScratchServer(server_of(15), place=place, progress=Progress()) as one:
        with ScratchServer(server_of(15), place=place, progress=Progress()) as other:
            assert one.directory != other.directory
            psql(one, "CREATE TABLE here ()")
            assert psql(other, "SELECT to_regclass('here') IS NULL") == "t"
        assert psql(one, "SELECT count(*) FROM here") == "0"


def test_a_long_name_of_the_place(place: Path) -> None:
    long = place / ("x" * 120)
    long.mkdir()
    os.chown(long, place.stat().st_uid, -1)
    with ScratchServer(server_of(15), place=long, progress=Progress()) as server:
        assert server.directory.parent == long
        assert psql(server, "SELECT 1") == "1"
        sockets = Path(server.options["login_unix_socket"])
        assert sockets.parent != server.directory
    assert not sockets.exists()
    assert list(long.iterdir()) == []
    long.rmdir()


def test_what_was_asked_for_is_set_but_not_what_would_open_it(place: Path) -> None:
    wishes = {"work_mem": "7MB", "archive_mode": "on", "listen_addresses": "*"}
    with ScratchServer(
        server_of(15),
        place=place,
        progress=Progress(),
        settings=wishes,
        checksums=True,
        initdb_arguments=("--locale=C.UTF-8",),
    ) as server:
        shown = [
            psql(server, f"SHOW {name}") for name in ("work_mem", "archive_mode", "listen_addresses", "data_checksums")
        ]
        assert shown == ["7MB", "off", "", "on"]
        assert psql(server, "SELECT datcollate FROM pg_database WHERE datname = 'postgres'") == "C.UTF-8"


def test_it_starts_from_a_physical_copy_that_another_server_left(place: Path) -> None:
    with ScratchPlace(place) as workshop:
        with ScratchServer(
            server_of(15), place=workshop, progress=Progress(), settings={"max_connections": 60}
        ) as server:
            psql(server, "CREATE TABLE kept AS SELECT 7 AS seven")
            psql(server, "ALTER SYSTEM SET archive_mode = on")
            psql(server, "ALTER SYSTEM SET archive_command = 'false'")
            # It is ended without a word, and its transactions wait for no disk.
            psql(server, "CHECKPOINT")
            data = server.data_directory
        with ScratchServer(server_of(15), place=workshop, progress=Progress(), data_directory=data) as copy:
            assert psql(copy, "SELECT seven FROM kept") == "7"
            assert psql(copy, "SHOW archive_mode") == "off"
            assert psql(copy, "SHOW max_connections") == "60"


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(place: Path) -> None:
    server = ScratchServer(server_of(15), place=place, progress=Progress(), preload=("not_there",))
    with pytest.raises(Undecided, match='does not start: FATAL: could not access file "not_there"'), server:
        pass
    assert workers_in(place) == []


def test_too_little_space_is_said_before_anything_is_made(place: Path) -> None:
    server = ScratchServer(server_of(15), place=place, progress=Progress(), needed_bytes=1 << 60)
    with pytest.raises(Undecided, match=r"needs about .* bytes in .*, and .* are free there") as caught:  # noqa: SIM117
        with server:
            pass
    assert caught.value.details["code"] == "no_space"


@pytest.mark.parametrize(
    ("account", "message"),
    [
        ("nobody-knows", "account: 'nobody-knows' is not accepted. Accepted: an account of this host."),
        (
            "root",
            "account: 'root' is not accepted. Accepted: an ordinary account, because PostgreSQL refuses to run as "
            "root.",
        ),
    ],
    ids=["unknown", "root"],
)
def test_accounts_that_cannot_be_used(place: Path, account: str, message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        ScratchServer(server_of(15), place=place, progress=Progress(), account=account)
    assert caught.value.message == message


def test_a_place_that_the_account_cannot_enter(place: Path) -> None:
    hidden = place / "hidden"
    hidden.mkdir(mode=0o700)
    other = "nobody" if os.geteuid() == 0 else None
    if other is not None:
        with pytest.raises(
            RunbookError, match=r"The account nobody that runs the scratch server cannot enter .*/hidden"
        ):
            ScratchPlace(hidden, account=other)
    hidden.rmdir()
    with pytest.raises(RunbookError, match="is not a directory that can be written to"):
        ScratchPlace(hidden)


def test_an_ordinary_account_needs_no_root() -> None:
    command = [sys.executable, "-c", ORDINARY, bin_of(15)]
    uid, name, directory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(uid) != 0
    assert name == "postgres"
    assert not Path(directory).exists()


def test_stopped_while_it_starts(place: Path) -> None:
    progress = Progress()
    progress._signalled = "Stopped by signal SIGTERM"
    with pytest.raises(Stopped), ScratchServer(server_of(15), place=place, progress=progress):
        pass
    assert workers_in(place) == []


def test_killed_at_any_moment_it_leaves_nothing(place: Path) -> None:
    moments = random.Random(5)
    for _kill in range(KILLS):
        victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(place), bin_of(15)], stdout=subprocess.PIPE)
        # From the start of the interpreter to the middle of the work.
        moment = moments.uniform(0.05, 1.8)
        with pytest.raises(subprocess.TimeoutExpired):
            victim.wait(moment)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert wait_for(lambda: not workers_in(place) and not list(place.iterdir())), (moment, workers_in(place))


def test_killed_with_its_warden_the_next_run_clears_what_is_left(place: Path) -> None:
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, str(place), bin_of(15)], stdout=subprocess.PIPE)
    directory = Path(victim.stdout.readline().decode().strip())
    wardens = [int(words.split()[0]) for words in workers_in(place) if "def clear(place" in words]
    assert len(wardens) == 1
    for pid in [*wardens, victim.pid]:
        os.kill(pid, signal.SIGKILL)
    victim.wait()
    assert directory.exists()
    alive = ScratchPlace(place)
    with alive:
        assert not directory.exists()
        # A place that somebody works in is left alone.
        with ScratchPlace(place):
            assert alive.directory.exists()
    assert wait_for(lambda: not workers_in(place))
    assert PREFIX in directory.name
