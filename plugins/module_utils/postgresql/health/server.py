# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity, uptime and role of the server."""

from __future__ import annotations

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Section,
    age_seconds,
    moment,
)

_IDENTITY = """
SELECT current_setting('server_version') AS version,
       -- Our own session counts in UTC; this is what a session of this role would get.
       (SELECT s.reset_val FROM pg_settings s WHERE s.name = 'TimeZone') AS timezone,
       pg_conf_load_time() AS config_loaded_at,
       current_setting('cluster_name') AS cluster_name,
       (SELECT pg_encoding_to_char(d.encoding)::text FROM pg_database d WHERE d.datname = current_database())
           AS encoding
"""

_SYSTEM_IDENTIFIER = "SELECT system_identifier::text AS system_identifier FROM pg_control_system()"

_PENDING_RESTART = "SELECT name FROM pg_settings WHERE pending_restart ORDER BY name"

_DATABASES = """
SELECT datname::text AS name FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname
"""


def _queries(capabilities: Capabilities) -> list[Query]:
    return [
        Query("identity", _IDENTITY, "version, timezone and encoding"),
        Query(
            "system_identifier",
            _SYSTEM_IDENTIFIER,
            "system_identifier",
            f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {capabilities.quoted_user};",
        ),
        Query("pending_restart", _PENDING_RESTART, "pending_restart"),
        Query("databases", _DATABASES, "databases"),
    ]


def _facts(answers: Answers, capabilities: Capabilities, _limits: Limits) -> Facts:
    identity = answers.row("identity")
    pending = answers.rows("pending_restart")
    databases = answers.rows("databases")
    return {
        "version": identity.get("version"),
        "version_num": capabilities.version_num,
        "major": capabilities.major,
        "server_time": moment(capabilities.now),
        "timezone": identity.get("timezone"),
        "started_at": moment(capabilities.started_at),
        "uptime_seconds": age_seconds(capabilities.now, capabilities.started_at),
        "config_loaded_at": moment(identity.get("config_loaded_at")),
        "in_recovery": capabilities.in_recovery,
        "is_primary": not capabilities.in_recovery,
        "system_identifier": answers.row("system_identifier").get("system_identifier"),
        "cluster_name": identity.get("cluster_name"),
        "database": capabilities.database,
        "user": capabilities.user,
        "is_superuser": capabilities.is_superuser,
        "can_read_all_stats": capabilities.reads_stats,
        "encoding": identity.get("encoding"),
        "pending_restart_count": None if pending is None else len(pending),
        "pending_restart": None if pending is None else [row["name"] for row in pending],
        "database_count": None if databases is None else len(databases),
        "databases": None if databases is None else [row["name"] for row in databases],
    }


SECTION = Section("server", _queries, _facts)
