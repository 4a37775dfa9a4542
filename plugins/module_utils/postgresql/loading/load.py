# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a dump into a server, fast and honestly: the whole dump, or a problem that says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import connect
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.archives import PLAIN, as_sql
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.crew import Crew
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.loader import Loader, Wishes
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import Loaded
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.problems import Problems
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.session import LoadingSession
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation

STOP, COLLECT = "stop", "collect"
_LOGIN_SECONDS = 60.0
# What a database has that is not new: no object of an extension, nothing of the system.
_OBJECTS = """
SELECT pg_catalog.count(*) AS objects, pg_catalog.min(n.nspname || '.' || c.relname) AS first
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
  AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_depend AS d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
"""


def load(
    target: Mapping[str, Any],
    content: Iterator[bytes],
    kind: str,
    *,
    installation: Installation,
    jobs: int,
    progress: Progress,
    directory: Optional[Path] = None,
    on_error: str = STOP,
    on_table_loaded: Callable[[str], None] = lambda _table: None,
    on_rows_loaded: Callable[[], None] = lambda: None,
    database: Optional[str] = None,
    with_tablespaces: bool = False,
    analyze: bool = False,
    throwaway: bool = False,
    arguments: Sequence[str] = (),
) -> Loaded:
    """Load a decoded dump into an existing, empty database. To be called in the main thread.

    Structure is made first, rows are copied by several sessions while more of the dump is decoded, then indexes and
    constraints are made by several sessions at once. Lines with C(\\connect), statements about the database itself,
    and, unless the server is a throwaway, statements about roles are left out; C(notes) of the result say so.

    Args:
        target: Login options; C(login_db) is the database.
        content: The decoded dump. For C(directory) it is not read.
        kind: C(plain), C(custom), C(tar) or C(directory).
        installation: Whose pg_restore turns archives into SQL.
        jobs: How many sessions work at once.
        progress: Told in bytes of SQL, then in statements.
        directory: The unpacked dump of kind C(directory).
        on_error: C(stop) raises at the first problem; C(collect) goes on where it can and returns all problems.
        on_table_loaded: Called with the table, as the dump spells it, when its rows are committed. It is called from
            several threads and must return at once. Who reads the table then must not keep a transaction open: keys
            are made under a lock that waits for it.
        on_rows_loaded: Called when all rows are there, unless what comes then could change some; in a file with more
            than one dump, whenever that is so of one. The same holds for who reads them then.
        database: Of a dump with several databases the one to load.
        with_tablespaces: Whether objects go to the tablespaces they were in; these must exist.
        analyze: Whether to gather statistics at the end.
        throwaway: Whether the server is a scratch server: roles in the dump are made, durability is worth nothing.
        arguments: More arguments for pg_restore, such as C(--no-owner).

    Returns:
        What was loaded. A dump without its end mark gives C(marker_missing), and what comes after the data is not run.

    Raises:
        Damaged, Undecided: what C(content) raises; the first problem, if it shall stop there; a broken connection, a
            full disk or a database that is not empty in any case. Details hold C(code) and C(object).
        Unavailable: the login failed.

    """
    with connect(target, statement_timeout_seconds=_LOGIN_SECONDS) as session:
        found = session.query(_OBJECTS)[0]
    if found["objects"]:
        raise Undecided(
            f"database {target.get('login_db')} is not empty: it has {found['objects']} tables, views or sequences, "
            f"{found['first']} among them. A dump is loaded into a new database only",
            code="not_empty",
        )
    loaded = Loaded()
    problems = Problems(stops=on_error == STOP)
    wishes = Wishes(
        database=database,
        with_roles=throwaway,
        with_tablespaces=with_tablespaces,
        analyze=analyze,
        without_wal=throwaway,
    )
    progress.phase("load", str(target.get("login_db") or ""), unit="bytes")
    sql = content if kind == PLAIN else as_sql(content, kind, installation, directory=directory, arguments=arguments)
    _run(target, sql, jobs, loaded, problems, progress, wishes, on_table_loaded, on_rows_loaded)
    loaded.problems = problems.all()
    return loaded


def load_globals(
    target: Mapping[str, Any],
    sql: bytes,
    *,
    installation: Optional[Installation] = None,
    progress: Progress,
    on_error: str = COLLECT,
) -> Loaded:
    """Load the roles of C(pg_dumpall --globals-only); what exists already is no problem, its settings are brought over.

    Tablespaces are not made: their directories are another machine's. C(login_db) is any database of the server.
    """
    del installation
    loaded = Loaded()
    problems = Problems(stops=on_error == STOP)
    progress.phase("globals")
    _run(target, iter([sql]), 1, loaded, problems, progress, Wishes(with_roles=True))
    loaded.problems = problems.all()
    return loaded


def _run(
    target: Mapping[str, Any],
    sql: Iterator[bytes],
    jobs: int,
    loaded: Loaded,
    problems: Problems,
    progress: Progress,
    wishes: Wishes,
    on_table_loaded: Callable[[str], None] = lambda _table: None,
    on_rows_loaded: Callable[[], None] = lambda: None,
) -> None:
    main = LoadingSession(target)
    try:
        with Crew(target, jobs, progress.check) as crew:
            loader = Loader(
                main,
                crew,
                loaded=loaded,
                problems=problems,
                progress=progress,
                wishes=wishes,
                on_table_loaded=on_table_loaded,
                on_rows_loaded=on_rows_loaded,
            )
            loader.run(sql)
    finally:
        main.close()
        close = getattr(sql, "close", None)
        if close is not None:
            close()
