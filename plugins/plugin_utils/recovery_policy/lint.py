# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery policy held against itself: what cannot be kept is found before a disaster finds it. Pure."""

from __future__ import annotations

import datetime as dt
from typing import Any

from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy import (
    clocks,
    promises,
    restores,
    spread,
    worth,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.model import parse_policy


def lint(policy: object, now: dt.datetime) -> dict[str, Any]:
    """Everything that was checked, by topic, and what does not hold.

    Args:
        policy: As an inventory has it.
        now: The moment that counts as now: schedules are looked at from it on, drills grow old until it.

    Raises:
        InvalidOption: the policy cannot be read.

    """
    found, today = parse_policy(policy), now.date()
    checks = {
        "rpo": list(promises.rpo(found, today)),
        "rto": list(promises.rto(found)),
        "contradiction": list(promises.contradictions(found)),
        "any_moment": list(restores.any_moment(found)),
        "procedure": list(worth.procedures(found)),
        "method": list(worth.methods(found)),
        "retention": list(worth.retentions(found)),
        "location": list(worth.locations(found)),
        "copies": list(spread.spread(found)),
        "format": list(restores.formats(found)),
        "name": list(restores.names(found)),
        "schedule": list(clocks.schedules(found)),
        "batch_window": list(clocks.batch_windows(found, today)),
        "timezone": list(clocks.timezones(found)),
        "daylight": list(clocks.daylight(found, today)),
        "collision": list(clocks.collisions(found, today)),
        "drill": list(promises.drills(found, today)),
    }
    problems = [
        {"topic": topic, **each} for topic, entries in checks.items() for each in entries if each["holds"] is not True
    ]
    return {
        "component_count": len(found.components),
        "backup_count": len(found.backups),
        "scenario_count": len(found.scenarios),
        "check_count": sum(map(len, checks.values())),
        "checks": checks,
        "problem_count": len(problems),
        "problems": problems,
    }
