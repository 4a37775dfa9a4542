# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a VACUUM could do what it is due for, or somebody still needs what it would remove. Pure.

VACUUM keeps every row that somebody may still see: what died after the oldest snapshot, the horizon. Which rows died
when is not recorded anywhere, so a VACUUM is called futile only where that follows from what is recorded:

* C(nothing older): everything in the table is younger than the horizon, because the oldest transaction id in it
  (relfrozenxid) is not older than the holder's.
* C(since last): the holder was there when the last VACUUM of the table ended. That one removed what is older than
  the holder; what died since is younger.
* C(age): freezing cannot bring the age of the table below that of the holder. If that is still too old, it is futile.
* C(too long): the holder is older than the age that was declared (max_holder_age). This is a policy, no proof.

Two things no catalog tells: rows of rolled-back transactions can be removed all the same, and someone even older may
have been there at the last VACUUM and have gone since. Then the refusal holds until the holder named in it is gone,
too, or until C(ignore_horizon).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.runbook.ops.plugins.module_utils.common.clock import iso
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.health.wraparound import ordered_holders

Row = Mapping[str, Any]

# Standbys and slots do not say since when they hold what they hold. A standby sends its feedback every ten seconds,
# so one that is seen is taken to have been there for a minute.
_ASSUMED = dt.timedelta(seconds=60)

# Whom a table has to wait for: the server's GlobalVisHorizonKind in procarray.c.
DATA, CATALOG, SHARED = "data", "catalog", "shared"


@dataclass(frozen=True)
class Checkpoint:
    """When the last checkpoint was, and how many transaction ids ago: the one point where both are on record."""

    time: dt.datetime
    xid_age: int


@dataclass(frozen=True)
class Holder:
    """Somebody who holds back VACUUM; C(facts) as of C(ordered_holders).

    C(since) is since when at least; C(is_assumed) whether that is only taken for granted.
    """

    xid_age: int
    since: dt.datetime
    is_assumed: bool
    facts: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Who it is, for people."""
        name, kind = str(self.facts["name"]), str(self.facts["kind"])
        return name if name.startswith(kind) else f"{kind} {name}"

    @property
    def fix(self) -> str:
        """What ends it."""
        return str(self.facts["fix"])

    def as_dict(self) -> dict[str, Any]:
        """For the module's result."""
        return {
            **{key: self.facts[key] for key in ("kind", "name", "pid", "database", "user", "application")},
            "xid_age": self.xid_age,
            "held_since": iso(self.since),
            "fix": self.fix,
        }


@dataclass(frozen=True)
class Horizon:
    """The oldest holder for every kind of table; C(sees_all) is False when the role does not see other sessions."""

    oldest: Mapping[str, Optional[Holder]] = field(default_factory=dict)
    sees_all: bool = True
    now: Optional[dt.datetime] = None

    def holder(self, scope: str) -> Holder | None:
        """The one that decides for tables of this kind; None when nobody is known."""
        return self.oldest.get(scope)


def horizon(rows: Sequence[Row], database: str, checkpoint: Checkpoint | None, *, sees_all: bool) -> Horizon:
    """Find the oldest holder for every kind of table.

    Args:
        rows: Rows of C(HOLDERS).
        database: The one that is worked in.
        checkpoint: The last one, if the role may know.
        sees_all: Whether the role sees what other roles' sessions hold.

    """
    found = {scope: _oldest(rows, scope, database, checkpoint) for scope in (DATA, CATALOG, SHARED)}
    return Horizon(found, sees_all, rows[0]["now"] if rows else None)


def _oldest(rows: Sequence[Row], scope: str, database: str, checkpoint: Checkpoint | None) -> Holder | None:
    concerned = [{**row, "xid_age": age} for row in rows if (age := _age_for(row, scope, database)) is not None]
    if not concerned:
        return None
    facts = ordered_holders(concerned)[0]
    # Snapshots are often as old as the oldest transaction that was open when they were taken: of equally old holders
    # the one that came first has held the horizon since.
    equal = [_since(row, checkpoint) for row in concerned if row["xid_age"] == facts["xid_age"]]
    since, is_assumed = min(equal)
    return Holder(facts["xid_age"], since, is_assumed, facts)


def _age_for(row: Row, scope: str, database: str) -> int | None:
    """How old is what this holder needs of tables of this kind; None if it needs nothing."""
    if row["kind"] == "replication slot":
        return row["data_xid_age"] if scope == DATA else row["xid_age"]  # type: ignore[no-any-return]  # a driver's row
    # A standby's feedback concerns every database, a transaction its own, except for what all databases share.
    everywhere = scope == SHARED or (row["kind"] == "standby" and row["database"] is None)
    return row["xid_age"] if everywhere or row["database"] == database else None


def _since(row: Row, checkpoint: Checkpoint | None) -> tuple[dt.datetime, bool]:
    """Since when at least it holds what it holds, and whether that is a guess."""
    now: dt.datetime = row["now"]
    known: list[dt.datetime] = [] if row["held_since"] is None else [row["held_since"]]
    if checkpoint is not None and row["xid_age"] > checkpoint.xid_age:
        # Its id was given before the checkpoint, and from then on either the transaction of that id or somebody who
        # saw it running has been there.
        known.append(checkpoint.time)
    return (min(known), False) if known else (now - _ASSUMED, True)


@dataclass(frozen=True)
class Futile:
    """Why a VACUUM would not help, and what would."""

    why: str
    remedy: str
    holder: Holder


def rows_futile(
    where: Horizon, scope: str, *, xid_age: int | None, last_vacuum: dt.datetime | None, max_holder_age: float = 0
) -> Futile | None:
    """Why no dead row can be removed, and no inserted one be marked as seen by all; None when that is not certain.

    Args:
        where: Who holds back what.
        scope: The kind of the table.
        xid_age: The age of its relfrozenxid.
        last_vacuum: When its last VACUUM ended.
        max_holder_age: Seconds after which a holder counts as too old in any case; 0 means never.

    """
    holder = where.holder(scope)
    if holder is None:
        return None
    if xid_age is not None and xid_age <= holder.xid_age:
        return _futile(f"nothing in it is older than what {holder.label} may still see", holder)
    if last_vacuum is not None and holder.since <= last_vacuum:
        since = "is still there" if holder.is_assumed else f"has been there since {iso(holder.since)}"
        return _futile(
            f"the last VACUUM, at {iso(last_vacuum)}, removed what could be, and {holder.label} {since}", holder
        )
    if max_holder_age and where.now is not None and not holder.is_assumed:
        age = (where.now - holder.since).total_seconds()
        if age > max_holder_age:
            return _futile(
                f"{holder.label} has held it back for {age:.0f} s (max_holder_age is {max_holder_age:g} s)", holder
            )
    return None


def age_futile(where: Horizon, scope: str, due_age: float) -> Futile | None:
    """Why freezing cannot bring a table below an age, in transaction ids; None when it can."""
    holder = where.holder(scope)
    if holder is None or holder.xid_age < due_age:
        return None
    return _futile(f"{holder.label} keeps it at an age of {holder.xid_age} at least", holder)


def _futile(why: str, holder: Holder) -> Futile:
    return Futile(why, f"{holder.fix} Then run the task again.", holder)
