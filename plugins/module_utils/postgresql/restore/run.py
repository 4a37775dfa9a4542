# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of postgresql_restore to its result: look, plan, refuse; make, load, prove, put in place."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.backup.errors import Damaged, Undecided
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, utc_now
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused
from ansible_collections.runbook.ops.plugins.module_utils.common.present import present
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.common.stopwatch import stopwatch
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.client import Session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.errors import QueryError
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.headroom import disk_headroom
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import maintenance_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore import names, swap
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.choose import Chosen, choose
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.filling import Filled, fill
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.globals import Globals, parse_globals
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.names import Mark, named
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.needs import Needs, Shape, needs_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.plan import (
    Plan,
    actions,
    drops_old,
    make_plan,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.preflight import Obstacle, check, obstacles
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.prove import age_seconds, newest
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.request import (
    SKIP,
    RestoreRequest,
    request_from,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.result import Restored, result
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.roles import create_roles
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.source import Source
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.state import (
    State,
    read_content,
    read_state,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.trouble import given_up, unknown_when_lost
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import Installation, installations
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.target import fitting

PURPOSE = "postgresql_restore"
_DEFAULT_TABLESPACE = "pg_default"


def restore_dump(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result.

    Raises:
        InvalidOption: before anything is touched.
        Refused: something stands against it; nothing was touched, or the name was not changed.
        Damaged: the backup is bad. The database is as it was.
        Undecided, Unavailable: it could not be told, or the server is gone. The database is as it was.
        Stopped: somebody wanted the end. The database is as it was.

    """
    request = request_from(params)
    chosen = choose(params, request)
    with (
        Progress(params["progress_path"]).stoppable() as progress,
        maintenance_session(
            params, purpose=PURPOSE, check_mode=check_mode, lock_name=f"{PURPOSE} {request.database}"
        ) as session,
    ):
        with contextlib.suppress(QueryError):
            # It waits for hours while others load, and it holds the lock. Before 14 there is no such limit.
            session.configure({"idle_session_timeout": "0"})
        return _Run(session, params, request, chosen, progress).run(check_mode=check_mode)


@dataclass
class _Run:
    session: Session
    params: Mapping[str, Any]
    request: RestoreRequest
    chosen: Chosen
    progress: Progress
    moment: dt.datetime = field(default_factory=utc_now)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def run(self, *, check_mode: bool) -> dict[str, Any]:
        request, chosen = self.request, self.chosen
        with stopwatch(self.seconds, "look"):
            source = Source(chosen, request.decryption, request.work, self.progress)
            needs = self._needs(source)
            known = self._globals()
            state = read_state(self.session, self.params, request.database)
        plan = make_plan(request, state, chosen.key, known)
        steps = actions(request, state, plan, chosen.name, known)
        self.notes += [*chosen.notes, *plan.notes]
        if not plan.is_done:
            self._refuse(source, state, needs, known, steps)
        restored: Optional[Restored] = None
        if not check_mode:
            for each in plan.drop:
                swap.drop(self.session, each.name)
            if not plan.is_done:
                restored = self._restore(source, state, needs, known, plan)
            for each in plan.drop_old:
                self._drop_old(each.name)
        after = None
        if not check_mode:
            after = read_state(self.session, self.params, request.database) if steps else state
        return result(
            request,
            chosen,
            steps,
            before=state,
            after=after,
            restored=restored,
            notes=self.notes,
            undo=self._undo(state, restored),
        )

    def _needs(self, source: Source) -> Needs:
        """What the backup asks for; its beginning is read, so that a missing key or a wrong file shows now."""
        head = source.begin()
        needs = needs_of(self.chosen.manifest, self.chosen.census)
        return needs.completed(head.database, head.dumped_from)

    def _programs(self, source: Source) -> Installation:
        """The installation whose pg_restore reads what pg_dump wrote; raises Undecided."""
        found = installations(self.request.bin_directory, "pg_restore")
        return fitting(found, 0, (source.head.dumped_by or 0) // 10000)

    def _globals(self) -> Optional[Globals]:
        if self.request.globals == SKIP:
            return None
        data = self.chosen.globals(self.request.decryption)
        if data is None:
            return None
        known = parse_globals(data)
        if not known.is_complete:
            raise Damaged(
                f"The globals of {self.chosen.name} have no end marker: they are cut off. Nothing was touched. Restore "
                "another backup, or set globals to check or skip.",
                code="globals_missing",
            )
        return known

    def _refuse(
        self, source: Source, state: State, needs: Needs, known: Optional[Globals], steps: list[dict[str, Any]]
    ) -> None:
        """Raise Refused for everything that stands against it, and note what cannot be told."""
        tablespace = state.live.tablespace_oid if state.live is not None else 0
        headroom = disk_headroom(self.session, self.params, tablespace)
        if needs.needed_bytes is None:
            self.notes.append("How much room it takes is not known, because there is no manifest")
        elif headroom.free_bytes is None:
            self.notes.append(f"Whether there is room for {needs.needed_bytes} bytes is {headroom.source}")
        if state.live is None and self.request.is_swap:
            self.notes.append(f"There is no database {self.request.database}: nothing is replaced")
        if state.bound:
            what = ", ".join(f"{kind} {name}" for kind, name in state.bound)
            self.notes.append(f"They stay with the old database: {what}")
        if state.live is not None and needs.shape.encoding and needs.shape != state.live.shape:
            self.notes.append(
                "Encoding or locale will be the backup's, which are not those of the database that is there"
            )
        found = obstacles(self.request, state, needs, known, headroom)
        try:
            self._programs(source)
        except Undecided as error:
            found.append(Obstacle("client_too_old", f"{self.chosen.name}: {error.message}."))
        check(found, {"changed": False, "actions": steps})
        if refusal := window_refusal(self.params):
            raise Refused(
                f"Nothing was touched: {refusal[0]}. {refusal[1]}", changed=False, actions=steps, code="window"
            )

    def _restore(self, source: Source, state: State, needs: Needs, known: Optional[Globals], plan: Plan) -> Restored:
        request = self.request
        with stopwatch(self.seconds, "roles"):
            if plan.roles:
                self.progress.phase("roles", total=len(plan.roles), unit="roles")
                self.notes += create_roles(self.session, plan.roles, present(known, "globals"), needs.roles)
        if plan.reuse is not None:
            beside = plan.reuse.name
            with self._given_up(beside):
                filled = self._fill(None, source, beside, needs)
        else:
            beside = named(request.database, names.BESIDE, self.moment)
            with self._given_up(beside):
                self._create(beside, state, needs)
                filled = self._fill(source, source, beside, needs)
        watermarks = list(request.watermarks or (self.chosen.census.watermarks if self.chosen.census else ()))
        here = newest(self.params, beside, watermarks) if watermarks else {}
        done = self._put_in_place(beside, state)
        self.notes += [*filled.notes, *done.notes]
        there = newest(self.params, done.old, watermarks) if watermarks and done.old else {}
        dropped = bool(done.old) and drops_old(request) and self._drop_old(present(done.old, "the old database"))
        return Restored(
            artefact=self.chosen.name,
            database=request.database,
            old_database=None if dropped else done.old,
            filled=filled,
            swap=done,
            roles=plan.roles,
            seconds=self.seconds,
            watermarks={name: {"live": there.get(name), "restored": here.get(name)} for name in watermarks},
            content_age_seconds=age_seconds(there, here),
        )

    def _create(self, beside: str, state: State, needs: Needs) -> None:
        live = state.live
        shape = needs.shape if needs.shape.encoding else live.shape if live is not None else Shape()
        owner = live.owner if live is not None else self.request.owner
        # The default one must not be named: that takes a privilege that not even the owner has.
        tablespace = live.tablespace if live is not None and live.tablespace != _DEFAULT_TABLESPACE else None
        self.progress.phase("create", beside)
        with stopwatch(self.seconds, "create"):
            swap.create(self.session, beside, shape, owner, tablespace)
            swap.mark(self.session, beside, self._mark(names.RESTORING))

    def _fill(self, source: Optional[Source], begun: Source, beside: str, needs: Needs) -> Filled:
        filled = fill(
            self.session,
            self.params,
            self.request,
            self.chosen,
            source,
            self._programs(begun),
            beside,
            self.seconds,
            self.progress,
            on_loaded=lambda: swap.mark(self.session, beside, self._mark(names.LOADED)),
        )
        filled.tables = filled.tables or needs.tables or 0
        return filled

    def _put_in_place(self, beside: str, state: State) -> swap.Swap:
        """The window may have closed while it was loaded, and sessions may have come."""
        request = self.request
        ready = f"The restored database is ready as {beside}: run this again, and it goes on from there"
        if refusal := window_refusal(self.params):
            raise Refused(f"{request.database} was not replaced: {refusal[0]}. {refusal[1]} {ready}.", code="window")
        with stopwatch(self.seconds, "swap"), unknown_when_lost():
            return swap.put_in_place(
                self.session,
                self.params,
                beside=beside,
                database=request.database,
                old=named(request.database, names.BEFORE, self.moment),
                live=state.live,
                marks=(self._mark(names.RESTORED), self._mark(names.REPLACED)),
                fence=request.fence,
                most=request.max_sessions,
                seconds=request.fence_seconds,
                progress=self.progress,
            )

    def _drop_old(self, name: str) -> bool:
        """Drop a former database; one that was empty only if it still is."""
        if not self.request.is_swap and any(read_content(self.params, name).values()):
            self.notes.append(f"{name} was empty when this run began and is not any more: it was kept")
            return False
        swap.drop(self.session, name)
        return True

    def _given_up(self, beside: str) -> contextlib.AbstractContextManager[None]:
        failed = self._mark(names.FAILED) if self.request.keep_failed else None
        return given_up(self.session, self.params, beside, self.request.database, failed)

    def _mark(self, state: str) -> Mark:
        return Mark(state, self.request.database, self.chosen.name, self.chosen.key, iso(self.moment))

    def _undo(self, state: State, restored: Optional[Restored]) -> list[str]:
        if restored is None or restored.old_database is None or state.live is None:
            return []
        undone = named(self.request.database, names.UNDONE, self.moment)
        return list(swap.undo(self.request.database, restored.old_database, undone, state.live.comment))
