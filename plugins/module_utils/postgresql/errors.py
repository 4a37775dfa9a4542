# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with PostgreSQL, in sentences for the person on call. Pure: text in, text out."""

from __future__ import annotations

import re

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError


class QueryError(RunbookError):
    """One statement failed; the session stays usable.

    C(sqlstate) is the five-character code (None if the client side refused the statement),
    C(message) the server's primary message without secrets.
    """

    def __init__(self, message: str, sqlstate: str | None = None) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.sqlstate = sqlstate


# What libpq and the server say when a login fails, and what to do about it. libpq gives no SQLSTATE for a
# failed login, only text, and the server translates its part by lc_messages: whatever matches nothing here
# is passed on as it is. First match wins. {detail} is the driver's own text.
_REFUSALS: tuple[tuple[str, str], ...] = (
    (
        r"Connection refused",
        "connection refused. Start the server, or correct login_host, login_port and the server's listen_addresses",
    ),
    (
        r"timeout expired|timed out|Connection timed out",
        "no answer in time. Check login_host, login_port and the firewall between, or raise connect_timeout",
    ),
    (
        r"could not translate host name|Name or service not known|Temporary failure in name resolution",
        "the host name cannot be resolved. Correct login_host or the name server",
    ),
    (
        r"No route to host|Network is unreachable|Host is down",
        "the host cannot be reached over the network. Check login_host and the route to it",
    ),
    (
        r"No such file or directory",
        "no server listens on that socket. Start the server or correct login_unix_socket",
    ),
    (
        r"password authentication failed",
        "the password of this user was not accepted. Correct login_user or login_password",
    ),
    (
        r"no password supplied",
        "the server asks for a password and none was given. Set login_password",
    ),
    (
        r"(Peer|Ident|peer|ident) authentication failed",
        "the server accepts this user only from the operating system account it is mapped to. "
        "Use a login with a password or extend pg_hba.conf",
    ),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects connection",
        "pg_hba.conf has no line that lets this user in from here ({detail}). Add one, or correct ssl_mode",
    ),
    (
        r'role "[^"]*" does not exist',
        "there is no such user. Correct login_user or create the role",
    ),
    (
        r'role "[^"]*" is not permitted to log in',
        "this role may not log in. Use another login_user or ALTER ROLE … LOGIN",
    ),
    (
        r'database "[^"]*" does not exist',
        "there is no such database. Correct login_db",
    ),
    (
        r"permission denied for database|does not have CONNECT privilege",
        "this user may not connect to the database. GRANT CONNECT ON DATABASE to it",
    ),
    (
        r"is not currently accepting connections",
        "the database refuses connections (ALLOW_CONNECTIONS false). Correct login_db",
    ),
    (
        r"too many clients already|remaining connection slots are reserved|too many connections for",
        "every connection slot is taken ({detail}). End idle sessions or raise the limit",
    ),
    (
        r"database system is (starting up|shutting down|in recovery mode|not yet accepting connections)|"
        r"not accepting connections",
        "the server is not accepting connections at the moment ({detail}). Read the server log and try again",
    ),
    (
        r"server does not support SSL",
        "the server does not offer TLS. Enable it there or correct ssl_mode",
    ),
    (
        r"certificate verify failed|does not match host name|root certificate file|certificate has expired",
        "the server's certificate could not be verified ({detail}). Correct ca_cert or login_host",
    ),
    (
        r"invalid response to SSL negotiation|expected authentication request|unsupported protocol|"
        r"lost synchronization",
        "what answers there is not a PostgreSQL server. Correct login_host and login_port",
    ),
    (
        r"server closed the connection unexpectedly|SSL SYSCALL error|Connection reset by peer",
        "the server closed the connection during the login. Read the server log",
    ),
)


def _detail(text: str) -> str:
    """The driver's last statement without its address prefix, in one line."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    failures = [line for line in lines if "failed: " in line]
    line = failures[-1].split("failed: ", 1)[1] if failures else (lines[0] if lines else "no further text")
    return _without_severity(line)


def _without_severity(line: str) -> str:
    # The severity is translated like the rest, so it is known by its shape: one word, a colon, two spaces.
    return re.sub(r"^[^\s:]{2,20}:\s{2,}", "", line).rstrip(". ")


def first_line(text: str) -> str:
    """The first line of a driver's message without the severity before it."""
    lines = text.strip().splitlines()
    return _without_severity(lines[0].strip()) if lines else "no further text"


def describe_refusal(text: str, *, server: str, user: str, database: str) -> str:
    """A failed login as one sentence that ends in the next step.

    Args:
        text: What the driver said; secrets are to be masked by the caller.
        server: The address for people, such as C(db1:5432).
        user: The login.
        database: The database that was asked for.

    """
    whom = f"PostgreSQL at {server} is not available to user {user!r} in database {database!r}"
    detail = _detail(text)
    for pattern, sentence in _REFUSALS:
        if re.search(pattern, text):
            return f"{whom}: {sentence.format(detail=detail)}."
    return f"{whom}: {detail}. Check the connection options and the server log."


# What a failed statement means to the person who reads the report, by SQLSTATE.
_SQLSTATE_REMEDIES: dict[str, str] = {
    "42501": "Grant the missing privilege to the login.",
    "42P01": "Create the relation or correct its name or the search path.",
    "42703": "Correct the column name.",
    "42601": "Correct the statement.",
    "57014": "Raise statement_timeout or make the statement cheaper.",
    "55P03": "Try again when the lock is free.",
    "25006": "Only read; the transaction is read-only.",
}


# "permission denied for table orders": what to grant on such an object so that it can be read.
_GRANTS: dict[str, str] = {
    "schema": "USAGE ON SCHEMA",
    "sequence": "SELECT ON SEQUENCE",
    "function": "EXECUTE ON FUNCTION",
    "table": "SELECT ON",
    "view": "SELECT ON",
    "materialized view": "SELECT ON",
    "foreign table": "SELECT ON",
    "relation": "SELECT ON",
}


def quote_identifier(name: str) -> str:
    """A name as a person would have to type it in SQL."""
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


def remedy_for(error: QueryError, user: str) -> str:
    """The next step for a failed statement in one sentence, the exact GRANT where the message names the object."""
    if error.sqlstate == "42501":
        match = re.fullmatch(r"permission denied for ([a-z ]+?) (\S.*)", error.message)
        if match and match.group(1) in _GRANTS:
            return f"GRANT {_GRANTS[match.group(1)]} {quote_identifier(match.group(2))} TO {quote_identifier(user)};"
    return _SQLSTATE_REMEDIES.get(error.sqlstate or "", "Read the message and the server log.")
