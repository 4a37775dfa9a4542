# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' work with C(method=pgbackrest): take, prove, restore. pgBackRest does it, and is judged here."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.children import ChildFailed
from ansible_collections.runbook.ops.plugins.module_utils.common.clock import is_young, reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.durations import parse_seconds
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import RunbookError
from ansible_collections.runbook.ops.plugins.module_utils.common.guards import check_guards, window_refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refused, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.progress import Progress
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.destination import moment_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.answers import (
    RestBackup,
    Stanza,
    choose,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.copy import RestCopy
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.pgbackrest.program import Rest, rest_from
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.prove import Proof
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.questions import check_questions
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.reach import precise, window
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.restore import Restore
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.physical.verify import (
    Entry,
    artefact_of,
    judged,
    result_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.verify.request import request_from

_PERCENT = re.compile(r", (\d+(?:\.\d+)?)%\)")
_NO_STANZA = 31


def take_with_pgbackrest(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result of postgresql_backup; raises RunbookError."""
    check_guards(params)
    rest = rest_from(params)
    age = parse_seconds(params["max_age"], "max_age") if params.get("max_age") else None
    progress = Progress(params["progress_path"])
    with progress.stoppable():
        stanza = rest.info()
        _check_stanza(rest, stanza)
        last = stanza.newest()
        now = reference_moment(params["reference_time"])
        if last is not None and age is not None and is_young(last.stopped_at, now, age):
            return _taken(rest, False, [], last, last)
        kind = params["pgbackrest"]["type"]
        argv = [f"--type={kind}", "--log-level-console=detail", "backup"]
        actions = [{"action": "backup", "object": rest.stanza, "statement": f"pgbackrest backup --type={kind}"}]
        if refusal := window_refusal(params):
            raise Refused(f"No backup was taken: {refusal[0]}. {refusal[1]}", changed=False, actions=actions)
        if check_mode:
            return _taken(rest, True, actions, last, None)
        progress.phase("backup", rest.stanza, total=100, unit="percent")
        try:
            rest.run(*argv, on_line=lambda line: _show(progress, line))
        except ChildFailed as error:
            raise RunbookError(
                f"pgbackrest backup failed: {error.message}. No backup was taken. Correct that and run this again.",
                changed=False,
            ) from None
        made = rest.info().newest()
        if made is None or (last is not None and made.label == last.label):
            raise RunbookError(
                "pgbackrest backup ended without an error, and its info shows no new backup. Look at its log."
            )
        if made.has_error:
            raise RunbookError(
                f"pgBackRest took {made.label}, and pages failed their checksum while it copied them: the database is "
                "damaged. Keep the older backups, and look at the source with amcheck and pg_checksums.",
                changed=True,
                backup=made.as_dict(),
            )
    return _taken(rest, True, actions, last, made)


def verify_with_pgbackrest(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result of postgresql_backup_verify; raises RunbookError, also for a bad backup when the task shall fail."""
    check_questions(params)
    rest = rest_from(params)
    label = params["pgbackrest"].get("label") or params.get("name") or None
    request = request_from({**params, "name": label or rest.stanza, "name_pattern": None})
    progress = Progress(params.get("progress_path"))
    with progress.stoppable():
        stanza = rest.info()
        began = time.monotonic()
        backup = _chosen(rest, stanza, label)
        copy = RestCopy(rest, stanza, backup, params["pgbackrest"]["superuser"])
        entry = Entry(backup.label, copy.subject.address, "pgBackRest keeps no record of verifications")
        artefacts = []
        if not check_mode:
            proof = Proof(request, params, copy, copy.archive, progress)
            proof.run()
            artefacts.append(artefact_of(proof, entry, None))
        result = result_of(
            request,
            f"pgBackRest's {rest.stanza}",
            [entry],
            artefacts,
            time.monotonic() - began,
            check_mode=check_mode,
            records=False,
        )
    return judged(result, params, check_mode=check_mode)


def restore_with_pgbackrest(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """The result of postgresql_restore; raises RunbookError, Refused when nothing was touched."""
    check_guards(params)
    check_questions(params)
    rest = rest_from(params)
    moment = moment_from(params)
    progress = Progress(params.get("progress_path"))
    with progress.stoppable():
        stanza = rest.info()
        label = params["pgbackrest"].get("label") or params.get("name") or None
        backup = choose(stanza, label, moment.at)
        if backup is None:
            oldest = _chosen(rest, stanza, label)
            first = min(stanza.backups, key=lambda each: each.stopped_at) if label is None else oldest
            subject = RestCopy(rest, stanza, first, params["pgbackrest"]["superuser"]).subject
            raise Refused(
                f"{precise(moment.at) if moment.at else ''} cannot be reached: the oldest backup here "
                f"({first.label}) was "
                f"complete at {precise(first.stopped_at)}, and a backup can only be brought forward. Nothing was "
                "touched. "
                "Choose a later moment, or another repository.",
                code="target_before_backup",
                window=window(subject, None),
            )
        copy = RestCopy(rest, stanza, backup, params["pgbackrest"]["superuser"])
        return Restore(params, copy, copy.archive, moment, progress).run(check_mode=check_mode)


def _check_stanza(rest: Rest, stanza: Stanza) -> None:
    # 2: there is no valid backup yet; 0: all is well.
    if stanza.code not in (0, 2):
        raise Refused(
            f"pgBackRest says of the stanza {rest.stanza}: {stanza.message}. Nothing was touched. Where it was "
            "never made: "
            f"pgbackrest --stanza={rest.stanza} stanza-create, then check."
        )


def _chosen(rest: Rest, stanza: Stanza, label: Optional[str]) -> RestBackup:
    backup = choose(stanza, label, None)
    if backup is None:
        known = ", ".join(each.label for each in stanza.backups) or "none"
        raise RunbookError(
            f"pgBackRest has no backup {label or ''} of the stanza {rest.stanza} (it has: {known}; it says: "
            f"{stanza.message}). Take one with runbook.ops.postgresql_backup (method=pgbackrest)."
        )
    return backup


def _show(progress: Progress, line: str) -> None:
    if found := _PERCENT.search(line):
        progress.at(float(found[1]))
    else:
        progress.check()


def _taken(
    rest: Rest,
    changed: bool,
    actions: list[dict[str, Any]],
    last: Optional[RestBackup],
    made: Optional[RestBackup],
) -> dict[str, Any]:
    before = _shown(rest, last)
    after = None if made is None else _shown(rest, made)
    return outcome(
        changed=changed,
        actions=actions,
        before=before,
        after=after,
        backup=_facts(rest, made) if changed and made is not None else None,
        notes=[],
        diff={
            "before": f"{before['address'] or 'nothing'}\n",
            "after": f"{(after or {}).get('address') or 'a new backup'}\n",
        },
    )


def _shown(rest: Rest, backup: Optional[RestBackup]) -> dict[str, Any]:
    if backup is None:
        return {"name": None, "address": None, "taken_at": None, "bytes": None}
    told = backup.as_dict()
    return {
        "name": backup.label,
        "address": f"pgBackRest's {rest.stanza}/{backup.label}",
        "taken_at": told["taken_at"],
        "bytes": told["bytes"],
    }


def _facts(rest: Rest, backup: RestBackup) -> dict[str, Any]:
    told = backup.as_dict()
    del told["label"], told["started_at"]
    return {
        **_shown(rest, backup),
        "method": "pgbackrest",
        "started_at": backup.as_dict()["started_at"],
        "finished_at": told["taken_at"],
        "physical": told,
    }
