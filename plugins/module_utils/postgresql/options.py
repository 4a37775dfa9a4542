# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection options of every PostgreSQL module, once. The doc fragment C(postgresql) says the same."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


def postgresql_argument_spec() -> dict[str, dict[str, Any]]:
    """The argument spec of the connection; environment variables are libpq's own.

    An empty string means "not given", so that role variables may default to it.
    """
    return {
        "login_host": {"type": "str", "default": "localhost", "fallback": (env_fallback, ["PGHOST"])},
        "login_port": {"type": "int", "default": 5432, "fallback": (env_fallback, ["PGPORT"])},
        "login_user": {"type": "str", "default": "postgres", "fallback": (env_fallback, ["PGUSER"])},
        "login_password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["PGPASSWORD"])},
        "login_unix_socket": {"type": "path"},
        "login_db": {"type": "str", "default": "postgres", "fallback": (env_fallback, ["PGDATABASE"])},
        "ssl_mode": {
            "type": "str",
            "default": "prefer",
            "choices": list(SSL_MODES),
            "fallback": (env_fallback, ["PGSSLMODE"]),
        },
        "ca_cert": {"type": "path", "fallback": (env_fallback, ["PGSSLROOTCERT"])},
        "ssl_cert": {"type": "path", "fallback": (env_fallback, ["PGSSLCERT"])},
        "ssl_key": {"type": "path", "no_log": False, "fallback": (env_fallback, ["PGSSLKEY"])},
        "connect_timeout": {"type": "int", "default": 5, "fallback": (env_fallback, ["PGCONNECT_TIMEOUT"])},
    }
