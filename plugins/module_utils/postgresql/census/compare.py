# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored copy held against the census of its original. Pure.

What a copy lacks because something larger is missing (an index of a missing table, a table of a missing schema) is told
once, with the largest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_content import (
    large_objects,
    rows,
    sequences,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_structure import (
    Pair,
    parts,
    standing_alone,
    tables,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_surroundings import (
    collations,
    extensions,
    identity,
    locale,
    roles,
    schemas,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import (
    Difference,
    Discrepancy,
    grouped,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census

__all__ = ["Discrepancy", "compare"]


def compare(
    expected: Census,
    found: Census,
    *,
    ignore_roles: bool = False,
    physical: bool = False,
    without: Collection[str] = (),
) -> list[Discrepancy]:
    """What the copy lacks or has otherwise; an empty list for a copy that is whole.

    No discrepancy: another name or size of the database, another server; sequences that are further on; storage
    options; what only another major version writes otherwise.

    Args:
        expected: The original's, out of the manifest.
        found: The copy's.
        ignore_roles: Whether owners, privileges and the roles themselves were not restored, and are not looked at.
        physical: Whether the copy came from a physical backup: indexes were copied rather than built (collation
            versions matter), unlogged tables are empty, the system identifier is the same.
        without: Topics not to look at: names of fields of C(Census), or C(locale), C(content) for rows and digests.

    """
    pair = Pair(expected, found, ignore_roles=ignore_roles, physical=physical)
    other = identity(pair)
    if other is not None:
        return [other]
    return grouped(_all(pair, frozenset(without)))


def _all(pair: Pair, without: frozenset[str]) -> Iterator[Difference]:
    if "locale" not in without:
        yield from locale(pair)
    if "roles" not in without and not pair.ignore_roles:
        yield from roles(pair)
    if "extensions" not in without:
        yield from extensions(pair)
    yield from schemas(pair)
    yield from (each for each in tables(pair) if "tables" not in without)
    for topic in ("constraints", "indexes", "triggers", "policies", "rules"):
        if topic not in without:
            yield from parts(pair, topic)
    for topic in (
        *("views", "functions", "types", "publications", "subscriptions", "event_triggers", "default_privileges"),
        "others",
    ):
        if topic not in without:
            yield from standing_alone(pair, topic)
    if "content" not in without:
        yield from rows(pair)
    if "sequences" not in without:
        yield from sequences(pair)
    if "large_objects" not in without:
        yield from large_objects(pair, digests="content" not in without)
    if "collations" not in without:
        yield from collations(pair)
