# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A named staging server that is proven not to be the production, and a database there that is gone afterwards."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.present import present
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import LOCK_CLASS
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import installations
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.reading import Head
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import Request
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import (
    Target,
    fitting,
    make_database,
    needed_versions,
)

with contextlib.suppress(ImportError):
    # The client says what is missing.
    from psycopg2 import sql

PREFIX = "runbook_verify_"
_APPLICATION = "runbook.ops verify"
_WARDEN_SECONDS = 10.0
_DROP_ATTEMPTS = 5
_LOCK_SECONDS = 300.0


def check_staging(request: Request, identifiers: Mapping[str, str]) -> None:
    """Refuse a staging server that is, or may be, the production, before anything is touched.

    A physical copy of the production has its identifier, too, and is refused for being like it.

    Args:
        request: With the login options C(staging) and, perhaps, C(production).
        identifiers: The system identifiers of the servers that the manifests are of, by artefact.

    Raises:
        Refused: it is the production, or nothing says which server that is.
        Unavailable: a server cannot be reached.

    """
    if request.staging is None:
        return
    known = {identifier: f"the server that {name} was taken from" for name, identifier in identifiers.items()}
    if request.production is not None:
        known[_identifier(request.production, "production")] = "the server named in production"
    if request.system_identifier:
        known[request.system_identifier] = "the server named in identity.system_identifier"
    if not known:
        raise Refused(
            "Nothing says which server is the production: there is no manifest, no production and no "
            "identity.system_identifier. Nothing was touched. Name the production's login in production, or leave "
            "staging out, so that a private server is made.",
            code="target_is_production",
        )
    found = _identifier(request.staging, "staging")
    if found in known:
        raise Refused(
            f"The staging server has system identifier {found}, and that is {known[found]}: it is the production or a "
            "physical copy of it. Nothing was touched. Name another server in staging, or leave it out, so that a "
            "private server is made.",
            code="target_is_production",
            system_identifier=found,
        )


def _identifier(options: Mapping[str, Any], option: str) -> str:
    with connect(options, application_name=_APPLICATION, statement_timeout_seconds=10) as session:
        try:
            rows = session.query("SELECT system_identifier::text AS identifier FROM pg_catalog.pg_control_system()")
        except QueryError as error:
            raise Refused(
                f"The server named in {option} does not tell its system identifier ({error.message}), so that it "
                "cannot be proven that the staging server is not the production. Nothing was touched. Grant the login "
                "EXECUTE ON FUNCTION pg_control_system(), or leave staging out, so that a private server is made.",
                code="target_is_production",
            ) from None
        return str(rows[0]["identifier"])


class Staging:
    """The staging server for one run: databases of one unique name, each dropped, also when this process is killed.

    It begins before anything else is started: its warden is a fork of this process.

    Raises:
        Unavailable, RunbookError: the server cannot be used.

    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._options = dict(request.staging or {})
        self._name = f"{PREFIX}{secrets.token_hex(6)}"
        self._stack = contextlib.ExitStack()
        self._session: Optional[Session] = None

    def __enter__(self) -> Staging:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_warden(self._options, self._name))
            self._session = stack.enter_context(_connect(self._options))
            clear_leftovers(self._session)
            # As long as this session lives, nobody takes the database for a leftover.
            self._session.query("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, _key(self._name)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def target(self, head: Head, census: Optional[Census]) -> Iterator[Target]:
        """An empty database there; raises Undecided when the server or the programs are too old."""
        session = present(self._session, "the session of the staging server")
        server, client = needed_versions(head, census)
        version = session.server_version_num
        if version // 10000 < server // 10000:
            raise Undecided(
                f"it is of PostgreSQL {server // 10000}, and the staging server has version {version // 10000}. Name a "
                "newer one in staging, or leave it out, so that a private server is made",
                code="server_too_old",
            )
        found = installations(self._request.bin_directory, "pg_restore")
        installation = fitting(found, 0, max(version // 10000, client // 10000))
        try:
            _database, notes, same_locale = make_database(session, head, census, self._name)
            yield Target(
                {**self._options, "login_db": self._name},
                installation,
                "staging",
                version,
                restores_roles=False,
                throwaway=False,
                notes=[*notes, "owners and privileges were not looked at: roles belong to the whole server"],
                same_locale=same_locale,
            )
        finally:
            _drop_for_sure(self._options, self._name)


def clear_leftovers(session: Session) -> list[str]:
    """Drop the databases of runs that are dead: nobody holds their locks."""
    rows = session.query(
        "SELECT datname::text AS name FROM pg_catalog.pg_database WHERE starts_with(datname::text, %s)", (PREFIX,)
    )
    dropped = []
    for row in rows:
        name = str(row["name"])
        key = _key(name)
        if session.query("SELECT pg_try_advisory_lock(%s, %s) AS taken", (LOCK_CLASS, key))[0]["taken"]:
            drop_database(session, name)
            session.query("SELECT pg_advisory_unlock(%s, %s)", (LOCK_CLASS, key))
            dropped.append(name)
    return dropped


def drop_database(session: Session, name: str) -> None:
    """Drop one of ours with whoever is still in it."""
    if not name.startswith(PREFIX):
        raise RunbookError(f"{name} is not a database of a verification, and is not dropped.")
    session.query(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _drop_for_sure(options: Mapping[str, Any], name: str) -> None:
    with _connect(options) as session:
        drop_database(session, name)


def _connect(options: Mapping[str, Any]) -> Session:
    return connect(
        options,
        application_name=_APPLICATION,
        statement_timeout_seconds=0,
        lock_timeout_seconds=_LOCK_SECONDS,
        read_only=False,
    )


def _key(name: str) -> int:
    return zlib.crc32(name.encode()) - 2**31


@contextlib.contextmanager
def _warden(options: Mapping[str, Any], name: str) -> Iterator[None]:
    """A process that drops the database when this one ends, however it ends.

    It is a fork, so that the login stays in memory and appears nowhere.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _watch(reader, options, name)
    os.close(reader)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.write(writer, b"done")
        os.close(writer)
        _reap(pid)


def _watch(reader: int, options: Mapping[str, Any], name: str) -> None:
    """The warden's life; it does not return."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.setsid()
        # Nothing of the parent's may stay open because of us: pipes that others wait for, locks, connections.
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        for descriptor in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
            if descriptor > 2 and descriptor != reader:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        said = b""
        while piece := os.read(reader, 16):
            said += piece
        for _attempt in range(0 if said else _DROP_ATTEMPTS):
            with contextlib.suppress(Exception), _connect(options) as session:
                # The killed run's session may still be making the database; when it has ended, its lock is free.
                session.query("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, _key(name)))
                drop_database(session, name)
                break
            time.sleep(1)
    finally:
        os._exit(0)


def _reap(pid: int) -> None:
    deadline = time.monotonic() + _WARDEN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                time.sleep(0.01)
                continue
        return
