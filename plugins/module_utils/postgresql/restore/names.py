# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that databases have while one is restored, and the marks by which later runs know them. Pure.

A restored database is made beside the one that it replaces, C(<database>_restore_<moment>), and the replaced one is
kept as C(<database>_before_<moment>). What each of them is stands in the last line of its comment, which is written in
the same transaction as whatever makes it so: names alone could be anybody's.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Optional

# restoring: half full, of no use. loaded: everything the backup has, to be proven again before it is used.
# failed: kept because the user wanted to look at it. restored: in place. replaced: what was in place before.
RESTORING, LOADED, FAILED, RESTORED, REPLACED = "restoring", "loaded", "failed", "restored", "replaced"
STATES = (RESTORING, LOADED, FAILED, RESTORED, REPLACED)
BESIDE, BEFORE, UNDONE = "restore", "before", "undone"
# NAMEDATALEN - 1. Longer names are cut off by the server, silently.
MOST_BYTES = 63
_STAMP = "%Y%m%dt%H%M%Sz"
_PREFIX = "[runbook.ops] "
_NAME = re.compile(rf"(?P<head>.+)_(?P<kind>{BESIDE}|{BEFORE}|{UNDONE})_(?P<stamp>\d{{8}}t\d{{6}}z)", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """What a run says of a database.

    Args:
        state: One of C(STATES).
        database: The name that the restore is for.
        artefact: The backup's name in its repository.
        key: What tells the backup from every other: see C(choose.Chosen.key).
        at: When, ISO 8601.

    """

    state: str
    database: str
    artefact: str
    key: str
    at: str


def named(database: str, kind: str, moment: dt.datetime) -> str:
    """The name of a database that stands beside another; a long one is shortened, not the moment."""
    return _fitted(database, f"_{kind}_{moment.astimezone(dt.timezone.utc).strftime(_STAMP)}")


def planned(database: str, kind: str) -> str:
    """The same for plans, which are made before the moment is known."""
    return f"{database}_{kind}_<moment>"


def is_named(name: str, database: str, kind: str) -> bool:
    """Whether a database has a name as C(named) gives it."""
    found = _NAME.fullmatch(name)
    return found is not None and found["kind"] == kind and name == _fitted(database, name[found.end("head") :])


def split_comment(comment: Optional[str]) -> tuple[Optional[str], Optional[Mark]]:
    """What people wrote about a database, and the mark below it."""
    own, _newline, last = (comment or "").rpartition("\n")
    if not last.startswith(_PREFIX):
        return comment or None, None
    try:
        found = json.loads(last[len(_PREFIX) :])
        mark = Mark(**{name: str(found[name]) for name in Mark.__dataclass_fields__})
    except (ValueError, KeyError, TypeError):
        return comment, None
    return own or None, mark if mark.state in STATES else None


def joined_comment(own: Optional[str], mark: Optional[Mark]) -> Optional[str]:
    """The comment that says both; None for none at all."""
    line = None if mark is None else _PREFIX + json.dumps(asdict(mark))
    return "\n".join(each for each in (own, line) if each) or None


def mark_facts(mark: Optional[Mark]) -> Optional[dict[str, Any]]:
    """A mark for results."""
    return None if mark is None else asdict(mark)


def _fitted(database: str, suffix: str) -> str:
    head = database.encode("utf-8")[: MOST_BYTES - len(suffix)].decode("utf-8", "ignore")
    return head + suffix
