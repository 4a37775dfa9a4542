# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery policy as it is written down, read strictly: a misspelt key must not weaken a check. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import Window, parse_window
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.methods import METHODS, Method
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.reading import (
    a_bool,
    a_count,
    a_list,
    a_mapping,
    a_span,
    a_text,
    a_zone,
    check_unique,
)
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.schedule import Schedule, parse_schedule

_POLICY = ("timezone", "objectives", "batch_windows", "components", "scenarios", "steps", "drill_every")
_SPREAD = ("copies", "media", "offsite")
_COMPONENT = ("name", "rpo", "rto", *_SPREAD, "medium", "backups", "restores", "steps", "drills", "drill_every")
_BACKUP = (
    "name", "method", "schedule", "timezone", "retention", "exists", "contents", "format", "writes", "target",
    "offsite", "medium", "copies", "note",
)  # fmt: skip
_COPY = ("name", "target", "medium", "offsite", "exists", "note")
_RESTORE = ("name", "promises", "reads", "format", "note")
_SCENARIO = ("name", "component", "rto", "steps", "answer", "exists", "note")
_PROMISES = ("latest", "any moment")


@dataclass(frozen=True)
class Step:
    """A step of a recovery; C(seconds) is None where nobody says how long it takes."""

    name: str
    seconds: float | None


@dataclass(frozen=True)
class Drill:
    """A recovery that was measured."""

    on: dt.date
    rto_seconds: float | None
    rpo_seconds: float | None


@dataclass(frozen=True)
class Spread:
    """How widely the data shall be spread: so many copies, live data included, on so many media, so many elsewhere."""

    copies: int | None = None
    media: int | None = None
    offsite: int | None = None


@dataclass(frozen=True)
class Copy:
    """Another place that a backup is sent to. None where nobody says."""

    name: str
    target: str
    medium: str
    is_offsite: bool | None
    exists: bool


@dataclass(frozen=True)
class Backup:
    """One job or service that makes copies."""

    name: str
    component: str
    method: Method
    method_name: str
    schedule: Schedule | None
    zone_name: str | None
    retention_seconds: float | None
    exists: bool
    contents: frozenset[str]
    format: str
    writes: str
    target: str
    is_offsite: bool | None
    medium: str = ""
    copies: tuple[Copy, ...] = ()

    @property
    def label(self) -> str:
        """For findings."""
        return f"{self.component}: {self.name}"


@dataclass(frozen=True)
class Restore:
    """A way back: C(reads) is the name of the file that it takes, C(promises) latest or any moment."""

    name: str
    component: str
    promises: str
    reads: str
    format: str

    @property
    def label(self) -> str:
        """For findings."""
        return f"{self.component}: {self.name}"


@dataclass(frozen=True)
class Component:
    """A thing that is backed up, with what is promised for it. None where nothing is."""

    name: str
    rpo_seconds: float | None
    rto_seconds: float | None
    backups: tuple[Backup, ...]
    restores: tuple[Restore, ...]
    steps: tuple[Step, ...]
    drills: tuple[Drill, ...]
    drill_every_seconds: float
    spread: Spread = Spread()
    medium: str = ""


@dataclass(frozen=True)
class Scenario:
    """A disaster and the time that its end is promised in; C(exists) tells whether the answer to it is there."""

    name: str
    component: str
    rto_seconds: float | None
    steps: tuple[Step, ...]
    answer: str
    exists: bool


@dataclass(frozen=True)
class BatchWindow:
    """Hours of bulk work; C(zone_name) is None where nobody says of which clock."""

    name: str
    text: str
    window: Window
    zone_name: str | None


@dataclass(frozen=True)
class RecoveryPolicy:
    """What a system promises and does for its recovery."""

    zone_name: str | None
    rpo_seconds: float | None
    rto_seconds: float | None
    batch_windows: tuple[BatchWindow, ...]
    components: tuple[Component, ...]
    scenarios: tuple[Scenario, ...]

    @property
    def backups(self) -> list[Backup]:
        """Those of all components."""
        return [backup for component in self.components for backup in component.backups]


def parse_policy(value: object) -> RecoveryPolicy:
    """A policy as an inventory has it; raises InvalidOption naming the place."""
    found = a_mapping(value, "policy", _POLICY)
    objectives = a_mapping(found.get("objectives") or {}, "policy.objectives", ("rpo", "rto", *_SPREAD))
    zone_name = a_zone(found, "policy")
    rpo, rto = a_span(objectives, "rpo", "policy.objectives"), a_span(objectives, "rto", "policy.objectives")
    every = a_span(found, "drill_every", "policy") or 90 * 86400.0
    steps = _steps(found.get("steps"), "policy.steps")
    spread = _spread(objectives, "policy.objectives", Spread())
    components = tuple(
        _component(each, f"policy.components[{number}]", _Defaults(rpo, rto, zone_name, every, steps, spread))
        for number, each in enumerate(a_list(found.get("components"), "policy.components"))
    )
    check_unique([each.name for each in components], "policy.components")
    scenarios = tuple(
        _scenario(each, f"policy.scenarios[{number}]", steps, components)
        for number, each in enumerate(a_list(found.get("scenarios"), "policy.scenarios"))
    )
    windows = tuple(
        _batch(each, f"policy.batch_windows[{number}]")
        for number, each in enumerate(a_list(found.get("batch_windows"), "policy.batch_windows"))
    )
    return RecoveryPolicy(zone_name, rpo, rto, windows, components, scenarios)


class _Defaults(NamedTuple):
    """What holds for the components that say nothing else."""

    rpo_seconds: float | None
    rto_seconds: float | None
    zone_name: str | None
    drill_every_seconds: float
    steps: tuple[Step, ...]
    spread: Spread


