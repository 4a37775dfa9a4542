# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing rounds to a machine: plan, guard, apply, prove."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso, reference_moment
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.files import locked
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import check_refusals, outcome
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Entry, Problem
from ansible_collections.runbook.ops.plugins.module_utils.schedule.environment_files import refused_files
from ansible_collections.runbook.ops.plugins.module_utils.schedule.lint import (
    clock_notes,
    lint_collisions,
    lint_duplicates,
    lint_windows,
)
from ansible_collections.runbook.ops.plugins.module_utils.schedule.machine import machine_zone, next_start, read_machine
from ansible_collections.runbook.ops.plugins.module_utils.schedule.plan import make_plan, refusals_of
from ansible_collections.runbook.ops.plugins.module_utils.schedule.render import (
    PREFIX,
    crontab_text,
    marked_set,
    unit_texts,
)
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import CRON, Round, rounds_from, set_name
from ansible_collections.runbook.ops.plugins.module_utils.schedule.survey import check_windows
from ansible_collections.runbook.ops.plugins.module_utils.schedule.validate import (
    check_backend,
    check_users,
    missing_programs,
    validate,
    with_paths,
)
from ansible_collections.runbook.ops.plugins.module_utils.schedule.writing import (
    apply_plan,
    present_files,
    prove,
    read_timers,
    set_files,
)
from ansible_collections.runbook.ops.plugins.module_utils.services.survey import check_seconds


def schedule_rounds(params: Mapping[str, Any], *, check_mode: bool) -> dict[str, Any]:
    """Everything C(schedule) returns; raises RunbookError."""
    name = set_name(params["name"])
    rounds = rounds_from(params["rounds"] if params["state"] == "present" else [], params["backend"])
    if params["backend"] != CRON:
        rounds = with_paths(rounds)
    check_windows(params["windows"])
    check_seconds(params["timeout"])
    for option in ("cron_directory", "unit_directory"):
        if not Path(params[option]).is_dir() and (rounds and option.startswith(_directory_of(params["backend"]))):
            raise InvalidOption(option, params[option], "a directory that is there")
    check_users(rounds)
    wanted = _texts(name, rounds, params)
    if rounds:
        check_backend(params["backend"], params["log"])
        validate(name, rounds, wanted, params)
    if check_mode:
        return _schedule(name, rounds, wanted, params, check_mode=True)
    with locked(Path("/run") / f"runbook-ops-schedule-{name}.lock", f"writing the rounds {name} here"):
        return _schedule(name, rounds, wanted, params, check_mode=False)


def _directory_of(backend: str) -> str:
    return "cron" if backend == CRON else "unit"


def _schedule(
    name: str, rounds: Sequence[Round], wanted: Mapping[str, str], params: Mapping[str, Any], *, check_mode: bool
) -> dict[str, Any]:
    now = reference_moment(params["reference_time"])
    zone_name, zone = machine_zone()
    entries = _entries(name, rounds, params)
    present = present_files(name, wanted, params)
    problems = _problems(name, entries, params, now.astimezone(zone), zone)
    refused = refusals_of([each for each in problems if each.code != "two_backups"], entries)
    if params["allow_duplicates"]:
        duplicates = {each.message for each in problems if each.code == "duplicate"}
        refused = [each for each in refused if each.reason not in duplicates]
    refused += [*missing_programs(rounds), *refused_files(rounds, params["backend"])]
    plan = make_plan(name, wanted, present, read_timers(wanted, params["timeout"]), refused)
    ours = {path: text for path, text in present.items() if marked_set(text) == name}
    if not plan.is_empty and not check_mode:
        apply_plan(plan, params["timeout"])
        prove(name, wanted, params)
    changed = not plan.is_empty
    result = outcome(
        changed=changed,
        actions=plan.actions(),
        refused=plan.refused,
        before={"files": sorted(ours), "files_count": len(ours)},
        after=None if check_mode else {"files": set_files(name, params), "files_count": len(set_files(name, params))},
        name=name,
        timezone=zone_name,
        rounds=[_told(entry, now, zone) for entry in entries],
        problems=[each.as_dict() for each in problems],
        notes=[note for each in entries for note in clock_notes([each], now, each.facts.get("zone") or zone)],
        diff=[
            {
                "before_header": path,
                "after_header": path,
                "before": ours.get(path, ""),
                "after": plan.writes.get(path, ""),
            }
            for path in sorted({*plan.writes, *plan.removals})
        ],
    )
    check_refusals(result, params["on_refusal"])
    return result


def _told(entry: Entry, now: dt.datetime, zone: dt.tzinfo) -> dict[str, Any]:
    its_zone: dt.tzinfo = entry.facts.get("zone") or zone
    following = next_start(entry, now, its_zone)
    return {
        "name": entry.name,
        "schedule": entry.schedule,
        "user": entry.user,
        "command": redact_text(entry.command),
        "next_at": iso(following) if following else None,
    }


def _texts(name: str, rounds: Sequence[Round], params: Mapping[str, Any]) -> dict[str, str]:
    if not rounds:
        return {}
    if params["backend"] == CRON:
        text = crontab_text(name, rounds, log=params["log"], mail_to=params["mail_to"], locks=params["lock_directory"])
        return {f"{params['cron_directory']}/{PREFIX}{name}": text}
    texts = {file: text for each in rounds for file, text in unit_texts(name, each).items()}
    return {f"{params['unit_directory']}/{file}": text for file, text in texts.items()}


def _entries(name: str, rounds: Sequence[Round], params: Mapping[str, Any]) -> list[Entry]:
    """The rounds as they will be seen among all others."""
    made = []
    for number, each in enumerate(rounds, 1):
        entry = Entry(f"rounds {name}", params["backend"], each.expression.text, each.words, each.user, number)
        entry.name, entry.set, entry.expression = each.name, name, each.expression
        if each.timezone:
            entry.facts["zone"] = ZoneInfo(each.timezone)
        made.append(entry)
    return made


def _problems(
    name: str, entries: Sequence[Entry], params: Mapping[str, Any], now: dt.datetime, zone: dt.tzinfo
) -> list[Problem]:
    """What is wrong with our rounds, by themselves and among what is there already."""
    if not entries:
        return []
    others = [each for each in read_machine(params["timeout"]).entries if not _is_ours(each, name, params)]
    together = [*others, *entries]
    found = [
        *lint_duplicates(together),
        *lint_collisions([each for each in together if not each.is_refused and not each.facts.get("zone")], now),
    ]
    for entry in entries:
        found += lint_windows([entry], params["windows"], now.astimezone(entry.facts.get("zone") or zone),
                              entry.facts.get("zone") or zone)  # fmt: skip
    ours = {each.object for each in entries}
    return [each for each in found if each.as_dict()["object"] in ours]


def _is_ours(entry: Entry, name: str, params: Mapping[str, Any]) -> bool:
    if entry.set == name:
        return True
    path = str(entry.facts.get("path") or "")
    return entry.kind == "timer" and path.startswith(f"{params['unit_directory']}/{PREFIX}{name}-")
