# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One database as it was at a moment, out of a physical backup of its cluster, into the live server.

The cluster is brought to the moment where nobody sees it, the database is dumped from there with its manifest, and that
dump takes the usual way: beside, compared, then in its place. The other databases of the live server are not touched.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.manifest import DUMP
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.request import (
    dump_argument_spec,
    place_argument_spec,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.backup.run import take_dump
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.maintenance.session import maintenance_session
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.destination import moment_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.entry import restore_to_moment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.recover import Moment
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.run import PURPOSE, restore_dump
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.restore.state import State, read_state
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.place import ScratchPlace
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.preload import preload_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.scratch.server import ScratchServer
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.tools import (
    choose_installation,
    installations,
)

_STAMP = "%Y%m%dT%H%M%S%f"


def restore_database_at(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The module's result; raises what restoring to a moment and restoring a dump raise."""
    check_guards(params)
    moment = moment_from(params)
    prefix = _prefix(moment)
    state = _look(params)
    if prefix is not None and _is_there(state, prefix):
        return _unchanged(params, state)
    parent = Path(params["work_directory"]) if params.get("work_directory") else None
    with ScratchPlace(parent, account=params.get("data_owner")) as place:
        data = place.directory / "cluster"
        physical = {**params, "data_directory": str(data), "data_owner": place.account.name}
        planned = restore_to_moment(physical, check_mode=True)
        actions = _actions(params, planned)
        if refusal := window_refusal(params):
            raise Refused(f"Nothing was touched: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
        if check_mode:
            return outcome(
                changed=True, actions=actions, before=state_facts(state), window=planned["window"], restored=None
            )
        built = restore_to_moment(physical, check_mode=False)
        name, repository = _dump(params, place, data, built, prefix)
        done = restore_dump(
            {
                **params,
                "method": DUMP,
                "repository": str(repository),
                "name": name,
                "name_pattern": _pattern(prefix),
                "timezone": "UTC",
                "allow_unverified": True,
                "decryption": None,
                "globals": "skip",
                # The window was asked for; what lies behind us took its time.
                "window": [],
                "blocked_window": [],
            },
            check_mode=False,
        )
    return _result(done, actions, planned, built)


def _look(params: Mapping[str, Any]) -> State:
    """The live server, looked at before hours are spent; refuses poolers, standbys and a second run."""
    lock = f"{PURPOSE} {params['database']}"
    with maintenance_session(params, purpose=PURPOSE, check_mode=True, lock_name=lock) as session:
        return read_state(session, params, params["database"])


def _prefix(moment: Moment) -> Optional[str]:
    """What the dump's name begins with, by which a second run sees that it is done; None for the end of the WAL."""
    if moment.at is None:
        return None
    inclusive = "" if moment.inclusive else "-exclusive"
    return f"at-{moment.at.astimezone(dt.timezone.utc).strftime(_STAMP)}{inclusive}-"


def _pattern(prefix: Optional[str]) -> str:
    return f"{prefix or 'at-latest-'}%Y%m%d-%H%M%S.dump"


def _is_there(state: State, prefix: str) -> bool:
    mark = state.mark
    return mark is not None and mark.artefact.startswith(prefix)


def state_facts(state: State) -> dict[str, Any]:
    """The live database for C(before)."""
    mark = state.mark
    return {"exists": state.live is not None, "restored_from": None if mark is None else mark.artefact}


def _unchanged(params: Mapping[str, Any], state: State) -> dict[str, Any]:
    facts = state_facts(state)
    return outcome(
        changed=False,
        actions=[],
        before=facts,
        after=facts,
        database=params["database"],
        restored=None,
        notes=[f"{params['database']} is what it was at {params['target_time']} already"],
    )


def _actions(params: Mapping[str, Any], planned: Mapping[str, Any]) -> list[dict[str, Any]]:
    database = params["database"]
    shown = [
        {**each, "object": "a private server" if each["action"] != "copy" else "a private place"}
        for each in planned["actions"]
        if each["action"] != "place"
    ]
    way = "beside what is there, compared, then in its place" if params["mode"] == "swap" else "compared"
    return [
        *shown,
        {"action": "dump", "object": database, "reason": "out of the private server, with its manifest"},
        {"action": "restore", "object": database, "reason": way},
    ]


def _dump(
    params: Mapping[str, Any], place: ScratchPlace, data: Path, built: Mapping[str, Any], prefix: Optional[str]
) -> tuple[str, Path]:
    """Start the recovered cluster, dump the database out of it: the dump's name and where it lies."""
    repository = place.directory / "dump"
    repository.mkdir(mode=0o700)
    version = int((data / "PG_VERSION").read_text(encoding="ascii").strip()) * 10000
    found = installations(params.get("bin_directory") or None, program="initdb")
    installation = choose_installation(found, version, program="initdb", exact=True)
    progress = Progress(params.get("progress_path"))
    with (
        progress.stoppable(),
        ScratchServer(
            installation,
            place=place,
            progress=progress,
            data_directory=data,
            preload=preload_from(params.get("preload") or ()),
            superuser=built["recovered"]["superuser"],
            start_seconds=None,
        ) as server,
    ):
        options = {
            **_defaults(),
            "progress_path": params.get("progress_path"),
            "reference_time": params.get("reference_time"),
            **server.options,
            "login_db": params["source_database"] or params["database"],
            "method": DUMP,
            "repository": str(repository),
            "name_pattern": _pattern(prefix),
            "timezone": "UTC",
            "compression": "none",
            "globals": False,
            "watermarks": list(params["watermarks"]),
            "bin_directory": params.get("bin_directory"),
            "window": [],
            "blocked_window": [],
        }
        taken = take_dump(options, check_mode=False)
    return str(taken["backup"]["name"]), repository


def _defaults() -> dict[str, Any]:
    spec = {**dump_argument_spec(), **place_argument_spec()}
    return {name: option.get("default") for name, option in spec.items()}


def _result(
    done: dict[str, Any], actions: list[dict[str, Any]], planned: Mapping[str, Any], built: Mapping[str, Any]
) -> dict[str, Any]:
    restored = dict(done["restored"])
    dumped = {"dump": restored["seconds"].pop("look", 0.0)}
    restored["seconds"] = {**built["seconds"], **dumped, **restored["seconds"]}
    restored["artefact"] = built["backup"]
    restored["content_at"] = (built["recovered"] or {}).get("last_commit_at")
    return {
        **done,
        "actions": actions,
        "restored": restored,
        "window": planned["window"],
        "recovered": built["recovered"],
        "answers": built["answers"],
    }
