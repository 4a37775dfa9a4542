# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the sections over one connection. What fails costs its own facts only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption, Unavailable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import (
    capabilities as probe,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health import (
    checksums,
    collations,
    connections,
    databases,
    extensions,
    indexes,
    locks,
    replication,
    rls,
    roles,
    sequences,
    server,
    sessions,
    settings,
    statements,
    tables,
    wal,
    wraparound,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.capabilities import Capabilities
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.section import (
    Answers,
    Facts,
    Limits,
    Query,
    Row,
    Section,
    Skip,
    monitor_remedy,
)

# Locks and sessions first: they change while we look, and the rest takes longer.
SECTIONS: tuple[Section, ...] = (
    server.SECTION,
    locks.SECTION,
    sessions.SECTION,
    connections.SECTION,
    databases.SECTION,
    tables.SECTION,
    indexes.SECTION,
    statements.SECTION,
    replication.SECTION,
    wal.SECTION,
    wraparound.SECTION,
    sequences.SECTION,
    settings.SECTION,
    roles.SECTION,
    rls.SECTION,
    checksums.SECTION,
    extensions.SECTION,
    collations.SECTION,
)
