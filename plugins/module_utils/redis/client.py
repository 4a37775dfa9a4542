# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to one Redis server, with raw replies.

The library's connection class is used without its command layer: replies stay bytes (payloads need not be
UTF-8), no reply changes its shape with the library's version, and nothing is ever sent twice.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import MissingLibrary, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.common.masking import mask_secrets
from ansible_collections.runbook.ops.plugins.module_utils.redis.cluster.slots import keys_of
from ansible_collections.runbook.ops.plugins.module_utils.redis.errors import (
    CommandRefused,
    Refusal,
    classify,
    command_name,
    explain,
    explain_connection_error,
)
from ansible_collections.runbook.ops.plugins.module_utils.redis.options import Settings

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    LIBRARY_TRACEBACK = None
except ImportError:
    LIBRARY_TRACEBACK = traceback.format_exc()

Command = tuple[Any, ...]

# One pipeline holds at most so many commands, so that replies of a large batch do not pile up on the server.
PIPELINE_COMMANDS = 500
STREAM_BYTES = 64 * 1024


def require_library() -> None:
    """Raise MissingLibrary unless the redis client library can be imported."""
    if LIBRARY_TRACEBACK is not None:
        raise MissingLibrary(
            missing_required_lib("redis", reason="for Redis and its queues: pip install 'redis>=5.0'"),
            exception=LIBRARY_TRACEBACK,
        )


