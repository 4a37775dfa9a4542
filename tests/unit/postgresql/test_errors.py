"""A failed login or statement as a sentence that ends in the next step."""

from __future__ import annotations

import pytest

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import (
    QueryError,
    describe_refusal,
    first_line,
    remedy_for,
)

AT = 'connection to server at "db1" (10.0.0.1), port 5432 failed: '
WHOM = "PostgreSQL at db1:5432 is not available to user 'app' in database 'shop': "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param(
            AT + "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n",
            "connection refused. Start the server, or correct login_host, login_port and the server's "
            "listen_addresses.",
            id="refused",
        ),
        pytest.param(
            AT + "timeout expired\n",
            "no answer in time. Check login_host, login_port and the firewall between, or raise connect_timeout.",
            id="timeout",
        ),
        pytest.param(
            'could not translate host name "db1" to address: Name or service not known\n',
            "the host name cannot be resolved. Correct login_host or the name server.",
            id="name",
        ),
        pytest.param(
            AT + "No route to host\n",
            "the host cannot be reached over the network. Check login_host and the route to it.",
            id="route",
        ),
        pytest.param(
            'connection to server on socket "/tmp/.s.PGSQL.5432" failed: No such file or directory\n\tIs the server…',
            "no server listens on that socket. Start the server or correct login_unix_socket.",
            id="socket",
        ),
        pytest.param(
            AT + 'FATAL:  password authentication failed for user "app"\n',
            "the password of this user was not accepted. Correct login_user or login_password.",
            id="password",
        ),
        pytest.param(
            AT + "fe_sendauth: no password supplied\n",
            "the server asks for a password and none was given. Set login_password.",
            id="no password",
        ),
        pytest.param(
            AT + 'FATAL:  Peer authentication failed for user "app"\n',
            "the server accepts this user only from the operating system account it is mapped to. Use a login with a "
            "password or extend pg_hba.conf.",
            id="peer",
        ),
        pytest.param(
            AT + 'FATAL:  no pg_hba.conf entry for host "10.0.0.9", user "app", database "shop", no encryption\n',
            'pg_hba.conf has no line that lets this user in from here (no pg_hba.conf entry for host "10.0.0.9", user '
            '"app", database "shop", no encryption). Add one, or correct ssl_mode.',
            id="hba",
        ),
        pytest.param(
            AT + 'FATAL:  database "shop" does not exist\n',
            "there is no such database. Correct login_db.",
            id="database",
        ),
        pytest.param(
            AT + 'FATAL:  role "app" does not exist\n',
            "there is no such user. Correct login_user or create the role.",
            id="role",
        ),
        pytest.param(
            AT + 'FATAL:  role "app" is not permitted to log in\n',
            "this role may not log in. Use another login_user or ALTER ROLE … LOGIN.",
            id="nologin",
        ),
        pytest.param(
            AT + 'FATAL:  permission denied for database "shop"\nDETAIL:  User does not have CONNECT privilege.\n',
            "this user may not connect to the database. GRANT CONNECT ON DATABASE to it.",
            id="connect privilege",
        ),
        pytest.param(
            AT + 'FATAL:  database "shop" is not currently accepting connections\n',
            "the database refuses connections (ALLOW_CONNECTIONS false). Correct login_db.",
            id="allow_connections",
        ),
        pytest.param(
            AT + "FATAL:  sorry, too many clients already\n",
            "every connection slot is taken (sorry, too many clients already). End idle sessions or raise the limit.",
            id="too many",
        ),
        pytest.param(
            AT + "FATAL:  remaining connection slots are reserved for non-replication superuser connections\n",
            "every connection slot is taken (remaining connection slots are reserved for non-replication superuser "
            "connections). End idle sessions or raise the limit.",
            id="reserved",
        ),
        pytest.param(
            AT + 'FATAL:  too many connections for role "app"\n',
            'every connection slot is taken (too many connections for role "app"). End idle sessions or raise the '
            "limit.",
            id="role limit",
        ),
        pytest.param(
            AT + "FATAL:  the database system is starting up\n",
            "the server is not accepting connections at the moment (the database system is starting up). Read the "
            "server log and try again.",
            id="starting",
        ),
        pytest.param(
            AT + "server does not support SSL, but SSL was required\n",
            "the server does not offer TLS. Enable it there or correct ssl_mode.",
            id="tls",
        ),
        pytest.param(
            AT + "SSL error: certificate verify failed\n",
            "the server's certificate could not be verified (SSL error: certificate verify failed). Correct ca_cert or "
            "login_host.",
            id="certificate",
        ),
        pytest.param(
            AT + "received invalid response to SSL negotiation: H\n",
            "what answers there is not a PostgreSQL server. Correct login_host and login_port.",
            id="other protocol",
        ),
        pytest.param(
            AT + "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n",
            "the server closed the connection during the login. Read the server log.",
            id="closed",
        ),
        pytest.param(
            AT + '치명적오류:  사용자 "app"의 password 인증을 실패했습니다\n',
            '사용자 "app"의 password 인증을 실패했습니다. Check the connection options and the server log.',
            id="translated",
        ),
        pytest.param("", "no further text. Check the connection options and the server log.", id="silent"),
    ],
)
def test_refusal(text: str, sentence: str) -> None:
    assert describe_refusal(text, server="db1:5432", user="app", database="shop") == WHOM + sentence


def test_the_last_of_several_addresses_counts() -> None:
    text = (
        'connection to server at "localhost" (::1), port 5432 failed: Cannot assign requested address\n'
        'connection to server at "localhost" (127.0.0.1), port 5432 failed: FATAL:  unheard of\n'
    )
    assert describe_refusal(text, server="db1:5432", user="app", database="shop") == (
        WHOM + "unheard of. Check the connection options and the server log."
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("FATAL:  terminating connection\nserver closed the connection", "terminating connection"),
        ("ERROR:  no.\n", "no"),
        ("server closed the connection unexpectedly", "server closed the connection unexpectedly"),
        ("", "no further text"),
    ],
)
def test_first_line(text: str, line: str) -> None:
    assert first_line(text) == line


@pytest.mark.parametrize(
    ("message", "sqlstate", "remedy"),
    [
        ("permission denied for table orders", "42501", "GRANT SELECT ON orders TO reader;"),
        ("permission denied for table Orders", "42501", 'GRANT SELECT ON "Orders" TO reader;'),
        ("permission denied for schema sales", "42501", "GRANT USAGE ON SCHEMA sales TO reader;"),
        ("permission denied for sequence s", "42501", "GRANT SELECT ON SEQUENCE s TO reader;"),
        ("permission denied for function f", "42501", "GRANT EXECUTE ON FUNCTION f TO reader;"),
        ("must be superuser", "42501", "Grant the missing privilege to the login."),
        (
            'relation "orders" does not exist',
            "42P01",
            "Create the relation or correct its name or the search path.",
        ),
        ("canceling statement", "57014", "Raise statement_timeout or make the statement cheaper."),
        ("cannot execute DELETE in a read-only transaction", "25006", "Only read; the transaction is read-only."),
        ("division by zero", "22012", "Read the message and the server log."),
        ("no code", None, "Read the message and the server log."),
    ],
)
def test_remedy(message: str, sqlstate: str | None, remedy: str) -> None:
    assert remedy_for(QueryError(message, sqlstate), "reader") == remedy
