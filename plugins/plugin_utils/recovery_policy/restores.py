# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways back against what is written: any moment, formats, names. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.runbook.ops.plugins.module_utils.backup.naming import NamingRule, zone
from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.model import (
    Component,
    RecoveryPolicy,
    Restore,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.worth import Check, check, why_useless


def any_moment(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether recovery to any moment, where it is promised, has anything to recover with."""
    for component in policy.components:
        for restore in component.restores:
            if restore.promises == "any moment":
                yield _any_moment(restore, component)


def _any_moment(restore: Restore, component: Component) -> Check:
    able = [each for each in component.backups if each.method.reaches_any_moment]
    usable = [each for each in able if why_useless(each, component) is None]
    if usable:
        return check(restore.label, True, f"{usable[0].name} records every change")
    if able:
        reasons = "; ".join(why_useless(each, component) or "" for each in able)
        return check(restore.label, False, f"any moment is promised, and {reasons}")
    there = ", ".join(sorted({each.method.label for each in component.backups})) or "nothing"
    reason = f"any moment is promised, and nothing records the changes between backups: there is {there}"
    return check(restore.label, False, reason)


def formats(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether a way back takes the format that is written."""
    for component in policy.components:
        written = {each.format for each in component.backups if each.format}
        for restore in component.restores:
            if restore.format and written:
                listed = ", ".join(sorted(written))
                reason = f"it takes {restore.format}, and what is written is {listed}"
                yield check(restore.label, restore.format in written, reason)


def names(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether a way back takes a name that is written: one naming rule for all."""
    for component in policy.components:
        patterns = list(dict.fromkeys(each.writes for each in component.backups if each.writes))
        for restore in component.restores:
            if restore.reads and patterns:
                reason = f"it takes {restore.reads}, and what is written is named {', '.join(patterns)}"
                yield check(restore.label, any(_follows(restore.reads, each) for each in patterns), reason)


def _follows(name: str, pattern: str) -> bool:
    if name == pattern:
        return True
    try:
        return NamingRule(pattern, zone("UTC")).period(name) is not None
    except InvalidOption:
        # A name without a date, such as latest.sql.gz, follows only itself.
        return False
