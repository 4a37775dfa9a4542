# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs and CronJobs as facts: what failed, what runs for too long, what is late, when it last went well. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Optional
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.common import (
    Document,
    Facts,
    Reference,
    condition,
    controller_of,
    name_of,
    namespace_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.cron_definition import definition_facts
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.health.pods import Pods
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.memory import PARKED
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.moments import age_seconds, moment_of
from ansible_collections.runbook.ops.plugins.module_utils.kubernetes.pod_words import shortened
from ansible_collections.runbook.ops.plugins.module_utils.schedule.expression import (
    BadExpression,
    Expression,
    parse_expression,
)

# Of jobs that are due more often, the time between two starts says nothing about how long one may take.
_SHORTEST_INTERVAL = 900
# What the controller reads besides (github.com/robfig/cron): a zone in front, other signs, and "@every 1h30m".
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.+)")
_EVERY = re.compile(r"@every\s+((?:[0-9]+(?:\.[0-9]+)?(?:h|m|s))+)")
_PART = re.compile(r"([0-9.]+)([hms])")
_STEP = re.compile(r"(?<![0-9-])([0-9]+)/")
_LAST = ("59", "23", "31", "12", "6")
# So many days are looked over for when a schedule was due; a yearly one is further apart.
_FEW_DAYS, _MANY_DAYS, _DAYS_OF_A_BUSY_ONE = 40, 800, 8


def settled_jobs(jobs: Iterable[Document]) -> frozenset[Reference]:
    """Jobs that have ended, well or not."""
    return frozenset(
        ("job", namespace_of(each), name_of(each)) for each in jobs if _is(each, "Failed") or _is(each, "Complete")
    )


def jobs_facts(
    jobs: Sequence[Document], pods: Optional[Pods], now: dt.datetime, cron_jobs: Iterable[Document] = ()
) -> list[Facts]:
    """The section C(jobs).

    A failed job of a CronJob is superseded when a later one of it went well, which may be gone by now.
    """
    best: dict[tuple[str, str], str] = {
        (namespace_of(each), name_of(each)): str((each.get("status") or {}).get("lastSuccessfulTime") or "")
        for each in cron_jobs
    }
    for each in jobs:
        owner = _cron_job(each)
        if owner and _is(each, "Complete"):
            key = (namespace_of(each), owner)
            best[key] = max(best.get(key, ""), _created(each))
    return [_job(each, pods, now, best) for each in sorted(jobs, key=lambda job: (namespace_of(job), name_of(job)))]


def _job(job: Document, pods: Optional[Pods], now: dt.datetime, best: dict[tuple[str, str], str]) -> Facts:
    namespace, name, owner, status = namespace_of(job), name_of(job), _cron_job(job), job.get("status") or {}
    failed = condition(job, "Failed") if _is(job, "Failed") else {}
    is_active = not failed and not _is(job, "Complete") and not (job.get("spec") or {}).get("suspend")
    active_seconds = age_seconds(status.get("startTime") or _created(job), now) if is_active else None
    return {
        "name": f"{namespace}/{name}",
        "namespace": namespace,
        "job": name,
        "cron_job": owner,
        "is_failed": bool(failed),
        "is_superseded": bool(failed) and best.get((namespace, owner or ""), "") > _created(job),
        "reason": str(failed.get("reason") or "Failed") if failed else None,
        "detail": _why(job, failed, pods) if failed else None,
        "failed_seconds": age_seconds(failed.get("lastTransitionTime"), now) if failed else None,
        "is_active": is_active,
        "active_seconds": active_seconds,
        # Nothing of it was ever made: a quota, a webhook, a service account.
        "is_starved": is_active and pods is not None and _is_starved(job, pods, active_seconds),
        "succeeded_count": int(status.get("succeeded") or 0),
        "failed_count": int(status.get("failed") or 0),
    }


def _is_starved(job: Document, pods: Pods, active_seconds: Optional[int]) -> bool:
    status = job.get("status") or {}
    counts = [int(status.get(field) or 0) for field in ("active", "succeeded", "failed")]
    is_late = active_seconds is None or active_seconds > _SHORTEST_INTERVAL
    return is_late and not any(counts) and not pods.of(("job", namespace_of(job), name_of(job)))


