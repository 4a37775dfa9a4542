# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong at PgBouncer's console, in sentences for the person on call. Pure: text in, text out."""

from __future__ import annotations

import re

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import describe_refusal

# PgBouncer's own words; first match wins. A password that is wrong, a closed port and TLS sound as they do elsewhere.
_REFUSALS: tuple[tuple[str, str], ...] = (
    (
        r"not allowed",
        "this user may not use the console. Add it to stats_users (or admin_users) in pgbouncer.ini, then RELOAD",
    ),
    (
        r"no such user|SASL authentication failed|password authentication failed|auth failed|md5 authentication",
        "the user or its password was not accepted. Correct login_user and login_password, or auth_file of the pooler",
    ),
    (
        r"no such database|database \"pgbouncer\" does not exist",
        "what answers there has no console, as a PostgreSQL server has none. Correct login_host and login_port",
    ),
    (
        r"no more connections allowed",
        "it accepts no further client (max_client_conn). Raise max_client_conn, or end clients that idle",
    ),
    (
        r"[Uu]nsupported startup parameter",
        "it refuses a parameter of the login. Unset PGOPTIONS, or add it to ignore_startup_parameters",
    ),
    (r"shutting down|pooler is shut", "it is being shut down. Try again when it has been started"),
)


def describe_console_refusal(text: str, *, server: str, user: str, database: str) -> str:
    """A failed login as one sentence that ends in the next step; the arguments are those of C(describe_refusal)."""
    for pattern, sentence in _REFUSALS:
        if re.search(pattern, text):
            return f"The console of PgBouncer at {server} is not available to user {user!r}: {sentence}."
    general = describe_refusal(text, server=server, user=user, database=database)
    return general.replace("PostgreSQL at ", "PgBouncer at ", 1)
