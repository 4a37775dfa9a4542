# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only place that talks to PgBouncer's console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.errors import describe_console_refusal
from ansible_collections.runbook.ops.plugins.module_utils.pgbouncer.options import CONSOLE
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, open_connection

# A PostgreSQL server calls itself 90000 or more; PgBouncer says 11800 for 1.18.
_POSTGRESQL = 90000
# Its code for every command that it does not know or does not permit; the connection stays.
_HARMLESS = ("08P01",)


def connect_console(options: Mapping[str, Any], *, statement_timeout_seconds: float, read_only: bool = True) -> Session:
    """Log in to the console.

    C(read_only) says whether a command may be repeated. The console understands its own commands only, in the simple
    protocol: no setting of a session, no transaction, no bound value. The time limit is therefore kept on our side
    alone.

    Raises:
        InvalidOption, MissingLibrary: as C(postgresql.client.connect).
        Unavailable: one masked sentence with the next step.

    """
    connection, server, secrets = open_connection({**options, "login_db": CONSOLE}, describe=describe_console_refusal)
    session = Session(
        connection,
        server=server,
        secrets=secrets,
        statement_timeout_seconds=statement_timeout_seconds,
        read_only=read_only,
        product="PgBouncer",
        harmless=_HARMLESS,
    )
    if session.server_version_num >= _POSTGRESQL:
        session.close()
        raise Unavailable(
            f"What answers at {server} is a PostgreSQL server with a database named {CONSOLE}, and no PgBouncer. "
            "Correct login_host and login_port."
        )
    return session
