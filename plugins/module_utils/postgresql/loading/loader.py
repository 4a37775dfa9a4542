# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A dump on its way into one database: structure one by one, rows in several sessions, the rest in several again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading import statements as about
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.crew import Crew
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.fill import TableFill, first_pieces
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.finish import Finisher
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.model import Loaded, LoadProblem
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.order import Later, stages
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.problems import Problems
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.script import (
    Command,
    Copy,
    Remark,
    Script,
    Statement,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.session import LoadFailed, LoadingSession
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.toc import (
    DATA,
    OF_THE_DATABASE,
    POST_DATA,
    Entry,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.unlogged import Unlogged

# So many pieces wait for each session at most, of the size in which they were decoded.
_PIECES = 8
# A table with fewer bytes of rows is filled by one session.
_SHARED_BYTES = 2 * 1024 * 1024
_BATCH_BYTES = 256 * 1024
# Databases that every server has; a dump of all databases holds them, nearly always empty.
_OF_THE_SERVER = ("postgres", "template1")
_OF_EVERY_DATABASE = ("public", "SCHEMA public", "EXTENSION plpgsql")
_RESTRICTING = (b"\\restrict", b"\\unrestrict")
_UNKNOWN_SETTING = "unrecognized configuration parameter"


@dataclass(frozen=True)
class Wishes:
    """How a dump is to be loaded.

    Args:
        database: Of several databases in the dump the one to load.
        with_roles: Whether roles in the dump are made.
        with_tablespaces: Whether objects go to the tablespaces they were in.
        analyze: Whether to gather statistics at the end.
        without_wal: Whether the server is thrown away, so that nothing need survive its crash.

    """

    database: Optional[str] = None
    with_roles: bool = False
    with_tablespaces: bool = False
    analyze: bool = False
    without_wal: bool = False


class Loader:
    """Loads one script; C(run) once. The caller gives it sessions and ends them."""

    def __init__(
        self,
        main: LoadingSession,
        crew: Crew,
        *,
        loaded: Loaded,
        problems: Problems,
        progress: Progress,
        wishes: Wishes,
        on_table_loaded: Callable[[str], None],
        on_rows_loaded: Callable[[], None] = lambda: None,
    ) -> None:
        self._main = main
        self._crew = crew
        self._loaded = loaded
        self._problems = problems
        self._progress = progress
        self._wishes = wishes
        self._on_table_loaded = on_table_loaded
        self._on_rows_loaded = on_rows_loaded
        self._settings: dict[str, bytes] = {}
        self._later: list[Later] = []
        self._batch: list[bytes] = []
        self._batch_entry: Optional[Entry] = None
        self._table_bytes: dict[str, int] = {}
        self._partitioned: set[str] = set()
        self._inserted: list[str] = []
        self._unlogged = Unlogged(is_wanted=wishes.without_wal and main.is_superuser)
        self._begun = self._completed = 0
        self._is_cluster = self._is_skipping = False
        self._phase = "pre_data"
        self._phase_began = time.monotonic()

    def run(self, sql: Iterator[bytes]) -> None:
        """Load all of it.

        Raises:
            Damaged, Undecided: what C(sql) raises, or the first problem when it shall end the loading.

        """
        handlers = {Statement: self._statement, Copy: self._copy, Command: self._command, Remark: self._remark}
        try:
            for event in Script(self._counted(sql)).events():
                handlers[type(event)](event)  # type: ignore[operator]
            self._flush()
            self._crew.drain()
        except Damaged as error:
            if error.details.get("code") != "marker_missing":
                raise
            self._crew.drain()
            self._unlogged.declare(self._main)
            self._problems.add(LoadProblem("marker_missing", str(error.details.get("object") or ""), error.message))
            return
        self._check_end()
        for table in self._inserted:
            self._on_table_loaded(table)
        self._finish()

    # --- reading
    def _counted(self, sql: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in sql:
            self._loaded.bytes += len(chunk)
            self._progress.at(self._loaded.bytes, self._phase.replace("_", "-"))
            yield chunk

    def _remark(self, remark: Remark) -> None:
        text = remark.text
        if text == about.CLUSTER_BEGINS:
            self._is_cluster = True
            self._begun += 1
        elif text == about.CLUSTER_COMPLETE:
            self._completed += 1
        if self._is_skipping:
            return
        if text == about.DUMP_BEGINS:
            self._begun += 1
        elif text == about.DUMP_COMPLETE:
            self._completed += 1
        server, client = about.version_in(text)
        if server:
            self._loaded.source_version = server
            self._check_version(server)
        self._loaded.dump_version = client or self._loaded.dump_version

    def _check_version(self, version: str) -> None:
        ours = self._main.server_version_num // 10000
        if int(version.split(".", maxsplit=1)[0]) > ours:
            message = f"the dump is of PostgreSQL {version} and the server is PostgreSQL {ours}, which is older"
            self._problems.add(LoadProblem("server_too_old", "", message))

    def _command(self, command: Command) -> None:
        if command.text.startswith(_RESTRICTING):
            self._loaded.is_restricted = True
            return
        name = about.connected_database(command.text)
        if name is None:
            words = command.text[:40].decode("utf-8", "replace")
            self._problems.add(LoadProblem("syntax", "", f"{words} is a command of psql that no dump of pg_dump has"))
            return
        self._flush()
        if name not in self._loaded.databases:
            self._loaded.databases.append(name)
        wanted = self._wishes.database
        self._is_skipping = name != wanted if wanted is not None else self._is_cluster and name in _OF_THE_SERVER
        if self._is_skipping:
            self._note(f"the part of the dump with database {name} was left out")
            return
        others = [each for each in self._loaded.databases if each != name]
        if wanted is None and [each for each in others if not (self._is_cluster and each in _OF_THE_SERVER)]:
            raise Undecided(
                f"the dump holds more than one database ({', '.join(self._loaded.databases)}). Name the one to load",
                code="several_databases",
            )
        self._note(f"the dump's database {name} was loaded into the target's database")

    # --- statements
    def _statement(self, statement: Statement) -> None:
        text, entry = statement.text, statement.entry
        if self._is_skipping or self._is_left_out(text, entry):
            return
        if name := about.setting(text):
            self._set(name, text)
            return
        self._loaded.statements += 1
        if (entry is not None and entry.type in POST_DATA) or self._later:
            if not self._later:
                self._enter("data")
            self._later.append(Later(statement, dict(self._settings)))
        elif text[:12].upper() == b"INSERT INTO " and not self._main.is_in_transaction:
            self._insert(statement)
        else:
            self._run(statement)

    def _run(self, statement: Statement) -> None:
        """Run one on the main session, once everything before it is done, unless that does not matter."""
        text, entry = statement.text, statement.entry
        self._flush()
        if not about.is_independent(text):
            self._crew.drain()
        if entry is not None and entry.type in DATA:
            self._enter("data")
        if table := about.partitioned_table(text):
            self._partitioned.add(table)
        try:
            self._main.execute(self._unlogged.made(text, entry, about.created_table(text)), entry)
        except LoadFailed as error:
            if not self._is_there_already(error.problem, text, entry):
                self._problems.add(error.problem)

    def _is_there_already(self, problem: LoadProblem, text: bytes, entry: Optional[Entry]) -> bool:
        """Whether a statement failed because the server has what every server has, or a role of the same name."""
        if entry is None:
            return problem.code == "exists" and about.is_of_role(text)
        return entry.name in _OF_EVERY_DATABASE and problem.code in ("exists", "permission")

    def _is_left_out(self, text: bytes, entry: Optional[Entry]) -> bool:
        """Whether a statement is about the server or about something that cannot be there yet."""
        if encoding := about.created_encoding(text):
            self._loaded.encoding = encoding
        if (entry is not None and entry.type in OF_THE_DATABASE) or about.is_of_database(text):
            self._note("what the dump says of the database itself (its name, owner, settings) was left out")
            return True
        if entry is None and about.is_dropping(text):
            self._note("statements that drop what was there before were left out: the database is new")
            return True
        if about.is_of_tablespace(text) and not self._wishes.with_tablespaces:
            self._note("tablespaces were left out: everything lies in the default one")
            return True
        if entry is None and about.is_of_role(text) and not self._wishes.with_roles:
            self._note("roles in the dump were left out: they belong to the server")
            return True
        return False

    def _set(self, name: str, text: bytes) -> None:
        if name == "default_tablespace" and not self._wishes.with_tablespaces:
            text = b"SET default_tablespace = '';"
        try:
            self._main.execute(text)
        except LoadFailed as error:
            if _UNKNOWN_SETTING not in error.problem.message:
                self._problems.add(error.problem)
            else:
                # pg_dump of a newer major sets what its own servers know; it changes nothing of the content.
                self._note(f"the setting {name} was left out: the server does not know it")
            return
        self._settings.pop(name, None)
        self._settings[name] = text
        if name == "client_encoding":
            self._loaded.encoding = self._loaded.encoding or text.decode("ascii", "replace").split("'")[1]

    def _insert(self, statement: Statement) -> None:
        self._enter("data")
        if statement.entry != self._batch_entry or sum(map(len, self._batch)) > _BATCH_BYTES:
            self._flush()
        self._batch_entry = statement.entry
        self._batch.append(statement.text)

    def _flush(self) -> None:
        """Give the collected rows of INSERT statements to a session."""
        batch, entry = self._batch, self._batch_entry
        self._batch, self._batch_entry = [], None
        if not batch:
            return
        table = about.inserted_table(batch[0])
        if table not in self._inserted:
            self._inserted.append(table)
        settings = dict(self._settings)

        def insert(session: LoadingSession) -> None:
            session.adopt(settings)
            try:
                session.execute(b"\n".join(batch), entry)
            except LoadFailed as error:
                self._problems.add(error.problem)

        self._crew.wait(lambda: self._crew.pending < 2 * self._crew.size)
        self._crew.submit(insert)

    # --- rows
    def _copy(self, copy: Copy) -> None:
        if self._is_skipping:
            for _piece in copy.rows:
                pass
            return
        self._flush()
        self._enter("data")
        self._loaded.statements += 1
        if self._later:
            # A second dump in the same file: what comes after the data of the first comes before it.
            self._finish()
        if self._main.is_in_transaction:
            self._copy_inline(copy)
        else:
            self._copy_with_crew(copy)

    def _copy_with_crew(self, copy: Copy) -> None:
        table = about.copied_table(copy.text)
        fill = TableFill(
            table,
            copy.text,
            settings=self._settings,
            what=str(copy.entry or f"TABLE DATA {table}"),
            depth=_PIECES * self._crew.size,
            on_done=self._filled,
            on_failed=lambda error: self._problems.add(error.problem),
        )
        size = 0
        try:
            pieces, is_all = first_pieces(lambda: next(copy.rows, None), _SHARED_BYTES)
            self._crew.wait(lambda: self._crew.pending < 2 * self._crew.size)
            for _member in range(1 if is_all else self._crew.size):
                self._crew.submit(fill.work)
            for piece in pieces:
                size += len(piece)
                fill.put(piece, self._check)
            for piece in () if is_all else copy.rows:
                size += len(piece)
                fill.put(piece, self._check)
        except BaseException:
            fill.give_up()
            raise
        fill.end()
        self._table_bytes[table] = self._table_bytes.get(table, 0) + size

    def _copy_inline(self, copy: Copy) -> None:
        """Within a transaction that the dump itself began: nobody else sees the table."""
        table = about.copied_table(copy.text)
        self._crew.drain()
        try:
            rows = self._main.copy(copy.text, lambda: next(copy.rows, b""), copy.entry)
            self._filled(table, rows)
        except LoadFailed as error:
            self._problems.add(error.problem)
            for _piece in copy.rows:
                pass

    def _filled(self, table: str, rows: int) -> None:
        """A table's rows are committed; called by members of the crew, too."""
        self._loaded.tables[table] = self._loaded.tables.get(table, 0) + rows
        self._on_table_loaded(table)

    def _check(self) -> None:
        self._crew.check()
        self._progress.check()

    # --- the end
    def _check_end(self) -> None:
        if self._wishes.database is not None and self._wishes.database not in self._loaded.databases:
            raise Undecided(
                f"the dump has no part for database {self._wishes.database} "
                f"(found: {', '.join(self._loaded.databases) or 'none named'})",
                code="several_databases",
            )
        if not self._loaded.statements and not self._problems.all():
            self._problems.add(LoadProblem("empty_artefact", "", "there is not one statement in the dump"))
        if self._loaded.statements and self._completed < max(1, self._begun):
            self._problems.add(
                LoadProblem("marker_missing", "", "the dump has no end mark (database dump complete): it is cut off")
            )
        self._loaded.is_complete = self._completed >= max(1, self._begun)

    def _finish(self) -> None:
        """Run what comes after the data."""
        self._crew.drain()
        self._unlogged.declare(self._main)
        self._enter("post_data")
        if all(about.keeps_rows(each.statement.text) for each in self._later):
            self._on_rows_loaded()
        planned = stages(self._later, self._table_bytes, frozenset(self._partitioned))
        self._later = []
        Finisher(self._crew, self._problems, self._progress).run(planned)
        if self._wishes.analyze:
            self._enter("analyze")
            self._progress.phase("analyze")
            self._crew.submit(lambda session: session.execute(b"ANALYZE"))
            self._crew.drain()
        self._enter("done")

    def _enter(self, phase: str) -> None:
        """Begin another phase, if it is another one, and note how long the last one took."""
        if phase == self._phase:
            return
        now = time.monotonic()
        taken = self._loaded.seconds.get(self._phase, 0.0) + now - self._phase_began
        self._loaded.seconds[self._phase] = round(taken, 3)
        self._phase, self._phase_began = phase, now

    def _note(self, text: str) -> None:
        if text not in self._loaded.notes:
            self._loaded.notes.append(text)
