"""What other tools say of the same faults: run for real, their exit status and their words kept.

``gzip -t``, ``pg_restore --list``, and ``postgresql_db`` of community.postgresql look at dumps; pgBackRest is in
``rival_pgbackrest.py``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lab.faults.dumps import Source
from lab.faults.exhibits import Exhibit
from lab.postgresql import PostgresServer

GZIP, LIST, RESTORE, PGBACKREST = "gzip -t", "pg_restore --list", "postgresql_db", "pgBackRest"
# The status of a tool that prints what is wrong and ends as if nothing were.
TEXT_ONLY = "exit 0, only in its text"
POSTGRESQL_DB = "ansible_collections.community.postgresql.plugins.modules.postgresql_db"
# A tool that has said nothing for so long hangs.
PATIENCE = 20.0


@dataclass(frozen=True)
class Answer:
    """What a tool said: ``status`` for people (``exit 1``, ``ok``, ``failed``, ``hangs``), and whether it objected."""

    tool: str
    command: str
    status: str
    objected: bool
    words: str = ""


def run(argv: Sequence[str], env: dict[str, str] | None = None, stdin: str = "") -> tuple[int | None, str, str]:
    """Exit status (None: it hung and was killed), standard output and error."""
    with subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        try:
            out, err = running.communicate(stdin, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
            return None, "", ""
        return running.returncode, out, err


def exit_answer(tool: str, command: str, code: int | None, words: str) -> Answer:
    # Who waits for ever was told nothing.
    return Answer(tool, command, "hangs" if code is None else f"exit {code}", code not in (0, None), words.strip())


def ask_gzip(path: Path) -> Answer:
    code, _out, err = run(["gzip", "-t", str(path)])
    return exit_answer(GZIP, "gzip -t", code, err)


def ask_list(path: Path, source: Source) -> Answer:
    code, _out, err = run([source.program("pg_restore"), "--list", str(path)])
    return exit_answer(LIST, "pg_restore --list", code, err)


def ask_module(server: PostgresServer, programs: Path, **options: object) -> Answer:
    """Run postgresql_db as Ansible runs it, with the programs of a directory."""
    login = server.login()
    arguments = {
        **{name: login[name] for name in ("login_host", "login_port", "login_user", "login_password")},
        **options,
    }
    env = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONWARNINGS": "ignore",
    }
    code, out, err = run([sys.executable, "-m", POSTGRESQL_DB], env, json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
    command = f"postgresql_db state={options['state']}"
    if code is None:
        return Answer(RESTORE, command, "hangs", False)
    try:
        result = json.loads(out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return Answer(RESTORE, command, "failed", True, err.strip())
    failed = bool(result.get("failed"))
    return Answer(RESTORE, command, "failed" if failed else "ok", failed, str(result.get("msg", "")))


@dataclass(frozen=True)
class Places:
    """The servers that dumps are restored into, by what they lack, and the programs of an old installation."""

    servers: dict[str, PostgresServer]
    old_programs: Path

    def ask_restore(self, number: int, exhibit: Exhibit) -> Answer:
        """Restore into a fresh database, or into the one that the exhibit names."""
        if exhibit.restored is None:
            raise ValueError(f"Case {number} has nothing to restore.")
        server = self.servers[exhibit.where]
        database = exhibit.into
        if database is None:
            database = f"restored_{number:02d}"
            server.execute(f"CREATE DATABASE {database} TEMPLATE template0")
        programs = self.old_programs if exhibit.has_old_programs else Source(server).program("psql")
        return ask_module(
            server,
            programs if isinstance(programs, Path) else Path(programs).parent,
            state="restore",
            name=database,
            target=str(exhibit.restored),
        )


def ask_all(number: int, exhibit: Exhibit, source: Source, places: Places) -> list[Answer]:
    """What each tool that can read one of the files says of it."""
    answers = []
    if exhibit.zipped is not None:
        answers.append(ask_gzip(exhibit.zipped))
    if exhibit.archive is not None:
        answers.append(ask_list(exhibit.archive, source))
    if exhibit.restored is not None:
        answers.append(places.ask_restore(number, exhibit))
    return answers


def ask_side_by_side(
    exhibits: dict[int, Exhibit], source: Source, places: Places, *, at_once: int = 2
) -> dict[int, list[Answer]]:
    """``ask_all`` for all of them, a few at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        asked = {n: pool.submit(ask_all, n, exhibit, source, places) for n, exhibit in exhibits.items()}
        return {number: each.result() for number, each in asked.items()}
