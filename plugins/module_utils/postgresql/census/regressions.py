# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup's census held against that of the previous verified backup. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_structure import (
    Pair,
    label_of,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_surroundings import locale
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import (
    Difference,
    Discrepancy,
    grouped,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census

# A table that had fewer rows than this may lose any share of them: queues and sessions come and go.
SMALL_ROWS = 100

_DATABASE, _VIEW = ("database", "databases"), ("view", "views")
_SCHEMA, _EXTENSION = ("schema", "schemas"), ("extension", "extensions")
_GONE = ("was in the previous verified backup and is gone", "were in the previous verified backup and are gone")
_FEWER = ("has lost rows", "have lost rows")
_UNPROTECTED = ("has row security no longer", "have row security no longer")
# What belongs to tables and does something: a migration takes such things away on purpose, so that they are noted.
_PARTS = (
    ("constraints", ("constraint", "constraints")),
    ("indexes", ("index", "indexes")),
    ("triggers", ("trigger", "triggers")),
    ("policies", ("policy", "policies")),
    ("rules", ("rule", "rules")),
)


def regressions(
    previous: Census, current: Census, *, volume_percent: float = 30.0, small_rows: int = SMALL_ROWS
) -> list[Discrepancy]:
    """What the previous verified backup had and this one has not.

    Codes: C(identity_mismatch) for the backup of another database, and then nothing else; C(watermark_repeats) for the
    same backup once more; C(encoding_mismatch); C(structure_regression); C(volume_regression).
    C(structure_differs), for constraints, indexes, triggers, policies and row security that are gone, is noted only.

    A partitioned table is looked at as a whole: that old partitions are dropped is what they are for.

    Args:
        previous: The previous verified backup's census.
        current: This one's.
        volume_percent: So much of a table's rows, or of all rows, is a regression; less is not.
        small_rows: A table with fewer rows than this before is not looked at by itself.

    """
    other = _identity(previous, current)
    if other is not None:
        return [other]
    differences = [
        *_repeats(previous, current),
        *locale(Pair(previous, current)),
        *_structure(previous, current),
        *_parts(previous, current),
        *_volume(previous, current, volume_percent, small_rows),
    ]
    return grouped(differences)


def _identity(previous: Census, current: Census) -> Discrepancy | None:
    names = previous.database["name"], current.database["name"]
    servers = previous.server["system_identifier"], current.server["system_identifier"]
    if names[0] != names[1]:
        detail = f"This is a backup of the database {names[1]}, and the previous verified one is of {names[0]}."
        return Discrepancy("identity_mismatch", str(names[1]), *names, detail)
    # A new major version is a new server, and has a new identifier.
    if None not in servers and servers[0] != servers[1] and previous.major == current.major:
        detail = (
            f"This is a backup of {names[1]} on another server than the previous verified one (system identifier "
            f"{servers[1]}, and {servers[0]} before). After a move, verify this one by itself first."
        )
        return Discrepancy("identity_mismatch", str(names[1]), *servers, detail)
    return None


def _repeats(previous: Census, current: Census) -> Iterator[Difference]:
    """The previous backup under a new name, or content that stands still."""
    name = str(current.database["name"])
    before, now = previous.taken_at, current.taken_at
    if now <= before:
        same = now == before
        word = "is the previous backup once more" if same else "is older than the previous verified backup"
        more = f"its snapshot is of {now}, and the previous verified backup's of {before}"
        yield Difference("watermark_repeats", _DATABASE, None, name, (word, word), before, now, more)
        return
    positions = previous.server["lsn"], current.server["lsn"]
    if None not in positions and _same_history(previous, current) and _position(positions[1]) < _position(positions[0]):
        word = "is older than the previous verified backup"
        more = f"the server's WAL was at {positions[1]}, and at {positions[0]} in the previous verified backup"
        yield Difference("watermark_repeats", _DATABASE, None, name, (word, word), *positions, more)
        return
    marks = [mark for mark, value in current.watermarks.items() if value is not None and mark in previous.watermarks]
    still = [mark for mark in marks if not _is_later(current.watermarks[mark], previous.watermarks[mark])]
    if marks and len(still) == len(marks):
        what = ("has nothing new", "have nothing new")
        more = ", ".join(
            f"the newest {mark} is {current.watermarks[mark]}, and was {previous.watermarks[mark]} before"
            for mark in still
        )
        one, other = ({mark: each.watermarks[mark] for mark in still} for each in (previous, current))
        yield Difference("watermark_repeats", _DATABASE, None, name, what, one, other, more)


def _same_history(previous: Census, current: Census) -> bool:
    """Whether positions in the WAL can be compared."""
    keys = ("system_identifier", "timeline")
    return all(previous.server[key] is not None and previous.server[key] == current.server[key] for key in keys)


def _position(lsn: str) -> int:
    """C(16/B374D848) as a number."""
    high, _slash, low = lsn.partition("/")
    return int(high, 16) << 32 | int(low, 16)


def _is_later(value: str | None, before: str | None) -> bool:
    """Whether a watermark has moved on: moments as text in ISO 8601, or numbers."""
    if value is None or before is None:
        return before is None
    try:
        return float(value) > float(before)
    except ValueError:
        # With and without fractions of a second.
        return value.rstrip("Z") > before.rstrip("Z")


def _structure(previous: Census, current: Census) -> Iterator[Difference]:
    gone = set(previous.schemas) - set(current.schemas)
    for schema in sorted(gone):
        yield Difference("structure_regression", _SCHEMA, None, schema, _GONE, "schema")
    for name, entry in previous.tables.items():
        if name in current.tables or entry["schema"] in gone or entry["is_extension_member"]:
            continue
        if entry["kind"] != "partition" or entry["root"] not in {**previous.tables, **current.tables}:
            yield Difference("structure_regression", label_of(entry), entry["schema"], name, _GONE, entry["kind"])
    for name, entry in previous.views.items():
        if name not in current.views and entry["schema"] not in gone:
            yield Difference("structure_regression", _VIEW, entry["schema"], name, _GONE, "view")
    for name, entry in previous.extensions.items():
        if name not in current.extensions:
            yield Difference("structure_regression", _EXTENSION, None, name, _GONE, entry["version"])


def _parts(previous: Census, current: Census) -> Iterator[Difference]:
    """What tables that are still there have lost."""
    for topic, label in _PARTS:
        there = getattr(current, topic)
        for name, entry in getattr(previous, topic).items():
            if name not in there and entry["table"] in {**current.tables, **current.views}:
                yield Difference("structure_differs", label, entry["schema"], name, _GONE, label[0], noted=True)
    for name, entry in previous.tables.items():
        found = current.tables.get(name)
        if found is not None and entry["rls"] != "disabled" and found["rls"] == "disabled":
            states = entry["rls"], found["rls"]
            yield Difference(
                "structure_differs", label_of(entry), entry["schema"], name, _UNPROTECTED, *states, noted=True
            )


def _volume(previous: Census, current: Census, percent: float, small_rows: int) -> Iterator[Difference]:
    for name, entry in previous.tables.items():
        found = current.tables.get(name)
        if found is None or entry["root"]:
            continue
        before, now = entry["rows"], found["rows"]
        if before is None or now is None or before < small_rows or not _lost(before, now, percent):
            continue
        yield Difference(
            "volume_regression", label_of(entry), entry["schema"], name, _FEWER, before, now, _loss(before, now)
        )
    before, now = previous.row_count, current.row_count
    if before >= small_rows and _lost(before, now, percent):
        name = str(current.database["name"])
        yield Difference("volume_regression", _DATABASE, None, name, _FEWER, before, now, _loss(before, now))


def _lost(before: int, now: int, percent: float) -> bool:
    return now < before and 100.0 * (before - now) >= percent * before


def _loss(before: int, now: int) -> str:
    return f"{before} in the previous verified backup, {now} now ({100.0 * (before - now) / before:.0f} % fewer)"
