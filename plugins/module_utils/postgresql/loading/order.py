# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order the statements after the data run, and which of them at once. Pure.

pg_dump writes them sorted by kind, and by what they need of each other (C(sortDumpableObjects) in C(pg_dump_sort.c)):
keys and indexes, rules, triggers, foreign keys, policies, privileges, refreshed views. Neighbours of the same kind need
nothing of each other. So indexes and keys run at once, then foreign keys run at once, and all others one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Optional

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.script import Statement
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.loading.statements import (
    changed_tables,
    key_in_two_steps,
)

_INDEXING, _REFERRING = "indexing", "referring"
_KINDS = {"INDEX": _INDEXING, "CONSTRAINT": _INDEXING, "FK CONSTRAINT": _REFERRING, "CHECK CONSTRAINT": _REFERRING}
# A key of a table below this size is made in a moment.
_WORTH_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Later:
    """A statement that waits, and what holds for the session at its place."""

    statement: Statement
    settings: Mapping[str, bytes]


@dataclass
class Task:
    """Statements that one session runs one after the other.

    Args:
        what: The entry of the dump, for messages.
        tables: The tables they work on.
        is_alone: Whether nobody else may work on these tables meanwhile.
        weight: How long it takes, in any unit.

    """

    what: str
    statements: list[bytes]
    settings: Mapping[str, bytes]
    tables: Sequence[str] = ()
    is_alone: bool = True
    weight: int = 0


@dataclass
class Stage:
    """Tasks of which several may run at once, or, if C(is_serial), one after the other."""

    is_serial: bool
    tasks: list[Task] = field(default_factory=list)


def stages(statements: Sequence[Later], table_bytes: Mapping[str, int], partitioned: frozenset[str]) -> list[Stage]:
    """What runs after the data.

    Args:
        statements: In the dump's order.
        table_bytes: How large the rows of the tables are in the dump.
        partitioned: Tables whose keys cannot be made of an index.

    """
    found: list[Stage] = []
    kind: Optional[str] = None
    promised: list[Task] = []
    for each in statements:
        entry = each.statement.entry
        own_kind = _KINDS.get(entry.type) if entry is not None else None
        if own_kind is None and entry is not None and entry.type == "COMMENT" and kind is not None:
            # It is about the object just before it, or about one that is older.
            (promised[-1] if promised else found[-1].tasks[-1]).statements.append(each.statement.text)
            continue
        if own_kind is None or own_kind != kind:
            if promised:
                found.append(Stage(is_serial=True, tasks=promised))
                promised = []
            if own_kind is not None or kind is not None or not found:
                found.append(Stage(is_serial=own_kind is None))
            kind = own_kind
        task = _task(each, table_bytes)
        steps = None
        if kind == _INDEXING and task.weight >= _WORTH_BYTES and not partitioned.intersection(task.tables):
            steps = key_in_two_steps(each.statement.text)
        if steps is not None:
            found[-1].tasks.append(replace(task, statements=[steps[0]], is_alone=False))
            promised.append(replace(task, statements=[steps[1]], weight=0))
        elif found[-1].tasks and _belongs_to(task, found[-1].tasks[-1]) and kind is not None:
            found[-1].tasks[-1].statements += task.statements
        else:
            found[-1].tasks.append(task)
    if promised:
        found.append(Stage(is_serial=True, tasks=promised))
    return found


def next_task(waiting: Sequence[Task], running: Sequence[Task]) -> Optional[Task]:
    """The heaviest task that can begin beside those that run; None if it has to wait for one of them."""
    fitting = [task for task in waiting if not any(_collide(task, other) for other in running)]
    return max(fitting, key=lambda task: task.weight, default=None)


def _task(each: Later, table_bytes: Mapping[str, int]) -> Task:
    text = each.statement.text
    tables, is_alone = changed_tables(text)
    what = str(each.statement.entry) if each.statement.entry else ""
    weight = sum(table_bytes.get(table, 0) for table in tables)
    return Task(what, [text], each.settings, tuple(tables), is_alone, weight)


def _belongs_to(task: Task, previous: Task) -> bool:
    """Whether a statement is one more of the same entry, such as the mark of the index to cluster by."""
    return bool(task.what) and task.what == previous.what


def _collide(task: Task, other: Task) -> bool:
    if not task.tables or not other.tables:
        return True
    return (task.is_alone or other.is_alone) and not set(task.tables).isdisjoint(other.tables)
