# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One session that loads: statements as the dump spells them, and rows as they come.

The driver's blocking mode is used, because COPY needs it; whoever wants the end calls C(abort) from another thread.
Compared with psql nothing is looked at row by row on this side, and refusals come with their SQLSTATE.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connection_parameters
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import LoadProblem
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.problems import problem_of_statement

with contextlib.suppress(ImportError):
    # The client says what is missing, and is asked first.
    import psycopg2
    from psycopg2 import extensions

_PIECE_BYTES = 65536
_MOST_WORDS = 400
_FIRST_WORDS = 60
_PLACE = re.compile(r"COPY .*?, line \d+(?:, column [^:]+)?")
_PREPARE = b"""
SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET default_transaction_read_only = off; SET client_min_messages = error
"""


class LoadFailed(RunbookError):
    """The server refused something of the dump; C(problem) says what."""

    def __init__(self, problem: LoadProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class LoadingSession:
    """A session in autocommit for one thread at a time; the caller has checked that the login works.

    Raises:
        Unavailable: the login failed.

    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        parameters = connection_parameters(options)
        self._secrets = (parameters.get("password"), os.environ.get("PGPASSWORD"))
        try:
            self._connection = psycopg2.connect(**parameters, application_name="runbook.ops load")
        except psycopg2.Error as error:
            raise Unavailable(mask_secrets(str(error).strip(), self._secrets)) from None
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        self._adopted: dict[str, bytes] = {}
        self._cursor.execute(_PREPARE)

    @property
    def server_version_num(self) -> int:
        """The server's version, as it counts itself."""
        return int(self._connection.server_version)

    @property
    def is_superuser(self) -> bool:
        """Whether the login may do everything."""
        return bool(self._connection.get_parameter_status("is_superuser") == "on")

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open that the dump began."""
        return bool(self._connection.info.transaction_status != extensions.TRANSACTION_STATUS_IDLE)

    def execute(self, text: bytes, what: object = None) -> None:
        """Run a statement, or several as one; raises LoadFailed."""
        try:
            self._cursor.execute(text)
        except psycopg2.Error as error:
            raise LoadFailed(self._problem(error, text, what)) from None

    def value(self, text: str) -> Any:
        """The first value of a query of our own; raises LoadFailed."""
        self.execute(text.encode())
        return self._cursor.fetchone()[0]

    def copy(self, text: bytes, read: Callable[[], bytes], what: object = None) -> int:
        """Run a COPY statement with the pieces that C(read) gives, to an empty one: the number of rows.

        Raises:
            LoadFailed: the server refused it.
            Exception: whatever C(read) raises; no row stays then.

        """
        source = _Source(read)
        try:
            self._cursor.copy_expert(text, source, _PIECE_BYTES)
        except psycopg2.Error as error:
            if source.error is not None:
                raise source.error from None
            raise LoadFailed(self._problem(error, text, what)) from None
        return int(self._cursor.rowcount)

    def adopt(self, settings: Mapping[str, bytes]) -> None:
        """Bring the session to the settings that hold at a place of the dump, in their order."""
        for name, text in settings.items():
            if self._adopted.get(name) != text:
                self.execute(text)
                self._adopted[name] = text

    def abort(self) -> None:
        """End what the session does, from another thread; it cannot be used any more."""
        with contextlib.suppress(psycopg2.Error):
            self._connection.cancel()
        with contextlib.suppress(OSError, psycopg2.Error, ValueError):
            handle = socket.socket(fileno=os.dup(self._connection.fileno()))
            with handle:
                handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _problem(self, error: Any, text: bytes, what: object) -> LoadProblem:
        message = error.diag.message_primary or str(error)
        if place := _PLACE.match(error.diag.context or ""):
            # Only where it is: the context goes on with the row itself.
            message = f"{message} ({place[0]})"
        message = mask_secrets(" ".join(message.split()), self._secrets)[:_MOST_WORDS]
        is_extension = text[:16].upper() == b"CREATE EXTENSION"
        return problem_of_statement(error.pgcode, message, str(what or first_words(text)), is_extension=is_extension)


class _Source:
    """What the driver reads from; it keeps what is raised, because the driver does not."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read
        self.error: Optional[BaseException] = None

    def read(self, _size: int) -> bytes:
        try:
            return self._read()
        except BaseException as error:
            self.error = error
            raise


def first_words(text: bytes) -> str:
    """The beginning of a statement, for messages where the dump has no comment for it."""
    return " ".join(text[: 4 * _FIRST_WORDS].decode("utf-8", "replace").split())[:_FIRST_WORDS].rstrip(" (")
