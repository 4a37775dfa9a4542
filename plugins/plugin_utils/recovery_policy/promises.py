# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is promised (RPO, RTO) against what is done, and what was measured. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from ansible_collections.runbook.ops.plugins.plugin_utils.duration import format_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.model import (
    Component,
    RecoveryPolicy,
    Step,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.worth import (
    Check,
    check,
    loss_seconds,
    why_useless,
)


def rpo(policy: RecoveryPolicy, today: dt.date) -> Iterator[Check]:
    """Whether the pause between two backups is within what may be lost."""
    yield from _unpromised(policy, "rpo_seconds", "nobody says how much may be lost (RPO)")
    for component in policy.components:
        if component.rpo_seconds is not None:
            yield _rpo(component, component.rpo_seconds, today)


def _unpromised(policy: RecoveryPolicy, what: str, reason: str) -> Iterator[Check]:
    """One entry for all components that nothing is promised for."""
    names = [component.name for component in policy.components if getattr(component, what) is None]
    if names:
        yield check(", ".join(names), None, reason)


def _rpo(component: Component, allowed: float, today: dt.date) -> Check:
    at_most = f"at most {format_duration(allowed)} may be"
    if not component.backups:
        return check(component.name, False, f"nothing backs it up: all of it may be lost, and {at_most}", None, allowed)
    useless = [reason for each in component.backups if (reason := why_useless(each, component))]
    usable = [each for each in component.backups if why_useless(each, component) is None]
    if not usable:
        reason = f"all of it may be lost, and {at_most}: {'; '.join(useless)}"
        planned = [loss for each in component.backups if (loss := loss_seconds(each, today)) is not None]
        if planned and min(planned) > allowed:
            reason += f"; by the schedules it would be {format_duration(min(planned))}"
        return check(component.name, False, reason, min(planned, default=None), allowed)
    losses = [(loss, each) for each in usable if (loss := loss_seconds(each, today)) is not None]
    if losses:
        loss, best = min(losses, key=lambda item: item[0])
        words = f"up to {format_duration(loss)} may be lost ({best.name}), and {at_most}"
        if loss <= allowed or len(losses) == len(usable):
            without = f"; {'; '.join(useless)}" if useless and loss > allowed else ""
            return check(component.name, loss <= allowed, words + without, loss, allowed)
    unknown = ", ".join(each.name for each in usable if each.schedule is None)
    return check(component.name, None, f"nobody says when {unknown} is made, and {at_most} lost", None, allowed)


def rto(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether the steps of a recovery fit the time that is promised for it."""
    yield from _unpromised(policy, "rto_seconds", "nobody says how long a recovery may take (RTO)")
    for component in policy.components:
        if component.rto_seconds is not None:
            yield _rto(component.name, component.steps, component.rto_seconds)
    for scenario in policy.scenarios:
        if scenario.rto_seconds is not None:
            yield _rto(scenario.name, scenario.steps, scenario.rto_seconds)


def _rto(name: str, steps: Sequence[Step], allowed: float) -> Check:
    promised = f"{format_duration(allowed)} is promised"
    if not steps:
        return check(name, None, f"{promised}, and no steps with their durations are written down", None, allowed)
    known = [(step.name, step.seconds) for step in steps if step.seconds is not None]
    total = sum(seconds for _name, seconds in known)
    listed = ", ".join(f"{step} {format_duration(seconds)}" for step, seconds in known)
    if total > allowed:
        return check(name, False, f"its steps take {format_duration(total)} ({listed}), and {promised}", total, allowed)
    open_steps = ", ".join(step.name for step in steps if step.seconds is None)
    if open_steps:
        return check(name, None, f"{promised}, and nobody says how long it takes to {open_steps}", None, allowed)
    return check(name, True, f"its steps take {format_duration(total)}, and {promised}", total, allowed)


def contradictions(policy: RecoveryPolicy) -> Iterator[Check]:
    """Whether two promises about the same thing agree."""
    for component in policy.components:
        for word, own, whole in (
            ("RPO", component.rpo_seconds, policy.rpo_seconds),
            ("RTO", component.rto_seconds, policy.rto_seconds),
        ):
            if own is not None and whole is not None:
                words = f"{word} {format_duration(own)}, and the whole system has {format_duration(whole)}"
                yield check(f"{component.name}: {word}", own <= whole, words, own, whole)
    by_name = {component.name: component for component in policy.components}
    for scenario in policy.scenarios:
        part = by_name.get(scenario.component)
        if part is not None and part.rto_seconds is not None and scenario.rto_seconds is not None:
            words = (
                f"{format_duration(scenario.rto_seconds)} is promised here, and "
                f"{format_duration(part.rto_seconds)} for {part.name}"
            )
            yield check(
                scenario.name, scenario.rto_seconds <= part.rto_seconds, words, scenario.rto_seconds, part.rto_seconds
            )


def drills(policy: RecoveryPolicy, today: dt.date) -> Iterator[Check]:
    """Whether promises were measured, lately, and kept."""
    for component in policy.components:
        if component.rto_seconds is not None or component.rpo_seconds is not None:
            yield _drill(component, today)


def _drill(component: Component, today: dt.date) -> Check:
    if not component.drills:
        return check(component.name, False, "no recovery was ever measured")
    last = max(component.drills, key=lambda each: each.on)
    for word, measured, promised in (
        ("RTO", last.rto_seconds, component.rto_seconds),
        ("RPO", last.rpo_seconds, component.rpo_seconds),
    ):
        if measured is not None and promised is not None and measured > promised:
            words = (
                f"{word} {format_duration(measured)} was measured on {last.on}, and {format_duration(promised)} is "
                "promised"
            )
            return check(component.name, False, words, measured, promised)
    if component.rto_seconds is not None and last.rto_seconds is None:
        return check(component.name, False, f"the drill of {last.on} measured no RTO")
    age = (today - last.on).days * 86400.0
    words = f"the last recovery was measured on {last.on}"
    if age > component.drill_every_seconds:
        words += f", and one is due every {format_duration(component.drill_every_seconds)}"
        return check(component.name, False, words, age, component.drill_every_seconds)
    return check(component.name, True, words, age, component.drill_every_seconds)