def _component(value: object, at: str, default: _Defaults) -> Component:
    found = a_mapping(value, at, _COMPONENT)
    name = a_text(found, "name", at, required=True)
    own_rpo, own_rto = a_span(found, "rpo", at), a_span(found, "rto", at)
    backups = tuple(
        _backup(each, f"{at}.backups[{number}]", name, default.zone_name)
        for number, each in enumerate(a_list(found.get("backups"), f"{at}.backups"))
    )
    check_unique([each.name for each in backups], f"{at}.backups")
    restores = tuple(
        _restore(each, f"{at}.restores[{number}]", name)
        for number, each in enumerate(a_list(found.get("restores"), f"{at}.restores"))
    )
    return Component(
        name,
        default.rpo_seconds if own_rpo is None else own_rpo,
        default.rto_seconds if own_rto is None else own_rto,
        backups,
        restores,
        _steps(found.get("steps"), f"{at}.steps") or default.steps,
        tuple(_drill(each, f"{at}.drills") for each in a_list(found.get("drills"), f"{at}.drills")),
        a_span(found, "drill_every", at) or default.drill_every_seconds,
        _spread(found, at, default.spread),
        a_text(found, "medium", at),
    )


def _spread(found: Mapping[str, Any], at: str, default: Spread) -> Spread:
    own = {name: a_count(found, name, at) for name in _SPREAD}
    return replace(default, **{name: value for name, value in own.items() if value is not None})


def _copy(value: object, at: str) -> Copy:
    found = a_mapping(value, at, _COPY)
    target = a_text(found, "target", at)
    return Copy(
        a_text(found, "name", at) or target or a_text(found, "name", at, required=True),
        target,
        a_text(found, "medium", at),
        a_bool(found, "offsite", at, default=None),
        a_bool(found, "exists", at, default=True) is not False,
    )


def _backup(value: object, at: str, component: str, zone_name: str | None) -> Backup:
    found = a_mapping(value, at, _BACKUP)
    method_name = a_text(found, "method", at, required=True)
    method = METHODS.get(method_name)
    if method is None:
        raise InvalidOption(f"{at}.method", method_name, ", ".join(METHODS))
    schedule = found.get("schedule")
    contents = found.get("contents")
    return Backup(
        name=a_text(found, "name", at, required=True),
        component=component,
        method=method,
        method_name=method_name,
        schedule=None if schedule is None else parse_schedule(schedule, f"{at}.schedule"),
        zone_name=a_zone(found, at) or zone_name,
        retention_seconds=a_span(found, "retention", at),
        exists=a_bool(found, "exists", at, default=True) is not False,
        contents=method.contents if contents is None else frozenset(map(str, a_list(contents, f"{at}.contents"))),
        format=a_text(found, "format", at),
        writes=a_text(found, "writes", at),
        target=a_text(found, "target", at),
        is_offsite=a_bool(found, "offsite", at, default=None),
        medium=a_text(found, "medium", at),
        copies=tuple(
            _copy(each, f"{at}.copies[{number}]")
            for number, each in enumerate(a_list(found.get("copies"), f"{at}.copies"))
        ),
    )


def _restore(value: object, at: str, component: str) -> Restore:
    found = a_mapping(value, at, _RESTORE)
    promises = a_text(found, "promises", at) or "latest"
    if promises not in _PROMISES:
        raise InvalidOption(f"{at}.promises", promises, ", ".join(_PROMISES))
    name = a_text(found, "name", at, required=True)
    return Restore(name, component, promises, a_text(found, "reads", at), a_text(found, "format", at))


def _scenario(value: object, at: str, steps: tuple[Step, ...], components: Sequence[Component]) -> Scenario:
    found = a_mapping(value, at, _SCENARIO)
    component = a_text(found, "component", at)
    if component and component not in {each.name for each in components}:
        raise InvalidOption(f"{at}.component", component, "the name of one of the components")
    own = _steps(found.get("steps"), f"{at}.steps")
    return Scenario(
        a_text(found, "name", at, required=True),
        component,
        a_span(found, "rto", at),
        own or steps,
        a_text(found, "answer", at),
        a_bool(found, "exists", at, default=True) is not False,
    )


def _batch(value: object, at: str) -> BatchWindow:
    found = a_mapping(value, at, ("name", "window", "timezone"))
    text = a_text(found, "window", at, required=True)
    return BatchWindow(a_text(found, "name", at, required=True), text, parse_window(text), a_zone(found, at))


def _steps(value: object, at: str) -> tuple[Step, ...]:
    found = []
    for number, each in enumerate(a_list(value, at)):
        step = a_mapping(each, f"{at}[{number}]", ("name", "minutes"))
        minutes = step.get("minutes")
        if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or minutes < 0):
            raise InvalidOption(f"{at}[{number}].minutes", minutes, "a number of minutes, or null when nobody knows")
        name = a_text(step, "name", f"{at}[{number}]", required=True)
        found.append(Step(name, None if minutes is None else minutes * 60.0))
    return tuple(found)


def _drill(value: object, at: str) -> Drill:
    found = a_mapping(value, at, ("on", "rto", "rpo"))
    try:
        on = found["on"] if isinstance(found["on"], dt.date) else dt.date.fromisoformat(str(found["on"])[:10])
    except (KeyError, ValueError):
        raise InvalidOption(f"{at}.on", found.get("on"), "the day of the drill, such as 2026-01-31") from None
    return Drill(on, a_span(found, "rto", at), a_span(found, "rpo", at))
