# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database is suspicious for by itself, whatever its original or its copy is like. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_content import (
    is_behind_column,
    next_value,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.compare_structure import label_of
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import (
    Difference,
    Discrepancy,
    grouped,
)
from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.model import Census


def weaknesses(found: Census) -> list[Discrepancy]:
    """Sequences behind their columns, constraints that nobody validated, invalid indexes, disabled triggers,
    materialized views without rows, indexes over text that were built by another version of a sort order.

    The original may have been like this: each is worth a look, and none proves that the backup is bad.
    """
    return grouped(_weaknesses(found))


def _weaknesses(found: Census) -> Iterator[Difference]:
    for name, entry in found.sequences.items():
        if is_behind_column(entry):
            more = f"it gives {next_value(entry)} next, and {entry['max']} is taken in {', '.join(entry['feeds'])}"
            what = ("is behind", "are behind")
            label = ("sequence", "sequences")
            yield Difference(
                "sequence_behind", label, entry["schema"], name, what, entry["max"], entry["last_value"], more
            )
    for name, entry in found.constraints.items():
        if not entry["validated"]:
            more = "rows that break it may be there. ALTER TABLE … VALIDATE CONSTRAINT shows the first"
            what = ("is not validated", "are not validated")
            label = ("constraint", "constraints")
            yield Difference("constraint_not_validated", label, entry["schema"], name, what, True, False, more)
    for topic, label in (("constraints", ("constraint", "constraints")), ("indexes", ("index", "indexes"))):
        for name, entry in getattr(found, topic).items():
            if not entry["valid"]:
                what = ("is invalid", "are invalid")
                yield Difference("structure_differs", label, entry["schema"], name, what, True, False)
    for name, entry in found.triggers.items():
        if entry["enabled"] == "disabled":
            label, what = ("trigger", "triggers"), ("is disabled", "are disabled")
            yield Difference("structure_differs", label, entry["schema"], name, what, "enabled", "disabled")
    for name, entry in found.tables.items():
        if entry["disabled_constraint_triggers"]:
            what = ("has foreign keys that are not enforced", "have foreign keys that are not enforced")
            count = entry["disabled_constraint_triggers"]
            more = f"{count} of their triggers are disabled"
            yield Difference("structure_differs", label_of(entry), entry["schema"], name, what, 0, count, more)
        if not entry["populated"]:
            what = ("is not populated", "are not populated")
            yield Difference("matview_unpopulated", label_of(entry), entry["schema"], name, what, True, False)
    for name, entry in found.collations.items():
        if None not in (entry["recorded"], entry["actual"]) and entry["recorded"] != entry["actual"]:
            what = ("has another version than its indexes", "have other versions than their indexes")
            more = f"they were built with {entry['recorded']}, and the server has {entry['actual']}"
            label = ("collation", "collations")
            versions = entry["recorded"], entry["actual"]
            # Whoever restores a dump builds the indexes anew.
            yield Difference("collation_version", label, None, name, what, *versions, more, noted=True)
