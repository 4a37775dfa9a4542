# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take the census of a database inside one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census import objects, relations, surroundings
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.counting import ReadBefore, read_tables
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.large_objects import read_large_objects
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import (
    Census,
    Scope,
    Topic,
    Watermark,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.parts import PARTS, part_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.reading import (
    tables_to_read,
    with_rows,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.rows import ReadTable
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.sequences import read_sequences
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.snapshot import (
    locks_released,
    open_snapshot,
    prepare_reading,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.watermarks import read_watermarks
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Row, Session, connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError

__all__ = ["census_of", "open_snapshot", "read_sequences", "readable_tables", "take_census"]


def census_of(
    options: Mapping[str, Any],
    *,
    digests: bool,
    watermarks: Sequence[Watermark] = (),
    progress: Optional[Progress] = None,
    jobs: int = 2,
    scope: Optional[Scope] = None,
    parallel_workers: int = 0,
) -> Census:
    """Log in, take the census of the database as it is now, with as many sessions as wanted.

    Args:
        options: Those of C(postgresql_argument_spec).
        digests: Whether to read every row, rather than count them.
        watermarks: Columns whose newest value is wanted.
        progress: Where to show it.
        jobs: How many sessions read at the same time.
        scope: The part that is wanted; everything if not given.
        parallel_workers: How many processes of the server's may help with one table.

    """

    def log_in() -> Session:
        return connect(options, application_name="runbook.ops census", statement_timeout_seconds=0)

    with open_snapshot(options) as (session, _snapshot):
        return take_census(
            session,
            digests=digests,
            watermarks=watermarks,
            progress=progress,
            session_factory=log_in,
            jobs=jobs,
            scope=scope,
            parallel_workers=parallel_workers,
        )


def take_census(
    session: Session,
    *,
    digests: bool,
    watermarks: Sequence[Watermark] = (),
    progress: Optional[Progress] = None,
    session_factory: Optional[Callable[[], Session]] = None,
    jobs: int = 2,
    scope: Optional[Scope] = None,
    sequences: Optional[Topic] = None,
    parallel_workers: int = 0,
    known: Optional[ReadBefore] = None,
) -> Census:
    """Describe the database of a session inside its open transaction.

    Args:
        session: In a transaction, best from C(open_snapshot).
        digests: Whether to read every row, rather than count them.
        watermarks: Columns whose newest value is wanted.
        progress: Where to show it, in bytes of tables; its C(check) ends the census between and within statements.
        session_factory: Logs in once more to the same database; such sessions import the snapshot and count in turn.
        jobs: How many of these.
        scope: The part that is dumped; everything if not given.
        sequences: What C(read_sequences) gave before; read now if not given.
        parallel_workers: How many processes of the server's may help with one table; none on a server that others use.
        known: What was read of large tables before (see C(EarlyReader)).

    Raises:
        Refused: the role may not read everything, or would be shown some rows only; the message has the GRANT.
        QueryError, Unavailable: the server's answer.
        Stopped: somebody wants the end.

    """
    shown, whole = progress or Progress(), scope or Scope()
    shown.phase("census", "structure")
    prepare_reading(session)
    if sequences is None:
        sequences = read_sequences(session, whole)
    catalog = _Catalog(session, whole, shown.check)
    with locks_released(session):
        base = catalog.rows(surroundings.database_statement(session.server_version_num))[0]
        control = catalog.allowed(surroundings.CONTROL)
        made = _relations(catalog)
        structure = _structure(catalog, made)
        collations = surroundings.collations_of(catalog.rows(surroundings.COLLATIONS), base)
        roles = {row["name"] for row in catalog.rows(surroundings.ROLES)} if whole.is_everything else set()
    newest = read_watermarks(session, watermarks, on_wait=shown.check)
    prepare_reading(session)
    shown.phase("census", "large objects")
    large_objects = read_large_objects(session, digests=digests, on_wait=shown.check)
    read = read_tables(
        session,
        tables_to_read(made, sequences, digests=digests, in_recovery=base["in_recovery"]),
        progress=shown,
        session_factory=session_factory,
        jobs=jobs,
        parallel_workers=parallel_workers,
        known=known,
    )
    tables, stands = with_rows(made, sequences, read)
    topics: dict[str, Any] = {**structure, "tables": tables, "sequences": stands, "views": made.views}
    return Census(
        database=surroundings.database_of(base),
        server=surroundings.server_of(base, control),
        taken_at=base["taken_at"],
        large_objects=large_objects,
        collations=collations,
        roles=sorted(roles | _owners(topics.values())),
        watermarks=newest,
        **topics,
    )


def readable_tables(session: Session, scope: Scope, *, digests: bool) -> list[ReadTable]:
    """What C(take_census) reads of the tables as they are now, inside the session's open transaction."""
    sequences = read_sequences(session, scope)
    with locks_released(session):
        made = _relations(_Catalog(session, scope, lambda: None))
    return tables_to_read(made, sequences, digests=digests, in_recovery=False)


class _Catalog:
    """Answers of the catalogs, as far as they belong to what is wanted."""

    def __init__(self, session: Session, scope: Scope, on_wait: Callable[[], None]) -> None:
        self._session = session
        self._on_wait = on_wait
        self.scope = scope

    def rows(self, statement: str) -> list[Row]:
        return self._session.query(statement, on_wait=self._on_wait)

    def allowed(self, statement: str) -> Row:
        """The only row, or an empty one when the role may not ask."""
        try:
            with locks_released(self._session):
                return self.rows(statement)[0]
        except QueryError as error:
            if error.sqlstate != "42501":
                raise
            return {}

    def scoped(self, statement: str) -> list[Row]:
        """Only rows in schemas that are wanted; those in none, when everything is."""
        return [row for row in self.rows(statement) if self._covers(row["schema"])]

    def unscoped(self, statement: str) -> list[Row]:
        """Rows that belong to no schema: none, when some schemas are wanted only."""
        return self.rows(statement) if self.scope.whole else []

    def _covers(self, schema: Optional[str]) -> bool:
        return self.scope.whole if schema is None else self.scope.covers(schema)


def _relations(catalog: _Catalog) -> relations.Relations:
    return relations.relations_of(
        catalog.scoped(relations.RELATIONS), catalog.rows(relations.COLUMNS), catalog.rows(relations.VIEW_SOURCES)
    )


def _structure(catalog: _Catalog, made: relations.Relations) -> dict[str, Topic]:
    schemas = [row for row in catalog.rows(surroundings.SCHEMAS) if catalog.scope.covers(row["name"])]
    return {
        "schemas": dict(map(surroundings.schema_of, schemas)),
        "extensions": dict(map(surroundings.extension_of, catalog.unscoped(surroundings.EXTENSIONS))),
        **{each.field: dict(part_of(each, row) for row in catalog.scoped(each.statement)) for each in PARTS},
        "functions": dict(map(objects.function_of, catalog.scoped(objects.FUNCTIONS))),
        "types": objects.types_of(catalog.scoped(objects.TYPES), made.columns),
        "others": dict(map(objects.other_of, catalog.scoped(objects.OTHERS))),
        "publications": dict(map(surroundings.publication_of, catalog.unscoped(surroundings.PUBLICATIONS))),
        "subscriptions": dict(map(surroundings.subscription_of, catalog.unscoped(surroundings.SUBSCRIPTIONS))),
        "event_triggers": dict(map(surroundings.event_trigger_of, catalog.unscoped(surroundings.EVENT_TRIGGERS))),
        "default_privileges": dict(
            map(surroundings.default_privilege_of, catalog.scoped(surroundings.DEFAULT_PRIVILEGES))
        ),
    }


def _owners(topics: Iterable[Topic]) -> set[str]:
    """Roles that own something in the census, are granted something, or are named by policies."""
    entries = [entry for topic in topics for entry in topic.values()]
    owners = {str(entry["owner"]) for entry in entries if entry.get("owner")}
    granted = {role for entry in entries for key in ("acl", "roles") for role in entry.get(key, ())}
    granted |= {role for entry in entries for acl in entry.get("column_acl", {}).values() for role in acl}
    # Names that begin with pg_ are the server's own.
    return {name for name in owners | granted - {"public"} if not name.startswith("pg_")}
