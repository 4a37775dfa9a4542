# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is worth by its own description: whether it brings data back, and how much may be lost. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.duration import format_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.methods import DATA, METHODS
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.model import (
    Backup,
    Component,
    RecoveryPolicy,
)

Check = dict[str, Any]


def check(name: str, holds: bool | None, reason: str, value: float | None = None, limit: float | None = None) -> Check:
    """One thing that was checked; C(holds) is None where the policy does not say enough."""
    return {"name": name, "holds": holds, "reason": reason, "value_seconds": value, "limit_seconds": limit}


def why_useless(backup: Backup, component: Component) -> str | None:
    """Why a backup brings no data back; None when it does, as far as its description goes."""
    if not backup.exists:
        return f"{backup.name} does not exist"
    if DATA not in backup.contents:
        return f"{backup.name} ({backup.method.label}) holds {_listed(backup.contents)} only"
    if is_rsync_to_bucket(backup):
        return f"{backup.name} cannot write to {backup.target}"
    wanted = backup.method.replays_on
    ground = [each for each in component.backups if each.method_name in wanted]
    if wanted and not any(why_useless(each, component) is None for each in ground):
        labels = " or ".join(METHODS[each].label for each in wanted)
        return f"{backup.name} needs {labels} to be replayed on"
    return None


def is_rsync_to_bucket(backup: Backup) -> bool:
    """Whether it is rsync to a bucket: it takes C(s3) for the name of a host and asks ssh for it."""
    return backup.method_name == "rsync" and backup.target.startswith("s3:")


def loss_seconds(backup: Backup, today: dt.date) -> float | None:
    """How much may be lost between two runs, in seconds; None where nobody says when it runs."""
    if backup.schedule is None:
        return None
    return max(backup.schedule.longest_pause_seconds(today), backup.method.shortest_seconds)


def procedures(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether what is promised is carried out by anything."""
    for backup in policy.backups:
        reason = "it is carried out" if backup.exists else "it is promised, and nothing carries it out"
        yield check(backup.label, backup.exists, reason)
    for component in policy.components:
        if not component.backups:
            yield check(component.name, False, "nothing backs it up")
    for scenario in policy.scenarios:
        answer = scenario.answer or "the answer"
        reason = f"{answer} is there" if scenario.exists else f"its answer ({answer}) does not exist"
        yield check(scenario.name, scenario.exists, reason)


def methods(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether a method can do what is asked of it."""
    for component in policy.components:
        for backup in component.backups:
            yield _method(backup, component)


def _method(backup: Backup, component: Component) -> Check:
    method = backup.method
    useless = why_useless(backup, component) if backup.exists else None
    if is_rsync_to_bucket(backup):
        return check(
            backup.label, False, f"rsync knows no addresses such as {backup.target}: it asks ssh for a host s3"
        )
    if useless is not None:
        return check(backup.label, False, useless)
    stated = backup.schedule.interval_seconds if backup.schedule is not None else None
    if stated is not None and stated < method.shortest_seconds:
        reason = (
            f"{method.label} is made at most once in {format_duration(method.shortest_seconds)}, and "
            f"{format_duration(stated)} is promised"
        )
        return check(backup.label, False, reason, method.shortest_seconds, stated)
    return check(backup.label, True, f"{method.label} can do that")


def retentions(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether every backup is kept for a stated time that its method allows, and settings are not asked twice."""
    for component in policy.components:
        by_setting: dict[str, list[Backup]] = {}
        for backup in component.backups:
            if backup.exists and backup.method_name != "git":
                yield _retention(backup)
            if backup.method.setting and backup.retention_seconds is not None:
                by_setting.setdefault(backup.method.setting, []).append(backup)
        for setting, shared in by_setting.items():
            kept = [f"{each.name} {format_duration(each.retention_seconds or 0)}" for each in shared]
            is_one = len({each.retention_seconds for each in shared}) == 1
            reason = f"{' and '.join(kept)}: " + ("the same" if is_one else f"not both, because {setting}")
            if len(shared) > 1:
                yield check(f"{component.name}: {' and '.join(each.name for each in shared)}", is_one, reason)


def _retention(backup: Backup) -> Check:
    kept, longest = backup.retention_seconds, backup.method.longest_keep_seconds
    if kept is None:
        return check(backup.label, False, "nobody says how long it is kept")
    pause = backup.schedule.interval_seconds if backup.schedule is not None else None
    if longest is not None and kept > longest:
        reason = (
            f"{format_duration(kept)} is promised, and {backup.method.label} is kept for {format_duration(longest)}"
        )
        return check(backup.label, False, f"{reason} at most", kept, longest)
    if pause is not None and kept < pause:
        reason = f"it is kept for {format_duration(kept)}, and the next is made after {format_duration(pause)}"
        return check(backup.label, False, reason, kept, pause)
    return check(backup.label, True, f"it is kept for {format_duration(kept)}", kept)


def locations(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether a copy lies elsewhere than what it protects, where the policy says anything about it."""
    for component in policy.components:
        stated = [each for each in component.backups if each.is_offsite is not None]
        if stated:
            away = [each.name for each in stated if each.is_offsite and each.exists]
            reason = f"{away[0]} lies elsewhere" if away else "every copy lies on the machine that it protects"
            yield check(component.name, bool(away), reason)


def _listed(contents: frozenset[str]) -> str:
    return " and ".join(sorted(contents)) or "nothing"
