# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A recovery policy as it is written down, read strictly: a misspelt key must not weaken a check. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ansible_collections.runbook.ops.plugins.module_utils.common.errors import InvalidOption
from ansible_collections.runbook.ops.plugins.module_utils.common.timezones import timezone
from ansible_collections.runbook.ops.plugins.module_utils.common.windows import Window, parse_window
from ansible_collections.runbook.ops.plugins.plugin_utils.duration import parse_duration
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.methods import METHODS, Method
from ansible_collections.runbook.ops.plugins.plugin_utils.recovery_policy.schedule import Schedule, parse_schedule

_POLICY = ("timezone", "objectives", "batch_windows", "components", "scenarios", "steps", "drill_every")
_COMPONENT = ("name", "rpo", "rto", "backups", "restores", "steps", "drills", "drill_every")
_BACKUP = (
    "name", "method", "schedule", "timezone", "retention", "exists", "contents", "format", "writes", "target",
    "offsite", "note",
)  # fmt: skip
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
    found = _mapping(value, "policy", _POLICY)
    objectives = _mapping(found.get("objectives") or {}, "policy.objectives", ("rpo", "rto"))
    zone_name = _zone(found, "policy")
    rpo, rto = _span(objectives, "rpo", "policy.objectives"), _span(objectives, "rto", "policy.objectives")
    every = _span(found, "drill_every", "policy") or 90 * 86400.0
    steps = _steps(found.get("steps"), "policy.steps")
    components = tuple(
        _component(each, f"policy.components[{number}]", _Defaults(rpo, rto, zone_name, every, steps))
        for number, each in enumerate(_list(found.get("components"), "policy.components"))
    )
    _unique([each.name for each in components], "policy.components")
    scenarios = tuple(
        _scenario(each, f"policy.scenarios[{number}]", steps, components)
        for number, each in enumerate(_list(found.get("scenarios"), "policy.scenarios"))
    )
    windows = tuple(
        _batch(each, f"policy.batch_windows[{number}]")
        for number, each in enumerate(_list(found.get("batch_windows"), "policy.batch_windows"))
    )
    return RecoveryPolicy(zone_name, rpo, rto, windows, components, scenarios)


class _Defaults(NamedTuple):
    """What holds for the components that say nothing else."""

    rpo_seconds: float | None
    rto_seconds: float | None
    zone_name: str | None
    drill_every_seconds: float
    steps: tuple[Step, ...]


def _component(value: object, at: str, default: _Defaults) -> Component:
    found = _mapping(value, at, _COMPONENT)
    name = _text(found, "name", at, required=True)
    own_rpo, own_rto = _span(found, "rpo", at), _span(found, "rto", at)
    backups = tuple(
        _backup(each, f"{at}.backups[{number}]", name, default.zone_name)
        for number, each in enumerate(_list(found.get("backups"), f"{at}.backups"))
    )
    _unique([each.name for each in backups], f"{at}.backups")
    restores = tuple(
        _restore(each, f"{at}.restores[{number}]", name)
        for number, each in enumerate(_list(found.get("restores"), f"{at}.restores"))
    )
    return Component(
        name,
        default.rpo_seconds if own_rpo is None else own_rpo,
        default.rto_seconds if own_rto is None else own_rto,
        backups,
        restores,
        _steps(found.get("steps"), f"{at}.steps") or default.steps,
        tuple(_drill(each, f"{at}.drills") for each in _list(found.get("drills"), f"{at}.drills")),
        _span(found, "drill_every", at) or default.drill_every_seconds,
    )


def _backup(value: object, at: str, component: str, zone_name: str | None) -> Backup:
    found = _mapping(value, at, _BACKUP)
    method_name = _text(found, "method", at, required=True)
    method = METHODS.get(method_name)
    if method is None:
        raise InvalidOption(f"{at}.method", method_name, ", ".join(METHODS))
    schedule = found.get("schedule")
    contents = found.get("contents")
    return Backup(
        name=_text(found, "name", at, required=True),
        component=component,
        method=method,
        method_name=method_name,
        schedule=None if schedule is None else parse_schedule(schedule, f"{at}.schedule"),
        zone_name=_zone(found, at) or zone_name,
        retention_seconds=_span(found, "retention", at),
        exists=_bool(found, "exists", at, default=True) is not False,
        contents=method.contents if contents is None else frozenset(map(str, _list(contents, f"{at}.contents"))),
        format=_text(found, "format", at),
        writes=_text(found, "writes", at),
        target=_text(found, "target", at),
        is_offsite=_bool(found, "offsite", at, default=None),
    )


