# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that talks to PostgreSQL: one connection, bounded waits, masked errors.

The connection is asynchronous on the driver's level. libpq's blocking calls have no limit once a server
accepts packets and no longer answers (a stopped process, a hung disk): neither C(connect_timeout) nor
C(tcp_user_timeout) ends that wait. Polling with a deadline does.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import (
    InvalidOption,
    MissingLibrary,
    Unavailable,
)
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import (
    QueryError,
    describe_refusal,
    first_line,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.values import number_from_text

try:
    import psycopg2
    from psycopg2 import extensions, sql

    IMPORT_ERROR: str | None = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

# How much longer than the server's own statement_timeout the client waits for an answer.
_GRACE_SECONDS = 5.0
# How long a cancelled statement may take to end, and how often somebody who waits is asked.
_CANCEL_SECONDS = 30.0
_WAIT_SECONDS = 1.0
# A catalog read waits for a lock only behind DDL; then the answer is "locked", not a queue behind it.
LOCK_TIMEOUT_SECONDS = 2.0
# SQLSTATEs after which the connection is gone: administrator command, crash, and connection exceptions.
_FATAL_SQLSTATES = ("57P01", "57P02", "57P03", "57P05", "25P03")

_NUMERIC_OID, _NUMERIC_ARRAY_OID = 1700, 1231

Row = dict[str, Any]


class Session:
    """One open connection in autocommit; create it with C(connect)."""

    def __init__(
        self,
        connection: Any,
        *,
        server: str,
        secrets: tuple[str | None, ...],
        statement_timeout_seconds: float,
        read_only: bool,
        product: str = "PostgreSQL",
        harmless: tuple[str, ...] = (),
    ) -> None:
        self._connection = connection
        self._product = product
        # SQLSTATEs that mean a lost connection elsewhere and not here.
        self._harmless = harmless
        self._server = server
        self._secrets = secrets
        self._read_only = read_only
        self._patience = statement_timeout_seconds + _GRACE_SECONDS if statement_timeout_seconds > 0 else None
        # A database without an encoding holds any bytes; the server would refuse to send them as UTF-8.
        self._as_bytes = connection.get_parameter_status("server_encoding") == "SQL_ASCII"
        self.server_version_num: int = connection.server_version

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; harmless when it is already closed."""
        self._connection.close()

    @property
    def server(self) -> str:
        """The server's address for people."""
        return self._server

    @property
    def is_open(self) -> bool:
        """Whether the connection is there, as far as it is known without asking."""
        return not self._connection.closed

    @property
    def login_pid(self) -> int:
        """The process id that was announced at the login; a pooler announces one that is not the server's."""
        return int(self._connection.get_backend_pid())

    def notices(self) -> list[str]:
        """What the server said beside its results since the last call, such as C(WARNING:  skipping "x" …)."""
        said = [str(notice).strip() for notice in self._connection.notices]
        del self._connection.notices[:]
        return said

    def query(
        self,
        statement: str | sql.Composable,
        params: Mapping[str, Any] | tuple[Any, ...] | None = None,
        *,
        on_wait: Callable[[], None] | None = None,
    ) -> list[Row]:
        """Run one statement and return its rows (an empty list if it returns none).

        Args:
            statement: Text or a composed C(psycopg2.sql) object. With C(params) a literal percent sign is doubled.
            params: Values bound by the driver, C(%(name)s) or C(%s).
            on_wait: Called about once a second while the server works. What it raises cancels the statement and is
                raised from here once the server has let go.

        Returns:
            One dict a row. C(numeric) comes as int or float (NaN and the infinities as None), C(timestamptz) as an
            aware datetime, C(interval) as timedelta, arrays as lists.

        Raises:
            QueryError: the statement failed; the session stays usable.
            Unavailable: the connection is gone.

        """
        if self._connection.closed:
            raise Unavailable(f"The connection to {self._product} at {self._server} is closed. Run the task again.")
        try:
            return self._fetch(statement, params, as_bytes=self._as_bytes, on_wait=on_wait)
        except UnicodeDecodeError:
            # pg_stat_activity shows statements of databases in other encodings as they are. Only what can be
            # repeated safely is read again, leniently.
            if not self._read_only:
                raise QueryError("the result holds text that is not valid UTF-8", "22021") from None
            return self._fetch(statement, params, as_bytes=True)

    @contextlib.contextmanager
    def transaction(self, settings: Mapping[str, str] | None = None) -> Iterator[None]:
        """A transaction that is committed at the end, and rolled back when anything is raised in it.

        Args:
            settings: Parameters for this transaction only.

        """
        self.query("BEGIN")
        try:
            self.configure(settings or {}, for_transaction=True)
            yield
        except BaseException:
            if not self._connection.closed:
                self.query("ROLLBACK")
            raise
        self.query("COMMIT")

    @contextlib.contextmanager
    def read_only_transaction(self, settings: Mapping[str, str] | None = None) -> Iterator[None]:
        """A READ ONLY transaction that is always rolled back, so that C(settings) end with it.

        Args:
            settings: Parameters for this transaction only, such as C({"TimeZone": "Asia/Seoul"}).

        """
        self.query("BEGIN TRANSACTION READ ONLY")
        try:
            self.configure(settings or {}, for_transaction=True)
            yield
        finally:
            if not self._connection.closed:
                self.query("ROLLBACK")

    def prepare(self, statement_timeout_seconds: float, lock_timeout_seconds: float) -> None:
        """Set what every statement relies on."""
        settings = {
            # pg_temp last: otherwise a temporary table could stand in for a catalog.
            "search_path": "pg_catalog, pg_temp",
            "statement_timeout": _milliseconds(statement_timeout_seconds),
            "lock_timeout": _milliseconds(lock_timeout_seconds),
            "idle_in_transaction_session_timeout": _milliseconds(60.0),
            "default_transaction_read_only": "on" if self._read_only else "off",
            "TimeZone": "UTC",
            "IntervalStyle": "postgres",
            "client_min_messages": "warning",
        }
        if self._as_bytes:
            settings["client_encoding"] = "SQL_ASCII"
        self.configure(settings)

    def configure(self, settings: Mapping[str, str], *, for_transaction: bool = False) -> None:
        """Set parameters of the session, or of the open transaction, in one statement."""
        if settings:
            calls = ", ".join(f"pg_catalog.set_config(%s, %s, %s) AS s{number}" for number in range(len(settings)))
            values = tuple(part for name, value in settings.items() for part in (name, value, for_transaction))
            self.query(f"SELECT {calls}", values)

    def _fetch(
        self,
        statement: str | sql.Composable,
        params: Any,
        *,
        as_bytes: bool,
        on_wait: Callable[[], None] | None = None,
    ) -> list[Row]:
        cursor = self._connection.cursor()
        if as_bytes:
            extensions.register_type(extensions.BYTES, cursor)
            extensions.register_type(extensions.BYTESARRAY, cursor)
        try:
            cursor.execute(statement, params)
            self._await(on_wait)
            if cursor.description is None:
                return []
            names = [column.name for column in cursor.description]
            if len(set(names)) < len(names):
                repeated = next(name for name in names if names.count(name) > 1)
                raise QueryError(f'the result has more than one column named "{repeated}"', "42701")
            rows = [dict(zip(names, row)) for row in cursor.fetchall()]
        except TimeoutError:
            self.close()
            raise Unavailable(
                f"{self._product} at {self._server} accepted a statement and did not answer within "
                f"{self._patience:g} seconds. Look at the server's processes and disks."
            ) from None
        except psycopg2.Error as error:
            raise self._translate(error) from None
        except (ValueError, OverflowError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise
            # Dates before year 1 or after 9999 exist in PostgreSQL and not in Python.
            raise QueryError(f"a value cannot be exchanged with Python: {self._mask(str(error))}", "22008") from None
        return [{name: _lenient(value) for name, value in row.items()} for row in rows] if as_bytes else rows

    def _await(self, on_wait: Callable[[], None] | None) -> None:
        try:
            _wait(self._connection, self._patience, on_wait)
        except (psycopg2.Error, TimeoutError):
            raise
        except BaseException:
            # Somebody wants the end: the statement must not go on alone.
            with contextlib.suppress(psycopg2.Error, TimeoutError):
                self._connection.cancel()
                _wait(self._connection, _CANCEL_SECONDS)
            if self._connection.isexecuting():
                self.close()
            raise

    def _translate(self, error: Any) -> QueryError | Unavailable:
        sqlstate: str | None = error.pgcode
        message = self._mask(error.diag.message_primary or first_line(str(error)))
        lost = (sqlstate or "").startswith("08") and sqlstate not in self._harmless
        gone = self._connection.closed or lost or sqlstate in _FATAL_SQLSTATES
        if gone:
            self.close()
            return Unavailable(
                f"The connection to {self._product} at {self._server} was lost: {message.rstrip('.')}. "
                "Read the server log."
            )
        return QueryError(message, sqlstate)

    def _mask(self, text: str) -> str:
        return mask_secrets(text, self._secrets)


def connect(
    options: Mapping[str, Any],
    *,
    application_name: str = "runbook.ops",
    statement_timeout_seconds: float,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
    read_only: bool = True,
) -> Session:
    """Log in and prepare the session.

    Args:
        options: The module parameters of C(postgresql_argument_spec); further keys are ignored, empty ones not given.
        application_name: How the session shows itself in C(pg_stat_activity).
        statement_timeout_seconds: The server ends a statement after this time; 0 means never.
        lock_timeout_seconds: A statement gives up waiting for a lock after this time.
        read_only: Whether every transaction is read-only by default.

    The session is in autocommit, speaks UTF-8, counts in UTC and resolves unqualified names in C(pg_catalog) only.

    Raises:
        InvalidOption: an option that cannot work, before anything is touched.
        MissingLibrary: psycopg2 is missing.
        Unavailable: one masked sentence with the next step.

    """
    connection, server, secrets = open_connection(options, application_name=application_name)
    session = Session(
        connection,
        server=server,
        secrets=secrets,
        statement_timeout_seconds=statement_timeout_seconds,
        read_only=read_only,
    )
    try:
        session.prepare(statement_timeout_seconds, lock_timeout_seconds)
    except QueryError as error:
        session.close()
        raise Unavailable(
            f"PostgreSQL at {server} let us in and refused the session's settings: {error.message}."
        ) from None
    return session


def open_connection(
    options: Mapping[str, Any],
    *,
    application_name: str = "runbook.ops",
    describe: Callable[..., str] = describe_refusal,
) -> tuple[Any, str, tuple[str | None, ...]]:
    """Log in and no more, for what speaks PostgreSQL's protocol: the connection, its address, and the secrets.

    C(describe) turns what the driver says of a refusal into a sentence, as C(describe_refusal) does.

    Raises:
        InvalidOption: an option that cannot work, before anything is touched.
        MissingLibrary: psycopg2 is missing.
        Unavailable: one masked sentence with the next step.

    """
    if IMPORT_ERROR is not None:
        raise MissingLibrary(
            missing_required_lib("psycopg2", reason="for PostgreSQL: pip install psycopg2-binary"),
            exception=IMPORT_ERROR,
        )
    parameters = connection_parameters(options)
    server = _server_name(parameters)
    secrets = (parameters.get("password"), os.environ.get("PGPASSWORD"))
    timeout = float(parameters["connect_timeout"])

    def refusal(text: str) -> str:
        return describe(
            mask_secrets(text, secrets),
            server=server,
            user=str(parameters.get("user") or os.environ.get("PGUSER") or ""),
            database=str(parameters.get("dbname") or os.environ.get("PGDATABASE") or parameters.get("user") or ""),
        )

    connection: Any = None
    try:
        connection = psycopg2.connect(**parameters, application_name=application_name, async_=True)
        _wait(connection, timeout)
    except TimeoutError:
        connection.close()
        raise Unavailable(refusal(f"timeout expired after {timeout:g} seconds")) from None
    except UnicodeDecodeError as error:
        # The server speaks before the encoding is agreed on; its message may be in any.
        raise Unavailable(refusal(bytes(error.object).decode("utf-8", "replace"))) from None
    except psycopg2.Error as error:
        raise Unavailable(refusal(str(error))) from None
    _register_numbers(connection)
    return connection, server, secrets


def _register_numbers(connection: Any) -> None:
    """Have numeric arrive as int or float: JSON has no Decimal, and nobody should meet one further up."""
    number = extensions.new_type((_NUMERIC_OID,), "RUNBOOK_NUMBER", _cast_number)
    extensions.register_type(number, connection)
    numbers = extensions.new_array_type((_NUMERIC_ARRAY_OID,), "RUNBOOK_NUMBERS", number)
    extensions.register_type(numbers, connection)


def _cast_number(text: str | bytes | None, _cursor: Any) -> int | float | None:
    return number_from_text(text.decode("ascii") if isinstance(text, bytes) else text)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def connection_parameters(options: Mapping[str, Any]) -> dict[str, Any]:
    """What libpq is told for the options of C(postgresql_argument_spec); raises InvalidOption."""
    given = {
        keyword: options.get(option)
        for keyword, option in (
            ("host", "login_host"),
            ("port", "login_port"),
            ("user", "login_user"),
            ("password", "login_password"),
            ("dbname", "login_db"),
            ("sslmode", "ssl_mode"),
            ("sslrootcert", "ca_cert"),
            ("sslcert", "ssl_cert"),
            ("sslkey", "ssl_key"),
        )
    }
    if options.get("login_unix_socket"):
        given["host"] = options["login_unix_socket"]
    parameters = {keyword: value for keyword, value in given.items() if value not in (None, "")}
    port = parameters.get("port")
    if port is not None and not 1 <= int(port) <= 65535:
        raise InvalidOption("login_port", port, "a port from 1 to 65535")
    timeout = options.get("connect_timeout")
    timeout = 5 if timeout in (None, "") else timeout
    if float(timeout) < 1:
        raise InvalidOption("connect_timeout", timeout, "at least 1 second")
    parameters.update(
        connect_timeout=int(timeout),
        client_encoding="UTF8",
        # A path that went dead in the middle of a statement is noticed by the operating system, too.
        keepalives=1,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=30000,
    )
    return parameters


def _server_name(parameters: Mapping[str, Any]) -> str:
    host = str(parameters.get("host") or os.environ.get("PGHOST") or "localhost")
    port = parameters.get("port") or os.environ.get("PGPORT") or 5432
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"


def _wait(connection: Any, seconds: float | None, on_wait: Callable[[], None] | None = None) -> None:
    """Drive the asynchronous connection until it is idle; TimeoutError after C(seconds)."""
    deadline = None if seconds is None else time.monotonic() + seconds
    asked = time.monotonic()
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            raise TimeoutError
        if on_wait is not None:
            if time.monotonic() - asked >= _WAIT_SECONDS:
                on_wait()
                asked = time.monotonic()
            remaining = _WAIT_SECONDS if remaining is None else min(remaining, _WAIT_SECONDS)
        descriptor = connection.fileno()
        if state == extensions.POLL_READ:
            select.select([descriptor], [], [], remaining)
        else:
            select.select([], [descriptor], [], remaining)


def _lenient(value: Any) -> Any:
    """Text the driver handed over as bytes, with what is not UTF-8 replaced."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_lenient(item) for item in value]
    return value