class RedisClient:
    """A connection that is opened once and never silently reopened: a new one would be in database 0 again."""

    # Whether it stands for all servers of a Redis Cluster.
    is_cluster = False

    def __init__(self, settings: Settings) -> None:
        require_library()
        self.settings = settings
        self.where = settings.address
        self.user = settings.acl_user
        self.select_refusal: Refusal | None = None
        # What was refused on the way in, to be named by a preflight together with everything else.
        self.refusals: list[Refusal] = []
        self._connection: Any = None
        self._out_of_step = False

    def __enter__(self) -> RedisClient:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> RedisClient:
        """Connect, log in and select the database; raises Unavailable.

        Where SELECT is not allowed, or not known (a Sentinel), the refusal is kept in C(select_refusal), so that
        a preflight can name it together with everything else that is missing.
        """
        self._connection = self._build()
        try:
            self._connection.connect()
        except redis.ResponseError as error:
            raise self.unusable(self._refusal(error, "AUTH")) from None
        except (redis.RedisError, OSError, ValueError) as error:
            raise self._broken(error, "AUTH") from None
        if self.settings.db:
            reply = self.ask("SELECT", self.settings.db)
            if isinstance(reply, Refusal):
                if reply.code not in ("NOPERM", "UNKNOWN"):
                    raise self.unusable(reply)
                self.select_refusal = reply
                self.refusals.append(reply)
        return self

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def nodes(self) -> list[RedisClient]:
        """The servers that hold the keys, each to be scanned by itself: here only this one."""
        return [self]

    @property
    def unserved(self) -> int:
        """How many slots of a Redis Cluster nobody serves."""
        return 0

    def topology(self) -> Any:
        """Who holds which keys now, for C(disturbance)."""
        return None

    def disturbance(self, before: Any) -> str | None:  # noqa: ARG002
        """Why a pass over C(nodes()) since C(before) may have missed keys; None if it cannot have."""
        return None

    def call(self, *command: Any) -> Any:
        """The reply to a command whose answer is needed; raises CommandRefused or Unavailable."""
        reply = self.ask(*command)
        if isinstance(reply, Refusal):
            raise CommandRefused(reply)
        return reply

    def ask(self, *command: Any) -> Any:
        """The reply to a command, or the Refusal; raises Unavailable when the connection breaks."""
        return self.pipeline([command])[0]

    def timed(self, *command: Any) -> tuple[Any, float]:
        """The reply to a command and the seconds it took, as seen from here."""
        started = time.perf_counter()
        reply = self.ask(*command)
        return reply, time.perf_counter() - started

    def pipeline(
        self, commands: Sequence[Command], *, tolerant: bool = False, batch: int = PIPELINE_COMMANDS
    ) -> list[Any]:
        """Send many commands in few round trips of C(batch) commands; each reply is a value or a Refusal.

        Larger batches are for commands that all answer with a few bytes.

        Refusals that concern the whole connection (LOADING, NOAUTH…) raise Unavailable, unless C(tolerant):
        then they are returned like any other, because INFO answers while the server loads.
        """
        replies: list[Any] = []
        for start in range(0, len(commands), batch):
            replies += self._exchange(commands[start : start + batch])
        if not tolerant:
            for reply in replies:
                if isinstance(reply, Refusal) and reply.concerns_connection:
                    raise self.unusable(reply)
        return replies

    def stream(self, *command: Any) -> Iterator[bytes]:
        """Send a command that is answered by bytes without a length of a reply (SYNC): the pieces as they come.

        Nothing else can be asked on this connection afterwards. Raises Unavailable when it breaks; its end by the
        server ends the pieces.
        """
        if self._connection is None:
            raise Unavailable(f"The connection to Redis at {self.where} is closed.")
        name = command_name(command)
        try:
            self._connection.send_packed_command(self._connection.pack_commands([command]), check_health=False)
            # Every reply before was read to its end, so the library's parser holds nothing back.
            source = self._connection._sock
            while piece := source.recv(STREAM_BYTES):
                yield piece
        except (redis.RedisError, OSError) as error:
            raise self._broken(error, name) from None

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        if self._connection is None:
            raise Unavailable(f"The connection to Redis at {self.where} is closed.")
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
        except (redis.RedisError, OSError) as error:
            raise self._broken(error, command_name(commands[0])) from None
        replies: list[Any] = []
        for command in commands:
            try:
                replies.append(self._read(command))
            except Unavailable:
                # A server that does not want us says why in its first reply, and hangs up.
                for reply in replies:
                    if isinstance(reply, Refusal) and reply.concerns_connection:
                        raise self.unusable(reply) from None
                raise
        if self._out_of_step:
            self.close()
        return replies

    def _read(self, command: Command) -> Any:
        try:
            return self._connection.read_response(disconnect_on_error=False)
        except redis.ResponseError as error:
            return self._refusal(error, command_name(command), command)
        except (redis.RedisError, OSError) as error:
            # The library raises LOADING and NOAUTH replies as connection errors, although the connection lives.
            name = command_name(command)
            refusal = self._refusal(error, name, command)
            if refusal.concerns_connection:
                # It also reads such a reply anew each time, so that those behind it stay unread: whoever asked another
                # thing afterwards would get an answer to this one.
                self._out_of_step = True
                return refusal
            raise self._broken(error, name) from None

    def _refusal(self, error: Exception, name: str, command: Command = ()) -> Refusal:
        keys = keys_of(command) if command else []
        return classify(
            name,
            type(error).__name__,
            mask_secrets(str(error), [self.settings.password]),
            getattr(error, "status_code", None),
            show(keys[0]) if keys else None,
        )

    def unusable(self, refusal: Refusal) -> Unavailable:
        """The exception for a refusal that concerns everything; closes the connection."""
        self.close()
        return Unavailable(explain(refusal, self.where, self.user))

    def _broken(self, error: Exception, name: str) -> Unavailable:
        refusal = self._refusal(error, name)
        if refusal.concerns_connection:
            return self.unusable(refusal)
        self.close()
        settings = self.settings
        text = mask_secrets(str(error), [settings.password])
        return Unavailable(
            explain_connection_error(text, self.where, settings.connect_timeout, settings.socket_timeout, settings.tls)
        )

    def _build(self) -> Any:
        settings = self.settings
        options: dict[str, Any] = {
            "username": settings.user,
            "password": settings.password,
            "db": 0,
            # Key names from the playbook may carry bytes that are not UTF-8.
            "encoding_errors": "surrogateescape",
            "socket_timeout": settings.socket_timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        # CLIENT SETINFO after the connection would swallow the server's own explanation (protected mode).
        options.update(dict.fromkeys(["driver_info"] if hasattr(redis, "DriverInfo") else ["lib_name", "lib_version"]))
        library: Any = redis
        if settings.unix_socket:
            return library.UnixDomainSocketConnection(path=settings.unix_socket, **options)
        options.update(host=settings.host, port=settings.port, socket_connect_timeout=settings.connect_timeout)
        if not settings.tls:
            return library.Connection(**options)
        return library.SSLConnection(
            ssl_cert_reqs="required" if settings.validate_certs else "none",
            ssl_check_hostname=settings.validate_certs,
            ssl_ca_certs=settings.ca_certs,
            ssl_certfile=settings.client_cert_file,
            ssl_keyfile=settings.client_key_file,
            **options,
        )


def show(data: bytes | str) -> str:
    """A key or a payload as text for results: readable, and never a broken surrogate."""
    return data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