def _restore(value: object, at: str, component: str) -> Restore:
    found = _mapping(value, at, _RESTORE)
    promises = _text(found, "promises", at) or "latest"
    if promises not in _PROMISES:
        raise InvalidOption(f"{at}.promises", promises, ", ".join(_PROMISES))
    name = _text(found, "name", at, required=True)
    return Restore(name, component, promises, _text(found, "reads", at), _text(found, "format", at))


def _scenario(value: object, at: str, steps: tuple[Step, ...], components: Sequence[Component]) -> Scenario:
    found = _mapping(value, at, _SCENARIO)
    component = _text(found, "component", at)
    if component and component not in {each.name for each in components}:
        raise InvalidOption(f"{at}.component", component, "the name of one of the components")
    own = _steps(found.get("steps"), f"{at}.steps")
    return Scenario(
        _text(found, "name", at, required=True),
        component,
        _span(found, "rto", at),
        own or steps,
        _text(found, "answer", at),
        _bool(found, "exists", at, default=True) is not False,
    )


def _batch(value: object, at: str) -> BatchWindow:
    found = _mapping(value, at, ("name", "window", "timezone"))
    text = _text(found, "window", at, required=True)
    return BatchWindow(_text(found, "name", at, required=True), text, parse_window(text), _zone(found, at))


def _steps(value: object, at: str) -> tuple[Step, ...]:
    found = []
    for number, each in enumerate(_list(value, at)):
        step = _mapping(each, f"{at}[{number}]", ("name", "minutes"))
        minutes = step.get("minutes")
        if minutes is not None and (isinstance(minutes, bool) or not isinstance(minutes, (int, float)) or minutes < 0):
            raise InvalidOption(f"{at}[{number}].minutes", minutes, "a number of minutes, or null when nobody knows")
        name = _text(step, "name", f"{at}[{number}]", required=True)
        found.append(Step(name, None if minutes is None else minutes * 60.0))
    return tuple(found)


def _drill(value: object, at: str) -> Drill:
    found = _mapping(value, at, ("on", "rto", "rpo"))
    try:
        on = found["on"] if isinstance(found["on"], dt.date) else dt.date.fromisoformat(str(found["on"])[:10])
    except (KeyError, ValueError):
        raise InvalidOption(f"{at}.on", found.get("on"), "the day of the drill, such as 2026-01-31") from None
    return Drill(on, _span(found, "rto", at), _span(found, "rpo", at))


def _mapping(value: object, at: str, known: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidOption(at, type(value).__name__, f"a mapping with {', '.join(known)}")
    strange = [str(name) for name in value if name not in known]
    if strange:
        raise InvalidOption(f"{at}.{strange[0]}", value[strange[0]], f"one of the keys {', '.join(known)}")
    return value


def _list(value: object, at: str) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise InvalidOption(at, value, "a list")
    return value


def _text(found: Mapping[str, Any], name: str, at: str, *, required: bool = False) -> str:
    value = found.get(name)
    if value is None or value == "":
        if required:
            raise InvalidOption(f"{at}.{name}", value, "text")
        return ""
    if not isinstance(value, str):
        raise InvalidOption(f"{at}.{name}", value, "text")
    return value


def _bool(found: Mapping[str, Any], name: str, at: str, *, default: bool | None) -> bool | None:
    value = found.get(name, default)
    if value is not None and not isinstance(value, bool):
        raise InvalidOption(f"{at}.{name}", value, "true or false")
    return value


def _span(found: Mapping[str, Any], name: str, at: str) -> float | None:
    value = found.get(name)
    if value is None:
        return None
    seconds = parse_duration(value, f"{at}.{name}")
    if seconds < 0:
        raise InvalidOption(f"{at}.{name}", value, "a duration of 0 or more")
    return seconds


def _zone(found: Mapping[str, Any], at: str) -> str | None:
    name = _text(found, "timezone", at)
    if name:
        timezone(name)
    return name or None


def _unique(names: Sequence[str], at: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise InvalidOption(at, name, "different names")
