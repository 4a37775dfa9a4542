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
SECTION_NAMES = tuple(section.name for section in SECTIONS)
MOST_ROWS = 1000


# Compiling these long statements takes longer than running them, even with 20,000 tables, and the worker processes
# belong to the applications.
_GENTLE = {"jit": "off", "max_parallel_workers_per_gather": "0"}


def health_info(options: Mapping[str, Any]) -> dict[str, Any]:
    """The whole result of the module: connect, measure, say what could not be measured.

    Args:
        options: The module's options with those of the connection. C(sections) empty or None means all.

    Raises:
        InvalidOption: before anything is touched.
        MissingLibrary: psycopg2 is missing.

    """
    sections, limits = chosen_sections(options.get("sections")), limits_from(options)
    result: dict[str, Any] = {
        "available": False,
        "reason": None,
        "measured_at": iso(utc_now()),
        "skipped_sections": [],
        "health": {},
    }
    try:
        with connect(options, statement_timeout_seconds=options["statement_timeout"]) as session:
            health, skipped = collect(session, sections, limits)
    except Unavailable as error:
        return {**result, "reason": error.message}
    except QueryError as error:
        # The very first statements read catalogs that everybody may read.
        return {**result, "reason": f"The server does not answer as PostgreSQL 13 or later does: {error.message}."}
    return {**result, "available": True, "skipped_sections": [skip.as_dict() for skip in skipped], "health": health}


def chosen_sections(names: Optional[Sequence[str]]) -> tuple[Section, ...]:
    """The sections of these names, in the order in which they are measured; all of them if none is named.

    Raises:
        InvalidOption: one of the names is none of a section.

    """
    for name in names or ():
        if name not in SECTION_NAMES:
            raise InvalidOption("sections", name, ", ".join(SECTION_NAMES))
    return tuple(section for section in SECTIONS if not names or section.name in names)


def limits_from(options: Mapping[str, Any]) -> Limits:
    """How much is asked for.

    Raises:
        InvalidOption: a number is out of range.

    """
    if not 1 <= options["top"] <= MOST_ROWS:
        raise InvalidOption("top", options["top"], f"a number from 1 to {MOST_ROWS}")
    if not options["statement_timeout"] > 0:
        raise InvalidOption("statement_timeout", options["statement_timeout"], "more than 0 seconds")
    return Limits(
        top=options["top"],
        exclude_schemas=tuple(options["exclude_schemas"]),
        exposed_schemas=tuple(options["exposed_schemas"]),
    )


def collect(session: Session, sections: Sequence[Section], limits: Limits) -> tuple[dict[str, Facts], list[Skip]]:
    """Measure these sections.

    Returns:
        The facts by section, and what could not be read.

    Raises:
        Unavailable: the connection was lost.
        QueryError: the server does not even say what it is.

    """
    session.configure(_GENTLE)
    capabilities = probe_server(session)
    health: dict[str, Facts] = {}
    skipped: list[Skip] = []
    for section in sections:
        rows: dict[str, Optional[list[Row]]] = {}
        for query in section.queries(capabilities):
            try:
                rows[query.name] = list(session.query(query.sql, {**limits.bindings(), **query.parameters}))
            except QueryError as error:
                rows[query.name] = None
                skipped.append(_failed(section, query, error, capabilities))
        answers = Answers(rows)
        skipped += section.skips(capabilities, answers)
        health[section.name] = section.facts(answers, capabilities, limits)
    return health, skipped


def probe_server(session: Session) -> Capabilities:
    """What this server, this database and this role offer."""
    return probe.parse(
        session.query(probe.ROLE_SQL)[0],
        session.query(probe.EXTENSIONS_SQL),
        session.query(probe.COLUMNS_SQL, {"relations": list(probe.PROBED_RELATIONS)}),
    )


# What a failed statement means here, by SQLSTATE: the reason and what helps.
_CANCELLED = "57014"
_LOCKED = "55P03"
_FORBIDDEN = "42501"


def _failed(section: Section, query: Query, error: QueryError, capabilities: Capabilities) -> Skip:
    reason = f"{query.gives} could not be read: {error.message}."
    reason = reason[0].upper() + reason[1:]
    remedy = query.remedy or "Read the message and the server log."
    if error.sqlstate == _CANCELLED:
        remedy = "Raise statement_timeout, or measure this section on its own when the server is less busy."
    elif error.sqlstate == _LOCKED:
        remedy = "Measure again when the lock is gone; the section locks names who holds it."
    elif error.sqlstate == _FORBIDDEN:
        remedy = query.remedy or monitor_remedy(capabilities)
    return Skip(section.name, reason, remedy)
