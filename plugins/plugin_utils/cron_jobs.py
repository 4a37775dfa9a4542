# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds as CronJobs: what is applied, what is removed, and what speaks against it. Pure."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.common.redaction import redact_text
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.references import pod_spec_of
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Entry, Problem
from ansible_collections.runbook.ops.plugins.module_utils.schedule.lint import (
    clock_notes,
    lint_collisions,
    lint_duplicates,
    lint_windows,
)
from ansible_collections.runbook.ops.plugins.module_utils.schedule.machine import next_start
from ansible_collections.runbook.ops.plugins.module_utils.schedule.plan import refusals_of
from ansible_collections.runbook.ops.plugins.module_utils.schedule.rounds import Round, rounds_from, set_name
from ansible_collections.runbook.ops.plugins.module_utils.schedule.survey import check_windows
from ansible_collections.runbook.ops.plugins.plugin_utils.cron_job_manifest import (
    KEYS,
    SET_LABEL,
    cron_job,
    cron_job_name,
)

_BACKEND = "kubernetes"


def cron_jobs(
    rounds: Sequence[Mapping[str, Any]],
    name: str,
    namespace: str,
    present: Sequence[Mapping[str, Any]],
    windows: Sequence[Mapping[str, Any]],
    now: dt.datetime,
    *,
    allow_duplicates: bool,
) -> dict[str, Any]:
    """The CronJobs of a set of rounds, and what is to be done.

    Args:
        rounds: The rounds, all of them, as the module C(schedule) takes them, and with C(KEYS).
        name: The name of the set.
        namespace: Where they belong.
        present: The CronJobs of the namespace.
        windows: What was agreed about times.
        now: The moment that counts as now.
        allow_duplicates: Whether a command may be scheduled elsewhere in the namespace, too.

    Raises:
        InvalidOption: something cannot be run as it is meant.

    """
    set_name(name)
    if not namespace:
        raise InvalidOption("namespace", namespace, "the namespace of the CronJobs")
    check_windows([dict(each) for each in windows])
    for position, each in enumerate(rounds):
        if each.get("user"):
            raise InvalidOption(
                f"rounds[{position}].user", each["user"], "nothing with backend=kubernetes: the image says who runs it"
            )
        if each.get("environment_file"):
            raise InvalidOption(
                f"rounds[{position}].environment_file", each["environment_file"],
                "nothing with backend=kubernetes; name a Secret with environment_secret",
            )  # fmt: skip
    made = rounds_from([{key: each[key] for key in each if key not in KEYS} for each in rounds], _BACKEND)
    manifests = [cron_job(name, namespace, each, given) for each, given in zip(made, rounds, strict=True)]
    wanted = {each["metadata"]["name"] for each in manifests}
    ours = {each["metadata"]["name"] for each in present if _set_of(each) == name}
    entries = [_entry(name, number, each) for number, each in enumerate(made, 1)]
    others = [_other(each) for each in present if _set_of(each) != name]
    problems = list(_problems(entries, others, windows, now))
    refused = [
        Refusal(each, "there is a CronJob of that name that this set did not write", "Move it away, or rename the set.")
        for each in sorted(wanted & {each["metadata"]["name"] for each in present} - ours)
    ]
    is_allowed = ("duplicate", "two_backups") if allow_duplicates else ("two_backups",)
    refused += refusals_of([each for each in problems if each.code not in is_allowed], entries)
    return {
        "manifests": [] if refused else manifests,
        "removed": [] if refused else sorted(ours - wanted),
        "refused": [each.as_dict() for each in refused],
        "problems": [each.as_dict() for each in problems],
        "notes": [note for each in entries for note in clock_notes([each], now, each.facts["zone"])],
        "rounds": [_told(each, now) for each in entries],
        "before": {"cron_jobs_count": len(ours)},
        "after": {"cron_jobs_count": len(ours if refused else wanted)},
    }


def _set_of(document: Mapping[str, Any]) -> str | None:
    found = (document["metadata"].get("labels") or {}).get(SET_LABEL)
    return None if found is None else str(found)


def _entry(set_: str, number: int, each: Round) -> Entry:
    """A round as it will be seen among all others."""
    entry = Entry(f"rounds {set_}", _BACKEND, each.expression.text, each.words, "", number)
    entry.name, entry.set, entry.expression = each.name, set_, each.expression
    entry.facts["zone"] = ZoneInfo(each.timezone)
    return entry


def _other(document: Mapping[str, Any]) -> Entry:
    containers = pod_spec_of(document).get("containers") or [{}]
    words = [str(each) for key in ("command", "args") for each in containers[0].get(key) or ()]
    schedule = str((document.get("spec") or {}).get("schedule") or "")
    return Entry(f"CronJob {document['metadata']['name']}", _BACKEND, schedule, shlex.join(words).replace("$$", "$"))


def _problems(
    entries: Sequence[Entry], others: Sequence[Entry], windows: Sequence[Mapping[str, Any]], now: dt.datetime
) -> Iterator[Problem]:
    ours = {each.object for each in entries}
    yield from (each for each in lint_duplicates([*others, *entries]) if each.as_dict()["object"] in ours)
    zones = {each.facts["zone"].key: cast(dt.tzinfo, each.facts["zone"]) for each in entries}
    for key, zone in sorted(zones.items()):
        here = [each for each in entries if each.facts["zone"].key == key]
        local = now.astimezone(zone)
        yield from lint_collisions(here, local)
        for each in lint_windows(here, windows, local, zone):
            yield replace(each, message=each.message.replace("on this machine's clock", f"in {key}"))


def _told(entry: Entry, now: dt.datetime) -> dict[str, Any]:
    following = next_start(entry, now, entry.facts["zone"])
    return {
        "name": entry.name,
        "cron_job": cron_job_name(entry.set, entry.name),
        "schedule": entry.schedule,
        "command": redact_text(entry.command),
        "next_at": iso(following) if following else None,
    }
