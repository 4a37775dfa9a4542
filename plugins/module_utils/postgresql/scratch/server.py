# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private PostgreSQL server, made for one occasion and always destroyed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.children import (
    ChildFailed,
    clean_environment,
    end_with_parent,
    first_words,
    run,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.files import explained, free_bytes
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.account import can_enter
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.machine import available_bytes, processors
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.settings import (
    PRIVATE,
    Setting,
    configuration,
    demanded,
    tuned,
    words,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

SUPERUSER = "postgres"
_INITDB_SECONDS = 300.0
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02
_LOG_BYTES = 20_000
# A server without data takes about so much.
_EMPTY_BYTES = 200 * 1024 * 1024
_FULL = "No space left on device"
_COMPLAINT = re.compile(r"\b(?:ERROR|FATAL|PANIC):  ")


class ScratchServer:
    """A server without a port whose socket lies in a private directory; it ends with the block, and with this process.

    It runs as an ordinary account, archives nothing, keeps nothing. A killed run leaves nothing either: a warden ends
    the server and removes the place (see C(place)).

    Args:
        installation: Whose server programs are run.
        place: The directory below which its own is made, or a C(ScratchPlace) that exists already, which then outlives
            the server.
        progress: Told while it starts; ends the start when somebody wants the end.
        account: The account to run it as; C(None) chooses (see C(choose_account)).
        settings: Settings that win over the tuning, not over what keeps the server private.
        data_directory: A physical copy to start instead of an empty server; it stays where it is. Its own
            configuration files are not obeyed; recovery is what C(settings) and its signal file say.
        initdb_arguments: More arguments for initdb, such as an encoding.
        checksums: Whether an empty server's pages get checksums.
        preload: Libraries that extensions need loaded at the start.
        needed_bytes: The space that is going to be used.
        start_seconds: How long the start, with its recovery, may take; None waits as long as recovery goes on.
        superuser: The name of a copy's superuser.
        on_wait: Called again and again while it starts, instead of telling the progress.

    Raises:
        Undecided: too little space (code no_space), or it does not start.
        RunbookError: a program or an account is missing.

    """

    def __init__(
        self,
        installation: Installation,
        *,
        progress: Progress,
        place: Path | ScratchPlace | None = None,
        account: str | None = None,
        settings: Optional[Mapping[str, Setting]] = None,
        data_directory: Optional[Path] = None,
        initdb_arguments: tuple[str, ...] = (),
        checksums: bool = False,
        preload: tuple[str, ...] = (),
        needed_bytes: int = 0,
        start_seconds: Optional[float] = _START_SECONDS,
        superuser: str = SUPERUSER,
        on_wait: Optional[Callable[[], None]] = None,
    ) -> None:
        self.installation = installation
        self.place = place if isinstance(place, ScratchPlace) else ScratchPlace(place, account=account)
        self._owns_place = not isinstance(place, ScratchPlace)
        self._progress = progress
        self._given = dict(settings or {})
        self._copy = data_directory
        self._initdb_arguments = initdb_arguments
        self._checksums = checksums
        self._preload = preload
        self._needed_bytes = needed_bytes
        self._start_seconds = start_seconds
        self._superuser = superuser
        self._on_wait = on_wait
        self._server: Optional[subprocess.Popen[bytes]] = None
        self.data_directory = data_directory or self.place.directory / "data"
        # What the running server itself says of its settings.
        self.proof: dict[str, str] = {}

    def __enter__(self) -> ScratchServer:
        try:
            if self._owns_place:
                self.place.__enter__()
            self.place.require_bytes(self._needed_bytes + _EMPTY_BYTES, "A scratch server")
            self._require_programs()
            if self._copy is None:
                self._initialise()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        # A server that cannot write its log of changes ends; whoever worked in it saw only that it was gone.
        is_full = isinstance(error, RunbookError) and _FULL in self._last_log()
        self.stop()
        if is_full and getattr(error, "details", {}).get("code") != "no_space":
            raise Undecided(
                f"there is no space left in {self.place.directory.parent}, where the scratch server was. Free some, or "
                "name a place on a larger disk",
                code="no_space",
            ) from error

    @property
    def options(self) -> dict[str, Any]:
        """Login options, as modules take them, of its superuser."""
        return {
            "login_unix_socket": str(self.place.sockets),
            "login_port": 5432,
            "login_user": self._superuser,
            "login_password": None,
            "login_db": "postgres",
            "ssl_mode": "disable",
            "connect_timeout": 30,
        }

    @property
    def directory(self) -> Path:
        """The private directory, where more may be put."""
        return self.place.directory

    def connect(self, database: str = "postgres", *, read_only: bool = False) -> Session:
        """A session of its superuser without time limits."""
        return connect({**self.options, "login_db": database}, statement_timeout_seconds=0, read_only=read_only)

    def log_words(self, lines: int = 3) -> str:
        """The last things the server complained of, as one clause."""
        told = [line for line in self._last_log().splitlines() if _COMPLAINT.search(line)]
        return first_words("\n".join(line.split("] ", 1)[-1] for line in told[-lines:])) or "it said nothing"

    def _last_log(self) -> str:
        try:
            with self._log.open("rb") as stream:
                stream.seek(max(0, self._log.stat().st_size - _LOG_BYTES))
                return stream.read().decode("utf-8", "backslashreplace")
        except OSError:
            return ""

    def stop(self) -> None:
        """End it at once, saving nothing, and remove what it had."""
        if self._server is not None:
            if self._server.poll() is None:
                self._server.send_signal(signal.SIGQUIT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._server.wait(10)
            if self._server.poll() is None:
                self._server.kill()
                self._server.wait()
            self._server = None
        if self._owns_place:
            self.place.remove()

    @property
    def _log(self) -> Path:
        return self.place.directory / "log"

    def _require_programs(self) -> None:
        if not can_enter(self.installation.directory, self.place.account):
            raise RunbookError(
                f"The account {self.place.account.name} that runs the scratch server cannot enter "
                f"{self.installation.directory}. Name another bin_directory or another account."
            )

    def _initialise(self) -> None:
        self._progress.phase("scratch server", f"PostgreSQL {self.installation.version}")
        arguments = [
            *("-D", str(self.data_directory), "-U", self._superuser, "-A", "trust", "--no-sync", "--encoding=UTF8"),
            "--locale=C",
            *self._initdb_arguments,
        ]
        if self._checksums:
            arguments.append("--data-checksums")
        elif self.installation.major >= 18:
            arguments.append("--no-data-checksums")
        try:
            run(
                [self.installation.program("initdb"), *arguments],
                environment=clean_environment(HOME=str(self.place.directory)),
                seconds=_INITDB_SECONDS,
                cwd=self.place.directory,
                account=self.place.account.ids,
            )
        except ChildFailed as error:
            raise Undecided(f"initdb cannot make a scratch server: {first_words(error.words)}") from None

    def _start(self) -> None:
        directory = self.place.directory
        settings = {
            **tuned(available_bytes(), processors(), free_bytes(directory), is_copy=self._copy is not None),
            **self._demands(),
            **self._given,
            **PRIVATE,
            "unix_socket_directories": str(self.place.sockets),
            "shared_preload_libraries": ",".join(self._preload),
            "hba_file": str(directory / "hba.conf"),
            "ident_file": str(directory / "ident.conf"),
        }
        for name, text in (
            ("hba.conf", "local all all trust\nlocal replication all trust\n"),
            ("ident.conf", ""),
            ("scratch.conf", configuration(settings)),
        ):
            self._write(directory / name, text)
        with explained("write", self._log):
            log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        overriding = [f"{name}={words(value)}" for name, value in settings.items() if name in PRIVATE]
        argv = [
            *(self.installation.program("postgres"), "-D", str(self.data_directory)),
            *("-c", f"config_file={directory / 'scratch.conf'}"),
            *[part for each in overriding for part in ("-c", each)],
        ]
        try:
            self._server = subprocess.Popen(
                argv,
                cwd=self.data_directory,
                env=clean_environment(HOME=str(directory)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGQUIT),  # noqa: PLW1509 - it makes one system call and touches no lock
                **self._identity(),
            )
        except OSError as error:
            raise RunbookError(f"{argv[0]} cannot be started: {error.strerror or error}.") from None
        finally:
            os.close(log)
        self._wait()

    def _identity(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": self.place.account.uid, "group": self.place.account.gid, "extra_groups": []}

    def _wait(self) -> None:
        """Until it lets us in, and has said that it is private."""
        deadline = None if self._start_seconds is None else time.monotonic() + self._start_seconds
        server = self._server
        while server is not None:
            if server.poll() is not None:
                raise Undecided(f"the scratch server does not start: {self.log_words()}")
            with contextlib.suppress(Unavailable), self.connect(read_only=True) as session:
                self._prove(session)
                return
            if deadline is not None and time.monotonic() > deadline:
                raise Undecided(
                    f"the scratch server did not start within {self._start_seconds:g} s: {self.log_words()}"
                )
            if self._on_wait is not None:
                self._on_wait()
            else:
                self._progress.at(0, "starting")
            time.sleep(_POLL_SECONDS)

    def _prove(self, session: Session) -> None:
        """Ask the server itself whether it archives nothing, listens to nobody and is ours."""
        names = ("archive_mode", "listen_addresses", "data_directory", "wal_level", "fsync")
        rows = session.query(
            "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY (%s) ORDER BY name", (list(names),)
        )
        self.proof = {row["name"]: row["setting"] for row in rows}
        expected = {"archive_mode": "off", "listen_addresses": "", "data_directory": str(self.data_directory)}
        wrong = [f"{name} is {self.proof.get(name)!r}" for name in expected if self.proof.get(name) != expected[name]]
        if wrong:
            raise RunbookError(f"The scratch server is not private ({', '.join(wrong)}); it was stopped.")

    def _demands(self) -> dict[str, Setting]:
        """What a copy cannot be recovered below: the settings of the server that it is from, by its control file."""
        if self._copy is None:
            return {}
        settings_file = self._copy / "postgresql.auto.conf"
        with contextlib.suppress(FileNotFoundError):
            # It would win over what keeps the server private, except for what the command line says.
            settings_file.rename(self.place.directory / settings_file.name)
        if not self.installation.has("pg_controldata"):
            return {}
        said = run(
            [self.installation.program("pg_controldata"), "-D", str(self._copy)],
            environment=clean_environment(),
            account=self.place.account.ids,
        )
        return demanded(said)

    def _write(self, path: Path, text: str) -> None:
        with explained("write", path):
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            self.place.give(path)