def _why(job: Document, failed: Document, pods: Optional[Pods]) -> str:
    text = shortened(failed.get("message")) or "it failed"
    own = pods.of(("job", namespace_of(job), name_of(job))) if pods else []
    problem = next((each.state.problem for each in own if each.state.problem is not None), None)
    return f"{text}; {problem.reason}: {problem.detail}" if problem else text


def cron_jobs_facts(cron_jobs: Sequence[Document], jobs: Sequence[Document], now: dt.datetime) -> list[Facts]:
    """The section C(cron_jobs)."""
    own: dict[tuple[str, str], list[Document]] = {}
    for each in sorted(jobs, key=_created):
        owner = _cron_job(each)
        if owner:
            own.setdefault((namespace_of(each), owner), []).append(each)
    ordered = sorted(cron_jobs, key=lambda each: (namespace_of(each), name_of(each)))
    return [_cron_facts(each, own.get((namespace_of(each), name_of(each)), []), now) for each in ordered]


def _cron_facts(cron_job: Document, jobs: Sequence[Document], now: dt.datetime) -> Facts:
    newest = next((each for each in reversed(jobs) if _is(each, "Failed") or _is(each, "Complete")), None)
    spec, status = cron_job.get("spec") or {}, cron_job.get("status") or {}
    namespace, name = namespace_of(cron_job), name_of(cron_job)
    created = _created(cron_job)
    is_suspended = spec.get("suspend") is True
    last = status.get("lastScheduleTime")
    due = due_times(str(spec.get("schedule") or ""), spec.get("timeZone"), _counted_from(cron_job), now)
    success = status.get("lastSuccessfulTime")
    # What has never gone well has not done so since it is there.
    success_age = age_seconds(success or (created if last else None), now)
    interval = due.interval_seconds
    return {
        "name": f"{namespace}/{name}",
        "namespace": namespace,
        "cron_job": name,
        "schedule": spec.get("schedule"),
        "time_zone": spec.get("timeZone"),
        "is_suspended": is_suspended,
        "is_parked": PARKED in (cron_job["metadata"].get("annotations") or {}),
        "active_count": len(status.get("active") or ()),
        "last_schedule_age_seconds": age_seconds(last, now),
        "last_success_age_seconds": success_age,
        "has_succeeded": success is not None,
        "has_run": last is not None,
        "interval_seconds": interval,
        "success_age_intervals": (
            round(success_age / max(interval, _SHORTEST_INTERVAL), 2) if interval and success_age is not None else None
        ),
        # For how long a start is due that has not come.
        "late_seconds": 0 if is_suspended else due.late_seconds,
        "missed_count": 0 if is_suspended else due.missed_count,
        # A job that went well may be gone already.
        "is_last_failed": None if newest is None else _is(newest, "Failed") and str(success or "") < _created(newest),
        **definition_facts(
            cron_job, jobs, now, shortest=due.shortest_seconds, is_clock_bound=due.is_clock_bound and not due.has_zone
        ),
    }


def _counted_from(cron_job: Document) -> Optional[dt.datetime]:
    """From when on a start that did not come is missed.

    With startingDeadlineSeconds, those that were due while it was suspended, or had another schedule, are never made up
    for; when it was changed last says until when that may have been so.
    """
    moments = [moment_of((cron_job.get("status") or {}).get("lastScheduleTime") or _created(cron_job))]
    if (cron_job.get("spec") or {}).get("startingDeadlineSeconds") is not None:
        changes = cron_job["metadata"].get("managedFields") or ()
        moments += [moment_of(each.get("time")) for each in changes if each.get("subresource") != "status"]
    return max((each for each in moments if each is not None), default=None)


@dataclass(frozen=True)
class Due:
    """When a schedule was due: how long ago the first start that did not come, and how many did not."""

    late_seconds: Optional[int] = None
    missed_count: Optional[int] = None
    # The longest and the shortest time between two starts.
    interval_seconds: Optional[int] = None
    shortest_seconds: Optional[int] = None
    # Whether another time zone would be another time.
    is_clock_bound: Optional[bool] = None
    has_zone: bool = False


