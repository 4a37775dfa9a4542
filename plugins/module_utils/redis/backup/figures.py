# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup may hold, from what the server said around the snapshot; and whether it does. Pure.

A snapshot is one moment. The server was looked at before it and after it, and C(rdb_changes_since_last_save) says how
many modifications lie between: the server counts every key and every element, so no figure can have changed by more.
On a server at rest nothing lies between and the figures must be equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.runbook.ops.plugins.module_utils.redis.backup.census import Census, QueueId

Range = tuple[int, int]


@dataclass(frozen=True)
class Changes:
    """How many modifications the server made around a snapshot.

    C(before): from the beginning of the first look at its queues to the snapshot; C(after): from the snapshot to the
    end of the second; C(keys): between the two looks at its numbers of keys.
    """

    before: int = 0
    after: int = 0
    keys: int = 0


@dataclass
class Figures:
    """The least and the most that each figure may be."""

    keys: dict[int, Range] = field(default_factory=dict)
    # Keys with a time to live may be gone when the copy is looked at in a server that deletes them.
    expires: dict[int, int] = field(default_factory=dict)
    queues: dict[QueueId, dict[str, Range]] = field(default_factory=dict)
    # False when queues were not counted: then nothing is said about them.
    has_queues: bool = True

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: C(databases) and C(queues), each figure as [least, most]."""
        return {
            "databases": [
                {"db": db, "keys": list(self.keys[db]), "expires": self.expires.get(db, 0)} for db in sorted(self.keys)
            ],
            "queues": [
                {
                    "db": queue.db,
                    "system": queue.system,
                    "prefix": queue.prefix,
                    "name": queue.name,
                    "states": {state: list(limits) for state, limits in sorted(states.items())},
                }
                for queue, states in sorted(self.queues.items(), key=lambda item: item[0].label)
            ]
            if self.has_queues
            else None,
        }


def figures_from(entry: Mapping[str, Any]) -> Figures:
    """The opposite of C(as_dict); raises KeyError, TypeError or ValueError for something else."""
    figures = Figures(has_queues=entry["queues"] is not None)
    for each in entry["databases"]:
        least, most = each["keys"]
        figures.keys[int(each["db"])] = (int(least), int(most))
        figures.expires[int(each["db"])] = int(each["expires"])
    for each in entry["queues"] or []:
        queue = QueueId(int(each["db"]), str(each["system"]), str(each["prefix"]), str(each["name"]))
        figures.queues[queue] = {
            str(state): (int(limits[0]), int(limits[1])) for state, limits in each["states"].items()
        }
    return figures


def exact(census: Census, *, has_queues: bool) -> Figures:
    """The figures of a copy that was looked at: nothing is left open."""
    return Figures(
        keys={db: (count, count) for db, count in census.keys.items()},
        expires=dict(census.expires),
        queues={
            queue: {state: (count, count) for state, count in states.items()} for queue, states in census.queues.items()
        },
        has_queues=has_queues,
    )


def between(before: Census, after: Census, changes: Changes, *, has_queues: bool) -> Figures:
    """What the moment between two looks may have held."""
    figures = Figures(has_queues=has_queues)
    for db in before.keys.keys() | after.keys.keys():
        figures.keys[db] = _limits(before.keys.get(db, 0), after.keys.get(db, 0), changes.keys, changes.keys)
        figures.expires[db] = max(before.expires.get(db, 0), after.expires.get(db, 0))
    for queue in before.queues.keys() | after.queues.keys():
        early, late = before.queues.get(queue, {}), after.queues.get(queue, {})
        figures.queues[queue] = {
            state: _limits(early.get(state, 0), late.get(state, 0), changes.before, changes.after)
            for state in early.keys() | late.keys()
        }
    return figures


def _limits(before: int, after: int, changes_before: int, changes_after: int) -> Range:
    """Renaming a list is one modification and moves all of it, so everything between the two looks is possible too."""
    least = min(max(before - changes_before, after - changes_after), before, after)
    most = max(min(before + changes_before, after + changes_after), before, after)
    return max(least, 0), most


def differing_databases(figures: Figures, found: Census, *, keeps_expired: bool) -> list[str]:
    """What is wrong with the keys of a copy, one clause a database; C(keeps_expired) of a server that deletes none."""
    wrong = []
    for db in sorted(figures.keys.keys() | found.keys.keys()):
        least, most = figures.keys.get(db, (0, 0))
        if not keeps_expired:
            least = max(0, least - figures.expires.get(db, 0))
        count = found.keys.get(db, 0)
        if not least <= count <= most:
            wrong.append(f"database {db} holds {count} keys, {_expected((least, most))} were expected")
    return wrong


def differing_queues(figures: Figures, found: Census) -> list[str]:
    """What is wrong with the queues of a copy, one clause a state."""
    wrong = []
    for queue in sorted(figures.queues.keys() | found.queues.keys(), key=lambda each: each.label):
        expected, counts = figures.queues.get(queue), found.queues.get(queue)
        if counts is None:
            if any(least > 0 for least, most in (expected or {}).values()):
                wrong.append(f"{queue.label} is missing")
            continue
        for state in sorted((expected or {}).keys() | counts.keys()):
            least, most = (expected or {}).get(state, (0, 0))
            if not least <= counts.get(state, 0) <= most:
                wrong.append(
                    f"{queue.label} has {counts.get(state, 0)} {state}, {_expected((least, most))} were expected"
                )
    return wrong


def _expected(limits: Range) -> str:
    least, most = limits
    return str(least) if least == most else f"{least} to {most}"
