# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of the PgBouncer modules, once. The doc fragment C(pgbouncer) says the same."""

from __future__ import annotations

from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.options import postgresql_argument_spec

# Always its name; a real database cannot have it behind a PgBouncer.
CONSOLE = "pgbouncer"

_OWN: dict[str, dict[str, Any]] = {
    "login_host": {"type": "str", "default": "localhost"},
    "login_port": {"type": "int", "default": 6432},
    "login_user": {"type": "str", "default": "pgbouncer"},
}


def pgbouncer_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the console's connection.

    What the environment says of a host, a port and a user is about the server, so it is not asked.
    """
    options = {**postgresql_argument_spec(), **_OWN}
    del options["login_db"]
    return options
