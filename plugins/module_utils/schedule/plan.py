# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to change so that the files and timers of a set are as declared. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.common.outcome import Refusal
from ansible_collections.runbook.ops.plugins.module_utils.schedule.crontab import Entry, Problem
from ansible_collections.runbook.ops.plugins.module_utils.schedule.render import marked_set

_TIMER = ".timer"


@dataclass(frozen=True)
class Plan:
    """Files to write and to remove; timers to switch on, and off, and to start anew because they were changed."""

    writes: Mapping[str, str] = field(default_factory=dict)
    removals: Sequence[str] = ()
    switched_on: Sequence[str] = ()
    switched_off: Sequence[str] = ()
    restarted: Sequence[str] = ()
    reloads: bool = False
    refused: Sequence[Refusal] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything is as declared."""
        return not (self.writes or self.removals or self.switched_on or self.restarted or self.reloads)

    def actions(self) -> list[dict[str, Any]]:
        """In the order in which they are carried out."""
        listed = [("write", path) for path in sorted(self.writes)]
        listed += [("switch off", name) for name in self.switched_off]
        listed += [("remove", path) for path in self.removals]
        listed += [("read again", "systemd")] if self.reloads else []
        listed += [("switch on", name) for name in self.switched_on]
        listed += [("start anew", name) for name in self.restarted]
        return [{"action": action, "object": object_} for action, object_ in listed]


def make_plan(
    set_name: str,
    wanted: Mapping[str, str],
    present: Mapping[str, str],
    timers: Mapping[str, Mapping[str, str]],
    refused: Sequence[Refusal] = (),
) -> Plan:
    """Compare what is declared with what is there.

    Args:
        set_name: The set.
        wanted: The text of every file by its path.
        present: The text of the files that are there, ours and those in our way.
        timers: Properties of the wanted timers, by name.
        refused: What speaks against the rounds themselves.

    """
    foreign = [
        Refusal(path, "there is a file of that name that this set did not write", "Move it away, or rename the set.")
        for path in sorted(wanted)
        if path in present and marked_set(present[path]) != set_name
    ]
    if refused or foreign:
        return Plan(refused=[*foreign, *refused])
    ours = {path for path, text in present.items() if marked_set(text) == set_name}
    writes = {path: text for path, text in wanted.items() if present.get(path) != text}
    removals = sorted(ours - set(wanted))
    names = {path.rsplit("/", 1)[-1]: path for path in wanted if path.endswith(_TIMER)}
    on = [name for name in sorted(names) if not _runs(timers.get(name, {}))]
    units = [path for path in [*writes, *removals] if path.endswith((_TIMER, ".service"))]
    stale = any(each.get("NeedDaemonReload") == "yes" for each in timers.values())
    return Plan(
        writes=writes,
        removals=removals,
        switched_on=on,
        switched_off=[path.rsplit("/", 1)[-1] for path in removals if path.endswith(_TIMER)],
        restarted=[name for name in sorted(names) if name not in on and (names[name] in writes or stale)],
        reloads=bool(units) or stale,
    )


def _runs(timer: Mapping[str, str]) -> bool:
    return timer.get("ActiveState") == "active" and timer.get("UnitFileState") == "enabled"


def refusals_of(problems: Sequence[Problem], entries: Sequence[Entry]) -> list[Refusal]:
    """What is wrong with our entries among all others, as reasons not to write them."""
    names = {each.object: each.name for each in entries}
    return [
        Refusal(f"round {names[str(each.as_dict()['object'])]}", each.message, each.remedy)
        for each in problems
        if str(each.as_dict()["object"]) in names and each.level != "notice"
    ]
