# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data page checksums and their failures."""

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

_ENABLED = "SELECT current_setting('data_checksums') AS data_checksums"

_FAILURES = """
SELECT coalesce(s.datname::text, 'shared') AS name, s.checksum_failures AS failures,
       s.checksum_last_failure AS last_failure, clock_timestamp() AS now
FROM pg_stat_database s
WHERE s.checksum_failures IS NOT NULL
ORDER BY s.checksum_failures DESC, 1
"""


def _queries(_capabilities: Capabilities) -> list[Query]:
    return [Query("enabled", _ENABLED, "is_enabled"), Query("failures", _FAILURES, "checksum failures")]


def _facts(answers: Answers, _capabilities: Capabilities, _limits: Limits) -> Facts:
    setting, rows = answers.row("enabled").get("data_checksums"), answers.rows("failures")
    is_enabled = None if setting is None else setting == "on"
    failing = [row for row in rows or () if row["failures"]]
    known = rows is not None and is_enabled is not False
    return {
        "is_enabled": is_enabled,
        "failures_total": sum(row["failures"] for row in failing) if known else None,
        "databases": None
        if rows is None
        else [
            {
                "name": row["name"],
                "failures_total": row["failures"],
                "last_failure_at": moment(row["last_failure"]),
                "last_failure_age_seconds": age_seconds(row["now"], row["last_failure"]),
            }
            for row in failing
        ],
    }


SECTION = Section("checksums", _queries, _facts)
