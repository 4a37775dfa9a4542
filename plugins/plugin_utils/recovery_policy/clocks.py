# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When backups run: against hours of bulk work, on which clock, and against each other. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import combinations
from zoneinfo import ZoneInfo

from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.model import (
    Backup,
    BatchWindow,
    RecoveryPolicy,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.schedule import Schedule
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.worth import Check, check

_UTC = ZoneInfo("UTC")
# Every day of the week and of the month is in it.
_DAYS = 35


def _timed(policy: RecoveryPolicy) -> list[tuple[Backup, Schedule]]:
    """The backups that run at times of day."""
    return [(each, each.schedule) for each in policy.backups if each.schedule is not None and each.schedule.is_timed]


def schedules(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether anything says when a backup is made: what is made by hand is made until somebody forgets it."""
    for backup in policy.backups:
        if backup.exists:
            known = backup.schedule is not None
            reason = f"it runs {backup.schedule.text}" if backup.schedule else "nobody says when it is made: by hand?"
            yield check(backup.label, known, reason)


def batch_windows(policy: RecoveryPolicy, today: dt.date) -> Iterator[Check]:
    """Whether backups keep out of the hours of bulk work, which they slow down and which moves under them."""
    for backup, schedule in _timed(policy):
        hits = [
            f"{at:%H:%M} lies in the hours of {window.name} ({window.text})"
            for window in policy.batch_windows
            for at in _first_hit(schedule, backup, window, policy, today)
        ]
        reason = "; ".join(hits) or "it keeps out of the hours of bulk work"
        if policy.batch_windows:
            yield check(backup.label, not hits, reason)


def _first_hit(
    schedule: Schedule, backup: Backup, window: BatchWindow, policy: RecoveryPolicy, today: dt.date
) -> list[dt.datetime]:
    """The first wall-clock time of a backup that lies in a window; times without a zone are read on one clock."""
    zone = window.zone_name or policy.zone_name or backup.zone_name
    for at in schedule.wall_times(today, _DAYS):
        local = at
        if zone and backup.zone_name:
            local = at.replace(tzinfo=timezone(backup.zone_name)).astimezone(timezone(zone))
        if window.window.holds(local.weekday(), local.hour * 60 + local.minute):
            return [at]
    return []


def timezones(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether a time of day says on which clock: a container's is UTC, a person's is not."""
    for backup, schedule in _timed(policy):
        if backup.zone_name is None:
            reason = f"{schedule.text!r} names a time of day and no time zone; in a container it is UTC"
            yield check(backup.label, False, reason)
        else:
            yield check(backup.label, True, f"{schedule.text!r} is meant in {backup.zone_name}")


def daylight(policy: RecoveryPolicy, today: dt.date) -> Iterator[Check]:
    """Whether the clocks leave out or repeat the hour of a backup."""
    for backup, schedule in _timed(policy):
        if backup.zone_name is not None:
            odd = schedule.jumps(today, timezone(backup.zone_name))
            reason = (
                f"the clocks of {backup.zone_name} leave out or repeat {odd[0]:%Y-%m-%d %H:%M}: no backup, or two"
                if odd
                else "no change of the clocks concerns it"
            )
            yield check(backup.label, not odd, reason)


def collisions(policy: RecoveryPolicy, today: dt.date) -> Iterator[Check]:
    """Whether two jobs make the same backup at the same minute."""
    for component in policy.components:
        timed = [(each, each.schedule) for each in component.backups if each.schedule and each.schedule.is_timed]
        moments = {
            each.name: set(schedule.moments(today, _DAYS, timezone(each.zone_name) if each.zone_name else _UTC))
            for each, schedule in timed
            if schedule is not None
        }
        pairs = [
            f"{one.name} and {other.name} both run at {min(shared):%H:%M} ({one.method.label})"
            for (one, _first), (other, _second) in combinations(timed, 2)
            if one.method_name == other.method_name and (shared := moments[one.name] & moments[other.name])
        ]
        if len(timed) > 1:
            yield check(component.name, not pairs, "; ".join(pairs) or "no two make the same at once")