def due_times(schedule: str, zone: Optional[str], after: Optional[dt.datetime], now: dt.datetime) -> Due:
    """What a CronJob has missed.

    Args:
        schedule: Five fields, or a macro; one that cannot be read gives None everywhere.
        zone: The name of its timezone; without one the controller's counts, which is UTC as a rule.
        after: The last start, or when it was made.
        now: The moment that counts as now.

    """
    every = _EVERY.fullmatch(schedule.strip())
    if every:
        return _due_every(every.group(1), after, now)
    prefixed = _ZONE.fullmatch(schedule.strip())
    if prefixed:
        zone, schedule = prefixed.groups()
    try:
        expression = parse_expression(_as_cron_writes(schedule))
        place: dt.tzinfo = ZoneInfo(zone) if zone else dt.timezone.utc
    except (BadExpression, KeyError, ValueError, OSError):
        return Due()
    wall_now = now.astimezone(place).replace(tzinfo=None)
    longest, shortest = _intervals(expression, wall_now)
    due = Due(
        interval_seconds=longest,
        shortest_seconds=shortest,
        is_clock_bound=not expression.is_every_hour,
        has_zone=zone is not None,
    )
    if after is None:
        return due
    # Starts carry the moment that they were due at; one minute more is the next one.
    begin = after.astimezone(place).replace(tzinfo=None, second=0, microsecond=0) + dt.timedelta(minutes=1)
    begin = max(begin, wall_now - dt.timedelta(days=_FEW_DAYS))
    starts = expression.starts(begin, max(0, (wall_now - begin).days) + 1)
    missed = [each for each in starts if each <= wall_now and _exists(each, place)]
    late = int((wall_now - missed[0]).total_seconds()) if missed else 0
    return replace(due, late_seconds=late, missed_count=len(missed))


def _due_every(text: str, after: Optional[dt.datetime], now: dt.datetime) -> Due:
    units = {"h": 3600, "m": 60, "s": 1}
    interval = int(sum(float(number) * units[unit] for number, unit in _PART.findall(text)))
    due = Due(interval_seconds=interval or None, shortest_seconds=interval or None, is_clock_bound=False)
    if interval < 1 or after is None:
        return due
    passed = max(0, int((now - after).total_seconds()))
    return replace(due, late_seconds=max(0, passed - interval), missed_count=passed // interval)


def _as_cron_writes(schedule: str) -> str:
    """Five fields without the signs that only the controller's reader has: C(?), and steps from a number on."""
    fields = schedule.replace("?", "*").split()
    if len(fields) != len(_LAST):
        return schedule
    return " ".join(_STEP.sub(rf"\1-{last}/", field) for field, last in zip(fields, _LAST))


def _exists(moment: dt.datetime, place: dt.tzinfo) -> bool:
    """Whether the clock shows a time at all; it does not in the hour that a summer time leaves out."""
    there = moment.replace(tzinfo=place).astimezone(dt.timezone.utc).astimezone(place)
    return there.replace(tzinfo=None) == moment


def _intervals(expression: Expression, wall_now: dt.datetime) -> tuple[Optional[int], Optional[int]]:
    """The longest time between two starts that lie around now, so that a weekend is no delay, and the shortest."""
    spans = (_FEW_DAYS, _MANY_DAYS) if expression.starts_a_day <= 24 else (_DAYS_OF_A_BUSY_ONE, _MANY_DAYS)
    for days in spans:
        starts = list(expression.starts(wall_now - dt.timedelta(days=days // 2), days))
        if len(starts) > 1:
            between = [int((later - former).total_seconds()) for former, later in zip(starts, starts[1:])]
            return max(between), min(between)
    return None, None


def _is(job: Document, kind: str) -> bool:
    return condition(job, kind).get("status") == "True"


def _created(document: Document) -> str:
    return str(document["metadata"].get("creationTimestamp") or "")


def _cron_job(job: Document) -> Optional[str]:
    owner = controller_of(job)
    return owner[1] if owner is not None and owner[0] == "cronjob" else None
